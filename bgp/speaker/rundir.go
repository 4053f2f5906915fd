package speaker

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"failoverd/bgp/call"
)

const (
	dirPrefix  = "failoverd-bgp-"
	socketName = "gobgp.sock"
	// fresh is the age below which a directory without a listener may still get one.
	fresh = 10 * time.Second
)

// socketNames are those of all sockets of a process.
var socketNames = []string{socketName, call.SocketName}

// dirIn is a new name for the private directory of the socket.
func dirIn(parent string) string { return filepath.Join(parent, dirPrefix+rand.Text()[:10]) }

// checkSocket reports a path that is too long for a socket.
func checkSocket(path string) error {
	if n := len(path); n > 107 {
		return fmt.Errorf("socket path %s has %d octets, the system takes 107", path, n)
	}
	return nil
}

// newDir makes a private directory for the next process and points the client there. Each process gets a new one: what
// became of the last one, and who can write to the directory around it, then does not matter.
func (s *Supervised) newDir() error {
	s.removeDir()
	dir, err := makeDir(s.cfg.RunDir)
	if err != nil {
		var second error
		if dir, second = makeDir(os.TempDir()); second != nil {
			return errors.Join(err, second)
		}
		s.cfg.Log.Warn("the run directory is not usable, another one serves", "err", err, "instead", dir)
	}
	s.dir = dir
	s.client.SetTarget("unix://" + s.socket())
	return nil
}

// makeDir makes a private directory, after removing those that dead predecessors left.
func makeDir(parent string) (string, error) {
	dir := dirIn(parent)
	if err := checkSocket(filepath.Join(dir, socketName)); err != nil {
		return "", err
	}
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return "", err
	}
	_ = sweep(parent) // what cannot be removed is in nobody's way
	return dir, os.Mkdir(dir, 0o700)
}

// removeDir removes the directory of the last process, if it is still there.
func (s *Supervised) removeDir() {
	if err := os.RemoveAll(s.dir); err != nil {
		s.cfg.Log.Debug("remove the speaker's directory", "err", err)
	}
}

// sweep removes the abandoned directories in dir, which others may use as well.
func sweep(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("list %s: %w", dir, err)
	}
	var errs []error
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if !strings.HasPrefix(e.Name(), dirPrefix) || !abandoned(path) {
			continue
		}
		for _, name := range socketNames {
			if err := os.Remove(filepath.Join(path, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
				errs = append(errs, err)
			}
		}
		errs = append(errs, os.Remove(path))
	}
	return errors.Join(errs...)
}

// abandoned reports whether path is a directory that a predecessor of ours made and that nobody uses any more: private,
// with nothing in it but sockets that nobody listens on.
func abandoned(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != os.ModeDir|0o700 || time.Since(info.ModTime()) < fresh {
		return false
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); !ok || int(owner.Uid) != os.Geteuid() {
		return false
	}
	entries, err := os.ReadDir(path)
	return err == nil && !slices.ContainsFunc(entries, func(e os.DirEntry) bool {
		return !slices.Contains(socketNames, e.Name()) || e.Type() != os.ModeSocket || !deaf(filepath.Join(path, e.Name()))
	})
}

// deaf reports whether nobody listens on a socket.
func deaf(socket string) bool {
	conn, err := net.Dial("unix", socket)
	if err == nil {
		_ = conn.Close()
		return false
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}
