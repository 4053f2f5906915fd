package speaker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// goOn is live for a process that the life before of this one has started.
func (s *Supervised) goOn(ctx context.Context, p *Process) error {
	defer s.pipe.close()
	defer s.drop()
	defer p.Log.Close()
	fd, err := unix.PidfdOpen(p.PID, 0)
	if err != nil {
		return errors.Join(fmt.Errorf("go on with process %d: %w", p.PID, err), p.Lease.Close())
	}
	defer unix.Close(fd)
	process, err := os.FindProcess(p.PID)
	if err == nil {
		err = s.pipe.adopt(p.Lease, time.Duration(s.touched.Load()))
	}
	if err != nil {
		return fmt.Errorf("go on with process %d: %w", p.PID, err)
	}
	s.dir = p.Dir
	s.client.SetTarget("unix://" + s.socket())
	s.cfg.Log.Info("BGP speaker process of the life before goes on", "pid", p.PID)
	s.setBirth(time.Now(), p.Version)
	s.pid.Store(int64(p.PID))
	defer s.pid.Store(0)
	words := make(chan string, 1)
	go func() { words <- s.listen(p.Log) }()
	gone := make(chan error, 1)
	go func() {
		waitFor(fd)
		gone <- died(nil, <-words)
	}()
	s.client.Wake()
	return s.attend(ctx, process, gone)
}

// waitFor waits for the end of a process that is no child of this one.
func waitFor(pidfd int) {
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, -1)
		if n > 0 || err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// adopt goes on with the pipe of a process that runs, unless nobody reads it any more: then the process that bears the
// number is another one.
func (p *pipe) adopt(lease *os.File, first time.Duration) error {
	defer lease.Close()
	fd, err := unix.FcntlInt(lease.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("lease pipe: %w", err)
	}
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	if _, err = unix.Poll(poll, 0); err == nil && poll[0].Revents&unix.POLLERR != 0 {
		err = syscall.EPIPE
	}
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("lease pipe: %w", err), unix.Close(fd))
	}
	p.mu.Lock()
	p.fd = fd
	p.mu.Unlock()
	if first != 0 {
		p.write(first)
	}
	return nil
}

// keep has the process that was just started outlive this one.
func (s *Supervised) keep(pid int, stderr io.Reader) {
	if s.cfg.Keeper == nil {
		return
	}
	f, ok := stderr.(*os.File)
	if !ok {
		panic(fmt.Sprintf("speaker: standard error is a %T", stderr)) // os/exec gives a file
	}
	conn, err := f.SyscallConn()
	if err == nil {
		s.pipe.mu.Lock()
		defer s.pipe.mu.Unlock()
		e := conn.Control(func(fd uintptr) { err = s.cfg.Keeper.Keep(pid, s.dir, s.pipe.fd, int(fd)) })
		err = errors.Join(err, e)
	}
	if err != nil {
		s.cfg.Log.Warn("the BGP speaker process does not outlive this one", "err", err)
	}
}

// drop ends what keep has begun.
func (s *Supervised) drop() {
	if s.cfg.Keeper == nil {
		return
	}
	if err := s.cfg.Keeper.Drop(); err != nil {
		s.cfg.Log.Warn("the BGP speaker process is kept for longer than it should", "err", err)
	}
}
