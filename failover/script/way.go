package script

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// step is one element on the way to a file: a directory, a symbolic link, or at last the file itself.
type step struct {
	path string
	stat unix.Stat_t
}

func (s *step) kind() uint32 { return s.stat.Mode & unix.S_IFMT }

// maxLinks is how many symbolic links the kernel follows.
const maxLinks = 40

// walk follows an absolute path from / and returns every element that is passed, the file last.
func walk(path string) ([]step, error) {
	root, err := look("/", path)
	if err != nil {
		return nil, err
	}
	way := []step{root}
	links := 0
	at := "/" // where the walk is, without symbolic links
	rest := path
	for {
		rest = strings.TrimLeft(rest, "/")
		if rest == "" {
			return way, nil
		}
		var name string
		name, rest, _ = strings.Cut(rest, "/")
		switch name {
		case ".":
			continue
		case "..":
			at = filepath.Dir(at)
			continue
		}
		s, err := look(filepath.Join(at, name), path)
		if err != nil {
			return nil, err
		}
		way = append(way, s)
		if s.kind() != unix.S_IFLNK {
			at = s.path
			continue
		}
		if links++; links > maxLinks {
			return nil, fmt.Errorf("%s: %w", path, unix.ELOOP)
		}
		target, err := os.Readlink(s.path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if filepath.IsAbs(target) {
			at = "/"
		}
		rest = target + "/" + rest
	}
}

// look looks at one element on the way to a path.
func look(element, path string) (step, error) {
	s := step{path: element}
	if err := unix.Lstat(element, &s.stat); err != nil {
		if element == path {
			return s, fmt.Errorf("%s: %w", path, err)
		}
		return s, fmt.Errorf("%s: %s: %w", path, element, err)
	}
	return s, nil
}

// permits reports whether the mode lets somebody execute a file, or search a directory.
func (s *step) permits(id *identity) bool {
	mode := s.stat.Mode
	switch {
	case id.uid == 0:
		return s.kind() == unix.S_IFDIR || mode&0o111 != 0
	case s.stat.Uid == id.uid:
		return mode&0o100 != 0
	case id.member(s.stat.Gid):
		return mode&0o010 != 0
	}
	return mode&0o001 != 0
}

// hasACL reports whether more than the mode says who may do what.
func (s *step) hasACL() bool {
	n, err := unix.Getxattr(s.path, "system.posix_acl_access", nil)
	return err == nil && n > 0
}

// secure returns an error if anybody but root could make another program run than the one at the end of a way. As in
// keepalived, a directory that all may write to is no harm if it is sticky: what root has there stays.
func secure(path string, way []step) error {
	for i := range way {
		s := &way[i]
		var why string
		switch mode := s.stat.Mode; {
		case s.stat.Uid != 0:
			why = fmt.Sprintf("belongs to user %d", s.stat.Uid)
		case s.kind() == unix.S_IFLNK:
			continue // its mode says nothing
		case s.kind() == unix.S_IFDIR && mode&unix.S_ISVTX != 0:
			continue
		case mode&0o002 != 0:
			why = "can be written by everybody"
		case mode&0o020 != 0 && s.stat.Gid != 0:
			why = fmt.Sprintf("can be written by group %d", s.stat.Gid)
		case mode&0o020 != 0 && s.hasACL():
			why = "can be written by others than root (access control list)"
		default:
			continue
		}
		return fmt.Errorf("%s: refused (script security): it would run as root, but the %s %s %s", path, kindName(s.kind()), s.path, why)
	}
	return nil
}

func kindName(kind uint32) string {
	switch kind {
	case unix.S_IFREG:
		return "file"
	case unix.S_IFDIR:
		return "directory"
	case unix.S_IFLNK:
		return "symbolic link"
	case unix.S_IFIFO:
		return "FIFO"
	case unix.S_IFSOCK:
		return "socket"
	}
	return "device"
}
