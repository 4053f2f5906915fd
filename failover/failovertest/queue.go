package failovertest

import (
	"time"

	"failoverd/vrrp"
)

// Queue is virtual time: events that happen in the order of (instant, sequence). Time starts at zero and moves from event
// to event. The zero value is an empty queue.
type Queue struct {
	now      vrrp.Instant
	sequence uint64
	heap     []event
}

// event is something that happens at an instant; of two at the same instant, the one that was planned first goes first.
type event struct {
	at       vrrp.Instant
	sequence uint64
	do       func()
}

func (e *event) before(o *event) bool {
	return e.at < o.at || e.at == o.at && e.sequence < o.sequence
}

// Now returns the present.
func (q *Queue) Now() vrrp.Instant { return q.now }

// Sequence returns how many events have been planned.
func (q *Queue) Sequence() uint64 { return q.sequence }

// After plans do for d from now; a d below zero is zero.
func (q *Queue) After(d time.Duration, do func()) {
	q.sequence++
	q.heap = append(q.heap, event{at: q.now.Add(max(d, 0)), sequence: q.sequence, do: do})
	h := q.heap
	for i := len(h) - 1; i > 0; {
		up := (i - 1) / 2
		if !h[i].before(&h[up]) {
			return
		}
		h[i], h[up] = h[up], h[i]
		i = up
	}
}

// Next moves to the first event and returns it, if it is due by until; otherwise time moves to until, and ok is false.
// The caller carries the event out.
func (q *Queue) Next(until vrrp.Instant) (do func(), ok bool) {
	h := q.heap
	if len(h) == 0 || h[0].at > until {
		q.now = max(q.now, until)
		return nil, false
	}
	first, last := h[0], len(h)-1
	h[0], h[last] = h[last], event{}
	q.heap = h[:last]
	q.sink()
	q.now = first.at
	return first.do, true
}

// sink puts the first event where it belongs.
func (q *Queue) sink() {
	h := q.heap
	for i := 0; ; {
		least := i
		for c := 2*i + 1; c <= 2*i+2 && c < len(h); c++ {
			if h[c].before(&h[least]) {
				least = c
			}
		}
		if least == i {
			return
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
}
