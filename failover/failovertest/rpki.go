package failovertest

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"failoverd/bgp"
	"failoverd/failover"
	"failoverd/vrrp"
)

// The extra "rpki": the speaker EDGE asks an RPKI cache, and refuses routes that it finds invalid.

const (
	rpkiCache   = "192.0.2.250:323"
	rpkiSpeaker = "EDGE"
)

var rpkiPrefix = netip.MustParsePrefix("198.51.100.0/24")

// cacheView is what the RPKI cache tells a host.
type cacheView struct {
	invalid int // how many faults make rpkiPrefix invalid
	lost    int // how many of them keep the cache from answering
}

func (h *Host) beginRPKI() {}

// validAgain ends all faults of the cache.
func (h *Host) validAgain() {
	h.rpki = cacheView{}
	h.tellRPKI()
}

// rpkiReport returns what the cache says.
func (h *Host) rpkiReport() bgp.RPKIReport {
	rep := bgp.RPKIReport{Speaker: rpkiSpeaker, Settled: true, Caches: []bgp.CacheStatus{{Address: rpkiCache, State: "down", Error: "connection refused"}}}
	if h.rpki.lost > 0 {
		return rep
	}
	rep.Caches[0].State, rep.Caches[0].Error, rep.Caches[0].HasData = "up", "", true
	rep.Using, rep.Scope = rpkiCache, []netip.Prefix{rpkiPrefix}
	as := uint32(64501)
	if h.rpki.invalid > 0 {
		as = 64999
	}
	rep.VRPs = []bgp.VRP{{Prefix: rpkiPrefix, MaxLength: 24, AS: as}}
	return rep
}

func (h *Host) tellRPKI() {
	if h.agent != nil {
		h.agent.result(failover.RPKIReported{Report: h.rpkiReport()})
	}
}

// beginCache has the cache answer a new agent.
func (a *agent) beginCache() {
	if a.world.has("rpki") {
		a.world.After(a.world.upTo(lookWithin), func() {
			if a.host.agent == a {
				a.host.tellRPKI()
			}
		})
	}
}

// refuses reports whether the cache has last told the agent that a prefix is invalid.
func (a *agent) refuses(p netip.Prefix) bool { return p == rpkiPrefix && a.invalid }

// origins looks at another set of routes for a speaker: none that is invalid is added (RPKI).
func (c *checker) origins(a *agent, r *failover.SpeakerRoutes) {
	if !c.w.has("rpki") || r.Speaker != rpkiSpeaker {
		return
	}
	for _, x := range r.Desired.Routes {
		if a.refuses(x.Prefix) && !hasPrefix(a.desired[r.Speaker].Routes, x.Prefix) && !a.announced(x.Prefix) {
			c.fail("RPKI", "%s wants %s, whose origin is invalid", a.host.Name, x)
		}
	}
}

// announced reports whether the speaker goes on announcing a prefix that another life has asked for.
func (a *agent) announced(p netip.Prefix) bool {
	s := a.speaker(rpkiSpeaker)
	return s != nil && s.adopted && hasPrefix(s.Table, p)
}

func hasPrefix(routes []bgp.Route, p netip.Prefix) bool {
	return slices.ContainsFunc(routes, func(r bgp.Route) bool { return r.Prefix == p })
}

// keeps: a route that is announced is not taken back because its origin is invalid all of a sudden (KEEP).
func (c *checker) keeps(s *Speaker, now []bgp.Route) {
	a := s.agent
	if !c.w.has("rpki") || s.cfg.Name != rpkiSpeaker || a.stopAt != vrrp.Never || !hasPrefix(s.Table, rpkiPrefix) || hasPrefix(now, rpkiPrefix) ||
		c.w.now.Sub(max(a.since, a.adopted[len(a.adopted)-1])) < lookWithin {
		return
	}
	cfg := a.core.Config()
	for i := range cfg.Routers {
		r := &cfg.Routers[i]
		st := a.state(r.VRRP.Key)
		for _, x := range r.Announce {
			if x.Speaker == rpkiSpeaker && x.Route.Prefix == rpkiPrefix && x.When == failover.RoleActive && c.w.now.Sub(st.active) > c.slack(a.host) &&
				st.word == "MASTER" && c.wellFounded(a, r) {
				c.fail("KEEP", "%s takes %s back, although %s is Active", a.host.Name, rpkiPrefix, r.Name)
			}
		}
	}
}

// wellFounded reports whether all addresses of a router have been in the kernel for some time.
func (c *checker) wellFounded(a *agent, r *failover.RouterConfig) bool {
	for i := range r.Addresses {
		k := r.Addresses[i].Key()
		there, _ := a.host.Kernel.has(k)
		if l, lost := c.hosts[a.host.index].gone[k]; !there || lost && c.w.now.Sub(l.at) < time.Second {
			return false
		}
	}
	return true
}

// originInvalid has the cache find rpkiPrefix invalid for a while, or not answer, on all hosts.
func (s *scenario) originInvalid(_ *Host, f *Fault, _ *rand.Rand) {
	if !s.has("rpki") {
		return
	}
	lost := 0
	if f.N%4 == 0 {
		lost = 1
	}
	set := func(by int) {
		for _, h := range s.w.Hosts {
			h.rpki.invalid += by
			h.rpki.lost += by * lost
			s.w.log(h, "rpki: invalid %d, lost %d", h.rpki.invalid, h.rpki.lost)
			h.tellRPKI()
		}
	}
	set(1)
	s.later(f.For, func() { set(-1) })
}
