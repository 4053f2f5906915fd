package vrrp_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"failoverd/vrrp"
	"failoverd/vrrp/vrrptest"
	"failoverd/vrrp/wire"
)

const (
	traceLength = 1000
	traceSeeds  = 300
)

// stimulus is an event of a random trace.
type stimulus struct {
	gap    time.Duration // since the one before
	kind   int           // 0-1: startup, 2: shutdown, 3-5: promote, 6: demote, else: an advert
	source netip.Addr
	// of the advert
	priority uint8
	interval wire.Centiseconds
}

// drawTrace draws a configuration and events, the latter at least ReadvertiseGap apart and on whole milliseconds.
func drawTrace(seed uint64) (vrrp.Config, []stimulus) {
	r := rand.New(rand.NewPCG(seed, 3))
	priorities := []uint8{1, 50, 100, 100, 100, 254, 255}
	intervals := []wire.Centiseconds{1, 10, 100, 300, 4095}
	c := config(priorities[r.IntN(len(priorities))], interval(intervals[r.IntN(len(intervals))]))
	c.Preempt = r.IntN(3) != 0
	if r.IntN(4) == 0 {
		version2(&c)
		c.Interval = 100 * wire.Centiseconds(1+r.IntN(255))
	}
	sources := []netip.Addr{lower, higher, addr("10.0.0.1"), addr("223.0.0.1")}
	trace := make([]stimulus, traceLength)
	for i := range trace {
		s := &trace[i]
		s.gap = vrrp.ReadvertiseGap + time.Duration(r.Int64N(int64(2*c.Interval.Duration()/time.Millisecond)))*time.Millisecond
		s.kind = r.IntN(60)
		s.source = sources[r.IntN(len(sources))]
		s.interval = intervals[r.IntN(len(intervals))]
		if c.Version == wire.V2 {
			s.interval = c.Interval
		}
		s.priority = []uint8{0, 1, 99, 100, 101, 254, 255, c.Priority, c.Priority, c.Priority - 1}[r.IntN(10)]
	}
	return c, trace
}

// outcome is what is compared of a step.
type outcome struct {
	at       vrrp.Instant
	advert   bool
	priority uint8
	to       vrrp.State
	deadline vrrp.Instant
	learned  wire.Centiseconds
}

// play lets a machine live through a trace, its timers fired when they are due, and returns every step's outcome. All
// gaps and intervals are multiplied by scale.
func play(m vrrptest.Machine, trace []stimulus, scale int) (outcomes []outcome) {
	now := vrrp.Instant(0)
	record := func(e vrrp.Effect) {
		outcomes = append(outcomes, outcome{now, e.Advert, e.Priority, m.State(), m.Deadline(), m.LearnedInterval()})
	}
	p := wire.Packet{Header: wire.Header{Dst: wire.IPv4.Group(), TTL: wire.TTL}}
	p.VRID, p.Addresses = 51, vip
	var a wire.Advertisement
	m.Advertisement(&a, 1)
	p.Version = a.Version
	for _, s := range trace {
		next := now.Add(s.gap * time.Duration(scale))
		for m.Deadline() < next {
			now = m.Deadline()
			record(m.Expire(now))
		}
		now = next
		switch {
		case s.kind < 2:
			record(m.Startup(now))
		case s.kind == 2:
			record(m.Shutdown(now))
		case s.kind < 6:
			record(m.Promote(now))
		case s.kind == 6:
			record(m.Demote(now, s.gap*time.Duration(scale)))
		default:
			p.Src, p.Priority, p.Interval = s.source, s.priority, s.interval*wire.Centiseconds(scale)
			e, _ := m.Receive(now, &p)
			record(e)
		}
	}
	return outcomes
}

// M3: the router does what an independent reading of the RFC does, whatever happens.
func TestM3_RouterEqualsOracle(t *testing.T) {
	states := make(map[vrrp.State]int)
	for seed := range uint64(traceSeeds) {
		c, trace := drawTrace(seed)
		router, oracle := newRouter(t, c), vrrptest.NewOracle(c, own, vrrptest.Faithful)
		// Who is not joint is never ready: then Promote says nothing.
		router.SetJoint(seed%2 == 0)
		oracle.SetJoint(seed%2 == 0)
		got, want := play(router, trace, 1), play(oracle, trace, 1)
		for i := range want {
			states[want[i].to]++
			if i >= len(got) || got[i] != want[i] {
				t.Fatalf("seed %d, priority %d, preempt %v, version %d: step %d of %d\n got %+v\nwant %+v", seed, c.Priority,
					c.Preempt, c.Version, i, len(want), got[min(i, len(got)-1)], want[i])
			}
		}
		if len(got) != len(want) {
			t.Fatalf("seed %d: %d steps, want %d", seed, len(got), len(want))
		}
	}
	if len(states) != 3 {
		t.Errorf("the traces reach %v only", states)
	}
}

// An oracle that is wrong in one way differs somewhere, so the comparison sees such things. The packets of a trace are
// values: nothing can be wrong about their reserve nibble.
func TestM3_OracleMutantsDiffer(t *testing.T) {
	for _, m := range vrrptest.Mutations() {
		if m == vrrptest.UnmaskedNibble {
			continue
		}
		differs := false
		for seed := range uint64(traceSeeds) {
			c, trace := drawTrace(seed)
			if !slices.Equal(play(newRouter(t, c), trace, 1), play(vrrptest.NewOracle(c, own, m), trace, 1)) {
				differs = true
				break
			}
		}
		if !differs {
			t.Errorf("%v: no difference in %d traces", m, traceSeeds)
		}
	}
}

// M4: with all intervals k times as long, everything happens k times as late. Version 2 is not like that: its skew does
// not depend on the interval.
func TestM4_ScaledIntervalsScaleTheCourse(t *testing.T) {
	for seed := range uint64(traceSeeds) {
		c, trace := drawTrace(seed)
		if c.Version == wire.V2 || c.Interval > 300 {
			continue
		}
		trace = slices.DeleteFunc(trace, func(s stimulus) bool { return s.interval > 300 })
		base := play(newRouter(t, c), trace, 1)
		for _, k := range []int{2, 3, 10} {
			scaled := c
			scaled.Interval *= wire.Centiseconds(k)
			if err := compareScaled(base, play(newRouter(t, scaled), trace, k), k); err != nil {
				t.Fatalf("seed %d, scale %d: %v", seed, k, err)
			}
		}
	}
}

// compareScaled allows for the fractions of a nanosecond that a skew is cut by.
func compareScaled(base, scaled []outcome, k int) error {
	if len(base) != len(scaled) {
		return fmt.Errorf("%d steps, want %d", len(scaled), len(base))
	}
	close := func(b, s vrrp.Instant) bool {
		return b == vrrp.Never && s == vrrp.Never || s-b*vrrp.Instant(k) <= traceLength*vrrp.Instant(k) && s >= b*vrrp.Instant(k)
	}
	for i, b := range base {
		s := scaled[i]
		if !close(b.at, s.at) || !close(b.deadline, s.deadline) || b.advert != s.advert || b.priority != s.priority ||
			b.to != s.to || b.learned*wire.Centiseconds(k) != s.learned {
			return fmt.Errorf("step %d: %+v, want %d times %+v", i, s, k, b)
		}
	}
	return nil
}

// M6: a third router of the lowest priority never changes who of the other two is Active, or when. Its skew has to be
// longer than theirs by more than a packet's way.
func TestM6_LowestPriorityChangesNothing(t *testing.T) {
	for seed := range uint64(200) {
		two, three := playPair(t, seed, 200, 150), playPair(t, seed, 200, 150, 100)
		if !slices.Equal(two, three) {
			t.Fatalf("seed %d:\nwith two   %v\nwith three %v", seed, two, three)
		}
		if len(two) < 10 {
			t.Fatalf("seed %d: only %d changes of state", seed, len(two))
		}
	}
}

// playPair starts, stops and crashes the first two routers of a LAN at random and returns their changes of state.
func playPair(t *testing.T, seed uint64, priorities ...uint8) (changes []string) {
	t.Helper()
	l := newLAN(t, priorities...)
	r := rand.New(rand.NewPCG(seed, 6))
	for range 20 {
		l.Run(l.Now().Add(time.Duration(r.Int64N(int64(6 * time.Second)))))
		n := l.Nodes()[r.IntN(2)]
		switch {
		case n.Machine == nil:
			l.Start(n)
		case r.IntN(2) == 0:
			l.Stop(n)
		default:
			l.Crash(n)
		}
	}
	l.Run(l.Now() + 10*second)
	for _, s := range l.steps {
		if s.Effect.Changed() && s.Node != l.Nodes()[len(l.Nodes())-1] || s.Effect.Changed() && len(priorities) == 2 {
			changes = append(changes, fmt.Sprintf("%v %s %v", time.Duration(s.At), s.Node.Name, s.After.State))
		}
	}
	return changes
}
