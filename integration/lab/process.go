package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// Command says what to run on a node.
type Command struct {
	// Name names the process in the lab and its log file; empty: the base name of Argv[0].
	Name string
	// Argv is the program, looked up in PATH unless it has a slash, and its arguments.
	Argv []string
	// Env are KEY=VALUE pairs on top of this process's environment.
	Env []string
	// Dir is the working directory; empty: the lab's private directory.
	Dir string
	// Files are passed on as descriptors 3, 4 and so on.
	Files []*os.File
	// Namespaces are CLONE_NEW flags: namespaces of its own, besides the node's network.
	Namespaces uintptr
}

// Process is a program that runs on a node, in a process group of its own, and dies with this process. Its output goes
// straight to a file, so that watching costs it nothing. Methods may be called from several goroutines.
type Process struct {
	// constant after Start
	node    *Node
	name    string
	argv    []string
	log     string
	pid     int
	started time.Time

	cmd   *exec.Cmd
	ended chan struct{} // closed when it has been reaped
	state *os.ProcessState
}

// Start runs a program on the node.
func (n *Node) Start(c Command) (*Process, error) {
	if len(c.Argv) == 0 {
		return nil, fmt.Errorf("%s: start process: empty command", n)
	}
	if c.Name == "" {
		c.Name = filepath.Base(c.Argv[0])
	}
	if c.Dir == "" {
		c.Dir = n.lab.dir
	}
	logFile, err := os.CreateTemp(n.lab.dir, n.name+"-"+filepath.Base(c.Name)+"-*.log")
	if err != nil {
		return nil, fmt.Errorf("%s: start %s: %w", n, c.Name, err)
	}
	defer logFile.Close()
	cmd := exec.Command(c.Argv[0], c.Argv[1:]...)
	cmd.Env, cmd.Dir, cmd.ExtraFiles = append(os.Environ(), c.Env...), c.Dir, c.Files
	cmd.Stdout, cmd.Stderr = logFile, logFile
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Cloneflags: c.Namespaces}
	p := &Process{
		node: n, name: c.Name, argv: slices.Clone(c.Argv), log: logFile.Name(), cmd: cmd, started: time.Now(),
		ended: make(chan struct{}),
	}
	if err := n.onThread(cmd.Start); err != nil {
		return nil, fmt.Errorf("%s: start %s: %w", n, c.Name, err)
	}
	p.pid = cmd.Process.Pid
	n.lab.mu.Lock()
	n.lab.procs = append(n.lab.procs, p)
	n.lab.mu.Unlock()
	go func() {
		_ = cmd.Wait() // the state says more than the error
		p.state = cmd.ProcessState
		close(p.ended)
	}()
	return p, nil
}

// Name returns the name that the process has in the lab.
func (p *Process) Name() string { return p.node.name + "/" + p.name }

// Argv returns the command line.
func (p *Process) Argv() []string { return p.argv }

// PID returns the process id, which is also that of its group.
func (p *Process) PID() int { return p.pid }

// Node returns where it runs.
func (p *Process) Node() *Node { return p.node }

// LogFile returns the path of the file with its standard output and error.
func (p *Process) LogFile() string { return p.log }

// Log returns everything it has written so far.
func (p *Process) Log() string {
	b, _ := os.ReadFile(p.log) // a log that is gone reads as empty
	return string(b)
}

// Tail returns the last n octets of its log.
func (p *Process) Tail(n int64) string {
	f, err := os.Open(p.log)
	if err != nil {
		return ""
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil && st.Size() > n {
		if _, err := f.Seek(-n, io.SeekEnd); err != nil {
			return ""
		}
	}
	b, _ := io.ReadAll(f)
	return string(b)
}

// Running reports whether it has not been reaped yet.
func (p *Process) Running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// ErrTimeout reports that something did not happen in time.
var ErrTimeout = errors.New("timed out")

// Wait waits until the process has ended and returns how. The error wraps ErrTimeout when it is still running after d.
func (p *Process) Wait(d time.Duration) (*os.ProcessState, error) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-p.ended:
		return p.state, nil
	case <-t.C:
		if !p.Running() { // both at once
			return p.state, nil
		}
		return nil, fmt.Errorf("%s: wait for its end: %w after %v", p.Name(), ErrTimeout, d)
	}
}

// Signal sends a signal to the process alone. A process that has ended is no error.
func (p *Process) Signal(s syscall.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("%s: send %v: %w", p.Name(), s, err)
	}
	return nil
}

// Stop ends it in order: SIGTERM, and the whole family is killed when it still runs after d. It returns how it ended;
// the error wraps ErrTimeout when it had to be killed.
func (p *Process) Stop(d time.Duration) (*os.ProcessState, error) {
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return nil, err
	}
	state, err := p.Wait(d)
	if err != nil {
		return nil, errors.Join(err, p.Kill())
	}
	return state, nil
}

// Kill sends SIGKILL to the process, its group and every descendant that has left the group, as close together as this
// machine can, and waits until all of them are gone.
func (p *Process) Kill() error {
	all, err := p.each(syscall.SIGKILL)
	if err != nil {
		return err
	}
	if _, err := p.Wait(5 * time.Second); err != nil {
		return err
	}
	return WaitFor(context.Background(), 5*time.Second, "the end of "+p.Name()+"'s family", func() bool { return gone(all) })
}

// Pause stops the process, its group and its descendants, as a hang or a paused machine would; Resume continues them.
func (p *Process) Pause() error {
	_, err := p.each(syscall.SIGSTOP)
	return err
}

// Resume ends a Pause.
func (p *Process) Resume() error {
	_, err := p.each(syscall.SIGCONT)
	return err
}

// each signals the group and the descendants outside of it, and returns who that was. The family is listed first, so that
// nothing but system calls lies between the first signal and the last.
func (p *Process) each(s syscall.Signal) (all []int, err error) {
	if !p.Running() {
		return nil, nil
	}
	group, outside, err := family(p.pid)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, pid := range append([]int{-p.pid}, outside...) {
		if err := syscall.Kill(pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
			errs = append(errs, fmt.Errorf("%s: send %v to %d: %w", p.Name(), s, pid, err))
		}
	}
	return append(group, outside...), errors.Join(errs...)
}

// end is Kill for Lab.Close: nothing to do when it has ended.
func (p *Process) end() error {
	if !p.Running() {
		return nil
	}
	return p.Kill()
}

// WaitFor polls cond until it returns true, for at most d: every 5 ms, and less often where cond itself takes its time, so
// that whoever waits leaves three quarters of a CPU to what it waits for. The error wraps ErrTimeout and says what was waited
// for, or is ctx's.
func WaitFor(ctx context.Context, d time.Duration, what string, cond func() bool) error {
	deadline := time.Now().Add(d)
	for {
		asked := time.Now()
		if cond() {
			return nil
		}
		now := time.Now()
		if now.After(deadline) {
			return fmt.Errorf("wait for %s: %w after %v", what, ErrTimeout, d)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", what, context.Cause(ctx))
		case <-time.After(min(max(shortestPause, 3*now.Sub(asked)), longestPause)):
		}
	}
}

// Bounds of the pause between two questions of WaitFor.
const (
	shortestPause = 5 * time.Millisecond
	longestPause  = 50 * time.Millisecond
)
