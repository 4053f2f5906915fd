package failover_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"failoverd/bgp"
	"failoverd/failover"
	"failoverd/failover/failovertest"
	"failoverd/vrrp"
)

// railed is one router that announces service through one speaker, driven through its roles by its interface.
type railed struct {
	t      *testing.T
	core   *failover.Core
	now    vrrp.Instant
	fx     failover.Effects
	events []failover.Event
	asked  []bgp.Desired
	cut    bool // the speaker has no session
}

var service = netip.MustParsePrefix("198.51.100.0/24")

func newRailed(t *testing.T, standby bool, change func(*bgp.SpeakerConfig)) *railed {
	t.Helper()
	text := "speaker EDGE allow 198.51.100.0/24 neighbor 192.0.2.254\nrouter A eth0/4/1 priority 200\n address 192.0.2.10/24 eth0\n announce 198.51.100.0/24 EDGE"
	if standby {
		text += "\n announce 198.51.100.0/24 EDGE when backup prepend 2"
	}
	cfg := failovertest.MustParseConfig(text)
	change(&cfg.Speakers[0])
	core, err := failover.New(cfg, 0)
	if err != nil {
		t.Fatal(err)
	}
	r := &railed{t: t, core: core}
	r.step(failover.LinkChanged{Link: failover.LinkID{Interface: "eth0", Family: 4}, Open: true})
	return r
}

func (r *railed) step(in failover.Input) {
	r.core.Step(r.now, in, &r.fx)
	r.flush()
}

// flush carries out the effects as the workers would: the kernel and the speaker do at once what they are asked for.
func (r *railed) flush() {
	for range 20 {
		r.core.Flush(r.now, &r.fx)
		routes, addresses := slices.Clone(r.fx.Routes), r.fx.Addresses
		r.events = append(r.events, r.fx.Events...)
		r.fx.Reset()
		if len(routes) == 0 && addresses == nil {
			return
		}
		for _, sr := range routes {
			r.asked = append(r.asked, sr.Desired)
			r.core.Step(r.now, r.report(sr.Desired), &r.fx)
		}
		if addresses != nil {
			rep := failover.AddressReport{Generation: addresses.Generation}
			for i := range addresses.Addresses {
				rep.Present = append(rep.Present, addresses.Addresses[i].Key())
			}
			r.core.Step(r.now, failover.AddressesReported{Report: rep}, &r.fx)
		}
	}
	r.t.Fatal("it never settles")
}

// report is what the speaker says when its table is as desired.
func (r *railed) report(d bgp.Desired) failover.SpeakerReported {
	state := bgp.Established
	if r.cut {
		state = bgp.Idle
	}
	return failover.SpeakerReported{Report: bgp.Report{
		Speaker: "EDGE", Connected: true, Generation: d.Generation, Announced: d.Routes,
		Neighbors: []bgp.NeighborStatus{{Address: netip.MustParseAddr("192.0.2.254"), State: state}},
	}}
}

func (r *railed) pass(d time.Duration) {
	for end := r.now.Add(d); r.now < end; {
		r.now = min(max(r.core.Deadline(), r.now+1), end)
		if r.core.Deadline() <= r.now {
			r.core.Expire(r.now, &r.fx)
		}
		r.flush()
	}
}

// link turns the interface on, after which the router becomes Active within seconds, or off, which ends its role.
func (r *railed) link(up bool) {
	r.step(failover.InterfaceChanged{Interface: failover.Interface{
		Name: "eth0", Index: 2, Up: up, MTU: 1500, Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24")},
	}})
}

// active makes the router Active.
func (r *railed) active() {
	r.t.Helper()
	r.link(true)
	r.pass(4 * time.Second)
	if st := r.snapshot().Routers[0].State; st != "MASTER" {
		r.t.Fatalf("state %s", st)
	}
}

func (r *railed) snapshot() *failover.Snapshot {
	return r.core.Snapshot(r.now, func(i vrrp.Instant) time.Time { return time.Unix(0, int64(i)) })
}

// rpki tells the core of VRPs; none of them: the cache has no data about us. A nil list: there is no data at all.
func (r *railed) rpki(vrps ...bgp.VRP) { r.rpkiFrom("cache:323", vrps...) }

func (r *railed) rpkiFrom(cache string, vrps ...bgp.VRP) {
	rep := bgp.RPKIReport{
		Speaker: "EDGE", Using: cache, Settled: true, Scope: []netip.Prefix{service}, VRPs: vrps, Left: 2 * time.Hour,
		Caches: []bgp.CacheStatus{{Address: cache, State: "up", HasData: true}},
	}
	r.step(failover.RPKIReported{Report: rep})
}

func (r *railed) noData(settled bool) {
	r.step(failover.RPKIReported{Report: bgp.RPKIReport{
		Speaker: "EDGE", Settled: settled, Caches: []bgp.CacheStatus{{Address: "cache:323", State: "down", Error: "connection refused"}},
	}})
}

func (r *railed) announces(want bool) {
	r.t.Helper()
	got := len(r.asked) > 0 && len(r.asked[len(r.asked)-1].Routes) > 0
	if got != want {
		r.t.Fatalf("at %v announced: %v, want %v; %+v", r.now, got, want, r.snapshot().Speakers[0])
	}
}

// told returns the last event of a kind as "FROM>TO".
func (r *railed) told(kind failover.EventKind) (words, reason string) {
	for _, e := range slices.Backward(r.events) {
		if e.Kind == kind {
			return e.From + ">" + e.To, e.Reason
		}
	}
	return "", ""
}

func (r *railed) wantTold(kind failover.EventKind, words, reason string) {
	r.t.Helper()
	if w, why := r.told(kind); w != words || !strings.Contains(why, reason) {
		r.t.Fatalf("told %q (%s), want %q (%s)", w, why, words, reason)
	}
}

func (r *railed) origin() failover.OriginStatus { return r.snapshot().Speakers[0].RPKI.Origins[0] }

func validated(c *bgp.SpeakerConfig) { c.RPKICaches = []string{"cache:323"} }

func warned(c *bgp.SpeakerConfig) { validated(c); c.RPKIWarn = true }

var (
	good = bgp.VRP{Prefix: service, MaxLength: 24, AS: 64501}
	bad  = bgp.VRP{Prefix: service, MaxLength: 24, AS: 64666}
)
