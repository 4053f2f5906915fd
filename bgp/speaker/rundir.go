package speaker

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	dirPrefix  = "failoverd-bgp-"
	socketName = "gobgp.sock"
	// fresh is the age below which a directory without a listener may still get one.
	fresh = 10 * time.Second
)

// makeDir makes the private directory of the socket, after removing those that dead predecessors left.
func (s *Supervised) makeDir() error {
	if err := os.MkdirAll(s.cfg.RunDir, 0o755); err != nil {
		return fmt.Errorf("speaker %s: %w", s.cfg.Speaker.Name, err)
	}
	if err := sweep(s.cfg.RunDir); err != nil {
		s.cfg.Log.Warn("remove leftover directories", "err", err)
	}
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		return fmt.Errorf("speaker %s: %w", s.cfg.Speaker.Name, err)
	}
	return nil
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
		if err := os.Remove(filepath.Join(path, socketName)); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
		errs = append(errs, os.Remove(path))
	}
	return errors.Join(errs...)
}

// abandoned reports whether path is a directory that a predecessor of ours made and that nobody uses any more: private,
// with nothing in it but a socket that nobody listens on.
func abandoned(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != os.ModeDir|0o700 || time.Since(info.ModTime()) < fresh {
		return false
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); !ok || int(owner.Uid) != os.Geteuid() {
		return false
	}
	entries, err := os.ReadDir(path)
	if err != nil || len(entries) > 1 {
		return false
	}
	if len(entries) == 0 {
		return true
	}
	if entries[0].Name() != socketName || entries[0].Type() != os.ModeSocket {
		return false
	}
	conn, err := net.Dial("unix", filepath.Join(path, socketName))
	if err == nil {
		_ = conn.Close()
		return false
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}
