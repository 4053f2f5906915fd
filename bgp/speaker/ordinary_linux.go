package speaker

import (
	"fmt"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// StartOrdinary starts a process that does not inherit a real-time priority of the agent's threads: a speaker with many
// routes computes for long, and must not do so before the advertisements.
func StartOrdinary(cmd *exec.Cmd) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	attr, err := unix.SchedGetAttr(0, 0)
	if err != nil || attr.Policy != unix.SCHED_RR && attr.Policy != unix.SCHED_FIFO || attr.Flags&unix.SCHED_FLAG_RESET_ON_FORK != 0 {
		return cmd.Start() // who may not read it - in some sandboxes - has not got one either
	}
	old := *attr
	attr.Flags |= unix.SCHED_FLAG_RESET_ON_FORK
	if err := unix.SchedSetAttr(0, attr, 0); err != nil {
		return fmt.Errorf("set SCHED_RESET_ON_FORK: %w", err)
	}
	defer func() { _ = unix.SchedSetAttr(0, &old, 0) }() // without CAP_SYS_NICE the flag stays
	return cmd.Start()
}
