package failovertest

import (
	"slices"
	"time"

	"failoverd/bgp"
	"failoverd/failover"
	"failoverd/vrrp"
)

// routes looks at all routes that an agent wants, those in its kernel included, if they may be wrong.
func (c *checker) routes(a *agent) {
	if a.sound {
		return
	}
	graced := c.graced
	for _, s := range a.speakers {
		for _, r := range a.desired[s.cfg.Name].Routes {
			c.route(a, s, r)
		}
	}
	c.rightful(a)
	a.sound = c.graced == graced
}

// route: nothing leaves that the configuration does not have, and nothing without the role that it depends on (S4, S12).
func (c *checker) route(a *agent, s *Speaker, want bgp.Route) {
	if !s.cfg.Allow.Permits(want.Prefix) {
		c.fail("S12", "%s wants %s, which is not on the list", a.host.Name, want)
	}
	cfg := a.core.Config()
	for i := range cfg.Routers {
		r := &cfg.Routers[i]
		for _, x := range r.Announce {
			if r.Anycast != nil {
				if x.Speaker == s.cfg.Name && equal(x.Route, want) && c.serviceRoute(a, r, &x) {
					return
				}
				continue
			}
			if x.Speaker == s.cfg.Name && equal(x.Route, want) && c.inRole(a, r, x.When) ||
				x.Speaker == s.cfg.Name && x.When == failover.RoleActive && isLastResort(x.Route, want) && c.serving(a, r.VRRP.Key) {
				return
			}
		}
	}
	if !c.waits(a, s, want) {
		c.fail("S4", "%s wants %s by right of no router", a.host.Name, want)
	}
}

// lastResort is a route of a router that hands its role over (RFC 8326).
func lastResort(r bgp.Route) bgp.Route {
	r.Communities = append(slices.Clone(r.Communities), gracefulShutdown)
	r.Normalize()
	return r
}

const gracefulShutdown bgp.Community = 0xFFFF0000

// isLastResort reports whether x is the last resort of r.
func isLastResort(r, x bgp.Route) bool {
	return x.Prefix == r.Prefix && slices.Contains(x.Communities, gracefulShutdown) && equal(lastResort(r), x)
}

func equal(a, b bgp.Route) bool { return a.Prefix == b.Prefix && a.Attributes.Equal(b.Attributes) }

func (c *checker) inRole(a *agent, r *failover.RouterConfig, when failover.Role) bool {
	st := a.state(r.VRRP.Key)
	word := st.word
	if when == failover.RoleBackup { // a standby goes on being announced as one until it can be announced as Active
		return word == "BACKUP" || word == "MASTER" && st.rising && len(r.Addresses) > 0
	}
	if word != "MASTER" {
		return false
	}
	for i := range r.Addresses {
		if k := r.Addresses[i].Key(); !c.supported(a.host, k) && !c.given(a, r.VRRP.Key, k) {
			return false
		}
	}
	return true
}

// given reports whether a reload has given the router the address so recently that it may not be in yet. The router's
// routes stay meanwhile.
func (c *checker) given(a *agent, k vrrp.Key, address failover.AddressKey) bool {
	for n := len(a.configs) - 1; n > 0 && c.w.now.Sub(max(a.adopted[n], a.since)) < c.slack(a.host); n-- {
		if before := router(a.configs[n-1], k); before != nil && !hasAddress(before, address) {
			c.graced++
			return true
		}
	}
	return false
}

func hasAddress(r *failover.RouterConfig, k failover.AddressKey) bool {
	for i := range r.Addresses {
		if a := &r.Addresses[i]; a.Prefix == k.Prefix && a.Interface == k.Interface {
			return true
		}
	}
	return false
}

// removing: when an owner removes an address, the routes that lead to it are withdrawn, unless nobody answered.
func (c *checker) removing(a *agent, k failover.AddressKey) {
	if c.w.now.Sub(a.since) < time.Second {
		if a.objects.goesOn && !a.objects.swept {
			c.leftBehind(a, k)
		}
		return // just started, or thawed: what is removed is a leftover
	}
	for _, cfg := range a.configs {
		for i := range cfg.Routers {
			r := &cfg.Routers[i]
			st := a.state(r.VRRP.Key)
			if !hasAddress(r, k) || st.word == "MASTER" {
				continue
			}
			if now := router(a.core.Config(), r.VRRP.Key); now != nil && !hasAddress(now, k) {
				continue // a reload took the address from the router, whatever its role
			}
			if c.leaves(a, st) {
				c.grace(a, k, r)
			}
			c.attracted(a, r, k)
			for _, x := range r.Announce {
				if s := a.speaker(x.Speaker); s != nil && x.When != failover.RoleBackup &&
					(c.leadsAstray(a, s, x.Route) || c.leadsAstray(a, s, lastResort(x.Route))) {
					c.fail("ORDER", "%s removes %s while %s announces %s", a.host.Name, k, s.cfg.Name, x.Route)
				}
			}
		}
	}
}

// grace: in an orderly move an address stays for a while after the routes that lead to it are withdrawn: the tables of the
// neighbors follow late.
func (c *checker) grace(a *agent, k failover.AddressKey, r *failover.RouterConfig) {
	if v := &c.hosts[a.host.index]; v.hurt >= 0 && c.w.now.Sub(v.hurt) < 2*time.Second {
		return // a fault: in a stop no transition tells of it, and a router that a reload has made another has had its own
	}
	for _, x := range r.Announce {
		for _, w := range a.withdrawn {
			ours := equal(w.route, x.Route) || isLastResort(x.Route, w.route)
			if c.stoodFor(a, r, w) {
				continue
			}
			if after := c.w.now.Sub(w.since); w.speaker == x.Speaker && x.When == failover.RoleActive && ours && after < failover.DefaultWithdrawGrace {
				c.fail("GRACE", "%s removes %s %v after %s has been told to withdraw %s", a.host.Name, k, after, w.speaker, w.route)
			}
		}
	}
}

// leadsAstray reports whether a route is announced that nobody is entitled to, by a speaker that could have been told.
func (c *checker) leadsAstray(a *agent, s *Speaker, r bgp.Route) bool {
	if slices.ContainsFunc(a.withdrawn, func(w withdrawal) bool {
		return w.speaker == s.cfg.Name && equal(w.route, r) && c.w.now.Sub(w.since) >= failover.ReleaseBound
	}) {
		return false // it has not answered
	}
	if !announces(s.Table, r) || !s.up || announces(a.desired[s.cfg.Name].Routes, r) {
		return false
	}
	return s.connected(a)
}

// connected reports whether the core knows the speaker to be there.
func (s *Speaker) connected(a *agent) bool {
	n := a.core.Snapshot(a.local(), wall)
	i := slices.IndexFunc(n.Speakers, func(x failover.SpeakerStatus) bool { return x.Name == s.cfg.Name })
	return i >= 0 && n.Speakers[i].Connected
}
