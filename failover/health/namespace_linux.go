package health

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// namespaces is where ip netns keeps the names of network namespaces.
const namespaces = "/run/netns"

// namespaceError says that a network namespace cannot be entered.
type namespaceError struct {
	name string
	err  error
}

// Error names the namespace and the reason.
func (e *namespaceError) Error() string {
	if errors.Is(e.err, unix.ENOENT) {
		return "network namespace " + e.name + " does not exist"
	}
	return "network namespace " + e.name + ": " + plain(e.err)
}

// Unwrap returns the reason.
func (e *namespaceError) Unwrap() error { return e.err }

// within calls f in a network namespace. What f opens stays there; f must neither block nor start a goroutine.
//
// It enters each time anew, and nothing of ours stays inside: one that is made anew under its name is the one that counts,
// and one that is removed is not kept alive by its own health check. A thread is in a namespace, not a goroutine, so f runs
// in a goroutine that has its thread for itself; should the thread not find back, it ends with the goroutine.
func within(name string, f func() error) error {
	file, err := unix.Open(filepath.Join(namespaces, name), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &namespaceError{name, err}
	}
	defer unix.Close(file)
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		home, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			runtime.UnlockOSThread()
			result <- fmt.Errorf("own network namespace: %w", err)
			return
		}
		defer unix.Close(home)
		if err := unix.Setns(file, unix.CLONE_NEWNET); err != nil {
			runtime.UnlockOSThread()
			result <- &namespaceError{name, os.NewSyscallError("setns", err)}
			return
		}
		err = f()
		if unix.Setns(home, unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
		result <- err
	}()
	return <-result
}
