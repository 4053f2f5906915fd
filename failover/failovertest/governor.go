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

// The extras "max_changes" and "calm": the speaker EDGE changes no prefix more often than so many times a minute, or announces
// none too soon after its withdrawal (avoid_flap_damping).

const (
	governedSpeaker = "EDGE"
	mostChanges     = 4
	// behind is how long a decision may take to be carried out: the agent counts from the one, the neighbors from the other.
	behind = 10 * time.Millisecond
)

// governs reports whether an extra limits the changes of a speaker.
func (w *World) governs(speaker string) bool {
	return speaker == governedSpeaker && (w.has("max_changes") || w.has("calm"))
}

// change is one that the neighbors have seen.
type change struct {
	prefix    netip.Prefix
	at        vrrp.Instant
	withdrawn bool
}

// recent returns when a prefix has changed, or was withdrawn, within a time up to now, oldest first.
func (a *agent) recent(p netip.Prefix, within time.Duration, withdrawn bool) (at []vrrp.Instant) {
	for _, x := range a.changes {
		if x.prefix == p && (x.withdrawn || !withdrawn) && a.world.now.Sub(x.at) < within {
			at = append(at, x.at)
		}
	}
	return at
}

// mayChange reports whether a prefix may change now and be withdrawn afterwards.
func (a *agent) mayChange(p netip.Prefix) bool {
	return !a.world.has("max_changes") || len(a.recent(p, bgp.ChangeWindow, false)) < mostChanges-1
}

// mayReturn reports whether a prefix that is not announced may be, or may be so soon.
func (a *agent) mayReturn(p netip.Prefix, soon time.Duration) bool {
	if !a.world.has("calm") {
		return true
	}
	return len(a.recent(p, bgp.CalmPause-soon, true)) == 0 && len(a.recent(p, bgp.CalmWindow-soon, true)) < bgp.CalmMost
}

// governed looks at another set of routes for a speaker, and counts what the neighbors see of it: never more than mostChanges of
// a prefix in any minute (GOVERN), and no announcement too soon after a withdrawal (CALM). The service goes before the rule
// when nobody else announces it.
func (c *checker) governed(a *agent, r *failover.SpeakerRoutes) {
	if !c.w.governs(r.Speaker) || !a.established {
		return
	}
	before := a.desired[r.Speaker].Routes
	if a.desired[r.Speaker].Generation == 0 {
		before = a.asked
	}
	announce, withdraw := bgp.Diff(before, r.Desired.Routes)
	for _, x := range announce {
		p, free := x.Prefix, x.Prefix == servicePrefix
		if n := len(a.recent(p, bgp.ChangeWindow-behind, false)); c.w.has("max_changes") && n >= mostChanges-1 && !free {
			c.fail("GOVERN", "%s changes %s once more, after %d changes within a minute", a.host.Name, p, n)
		}
		if !hasPrefix(before, p) && !a.mayReturn(p, behind) && !free {
			c.fail("CALM", "%s announces %s again, which was withdrawn at %v", a.host.Name, p, a.recent(p, bgp.CalmWindow, true))
		}
		a.changes = append(a.changes, change{p, c.w.now, false})
	}
	for _, p := range withdraw {
		a.changes = append(a.changes, change{p, c.w.now, true})
	}
}

// waits reports whether a route may be what it was before, because its prefix has changed too often: as long as a router serves
// that announces the prefix. What is to be withdrawn never waits.
func (c *checker) waits(a *agent, s *Speaker, want bgp.Route) bool {
	if !c.w.has("max_changes") || s.cfg.Name != governedSpeaker || a.mayChange(want.Prefix) || !a.onceRight(s, want) {
		return false
	}
	c.graced++
	cfg := a.core.Config()
	for i := range cfg.Routers {
		r := &cfg.Routers[i]
		for _, x := range r.Announce {
			if x.Speaker == s.cfg.Name && x.Route.Prefix == want.Prefix && x.When != failover.RoleBackup &&
				(c.inRole(a, r, failover.RoleActive) || c.serving(a, r.VRRP.Key)) {
				return true
			}
		}
	}
	return false
}

// stoodFor reports whether a route may have stayed because another router had a right to the prefix and to other attributes,
// which had to wait.
func (c *checker) stoodFor(a *agent, r *failover.RouterConfig, w withdrawal) bool {
	if !c.w.has("max_changes") || w.speaker != governedSpeaker {
		return false
	}
	for _, cfg := range a.configs {
		for i := range cfg.Routers {
			if o := &cfg.Routers[i]; o.Name != r.Name && slices.ContainsFunc(o.Announce, func(x failover.Announcement) bool {
				return x.Speaker == w.speaker && x.Route.Prefix == w.route.Prefix && x.When != failover.RoleBackup
			}) {
				return true
			}
		}
	}
	return false
}

// onceRight reports whether a configuration that the agent has had has a route, for whatever role.
func (a *agent) onceRight(s *Speaker, want bgp.Route) bool {
	for _, cfg := range a.configs {
		for i := range cfg.Routers {
			for _, x := range cfg.Routers[i].Announce {
				if x.Speaker == s.cfg.Name && (equal(x.Route, want) || isLastResort(x.Route, want)) {
					return true
				}
			}
		}
	}
	return false
}

// awaited takes out of what a speaker should announce what it may not announce yet.
func (a *agent) awaited(s *Speaker, want []bgp.Route) []bgp.Route {
	if !a.world.governs(s.cfg.Name) {
		return want
	}
	return slices.DeleteFunc(want, func(r bgp.Route) bool { return !hasPrefix(s.Table, r.Prefix) && !a.mayReturn(r.Prefix, 0) })
}

// flutter is some reloads in a row with other attributes each time.
func (s *scenario) flutter(h *Host, f *Fault, r *rand.Rand) {
	if !s.w.governs(governedSpeaker) {
		return
	}
	at := time.Duration(0)
	for i := range 3 + int(f.N%4) {
		s.later(at, func() {
			s.w.checker.disturb()
			h.Config = s.config(h.index, variant{med: 10 + i})
			h.reload()
		})
		at += 50*time.Millisecond + upTo(r, s.interval)
	}
}
