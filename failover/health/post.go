package health

import (
	"container/heap"
	"context"
	"time"
)

// post is a health check in the sweep, whose goroutine uses all of it.
type post struct {
	s      *sweep
	h      *healthCheck
	number int32 // in the sweep
	run    int32 // how many there were; may begin anew
	is     progress
	limit  time.Time          // when the current run, or the last one, has failed
	span   time.Duration      // from its beginning to limit
	cancel context.CancelFunc // of a run that goes on elsewhere
	gone   chan struct{}      // not nil: the check has ended, and this is closed when its last run has

	next  time.Time // when a run is due
	index int       // in the queue
}

// progress says what the current run does.
type progress uint8

const (
	idle      progress = iota // there is none
	waiting                   // for its socket
	elsewhere                 // in a goroutine of its own
)

// enter makes a check one of those that the sweep looks for.
func (s *sweep) enter(p *post) {
	for s.last++; s.posts[s.last] != nil; s.last++ {
	}
	p.number = s.last
	s.posts[p.number] = p
	heap.Push(&s.due, appointment{p.next, p})
	h := p.h
	h.rounds = rounds{count: h.count, launch: p.launch, due: p, next: p.next}
	h.takeOver()
	h.begin()
}

// leave ends a check, and its run, if it can be ended.
func (s *sweep) leave(p *post) {
	heap.Remove(&s.due, p.index)
	delete(s.posts, p.number)
	switch p.is {
	case waiting:
		p.stop()
	case elsewhere:
		p.cancel()
		return
	}
	close(p.gone)
}

// set implements alarm.
func (p *post) set(at time.Time) {
	p.next = at
	p.schedule()
}

// schedule gives the post its place in the queue.
func (p *post) schedule() {
	at := p.next
	if p.is == waiting && p.limit.Before(at) {
		at = p.limit
	}
	if a := &p.s.due[p.index]; !a.at.Equal(at) {
		a.at = at
		heap.Fix(&p.s.due, p.index)
	}
}

// launch begins a run.
func (p *post) launch() {
	p.run++
	p.span = p.h.p.Timeout
	p.limit = time.Now().Add(p.span)
	p.take(p.h.quick.start())
}

// take does what follows from the first step of a run, or from one after which it does not wait any more.
func (p *post) take(st step) {
	switch {
	case st.rest != nil:
		p.send(st)
	case st.waits:
		p.await(st)
	default:
		p.end(late(st.outcome, p.limit, p.span))
	}
}

// await makes the run go on when its socket is ready.
func (p *post) await(st step) {
	if err := p.s.watch(st, sign{p.number, p.run}); err != nil {
		p.h.quick.stop()
		p.end(outcome{blind: true, cause: harmless(err.Error())})
		return
	}
	p.is = waiting
	p.s.waiting++
	p.schedule()
}

// stop ends a run that waits for its socket.
func (p *post) stop() {
	p.h.quick.stop()
	p.is = idle
	p.s.waiting--
}

// send has the rest of a run go on elsewhere. It ends by its context.
func (p *post) send(st step) {
	ctx, cancel := context.WithDeadline(p.s.ctx, p.limit)
	p.is, p.cancel = elsewhere, cancel
	p.s.away++
	p.schedule()
	limit, span := p.limit, p.span
	go func() {
		o := late(st.rest(ctx), limit, span)
		cancel()
		p.s.order(func() { p.back(o) })
	}()
}

// back takes the outcome of a run that went on elsewhere.
func (p *post) back(o outcome) {
	p.is = idle
	p.s.away--
	if p.gone != nil {
		close(p.gone)
		return
	}
	p.end(o)
}

// end takes the outcome of the current run.
func (p *post) end(o outcome) {
	p.is = idle
	p.schedule()
	p.h.rounds.ended(p.s.ctx, o)
}

// queue is a heap of appointments: the first one is the first.
type queue []appointment

// appointment is when something is to be done for a post. That time is not in the post, lest to compare two of them takes two posts
// out of the memory.
type appointment struct {
	at time.Time
	*post
}

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].at.Before(q[j].at) }

func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

// Push implements heap.Interface.
func (q *queue) Push(x any) {
	a := x.(appointment)
	a.index = len(*q)
	*q = append(*q, a)
}

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	last := len(*q) - 1
	a := (*q)[last]
	(*q)[last] = appointment{}
	*q = (*q)[:last]
	return a
}
