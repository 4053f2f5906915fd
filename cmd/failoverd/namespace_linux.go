package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"failoverd/failover/daemon"
)

// namespaceEntered tells the program that it has been started anew in the network namespace of that name.
const namespaceEntered = "FAILOVERD_NETNS"

// enterNamespace makes the whole process one of a network namespace. A thread can change its own only, and a Go program
// has several before it can do anything, so the program starts itself anew from a thread that has changed. It
// returns if there is nothing to do, or if it failed.
func (p *program) enterNamespace(name string) error {
	entered := p.getenv(namespaceEntered)
	if err := os.Unsetenv(namespaceEntered); err != nil {
		return &exitError{exitFatal, err}
	}
	if name == "" {
		return nil
	}
	file, err := os.Open(daemon.NamespaceFile(name))
	if err != nil {
		status := exitFatal
		switch {
		case errors.Is(err, fs.ErrNotExist):
			status = exitConfig
		case errors.Is(err, fs.ErrPermission):
			status = exitPermission
		}
		return &exitError{status, fmt.Errorf("network namespace %s: %w", name, err)}
	}
	defer file.Close()
	switch inside, err := inNamespace(file); {
	case err != nil:
		return &exitError{exitFatal, fmt.Errorf("network namespace %s: %w", name, err)}
	case inside:
		return nil
	case entered == name: // somebody has replaced it, or the variable does not come from here
		return &exitError{exitFatal, fmt.Errorf("network namespace %s: %s says that this process is in it, and it is not", name, namespaceEntered)}
	}
	runtime.LockOSThread() // for good: the thread is of no use to anybody else if this fails
	if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
		return &exitError{exitPermission, fmt.Errorf("enter network namespace %s: %w", name, err)}
	}
	self, err := os.Executable()
	if err != nil {
		return &exitError{exitFatal, fmt.Errorf("find the own program: %w", err)}
	}
	err = syscall.Exec(self, os.Args, append(os.Environ(), namespaceEntered+"="+name))
	return &exitError{exitFatal, fmt.Errorf("start again in network namespace %s: %w", name, err)}
}

// inNamespace reports whether this process is in the network namespace that a file stands for.
func inNamespace(file *os.File) (bool, error) {
	there, err := file.Stat()
	if err != nil {
		return false, err
	}
	here, err := os.Stat("/proc/self/ns/net")
	if err != nil {
		return false, err
	}
	return os.SameFile(here, there), nil
}

// configuredNamespace returns the net_namespace of a configuration; empty: none, or there is something else to say
// about the configuration first.
func configuredNamespace(o daemon.LoadOptions) string {
	cfg, _, err := daemon.Load(o)
	if err != nil || cfg == nil {
		return ""
	}
	return cfg.Process.NetNamespace
}
