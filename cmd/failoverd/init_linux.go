package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// isInit reports whether this process is the first one of a container.
func isInit() bool { return os.Getpid() == 1 }

// beInit is the life of the first process of a container: it starts the program again as its child, which does the
// work, passes signals on to it, and ends with its exit status.
//
// The first process inherits what scripts leave running when they end, and has to wait for the end of each, or the dead
// fill the table of processes. A process that also starts children for itself, by os/exec, cannot: it would take away
// their exit statuses.
func (p *program) beInit() error {
	self, err := os.Executable()
	if err != nil {
		return &exitError{exitFatal, fmt.Errorf("find the own program: %w", err)}
	}
	signals := make(chan os.Signal, 64)
	signal.Notify(signals, syscall.SIGCHLD, syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP,
		syscall.SIGUSR1, syscall.SIGUSR2, sigJSON)
	child, err := syscall.ForkExec(self, os.Args, &syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{0, 1, 2}})
	if err != nil {
		return &exitError{exitFatal, fmt.Errorf("start the agent: %w", err)}
	}
	for s := range signals {
		if s != syscall.SIGCHLD {
			_ = syscall.Kill(child, s.(syscall.Signal)) // an error says that it has just ended
			continue
		}
		if status, ended := reap(child); ended {
			if status != 0 {
				return &exitError{status: status}
			}
			return nil
		}
	}
	panic("no signals any more")
}

// reap waits for all children that have ended. When one of them is the child, it returns its exit status, as a shell
// counts it.
func reap(child int) (status int, ended bool) {
	for {
		var ws unix.WaitStatus
		pid, err := unix.Wait4(-1, &ws, unix.WNOHANG, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil || pid == 0:
			return status, ended
		case pid == child && ws.Signaled():
			status, ended = 128+int(ws.Signal()), true
		case pid == child:
			status, ended = ws.ExitStatus(), true
		}
	}
}
