package failover

import (
	"failoverd/vrrp"
)

// Deadline returns when Expire wants to be called.
func (c *Core) Deadline() vrrp.Instant {
	d := min(c.sched.next(), c.renewAt, c.stopAt, c.nextLull(), c.region.due, c.drainEnds, c.railsDue, c.speakersDue)
	for _, p := range c.pacers {
		d = min(d, p.due())
	}
	return d
}

// Expire fires every deadline that is due at now.
func (c *Core) Expire(now vrrp.Instant, fx *Effects) {
	c.awake(now, fx)
	c.lastingLinks(now, fx)
	c.expireDrains(now, fx)
	c.expireSpeakers(now, fx)
	c.settleGroups(now, fx) // the inputs of the batch
	for c.sched.next() <= now {
		r := c.sched[0]
		c.expire(now, r, fx)
		c.reschedule(r)
		if r.due <= now {
			// Whatever is still due waits for the next batch; a router must not be able to hold the loop.
			c.sched.set(r, now+1)
		}
	}
	c.settleGroups(now, fx) // its timers
	if c.railsDue <= now {
		c.expireOrigins(now, fx)
	}
	if c.renewAt <= now || c.stopAt <= now || c.railsDue <= now {
		c.dirty = true
	}
	for _, p := range c.pacers {
		c.drain(now, p, fx)
	}
}

// expire fires what is due of one router.
func (c *Core) expire(now vrrp.Instant, r *router, fx *Effects) {
	if r.inherits != nil && r.inherits.until <= now {
		c.disinherit(now, r, fx)
	}
	c.giveUp(now, r, fx)
	c.handoverDue(now, r, fx)
	if r.lookAgain() <= now {
		c.evaluate(now, r, fx)
	}
	c.firstWordDue(now, r, fx)
	late, ready := r.fsm.LateWakeups(), r.takeover.expiring(r.fsm)
	c.apply(now, r, r.fsm.Expire(now), fx)
	r.takeover.expired(now, r.fsm, ready)
	if r.fsm.LateWakeups() != late && r.lateLog.allows(now) {
		fx.about(r, Event{Kind: EventLate, At: now})
	}
	if r.group != nil && r.fsm.State() == vrrp.Backup {
		c.unsettle(r.group) // it may be ready
	}
	c.region.dirty = c.region.dirty || r.guarded()
	c.updateHold(now, r, fx)
	c.announceDue(now, r, fx)
	c.defend(now, r, fx)
	if r.releasing && r.release.until <= now {
		c.dirty = true
	}
}

// reschedule tells the heap when r next wants to be looked at.
func (c *Core) reschedule(r *router) {
	c.sched.set(r, min(r.nextDue(), c.handoverEnds(r), c.refusedAt(r)))
}

// awake looks whether this process stood still for so long that the kernel may have let go of the addresses. Then
// somebody else may serve, and sessions may be dead that look alive: who was Active starts afresh as a Backup, listens,
// and waits for its upstream as any returning router does. It says nothing as it goes: it has had nothing to give up.
// Nor is there anything to release: to hold on to an address for the sake of order would bring it back.
func (c *Core) awake(now vrrp.Instant, fx *Effects) {
	if now < c.leaseEnds {
		c.lapse(now, fx)
		return
	}
	c.leaseEnds, c.renewAt, c.dirty = vrrp.Never, now, true
	c.forgetAuthority(now)
	for _, r := range c.leaving {
		r.releasing = false
	}
	for _, r := range c.routers {
		r.attracting, r.releasing, r.inherits, r.legacy = false, false, nil, nil
		c.abandon(now, r, stoodStill, false, fx)
		r.noLongerServes(now)
		if r.fsm.State() != vrrp.Active {
			c.reschedule(r)
			continue
		}
		e := r.fsm.Shutdown(now)
		e.Advert = false
		r.fault = stoodStill
		c.apply(now, r, e, fx)
		r.fault, r.pending = "", false
		if !c.stopping {
			c.apply(now, r, r.fsm.Startup(now), fx)
		}
		c.reschedule(r)
	}
}
