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
	lost    int // how many of them keep the cache from answering, and end the time for which its data counts
	down    int // how many of them keep the cache from answering: its data counts for whoever has it
}

// cacheWord is what a cache has said of rpkiPrefix, or what somebody knows of that.
type cacheWord struct{ has, invalid bool }

func (h *Host) beginRPKI() {}

// validAgain ends all faults of the cache.
func (h *Host) validAgain() {
	h.rpki = cacheView{}
	h.tellRPKI()
}

// cacheLife is for how long the data of the cache counts: longer than any course.
const cacheLife = 2 * time.Hour

// rpkiReport returns what the sessions of an agent with the cache say.
func (h *Host) rpkiReport() bgp.RPKIReport {
	client := &h.agent.client
	switch {
	case h.agent.given.Speaker(rpkiSpeaker) == nil, h.rpki.lost > 0:
		*client = cacheWord{}
	case h.rpki.down == 0:
		*client = cacheWord{true, h.rpki.invalid > 0}
	}
	rep := bgp.RPKIReport{Speaker: rpkiSpeaker, Settled: true, Caches: []bgp.CacheStatus{{Address: rpkiCache, State: "down", Error: "connection refused"}}}
	if !client.has {
		return rep
	}
	rep.Caches[0].HasData, rep.Left = true, cacheLife
	if h.rpki.down == 0 {
		rep.Caches[0].State, rep.Caches[0].Error = "up", ""
	}
	rep.Using, rep.Scope = rpkiCache, []netip.Prefix{rpkiPrefix}
	as := uint32(64501)
	if client.invalid {
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

// refuses reports whether the cache has last told the agent that a prefix is invalid, or the life before, while it has told this
// one nothing.
func (a *agent) refuses(p netip.Prefix) bool { return p == rpkiPrefix && a.knows().invalid }

// knows returns what the agent has to go by.
func (a *agent) knows() cacheWord {
	if a.cache.has {
		return a.cache
	}
	return a.before
}

// hearsCache notes what the agent is told of the cache.
func (a *agent) hearsCache(r *bgp.RPKIReport) {
	if a.core.Config().Speaker(rpkiSpeaker) == nil {
		return
	}
	if a.cache = (cacheWord{len(r.VRPs) > 0, len(r.VRPs) > 0 && r.VRPs[0].AS != 64501}); a.cache.has {
		a.before = cacheWord{}
	}
}

// recall has a new agent go on with what the one before has known, whose clock showed offset more than the world's.
func (a *agent) recall(origins []failover.LegacyOrigin, known cacheWord, offset time.Duration) {
	w := a.world
	if a.core.Config().Speaker(rpkiSpeaker) == nil {
		return
	}
	a.before = known
	if w.mutation == Oblivious {
		return
	}
	origins = slices.Clone(origins)
	for i := range origins {
		o := &origins[i]
		o.Learned = o.Learned.Add(a.offset - offset)
		if o.Until != vrrp.Never {
			o.Until = o.Until.Add(a.offset - offset)
		}
	}
	if err := a.core.Recall(a.local(), origins, &a.fx); err != nil {
		w.checker.fail("R3", "%s: %v", a.host.Name, err)
	}
}

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

// cacheDies has the cache find rpkiPrefix invalid and then go down on all hosts, while its data counts. Meanwhile the agent of a
// host is replaced or killed, and whoever is Active loses its role for a moment.
func (s *scenario) cacheDies(h *Host, f *Fault, r *rand.Rand) {
	if !s.has("rpki") {
		return
	}
	set := func(invalid, down int) {
		for _, h := range s.w.Hosts {
			h.rpki.invalid += invalid
			h.rpki.down += down
			s.w.log(h, "rpki: invalid %d, down %d", h.rpki.invalid, h.rpki.down)
			h.tellRPKI()
		}
	}
	set(1, 0)
	s.later(f.For/4, func() { set(0, 1) })
	s.later(f.For/2, func() {
		if f.N%2 == 0 && s.w.supervised {
			s.kill(h, f, r)
		} else {
			h.upgrade(false)
		}
	})
	s.later(f.For*3/4, func() { s.linkFlap(s.find(&Fault{Host: Active, N: f.N}), &Fault{For: 4 * s.interval}, r) })
	s.later(f.For, func() { set(-1, -1) })
}
