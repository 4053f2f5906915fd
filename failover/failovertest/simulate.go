package failovertest

import (
	"fmt"
	"io"
	"slices"
	"time"

	"failoverd/bgp"
	"failoverd/failover"
	"failoverd/vrrp"
)

// Simulate plays the course of a seed.
func Simulate(seed uint64, m Mutation, trace io.Writer) error { return Play(Draw(seed), m, trace) }

// Play plays a course: hosts that start, the faults, an end of all faults, and then a time in which everything has to come
// right; at last everyone is stopped. It returns an error that says which rule was broken first, and what the world looked
// like then. The trace, if there is one, gets a line for everything that happens.
func Play(c Course, m Mutation, trace io.Writer) error {
	s := play(c, m, trace)
	if s.w.checker.broken == "" {
		return nil
	}
	return fmt.Errorf("seed %d (%s): %s\n%s", c.Seed, m, s.w.checker.broken, s.w)
}

// play plays a course, and returns the world at the end, or when a rule was broken.
func play(c Course, m Mutation, trace io.Writer) *scenario {
	s := newScenario(c, m, trace)
	w := s.w
	for _, h := range w.Hosts {
		w.After(w.upTo(2*s.interval), h.start)
	}
	w.supervised = slices.ContainsFunc(c.Faults, func(f Fault) bool { return f.Kind == "kill" || f.Kind == "cache_dies" && f.N%2 == 0 })
	for i := range c.Faults {
		w.Run(vrrp.Instant(c.Faults[i].At))
		if w.checker.broken != "" {
			return s
		}
		s.fault(&c.Faults[i])
	}
	if w.checker.broken == "" {
		s.heal()
		s.settle(c.Seed%patient == 0)
	}
	if w.checker.broken == "" {
		s.end()
	}
	return s
}

// patient is one course in how many that goes on for as long as anything might take, although everything is right. The
// others end when that has been so for a while.
const patient = 8

// settle runs the world until everything is right.
func (s *scenario) settle(whole bool) {
	w, c := s.w, s.w.checker
	end, quiet := w.now.Add(s.settling()), 4*s.interval
	for !whole && c.broken == "" && w.now < end {
		w.Run(min(end, w.now.Add(max(s.interval, 500*time.Millisecond))))
		if c.broken == "" && c.moved.Add(quiet) < w.now && c.right(s) {
			return
		}
	}
	w.Run(end)
	last := w.now
	w.Run(w.now.Add(10 * s.interval))
	if c.broken == "" {
		c.verdict(s, last)
	}
}

// scenario is a world, and what happens to it.
type scenario struct {
	Profile
	usual  []string // the configuration of each host at the start and at the end
	w      *World
	healed bool // nothing is undone any more
	ending bool // nobody is started any more
}

func newScenario(course Course, m Mutation, trace io.Writer) *scenario {
	w := NewWorld(course.Seed, m, trace)
	s := &scenario{Profile: course.Profile, w: w}
	w.with = s.with
	for i := range s.hosts() {
		h := w.Add(hostName(i), s.address4(i), s.address6(i))
		s.usual = append(s.usual, s.config(i, variant{}))
		h.Config = s.usual[i]
		s.eachExtra(func(x *extra) {
			if x.begin != nil {
				x.begin(h)
			}
		})
		w.log(h, "configuration:\n%s", h.Config)
	}
	s.quietPaths()
	c := w.checker
	c.interval, c.lease = s.interval, s.lease
	c.rtt = 2*time.Millisecond + 4*loopDelay
	c.longest = s.longest()
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

// settling is the time after which everything has to be right.
func (s *scenario) settling() time.Duration {
	d := 4*time.Second + s.bgpWait + s.preemptDelay + s.lease + 2*s.w.checker.longest
	if s.w.checker.refusals {
		d += failover.RefusalBound + failover.RefusalPause
	}
	if s.w.has("max_changes") {
		d += bgp.ChangeWindow
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
		s.eachExtra(func(x *extra) {
			if x.heal != nil {
				x.heal(h)
			}
		})
		h.Config = s.usual[i]
		h.reload()
		if h.agent != nil {
			for _, p := range h.agent.speakers {
				p.session(true)
			}
		}
		if h.agent == nil {
			s.start(h)
		}
		s.w.After(failover.StopBound+100*time.Millisecond, func() { // it may be about to stop
			if h.agent == nil && !s.ending {
				s.start(h)
			}
		})
	}
	c.impaired = 0
	c.disturb()
}

// end stops everyone in order: nothing may be left.
func (s *scenario) end() {
	s.ending = true
	for _, h := range s.w.Hosts {
		s.stop(h)
	}
	for end := s.w.now.Add(failover.StopBound + time.Second); s.w.now < end && s.w.checker.broken == ""; {
		if s.w.Run(min(end, s.w.now.Add(100*time.Millisecond))); s.over() {
			break
		}
	}
	for _, h := range s.w.Hosts {
		if left := append(h.Kernel.vmacs(), keyNames(h.Kernel.keys())...); h.agent != nil || len(left) > 0 {
			s.w.checker.fail("S14", "%s was stopped and has %v left, agent %v", h.Name, left, h.agent != nil)
		}
	}
}

func keyNames(keys []failover.AddressKey) (names []string) {
	for _, k := range keys {
		names = append(names, k.String())
	}
	return names
}

// over reports whether no agent runs and nothing of one is left.
func (s *scenario) over() bool {
	return !slices.ContainsFunc(s.w.Hosts, func(h *Host) bool { return h.agent != nil || h.Kernel.leases > 0 })
}
