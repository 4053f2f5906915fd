package speaker

import (
	"fmt"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// StartOrdinary starts a process that does not inherit a real-time priority, or a negative nice value, of the agent's
// threads: a speaker with many routes computes for long, and must not do so before the advertisements.
func StartOrdinary(cmd *exec.Cmd) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	attr, err := unix.SchedGetAttr(0, 0)
	above := err == nil && (attr.Policy == unix.SCHED_RR || attr.Policy == unix.SCHED_FIFO || attr.Nice < 0 && mayRestore())
	if !above || attr.Flags&unix.SCHED_FLAG_RESET_ON_FORK != 0 {
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

// startOrdinaries makes ordinary processes of all that the calling thread starts from now on, for good. The thread is for nothing
// else, so that nobody misses the rank that its children do not get.
func startOrdinaries() error {
	attr, err := unix.SchedGetAttr(0, 0)
	if err != nil || attr.Policy != unix.SCHED_RR && attr.Policy != unix.SCHED_FIFO && attr.Nice >= 0 {
		return nil // as in StartOrdinary
	}
	attr.Flags |= unix.SCHED_FLAG_RESET_ON_FORK
	if err := unix.SchedSetAttr(0, attr, 0); err != nil {
		return fmt.Errorf("set SCHED_RESET_ON_FORK: %w", err)
	}
	return nil
}

// mayRestore reports whether this thread can get rid of SCHED_RESET_ON_FORK again (CAP_SYS_NICE). Where it cannot, and has no
// more than a nice value, the process inherits that.
func mayRestore() bool {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	return unix.Capget(&head, &data[0]) == nil && data[0].Effective&(1<<unix.CAP_SYS_NICE) != 0
}
