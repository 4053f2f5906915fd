package regiontest

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"failoverd/bgp"
	"failoverd/failover"
	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// settings are what the configurations of a course say, drawn from its seed. The letters of the design's inequalities
// stand behind them.
type settings struct {
	witnesses int
	beat      time.Duration // HB
	fence     time.Duration // T_fence
	take      time.Duration // T_take
	lease     time.Duration // V
	hold      time.Duration // H
	quorum    int
	clean     time.Duration // failback_clean
	holdDown  time.Duration
	overlap   time.Duration // handover_overlap
	preempt   bool
	checks    bool // witnesses look at the mainland, too
	onDown    bool // takeover_on_site_down
}

// Names in the configurations.
const (
	homeSite    = "mainland"
	otherSite   = "island"
	speakerName = "EDGE"
	checkName   = "mainland-answers"
	routerName  = "SERVICE"
)

// Budgets of the inequalities, and of the recovery time.
const (
	propagation = 100 * time.Millisecond // P_w
	kernelSlop  = time.Second            // S_k
	voteTime    = time.Second            // T_vote
	programTime = 200 * time.Millisecond // T_prog
	updateTime  = 300 * time.Millisecond // T_adv
	interval    = time.Second            // of advertisements
)

// backupPriority is that of m2.
const backupPriority = 150

var (
	service = netip.MustParsePrefix("198.51.100.0/24")
	vip     = netip.MustParsePrefix("198.51.100.10/32")
	key     = vrrp.Key{Interface: "eth0", Family: wire.IPv4, VRID: 51}
)

func drawSettings(r *rand.Rand) settings {
	s := settings{
		witnesses: 1 + r.IntN(2), clean: time.Duration(2+r.IntN(6)) * time.Second, preempt: r.IntN(4) > 0, checks: r.IntN(3) > 0,
		holdDown: []time.Duration{0, 5 * time.Second, 60 * time.Second}[r.IntN(3)], onDown: r.IntN(6) == 0,
	}
	if r.IntN(3) == 0 {
		s.overlap = 2 * time.Second
	}
	switch r.IntN(3) {
	case 0: // the default
		s.beat, s.fence, s.lease, s.hold = time.Second, 7*time.Second, 3*time.Second, 9*time.Second
	case 1: // a short hold time
		s.beat, s.fence, s.lease, s.hold = time.Second, 4*time.Second, 2*time.Second, 3*time.Second
	case 2: // strict BFD
		s.beat, s.fence, s.lease, s.hold = 2*time.Second, 7*time.Second, 3*time.Second, 900*time.Millisecond
	}
	s.take = s.doubleFault()
	votes := 1
	if s.checks {
		votes += s.witnesses
	}
	s.quorum = 1 + r.IntN(votes)
	return s
}

// doubleFault is the least T_take that withstands two faults, in whole seconds: a hang while isolated. It is that for
// single faults at least.
func (s *settings) doubleFault() time.Duration {
	double := s.fence + s.hold + propagation + s.beat
	single := max(s.fence, s.hold, s.lease+kernelSlop) + propagation + 2*s.beat
	return (max(single, double) + time.Second - 1).Truncate(time.Second)
}

// recovery is the longest time from a failure of the mainland until the other site's router has the route (L3), drift
// of the clocks included.
func (s *settings) recovery() time.Duration {
	d := s.beat + s.take + voteTime + programTime + updateTime
	return d + d*drift/1e6
}

// exchange is the longest time from a claim at one site until the other one, which hears of it by the next heartbeat, has
// let go of address and route.
func (s *settings) exchange() time.Duration {
	grace := failover.DefaultWithdrawGrace
	if s.overlap == 0 { // what goes to the other site goes at once
		grace = 0
	}
	return grace + s.beat + 2*2*wanDelay + failover.ReleaseBound + 4*(loopDelay+workerDelay+speakerDelay+resultDelay)
}

// config returns the configuration of a node.
func (w *World) config(n *node) *failover.Config {
	cfg := w.faithful(n)
	w.mutation.configure(n, cfg)
	return cfg
}

func (w *World) faithful(n *node) *failover.Config {
	cfg := &failover.Config{Hash: n.name, RouterID: n.name, BGPLease: min(3*time.Second, w.hold)}
	cfg.BGPLease = max(cfg.BGPLease, time.Second)
	switch n.site {
	case mainland:
		w.home(n, cfg)
	case island:
		w.watcher(n, cfg)
	default:
		cfg.WitnessServer = &failover.WitnessServerConfig{Listen: netip.AddrPortFrom(n.address, 7112), Keys: keys}
		if w.checks {
			cfg.Watches = []failover.WatchConfig{{
				Name: homeSite, Checks: []string{checkName}, DownQuorum: 1, TakeoverAfter: w.take, Heartbeat: w.beat,
			}}
			cfg.Checks = []failover.CheckConfig{{Name: checkName, Interval: probeInterval, Rise: probeRise, Fall: probeFall}}
		}
		return cfg
	}
	cfg.Speakers = []bgp.SpeakerConfig{{
		Name: speakerName, LocalAS: 64501, RouterID: n.address, Allow: bgp.AllowList{service},
		Neighbors: []bgp.Neighbor{{Address: netip.MustParseAddr("203.0.113.1"), RemoteAS: 64500}},
	}}
	return cfg
}

var keys = [][]byte{[]byte("a key that everybody in this world has")}

// home is the configuration of a node of the mainland.
func (w *World) home(n *node, cfg *failover.Config) {
	r := w.router(n, 200)
	if n == w.m2 {
		r.VRRP.Priority = backupPriority
	}
	r.VRRP.Watchers = []vrrp.Peer{{Address: w.k.address}}
	r.Region = failover.RegionConfig{
		Site: homeSite, Home: homeSite, Self: homeSite, Remote: []netip.Addr{w.k.address}, HandoverOverlap: w.overlap,
		FailbackClean: w.clean,
	}
	partners := []failover.Partner{{
		ID: "site mainland/watcher k", Kind: failover.PartnerWatcher, Name: w.k.address.String(),
		Address: netip.AddrPortFrom(w.k.address, 7112), Keys: keys,
	}}
	cfg.Sites = []failover.SiteConfig{{
		Name: homeSite, Partners: append(partners, w.bystanders("site mainland")...), FenceAfter: w.fence, Heartbeat: w.beat,
	}}
	cfg.Routers = []failover.RouterConfig{r}
}

// watcher is the configuration of the node of the other site.
func (w *World) watcher(n *node, cfg *failover.Config) {
	r := w.router(n, 100)
	r.VRRP.Unicast = true
	for _, m := range []*node{w.m1, w.m2} {
		r.VRRP.Peers = append(r.VRRP.Peers, vrrp.Peer{Address: m.address})
		r.Region.Remote = append(r.Region.Remote, m.address)
	}
	r.Region.Watch, r.Region.Home, r.Region.Self, r.Region.HandoverOverlap = homeSite, homeSite, otherSite, w.overlap
	r.Region.FailbackClean = w.clean
	r.Addresses[0].Guarded = false
	cfg.Watches = []failover.WatchConfig{{
		Name: homeSite, Checks: []string{checkName}, Witnesses: w.bystanders("watch mainland"), Heartbeat: w.beat, DownQuorum: w.quorum,
		TakeoverAfter: w.take, OnSiteDown: w.onDown, FenceAfter: w.fence, HoldTime: w.hold, Lease: w.lease,
		Listen: netip.AddrPortFrom(n.address, 7112), Keys: keys,
		HoldDown: w.holdDown, HalfLife: 15 * time.Minute, Suppress: 2500, Reuse: 750,
	}}
	cfg.Checks = []failover.CheckConfig{{Name: checkName, Interval: probeInterval, Rise: probeRise, Fall: probeFall}}
	cfg.Routers = []failover.RouterConfig{r}
}

// bystanders returns the witnesses as partners of a block.
func (w *World) bystanders(block string) (list []failover.Partner) {
	for i := range w.witnesses {
		name := fmt.Sprintf("w%d", i+1)
		address := netip.AddrFrom4([4]byte{192, 0, 2, byte(11 + i)})
		list = append(list, failover.Partner{
			ID: block + "/witness " + name, Kind: failover.PartnerWitness, Name: name,
			Address: netip.AddrPortFrom(address, 7112), Keys: keys,
		})
	}
	return list
}

func (w *World) router(n *node, priority uint8) failover.RouterConfig {
	return failover.RouterConfig{
		Name: routerName, Source: n.address,
		VRRP: vrrp.Config{
			Key: key, Version: wire.V3, Priority: priority, Interval: wire.Centiseconds(interval / (10 * time.Millisecond)),
			Preempt: w.preempt, Addresses: []netip.Addr{vip.Addr()},
		},
		Addresses: []failover.Address{{Prefix: vip, Interface: "lo", Lease: w.lease, Guarded: true}},
		Announce:  []failover.Announcement{{Speaker: speakerName, Route: bgp.Route{Prefix: service}}},
		GARP:      failover.GARP{Repeat: 1, RefreshRepeat: 1, RivalRepeat: 1},

		WithdrawGrace: failover.DefaultWithdrawGrace,
	}
}

func prefixes(a netip.Addr) []netip.Prefix { return []netip.Prefix{netip.PrefixFrom(a, 24)} }
