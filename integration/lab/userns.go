package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// insideEnv marks the copy of this program that EnterUserNamespace started.
const insideEnv = "FAILOVERD_LAB_USERNS"

// EnterUserNamespace gives an ordinary user what a lab needs: it starts this program again, with the same arguments, in
// a user namespace where it is root over networks of its own and nothing else, and waits for it. Call it before
// anything else is done.
//
// In that copy, and in a process that has the privileges anyway, it returns done == false: go on. Otherwise done is
// true: the copy has run, and code is the exit status to leave with. When the kernel, a sysctl or a security module
// forbids user namespaces, the error says which.
func EnterUserNamespace() (code int, done bool, err error) {
	err = Privileged()
	switch {
	case err == nil:
		return 0, false, nil
	case inside():
		// AppArmor can let a user namespace be created and still refuse the capabilities in it.
		return 0, true, obstacle(err, os.ReadFile)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = os.Args
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	// The copy dies with the thread that started it, so this one has to stay.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	if err := cmd.Start(); err != nil {
		return 0, true, obstacle(err, os.ReadFile)
	}
	return relay(cmd, signals)
}

// relay hands signals on to cmd until it ends, and returns its exit status as a shell would.
func relay(cmd *exec.Cmd, signals <-chan os.Signal) (code int, done bool, err error) {
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case s := <-signals:
			// Ctrl-C at a terminal reaches every process of the foreground group: the copy has it already.
			if s != syscall.SIGINT || !foreground() {
				_ = cmd.Process.Signal(s) // fails only when the copy has just ended
			}
		case err := <-ended:
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				return 0, true, fmt.Errorf("run in a user namespace: %w", err)
			}
			if ws := cmd.ProcessState.Sys().(syscall.WaitStatus); ws.Signaled() {
				return 128 + int(ws.Signal()), true, nil
			}
			return cmd.ProcessState.ExitCode(), true, nil
		}
	}
}

// foreground reports whether this process belongs to the foreground group of its terminal.
func foreground() bool {
	tty, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	defer tty.Close()
	group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

// inside reports whether this is the copy that EnterUserNamespace started.
func inside() bool { return os.Getenv(insideEnv) != "" }
