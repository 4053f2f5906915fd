package regiontest

import (
	"fmt"
	"slices"
	"time"

	"failoverd/failover/failovertest"
	"failoverd/failover/heartbeat"
	"failoverd/vrrp"
)

// rules watches a World. What may overlap, and for how long, depends on how many faults there are, as the design's
// guarantees do; every tolerance is made of the configured parameters and the model's own delays.
type rules struct {
	w      *World
	broken string   // the first rule that was broken, with the circumstances
	only   []string // the rules that count; none: all

	faults int  // of the course; drains and switchovers count as faults
	paused bool // one of them pauses a machine
	hangs  bool // one of them stops a process
	orders bool // one of them is a drain or a switchover

	address, route overlap
	expected       []expectation
	changed        vrrp.Instant // when a role changed last
	newest         heartbeat.Term
	suspect        *node // has just written an address that outlives its authority
	recovered      time.Duration
	released       bool // the watcher took over what was released
	takeovers      int  // of the watcher
	upgrades       int
}

// overlap is a time in which both sites have something that one may have.
type overlap struct {
	since vrrp.Instant // Never: there is none
	limit time.Duration
	first int // the site that had it first; nowhere: none has it
	worst time.Duration
}

// expectation says that something has to be so by an instant.
type expectation struct {
	rule string
	by   vrrp.Instant
	why  string
	so   func() bool
}

func (r *rules) begin(w *World) {
	r.w = w
	r.address = overlap{since: vrrp.Never, first: nowhere}
	r.route = r.address
}

func (r *rules) fail(rule, format string, args ...any) {
	if r.broken == "" && (len(r.only) == 0 || slices.Contains(r.only, rule)) {
		r.broken = fmt.Sprintf("%s at %s: %s", rule, failovertest.FormatInstant(r.w.Now()), fmt.Sprintf(format, args...))
		r.w.log(nil, "BROKEN %s", r.broken)
	}
}

// moved is called when an address or a route has come or gone, or who has it is another machine.
func (r *rules) moved(*node) {
	w := r.w
	r.follow("S6", "have the address", &r.address, w.m1.serves() || w.m2.serves(), w.k.serves(), 0)
	r.follow("S7", "hold the route", &r.route, w.upstreams[mainland].holds(), w.upstreams[island].holds(), r.late())
}

// follow keeps account of an overlap.
func (r *rules) follow(rule, what string, o *overlap, home, other bool, slack time.Duration) {
	now := r.w.Now()
	if !home || !other {
		if o.since != vrrp.Never {
			r.exceeded(rule, what, o)
			o.since = vrrp.Never
		}
		switch {
		case home:
			o.first = mainland
		case other:
			o.first = island
		}
		return
	}
	if o.since == vrrp.Never {
		o.since, o.limit = now, r.limit(o.first)
		if o.limit != forEver {
			o.limit += slack
		}
	}
}

const forEver = time.Duration(1<<63 - 1)

// limit returns how long both sites may have what one of them had first.
func (r *rules) limit(first int) time.Duration {
	w := r.w
	switch {
	case r.faults > 2:
		return forEver // beyond the guarantee
	case r.paused && r.faults > 1:
		// Nobody can tell a machine that was paused and is isolated: its own authority ends.
		return w.fence + w.exchange() + w.overlap
	case (first == island || w.onDown) && r.hangs && r.faults == 2:
		// And who stands still just then hears of nothing: its addresses end by themselves, and its routes.
		return max(w.exchange()+w.overlap, w.lease+leaseRounding+kernelSlop)
	case first == island || r.paused || w.onDown:
		// The home site takes its own back, or goes on where it was: whoever is to stop hears of it by the next heartbeat.
		return w.exchange() + w.overlap
	case r.orders && w.overlap > 0:
		return w.overlap + w.exchange()
	case r.hangs:
		return undone
	}
	return 0
}

// undone is how long what a process does that has stood still between two effects lasts, until its next look at the world
// undoes it (S15).
const undone = loopDelay + 2*workerDelay + resultDelay

// late returns for how much longer than limit both sites may hold the route: what was released is taken at once, and a second
// fault may have kept the withdrawal from the router until it expires (S7).
func (r *rules) late() time.Duration {
	if r.faults == 2 && r.released {
		return propagation + r.w.hold
	}
	return propagation
}

func (r *rules) exceeded(rule, what string, o *overlap) {
	d := r.w.Now().Sub(o.since)
	o.worst = max(o.worst, d)
	if d > o.limit {
		r.fail(rule, "both sites %s for %v, since %s, and may for %v", what, d, failovertest.FormatInstant(o.since), o.limit)
	}
}

// look looks at the world after each event.
func (r *rules) look() {
	if r.address.since != vrrp.Never {
		r.exceeded("S6", "have the address", &r.address)
	}
	if r.route.since != vrrp.Never {
		r.exceeded("S7", "hold the route", &r.route)
	}
	for _, n := range [...]*node{r.w.m1, r.w.m2, r.w.k} {
		r.entitled(n)
	}
	if r.suspect != nil {
		r.fail("S15", "%s has written an address that outlives its authority, and leaves it", r.suspect.name)
	}
	r.expectations()
}

// entitled: an address is in a kernel only while its agent serves, lets go of it, or has not been dead for longer than the
// lease; and no longer than the authority of its site (S5).
func (r *rules) entitled(n *node) {
	a, now := n.agent, n.local()
	running := a != nil && !a.frozen
	if running {
		n.entitled = max(n.entitled, min(now, a.view.grace))
		if a.view.serving() {
			n.entitled = now
		}
	}
	if len(n.kernel.addresses) == 0 || n.off {
		return
	}
	limit := r.w.lease + leaseRounding + kernelSlop
	if running {
		// Whoever runs lets go at once (S14): only who has stood still, or has just started, finds out first.
		n.idle = max(n.idle, n.started)
		limit = releaseLimit + n.late
		if now.Sub(max(n.entitled, n.idle)) > limit {
			r.fail("S14", "%s has had the address for %v without the role", n.name, now.Sub(max(n.entitled, n.idle)))
		}
		return
	}
	n.idle = now
	if now.Sub(n.entitled) > limit {
		r.fail("S5", "%s has had the address for %v without an agent that serves", n.name, now.Sub(n.entitled))
	}
}

func (r *rules) expectations() {
	now := r.w.Now()
	for i := 0; i < len(r.expected); i++ {
		e := &r.expected[i]
		if !e.so() {
			if now <= e.by {
				continue
			}
			r.fail(e.rule, "%s by %s", e.why, failovertest.FormatInstant(e.by))
		}
		r.expected = append(r.expected[:i], r.expected[i+1:]...)
		i--
	}
}
