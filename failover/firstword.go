package failover

import (
	"time"

	"failoverd/vrrp"
)

// firstWordBound is how long the first advertisement waits for the addresses at most. The kernel takes a millisecond for a few.
const firstWordBound = 10 * time.Millisecond

// sayFirst sends the advertisement with which r takes the role. One that leaves from the virtual link-layer address makes the
// switches send everything for the virtual router here from then on, also what the router before serves until it hears it: it
// waits for the kernel to report the addresses in, so that nothing of that is lost. On the wire the order stays that of RFC 9568
// section 6.4.2, the advertisement before the first gratuitous ARP. Where the addresses take longer, or are refused, it does not
// wait for them: other routers must hear in time.
func (c *Core) sayFirst(now vrrp.Instant, r *router, priority uint8, fx *Effects) {
	if m := r.cfg.VMAC; m == nil || m.XmitBase || r.cfg.VRRP.Unicast || r.addressesIn {
		c.advertise(r, priority, fx)
		return
	}
	r.firstWord = now.Add(firstWordBound)
}

// firstWordDue sends the first advertisement if it has waited for long enough, or if the addresses are in.
func (c *Core) firstWordDue(now vrrp.Instant, r *router, fx *Effects) {
	switch {
	case r.firstWord == vrrp.Never:
	case r.fsm.State() != vrrp.Active:
		r.firstWord = vrrp.Never
	case r.addressesIn || r.firstWord <= now:
		c.advertise(r, r.fsm.Priority(), fx)
	}
}
