package health

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"failoverd/failover"
)

// prober looks once. It never runs twice at once, and returns soon after the end of its context, which comes with the timeout
// of the check.
type prober func(ctx context.Context) outcome

// stall is how late a failure must come in to be this process's fault: it was not running, so that whatever it did not hear
// in time may have been there.
const stall = 500 * time.Millisecond

// grace is how much longer than its timeout a run may take: it is ended by its context then, and what it says is worth more
// than that it is late.
const grace = 50 * time.Millisecond

// healthCheck runs one health_check time after time. Its loop is the owner of all that stands below the mutex's fields.
//
// While its last result speaks against the verdict it runs at fall_interval. A run that hangs delays the next one, so that
// the timeout is the interval then, if it is longer.
type healthCheck struct {
	seat
	log   *slog.Logger
	probe prober
	quick quick // nil: there is none; otherwise it is what looks, in the goroutine of the sweep, which owns what the loop would
	sweep *sweep

	mu     sync.Mutex
	want   failover.CheckConfig
	vitals vitals

	p       failover.CheckConfig
	rounds  rounds
	window  window
	verdict verdict
	damping damping
	hurdle  *hurdle   // of the current run, or the last one; nil in the sweep, where there are none
	told    news      // what was reported last
	since   time.Time // when the evidence for it began
}

// vitals are what can be seen of a check between its reports.
type vitals struct {
	probes, failed int           // of the window
	rtt, last      time.Duration // the average of the window, and that of the last success
	damped         bool
}

// checkParams completes a configuration that is not what conf makes.
func checkParams(c failover.CheckConfig) failover.CheckConfig {
	c.Interval = max(c.Interval, minInterval)
	if c.FallInterval <= 0 {
		c.FallInterval = c.Interval
	}
	if c.Timeout <= 0 {
		c.Timeout = c.Interval
	}
	c.Rise, c.Fall = max(c.Rise, 1), max(c.Fall, 1)
	return c
}

func newHealthCheck(s *settings, box *outbox, p failover.CheckConfig) *healthCheck {
	h := &healthCheck{
		seat: newSeat(box, failover.Tracker{Kind: failover.TrackCheck, Name: p.Name}),
		log:  s.log.With("health_check", p.Name), quick: s.quick(&p), want: p,
		verdict: verdict{rise: p.Rise, fall: p.Fall},
	}
	if h.quick == nil {
		h.probe = s.prober(&p)
	}
	return h
}

// change implements repeated.
func (h *healthCheck) change(p failover.CheckConfig) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.want.SameProbe(&p) {
		return false
	}
	if !h.want.Equal(&p) {
		h.want = p
		h.nudge()
	}
	return true
}

// loop checks until ctx ends, and returns when no run is left.
func (h *healthCheck) loop(ctx context.Context) {
	defer close(h.done)
	if !h.await(ctx) {
		return
	}
	if h.quick != nil {
		h.sweep.attend(ctx, h)
		return
	}
	h.rounds = rounds{begins: h.begins, count: h.count, stuck: h.stuck}
	h.takeOver()
	h.begin()
	h.rounds.loop(ctx, h.first, h.changed, func() { h.takeOver(); h.rounds.rearm() })
}

// takeOver makes the wanted parameters those that count. A run goes on with the timeout that it began with.
func (h *healthCheck) takeOver() {
	h.mu.Lock()
	h.p = h.want
	h.mu.Unlock()
	h.verdict.rise, h.verdict.fall = h.p.Rise, h.p.Fall
	h.window.set(limitsOf(&h.p))
	h.damping.Damping = h.p.Damping
	h.rounds.interval, h.rounds.timeout = h.interval(), h.p.Timeout+grace
}

// begin makes the initial verdict, if there is to be one.
func (h *healthCheck) begin() {
	if h.p.Initial == failover.InitialUnknown {
		return
	}
	is, now := bad, time.Now()
	if h.p.Initial == failover.InitialUp {
		is = good
	}
	h.verdict.begin(is, now)
	h.damping.take(now, is == good, true)
	h.tell(now, news{cause: "initial " + h.p.Initial.String(), report: failover.TrackerReport{
		OK: is == good, Reason: "initial " + h.p.Initial.String() + ": there is no result yet",
	}})
}

func (h *healthCheck) interval() time.Duration {
	if h.verdict.turning() {
		return h.p.FallInterval
	}
	return h.p.Interval
}

// begins prepares a run. What is late is ended by the context, and counted by rounds.
func (h *healthCheck) begins() func(context.Context) outcome {
	limit, hurdle := h.p.Timeout, newHurdle()
	h.hurdle = hurdle
	return func(ctx context.Context) outcome {
		ctx, cancel := context.WithTimeout(hurdle.begun(ctx), limit)
		defer cancel()
		o := h.probe(ctx)
		deadline, _ := ctx.Deadline()
		if !o.ok && !time.Now().Before(deadline) {
			return hurdle.late(late(o, deadline, limit))
		}
		return o
	}
}

// stuck is the outcome of a run that goes on after its timeout.
func (h *healthCheck) stuck() outcome { return h.hurdle.late(timedOut(h.rounds.limit - grace)) }

// late makes a failure that comes in at its deadline or after the timeout that it is, however the prober puts it.
func late(o outcome, deadline time.Time, limit time.Duration) outcome {
	if !o.ok && !o.blind && !time.Now().Before(deadline) {
		return timedOut(limit)
	}
	return o
}

// count adds a result to the verdict and reports what has changed by it.
func (h *healthCheck) count(o outcome) {
	if !o.ok && !o.blind && h.rounds.late > stall {
		o = outcome{blind: true, cause: stoodStill}
	}
	if o.keep && h.verdict.known {
		h.log.Debug("check has nothing to go by", "reason", o.reason(1))
		return
	}
	o = h.window.add(o)
	changed := h.verdict.add(o.result(), h.rounds.begun)
	turned := h.damping.take(time.Now(), h.verdict.is == good, !h.verdict.turning())
	h.note(&o)
	h.rounds.pace(h.interval())
	if h.log.Enabled(context.Background(), slog.LevelDebug) {
		h.log.Debug("check result", "ok", o.ok, "unknown", o.blind, "reason", o.reason(h.verdict.row), "verdict", h.verdict.is == good,
			"damped", h.damping.active, "rtt", o.rtt.String(), "took", time.Since(h.rounds.begun).String())
	}
	h.report(&o, changed, turned)
}

// note keeps what can be seen of the check.
func (h *healthCheck) note(o *outcome) {
	rtt, failed := h.window.measure()
	h.mu.Lock()
	defer h.mu.Unlock()
	v := &h.vitals
	v.probes, v.failed, v.rtt, v.damped = len(h.window.probes), failed, rtt, h.damping.active
	if o.rtt > 0 {
		v.last = o.rtt
	}
}

// report tells what has changed by a result. changed: the verdict has; turned: damping began or ended.
func (h *healthCheck) report(o *outcome, changed, turned bool) {
	up, n := h.verdict.is == good, h.told
	if o.ok || o.warning != "" { // one that failed may not have come as far as to what is warned of
		n.report.Warning = o.warning
	}
	since := h.verdict.began
	switch {
	case h.damping.active && up && (changed || turned):
		n.cause = "damped"
		n.report.OK, n.report.Unknown = false, false
		n.report.Reason = "damped: " + h.p.Damping.String() + "; the last result: " + o.reason(1)
	case !(h.damping.active && up) && (changed || turned || !h.verdict.turning() && !o.ok && o.cause != h.told.cause):
		row := 1 // another cause begins anew, although the verdict stays
		if changed {
			row = h.verdict.row
		}
		n.cause = o.cause
		n.report.OK, n.report.Unknown, n.report.Reason = up, h.verdict.is == blind, o.reason(row)
	case n.report.Warning != h.told.report.Warning:
		since = h.since
	default:
		return
	}
	h.tell(since, n)
}

// tell reports what is known since the given time.
func (h *healthCheck) tell(since time.Time, n news) {
	n.report.Since = time.Since(since)
	h.told, h.since = n, since
	h.out.post(n)
}

// describe adds what the check has measured to what is known of it.
func (h *healthCheck) describe(st *failover.CheckStatus) {
	h.mu.Lock()
	v := h.vitals
	h.mu.Unlock()
	if v.probes == 0 {
		return
	}
	st.Probes, st.Damped = v.probes, v.damped
	st.LossPercent = 100 * float64(v.failed) / float64(v.probes)
	st.RTTMS, st.LastRTTMS = milliseconds(v.rtt), milliseconds(v.last)
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
