package script

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// group is a running command with its process group.
type group struct {
	pid   int // of the command, and the number of the group
	begun time.Time
	ended chan struct{} // closed when the command has been reaped

	// To be read then.
	state *os.ProcessState
	err   error // nobody can say how the command ended
}

// watch waits for a command whose start began at that time.
func watch(c *exec.Cmd, begun time.Time) *group {
	g := &group{pid: c.Process.Pid, begun: begun, ended: make(chan struct{})}
	go func() {
		defer close(g.ended)
		await(g.pid)
		err := c.Wait()
		if g.state = c.ProcessState; g.state == nil {
			g.err = fmt.Errorf("wait for process %d: %w", g.pid, err)
		}
	}()
	return g
}

// await returns when a child of this process has ended and can be waited for, or at once where the kernel does not tell
// (before Linux 5.3). To wait with wait(2) takes a thread for as long as a command hangs; this takes a descriptor.
func await(pid int) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return
	}
	if err := unix.SetNonblock(fd, true); err != nil { // that is what makes the runtime poll it
		_ = unix.Close(fd)
		return
	}
	f := os.NewFile(uintptr(fd), "process")
	defer f.Close()
	raw, err := f.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Read(func(fd uintptr) bool {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		return n > 0 || err != nil
	})
}

// supervise waits for the end of a command, and brings it about when it is time.
func (g *group) supervise(ctx context.Context, x *Exec) (Result, error) {
	r := Result{Limit: x.Timeout}
	var expiry <-chan time.Time
	if x.Timeout > 0 {
		t := time.NewTimer(x.Timeout)
		defer t.Stop()
		expiry = t.C
	}
	select {
	case <-g.ended:
	case <-expiry:
		r.TimedOut = true
	case <-ctx.Done():
		r.Stopped = true
	case <-x.Kill:
		r.Stopped = true
	}
	if r.TimedOut || r.Stopped {
		r.Killed = g.terminate(x.Grace, x.Kill)
	}
	r.Took = time.Since(g.begun)
	if g.err != nil {
		return r, g.err
	}
	if status, ok := g.state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		r.Signal = status.Signal()
	} else {
		r.Status = g.state.ExitCode()
	}
	return r, nil
}

// Between two looks at a group without its command; nothing tells of its end.
const (
	firstPoll = 5 * time.Millisecond
	lastPoll  = 100 * time.Millisecond
)

// killPatience is how long what was killed may take to disappear. Usually it is at once, but the kernel may hold it.
const killPatience = time.Second

// terminate ends the whole group and returns when the command has been reaped; kill, closed, ends the grace. It reports
// whether that took SIGKILL.
func (g *group) terminate(grace time.Duration, kill <-chan struct{}) (killed bool) {
	if grace == 0 {
		grace = DefaultGrace
	}
	if grace > 0 {
		g.signal(unix.SIGTERM)
		if g.gone(grace, kill) {
			return false
		}
	}
	g.signal(unix.SIGKILL)
	<-g.ended
	g.gone(killPatience, nil)
	return true
}

// gone waits until no process of the group is left, its patience is over or giveUp is closed. The command holds the
// number of the group until it is reaped, and then its other processes do. Numbers are handed out in turn, so that
// between two looks another group cannot get it.
func (g *group) gone(patience time.Duration, giveUp <-chan struct{}) bool {
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case <-g.ended:
	case <-limit.C:
		return false
	case <-giveUp:
		return false
	}
	for pause := firstPoll; ; pause = min(2*pause, lastPoll) {
		if errors.Is(g.signal(0), unix.ESRCH) {
			return true
		}
		if !g.alive() {
			g.reapAdopted()
			return true
		}
		poll := time.NewTimer(pause)
		select {
		case <-poll.C:
		case <-limit.C:
			poll.Stop()
			return false
		case <-giveUp:
			poll.Stop()
			return false
		}
	}
}

// alive reports whether the group has more than zombies. Those stay in it until they are reaped, which the init process
// of a container may never do.
func (g *group) alive() bool {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(stats) == 0 {
		return true // without a process file system
	}
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // it has just gone
		}
		// The name, in parentheses, may have anything in it; state, parent and group follow.
		end := bytes.LastIndexByte(stat, ')')
		fields := bytes.Fields(stat[end+1:])
		if len(fields) > 2 && string(fields[2]) == strconv.Itoa(g.pid) && fields[0][0] != 'Z' && fields[0][0] != 'X' {
			return true
		}
	}
	return false
}

// signal sends a signal to all processes of the group.
func (g *group) signal(s syscall.Signal) error { return unix.Kill(-g.pid, s) }

// reapAdopted reaps processes of the group that have become children of the agent because their parents died and the
// agent is the init process of a container. Others are not touched: package os/exec waits for them.
func (g *group) reapAdopted() {
	for {
		pid, err := unix.Wait4(-g.pid, nil, unix.WNOHANG, nil)
		if pid <= 0 && !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// signalName returns the name of a signal, such as SIGTERM.
func signalName(s syscall.Signal) string {
	if name := unix.SignalName(s); name != "" {
		return name
	}
	return s.String()
}
