package failover

import (
	"fmt"
	"slices"

	"failoverd/vrrp"
)

// announcesThrough reports whether the Active router announces anything through the speaker.
func (r *router) announcesThrough(speaker string) bool {
	return slices.ContainsFunc(r.cfg.Announce, func(a Announcement) bool {
		return a.Speaker == speaker && a.When == RoleActive
	})
}

// waitsFor names a speaker without an established session that r announces through; empty: none.
func (c *Core) waitsFor(r *router) string {
	for i := range r.cfg.Announce {
		a := &r.cfg.Announce[i]
		if s := c.speakers[a.Speaker]; a.When == RoleActive && s != nil && !s.report.Established() {
			return a.Speaker
		}
	}
	return ""
}

// holds reports whether r has a reason of its own to leave a live Active router alone.
func (c *Core) holds(now vrrp.Instant, r *router) bool {
	if r.fsm.State() != vrrp.Backup {
		return false
	}
	r.leaves = c.failbackBar(now, r).holder != ""
	return r.leaves || now < r.holdUntil && c.waitsFor(r) != ""
}

// failbackBar returns what makes r leave the role to another site. A watcher never has the better right.
func (c *Core) failbackBar(now vrrp.Instant, r *router) bar {
	if !r.guarded() || c.watchOf(r) != nil {
		return bar{}
	}
	return c.failback(now, r)
}

// failbackHold is failbackBar in words.
func (c *Core) failbackHold(now vrrp.Instant, r *router) string {
	return c.failbackBar(now, r).words(now)
}

// updateHold keeps a Backup whose routes could not leave yet from taking the role from a router that serves: a
// return must not cost an outage (bgp_wait). In a sync group, the hold of one is the hold of all.
func (c *Core) updateHold(now vrrp.Instant, r *router, fx *Effects) {
	if r.group == nil {
		var holder *router
		if c.holds(now, r) {
			holder = r
		}
		c.setHold(now, r, holder, fx)
		return
	}
	members := r.group.members
	var holder *router
	if n := slices.IndexFunc(members, func(m *router) bool { return c.holds(now, m) }); n >= 0 {
		holder = members[n]
	}
	for _, m := range members {
		if m.holder != holder || m.fsm.Held() != (holder != nil) {
			c.setHold(now, m, holder, fx)
			c.reschedule(m)
		}
	}
}

// setHold holds a Backup on account of holder, which may be itself; nil: on nobody's.
func (c *Core) setHold(now vrrp.Instant, r, holder *router, fx *Effects) {
	running := r.fsm.State() == vrrp.Backup
	hold, before := holder != nil && running, r.holder
	r.holder = holder
	if hold == r.fsm.Held() {
		return
	}
	r.fsm.SetHold(hold)
	if hold && holder != r || !hold && before != r {
		return // who holds the group says so
	}
	e := Event{Kind: EventHold, At: now, To: "over"}
	switch {
	case hold && c.failbackHold(now, r) != "":
		e.To, e.Reason = "waiting", c.failbackHold(now, r)
	case hold:
		e.To, e.Reason = "waiting", fmt.Sprintf("no established session of speaker %s; a live MASTER is left alone for up to %v",
			c.waitsFor(r), r.holdUntil.Sub(now))
	case r.fsm.State() == vrrp.Active:
		e.Reason = "there was no other MASTER"
	case !running:
		e.Reason = r.fault
	case c.waitsFor(r) == "":
		e.Reason = "the upstream session is established"
	default:
		e.To, e.Reason = "expired", fmt.Sprintf("bgp_wait has passed and speaker %s still has no established session: "+
			"the role may be taken although nobody hears the route", c.waitsFor(r))
	}
	fx.about(r, e)
}

// holdReason says why r leaves a live Active router alone.
func (c *Core) holdReason(now vrrp.Instant, r *router) string {
	if why := c.failbackHold(now, r); why != "" {
		return "because " + why
	}
	return "for a session of speaker " + c.waitsFor(r)
}
