package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// backgroundReady holds the descriptor on which the process in the background says that it works.
const backgroundReady = "FAILOVERD_READY_FD"

// keepalivedPID is where keepalived writes its process number, and where service managers look for it;
// keepalivedVRRPPID is where monitoring looks that signals its VRRP process.
const (
	keepalivedPID     = "/run/keepalived.pid"
	keepalivedVRRPPID = "/run/vrrp.pid"
)

// background is a process that works behind the back of its parent, as keepalived does without -n: the supervisor of an
// agent. The descriptor and its number in the environment stay as they are until the agent works.
type background struct{ ready *os.File }

// startBackground starts this program again in a session of its own, waits until it works, and returns its end or nil.
// In the process started like this, it returns that process's side instead.
func (p *program) startBackground() (*background, error) {
	if s := p.getenv(backgroundReady); s != "" {
		fd, err := strconv.Atoi(s)
		if err == nil {
			_, err = unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		}
		if err != nil {
			return nil, &exitError{exitFatal, fmt.Errorf("%s=%q is not a descriptor: %w", backgroundReady, s, err)}
		}
		return &background{os.NewFile(uintptr(fd), "ready")}, nil
	}
	self, err := os.Executable()
	if err != nil {
		return nil, &exitError{exitFatal, fmt.Errorf("find the own program: %w", err)}
	}
	wait, tell, err := os.Pipe()
	if err != nil {
		return nil, &exitError{exitFatal, fmt.Errorf("start in the background: %w", err)}
	}
	defer wait.Close()
	child := exec.Command(self, os.Args[1:]...)
	child.Env = append(os.Environ(), backgroundReady+"=3")
	child.ExtraFiles = []*os.File{tell}
	child.Stderr = os.Stderr
	child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = child.Start()
	tell.Close()
	if err != nil {
		return nil, &exitError{exitFatal, fmt.Errorf("start in the background: %w", err)}
	}
	if b, _ := io.ReadAll(io.LimitReader(wait, 1)); len(b) == 1 {
		return nil, nil
	}
	return nil, childEnd(child.Wait())
}

// childEnd turns the end of the process in the background into that of this one; it has said why.
func childEnd(err error) error {
	var e *exec.ExitError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &e) && e.Exited():
		return &exitError{status: e.ExitCode()}
	}
	return &exitError{exitFatal, fmt.Errorf("start in the background: %w", err)}
}

// done tells the parent that the agent works, and lets go of what detach does.
func (b *background) done() error {
	if err := detach(); err != nil {
		return err
	}
	_, err := b.ready.Write([]byte{1})
	return errors.Join(err, b.ready.Close(), os.Unsetenv(backgroundReady))
}

// detach lets go of the terminal and of the directory, which may be one that is to be unmounted.
func detach() error {
	if err := os.Chdir("/"); err != nil {
		return fmt.Errorf("leave the directory: %w", err)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	for _, fd := range []int{0, 1, 2} {
		if err := unix.Dup3(int(null.Fd()), fd, 0); err != nil {
			return fmt.Errorf("leave the terminal: %w", err)
		}
	}
	return nil
}

// keepalivedPIDs are the files that a process in the background writes its number to when no others are asked for.
func (f *runFlags) keepalivedPIDs() (err error) {
	if f.pid != "" {
		return nil
	}
	if f.pid, err = ownPID(); err != nil {
		return err
	}
	f.vrrpPID = cmp.Or(f.vrrpPID, keepalivedVRRPPID)
	return nil
}

// ownPID is the file that a process in the background writes its number to when no other is asked for. It is
// keepalived's, so one of a keepalived that runs is respected.
func ownPID() (string, error) {
	b, err := os.ReadFile(keepalivedPID)
	if err != nil {
		return keepalivedPID, nil
	}
	pid := strings.TrimSpace(string(b))
	if name, err := os.ReadFile("/proc/" + pid + "/comm"); err == nil && strings.TrimSpace(string(name)) == "keepalived" {
		return "", fmt.Errorf("keepalived is running, pid %s in %s: end it first, or say -p FILE", pid, keepalivedPID)
	}
	return keepalivedPID, nil
}
