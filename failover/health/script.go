package health

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"failoverd/failover"
)

// minInterval keeps a configuration that is not what it should be from running a script without a pause.
const minInterval = 10 * time.Millisecond

// scriptParams is what a script check goes by.
type scriptParams struct {
	failover.ScriptConfig
	policy policy
}

func newScriptParams(c *failover.ScriptConfig, p policy) scriptParams {
	s := scriptParams{*c, p}
	s.Interval = max(s.Interval, minInterval)
	if s.Timeout <= 0 {
		s.Timeout = s.Interval
	}
	s.Rise, s.Fall = max(s.Rise, 1), max(s.Fall, 1)
	return s
}

// same reports whether p and o, which check the same thing, do it in the same way.
func (p *scriptParams) same(o *scriptParams) bool {
	return p.policy == o.policy && p.Interval == o.Interval && p.Timeout == o.Timeout && p.Rise == o.Rise &&
		p.Fall == o.Fall && p.InitFail == o.InitFail
}

// scriptCheck runs one script time after time. Its loop is the owner of all that stands below the mutex's fields.
type scriptCheck struct {
	seat
	log    *slog.Logger
	runner runner
	open   lone[error] // opens the file, if it is that

	mu   sync.Mutex
	want scriptParams

	p      scriptParams
	rounds rounds
	tally  tally
	cause  string    // of the verdict
	last   *lastLine // what the current run wrote
}

func newScriptCheck(s *settings, box *outbox, p scriptParams) *scriptCheck {
	opener, path := s.opener, p.Open
	return &scriptCheck{
		seat: newSeat(box, failover.Tracker{Kind: failover.TrackScript, Name: p.Name}),
		log:  s.log.With("track_script", p.Name), runner: s.runner,
		open: lone[error]{call: func() error { return opener(path) }},
		want: p, tally: tally{rise: p.Rise, fall: p.Fall, known: p.InitFail},
	}
}

// change implements repeated.
func (s *scriptCheck) change(p scriptParams) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.want.Open != p.Open || !sameCommand(s.want.Command, p.Command) {
		return false
	}
	if !s.want.same(&p) {
		s.want = p
		s.nudge()
	}
	return true
}

// loop checks until ctx ends, and returns when no run is left.
func (s *scriptCheck) loop(ctx context.Context) {
	defer close(s.done)
	s.p = s.wanted()
	if s.p.InitFail {
		s.cause = "no success yet"
		s.out.post(news{cause: s.cause, report: failover.TrackerReport{Reason: s.cause + " (init_fail)"}})
	}
	if !s.await(ctx) {
		return
	}
	s.rounds = rounds{interval: s.p.Interval, timeout: s.p.Timeout, begins: s.begins, count: s.count, stuck: s.stuck}
	s.rounds.loop(ctx, s.first, s.changed, s.adopt)
}

func (s *scriptCheck) wanted() scriptParams {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.want
}

// adopt takes over changed parameters. A run goes on with the timeout that it began with.
func (s *scriptCheck) adopt() {
	s.p = s.wanted()
	s.tally.rise, s.tally.fall = s.p.Rise, s.p.Fall
	s.rounds.interval, s.rounds.timeout = s.p.Interval, s.p.Timeout
	s.rounds.rearm()
}

// begins prepares a run.
func (s *scriptCheck) begins() func(context.Context) outcome {
	p, last := s.p, new(lastLine)
	s.last = last
	return func(ctx context.Context) outcome { return s.check(ctx, &p, last) }
}

// count adds a result to the verdict and reports what has changed by it.
func (s *scriptCheck) count(o outcome) {
	changed := s.tally.add(o.ok)
	if s.log.Enabled(context.Background(), slog.LevelDebug) {
		s.log.Debug("check result", "ok", o.ok, "reason", o.reason(s.tally.row), "verdict", s.tally.ok, "took", time.Since(s.rounds.begun).String())
	}
	if !changed && (o.ok || s.tally.ok || o.cause == s.cause) {
		return
	}
	s.cause = o.cause
	row := 1 // another cause begins anew, although the verdict stays
	if changed {
		row = s.tally.row
	}
	s.out.post(news{cause: o.cause, report: failover.TrackerReport{OK: s.tally.ok, Reason: o.reason(row)}})
}

// stuck is the outcome of a run that goes on after its timeout.
func (s *scriptCheck) stuck() outcome {
	o := timedOut(s.rounds.limit)
	o.said = s.last.get()
	return o
}

// check runs the script, or opens the file, once.
func (s *scriptCheck) check(ctx context.Context, p *scriptParams, last *lastLine) outcome {
	if p.Open != "" {
		return s.tryOpen(ctx, p)
	}
	o := s.runner(ctx, p.Command, p.policy, p.Timeout, func(line string) {
		last.note(line)
		s.log.Debug("script wrote", "line", line)
	})
	o.said = last.get()
	return o
}

// tryOpen finds out whether the file can be opened. A dead file server can block that for ever; then the attempt goes
// on, there is no second one beside it, and each time that the timeout passes is a failure.
func (s *scriptCheck) tryOpen(ctx context.Context, p *scriptParams) outcome {
	limit := time.NewTimer(p.Timeout)
	defer limit.Stop()
	select {
	case <-ctx.Done():
		return outcome{cause: "stopped"}
	case <-limit.C:
		return timedOut(p.Timeout)
	case err := <-s.open.begin():
		s.open.taken()
		if err != nil {
			return outcome{cause: "cannot be opened: " + plain(err)}
		}
		return outcome{ok: true, cause: "can be opened"}
	}
}

func timedOut(limit time.Duration) outcome {
	return outcome{cause: "timed out after " + limit.String()}
}
