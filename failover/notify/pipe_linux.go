package notify

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"failoverd/failover"
	"failoverd/failover/script"
)

// fifoMode is the mode of a FIFO that is made; keepalived's.
const fifoMode = 0o600

// pipe is a FIFO that is open.
type pipe struct {
	path    string
	file    *os.File
	id      fileID
	created bool // by this process
}

// fileID identifies a file as long as it is open.
type fileID struct{ dev, ino uint64 }

// openPipe opens a FIFO, and makes it if nothing is there. It is open for reading, too, so that it takes lines while
// nobody reads it, and readers that come and go do not see its end.
func openPipe(c *failover.FIFOConfig) (*pipe, error) {
	path, created := c.Path, false
	switch err := unix.Mkfifo(path, fifoMode); {
	case err == nil:
		created = true
	case !errors.Is(err, unix.EEXIST):
		return nil, fmt.Errorf("make FIFO %s: %w", path, err)
	}
	p, err := openExisting(path, c)
	if err != nil {
		return nil, err
	}
	p.created = created
	return p, nil
}

// openExisting opens what is there if it is a FIFO. Opening anything else could do something, so it is looked at first.
func openExisting(path string, c *failover.FIFOConfig) (*pipe, error) {
	var before, after unix.Stat_t
	if err := unix.Lstat(path, &before); err != nil {
		return nil, fmt.Errorf("open FIFO %s: %w", path, err)
	}
	if before.Mode&unix.S_IFMT != unix.S_IFIFO {
		return nil, fmt.Errorf("open FIFO %s: something else than a FIFO is there", path)
	}
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, fmt.Errorf("open FIFO %s: %w", path, err)
	}
	if err := unix.Fstat(fd, &after); err != nil || idOf(&after) != idOf(&before) {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("open FIFO %s: it was replaced meanwhile", path)
	}
	if err := foreign(path, after.Uid, c); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("open FIFO %s: %w", path, err)
	}
	return &pipe{path: path, file: os.NewFile(uintptr(fd), path), id: idOf(&after)}, nil
}

// foreign refuses a FIFO that somebody may have put there for us to find, where everybody may make files, as the kernel's
// fs.protected_fifos does: he could write to it, too, and the script that reads it takes that for the agent's word.
func foreign(path string, owner uint32, c *failover.FIFOConfig) error {
	var dir unix.Stat_t
	if err := unix.Stat(filepath.Dir(path), &dir); err != nil {
		return err
	}
	if dir.Mode&0o002 == 0 || owner == dir.Uid || int64(owner) == int64(os.Geteuid()) {
		return nil
	}
	if c.User != "" {
		if uid, _, err := script.Owner(c.User, c.Group); err == nil && uid == owner {
			return nil
		}
	}
	return fmt.Errorf("it belongs to user %d, and everybody may make one in its directory", owner)
}

func idOf(s *unix.Stat_t) fileID { return fileID{s.Dev, s.Ino} }

// there reports whether the path still leads to this FIFO.
func (p *pipe) there() bool {
	var s unix.Stat_t
	err := unix.Lstat(p.path, &s)
	return err == nil && idOf(&s) == p.id
}

// own gives the FIFO to its configured owner; if none is configured it stays whose it is.
func (p *pipe) own(c *failover.FIFOConfig) error {
	if c.User == "" && c.Group == "" {
		return nil
	}
	uid, gid, err := script.Owner(c.User, c.Group)
	if err != nil {
		return fmt.Errorf("owner of FIFO %s: %w", p.path, err)
	}
	if err := p.file.Chown(int(uid), int(gid)); err != nil {
		return fmt.Errorf("owner of FIFO: %w", err)
	}
	return nil
}

// write writes until a time, and returns how much; os.ErrDeadlineExceeded says that there was no room for the rest.
// Lines of up to 4096 octets are written as a whole or not at all.
func (p *pipe) write(b []byte, until time.Time) (int, error) {
	if err := p.file.SetWriteDeadline(until); err != nil {
		return 0, fmt.Errorf("write to FIFO: %w", err)
	}
	return p.file.Write(b)
}

// drainPoll is how often drained looks.
const drainPoll = 10 * time.Millisecond

// drained waits until everything has been read, at most until a time.
func (p *pipe) drained(until time.Time) {
	raw, err := p.file.SyscallConn()
	if err != nil {
		return
	}
	for time.Now().Before(until) {
		unread := 0
		_ = raw.Control(func(fd uintptr) { unread, _ = unix.IoctlGetInt(int(fd), unix.TIOCINQ) })
		if unread == 0 {
			return
		}
		time.Sleep(drainPoll)
	}
}

// remove removes the FIFO if this process has made it and it is still there.
func (p *pipe) remove() {
	if p.created && p.there() {
		_ = unix.Unlink(p.path)
	}
}

func (p *pipe) close() { _ = p.file.Close() }
