package script

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"failoverd/failover"
)

// defaultPath is searched if the agent has no PATH.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// program is what runs, and as whom.
type program struct {
	path  string // absolute; its last element may be a symbolic link, which many programs look at
	argv0 string
	id    identity
}

// find finds the program of a command and checks that it may run.
func find(cmd failover.Command, p Policy) (program, error) {
	if len(cmd.Args) == 0 || cmd.Args[0] == "" {
		return program{}, errors.New("empty command")
	}
	name := cmd.Args[0]
	for i, a := range cmd.Args {
		if strings.ContainsRune(a, 0) {
			return program{}, fmt.Errorf("%q: argument %d has a NUL octet", name, i)
		}
	}
	id, err := identify(&cmd, p)
	if err != nil {
		return program{}, fmt.Errorf("%s: %w", name, err)
	}
	path, way, err := locate(name, &id)
	if err != nil {
		return program{}, err
	}
	if p.Security && id.uid == 0 {
		if err := secure(path, way); err != nil {
			return program{}, err
		}
	}
	return program{path, name, id}, nil
}

// locate returns the absolute path of a program, and the way to it. A name without a slash is looked for in PATH, past
// files that its user may not execute; any other is relative to /, which is the directory of all commands.
func locate(name string, id *identity) (string, []step, error) {
	if strings.Contains(name, "/") {
		path := name
		if !filepath.IsAbs(path) {
			path = "/" + path
		}
		way, err := executable(path, id)
		return path, way, err
	}
	list := os.Getenv("PATH")
	if list == "" {
		list = defaultPath
	}
	var denied error
	for _, dir := range filepath.SplitList(list) {
		if !filepath.IsAbs(dir) {
			continue // it would depend on where the agent was started
		}
		path := filepath.Join(dir, name)
		way, err := executable(path, id)
		if err == nil {
			return path, way, nil
		}
		if denied == nil && way != nil {
			denied = err
		}
	}
	if denied != nil {
		return "", nil, denied
	}
	return "", nil, fmt.Errorf("%s: not found in PATH (%s): %w", name, list, unix.ENOENT)
}

// executable checks that somebody may execute a file, and returns the way to it if there is one, also with an error.
// Where an access control list has a say it assumes that he may; the kernel decides in any case.
func executable(path string, id *identity) ([]step, error) {
	way, err := walk(path)
	if err != nil {
		return nil, err
	}
	last := &way[len(way)-1]
	if kind := last.kind(); kind != unix.S_IFREG {
		return way, fmt.Errorf("%s: not a file that can be executed, but a %s", path, kindName(kind))
	}
	for i := range way {
		s := &way[i]
		if s.kind() == unix.S_IFLNK || s.permits(id) || s.hasACL() {
			continue
		}
		if s == last {
			return way, fmt.Errorf("%s: not executable by user %s: %w", path, id.name, unix.EACCES)
		}
		return way, fmt.Errorf("%s: user %s may not enter directory %s: %w", path, id.name, s.path, unix.EACCES)
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(last.path, &fs); err == nil && fs.Flags&unix.ST_NOEXEC != 0 {
		return way, fmt.Errorf("%s: not executable: its file system is mounted noexec: %w", path, unix.EACCES)
	}
	return way, nil
}

// interpretable checks that the interpreter which a script names in its first line is there.
func (p *program) interpretable() error {
	line := firstLine(p.path)
	if !bytes.HasPrefix(line, []byte("#!")) {
		return nil
	}
	words := bytes.FieldsFunc(line[2:], func(r rune) bool { return r == ' ' || r == '\t' })
	if len(words) == 0 {
		return fmt.Errorf("%s: no interpreter after #! in its first line", p.path)
	}
	name := string(words[0])
	if _, _, err := locate("/"+strings.TrimPrefix(name, "/"), &p.id); err != nil {
		return fmt.Errorf("%s: interpreter %q in its first line: %w", p.path, name, reason(err))
	}
	return nil
}

// reason returns the error number that an error stands for, or the error itself.
func reason(err error) error {
	var number unix.Errno
	if errors.As(err, &number) {
		return number
	}
	return err
}

// firstLine returns the beginning of a file up to its first newline, as much as the kernel looks at; nil if it cannot
// be read.
func firstLine(path string) []byte {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	buf := make([]byte, 256)
	n, err := unix.Read(fd, buf)
	if err != nil {
		return nil
	}
	line, _, _ := bytes.Cut(buf[:n], []byte("\n"))
	return line
}
