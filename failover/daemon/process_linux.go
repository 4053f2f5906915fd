package daemon

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"failoverd/failover"
	"failoverd/failover/script"
)

// startupScript runs startup_script and waits for it, as long as its timeout says. What becomes of it is only logged.
func (a *Agent) startupScript(ctx context.Context) {
	cfg := a.loop.core.Config()
	a.lifeScript(ctx, cfg, "startup_script", cfg.StartupScript, cfg.StartupTimeout)
}

// shutdownScript runs shutdown_script when everything else is over.
func (a *Agent) shutdownScript(ctx context.Context) {
	cfg := a.loop.core.Config()
	a.lifeScript(context.WithoutCancel(ctx), cfg, "shutdown_script", cfg.ShutdownScript, cfg.ShutdownTimeout)
}

func (a *Agent) lifeScript(ctx context.Context, cfg *failover.Config, name string, cmd *failover.Command, timeout time.Duration) {
	if cmd == nil {
		return
	}
	r, err := script.Run(ctx, *cmd, scriptPolicy(cfg), script.Exec{
		Timeout: timeout,
		Output:  func(line string) { a.log.Info("script says", "script", name, "line", line) },
	})
	switch {
	case err != nil:
		a.log.Error("script cannot run", "script", name, "err", err)
	case !r.OK():
		a.log.Error("script failed", "script", name, "result", r.String())
	}
}

func scriptPolicy(cfg *failover.Config) script.Policy {
	return script.Policy{Security: cfg.ScriptSecurity, SupplementaryGroups: cfg.SupplementaryGroups}
}

// spareThreads is how many threads the process has from the beginning, which is about twice of what it was seen to need
// with hundreds of checks.
const spareThreads = 24

// makeThreads makes threads that the runtime keeps. It ends the process if it needs one more and cannot have it, so that
// a limit of processes (TasksMax of systemd, pids.max of a container) which scripts have used up would end the agent.
// With threads in reserve it is the scripts that cannot start.
func makeThreads(n int) {
	var all, crew sync.WaitGroup
	all.Add(n)
	for range n {
		crew.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			all.Done()
			all.Wait()
		})
	}
	crew.Wait()
}

// threadGap is how often new threads of the process are made real-time ones, too.
const threadGap = time.Second

// realTime locks the agent's memory and gives its threads a real-time priority, as far as the configuration asks for
// it and the process may. It goes on until ctx ends: threads come, and they do not inherit the priority, so that
// scripts and speakers do not.
func (a *Agent) realTime(ctx context.Context, p *failover.ProcessSettings) {
	if p.NoSwap {
		const onFault = 4 // MCL_ONFAULT: the runtime reserves far more than it uses
		if err := unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | onFault); err != nil {
			a.log.Warn("memory not locked", "err", err)
		}
	}
	if p.RealTime == 0 {
		return
	}
	done := make(map[int]bool)
	for {
		if err := raiseThreads(p.RealTime, done); err != nil {
			a.log.Warn("no real-time priority", "err", err)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(threadGap):
		}
	}
}

// raiseThreads makes every thread of the process SCHED_RR that is not in done, and keeps done current.
func raiseThreads(priority int, done map[int]bool) error {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return fmt.Errorf("list threads: %w", err)
	}
	alive := make(map[int]bool, len(tasks))
	for _, t := range tasks {
		tid, err := strconv.Atoi(t.Name())
		if err != nil {
			continue
		}
		if alive[tid] = true; done[tid] {
			continue
		}
		attr := unix.SchedAttr{
			Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Flags: unix.SCHED_FLAG_RESET_ON_FORK, Priority: uint32(priority),
		}
		if err := unix.SchedSetAttr(tid, &attr, 0); err != nil && err != unix.ESRCH {
			return fmt.Errorf("set SCHED_RR priority %d: %w", priority, err)
		}
		done[tid] = true
	}
	for tid := range done {
		if !alive[tid] {
			delete(done, tid)
		}
	}
	return nil
}
