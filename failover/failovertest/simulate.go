package failovertest

import (
	"fmt"
	"io"
	"time"

	"failoverd/failover"
)

// faults is how many things happen to the world of a scenario.
const faults = 14

// Simulate runs the scenario of a seed: hosts that start, a course of faults, an end of all faults, and then a time in
// which everything has to come right; at last everyone is stopped. It returns an error that says which rule was broken
// first, and what the world looked like then. The trace, if there is one, gets a line for everything that happens.
func Simulate(seed uint64, m Mutation, trace io.Writer) error {
	s := newScenario(seed, m, trace)
	w := s.w
	for _, h := range w.Hosts {
		w.After(w.upTo(2*s.interval), h.start)
	}
	w.Run(w.now.Add(w.upTo(2 * w.checker.longest)))
	for i := 0; i < faults && w.checker.broken == ""; i++ {
		s.fault()
		w.Run(w.now.Add(s.pause()))
	}
	if w.checker.broken == "" {
		s.heal()
		w.Run(w.now.Add(s.settling()))
		quiet := w.now
		w.Run(w.now.Add(10 * s.interval))
		w.checker.verdict(s, quiet)
	}
	if w.checker.broken == "" {
		s.end()
	}
	if w.checker.broken == "" {
		return nil
	}
	return fmt.Errorf("seed %d (%s): %s\n%s", seed, m, w.checker.broken, w)
}

// scenario is a world, and what happens to it.
type scenario struct {
	profile
	w      *World
	healed bool
}

func newScenario(seed uint64, m Mutation, trace io.Writer) *scenario {
	w := NewWorld(seed, m, trace)
	s := &scenario{profile: drawProfile(w.rand), w: w}
	for i := range s.hosts {
		h := w.Add(string(rune('a'+i)), s.address4(i), s.address6(i))
		h.Config = s.config(i, variant{})
		w.log(h, "configuration:\n%s", h.Config)
	}
	s.quietPaths()
	c := w.checker
	c.interval, c.lease = s.interval, s.lease
	c.rtt = 2*time.Millisecond + 4*loopDelay
	c.longest = s.startupDelay + 2*(3*s.interval+skew(1, s.interval)) + time.Second
	c.begin()
	return s
}

// quietPaths makes all paths what they are on a LAN.
func (s *scenario) quietPaths() {
	for _, from := range s.w.Hosts {
		for _, to := range s.w.Hosts {
			*s.w.Path(from, to) = Path{Cut: from == to, Delay: 50 * time.Microsecond, Jitter: 900 * time.Microsecond, Ordered: true}
		}
	}
}

// pause draws how long it takes until the next thing happens: often no time at all, sometimes long enough for calm.
func (s *scenario) pause() time.Duration {
	switch s.w.rand.IntN(4) {
	case 0:
		return s.w.upTo(20 * time.Millisecond)
	case 1:
		return s.w.upTo(s.interval)
	case 2:
		return s.w.upTo(6 * s.interval)
	}
	return s.w.checker.longest + s.w.upTo(s.w.checker.longest)
}

// settling is the time after which everything has to be right.
func (s *scenario) settling() time.Duration {
	d := 4*time.Second + s.bgpWait + s.preemptDelay + s.lease + 2*s.w.checker.longest
	if s.w.checker.refusals {
		d += failover.RefusalBound + failover.RefusalPause
	}
	return d
}

// heal ends everything that goes on, and has everyone run with the configuration of the start.
func (s *scenario) heal() {
	s.w.log(nil, "everything is healed")
	s.healed = true
	s.quietPaths()
	c := s.w.checker
	for i, h := range s.w.Hosts {
		h.resume()
		s.calmDown(h)
		s.addWorks(h)
		h.Kernel.setStatic(s.static(h))
		h.Kernel.setLink(true, true)
		h.Config = s.config(i, variant{})
		h.reload()
		if h.agent != nil {
			for _, p := range h.agent.speakers {
				p.session(true)
			}
		}
		s.w.After(failover.StopBound+100*time.Millisecond, func() { s.start(h) })
	}
	c.impaired = 0
	c.disturb()
}

// end stops everyone in order: nothing may be left.
func (s *scenario) end() {
	for _, h := range s.w.Hosts {
		s.restart(h)
	}
	s.w.Run(s.w.now.Add(failover.StopBound + time.Second))
	for _, h := range s.w.Hosts {
		if left := h.Kernel.keys(); h.agent != nil || len(left) > 0 {
			s.w.checker.fail("S14", "%s was stopped and has %v left, agent %v", h.Name, left, h.agent != nil)
		}
	}
}
