package health

import (
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// pollset tells which of many sockets are ready. It is one of the kernel's (epoll), and waits by that of the runtime, which knows
// nothing of the sockets: to make each of them known there costs a tenth of a probe, and its goroutine has to be woken.
//
// It has one owner; only interrupt may be called by others.
type pollset struct {
	fd    int
	file  *os.File
	raw   syscall.RawConn
	found []unix.EpollEvent // by the last look
	look  func(fd uintptr) bool
}

// sign is what a socket is known by in a pollset: of whom, and of which of his runs. The kernel may speak of a socket that was
// closed as long as a process that is about to become another program has it, too.
type sign struct{ number, run int32 }

func openPollset() (*pollset, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err == nil {
		err = unix.SetNonblock(fd, true) // it never blocks, but package os wants to know
	}
	if err != nil {
		return nil, fmt.Errorf("open epoll: %w", err)
	}
	p := &pollset{fd: fd, file: os.NewFile(uintptr(fd), "health checks")}
	if p.raw, err = p.file.SyscallConn(); err == nil {
		err = p.file.SetDeadline(time.Time{}) // fails if the runtime cannot wait for it
	}
	if err != nil {
		_ = p.file.Close()
		return nil, fmt.Errorf("open epoll: %w", err)
	}
	events := make([]unix.EpollEvent, 64)
	p.look = func(fd uintptr) bool {
		n, err := unix.EpollWait(int(fd), events, 0)
		p.found = events[:max(n, 0)]
		return err == nil && n > 0
	}
	return p, nil
}

// add makes a socket one of them, until it is closed. write: it counts as ready, too, when it can be written to. It is found each time
// that something has changed, and not as long as nothing has.
func (p *pollset) add(fd int, write bool, s sign) error {
	e := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLET, Fd: s.number, Pad: s.run}
	if write {
		e.Events |= unix.EPOLLOUT
	}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, fd, &e))
}

// remove makes a socket none of them.
func (p *pollset) remove(fd int) { _ = unix.EpollCtl(p.fd, unix.EPOLL_CTL_DEL, fd, nil) }

// ready calls f for those that are ready, and waits for nothing. f may close sockets and add others.
func (p *pollset) ready(f func(s sign, seen time.Time)) {
	for p.look(uintptr(p.fd)) {
		p.tell(f)
		if len(p.found) < cap(p.found) {
			return // there was room for more
		}
	}
}

// wait is as ready is, after it has waited for one of them, until a time at the latest, or until interrupt was called after arm.
func (p *pollset) wait(f func(s sign, seen time.Time)) {
	p.found = nil
	_ = p.raw.Read(p.look) // an error says that the time has come
	p.tell(f)
}

// tell calls f for what was found just now.
func (p *pollset) tell(f func(s sign, seen time.Time)) {
	if len(p.found) == 0 {
		return
	}
	seen := time.Now()
	for _, e := range p.found {
		f(sign{e.Fd, e.Pad}, seen)
	}
}

// arm sets the time of the next wait.
func (p *pollset) arm(until time.Time) { _ = p.file.SetReadDeadline(until) } // which cannot fail: see openPollset

// interrupt makes wait return, this one or the next one, unless arm is called before.
func (p *pollset) interrupt() { _ = p.file.SetReadDeadline(longAgo) }

func (p *pollset) close() { _ = p.file.Close() }
