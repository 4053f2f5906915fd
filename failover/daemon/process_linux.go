package daemon

import (
	"context"
	"runtime"
	"sync"
	"time"

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
