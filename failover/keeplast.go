package failover

import (
	"fmt"
	"slices"

	"failoverd/vrrp"
)

// At least one node of several always announces (keep_last). A service that is not well does not withdraw because of that: it
// goes on as the last resort, so that upstreams prefer any other, until another announcement is seen. Two nodes must not both
// take the other one for that reason and leave nobody:
//
//   - What is seen must be seen from every upstream (bgp_route with from all_neighbors): an upstream sends nothing back to whom
//     its best path comes from, so that the node which holds the best path at one of them never sees the prefix everywhere.
//   - It must have been seen for Settle without interruption, and since this node became the last resort: upstreams choose anew
//     when attributes change, and what was seen before may be the announcement of a node that withdraws at this moment. Settle
//     is longer than a withdrawal takes to be noticed here, so that of two that go at once one notices.
//
// A node that has withdrawn, or starts while it is not well, must not come back for want of knowledge: with its addresses and an
// announcement it would take the traffic of nodes that are well. It becomes the last resort only when the check really says that
// no other announcement is there, and has been able to look for Settle: the first thing that a new session shows is nothing.
//
// So some node always announces: of those that withdraw within one such time, each has seen the best path of every upstream be
// another one's, for longer than that. And nothing goes round for ever: who has withdrawn comes back only when nobody is seen.

// keepsLast decides whether r, which is not well because of fault, goes on as the last resort. again is when time alone may
// change that; 0: it does not.
func (c *Core) keepsLast(now vrrp.Instant, r *router) (keeps bool, again vrrp.Instant) {
	switch {
	case r.cfg.Anycast == nil || r.cfg.Anycast.KeepLast == "":
		return false, 0
	case r.handover != nil && r.last != "": // what was the last resort when it was taken out is that until drain_time has passed
		return true, 0
	case r.drained != nil:
		return false, 0
	}
	t := c.trackers[Tracker{TrackCheck, r.cfg.Anycast.KeepLast}]
	settle := r.cfg.Anycast.Settle
	// One that goes on where another life stood serves, too: to look for settle first would leave nobody.
	if r.fsm.State() == vrrp.Active || r.inherits != nil && r.inherits.resume {
		if !t.saysUp() {
			return true, 0
		}
		ends := c.otherSince(r, t).Add(settle)
		return now < ends, ends
	}
	if !t.looks() || t.ok {
		return false, 0
	}
	if begins := t.looking.Add(settle); now < begins {
		return false, begins
	}
	return true, 0
}

// waitsForLast says what keeps r, which is not well and does not serve, from becoming the last resort; empty: keep_last has
// nothing to do with it.
func (c *Core) waitsForLast(now vrrp.Instant, r *router) string {
	if !r.obstacle.tracked || r.cfg.Anycast.KeepLast == "" || r.drained != nil {
		return ""
	}
	name := Tracker{TrackCheck, r.cfg.Anycast.KeepLast}
	switch t := c.trackers[name]; {
	case !t.looks():
		return fmt.Sprintf("; it is not the last resort while %s cannot tell whether another one announces: %s", name, orReason(t))
	case t.ok:
		return fmt.Sprintf("; %s sees another announcement", name)
	default:
		left := t.looking.Add(r.cfg.Anycast.Settle).Sub(now)
		return fmt.Sprintf("; the last resort in %s, unless %s sees another announcement", plainSeconds(max(left, 0)), name)
	}
}

// otherSince returns since when another announcement counts that t sees.
func (c *Core) otherSince(r *router, t *tracked) vrrp.Instant {
	if r.last != "" {
		return max(t.turned, r.lastSince)
	}
	return t.turned
}

// alone reports whether r serves and no other node is seen to announce what it does (keep_last).
func (c *Core) alone(r *router) bool {
	if r.cfg.Anycast == nil || r.cfg.Anycast.KeepLast == "" || r.fsm.State() != vrrp.Active {
		return false
	}
	t := c.trackers[Tracker{TrackCheck, r.cfg.Anycast.KeepLast}]
	return r.last != "" || t.looks() && !t.ok
}

// noteLast takes note that r is, or is not any more, the last resort because of fault.
func (c *Core) noteLast(now vrrp.Instant, r *router) {
	if r.last == "" && r.obstacle.last != "" {
		r.lastSince = now
	}
	r.last = r.obstacle.last
}

// lastBefore says why a service that goes on was the last resort in the life of the agent before this one; empty: it was not, or
// every result of this life is there.
func (c *Core) lastBefore(r *router) string {
	if r.before != "" && !slices.ContainsFunc(r.untested, func(t Tracker) bool { return c.spared(r, t) }) {
		r.before = ""
	}
	return r.before
}

// lastWords says why a service is the last resort.
func lastWords(fault string) string {
	return "the last resort (keep_last), although " + fault
}

// waitsForOther says what the last resort waits for.
func (c *Core) waitsForOther(now vrrp.Instant, r *router) string {
	name := Tracker{TrackCheck, r.cfg.Anycast.KeepLast}
	t := c.trackers[name]
	if !t.saysUp() {
		return fmt.Sprintf("for another announcement, which %s does not see: %s", name, orReason(t))
	}
	left := c.otherSince(r, t).Add(r.cfg.Anycast.Settle).Sub(now)
	return fmt.Sprintf("for %s more, in which %s must go on seeing another announcement", plainSeconds(max(left, 0)), name)
}

func orReason(t *tracked) string {
	switch {
	case !t.known, t.handed:
		return "no result yet"
	case t.latest == "":
		return "failed"
	}
	return t.latest
}

// refusesServiceSwitchover says why an anycast service cannot be handed over; empty: another node is seen to announce.
func (c *Core) refusesServiceSwitchover(now vrrp.Instant, r *router) string {
	name := Tracker{TrackCheck, r.cfg.Anycast.KeepLast}
	switch {
	case c.stopping:
		return "is being stopped"
	case r.drained != nil:
		return "is " + r.drained.words()
	case r.fsm.State() != vrrp.Active:
		return fmt.Sprintf("is %s, not %s", r.stateWord(), ServiceAnnounced)
	case name.Name == "":
		return "is an anycast service without keep_last: this node does not know whether another one announces; drain takes it out whatever the others do"
	case !r.addressesIn:
		return "has just been announced, and its addresses are not in yet"
	}
	switch t := c.trackers[name]; {
	case !t.saysUp():
		return fmt.Sprintf("must stay: %s sees no other announcement: %s", name, orReason(t))
	case now < c.otherSince(r, t).Add(r.cfg.Anycast.Settle):
		return "must stay: it waits " + c.waitsForOther(now, r)
	}
	return ""
}

// handOver takes an anycast service out for good: the others announce already.
func (c *Core) handOver(now vrrp.Instant, order *switchover, r *router, fx *Effects) {
	d := &Drain{By: order.By, Reason: "switchover", Ends: vrrp.Never, Since: order.Since}
	if order.Reason != "" {
		d.Reason += ": " + order.Reason
	}
	c.setDrain(r.cfg.Name, d)
	fx.about(r, Event{Kind: EventDrain, At: now, To: "drained", Reason: d.words()})
	c.takeOut(now, r, fx)
	c.conclude(order, "", fmt.Sprintf("another node announces; the routes of this one are the last resort and go after drain_time %v; undrain announces them again",
		r.cfg.Anycast.DrainTime), fx)
}
