package regiontest

import (
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"time"

	"failoverd/failover/failovertest"
	"failoverd/vrrp"
)

// World is the sites, the witnesses and what lies between them. Everything that is left to chance is drawn from one
// source, so that a seed and a list of faults are a course of events.
type World struct {
	failovertest.Queue
	settings
	nodes []*node
	// m1, m2 and k are nodes[0] to nodes[2], the witnesses follow.
	m1, m2, k *node
	upstreams [2]*upstream // by site
	paths     [][]path     // from, to

	rand     *rand.Rand
	mutation Mutation
	rules    rules
	trace    io.Writer // nil: nobody listens
	history  uint64    // of what was done, as a hash
	// supervised: agents are killed whose supervisors live, so that there have to be wills.
	supervised bool
}

// Sites of nodes. A witness belongs to none.
const (
	mainland = iota
	island
	nowhere
)

// path is the way of packets from one node to another. Several faults at once may concern it.
type path struct {
	delay, jitter time.Duration
	cut           int
	bad           *badness // the newest
}

// badness is what a bad path does to packets.
type badness struct {
	loss, duplicate, corrupt float64
	delay, jitter            time.Duration
}

// The usual delays, each up to that long.
const (
	loopDelay    = 200 * time.Microsecond
	workerDelay  = 3 * time.Millisecond
	resultDelay  = 500 * time.Microsecond
	speakerDelay = 5 * time.Millisecond
	// lanDelay is the longest way within a site or to its upstream router, wanDelay between sites.
	lanDelay = time.Millisecond
	wanDelay = 60 * time.Millisecond
)

func newWorld(seed uint64, m Mutation, trace io.Writer) *World {
	w := &World{rand: rand.New(rand.NewPCG(seed, 0x517e)), mutation: m, trace: trace}
	w.settings = drawSettings(w.rand)
	w.m1 = w.add("m1", mainland, 1)
	w.m2 = w.add("m2", mainland, 2)
	w.k = w.add("k", island, 3)
	for i := range w.witnesses {
		w.add(fmt.Sprintf("w%d", i+1), nowhere, 11+i)
	}
	for site := range w.upstreams {
		w.upstreams[site] = &upstream{world: w, site: site}
	}
	w.pave()
	w.rules.begin(w)
	for _, n := range w.nodes {
		n.config = w.config(n)
		if n.site != nowhere {
			n.speaker = newSpeaker(n)
		}
	}
	return w
}

// pave gives every path its usual delay.
func (w *World) pave() {
	w.paths = make([][]path, len(w.nodes))
	for _, from := range w.nodes {
		for _, to := range w.nodes {
			p := path{delay: 50 * time.Microsecond, jitter: lanDelay - 50*time.Microsecond}
			if from.far(to) {
				p.delay = 5*time.Millisecond + w.upTo(wanDelay/2)
				p.jitter = w.upTo(wanDelay/2 - 5*time.Millisecond)
			}
			w.paths[from.index] = append(w.paths[from.index], p)
		}
	}
}

// run lets time pass. It ends early when a rule is broken.
func (w *World) run(until vrrp.Instant) {
	for w.rules.broken == "" {
		do, ok := w.Next(until)
		if !ok {
			return
		}
		do()
		w.rules.look()
	}
}

// upTo draws a duration in [0, d).
func (w *World) upTo(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return time.Duration(w.rand.Int64N(int64(d)))
}

func (w *World) happens(chance float64) bool { return chance > 0 && w.rand.Float64() < chance }

// note records what was done, for whoever compares two runs, and tells it to the trace.
func (w *World) note(n *node, format string, args ...any) {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %d %s ", w.history, w.Now(), n.name)
	fmt.Fprintf(h, format, args...)
	w.history = h.Sum64()
	w.log(n, format, args...)
}

func (w *World) log(n *node, format string, args ...any) {
	if w.trace == nil {
		return
	}
	name := "-"
	if n != nil {
		name = n.name
	}
	fmt.Fprintf(w.trace, "%12s %s: %s\n", failovertest.FormatInstant(w.Now()), name, fmt.Sprintf(format, args...))
}

// carry takes a packet along a path. It arrives in the machine, or in the buffers of one that is paused.
func (w *World) carry(from, to *node, arrive func()) {
	p := &w.paths[from.index][to.index]
	if p.cut > 0 || from.off || from == to || !from.kernel.up {
		return
	}
	delay, copies := p.delay+w.upTo(p.jitter), 1
	if b := p.bad; b != nil {
		if w.happens(b.loss) {
			return
		}
		if w.happens(b.duplicate) {
			copies = 2
		}
		delay += b.delay + w.upTo(b.jitter)
	}
	power := to.power
	for range copies {
		w.After(delay, func() {
			switch {
			case to.off || to.power != power || p.cut > 0 || !to.kernel.up:
			case !to.paused:
				arrive()
			case len(to.backlog) < backlogLimit:
				to.backlog = append(to.backlog, arrive)
			}
		})
		delay += w.upTo(lanDelay)
	}
}

// backlogLimit is how many packets wait for a paused machine.
const backlogLimit = 256
