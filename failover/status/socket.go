package status

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// ErrInUse says that a live agent listens on the socket already.
var ErrInUse = errors.New("another agent is listening there")

const (
	socketMode    = 0o660
	directoryMode = 0o755
	// maxPath is the size of sun_path without its final zero (unix(7)).
	maxPath = 107
	// probeTimeout bounds the connect that tells a live socket from a stale one.
	probeTimeout = time.Second
	// lockTimeout bounds the wait for another agent that is starting in the same directory.
	lockTimeout = 2 * time.Second
)

// socket is a listening Unix socket that removes its own file, and no other's, when it is closed.
type socket struct {
	*net.UnixListener
	path string
	file os.FileInfo
}

// listen binds path as New documents.
func listen(path string) (*socket, error) {
	switch {
	case path == "" || strings.HasPrefix(path, "@"):
		return nil, fmt.Errorf("path %q: want the name of a file", path)
	case len(path) > maxPath:
		return nil, fmt.Errorf("path %s: %d octets long, the kernel takes up to %d", path, len(path), maxPath)
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, directoryMode); err != nil {
		return nil, err
	}
	unlock, err := lockDirectory(dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := removeStale(path); err != nil {
		return nil, err
	}
	return bind(path)
}

// bind creates the socket file. The kernel derives the file's mode from that of the descriptor and the umask, so it is
// narrowed before bind, and set exactly afterwards: nobody else can connect in between.
func bind(path string) (*socket, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var chmodErr error
		err := c.Control(func(fd uintptr) { chmodErr = syscall.Fchmod(int(fd), socketMode) })
		return errors.Join(err, chmodErr)
	}}
	l, err := lc.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	u := l.(*net.UnixListener)
	u.SetUnlinkOnClose(false)
	s := &socket{UnixListener: u, path: path}
	if err := os.Chmod(path, socketMode); err != nil {
		s.Close()
		return nil, err
	}
	if s.file, err = os.Lstat(path); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Close stops listening and removes the file, unless somebody put another one there.
func (s *socket) Close() error {
	if now, err := os.Lstat(s.path); err == nil && (s.file == nil || os.SameFile(now, s.file)) {
		os.Remove(s.path)
	}
	err := s.UnixListener.Close()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// removeStale makes path free, if what is there is a socket on which nobody listens.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s is not a socket; remove it, or choose another path with status_socket", path)
	}
	c, err := net.DialTimeout("unix", path, probeTimeout)
	if err == nil {
		c.Close()
		return fmt.Errorf("%s: %w; stop it, or choose another path with status_socket", path, ErrInUse)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("find out whether %s is in use: %w", path, err)
	}
	return os.Remove(path)
}

// lockDirectory keeps two agents that start together from taking each other's fresh socket for a stale one. The lock is
// on the directory itself, so that no lock file stays behind, and ends with the process.
func lockDirectory(dir string) (unlock func(), err error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(lockTimeout)
	for {
		err = syscall.Flock(int(d.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { d.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) || time.Now().After(deadline) {
			d.Close()
			return nil, fmt.Errorf("lock directory %s: %w", dir, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
