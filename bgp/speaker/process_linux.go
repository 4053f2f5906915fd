package speaker

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// boottime is the time since the machine started, including any suspension: a lease runs out in sleep too.
func boottime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		panic(fmt.Sprintf("read the boot clock: %v", err)) // the kernel has it since 2.6.39
	}
	return time.Duration(t.Nano())
}

// dropPrivileges takes every capability from the calling thread, for good and for whatever it executes, except the one
// to listen on a port below 1024 when bind asks for it. The caller has locked its goroutine to the thread and never
// unlocks it. What cannot be dropped is in the error; the rest is dropped in any case.
//
// The thread itself keeps CAP_IPC_LOCK, as long as what it executes cannot have it. It is part of an agent whose memory may
// be locked, with a limit that the agent is above; when the runtime needs memory on this thread and does not get it, the
// agent ends.
//
// The order matters: the bounding set needs CAP_SETPCAP, which goes with the last step.
func dropPrivileges(bind bool) error {
	var errs []error
	note := func(what string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", what, err))
		}
	}
	note("set no_new_privs", unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
	note("clear ambient capabilities", unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0))
	bounded := true
	for c := uintptr(0); ; c++ {
		if bind && c == unix.CAP_NET_BIND_SERVICE {
			continue
		}
		err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0)
		if errors.Is(err, unix.EINVAL) { // past the last capability that this kernel has
			break
		}
		if err != nil {
			note("drop the capability bounding set", err)
			bounded = false
			break
		}
	}
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var now [2]unix.CapUserData
	if err := unix.Capget(&hdr, &now[0]); err != nil {
		return errors.Join(append(errs, fmt.Errorf("read capabilities: %w", err))...)
	}
	var keep [2]unix.CapUserData
	if bind {
		const bit = 1 << unix.CAP_NET_BIND_SERVICE
		keep[0].Permitted = now[0].Permitted & bit
		keep[0].Effective, keep[0].Inheritable = keep[0].Permitted, keep[0].Permitted
	}
	if bounded || os.Geteuid() != 0 { // only root's programs have capabilities that are neither inheritable nor ambient
		const bit = 1 << unix.CAP_IPC_LOCK
		keep[0].Permitted |= now[0].Permitted & bit
		keep[0].Effective |= now[0].Effective & bit
	}
	note("drop capabilities", unix.Capset(&hdr, &keep[0]))
	if keep[0].Inheritable != 0 {
		// Without user id 0 only an ambient capability survives the execution of an ordinary file.
		note("keep CAP_NET_BIND_SERVICE",
			unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, unix.CAP_NET_BIND_SERVICE, 0, 0))
	}
	return errors.Join(errs...)
}

// resident returns how much memory a process has in use, in octets; 0: not known.
func resident(pid int) uint64 {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		return 0 // it has just ended
	}
	fields := strings.Fields(string(data))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseUint(fields[1], 10, 64)
	return pages * uint64(os.Getpagesize())
}
