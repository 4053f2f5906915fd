package health

import (
	"context"
	"strings"
	"testing"
	"time"

	"failoverd/failover"
)

// watching is a Monitor that runs on this machine.
type watching struct {
	t       *testing.T
	m       *Monitor
	reports chan failover.TrackerReport
	stop    func()
}

// patience is far more than anything here takes.
const patience = 20 * time.Second

// watch runs a monitor until the test ends. prepare may change its settings.
func watch(t *testing.T, cfg *failover.Config, prepare func(*settings)) *watching {
	t.Helper()
	w := &watching{t: t, m: New(Options{}), reports: make(chan failover.TrackerReport, 1000)}
	if prepare != nil {
		prepare(&w.m.settings)
	}
	w.m.Configure(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan error, 1)
	go func() { over <- w.m.Run(ctx, func(r failover.TrackerReport) { w.reports <- r }) }()
	stopped := false
	w.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-over; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(w.stop)
	return w
}

// next returns the next report.
func (w *watching) next() failover.TrackerReport {
	w.t.Helper()
	select {
	case r := <-w.reports:
		return r
	case <-time.After(patience):
		w.t.Fatal("nothing was reported")
		panic("unreachable")
	}
}

// expect wants the next report to say that.
func (w *watching) expect(ok bool, value int, reason string) {
	w.t.Helper()
	if r := w.next(); r.OK != ok || r.Value != value || r.Reason != reason || r.NoNumber != strings.HasSuffix(reason, failover.TakenAsZero) {
		w.t.Fatalf("got %v %d %q, want %v %d %q", r.OK, r.Value, r.Reason, ok, value, reason)
	}
}

// silent wants nothing to have been reported, all that is there having been said.
func (w *watching) silent() {
	w.t.Helper()
	w.stop()
	select {
	case r := <-w.reports:
		w.t.Errorf("reported %+v", r)
	default:
	}
}
