package failover

import (
	"slices"
	"time"

	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// Testament is what is to become of the roles of this node if the agent dies without a word: somebody who outlives it
// sends the advertisements for it, or it is back so soon that nobody has missed it.
type Testament struct {
	// Heirs are the routers that are Active.
	Heirs []Heir
	// Adverts are those with which they leave their roles, ready to be sent. They may be sent within Interval, and are to
	// be asked for anew by then if Signed.
	Adverts []Advert
	// Interval is the shortest advertisement interval among Heirs; 0: there are none.
	Interval time.Duration
	// Signed: Adverts are numbered (auth_hmac).
	Signed bool
	// Guarded: a router serves by the authority of a site, or takes over from one. After a restart it has none before
	// it has asked for it again, so it is not to resume (safety.md, S9).
	Guarded bool
	// Origins are for Recall in the next life, whatever becomes of the roles.
	Origins []LegacyOrigin
}

// Heir is a router that has a role to hand on to the next life of the agent.
type Heir struct {
	Key      string // vrrp.Key in its text form, or the name of an anycast service
	Priority uint8  // the effective one
	// Last is why an anycast service is not well that serves as the last resort; empty: it does not.
	Last string `json:",omitempty"`
}

// heirKey tells c from all other routers of the node, in this life and the next: the routers inside of anycast services all have
// the same vrrp.Key.
func (c *RouterConfig) heirKey() string {
	if c.Anycast != nil {
		return c.Kind() + " " + c.Name
	}
	return c.VRRP.Key.String()
}

// Testament returns that of this moment. What it holds is the caller's.
func (c *Core) Testament() Testament {
	var t Testament
	var fx Effects
	for _, r := range c.routers {
		t.Guarded = t.Guarded || r.guarded()
		if r.fsm.State() != vrrp.Active && (r.inherits == nil || !r.inherits.resume) {
			continue
		}
		t.Heirs = append(t.Heirs, Heir{r.cfg.heirKey(), r.fsm.Priority(), r.last})
		interval := r.cfg.VRRP.Interval.Duration()
		if t.Interval == 0 || interval < t.Interval {
			t.Interval = interval
		}
		if !c.reaches(r) {
			continue
		}
		var a wire.Advertisement
		r.fsm.Advertisement(&a, wire.PriorityRelease)
		r.fsm.SetWallClock(c.wallClock)
		r.trailer = r.fsm.SignAhead(&a, interval)
		t.Signed = t.Signed || r.trailer != nil
		c.queueAdverts(r, &a, &fx)
	}
	t.Adverts, t.Origins = fx.Adverts, c.legacyOrigins()
	return t
}

// Lease returns the shortest lease of the addresses that are asked for (NoLease: they have none), and when the kernel may let go
// of one that is not renewed; vrrp.Never: it does not.
func (c *Core) Lease() (shortest time.Duration, ends vrrp.Instant) { return c.lease, c.leaseEnds }

// inheritance is what a router takes over from another life of the agent: the role, if it is back in time; or else the
// addresses, until its successor is heard, since the role has been given away for it.
type inheritance struct {
	resume bool
	died   vrrp.Instant // the life before was over then
	until  vrrp.Instant // it is given up then
}

// Inherit makes routers take over from another life of the agent, which was over at died. With resume they had their roles
// until now, and nobody else can have them before until; otherwise the roles have been released. It belongs between New
// and the first Flush. Routers of a guarded site inherit nothing, and neither does one that is kept out of service.
//
// The first Flush asks for addresses in any case, if only for none, so that leftovers are swept. What is looked at for the
// first time is looked at from now on, and not since New: a startup_script may have taken its time.
func (c *Core) Inherit(now vrrp.Instant, heirs []Heir, resume bool, died, until vrrp.Instant) {
	c.started, c.looking, c.unasked = now, now, true
	for _, r := range c.routers {
		i := slices.IndexFunc(heirs, func(h Heir) bool { return h.Key == r.cfg.heirKey() })
		if i < 0 || r.guarded() || c.outOfService(r) != "" {
			continue
		}
		h := &inheritance{resume: resume, died: died, until: until}
		if !resume {
			if h.until = died.Add(r.successorBound()); now < h.until {
				h.until = now.Add(r.successorBound()) // its first advertisement may have come while nobody listened
			}
		}
		r.inherits, r.held, r.born = h, r.own, now
		if resume {
			r.attracting = true // the routes of the life before are out
			c.awaitFound(now, r)
			r.priority = heirs[i].Priority
			r.fsm.SetPriority(r.priority)
			r.untested, r.before = c.notYetKnown(r), heirs[i].Last
		}
		c.regroup, c.dirty = true, true
		c.reschedule(r)
	}
}

// awaitFound gives the speakers of r, which goes on in its role, time to say what the life before has left.
func (c *Core) awaitFound(now vrrp.Instant, r *router) {
	for i := range r.cfg.Announce {
		if s := c.speakers[r.cfg.Announce[i].Speaker]; s != nil {
			s.awaited = now.Add(foundWithin)
		}
	}
}

// Inheriting reports whether a router still waits to take over from another life of the agent.
func (c *Core) Inheriting() bool {
	return slices.ContainsFunc(c.routers, func(r *router) bool { return r.inherits != nil })
}

// begin enables a router that nothing keeps from running any more.
func (c *Core) begin(now vrrp.Instant, r *router, fx *Effects) {
	h, legacy := r.inherits, r.legacy
	r.inherits, r.legacy = nil, nil
	defer func() {
		r.resumed = h != nil && h.resume && r.fsm.State() == vrrp.Active && !r.addressesIn
	}()
	switch {
	case legacy != nil && legacy.Standing.State == vrrp.Backup && now > c.started:
		// It has not listened since TakeUp, and what it was waiting for then says nothing any more.
		r.told, r.counters = legacy.Told, legacy.Counters
		c.apply(now, r, r.fsm.Startup(now), fx)
	case legacy != nil:
		c.goOn(now, r, legacy, fx)
	case h == nil:
		c.apply(now, r, r.fsm.Startup(now), fx)
	case h.resume:
		c.apply(now, r, r.fsm.Restart(now), fx)
	default:
		c.apply(now, r, r.fsm.Startup(now), fx)
		c.serveOn(now, r, h, fx)
	}
}

// serveOn lets a router, whose role the life before has released, go on with its addresses until a successor is heard.
func (c *Core) serveOn(now vrrp.Instant, r *router, h *inheritance, fx *Effects) {
	c.dirty = true
	if r.fsm.State() != vrrp.Backup || c.unheard(r) != "" || h.until <= now {
		return
	}
	r.handover = &handover{why: agentDied, since: h.died, until: h.until, heard: vrrp.Never, inherited: true}
	r.attracting = true // its routes are asked for as the last resort: they are withdrawn before the addresses go
	c.tellHandover(now, r, "waiting", agentDied, fx)
	c.reschedule(r)
}

const agentDied = "the agent has died"

// disinherit gives up what r was to take over. A role that it still has in the eyes of its neighbors is released.
func (c *Core) disinherit(now vrrp.Instant, r *router, fx *Effects) {
	if r.inherits == nil {
		return
	}
	resume := r.inherits.resume
	r.inherits, r.legacy, c.dirty = nil, nil, true
	r.noLongerServes(now)
	if resume {
		c.outdate(r)
	}
	if len(r.cfg.Routes)+len(r.cfg.Rules) > 0 { // those of the life before are there
		r.attracting, r.programmed, c.objects.outdated = true, true, true
	}
	r.letGo(now, 0)
	if resume {
		c.advertise(r, wire.PriorityRelease, fx)
	}
	c.reschedule(r)
}

// outdate makes the speakers of r be asked anew: they may go on with what the life before has asked for, and r does not.
func (c *Core) outdate(r *router) {
	for i := range r.cfg.Announce {
		if s := c.speakers[r.cfg.Announce[i].Speaker]; s != nil {
			s.stale = true
		}
	}
}
