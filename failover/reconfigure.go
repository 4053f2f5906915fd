package failover

import (
	"slices"

	"failoverd/vrrp"
)

// reconfigure replaces the configuration by difference: a router that is configured as before is not touched, one
// that can be changed while it runs keeps its state, and only what is left is shut down and made new. A router that
// cannot be built leaves everything as it was; package conf has validated it before. An agent that stops has no use
// for another configuration.
func (c *Core) reconfigure(now vrrp.Instant, cfg *Config, fx *Effects) {
	if c.stopping {
		return
	}
	routers, err := newRouters(cfg, now)
	if err != nil {
		fx.event(Event{Kind: EventRefused, At: now, Reason: err.Error()})
		return
	}
	if cfg.Hash != c.cfg.Hash {
		fx.event(Event{Kind: EventReconfigured, At: now, To: cfg.Hash})
	}
	old := make(map[*RouterConfig]*router, len(c.routers))
	for _, r := range c.routers {
		old[r.cfg] = r
	}
	for i, ch := range compareRouters(c.cfg, cfg) {
		switch o := old[ch.old]; {
		case o == nil:
		case ch.effect == PlanNone:
			o.cfg = ch.next
			delete(old, ch.old)
			routers[i] = o
		case ch.keeps() && !c.drainParts(o, &ch) && o.adopt(now, c, ch.next):
			delete(old, ch.old)
			routers[i] = o
		default:
			o.replaced = ch.replaced
		}
	}
	c.succeed(now, old, routers, fx)
	c.cfg, c.routers, c.dirty, c.regroup = cfg, routers, true, true
	c.reloads++
	c.adoptSpeakers(now)
	c.adoptDrains()
	c.adoptGroups(now)
	c.adoptTrackers(now)
	c.adoptRegions(now)
	c.index()
	c.hurryLinks(now, fx)
	for _, r := range c.routers {
		if v := r.cfg.VMAC; v != nil && r.fsm.State() != vrrp.Initialize && c.interfaces[v.Name] == nil {
			c.deviceLost(now, v.Name) // it is being made
		}
		if r.born == now {
			c.weigh(now, r, "", nil)
		}
		c.weigh(now, r, "the configuration", fx)
		c.evaluate(now, r, fx)
		c.updateHold(now, r, fx)
		c.reschedule(r)
	}
	for i := range cfg.Speakers {
		c.judgeOrigins(now, c.speakers[cfg.Speakers[i].Name], fx)
	}
	c.settleGroups(now, fx)
	c.tellAll(now, fx)
}

// drainParts reports whether a service cannot go on under another name, because one of the two is kept out of service: what a
// person has said of a name is about that name.
func (c *Core) drainParts(r *router, ch *routerChange) bool {
	return r.cfg.Anycast != nil && ch.renames() && (r.drained != nil || c.drains[ch.next.Name] != nil)
}

// adopt gives a running router another configuration, if that can be done without disturbing it.
func (r *router) adopt(now vrrp.Instant, c *Core, cfg *RouterConfig) bool {
	old := r.cfg
	if !r.fsm.Reconfigure(cfg.VRRP) {
		return false
	}
	r.cfg = cfg
	r.untested, r.rebased = c.newlyTracked(r, old), int(cfg.VRRP.Priority)-int(old.VRRP.Priority)
	r.links, r.carriers, r.interval = cfg.links(), cfg.carriers(), r.fsm.LearnedInterval()
	r.refusedUntil = 0
	r.holdUntil = r.holdUntil.Add(cfg.BGPWait - old.BGPWait)
	r.gratuitous.adopt(now, &old.GARP, &cfg.GARP, slices.Contains(r.presence, announced))
	if !slices.Equal(old.Addresses, cfg.Addresses) {
		// What is in stays in, and announced; the report on the new set decides again.
		r.presence = r.carryOver(old.Addresses)
		r.addressGeneration, r.failing = c.addresses.Generation+1, vrrp.Never
	}
	return true
}

// carryOver returns what is known of the addresses of r's configuration from when they were in the list old.
func (r *router) carryOver(old []Address) []presence {
	known := make(map[AddressKey]presence, len(old))
	for i := range old {
		known[old[i].Key()] = r.presence[i]
	}
	p := make([]presence, len(r.cfg.Addresses))
	for i := range p {
		p[i] = known[r.cfg.Addresses[i].Key()]
	}
	return p
}

// succeed retires those routers that are still in old. The next of their names, if there is one, does not repeat what was
// said of them last.
func (c *Core) succeed(now vrrp.Instant, old map[*RouterConfig]*router, next []*router, fx *Effects) {
	told := make(map[string]string)
	for _, r := range c.routers {
		if old[r.cfg] == r {
			c.retire(now, r, fx)
			told[r.cfg.Name] = r.told
		}
	}
	for _, r := range next {
		if r.told == "" {
			r.told = told[r.cfg.Name]
		}
	}
}

// retire shuts a router down that the new configuration does not have; it lives on until its addresses are out.
func (c *Core) retire(now vrrp.Instant, r *router, fx *Effects) {
	r.fault, r.retired = "removed from the configuration", true
	if r.replaced {
		r.fault = "restarted with another configuration"
	}
	c.shutdown(now, r, fx)
	if r.releasing {
		c.leaving = append(c.leaving, r)
		c.reschedule(r)
		return
	}
	c.sched.remove(r)
}
