package failovertest

import (
	"slices"

	"failoverd/bgp"
	"failoverd/failover"
	"failoverd/vrrp"
)

// verdict: after a time without faults everything is as it should be (S1, and that addresses, routes and the LAN's
// caches follow), and has been so since quiet.
func (c *checker) verdict(s *scenario, quiet vrrp.Instant) {
	if c.moved > quiet {
		c.fail("S1", "a router has changed its state at %s, long after the last fault", FormatInstant(c.moved))
	}
	for _, k := range c.keys {
		c.elected(s, k)
	}
	for _, h := range c.w.Hosts {
		if h.agent == nil {
			c.fail("END", "%s does not run", h.Name)
		}
		if c.broken != "" {
			return
		}
		c.complete(h.agent)
	}
}

// right reports whether everything is as it should be now already. It breaks no rule if it is not.
func (c *checker) right(s *scenario) bool {
	if slices.ContainsFunc(c.w.Hosts, func(h *Host) bool { return h.agent == nil || h.agent.stopAt != vrrp.Never }) {
		return false
	}
	c.asking = true
	c.verdict(s, c.w.now)
	right := c.broken == ""
	c.asking, c.broken = false, ""
	return right
}

// elected: exactly one is Active, the best one if all preempt, and the LAN knows.
func (c *checker) elected(s *scenario, k vrrp.Key) {
	var active, best *Host
	priority := func(h *Host) uint8 { return router(c.w.config(h.Config), k).VRRP.Priority }
	for _, h := range c.w.Hosts {
		if h.agent == nil {
			continue
		}
		switch word := h.agent.state(k).word; {
		case word == "MASTER" && active != nil:
			c.fail("S1", "%s and %s are Active for %s", active.Name, h.Name, k)
		case word == "MASTER":
			active = h
		case word != "BACKUP":
			c.fail("S1", "%s is %s for %s", h.Name, word, k)
		}
		if best == nil || priority(h) > priority(best) {
			best = h
		}
	}
	if active == nil {
		c.fail("S1", "nobody is Active for %s", k)
		return
	}
	if s.preempt && priority(active) != priority(best) {
		c.fail("S1", "%s is Active for %s, and %s should be", active.Name, k, best.Name)
	}
	for _, a := range router(c.w.config(active.Config), k).Addresses {
		if _, ours := active.Kernel.has(a.Key()); a.Interface != "lo" && ours && !c.unheard[k] && c.cache[a.Prefix.Addr()] != active {
			c.fail("CACHE", "the LAN does not know that %s has %s", active.Name, a.Prefix)
		}
	}
}

// complete: an agent's host has exactly the addresses and announces exactly the routes that its roles entitle it to.
func (c *checker) complete(a *agent) {
	var want []failover.AddressKey
	for _, r := range a.core.Config().Routers {
		if a.state(r.VRRP.Key).word != "MASTER" {
			continue
		}
		for i := range r.Addresses {
			k := r.Addresses[i].Key()
			there, ours := a.host.Kernel.has(k)
			if !there {
				c.fail("END", "%s lacks %s", a.host.Name, k)
			}
			if ours && !slices.Contains(want, k) {
				want = append(want, k)
			}
		}
	}
	have := a.host.Kernel.keys()
	slices.SortFunc(want, compareKeys)
	slices.SortFunc(have, compareKeys)
	if !slices.Equal(want, have) {
		c.fail("END", "%s has %v, and should have %v", a.host.Name, have, want)
	}
	c.installed(a)
	c.equipped(a)
	for _, s := range a.speakers {
		if want := a.awaited(s, entitled(a, s.cfg.Name)); !slices.EqualFunc(want, s.Table, equal) {
			c.fail("END", "%s announces through %s %s, and should %s", a.host.Name, s.cfg.Name, describeRoutes(s.Table), describeRoutes(want))
		}
	}
	for _, r := range a.core.Config().Routers {
		if r.Anycast != nil {
			continue
		}
		if told, is := a.state(r.VRRP.Key).word, a.core.State(r.VRRP.Key); told != is {
			c.fail("END", "%s is %s for %s, and has told that it is %s", a.host.Name, is, r.VRRP.Key, told)
		}
	}
}

// entitled returns the routes that an agent's roles entitle it to, sorted by prefix: those of Active routers first, then
// those of Backups, in the order of the configuration.
func entitled(a *agent, speaker string) (want []bgp.Route) {
	for _, role := range []struct {
		word string
		when failover.Role
	}{{"MASTER", failover.RoleActive}, {"BACKUP", failover.RoleBackup}} {
		for _, r := range a.core.Config().Routers {
			if a.state(r.VRRP.Key).word != role.word {
				continue
			}
			for _, x := range r.Announce {
				taken := slices.ContainsFunc(want, func(o bgp.Route) bool { return o.Prefix == x.Route.Prefix })
				if x.Speaker == speaker && x.When == role.when && !taken {
					want = append(want, x.Route)
				}
			}
		}
	}
	slices.SortFunc(want, func(x, y bgp.Route) int { return x.Prefix.Compare(y.Prefix) })
	return want
}
