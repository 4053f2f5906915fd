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

// rank is how the threads of the agent are scheduled: SCHED_RR with realTime, 1 to 99, or if that is 0, SCHED_OTHER with a
// nice value.
type rank struct{ realTime, nice int }

// mostUrgent is the nice value of an agent that nobody has given another one. It needs one part of a hundred of a processor,
// but needs it in time: with the nice value of everybody else, its advertisements are late on a busy machine by more than
// Active_Down_Interval at advert_int 10 ms, and the address moves for nothing.
const mostUrgent = -20

// beInTime locks the agent's memory and gives every thread that it has a rank, as far as the configuration asks for it and
// the process may. What was asked for and is refused is logged, and the agent goes on without. It returns the real-time
// priority that they have, or 0.
//
// Threads that come later inherit the rank from the one that makes them, so that none is ever without while the machine is
// starved. Processes would, too: whoever starts one sets SCHED_RESET_ON_FORK on its thread for that moment.
func (a *Agent) beInTime(p *failover.ProcessSettings) (realTime int) {
	if p.NoSwap || p.RealTime > 0 {
		if err := lockMemory(); err != nil {
			a.log.Warn("memory not locked", "err", err)
		}
	}
	if p.RealTime > 0 {
		if os.Getenv("GOGC") == "" {
			debug.SetGCPercent(realTimeGC)
		}
		r := rank{realTime: p.RealTime}
		err := raiseThreads(r)
		if err == nil {
			a.log.Info("real-time priority", "policy", "SCHED_RR", "priority", p.RealTime)
			return p.RealTime
		}
		a.log.Warn("no real-time priority", "err", err)
	}
	a.beNice(p)
	return 0
}

// beNice gives the threads the configured nice value, or the most urgent one if neither the configuration nor who started
// the process (Nice= of systemd) has chosen one. The latter takes CAP_SYS_NICE, with which children do not inherit it.
func (a *Agent) beNice(p *failover.ProcessSettings) {
	r := rank{nice: p.Nice}
	if !p.HasNice {
		old, err := unix.SchedGetAttr(0, 0)
		if err != nil || old.Policy != unix.SCHED_NORMAL || old.Nice != 0 || !capable(unix.CAP_SYS_NICE) {
			return
		}
		r.nice = mostUrgent
	}
	if err := raiseThreads(r); err != nil {
		a.log.Warn("nice value not set", "err", err)
		return
	}
	a.log.Info("nice value", "nice", r.nice)
}

// keepRank looks for threads that did not inherit the rank, until ctx ends: without CAP_SYS_NICE the kernel does not let a
// thread that has started a process get rid of SCHED_RESET_ON_FORK.
func (a *Agent) keepRank(ctx context.Context, r rank) {
	tick := time.NewTicker(threadGap)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := raiseThreads(r); err != nil {
				a.log.Warn("priority of threads not kept", "err", err)
				return
			}
		}
	}
}

// raiseThreads gives every thread of the process a rank. It reads the list until it finds none that had another: what came
// while it was reading is among them, or inherits.
func raiseThreads(r rank) error {
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
			did, err := raiseThread(tid, r)
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

// raiseThread leaves one that has the rank alone, whatever flags it has: it may be about to start a process. One of a class
// that somebody else has given it - batch, idle, real time - gets no nice value.
func raiseThread(tid int, r rank) (raised bool, err error) {
	old, err := unix.SchedGetAttr(tid, 0)
	switch {
	case errors.Is(err, unix.ESRCH), err == nil && r.on(old):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("read scheduling: %w", err)
	}
	attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Flags: old.Flags & unix.SCHED_FLAG_RESET_ON_FORK}
	if r.realTime > 0 {
		attr.Policy, attr.Priority = unix.SCHED_RR, uint32(r.realTime)
	} else {
		attr.Policy, attr.Nice, attr.Runtime = unix.SCHED_NORMAL, int32(r.nice), old.Runtime
	}
	switch err := unix.SchedSetAttr(tid, &attr, 0); {
	case err == nil, errors.Is(err, unix.ESRCH):
		return err == nil, nil
	default:
		return false, r.refused(err)
	}
}

// on reports whether a thread is to stay as it is.
func (r rank) on(a *unix.SchedAttr) bool {
	if r.realTime > 0 {
		return a.Policy == unix.SCHED_RR && a.Priority == uint32(r.realTime)
	}
	return a.Policy != unix.SCHED_NORMAL || a.Nice == int32(r.nice)
}

// refused says what a process would need that the kernel has refused the rank.
func (r rank) refused(err error) error {
	what, limit := fmt.Sprintf("set SCHED_RR priority %d", r.realTime), fmt.Sprintf("LimitRTPRIO=%d", r.realTime)
	if r.realTime == 0 {
		what, limit = fmt.Sprintf("set nice value %d", r.nice), fmt.Sprintf("LimitNICE=%d", r.nice)
	}
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return fmt.Errorf("%s: %w (CAP_SYS_NICE, or a limit of at least that: %s in systemd)", what, err, limit)
	}
	return fmt.Errorf("%s: %w", what, err)
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
