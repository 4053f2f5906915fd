package daemon

import (
	"context"
	"errors"

	"failoverd/failover"
	"failoverd/failover/metrics"
	"failoverd/failover/status"
)

// start opens the status socket and starts the workers, until ctx ends.
func (a *Agent) start(ctx context.Context) error {
	l := a.loop
	cfg := l.core.Config()
	if priority := a.beInTime(&cfg.Process); priority > 0 {
		l.crew.spawn("real time", func() { a.keepRank(ctx, rank{realTime: priority}) })
	}
	l.crew.spawn("thrift", func() { beThrifty(ctx, &cfg.Process) })
	var srv *status.Server
	var err error
	if !l.staged {
		srv, err = status.New(a.socketPath(cfg), a, a.log)
	}
	switch {
	case l.staged:
		l.crew.spawn("status server", func() { a.serveAfter(ctx, a.socketPath(cfg)) })
	case errors.Is(err, status.ErrInUse):
		// Started twice by mistake: it would take the addresses of the one that runs for leftovers.
		return err
	case err != nil:
		// The role matters more than the view on it.
		a.log.Error("no status socket", "err", err)
	default:
		l.crew.spawn("status server", func() {
			if err := srv.Serve(ctx); err != nil {
				a.log.Error("status server ended", "err", err)
			}
		})
	}
	if cfg.Metrics.IsValid() {
		m := metrics.New(cfg.Metrics, a.Snapshot, a.log)
		l.crew.spawn("metrics", func() { m.Serve(ctx) })
	}
	l.crew.spawn("kernel worker", func() {
		a.needed(l.kernel.Run(ctx, func(r failover.AddressReport) { a.deliver(failover.AddressesReported{Report: r}) }))
	})
	l.crew.spawn("kernel watch", func() {
		a.needed(l.kernel.Watch(ctx, func(i failover.Interface) { a.deliver(failover.InterfaceChanged{Interface: i}) }))
	})
	l.crew.spawn("kernel objects", func() {
		a.needed(l.objects.Run(ctx, func(r failover.ObjectReport) { a.deliver(failover.ObjectsReported{Report: r}) }))
	})
	l.crew.spawn("kernel devices", func() {
		a.needed(l.devices.Run(ctx, func(r failover.DevicesReported) { a.deliver(r) }))
	})
	l.crew.spawn("health", func() {
		a.needed(l.health.Run(ctx, func(r failover.TrackerReport) { a.deliver(failover.TrackerReported{Report: r}) }))
	})
	l.crew.spawn("witness", func() { l.witness.Run(ctx, a.offer) })
	if l.heirs.link != nil {
		l.crew.spawn("last will", func() { l.heirs.write(ctx, a.log) })
	}
	l.crew.spawn("drains", func() { l.drains.run(ctx) })
	l.crew.spawn("gobgpd paths", func() { l.left.run(ctx) })
	l.crew.spawn("gobgpd leftovers", func() { l.left.sweep(ctx) })
	l.crew.spawn("takeovers", func() { l.takes.run(ctx) })
	l.told = make(chan struct{})
	go func() {
		defer close(l.told)
		if l.staged { // FIFOs and their readers are the other program's
			select {
			case <-a.turn:
			case <-ctx.Done():
				return
			}
		}
		if err := l.notifier.Run(ctx); err != nil {
			a.log.Error("notifications did not end", "err", err)
		}
	}()
	if !l.staged {
		l.tell(a.started(cfg))
	}
	return nil
}

// needed ends the agent with the error of a worker that it cannot do without.
func (a *Agent) needed(err error) {
	if err == nil {
		return
	}
	select {
	case a.fatal <- err:
	default: // the other one was first
	}
}

// deliver hands a result to the loop; results are never dropped, except when nobody is left to read them.
func (a *Agent) deliver(in failover.Input) {
	select {
	case a.results <- in:
	case <-a.over:
	}
}

// offer hands a heartbeat to the loop, and reports whether there was room: one that comes late is worth nothing.
func (a *Agent) offer(in failover.Input) bool {
	select {
	case a.beats <- in:
		return true
	default:
		return false
	}
}
