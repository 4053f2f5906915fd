package failover_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"failoverd/bgp"
	"failoverd/failover"
	"failoverd/failover/failovertest"
	"failoverd/vrrp"
)

// lastWorld is a model of several nodes with keep_last, each with a session to each of some upstreams. An upstream chooses the
// best path - one that is not draining before one that is, and then whom it likes better, or whom it knows for longer - and
// sends it to everybody but whom it came from. Everything takes time: an update to the upstream, its choice to a node, and the
// check, which looks once a second and counts as package health does.
type lastWorld struct {
	rand      *rand.Rand
	now       vrrp.Instant
	nodes     []*lastNode
	upstreams []*lastUpstream
	everyone  bool // the check wants to see the prefix from all neighbors
	events    int  // transitions of services
	log       []string
}

const (
	lastTick = 50 * time.Millisecond
	lastRise = 2 // of the check, which looks once a second
	lastFall = 3
)

type lastNode struct {
	name  string
	core  *failover.Core
	lag   []time.Duration // from an upstream's choice to what the node has from it
	up    []bool          // sessions
	next  vrrp.Instant    // when the check looks
	row   int             // equal results against the verdict
	known bool
	seen  bool // the verdict
	route bool // it announces
	drain bool // as the last resort
	state string
}

type lastPath struct {
	at    vrrp.Instant // when the upstream learned of it first
	there bool
	drain bool
}

type lastUpdate struct {
	due  vrrp.Instant
	node int
	path lastPath
}

type lastUpstream struct {
	paths  []lastPath // by node
	queue  []lastUpdate
	likes  []int // nodes, the best liked one first
	oldest bool
	best   []int          // history of choices; -1: none
	since  []vrrp.Instant // of each
}

func newLastWorld(seed uint64, nodes, upstreams int, everyone bool, settle time.Duration) *lastWorld {
	w := &lastWorld{rand: rand.New(rand.NewPCG(seed, 1)), everyone: everyone}
	for range upstreams {
		w.upstreams = append(w.upstreams, &lastUpstream{
			paths: make([]lastPath, nodes), likes: w.rand.Perm(nodes), oldest: w.rand.IntN(2) == 0, best: []int{-1}, since: []vrrp.Instant{0},
		})
	}
	text := fmt.Sprintf("speaker EDGE allow 192.0.2.0/24\nservice W lo drain_time 5s keep_last other settle %v\naddress 192.0.2.1/32 lo lease 3s\nannounce 192.0.2.0/24 EDGE\ntrack check web\n", settle)
	for i := range nodes {
		core, err := failover.New(failovertest.MustParseConfig(text), 0)
		if err != nil {
			panic(err)
		}
		n := &lastNode{name: string(rune('A' + i)), core: core, next: vrrp.Instant(w.rand.Int64N(int64(time.Second)))}
		for range upstreams {
			n.lag, n.up = append(n.lag, w.between(0, 400*time.Millisecond)), append(n.up, true)
		}
		w.nodes = append(w.nodes, n)
		w.step(n, failover.InterfaceChanged{Interface: failover.Interface{Name: "lo", Index: 1, Up: true, Loopback: true}})
		w.step(n, failover.SpeakerReported{Report: bgp.Report{Speaker: "EDGE", Connected: true}})
		w.step(n, failover.TrackerReported{Report: failover.TrackerReport{Tracker: failover.Tracker{Kind: failover.TrackCheck, Name: "web"}, OK: true}})
	}
	return w
}

func (w *lastWorld) between(from, to time.Duration) time.Duration {
	return from + time.Duration(w.rand.Int64N(int64(to-from)))
}

// step gives a node an input, and answers what it asks for: the kernel and the speaker do at once what they are told.
func (w *lastWorld) step(n *lastNode, in failover.Input) {
	for first := true; in != nil || first; first = false {
		fx := new(failover.Effects)
		if in != nil {
			n.core.Step(w.now, in, fx)
		}
		n.core.Expire(w.now, fx)
		n.core.Flush(w.now, fx)
		in = w.answer(n, fx)
	}
}

func (w *lastWorld) answer(n *lastNode, fx *failover.Effects) (in failover.Input) {
	for i := range fx.Events {
		if e := &fx.Events[i]; e.Kind == failover.EventTransition {
			w.events++
			n.state = e.To
			w.log = append(w.log, fmt.Sprintf("%v %s %s > %s: %s", time.Duration(w.now), n.name, e.From, e.To, e.Reason))
		}
	}
	if d := fx.Addresses; d != nil {
		rep := failover.AddressReport{Generation: d.Generation}
		for i := range d.Addresses {
			rep.Present = append(rep.Present, d.Addresses[i].Key())
		}
		in = failover.AddressesReported{Report: rep}
	}
	for i := range fx.Routes {
		d := &fx.Routes[i].Desired
		n.route = len(d.Routes) > 0
		n.drain = n.route && len(d.Routes[0].Communities) > 0
		w.tell(n)
		w.step(n, failover.SpeakerReported{Report: bgp.Report{Speaker: "EDGE", Connected: true, Generation: d.Generation, Announced: d.Routes}})
	}
	return in
}

// tell sends what a node announces to every upstream, in order.
func (w *lastWorld) tell(n *lastNode) {
	index := slices.Index(w.nodes, n)
	for u, up := range w.upstreams {
		due := w.now.Add(w.between(0, 400*time.Millisecond))
		for _, q := range up.queue {
			if q.node == index {
				due = max(due, q.due)
			}
		}
		up.queue = append(up.queue, lastUpdate{due, index, lastPath{there: n.route && n.up[u], drain: n.drain}})
	}
}

// choose lets an upstream take over what has arrived, and choose.
func (w *lastWorld) choose(u *lastUpstream) {
	u.queue = slices.DeleteFunc(u.queue, func(q lastUpdate) bool {
		if q.due > w.now {
			return false
		}
		if p := &u.paths[q.node]; p.there && q.path.there {
			q.path.at = p.at
		} else {
			q.path.at = w.now
		}
		u.paths[q.node] = q.path
		return true
	})
	best := -1
	for _, i := range u.likes {
		p := &u.paths[i]
		if !p.there {
			continue
		}
		if best < 0 || u.paths[best].drain && !p.drain || u.oldest && u.paths[best].drain == p.drain && p.at < u.paths[best].at {
			best = i
		}
	}
	if best != u.best[len(u.best)-1] {
		u.best, u.since = append(u.best, best), append(u.since, w.now)
	}
}

// bestAt is what an upstream had chosen at an instant.
func (u *lastUpstream) bestAt(at vrrp.Instant) int {
	for i := len(u.since) - 1; i >= 0; i-- {
		if u.since[i] <= at {
			return u.best[i]
		}
	}
	return -1
}

// look is one run of the check of a node.
func (w *lastWorld) look(n *lastNode) {
	index, sessions, from := slices.Index(w.nodes, n), 0, 0
	for u, up := range w.upstreams {
		if !n.up[u] {
			continue
		}
		sessions++
		if best := up.bestAt(w.now.Add(-n.lag[u])); best >= 0 && best != index {
			from++
		}
	}
	ok := from > 0 && (from == sessions || !w.everyone)
	need := lastFall
	if ok {
		need = lastRise
	}
	if n.known && ok == n.seen {
		n.row = 0
		return
	}
	if n.row++; n.known && n.row < need {
		return
	}
	n.known, n.seen, n.row = true, ok, 0
	w.step(n, failover.TrackerReported{Report: failover.TrackerReport{
		Tracker: failover.Tracker{Kind: failover.TrackCheck, Name: "other"}, OK: ok, Unknown: sessions == 0, Reason: "not seen",
	}})
}

// health makes the service of a node well, or not.
func (w *lastWorld) health(n *lastNode, ok bool) {
	w.step(n, failover.TrackerReported{Report: failover.TrackerReport{
		Tracker: failover.Tracker{Kind: failover.TrackCheck, Name: "web"}, OK: ok, Reason: "refused",
	}})
}

// session makes a session of a node come or go. An upstream drops the path of who is gone at once.
func (w *lastWorld) session(n *lastNode, u int, up bool) {
	n.up[u] = up
	w.tell(n)
}

// run lets time pass; disturb is called at every tick. It returns for how long nobody announced.
func (w *lastWorld) run(d time.Duration, disturb func()) (nobody time.Duration) {
	for end := w.now.Add(d); w.now < end; w.now = w.now.Add(lastTick) {
		if disturb != nil {
			disturb()
		}
		for _, u := range w.upstreams {
			w.choose(u)
		}
		announced := false
		for _, n := range w.nodes {
			if n.next <= w.now {
				n.next = n.next.Add(time.Second)
				w.look(n)
			}
			if n.core.Deadline() <= w.now {
				w.step(n, nil)
			}
			announced = announced || n.route
		}
		if !announced {
			nobody += lastTick
		}
	}
	return nobody
}

// disturbance makes services come and go at random, mostly several within a second of each other, and sessions too.
func (w *lastWorld) disturbance(sessions bool) func() {
	next := w.now
	return func() {
		if w.now < next {
			return
		}
		next = w.now.Add(w.between(lastTick, 12*time.Second))
		together := w.rand.IntN(2) == 0
		for _, n := range w.nodes {
			if together || w.rand.IntN(len(w.nodes)) == 0 {
				w.health(n, w.rand.IntN(4) == 0)
			}
			for u := range n.up {
				if sessions && w.rand.IntN(6) == 0 {
					w.session(n, u, !n.up[u])
				}
			}
		}
	}
}

const lastSettle = 6 * time.Second

// TestKeepLast: three nodes, two upstreams, whatever happens to the services and sessions. Somebody always announces; when
// all services are down for good, the nodes come to rest, and those that are left are the last resort; when one is well again,
// it alone announces.
func TestKeepLast(t *testing.T) {
	seeds := uint64(300)
	if testing.Short() {
		seeds = 30
	}
	most := 0
	for seed := range seeds {
		w := newLastWorld(seed, 3, 2, true, lastSettle)
		w.run(20*time.Second, nil) // all are well
		gap := w.run(3*time.Minute, w.disturbance(seed%2 == 1))
		for _, n := range w.nodes {
			for u := range n.up {
				w.session(n, u, true)
			}
			w.health(n, false)
		}
		gap += w.run(2*time.Minute, nil)
		before := w.events
		gap += w.run(5*time.Minute, nil)
		if gap > 0 {
			t.Fatalf("seed %d: nobody announced for %v\n%s", seed, gap, w.story())
		}
		if w.events != before {
			t.Fatalf("seed %d: %d transitions after two minutes of rest\n%s", seed, w.events-before, w.story())
		}
		last := 0
		for _, n := range w.nodes {
			if n.route != (n.state == failover.ServiceLast) || n.route && !n.drain {
				t.Fatalf("seed %d: %s is %s, announces %v, as the last resort %v", seed, n.name, n.state, n.route, n.drain)
			}
			if n.route {
				last++
			}
		}
		most = max(most, last)
		if last > len(w.upstreams) {
			t.Fatalf("seed %d: %d nodes are the last resort, more than there are upstreams\n%s", seed, last, w.story())
		}
		well := w.nodes[seed%3]
		w.health(well, true)
		if gap := w.run(30*time.Second, nil); gap > 0 {
			t.Fatalf("seed %d: nobody announced for %v\n%s", seed, gap, w.story())
		}
		for _, n := range w.nodes {
			if n.route != (n == well) {
				t.Fatalf("seed %d: %s is well, and %s announces: %v\n%s", seed, well.name, n.name, n.route, w.story())
			}
		}
	}
	t.Logf("%d schedules; at most %d nodes were the last resort at rest", seeds, most)
}

// TestKeepLastNeedsItsRules: without either of the two rules the same schedules leave a prefix that nobody announces. If they
// did not, the simulation would prove nothing.
func TestKeepLastNeedsItsRules(t *testing.T) {
	for _, tt := range []struct {
		name     string
		everyone bool
		settle   time.Duration
	}{
		{"seen from any neighbor", false, lastSettle},
		{"no settle time", true, 0},
	} {
		failed := 0
		for seed := range uint64(60) {
			w := newLastWorld(seed, 3, 2, tt.everyone, tt.settle)
			w.run(20*time.Second, nil)
			if w.run(3*time.Minute, w.disturbance(false)) > 0 {
				failed++
			}
		}
		t.Logf("%s: nobody announced for a while in %d of 60 schedules", tt.name, failed)
		if failed == 0 {
			t.Errorf("%s: the simulation finds nothing wrong", tt.name)
		}
	}
}

func (w *lastWorld) story() (s string) {
	for _, l := range w.log[max(0, len(w.log)-40):] {
		s += l + "\n"
	}
	return s
}
