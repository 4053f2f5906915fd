package health

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxAwaited bounds the descriptors that are held for processes. The deaths of others are found by scans.
const maxAwaited = 1024

// obituaries tells of the death of processes at once (pidfd_open, poll).
type obituaries struct {
	file *os.File // an epoll instance, which the runtime waits for: no thread is blocked
	raw  syscall.RawConn

	mu  sync.Mutex
	fds map[int]int // by the number of the process; nil: closed
}

func openObituaries() (*obituaries, error) {
	self, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		return nil, fmt.Errorf("pidfd_open: %w", err)
	}
	_ = unix.Close(self) // it was for finding out whether the kernel has it
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // that is what makes the runtime poll it
		return nil, errors.Join(fmt.Errorf("set non-blocking: %w", err), unix.Close(fd))
	}
	f := os.NewFile(uintptr(fd), "epoll")
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open epoll: %w", err), f.Close())
	}
	return &obituaries{file: f, raw: raw, fds: make(map[int]int)}, nil
}

// await asks for the death of a process to be told and reports whether it will be.
func (o *obituaries) await(pid int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.fds == nil || len(o.fds) >= maxAwaited {
		return false
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return false
	}
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT, Fd: int32(pid)}
	if e := o.raw.Control(func(ep uintptr) { err = unix.EpollCtl(int(ep), unix.EPOLL_CTL_ADD, fd, &event) }); e != nil || err != nil {
		_ = unix.Close(fd)
		return false
	}
	if old, ok := o.fds[pid]; ok {
		_ = unix.Close(old)
	}
	o.fds[pid] = fd
	return true
}

// ignore is for a process that is dead, or does not count any more.
func (o *obituaries) ignore(pid int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if fd, ok := o.fds[pid]; ok {
		_ = unix.Close(fd) // epoll forgets it, too
		delete(o.fds, pid)
	}
}

// loop tells of deaths until close.
func (o *obituaries) loop(deaths *pokes) {
	events := make([]unix.EpollEvent, 64)
	_ = o.raw.Read(func(ep uintptr) bool { // the error says that it was closed
		for {
			n, err := unix.EpollWait(int(ep), events, 0)
			if errors.Is(err, unix.EINTR) {
				continue
			}
			if err != nil || n == 0 {
				return false
			}
			for _, e := range events[:n] {
				deaths.add(int(e.Fd))
			}
		}
	})
}

// close ends the loop.
func (o *obituaries) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, fd := range o.fds {
		_ = unix.Close(fd)
	}
	o.fds = nil
	_ = o.file.Close()
}
