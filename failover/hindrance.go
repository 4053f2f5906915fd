package failover

import (
	"net/netip"

	"failoverd/vrrp"
)

// Reasons why a router does not run that are no fault: time alone takes them away.
const (
	unseen      = "the interface has not been looked at yet"
	waitStartup = "vrrp_startup_delay has not passed yet"
	waitBoot    = "vrrp_delay_after_boot has not passed yet"
	waitTurn    = "the program before this one has not handed over yet"
)

// hindrance is why a router does not run. The zero value: nothing keeps it from running.
type hindrance struct {
	reason string
	// pending: it is no fault, but something that is not known yet.
	pending bool
	// until is when to look again, if time alone may take it away; zero: it does not.
	until vrrp.Instant
	// last is why an anycast service is not well that goes on all the same (keep_last). There is no reason then.
	last string
	// tracked: the reason is the result of something that is tracked.
	tracked bool
}

// evaluate starts or stops a router according to what it needs to run, and keeps its source address current. Members of
// a sync group start and stop together, when the batch's inputs or timers are through.
func (c *Core) evaluate(now vrrp.Instant, r *router, fx *Effects) {
	switch {
	case c.awaiting: // TakeUp looks at everything
	case c.stopping || r.retired:
		if r.handover != nil || r.settles() {
			if h, _ := c.precondition(now, r); h.reason != "" && !h.pending {
				c.abandon(now, r, h.reason, false, fx) // a fault ends what a stop leaves time for
			}
		}
	case r.group != nil:
		r.group.assess = true
		c.unsettle(r.group)
	default:
		c.assess(now, r, fx)
		c.hinder(now, r, r.obstacle, fx)
		if r.fsm.State() == vrrp.Active {
			c.reword(now, r, r.nowBecause(), fx)
		}
	}
}

// assess finds out what keeps r itself from running, whatever its sync group does.
func (c *Core) assess(now vrrp.Instant, r *router, fx *Effects) {
	c.spareNoMore(now, r, fx)
	r.obstacle, r.sendFrom = c.precondition(now, r)
	c.noteLast(now, r)
	if r.sendFrom.IsValid() {
		c.setSource(r, r.sendFrom)
	}
}

// hinder starts r, or stops it because of h, its own obstacle or one of its sync group. The latter has been told.
func (c *Core) hinder(now vrrp.Instant, r *router, h hindrance, fx *Effects) {
	if h.reason == r.fault && h.pending == r.pending {
		return
	}
	was, waited := r.fault, r.pending
	r.fault, r.pending = h.reason, h.pending
	if h.reason == "" {
		if !waited {
			r.recovered = was
		}
		c.begin(now, r, fx)
		return
	}
	if !h.pending {
		c.disinherit(now, r, fx)
		r.legacy = nil
	}
	if !h.pending && h.reason == r.obstacle.reason {
		fx.about(r, Event{Kind: EventFault, At: now, Reason: h.reason})
	}
	c.shutdown(now, r, fx)
	c.spareNoMore(now, r, fx)
	if !r.sendFrom.IsValid() {
		// Not before: the last advertisement is sent from it.
		c.setSource(r, netip.Addr{})
	}
}

// lookAgain returns when time may take away what keeps r itself from running.
func (r *router) lookAgain() vrrp.Instant {
	if r.obstacle.until == 0 || r.retired {
		return vrrp.Never
	}
	return r.obstacle.until
}
