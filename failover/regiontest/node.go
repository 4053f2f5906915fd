package regiontest

import (
	"net/netip"
	"time"

	"failoverd/failover"
	"failoverd/vrrp"
)

// node is a machine with its clock and kernel, the agent that runs on it, if one does, and its speaker's process.
type node struct {
	world   *World
	index   int
	name    string
	site    int
	address netip.Addr

	clock   clock
	power   int // how often the power was cut: what was planned before does not happen
	off     bool
	paused  bool
	held    []timer // those that came due while the machine was paused
	backlog []func()
	uplink  int           // how many faults cut its site from the rest of the world, its upstream router included
	router  int           // how many faults cut the way to its upstream router alone
	out, in int           // the same, one way
	wall    time.Duration // what its wall clock shows more than it should

	kernel  kernel
	config  *failover.Config
	agent   *agent // nil: none runs
	lives   int    // how many agents there were
	speaker *speaker
	// stopping: the agent was asked to stop; again: it is to be started when it has.
	stopping, again bool
	upgrading       bool // another program is about to take its place
	probe           probe
	supervisor      supervisor
	// silence is that of the mainland, as heard by the server of this node.
	silence  silence
	started  vrrp.Instant  // on its clock, when an agent started last
	idle     vrrp.Instant  // when its agent did not run last
	entitled vrrp.Instant  // when its agent served last
	late     time.Duration // up to this much, the agent's loop and the kernel worker are late
}

// silence is since when nothing was heard of the mainland, and how long the silence before that was, in the world's time.
type silence struct {
	since, ended vrrp.Instant
	before       time.Duration
}

// breaks ends a silence, and another one begins.
func (s *silence) breaks(now vrrp.Instant) {
	if d := now.Sub(s.since); d > 2*time.Second {
		s.before, s.ended = d, now
	}
	s.since = now
}

// restart begins anew: who has just started knows nothing.
func (s *silence) restart(now vrrp.Instant) { *s = silence{since: now} }

// lasted reports whether there has been a silence for d, or was one until so lately that not everybody knows of its end.
func (s *silence) lasted(now vrrp.Instant, d, lag time.Duration) bool {
	return now.Sub(s.since) >= d || now.Sub(s.ended) <= lag && s.before >= d-lag
}

type timer struct {
	power int
	due   vrrp.Instant // on the machine's clock
	do    func()
}

func (w *World) add(name string, site, number int) *node {
	n := &node{world: w, index: len(w.nodes), name: name, site: site, address: netip.AddrFrom4([4]byte{192, 0, 2, byte(number)})}
	n.clock = clock{local: vrrp.Instant(1e9 + w.rand.Int64N(1e15)), rate: w.rand.Int64N(2*drift+1) - drift}
	n.kernel = kernel{node: n, up: true}
	n.entitled, n.idle, n.started = never, never, never
	n.probe.node = n
	w.nodes = append(w.nodes, n)
	return n
}

// drift is how wrong the rate of a clock may be, in millionths.
const drift = 500

// far reports whether packets from n to o leave the site.
func (n *node) far(o *node) bool { return n.site != o.site || n.site == nowhere }

func (n *node) local() vrrp.Instant { return n.clock.at(n.world.Now()) }

// after has something done when the machine's clock has moved by d. It is not done if the power is cut before.
func (n *node) after(d time.Duration, do func()) { n.at(n.local().Add(d), do) }

func (n *node) at(due vrrp.Instant, do func()) {
	power := n.power
	n.world.After(n.clock.wait(n.world.Now(), due), func() { n.fire(timer{power, due, do}) })
}

func (n *node) fire(t timer) {
	switch {
	case n.power != t.power:
	case n.paused:
		n.held = append(n.held, t)
	case n.local() < t.due: // the clock stood still meanwhile
		n.at(t.due, t.do)
	default:
		t.do()
	}
}

// pause stops the machine, its clock included.
func (n *node) pause() {
	if n.off || n.paused {
		return
	}
	n.world.note(n, "paused")
	n.clock.stop(n.world.Now())
	n.paused = true
	n.speaker.hush()
}

// resume lets it go on where it was.
func (n *node) resume() {
	if !n.paused {
		return
	}
	n.world.note(n, "resumed")
	n.clock.start(n.world.Now())
	n.paused = false
	held, backlog := n.held, n.backlog
	n.held, n.backlog = nil, nil
	for _, f := range backlog {
		n.world.After(n.world.upTo(lanDelay), f)
	}
	for _, t := range held {
		n.at(t.due, t.do)
	}
	n.speaker.hush()
}

// cutPower ends everything that runs on the machine, and what its kernel knows.
func (n *node) cutPower() {
	if n.off {
		return
	}
	n.resume()
	n.world.note(n, "without power")
	n.off = true
	n.power++
	n.kernel.forget()
	n.speaker.vanish()
	n.agent, n.stopping, n.upgrading = nil, false, false
}

// boot gives it power again, and starts its agent some time later.
func (n *node) boot() {
	if !n.off {
		return
	}
	n.world.note(n, "boots")
	n.off = false
	n.after(n.world.upTo(2*time.Second), n.start)
}

// serves reports whether the machine answers for the virtual address now.
func (n *node) serves() bool {
	return !n.off && !n.paused && n.kernel.up && len(n.kernel.addresses) > 0
}

// crash kills the agent, and with it the speaker's process.
func (n *node) crash() {
	if n.agent == nil {
		return
	}
	n.world.note(n, "agent crashes")
	n.agent, n.stopping = nil, false
	n.speaker.end()
}
