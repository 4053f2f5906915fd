package failover

import (
	"fmt"
	"slices"
	"time"

	"failoverd/vrrp"
)

// A role without its addresses serves nobody, and keeps everybody else from serving. RefusalBound is how long an Active
// router goes on when the kernel refuses an address, RefusalPause how long it then leaves the role to others.
const (
	RefusalBound = 3 * time.Second
	RefusalPause = time.Minute
)

// stoodStill is why a router gave up the role when it found that time had passed without it.
const stoodStill = "this process stood still for longer than vip_lease"

// giveUp takes a router out of the election whose addresses the kernel has refused for too long.
func (c *Core) giveUp(now vrrp.Instant, r *router, fx *Effects) {
	if r.fsm.State() != vrrp.Active || r.failing == vrrp.Never || now < r.failing.Add(RefusalBound) {
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
