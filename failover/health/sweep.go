package health

import (
	"context"
	"sync"
	"time"
)

// sweep looks for all health checks that have a quick probe, in one goroutine: it begins the runs of those that are due, one after
// the other, and waits for all of their sockets together. With a goroutine for each check, a thousand probes a second spend as
// much on waking one another, and the threads that run them, as on looking.
//
// A run that waits delays no other one: no step takes longer than the system calls that it makes. In between it is seen what was
// answered meanwhile, so that a round trip seems longer by one such step at most. What may take its time, such as a long body,
// goes on in a goroutine of its own.
type sweep struct {
	woken chan struct{} // 1: there may be orders

	mu     sync.Mutex
	orders []func()
	ended  bool
	set    *pollset // nil: not opened yet; written by the owner only

	// Of the goroutine of run.
	ctx     context.Context
	posts   map[int32]*post // by number
	last    int32           // number that was given
	due     queue
	waiting int // runs that wait for their socket
	away    int // runs that go on elsewhere
	timer   *time.Timer
}

func newSweep() *sweep {
	return &sweep{woken: make(chan struct{}, 1), posts: make(map[int32]*post)}
}

// attend has a check looked after until ctx ends, and returns when no run is left.
func (s *sweep) attend(ctx context.Context, h *healthCheck) {
	p := &post{s: s, h: h, next: h.first}
	if !s.order(func() { s.enter(p) }) {
		return
	}
	for {
		select {
		case <-h.changed:
			s.order(func() { h.takeOver(); h.rounds.rearm() })
		case <-ctx.Done():
			gone := make(chan struct{})
			if s.order(func() { p.gone = gone; s.leave(p) }) {
				<-gone
			}
			return
		}
	}
}

// order has f called in the goroutine of the sweep, unless that has ended.
func (s *sweep) order(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return false
	}
	s.orders = append(s.orders, f)
	s.wake()
	return true
}

// wake makes the sweep look for orders. The mutex is held.
func (s *sweep) wake() {
	select {
	case s.woken <- struct{}{}:
	default:
	}
	if s.set != nil {
		s.set.interrupt()
	}
}

// run looks until ctx has ended and all checks have left.
func (s *sweep) run(ctx context.Context) {
	s.ctx = ctx
	s.timer = time.NewTimer(time.Hour)
	defer s.timer.Stop()
	stop := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.wake()
	})
	defer stop()
	for s.obey() {
		s.tend()
		s.wait()
	}
	if s.set != nil {
		s.set.close()
	}
}

// obey does what was ordered, and reports whether there is anything to do yet.
func (s *sweep) obey() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.orders) > 0 {
		orders := s.orders
		s.orders = nil
		s.mu.Unlock()
		for _, f := range orders {
			f()
		}
		s.mu.Lock()
	}
	s.ended = s.ctx.Err() != nil && len(s.posts) == 0 && s.away == 0
	return !s.ended
}

// tend begins the runs that are due, and ends those whose time is up; but what has been answered by then counts. Those that are due
// together have begun at the same time as far as the schedule goes, so that they stay together.
func (s *sweep) tend() {
	for now := time.Now(); s.ctx.Err() == nil; {
		s.hear()
		if len(s.due) == 0 || s.due[0].at.After(now) {
			return
		}
		p := s.due[0].post
		if p.is == waiting && !p.limit.After(now) {
			p.stop()
			p.end(timedOut(p.span))
			continue
		}
		p.h.rounds.isDue(s.ctx, now)
	}
}

// hear goes on with the runs whose sockets are ready.
func (s *sweep) hear() {
	if s.waiting > 0 {
		s.set.ready(s.ready)
	}
}

// wait waits until there is something to do.
func (s *sweep) wait() {
	if s.ctx.Err() != nil {
		<-s.woken // the checks leave, one after the other
		return
	}
	until := time.Now().Add(time.Hour)
	if len(s.due) > 0 {
		until = s.due[0].at
	}
	if s.waiting == 0 {
		s.timer.Reset(time.Until(until))
		select {
		case <-s.timer.C:
		case <-s.woken:
		}
		return
	}
	s.set.arm(until)
	select {
	case <-s.woken: // and perhaps the interruption came before the time was set
	default:
		s.set.wait(s.ready)
	}
}

// watch makes a run one that is found by a sign when its socket is ready.
func (s *sweep) watch(st step, g sign) error {
	if s.set == nil {
		set, err := openPollset()
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.set = set
		s.mu.Unlock()
	}
	return s.set.add(st.fd, st.write, g)
}

// ready goes on with a run whose socket is ready.
func (s *sweep) ready(g sign, seen time.Time) {
	p := s.posts[g.number]
	if p == nil || p.is != waiting || p.run != g.run {
		return
	}
	st := p.h.quick.ready(seen)
	if st.waits {
		return
	}
	s.waiting--
	p.is = idle
	if st.rest != nil {
		s.set.remove(st.fd)
	}
	p.take(st)
}
