package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// pidFile holds a process number for scripts. That the process lives is not told by the number, which another process
// may have got by now, but by a lock that ends with its owner.
type pidFile struct {
	f    *os.File
	path string
}

// createPIDFile writes mainPID to path, and creates its directory if need be. A file of a dead
// process is taken over; one of a live agent is an error that names it.
func createPIDFile(path string) (*pidFile, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("pid file: %w", err)
	}
	// The owner of the lock may remove the file between open and lock; then there is another to open.
	for range 10 {
		p, err := tryPIDFile(path)
		if p != nil || err != nil {
			return p, err
		}
	}
	return nil, fmt.Errorf("pid file %s: others keep replacing it", path)
}

// tryPIDFile returns nothing at all when the file was replaced meanwhile.
func tryPIDFile(path string) (*pidFile, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0o644)
	if err != nil {
		return nil, fmt.Errorf("pid file: %w", err)
	}
	p := &pidFile{f, path}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("is not a regular file")
	}
	if err == nil {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = fmt.Errorf("another failoverd is running, %s", p.owner())
	}
	if err == nil && !p.current() {
		f.Close()
		return nil, nil
	}
	if err == nil {
		err = p.write()
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("pid file %s: %w", path, err)
	}
	return p, nil
}

// mainPID is the process that signals are to be sent to: this one, or its supervisor.
var mainPID = os.Getpid()

func (p *pidFile) write() error {
	if err := p.f.Truncate(0); err != nil {
		return err
	}
	_, err := p.f.WriteAt([]byte(strconv.Itoa(mainPID)+"\n"), 0)
	return err
}

// owner says who holds the lock, as far as the file tells.
func (p *pidFile) owner() string {
	b, _ := io.ReadAll(io.LimitReader(p.f, 32))
	if pid, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil {
		return fmt.Sprintf("pid %d", pid)
	}
	return "its pid is not known"
}

// current reports whether the path still leads to the open file.
func (p *pidFile) current() bool {
	mine, err1 := p.f.Stat()
	there, err2 := os.Lstat(p.path)
	return err1 == nil && err2 == nil && os.SameFile(mine, there)
}

// Close removes the file, if it is still ours, and gives up the lock.
func (p *pidFile) Close() {
	if p.current() {
		os.Remove(p.path)
	}
	p.f.Close()
}

// pidFiles are the files of one process.
type pidFiles []*pidFile

// createPIDFiles creates the files named; an empty name is none, and a name given twice is one file.
func createPIDFiles(paths ...string) (pidFiles, error) {
	var files pidFiles
	for i, path := range paths {
		if path == "" || slices.Contains(paths[:i], path) {
			continue
		}
		p, err := createPIDFile(path)
		if err != nil {
			files.Close()
			return nil, err
		}
		files = append(files, p)
	}
	return files, nil
}

// Close removes all of them.
func (files pidFiles) Close() {
	for _, p := range files {
		p.Close()
	}
}

// inheritGap is how often the files of an agent that is about to hand over are tried.
const inheritGap = 20 * time.Millisecond

// lateFiles are those of an agent that takes over from another one.
type lateFiles struct {
	mu     sync.Mutex
	files  pidFiles
	closed bool
}

// inheritPIDFiles takes the files over from an agent that hands over to this one, as soon as that has ended. They hold the
// number of the supervisor, which stays.
func inheritPIDFiles(paths ...string) *lateFiles {
	l := new(lateFiles)
	go func() {
		for !l.try(paths) {
			time.Sleep(inheritGap)
		}
	}()
	return l
}

// try reports whether there is nothing more to do.
func (l *lateFiles) try(paths []string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return true
	}
	files, err := createPIDFiles(paths...)
	l.files = files
	return err == nil
}

// Close removes the files that it has, and gives up the others.
func (l *lateFiles) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.files.Close()
}
