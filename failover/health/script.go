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
//
// Runs begin at next, which lies on a grid of intervals so that scripts which were spread stay spread after the whole
// machine stood still. A run that takes longer than the interval delays the next one; there are never two at once. At
// its timeout a run has failed, whether or not it can be killed, and while it cannot, each run that cannot begin has
// failed, too.
type scriptCheck struct {
	name        string
	log         *slog.Logger
	runner      runner
	open        lone[error] // opens the file, if it is that
	out         *outlet
	delay       time.Duration   // before the first run
	predecessor <-chan struct{} // nil, or closed when the script that had this name before has ended
	cancel      context.CancelFunc
	done        chan struct{} // closed when the loop has ended
	changed     chan struct{} // 1: want has changed

	mu   sync.Mutex
	want scriptParams

	p       scriptParams
	tally   tally
	cause   string        // of the verdict
	due     *time.Timer   // at next
	expiry  *time.Timer   // of the current run
	last    *lastLine     // what the current run wrote
	results chan outcome  // of the current run; nil: none runs
	next    time.Time     //
	limit   time.Duration // the timeout of the current run
	begun   time.Time     // when the current run, or the last one, began
	expired time.Time     // when the current run was counted as failed; zero: it was not
	behind  bool          // a run should have begun since
}

func newScriptCheck(s *settings, box *outbox, p scriptParams) *scriptCheck {
	opener, path := s.opener, p.Open
	return &scriptCheck{
		name: p.Name, log: s.log.With("track_script", p.Name), runner: s.runner,
		open: lone[error]{call: func() error { return opener(path) }},
		out:  box.outlet(failover.TrackScript, p.Name), done: make(chan struct{}), changed: make(chan struct{}, 1),
		want: p, tally: tally{rise: p.Rise, fall: p.Fall, known: p.InitFail},
	}
}

// change makes p what counts from now on and returns true, unless p checks something else: then it changes nothing.
func (s *scriptCheck) change(p scriptParams) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.want.Open != p.Open || !sameCommand(s.want.Command, p.Command) {
		return false
	}
	if s.want.same(&p) {
		return true
	}
	s.want = p
	select {
	case s.changed <- struct{}{}:
	default:
	}
	return true
}

// end kills what runs and ends the loop, and does not wait for it. Nothing is reported any more.
func (s *scriptCheck) end() {
	s.out.close()
	s.cancel()
}

// loop checks until ctx ends, and returns when no run is left.
func (s *scriptCheck) loop(ctx context.Context) {
	defer close(s.done)
	s.p = s.wanted()
	if s.p.InitFail {
		s.cause = "no success yet"
		s.out.post(false, 0, s.cause, s.cause+" (init_fail)")
	}
	if !s.await(ctx) {
		return
	}
	s.next = time.Now().Add(s.delay)
	s.due, s.expiry = time.NewTimer(s.delay), time.NewTimer(0)
	s.expiry.Stop()
	defer s.due.Stop()
	defer s.expiry.Stop()
	for {
		select {
		case <-ctx.Done():
			if s.results != nil {
				<-s.results // it is being killed
			}
			return
		case <-s.changed:
			s.adopt()
		case <-s.due.C:
			s.isDue(ctx)
		case <-s.expiry.C:
			s.isOver(ctx)
		case o := <-s.results:
			s.ended(ctx, o)
		}
	}
}

func (s *scriptCheck) wanted() scriptParams {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.want
}

// await gives the script that had this name before the time to be killed: both could be after the same lock or port.
// One that cannot be killed must not keep the new one from being checked, though.
func (s *scriptCheck) await(ctx context.Context) bool {
	if s.predecessor == nil {
		return true
	}
	t := time.NewTimer(killGrace + time.Second)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-s.predecessor:
	case <-t.C:
	}
	return true
}

// adopt takes over changed parameters. A run goes on with the timeout that it began with.
func (s *scriptCheck) adopt() {
	s.p = s.wanted()
	s.tally.rise, s.tally.fall = s.p.Rise, s.p.Fall
	if !s.begun.IsZero() {
		since := time.Since(s.begun)
		s.next = s.begun.Add(since.Truncate(s.p.Interval) + s.p.Interval)
	}
	s.due.Reset(time.Until(s.next))
}

// isDue begins a run, or takes note that it could not begin.
func (s *scriptCheck) isDue(ctx context.Context) {
	if s.results == nil {
		s.begin(ctx)
		return
	}
	if !s.expired.IsZero() && time.Since(s.expired) >= s.p.Interval/2 {
		s.count(s.stuck()) // it cannot be killed, or not yet
	}
	s.behind = true
	s.advance()
}

// isOver counts the current run as failed, unless its result is there already: then it was this process that was late.
func (s *scriptCheck) isOver(ctx context.Context) {
	select {
	case o := <-s.results:
		s.ended(ctx, o)
	default:
		s.expired = time.Now()
		s.count(s.stuck())
	}
}

// advance sets next to the first point of the grid that leaves the machine at least half an interval.
func (s *scriptCheck) advance() {
	if left := time.Until(s.next); left < s.p.Interval/2 {
		points := (s.p.Interval/2 - left + s.p.Interval - 1) / s.p.Interval
		s.next = s.next.Add(points * s.p.Interval)
	}
	s.due.Reset(time.Until(s.next))
}

// begin starts a run.
func (s *scriptCheck) begin(ctx context.Context) {
	s.begun, s.expired, s.behind, s.limit = time.Now(), time.Time{}, false, s.p.Timeout
	s.results, s.last = make(chan outcome, 1), new(lastLine)
	s.expiry.Reset(s.limit)
	s.advance()
	go func(p scriptParams, last *lastLine, results chan<- outcome) {
		results <- s.check(ctx, &p, last)
	}(s.p, s.last, s.results)
}

// ended takes the result of the current run.
func (s *scriptCheck) ended(ctx context.Context, o outcome) {
	s.results = nil
	s.expiry.Stop()
	if ctx.Err() != nil {
		return // it was killed because nobody wants to know any more
	}
	if s.expired.IsZero() {
		s.count(o)
	}
	if s.behind {
		s.begin(ctx)
	}
}

// count adds a result to the verdict and reports what has changed by it.
func (s *scriptCheck) count(o outcome) {
	changed := s.tally.add(o.ok)
	if s.log.Enabled(context.Background(), slog.LevelDebug) {
		s.log.Debug("check result", "ok", o.ok, "reason", o.reason(s.tally.row), "verdict", s.tally.ok, "took", time.Since(s.begun).String())
	}
	if !changed && (o.ok || s.tally.ok || o.cause == s.cause) {
		return
	}
	s.cause = o.cause
	row := 1 // another cause begins anew, although the verdict stays
	if changed {
		row = s.tally.row
	}
	s.out.post(s.tally.ok, 0, o.cause, o.reason(row))
}

// stuck is the outcome of a run that goes on after its timeout.
func (s *scriptCheck) stuck() outcome {
	o := timedOut(s.limit)
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
