package script

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// shell runs files that the kernel does not know how to execute.
const shell = "/bin/sh"

// A file that somebody still writes to cannot be executed; installing a script takes no longer than busyTries times
// busyPause.
const (
	busyTries = 10
	busyPause = 20 * time.Millisecond
)

// launch starts a program in a process group of its own.
func launch(p program, args []string, out *capture) (*group, error) {
	closeOnExec()
	begun := time.Now()
	credential := p.credential()
	try := func(path string, argv ...string) (*exec.Cmd, error) {
		return start(func() *exec.Cmd { return command(path, argv, credential, out) })
	}
	argv := append([]string{p.argv0}, args...)
	c, err := try(p.path, argv...)
	if errors.Is(err, unix.EPERM) && p.id.is(os.Geteuid(), os.Getegid()) {
		// In some containers groups may not be changed. They mean nothing more to who runs it than to the agent.
		credential = nil
		c, err = try(p.path, argv...)
	}
	if errors.Is(err, unix.ENOEXEC) && !bytes.ContainsRune(firstLine(p.path), 0) {
		c, err = try(shell, append([]string{shell, p.path}, args...)...)
	}
	if err == nil {
		return watch(c, begun), nil
	}
	if broken := p.interpretable(); broken != nil {
		return nil, broken // the kernel says the same of a missing interpreter as of a missing file
	}
	return nil, fmt.Errorf("%s: start as user %s: %w", p.path, p.id.name, reason(err))
}

// credential returns what a command is to become; nil: it stays what the agent is.
func (p *program) credential() *syscall.Credential {
	if os.Geteuid() != 0 {
		return nil // it is the same user
	}
	return &syscall.Credential{Uid: p.id.uid, Gid: p.id.gid, Groups: p.id.groups}
}

func command(path string, argv []string, credential *syscall.Credential, out *capture) *exec.Cmd {
	c := &exec.Cmd{
		Path: path, Args: argv, Dir: "/", Env: environment(os.Environ()),
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true, Credential: credential},
	}
	if out.write != nil {
		c.Stdout, c.Stderr = out.write, out.write
	}
	return c
}

// start makes a command and starts it. For that moment the thread has what the child is to inherit.
func start(build func() *exec.Cmd) (*exec.Cmd, error) {
	runtime.LockOSThread()
	restore, err := resetOnFork()
	if err != nil {
		runtime.UnlockOSThread()
		return nil, err
	}
	var none, old unix.Sigset_t
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &none, &old); err != nil {
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("reset signal mask: %w", err)
	}
	c, err := startPatiently(build)
	restore()
	if unix.PthreadSigmask(unix.SIG_SETMASK, &old, nil) == nil {
		runtime.UnlockOSThread() // otherwise the thread ends with this goroutine
	}
	return c, err
}

func startPatiently(build func() *exec.Cmd) (*exec.Cmd, error) {
	for try := 1; ; try++ {
		c := build()
		err := c.Start()
		if !errors.Is(err, unix.ETXTBSY) || try == busyTries {
			return c, err
		}
		time.Sleep(busyPause)
	}
}

// resetOnFork keeps a real-time priority, or a negative nice value, of this thread from its children: a script that spins
// with one can stop the machine. After restore the threads that this one makes inherit the priority again; the kernel allows that with
// CAP_SYS_NICE only, and without it the flag stays.
func resetOnFork() (restore func(), err error) {
	nothing := func() {}
	attr, err := unix.SchedGetAttr(0, 0)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
		return nothing, nil // some sandboxes; there is nothing to be kept there either
	}
	if err != nil {
		return nil, fmt.Errorf("read scheduling: %w", err)
	}
	plain := attr.Policy == unix.SCHED_NORMAL || attr.Policy == unix.SCHED_BATCH || attr.Policy == unix.SCHED_IDLE
	if plain && (attr.Nice >= 0 || !mayRestore()) || attr.Flags&unix.SCHED_FLAG_RESET_ON_FORK != 0 {
		return nothing, nil
	}
	old := *attr
	attr.Flags |= unix.SCHED_FLAG_RESET_ON_FORK
	if err := unix.SchedSetAttr(0, attr, 0); err != nil {
		return nil, fmt.Errorf("set SCHED_RESET_ON_FORK: %w", err)
	}
	return func() { _ = unix.SchedSetAttr(0, &old, 0) }, nil
}

// mayRestore reports whether this thread can get rid of SCHED_RESET_ON_FORK again (CAP_SYS_NICE). Where it cannot, and has no
// more than a nice value, commands inherit that: threads that the agent makes later would otherwise be without.
func mayRestore() bool {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	return unix.Capget(&head, &data[0]) == nil && data[0].Effective&(1<<unix.CAP_SYS_NICE) != 0
}

// closeOnExec keeps descriptors that the agent was started with - systemd's sockets, whatever a shell had open - from
// commands. All others have the flag from the beginning.
var closeOnExec = sync.OnceFunc(func() {
	if unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC) == nil {
		return
	}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return
	}
	for _, e := range entries {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
})

// ownVariables are the beginnings of variables that are meant for the agent.
var ownVariables = [...]string{"NOTIFY_SOCKET=", "LISTEN_", "WATCHDOG_", "FAILOVERD_"}

// environment returns what commands get of the agent's environment.
func environment(own []string) []string {
	env := make([]string, 0, len(own))
variables:
	for _, v := range own {
		for _, prefix := range ownVariables {
			if strings.HasPrefix(v, prefix) {
				continue variables
			}
		}
		env = append(env, v)
	}
	return env
}
