package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"failoverd/failover"
)

// threadGap is how often it is looked for threads of the process that are not real-time ones.
const threadGap = time.Second

// realTimeGC is the percentage by which the heap grows between two collections of an agent with vrrp_rt_priority. A
// collection costs time, and the memory of an agent is small; GOGC has precedence.
const realTimeGC = 400

// beRealTime locks the agent's memory and gives every thread that it has a real-time priority, as far as the configuration
// asks for it and the process may. What is refused is logged, and the agent goes on without. It returns the priority that
// they have, or 0.
//
// Threads that come later inherit the priority from the one that makes them, so that none is ever without while the
// machine is starved. Processes would, too: whoever starts one sets SCHED_RESET_ON_FORK on its thread for that moment.
func (a *Agent) beRealTime(p *failover.ProcessSettings) (priority int) {
	if p.NoSwap || p.RealTime > 0 {
		if err := lockMemory(); err != nil {
			a.log.Warn("memory not locked", "err", err)
		}
	}
	if p.RealTime == 0 {
		return 0
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(realTimeGC)
	}
	if err := raiseThreads(p.RealTime); err != nil {
		a.log.Warn("no real-time priority", "err", err)
		return 0
	}
	a.log.Info("real-time priority", "policy", "SCHED_RR", "priority", p.RealTime)
	return p.RealTime
}

// keepRealTime looks for threads that did not inherit the priority, until ctx ends: without CAP_SYS_NICE the kernel does not
// let a thread that has started a process get rid of SCHED_RESET_ON_FORK.
func (a *Agent) keepRealTime(ctx context.Context, priority int) {
	tick := time.NewTicker(threadGap)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := raiseThreads(priority); err != nil {
				a.log.Warn("real-time priority not kept", "err", err)
				return
			}
		}
	}
}

// raiseThreads makes every thread of the process SCHED_RR. It reads the list until it finds none that was not: what came
// while it was reading is among them, or inherits.
func raiseThreads(priority int) error {
	for {
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return fmt.Errorf("list threads: %w", err)
		}
		raised := false
		for _, t := range tasks {
			tid, err := strconv.Atoi(t.Name())
			if err != nil {
				continue
			}
			did, err := raiseThread(tid, priority)
			if err != nil {
				return err
			}
			raised = raised || did
		}
		if !raised {
			return nil
		}
	}
}

// raiseThread leaves one that has the priority alone, whatever flags it has: it may be about to start a process.
func raiseThread(tid, priority int) (raised bool, err error) {
	old, err := unix.SchedGetAttr(tid, 0)
	switch {
	case errors.Is(err, unix.ESRCH), err == nil && old.Policy == unix.SCHED_RR && old.Priority == uint32(priority):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("read scheduling: %w", err)
	}
	attr := unix.SchedAttr{
		Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: uint32(priority), Flags: old.Flags & unix.SCHED_FLAG_RESET_ON_FORK,
	}
	switch err := unix.SchedSetAttr(tid, &attr, 0); {
	case err == nil, errors.Is(err, unix.ESRCH):
		return err == nil, nil
	case errors.Is(err, unix.EPERM):
		return false, fmt.Errorf("set SCHED_RR priority %d: %w (CAP_SYS_NICE, or a limit of at least that: LimitRTPRIO=%d in systemd)", priority, err, priority)
	default:
		return false, fmt.Errorf("set SCHED_RR priority %d: %w", priority, err)
	}
}

// lockMemory keeps the memory of the process from being swapped out, also what it gets later. Pages are locked when they
// are first used: the runtime reserves far more than it uses.
func lockMemory() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil {
		return fmt.Errorf("read RLIMIT_MEMLOCK: %w", err)
	}
	if err := mayLock(limit.Cur, capable(unix.CAP_IPC_LOCK)); err != nil {
		return err
	}
	if err := unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT); err != nil {
		return fmt.Errorf("mlockall: %w", err)
	}
	return nil
}

// mayLock refuses to lock memory under a limit in octets. The kernel counts what is reserved, not what is used, and would
// later refuse the runtime more memory, which ends the process.
func mayLock(limit uint64, capable bool) error {
	if capable || limit == unix.RLIM_INFINITY {
		return nil
	}
	return fmt.Errorf("RLIMIT_MEMLOCK is %d octets: %w (CAP_IPC_LOCK, or no limit: LimitMEMLOCK=infinity in systemd)", limit, unix.EPERM)
}

// capable reports whether the calling thread has a capability (CAP_...).
func capable(bit uint) bool {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&head, &data[0]) != nil {
		return false
	}
	return data[bit/32].Effective&(1<<(bit%32)) != 0
}
