package health

import (
	"context"
	"time"
)

// rounds runs something time after time. Its loop is the owner of all of it.
//
// Runs begin at next, which lies on a grid of intervals so that checks which were spread stay spread after the whole
// machine stood still. A run that takes longer than the interval delays the next one; there are never two at once. At
// its timeout a run has failed, whether or not it can be ended, and while it cannot, each run that cannot begin has
// failed, too.
type rounds struct {
	// interval and timeout are what the next run goes by. Whoever changes them calls rearm.
	interval, timeout time.Duration
	// begins prepares a run; what it returns is called with a context that ends with the loop's, in a goroutine of its own.
	begins func() func(context.Context) outcome
	// launch, unless it is nil, begins a run instead, which ends by ended, at its timeout by itself. Then there is no loop.
	launch func()
	// count takes the result of a run, and what stuck returns for one that goes on after its timeout.
	count func(outcome)
	stuck func() outcome

	due     alarm         // at next
	expiry  *time.Timer   // of the current run
	results chan outcome  // of the current run, unless it was launched
	runs    bool          // there is a current run
	next    time.Time     //
	limit   time.Duration // the timeout of the current run
	begun   time.Time     // when the current run, or the last one, began
	expired time.Time     // when the current run was counted as failed; zero: it was not
	behind  bool          // a run should have begun since
	// late is how much longer than its timeout the run that is being counted seems to have taken. More than a little says
	// that this process did not run meanwhile.
	late time.Duration
}

// alarm makes isDue be called at a time, which may be past: the last one that was set.
type alarm interface{ set(at time.Time) }

// bell is a timer as an alarm.
type bell struct{ *time.Timer }

func (b bell) set(at time.Time) { b.Reset(time.Until(at)) }

// loop runs until ctx ends, beginning at first, and returns when no run is left. It calls adopt for each element of
// changed.
func (r *rounds) loop(ctx context.Context, first time.Time, changed <-chan struct{}, adopt func()) {
	r.next = first
	due := time.NewTimer(time.Until(first))
	r.due, r.expiry = bell{due}, time.NewTimer(0)
	r.expiry.Stop()
	defer due.Stop()
	defer r.expiry.Stop()
	for {
		select {
		case <-ctx.Done():
			if r.runs {
				<-r.results // it is being ended
			}
			return
		case <-changed:
			adopt()
		case <-due.C:
			r.isDue(ctx, time.Now())
		case <-r.expiry.C:
			r.isOver(ctx)
		case o := <-r.results:
			r.ended(ctx, o)
		}
	}
}

// rearm makes changed parameters count from the next run on, on a grid from the last one.
func (r *rounds) rearm() {
	if !r.begun.IsZero() {
		since := time.Since(r.begun)
		r.next = r.begun.Add(since.Truncate(r.interval) + r.interval)
	}
	r.due.set(r.next)
}

// pace changes the interval so that the one that runs is as long already. A run that should have begun begins at once.
func (r *rounds) pace(interval time.Duration) {
	if r.interval == interval {
		return
	}
	r.interval, r.next = interval, r.begun.Add(interval)
	r.due.set(r.next)
}

// isDue begins a run, or takes note that it could not begin.
func (r *rounds) isDue(ctx context.Context, now time.Time) {
	if !r.runs {
		r.begin(ctx, now)
		return
	}
	if !r.expired.IsZero() && time.Since(r.expired) >= r.interval/2 {
		r.late = 0
		r.count(r.stuck()) // it cannot be ended, or not yet
	}
	r.behind = true
	r.advance()
}

// isOver counts the current run as failed, unless its result is there already: then it was this process that was late.
func (r *rounds) isOver(ctx context.Context) {
	select {
	case o := <-r.results:
		r.ended(ctx, o)
	default:
		r.expired = time.Now()
		r.late = r.expired.Sub(r.begun) - r.limit
		r.count(r.stuck())
	}
}

// advance sets next to the first point of the grid that leaves the machine at least half an interval.
func (r *rounds) advance() {
	if left := time.Until(r.next); left < r.interval/2 {
		points := (r.interval/2 - left + r.interval - 1) / r.interval
		r.next = r.next.Add(points * r.interval)
	}
	r.due.set(r.next)
}

// begin starts a run.
func (r *rounds) begin(ctx context.Context, now time.Time) {
	r.begun, r.expired, r.behind, r.limit, r.runs = now, time.Time{}, false, r.timeout, true
	r.advance()
	if r.launch != nil {
		r.launch()
		return
	}
	r.results = make(chan outcome, 1)
	r.expiry.Reset(r.limit)
	go func(run func(context.Context) outcome, results chan<- outcome) { results <- run(ctx) }(r.begins(), r.results)
}

// ended takes the result of the current run.
func (r *rounds) ended(ctx context.Context, o outcome) {
	r.results, r.runs = nil, false
	if r.expiry != nil {
		r.expiry.Stop()
	}
	if ctx.Err() != nil {
		return // it was ended because nobody wants to know any more
	}
	if r.expired.IsZero() {
		r.late = time.Since(r.begun) - r.limit
		r.count(o)
	}
	if r.behind {
		r.begin(ctx, time.Now())
	}
}
