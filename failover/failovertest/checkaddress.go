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
		if !c.hosts[h.index].steady && h.Kernel.leases > 0 {
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
	if !v.steady {
		return
	}
	v.steady = false
	for _, l := range h.Kernel.links {
		for _, x := range l.addresses {
			v.entitled[failover.AddressKey{Interface: l.name, Prefix: x.prefix}] = c.w.now
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
	v.steady = true
	for _, l := range h.Kernel.links {
		for _, x := range l.addresses {
			k := failover.AddressKey{Interface: l.name, Prefix: x.prefix}
			running := a != nil && !a.frozen
			if running && c.entitledTo(a, func(y *failover.Address) bool { return y.Key() == k }) != nil {
				v.entitled[k] = c.w.now
				continue
			}
			v.steady = false
			if running && c.handsOver(a, k) {
				v.entitled[k] = c.w.now
				continue
			}
			since, limit := max(v.entitled[k], c.lost(a, k)), c.lease+time.Second
			if running {
				since, limit = max(since, a.since), failover.ReleaseBound+c.slack(h)
				if c.settles(a, k) {
					limit += failover.DefaultWithdrawGrace
				}
			}
			if c.w.now.Sub(since) > limit {
				c.fail("S5", "%s has had %s for %v without a right to it", h.Name, k, c.w.now.Sub(since))
			}
		}
	}
}

// handsOver reports whether a router of the agent serves with an address until its successor does.
func (c *checker) handsOver(a *agent, k failover.AddressKey) bool {
	for _, cfg := range a.configs {
		for i := range cfg.Routers {
			if r := &cfg.Routers[i]; hasAddress(r, k) && c.serving(a, r.VRRP.Key) {
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
			if r := &cfg.Routers[i]; hasAddress(r, k) && len(r.Announce) > 0 && a.state(r.VRRP.Key).orderly {
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
			if hasAddress(r, k) {
				last = max(last, a.state(r.VRRP.Key).active)
			}
		}
	}
	return last
}
