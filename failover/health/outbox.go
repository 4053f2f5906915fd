package health

import (
	"context"
	"sync"

	"failoverd/failover"
)

// outbox holds the reports that wait for delivery: at most one, the newest, of each tracked thing.
type outbox struct {
	ready chan struct{} // 1: queue may be non-empty

	mu    sync.Mutex // guards the following and all outlets
	queue []*outlet  // those with a report, in the order in which they got it
}

// outlet is where the reports of one object go.
type outlet struct {
	box     *outbox
	tracker failover.Tracker

	waiting *news
	told    *news // what was delivered last
	closed  bool
}

// news is a report with what makes it differ from another one: Reason is for people, and cause is that of it which does
// not change while nothing has really changed.
type news struct {
	report failover.TrackerReport
	cause  string
}

func (n *news) same(o *news) bool {
	return n.report.OK == o.report.OK && n.report.Unknown == o.report.Unknown && n.report.Value == o.report.Value && n.report.NoNumber == o.report.NoNumber && n.cause == o.cause &&
		n.report.Warning == o.report.Warning
}

func newOutbox() *outbox { return &outbox{ready: make(chan struct{}, 1)} }

// outlet returns a new one for an object.
func (b *outbox) outlet(kind failover.TrackerKind, name string) *outlet {
	return &outlet{box: b, tracker: failover.Tracker{Kind: kind, Name: name}}
}

// post hands in a result, whose tracker the outlet knows. It is delivered unless it is the same as the last one delivered.
func (o *outlet) post(n news) {
	b := o.box
	b.mu.Lock()
	defer b.mu.Unlock()
	if o.closed {
		return
	}
	queued := o.waiting != nil
	n.report.Tracker = o.tracker
	o.waiting = &n
	if !queued {
		b.queue = append(b.queue, o)
	}
	select {
	case b.ready <- struct{}{}:
	default:
	}
}

// close drops what waits and everything that is posted later.
func (o *outlet) close() {
	o.box.mu.Lock()
	defer o.box.mu.Unlock()
	o.closed = true
}

// next takes the next report that is to be delivered.
func (b *outbox) next() (failover.TrackerReport, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.queue) > 0 {
		o := b.queue[0]
		b.queue = b.queue[1:]
		n := o.waiting
		o.waiting = nil
		if o.closed || (o.told != nil && o.told.same(n)) {
			continue // it changed and changed back while nobody listened
		}
		o.told = n
		return n.report, true
	}
	b.queue = nil
	return failover.TrackerReport{}, false
}

// deliver calls report for whatever is posted until ctx ends.
func (b *outbox) deliver(ctx context.Context, report func(failover.TrackerReport)) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.ready:
		}
		for ctx.Err() == nil {
			r, ok := b.next()
			if !ok {
				break
			}
			report(r)
		}
	}
}
