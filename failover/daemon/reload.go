package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"failoverd/conf"
	"failoverd/failover"
)

// ErrEmpty is why a reload is refused that would leave nothing: far more likely the file is not written yet.
var ErrEmpty = errors.New("the new configuration has no vrrp_instance, anycast_service or witness_server; stop the agent if it is to serve nothing")

// reload is what became of reading the configuration again: a configuration, or the reason why it is refused. The loop
// answers on done, which holds one element.
type reload struct {
	cfg     *failover.Config
	refused error
	done    chan error
}

// loadState is what is known of the configuration file.
type loadState struct {
	at        time.Time
	reloads   uint64
	lastError string
	errorAt   string // FILE:LINE:COLUMN of the first error; empty: none
	failed    *time.Time
}

// Reload reads the configuration again and, if it is good, puts it in force by difference. The warnings, a line each,
// have been logged as well. On an error the running configuration stays as it was, and the failure is shown in status
// until a reload succeeds. ErrStopped means that the agent is on its way out.
func (a *Agent) Reload(ctx context.Context) (warnings []string, err error) {
	select {
	case a.reloading <- struct{}{}:
		defer func() { <-a.reloading }()
	case <-a.over:
		return nil, ErrStopped
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for another reload: %w", ctx.Err())
	}
	a.notify.reloading()
	defer a.notify.reloaded()
	cfg, warnings, err := a.load()
	if running := a.published.Load(); err == nil && running != nil && empties(running.cfg, cfg) {
		err = fmt.Errorf("%s: %w", a.opts.File, ErrEmpty)
	}
	if err == nil {
		// Everything that can fail comes before anything that is live is touched.
		_, err = failover.New(cfg, monotonic())
	}
	if err == nil {
		warnings = append(warnings, a.atNextStart(cfg)...)
	} else {
		a.log.Error("reload refused, the running configuration stays", "err", err)
		cfg = nil
	}
	if err := errors.Join(err, a.hand(ctx, reload{cfg: cfg, refused: err, done: make(chan error, 1)})); err != nil {
		return nil, err
	}
	return warnings, nil
}

// empty reports whether an agent with that configuration would do nothing for anybody. A witness has no routers.
func empty(cfg *failover.Config) bool { return len(cfg.Routers) == 0 && cfg.WitnessServer == nil }

// empties reports whether a reload from old to next would leave nothing of an agent that does something.
func empties(old, next *failover.Config) bool { return empty(next) && !empty(old) }

// atNextStart names the settings that a reload with cfg does not change, a line each.
func (a *Agent) atNextStart(cfg *failover.Config) (lines []string) {
	running := a.published.Load()
	if running == nil || running.cfg.Hash == cfg.Hash {
		return nil
	}
	for _, e := range failover.Plan(running.cfg, cfg) {
		if e.Effect != failover.PlanNextStart {
			continue
		}
		for _, c := range e.Changes {
			c.Means = ""
			lines = append(lines, fmt.Sprintf("%s: warning: %s counts from the next start of the agent", a.opts.File, c.Text()))
		}
	}
	return lines
}

// hand gives r to the loop and waits until what follows from it is in force and in the snapshot.
func (a *Agent) hand(ctx context.Context, r reload) error {
	select {
	case a.reloads <- r:
	case <-a.over:
		return ErrStopped
	case <-ctx.Done():
		return fmt.Errorf("hand the configuration to the loop: %w", ctx.Err())
	}
	select {
	case err := <-r.done:
		return err
	case <-a.over:
		return ErrStopped
	case <-ctx.Done():
		return fmt.Errorf("wait for the configuration to be in force: %w", ctx.Err())
	}
}

// reload puts a validated configuration in force. The answer follows at the end of the batch.
func (l *loop) reload(r reload) {
	if l.stopping {
		r.done <- ErrStopped
		return
	}
	l.answer = r.done
	if r.refused != nil {
		now := time.Now()
		l.loaded.lastError, l.loaded.errorAt, l.loaded.failed = r.refused.Error(), firstError(r.refused), &now
		return
	}
	l.loaded = loadState{at: time.Now(), reloads: l.loaded.reloads + 1}
	changed := r.cfg.Hash != l.core.Config().Hash
	if changed {
		l.agent.opts.Sources.use(r.cfg.Hash)
		l.adopt(r.cfg)
	}
	l.agent.log.Info("reloaded", "config", r.cfg.Hash, "changed", changed)
}

// firstError returns where the first error of a refused configuration is; empty: that is not known.
func firstError(err error) string {
	var e *ConfigError
	if !errors.As(err, &e) {
		return ""
	}
	for _, d := range e.Diagnostics {
		if d.Severity == conf.Error {
			return d.Pos.String()
		}
	}
	return ""
}

// adopt replaces the configuration by difference.
func (l *loop) adopt(cfg *failover.Config) {
	now := l.now()
	if old := l.agent.socketPath(l.core.Config()); old != l.agent.socketPath(cfg) {
		l.agent.log.Warn("status_socket changes at the next start, the old one stays", "socket", old)
	}
	if cfg.Metrics != l.core.Config().Metrics {
		l.agent.log.Warn("metrics_listen changes at the next start, the old one stays")
	}
	if cfg.Process != l.core.Config().Process {
		l.agent.log.Warn("net_namespace, vrrp_priority, vrrp_rt_priority and vrrp_no_swap change at the next start")
	}
	l.kernel.Configure(configured(cfg))
	l.agent.journal.use(l.agent.eventPaths(cfg))
	l.configure(cfg)
	reports := l.speakers.adopt(cfg)
	l.caches.adopt(cfg)
	for _, lc := range l.links.adopt(cfg) {
		l.core.Step(now, lc, &l.fx)
	}
	l.core.Step(now, failover.Reconfigured{Config: cfg}, &l.fx)
	l.setFixtures()
	// A router that is gone has its last word before its socket goes.
	l.sendAdverts()
	for _, lc := range l.links.prune() {
		l.core.Step(now, lc, &l.fx)
	}
	for _, r := range reports {
		l.core.Step(now, r, &l.fx)
	}
	l.touchAt = now // a new speaker announces nothing before it was touched
}
