package failovertest

import (
	"time"

	"failoverd/failover"
	"failoverd/vrrp"
)

// addresses: an address is in a kernel only while its owner is Active, hands its role over, lets go of it, or has not been
// dead for longer than the lease (S5).
func (c *checker) addresses() {
	for _, h := range c.w.Hosts {
		if v := &c.hosts[h.index]; !v.steady && h.Kernel.leases > 0 && !(v.dead && c.w.now <= v.due) {
			c.addressesOf(h)
		}
	}
}

// freshAddresses is addresses for an instant at which they were looked at already: only where something was done since.
func (c *checker) freshAddresses() {
	for _, h := range c.w.Hosts {
		if v := &c.hosts[h.index]; v.fresh && !v.steady && h.Kernel.leases > 0 {
			c.addressesOf(h)
		}
	}
}

// touch is called before something is done to a host that rules depend on.
func (c *checker) touch(h *Host) {
	c.touched = true
	if h.agent != nil {
		h.agent.sound = false
	}
	if h.index >= len(c.hosts) {
		return
	}
	v := &c.hosts[h.index]
	v.dead, v.fresh = false, true
	if !v.steady {
		return
	}
	v.steady = false
	for _, l := range h.Kernel.links {
		for _, x := range l.addresses {
			*v.right(failover.AddressKey{Interface: l.name, Prefix: x.prefix}) = c.w.now
		}
	}
}

// hurts is touch for what may be a fault of the host's routers, also of one that nothing is told of any more.
func (c *checker) hurts(h *Host) {
	c.touch(h)
	if h.index < len(c.hosts) {
		c.hosts[h.index].hurt = c.w.now
	}
}

func (c *checker) addressesOf(h *Host) {
	v, a := &c.hosts[h.index], h.agent
	running := a != nil && !a.frozen
	v.steady, v.dead, v.fresh, v.due = true, !running, false, vrrp.Never
	for _, l := range h.Kernel.links {
		for _, x := range l.addresses {
			k := failover.AddressKey{Interface: l.name, Prefix: x.prefix}
			last := v.right(k)
			if running && a.serves(k) {
				*last = c.w.now
				continue
			}
			v.steady = false
			if running && c.handsOver(a, k) {
				*last = c.w.now
				continue
			}
			since, limit := max(*last, c.lost(a, k)), c.lease+time.Second
			if running {
				since, limit = max(since, a.since), failover.ReleaseBound+c.slack(h)
				if c.settles(a, k) {
					limit += failover.DefaultWithdrawGrace
				}
			}
			v.due = min(v.due, since.Add(limit))
			if c.w.now.Sub(since) > limit {
				c.fail("S5", "%s has had %s for %v without a right to it", h.Name, k, c.w.now.Sub(since))
			}
		}
	}
}

// serves reports whether a router of the agent is Active that has an address.
func (a *agent) serves(k failover.AddressKey) bool {
	cfg := a.core.Config()
	for i := range cfg.Routers {
		if r := &cfg.Routers[i]; hasAddress(r, k) && a.state(r.VRRP.Key).word == "MASTER" {
			return true
		}
	}
	return false
}

// handsOver reports whether a router of the agent serves with an address until its successor does.
func (c *checker) handsOver(a *agent, k failover.AddressKey) bool {
	for _, cfg := range a.configs {
		for i := range cfg.Routers {
			if r := &cfg.Routers[i]; a.state(r.VRRP.Key).serves != 0 && hasAddress(r, k) && c.serving(a, r.VRRP.Key) {
				return true
			}
		}
	}
	return false
}

// settles reports whether a router of the agent that had an address has left its role in order.
func (c *checker) settles(a *agent, k failover.AddressKey) bool {
	for _, cfg := range a.configs {
		for i := range cfg.Routers {
			if r := &cfg.Routers[i]; a.state(r.VRRP.Key).orderly && hasAddress(r, k) && len(r.Announce) > 0 {
				return true
			}
		}
	}
	return false
}

// lost returns when the agent's routers that had the address lost their role last.
func (c *checker) lost(a *agent, k failover.AddressKey) (last vrrp.Instant) {
	if a == nil {
		return 0
	}
	for _, cfg := range a.configs {
		for i := range cfg.Routers {
			r := &cfg.Routers[i]
			if at := a.state(r.VRRP.Key).active; at > last && hasAddress(r, k) {
				last = at
			}
		}
	}
	return last
}
