package lab

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// realtimePriority is low among real-time priorities: above every ordinary process, below kernel threads.
const realtimePriority = 5

// realtime locks the calling goroutine to its thread for good and asks for the round-robin class, so that a witness
// goes on when the machine is starved. Where that is not allowed - in a user namespace - it runs on as it is.
// Goroutine and thread end together.
func realtime() {
	runtime.LockOSThread()
	_ = unix.SchedSetAttr(0, &unix.SchedAttr{
		Size:     unix.SizeofSchedAttr,
		Policy:   unix.SCHED_RR,
		Flags:    unix.SCHED_FLAG_RESET_ON_FORK,
		Priority: realtimePriority,
	}, 0)
}

// witnesses is how many goroutines may want to run at the same time in an ordinary lab.
const witnesses = 16

// makeRoom gives the Go scheduler more processors than the machine has. A goroutine that returns from a system call
// needs one, also when its thread is of real-time class; with as few as there are CPUs, they are all held by ordinary
// threads that a busy machine does not run, and a probe waits for those for most of a second (measured: 741 ms at a load of
// 13 on two CPUs).
func makeRoom() {
	if runtime.GOMAXPROCS(0) < witnesses {
		runtime.GOMAXPROCS(witnesses)
	}
}
