package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// eventFile is a file of lines that is appended to and never grows beyond a size: then it becomes FILE.1, and another one
// begins. It has whole lines only, whatever happened to who wrote it before.
type eventFile struct {
	most int64 // octets

	path string
	f    *os.File // nil: closed
	size int64
}

// open makes sure that what is at path, which somebody may have moved away or removed, is open.
func (e *eventFile) open(path string) error {
	if e.f != nil && e.path == path && e.current() {
		return nil
	}
	e.close()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("make the directory of the event log: %w", err)
	}
	// A FIFO that nobody reads must not hold anybody up.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0o644)
	if err != nil {
		return fmt.Errorf("open the event log: %w", err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: path, Err: errors.New("is not a regular file")}
	}
	if err != nil {
		_ = f.Close()
		return fmt.Errorf("open the event log: %w", err)
	}
	e.path, e.f, e.size = path, f, info.Size()
	return nil
}

// current reports whether the open file is the one at its path.
func (e *eventFile) current() bool {
	open, err := e.f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(e.path)
	return err == nil && os.SameFile(open, there)
}

// append adds lines, all of them or none.
func (e *eventFile) append(path string, lines []byte) error {
	if err := e.open(path); err != nil {
		return err
	}
	if e.size > 0 && e.size+int64(len(lines)) > e.most {
		if err := os.Rename(path, path+".1"); err != nil {
			return fmt.Errorf("rotate the event log: %w", err)
		}
		if err := e.open(path); err != nil {
			return err
		}
	}
	if e.torn() {
		lines = append([]byte{'\n'}, lines...)
	}
	n, err := e.f.Write(lines)
	if err == nil {
		e.size += int64(n)
		return nil
	}
	if n > 0 && e.f.Truncate(e.size) != nil {
		e.size += int64(n) // what is left of it ends with a line break before the next line
	}
	return fmt.Errorf("write the event log: %w", err)
}

// torn reports whether the last line is not complete.
func (e *eventFile) torn() bool {
	var last [1]byte
	if e.size == 0 {
		return false
	}
	_, err := e.f.ReadAt(last[:], e.size-1)
	return err == nil && last[0] != '\n'
}

func (e *eventFile) close() {
	if e.f != nil {
		_ = e.f.Close()
		e.f = nil
	}
}
