package failover_test

import (
	"container/heap"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"failoverd/bgp"
	"failoverd/failover"
	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// regions is a primary site of two routers, a watcher and a witness, each a real core, on a network of values: enough to say
// in a few lines what should happen. The simulation in failovertest breaks far more.
type regions struct {
	t     *testing.T
	now   vrrp.Instant
	seq   int
	queue regionQueue
	nodes map[string]*regionNode
	order []string
	cut   map[string]bool // "from>to", nodes or sites
	log   []string
}

type regionNode struct {
	name, site string
	addr       netip.Addr
	cfg        *failover.Config
	core       *failover.Core // nil: it does not run
	fx         failover.Effects
	wake       vrrp.Instant
	has        []netip.Prefix
	until      vrrp.Instant // it has them until then at most
	routes     []bgp.Route
	generation uint64
	down       bool // its speaker has no session
	refs       map[uint64]string
	frozen     bool
	backlog    []func()
}

type regionEvent struct {
	at  vrrp.Instant
	seq int
	do  func()
}

type regionQueue []regionEvent

func (q regionQueue) Len() int { return len(q) }
func (q regionQueue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].seq < q[j].seq
}
func (q regionQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *regionQueue) Push(x any)   { *q = append(*q, x.(regionEvent)) }
func (q *regionQueue) Pop() any {
	e := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return e
}

var (
	regionVIP    = netip.MustParsePrefix("198.51.100.10/32")
	regionPrefix = netip.MustParsePrefix("198.51.100.0/24")
)

func regionSpeaker(as uint32) bgp.SpeakerConfig {
	return bgp.SpeakerConfig{
		Name: "EDGE", LocalAS: as, RouterID: addr("203.0.113.9"), Allow: bgp.AllowList{regionPrefix},
		Neighbors: []bgp.Neighbor{{Address: addr("203.0.113.1"), RemoteAS: 64500, HoldTime: 9 * time.Second}},
	}
}

func regionRouter(priority uint8) failover.RouterConfig {
	return failover.RouterConfig{
		Name: "SERVICE", BGPWait: 30 * time.Second,
		VRRP: vrrp.Config{
			Key: vrrp.Key{Interface: "eth0", Family: wire.IPv4, VRID: 77}, Version: wire.V3, Priority: priority, Interval: 100, Preempt: true,
			Addresses: []netip.Addr{regionVIP.Addr()},
		},
		Addresses: []failover.Address{{Prefix: regionVIP, Interface: "eth0", Lease: 3 * time.Second, Guarded: true}},
		Announce:  []failover.Announcement{{Speaker: "EDGE", Route: bgp.Route{Prefix: regionPrefix}}},
	}
}

func regionPartner(id, name string, kind failover.PartnerKind, a string) failover.Partner {
	return failover.Partner{ID: id, Name: name, Kind: kind, Address: netip.AddrPortFrom(addr(a), 7112)}
}

func mainlandConfig(name string, priority uint8) *failover.Config {
	r := regionRouter(priority)
	r.VRRP.Watchers = []vrrp.Peer{{Address: addr("10.3.0.13")}}
	r.Region = failover.RegionConfig{
		Site: "mainland", Home: "mainland", Self: "mainland", Remote: addrs("10.3.0.13"), FailbackClean: 5 * time.Second,
	}
	return &failover.Config{
		Hash: name, RouterID: name, Routers: []failover.RouterConfig{r}, Speakers: []bgp.SpeakerConfig{regionSpeaker(64501)}, BGPLease: 3 * time.Second,
		Sites: []failover.SiteConfig{{
			Name: "mainland", FenceAfter: 7 * time.Second, Heartbeat: time.Second,
			Partners: []failover.Partner{
				regionPartner("site mainland/watcher hk", "10.3.0.13", failover.PartnerWatcher, "10.3.0.13"),
				regionPartner("site mainland/witness sg", "sg", failover.PartnerWitness, "10.9.0.9"),
			},
		}},
	}
}

func watcherConfig() *failover.Config {
	r := regionRouter(100)
	r.VRRP.Unicast, r.VRRP.Peers = true, []vrrp.Peer{{Address: addr("10.1.0.11")}, {Address: addr("10.1.0.12")}}
	r.Addresses[0].Guarded = false
	r.Region = failover.RegionConfig{Watch: "mainland", Home: "mainland", Self: "hk", Remote: addrs("10.1.0.11", "10.1.0.12")}
	return &failover.Config{
		Hash: "hk", RouterID: "hk", Routers: []failover.RouterConfig{r}, Speakers: []bgp.SpeakerConfig{regionSpeaker(64502)}, BGPLease: 3 * time.Second,
		Watches: []failover.WatchConfig{{
			Name: "mainland", DownQuorum: 1, TakeoverAfter: 18 * time.Second, Heartbeat: time.Second, FenceAfter: 7 * time.Second,
			HoldTime: 9 * time.Second, Lease: 3 * time.Second, HoldDown: time.Minute, HalfLife: 15 * time.Minute, Suppress: 2500, Reuse: 750,
			Witnesses: []failover.Partner{regionPartner("watch_site mainland/witness sg", "sg", failover.PartnerWitness, "10.9.0.9")},
			Listen:    netip.MustParseAddrPort("0.0.0.0:7112"),
		}},
	}
}

func newRegions(t *testing.T) *regions {
	w := &regions{t: t, now: vrrp.Instant(time.Hour), nodes: map[string]*regionNode{}, cut: map[string]bool{}}
	w.add("m1", "mainland", "10.1.0.11", mainlandConfig("m1", 200))
	w.add("m2", "mainland", "10.1.0.12", mainlandConfig("m2", 150))
	w.add("hk", "hk", "10.3.0.13", watcherConfig())
	w.add("sg", "sg", "10.9.0.9", &failover.Config{Hash: "sg", RouterID: "sg", WitnessServer: &failover.WitnessServerConfig{}})
	return w
}

func (w *regions) add(name, site, a string, cfg *failover.Config) {
	w.nodes[name] = &regionNode{name: name, site: site, addr: addr(a), cfg: cfg}
	w.order = append(w.order, name)
}

func (w *regions) after(d time.Duration, do func()) {
	w.seq++
	heap.Push(&w.queue, regionEvent{w.now.Add(d), w.seq, do})
}

// run lets time pass.
func (w *regions) run(d time.Duration) {
	end := w.now.Add(d)
	for len(w.queue) > 0 && w.queue[0].at <= end {
		e := heap.Pop(&w.queue).(regionEvent)
		w.now = max(w.now, e.at)
		e.do()
	}
	w.now = end
}

func (w *regions) start(names ...string) {
	for _, name := range names {
		n := w.nodes[name]
		core, err := failover.New(n.cfg, w.now)
		if err != nil {
			w.t.Fatal(err)
		}
		n.core, n.wake, n.refs, n.generation, n.has, n.routes = core, vrrp.Never, map[uint64]string{}, 0, nil, nil
		for _, l := range n.cfg.Links() {
			core.Step(w.now, failover.LinkChanged{Link: l, Open: true}, &n.fx)
		}
		core.Step(w.now, failover.InterfaceChanged{Interface: failover.Interface{
			Name: "eth0", Index: 2, Up: true, MTU: 1500, Addresses: []netip.Prefix{netip.PrefixFrom(n.addr, 24)},
		}}, &n.fx)
		core.Step(w.now, failover.AddressesReported{}, &n.fx)
		w.session(n)
		w.batch(n)
	}
}

// kill is a loss of power: nothing is said, nothing is left.
func (w *regions) kill(names ...string) {
	for _, name := range names {
		w.nodes[name].core, w.nodes[name].has, w.nodes[name].routes = nil, nil, nil
	}
}

// freeze stops a process; its kernel's leases and its speaker's end by themselves.
func (w *regions) freeze(name string) {
	n := w.nodes[name]
	n.frozen = true
	w.after(3*time.Second, func() {
		if n.frozen {
			n.has, n.routes = nil, nil
		}
	})
}

func (w *regions) thaw(name string) {
	n := w.nodes[name]
	n.frozen = false
	for _, do := range n.backlog {
		do()
	}
	n.backlog = nil
	w.batch(n)
}

// step feeds an input to a node.
func (w *regions) step(name string, in failover.Input) {
	n := w.nodes[name]
	n.core.Step(w.now, in, &n.fx)
	w.batch(n)
}

func (w *regions) session(n *regionNode) {
	if len(n.cfg.Speakers) == 0 {
		return
	}
	st := bgp.NeighborStatus{Address: addr("203.0.113.1"), RemoteAS: 64500, State: bgp.Established}
	if n.down {
		st.State = bgp.Idle
	}
	n.core.Step(w.now, failover.SpeakerReported{Report: bgp.Report{
		Speaker: "EDGE", Connected: true, Neighbors: []bgp.NeighborStatus{st}, Announced: n.routes, Generation: n.generation,
	}}, &n.fx)
}

func (w *regions) blocked(a, b *regionNode) bool {
	return w.cut[a.name+">"+b.name] || w.cut[a.site+">"+b.site] || w.cut[a.site+">*"] || w.cut["*>"+b.site]
}

func (w *regions) sever(paths ...string) {
	for _, p := range paths {
		w.cut[p] = true
	}
}

// carry brings something from one node to another.
func (w *regions) carry(a, b *regionNode, do func()) {
	d := 200 * time.Microsecond
	if a.site != b.site {
		d = 30 * time.Millisecond
	}
	w.after(d, func() {
		switch {
		case b.core == nil || w.blocked(a, b):
		case b.frozen:
			b.backlog = append(b.backlog, do)
		default:
			do()
			w.batch(b)
		}
	})
}

func (w *regions) batch(n *regionNode) {
	if n.core == nil || n.frozen {
		return
	}
	if n.core.Deadline() <= w.now {
		n.core.Expire(w.now, &n.fx)
	}
	n.core.Flush(w.now, &n.fx)
	w.perform(n)
	n.fx.Reset()
	if d := n.core.Deadline(); d < n.wake || n.wake <= w.now {
		if d <= w.now {
			w.t.Fatalf("%s is due at %d, and it is %d", n.name, d, w.now)
		}
		if n.wake = d; d == vrrp.Never {
			return
		}
		core := n.core
		w.after(d.Sub(w.now), func() {
			if n.core == core && n.wake == d {
				n.wake = vrrp.Never
				w.batch(n)
			}
		})
	}
}

func (w *regions) perform(n *regionNode) {
	fx := &n.fx
	for i := range fx.Adverts {
		v := fx.Adverts[i]
		payload := slices.Clone(v.Payload)
		for _, name := range w.order {
			to := w.nodes[name]
			link := failover.LinkID{Family: wire.IPv4}
			switch {
			case to == n || v.Dst.IsMulticast() && to.site != n.site, !v.Dst.IsMulticast() && v.Dst != to.addr:
				continue
			case v.Dst.IsMulticast():
				link.Interface = "eth0"
			}
			w.carry(n, to, func() {
				var p wire.Packet
				if wire.Parse(payload, wire.Header{Src: v.Src, Dst: v.Dst, TTL: 255}, &p) == wire.Accepted {
					to.core.Receive(w.now, link, &p, &to.fx)
				}
			})
		}
	}
	w.heartbeats(n)
	if fx.Addresses != nil {
		n.has, n.until = nil, fx.Addresses.Until
		rep := failover.AddressReport{Generation: fx.Addresses.Generation}
		for _, a := range fx.Addresses.Addresses {
			n.has = append(n.has, a.Prefix)
			rep.Present = append(rep.Present, a.Key())
		}
		w.later(n, func() { n.core.Step(w.now, failover.AddressesReported{Report: rep}, &n.fx) })
	}
	for _, r := range fx.Routes {
		n.routes, n.generation = r.Desired.Routes, r.Desired.Generation
		w.later(n, func() { w.session(n) })
	}
	for i := range fx.Events {
		e := &fx.Events[i]
		w.log = append(w.log, fmt.Sprintf("%.3f %s %d %s -> %s: %s %s", time.Duration(w.now).Seconds(), n.name, e.Kind, e.From, e.To, e.Object, e.Reason))
	}
}

func (w *regions) later(n *regionNode, do func()) {
	core := n.core
	w.after(time.Millisecond, func() {
		if n.core == core {
			do()
			w.batch(n)
		}
	})
}

func (w *regions) heartbeats(n *regionNode) {
	for _, h := range n.fx.Heartbeats {
		to := w.partner(n, h.Partner)
		w.carry(n, to, func() {
			w.seq++
			ref := uint64(w.seq)
			to.refs[ref] = n.name + "\x00" + h.Partner
			to.core.Step(w.now, failover.HeartbeatHeard{Request: h.Request, Fresh: true, Ref: ref}, &to.fx)
		})
	}
	for _, a := range n.fx.Answers {
		name, partner, _ := strings.Cut(n.refs[a.Ref], "\x00")
		to := w.nodes[name]
		w.carry(n, to, func() {
			to.core.Step(w.now, failover.HeartbeatReplied{Partner: partner, Reply: a.Reply}, &to.fx)
		})
	}
}

func (w *regions) partner(n *regionNode, id string) *regionNode {
	for _, p := range append(slices.Concat(n.cfg.Sites, nil), failover.SiteConfig{}) {
		for _, q := range p.Partners {
			if q.ID == id {
				return w.at(q.Address.Addr())
			}
		}
	}
	for _, p := range n.cfg.Watches {
		for _, q := range p.Witnesses {
			if q.ID == id {
				return w.at(q.Address.Addr())
			}
		}
	}
	w.t.Fatalf("no partner %s", id)
	return nil
}

func (w *regions) at(a netip.Addr) *regionNode {
	for _, n := range w.nodes {
		if n.addr == a {
			return n
		}
	}
	w.t.Fatalf("nobody has %s", a)
	return nil
}

func (w *regions) status(name string) *failover.Snapshot {
	return w.nodes[name].core.Snapshot(w.now, func(i vrrp.Instant) time.Time { return time.Unix(0, int64(i)) })
}

// serving names who has the role, the address and the route, in order.
func (w *regions) serving() string {
	var all []string
	for _, name := range w.order {
		n := w.nodes[name]
		if n.core == nil || len(n.cfg.Routers) == 0 {
			continue
		}
		var is []string
		if !n.frozen && w.status(name).Routers[0].State == "MASTER" {
			is = append(is, "role")
		}
		if len(n.has) > 0 {
			is = append(is, "address")
		}
		if len(n.routes) > 0 {
			is = append(is, "route")
		}
		if len(is) > 0 {
			all = append(all, name+" "+strings.Join(is, "+"))
		}
	}
	return strings.Join(all, ", ")
}

// watchOnSiteDown lets the watcher take over by the verdict alone, of a health check.
func (w *regions) watchOnSiteDown() {
	cfg := *w.nodes["hk"].cfg
	cfg.Hash, cfg.Watches = "hk2", slices.Clone(cfg.Watches)
	cfg.Watches[0].OnSiteDown, cfg.Watches[0].Checks = true, []string{"origin"}
	cfg.Checks = []failover.CheckConfig{{Name: "origin"}}
	w.nodes["hk"].cfg = &cfg
	w.step("hk", failover.Reconfigured{Config: &cfg})
}

// another gives a node a second router, of another VRID.
func (w *regions) another(name string, vrid uint8) {
	n := w.nodes[name]
	cfg := *n.cfg
	cfg.Hash += "+"
	r := cfg.Routers[0]
	r.Name, r.VRRP.Key.VRID, r.Announce = "SECOND", vrid, nil
	r.VRRP.Addresses = []netip.Addr{addr("198.51.100.11")}
	r.Addresses = []failover.Address{{Prefix: netip.MustParsePrefix("198.51.100.11/32"), Interface: "eth0", Lease: 3 * time.Second}}
	cfg.Routers = append(slices.Clone(cfg.Routers), r)
	n.cfg = &cfg
	w.step(name, failover.Reconfigured{Config: &cfg})
}

// check is the result of a health check of the watcher.
func (w *regions) check(name string, ok bool) {
	w.step("hk", failover.TrackerReported{Report: failover.TrackerReport{
		Tracker: failover.Tracker{Kind: failover.TrackCheck, Name: name}, OK: ok, Reason: "refused",
	}})
}

// loseUpstream ends the sessions of nodes that track them.
func (w *regions) loseUpstream(names ...string) {
	for _, name := range names {
		n := w.nodes[name]
		cfg := *n.cfg
		cfg.Hash, cfg.Routers = name+"2", slices.Clone(cfg.Routers)
		cfg.Routers[0].Tracks = []failover.Track{{Tracker: failover.Tracker{Kind: failover.TrackBGP, Name: "EDGE"}}}
		n.cfg = &cfg
		w.step(name, failover.Reconfigured{Config: &cfg})
		n.down = true
		w.session(n)
		w.batch(n)
	}
}

const (
	byM1 = "m1 role+address+route"
	byM2 = "m2 role+address+route"
	byHK = "hk role+address+route"
)

func (w *regions) want(want string) {
	w.t.Helper()
	if got := w.serving(); got != want {
		for _, name := range w.order {
			if n := w.nodes[name]; n.core != nil && len(n.cfg.Routers) > 0 {
				r := w.status(name).Routers[0]
				w.log = append(w.log, fmt.Sprintf("%s: %s, %s; waits: %s; epoch %d %s", name, r.State, r.Why, r.Waiting, r.Epoch, r.Holder))
			}
		}
		w.t.Fatalf("at %.3f s: %q, want %q\n%s", time.Duration(w.now).Seconds(), got, want, strings.Join(w.log, "\n"))
	}
}
