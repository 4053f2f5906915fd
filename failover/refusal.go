package failover

import (
	"fmt"
	"slices"
	"time"

	"failoverd/vrrp"
)

// A role without its addresses serves nobody, and keeps everybody else from serving. RefusalBound is how long an Active
// router goes on when the kernel refuses an address, RefusalPause how long it then leaves the role to others. If it has none
// of its addresses, and has taken the role from a router that lives, or heard one since, it goes on for RefusalSoon only, in
// which the kernel is asked twice more: that one serves a Skew_Time later. Where nobody is known to be there, patience costs
// nothing; and of a guarded site addresses are refused while its authority is being renewed, which is no fault of the node.
const (
	RefusalBound = 3 * time.Second
	RefusalSoon  = 100 * time.Millisecond
	RefusalPause = time.Minute
)

// stoodStill is why a router gave up the role when it found that time had passed without it.
const stoodStill = "this process stood still for longer than vip_lease"

// giveUp takes a router out of the election whose addresses the kernel has refused for too long.
func (c *Core) giveUp(now vrrp.Instant, r *router, fx *Effects) {
	if c.refusedAt(r) > now {
		return
	}
	r.failing = vrrp.Never
	i := slices.IndexFunc(r.own.slots, func(s *slot) bool { return s.err != "" })
	if i < 0 {
		return // a report that does not count for r any more took it back
	}
	s := r.own.slots[i]
	r.refusal = fmt.Sprintf("address %s cannot be had: %s; the role is left to others for %v", s.key, s.err, RefusalPause)
	r.refusedUntil = now.Add(RefusalPause)
	c.evaluate(now, r, fx)
}

// pardon begins the patience with a kernel that refuses an address anew when the interface of the address comes back: while it
// was away nothing could be added, and now it takes a moment.
func (c *Core) pardon(now vrrp.Instant, iface string) {
	for _, r := range c.routers {
		if r.failing != vrrp.Never && slices.ContainsFunc(r.own.slots, func(s *slot) bool { return s.err != "" && s.key.Interface == iface }) {
			r.failing = now
			c.reschedule(r)
		}
	}
}

// refusedAt returns when r gives the role up because the kernel refuses an address; vrrp.Never: it does not.
func (c *Core) refusedAt(r *router) vrrp.Instant {
	switch {
	case r.fsm.State() != vrrp.Active || r.failing == vrrp.Never:
		return vrrp.Never
	case r.met && !r.guarded() && c.hasNone(r):
		return r.failing.Add(RefusalSoon)
	}
	return r.failing.Add(RefusalBound)
}

// hasNone reports whether r has no address at all, although the interfaces that they belong to are there and up: what is
// about to come back is worth waiting for.
func (c *Core) hasNone(r *router) bool {
	return !slices.ContainsFunc(r.own.slots, func(s *slot) bool {
		i := c.interfaces[s.key.Interface]
		return c.kernel.has(s) || i == nil || !i.Up
	})
}
