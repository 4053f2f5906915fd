package failover

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"failoverd/bgp"
	"failoverd/failover/heartbeat"
	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// Times of a handover. A successor sends its advertisement before anything else, so that when it is heard the rest is
// still to come.
const (
	// HandoverGrace is how long a router goes on after it has heard its successor: until that one's addresses are in
	// (0.1 ms each, and a few milliseconds of scheduling on a busy machine), and its gratuitous ARP is out.
	HandoverGrace = 50 * time.Millisecond
	// HandoverRouteGrace is that of a router that announces routes, or has virtual routes, which a routing daemon may
	// export: the successor's UPDATE follows its addresses, and the neighbor has to choose it and put it into its tables,
	// which BIRD and FRR take up to 100 ms for.
	HandoverRouteGrace = 300 * time.Millisecond
	// HandoverMargin is how much later than by its timer a successor may be heard.
	HandoverMargin = 200 * time.Millisecond
	// HandoverRemoteMargin is added for a successor on another site: the way there, and the exchange by which it
	// makes sure that it may.
	HandoverRemoteMargin = time.Second
	// HandoverStopBound is the longest time that an orderly stop waits for a successor, whatever the intervals are:
	// whoever stops an agent wants it to end.
	HandoverStopBound = 3 * time.Second
)

// gracefulShutdown is the community of RFC 8326: whoever hears it prefers any other route.
const gracefulShutdown bgp.Community = 0xFFFF0000

// goesOutside is why a router hands over to another site.
const goesOutside = "the role goes to another site"

// handover is the time in which a router that has left its role in order still serves (RoleDraining): it keeps its
// addresses, and announces its routes as the last resort. The zero instants of a role that nobody has would be an outage:
// Skew_Time, and what a successor takes to program and to announce.
type handover struct {
	why   string // empty: a better router of the own site has taken the role; nobody needs to be told
	since vrrp.Instant
	// until is when it ends if nobody takes the role. successor was heard first at heard (Never: nobody was), and it ends
	// grace later. outside: the successor is on another site.
	until     vrrp.Instant
	heard     vrrp.Instant
	successor netip.Addr
	grace     time.Duration
	outside   bool
	order     *switchover // nil: it is not to be undone
	// inherited: it is that of a life of the agent which has died. If nobody takes the role, it is taken up again.
	inherited bool
}

// newHandover returns the handover with which r, which is Active, may leave its role; nil: there is none, because nobody
// could hear it, or because the addresses are its own, or not in.
func (c *Core) newHandover(now vrrp.Instant, r *router, why string) *handover {
	if r.cfg.Anycast != nil {
		return r.newDrain(now, why)
	}
	if c.unheard(r) != "" || !r.addressesIn {
		return nil
	}
	return &handover{why: why, since: now, until: now.Add(r.successorBound()), heard: vrrp.Never}
}

// unheard says why nobody could take over from r what it tells; empty: somebody could.
func (c *Core) unheard(r *router) string {
	v := &r.cfg.VRRP
	switch i := c.interfaces[v.Key.Interface]; {
	case v.Priority == wire.PriorityOwner:
		return "the addresses are its own"
	case r.lonely(), v.Unicast && len(v.Peers) == 0:
		return "nobody can hear it"
	case i == nil || !i.Up:
		return fmt.Sprintf("interface %s is down", v.Key.Interface)
	}
	return ""
}

// successorBound is the longest time until a successor is heard: the Skew_Time of the lowest priority, which is an
// interval (a second in version 2), and a margin.
func (r *router) successorBound() time.Duration {
	d := r.cfg.VRRP.Interval.Duration()
	if r.cfg.VRRP.Version == wire.V2 {
		d = time.Second
	}
	if len(r.cfg.Region.Remote) > 0 && r.cfg.Region.HandoverOverlap > 0 {
		d += HandoverRemoteMargin
	}
	return d + HandoverMargin
}

// grace returns how long r goes on after it has heard its successor. Without an overlap it leaves nothing to another
// site that it still has itself.
func (r *router) grace(successor netip.Addr) (d time.Duration, outside bool) {
	switch {
	case slices.Contains(r.cfg.Region.Remote, successor):
		return r.cfg.Region.HandoverOverlap, true
	case r.cfg.Attracts():
		return HandoverRouteGrace, false
	}
	return HandoverGrace, false
}

// yielded returns the handover of a router that has become Backup because of a better one.
func (r *router) yielded(now vrrp.Instant, why vrrp.Cause) *handover {
	if why != vrrp.CauseHigherPriority && why != vrrp.CauseHigherAddress || r.cfg.VRRP.Priority == wire.PriorityOwner {
		return nil
	}
	h := &handover{since: now, until: now, heard: now, successor: r.fsm.Heard().Address}
	if h.grace, h.outside = r.grace(h.successor); h.grace == 0 {
		return nil
	}
	if h.outside {
		h.why = goesOutside
	}
	return h
}

// leave lets r go on for a while that has just left its role in order, and begins to let go of everything otherwise.
func (c *Core) leave(now vrrp.Instant, r *router, why vrrp.Cause, fx *Effects) {
	served := r.addressesIn
	r.forgetAddresses()
	h := r.planned
	r.planned = nil
	if h == nil {
		h = r.yielded(now, why)
		served = served && h != nil
	} else {
		served = true
	}
	if !served {
		settle := time.Duration(0)
		if h != nil || r.retired || why == vrrp.CauseDrain {
			settle = r.settleTime(h)
		}
		r.letGo(now, settle)
		return
	}
	r.handover = h
	if h.why != "" {
		c.tellHandover(now, r, "waiting", h.why, fx)
	}
}

// demote makes r leave its role in order, if it has it, because of why; empty: its sync group leaves it. It serves until h
// is over; nil: it does not.
func (c *Core) demote(now vrrp.Instant, r *router, patience time.Duration, why string, h *handover, fx *Effects) {
	if r.fsm.State() != vrrp.Active {
		return
	}
	r.planned, r.because = h, why
	cause := vrrp.CauseJoint
	if why != "" {
		cause = vrrp.CauseDrain
	}
	c.apply(now, r, r.fsm.Resign(now, patience, cause), fx)
}

// overhear looks whether a packet is that of a router which takes over from r. taken: there is nobody else to read it.
func (c *Core) overhear(now vrrp.Instant, r *router, p *wire.Packet, fx *Effects) (taken bool) {
	h := r.handover
	if h == nil || p.Priority == wire.PriorityRelease || r.fsm.Overhear(p) != wire.Accepted {
		return false
	}
	if h.heard == vrrp.Never {
		h.heard, h.successor = now, p.Src
		h.grace, h.outside = r.grace(p.Src)
		c.handedOver(now, r, fx)
		c.reschedule(r)
	}
	return r.fsm.State() == vrrp.Initialize
}

// handoverEnds returns when r has served for long enough; Never: it does not serve without the role.
func (c *Core) handoverEnds(r *router) vrrp.Instant {
	h := r.handover
	switch {
	case h == nil:
		return vrrp.Never
	case h.heard == vrrp.Never:
		return h.until
	case h.outside && c.seenOutside(r):
		return h.heard
	}
	return h.heard.Add(h.grace)
}

// seenOutside reports whether the check says that the other site serves (handover_overlap ... until).
func (c *Core) seenOutside(r *router) bool {
	t := c.trackers[Tracker{Kind: TrackCheck, Name: r.cfg.Region.HandoverUntil}]
	return t != nil && t.saysUp()
}

// handoverDue ends the handover of r if its time has come.
func (c *Core) handoverDue(now vrrp.Instant, r *router, fx *Effects) {
	if c.handoverEnds(r) > now {
		return
	}
	h := r.handover
	if h.order != nil && h.heard == vrrp.Never && c.takeBack(now, h.order, fx) {
		return
	}
	if h.inherited && h.heard == vrrp.Never && r.group == nil {
		c.tellHandover(now, r, "failed", "no other router has taken the role", fx)
		c.apply(now, r, r.fsm.Resume(now), fx)
		if r.handover == nil {
			return
		}
	}
	r.handover = nil
	r.noLongerServes(now)
	c.settleJoint(r)
	r.letGo(now, r.settleTime(h))
	c.dirty = true
	switch {
	case r.cfg.Anycast != nil:
		c.tellHandover(now, r, "over", fmt.Sprintf("drain_time %v has passed", h.until.Sub(h.since)), fx)
		if r.last != "" {
			r.drainOver = now // it has a fault from now on
			return
		}
		c.reword(now, r, h.why, fx)
	case h.heard == vrrp.Never:
		c.tellHandover(now, r, "over", fmt.Sprintf("nobody has taken the role within %v", h.until.Sub(h.since)), fx)
	case h.why != "":
		c.tellHandover(now, r, "over", h.taker()+" has taken the role", fx)
	}
}

// taker names the successor.
func (h *handover) taker() string {
	if h.successor.IsValid() {
		return h.successor.String()
	}
	return "another site"
}

// abandon ends the handover of a router that must not serve any more, and does not let it settle, unless that is orderly.
func (c *Core) abandon(now vrrp.Instant, r *router, why string, orderly bool, fx *Effects) {
	if !orderly {
		c.hasten(now, r)
	}
	h := r.handover
	if h == nil {
		return
	}
	r.handover = nil
	c.settleJoint(r)
	settle := time.Duration(0)
	if orderly {
		settle = r.settleTime(h)
	}
	r.letGo(now, settle)
	c.dirty = true
	c.tellHandover(now, r, "failed", why, fx)
	if h.order != nil {
		c.conclude(h.order, why, "", fx)
	}
}

// served reports whether r, which has just become Active, has served all the time: then there is nothing to wait for. The
// LAN is told again where its addresses are.
func (c *Core) served(now vrrp.Instant, r *router) bool {
	h := r.handover
	r.handover = nil
	if h == nil || !r.own.same(r.held) || slices.ContainsFunc(r.own.slots, func(s *slot) bool { return !c.kernel.has(s) }) {
		return false
	}
	for i := range r.presence {
		r.presence[i] = fresh
	}
	r.addressesIn, r.attracting = true, true
	r.gratuitous.start(now+1, &r.cfg.GARP) // with the next batch: this one may be past its timers
	return true
}

// overtaken takes note that another site holds a newer term than the one that r serves under. Without an overlap it serves
// no longer. With one, it goes on beside the successor for that long if it has given the role away itself, or if the
// service's own site takes back what is its own; a site that takes over from one that it believes dead is left alone.
func (c *Core) overtaken(now vrrp.Instant, r *router, t heartbeat.Term, fx *Effects) {
	h, overlap := r.handover, r.cfg.Region.HandoverOverlap
	switch {
	case h != nil && overlap == 0:
		if h.order != nil {
			c.succeeded(now, h.order, fx) // that is whom it was to be handed to
		}
		r.handover = nil
		r.noLongerServes(now)
		c.settleJoint(r)
		r.letGo(now, 0)
		c.dirty = true
		c.tellHandover(now, r, "over", fmt.Sprintf("site %s has taken the role", t.Holder), fx)
	case h != nil && h.heard == vrrp.Never:
		h.heard, h.grace, h.outside = now, overlap, true
		c.handedOver(now, r, fx)
	case h == nil && overlap > 0 && t.Holder == r.cfg.Region.Home && r.fsm.State() == vrrp.Active && r.addressesIn:
		r.planned = &handover{why: goesOutside, since: now, until: now, heard: now, grace: overlap, outside: true}
	}
}

// handingOver reports whether r has left its role in order and still serves.
func (r *router) handingOver() bool { return r.handover != nil }

// linger lets a router of an agent that stops go on serving until somebody else does, and returns when it has done so at
// the latest, and packets that neighbors still send have been served.
func (c *Core) linger(now vrrp.Instant, r *router, reason string, fx *Effects) (until vrrp.Instant) {
	until = now
	if r.fsm.State() == vrrp.Active {
		r.planned = c.newHandover(now, r, reason)
	}
	for _, h := range []*handover{r.handover, r.planned} {
		if h != nil {
			if h.order != nil {
				c.conclude(h.order, reason, "", fx)
				h.order = nil
			}
			h.until = min(h.until, now.Add(HandoverStopBound))
			until = max(until, h.until.Add(max(HandoverRouteGrace, r.cfg.Region.HandoverOverlap)))
		}
	}
	if r.releasing || r.attracting {
		until = until.Add(r.cfg.grace())
	}
	return until
}

// Draining reports whether a router serves without having the role, until its successor does.
func (c *Core) Draining() bool {
	return slices.ContainsFunc(c.routers, func(r *router) bool { return r.handover != nil })
}

// StopLimit returns when an orderly stop that has begun is complete at the latest; vrrp.Never: none has.
func (c *Core) StopLimit() vrrp.Instant { return c.stopAt }

// draining returns those of a router that hands its role over: its `when draining` lines, and those of its role for other
// prefixes, as the last resort of whoever hears them.
func (c *RouterConfig) draining(speaker string) []bgp.Route {
	var routes []bgp.Route
	own := make(map[netip.Prefix]bool)
	for i := range c.Announce {
		if a := &c.Announce[i]; a.Speaker == speaker && a.When == RoleDraining {
			own[a.Route.Prefix] = true
			routes = append(routes, a.Route)
		}
	}
	for i := range c.Announce {
		if a := &c.Announce[i]; a.Speaker == speaker && a.When == RoleActive && !own[a.Route.Prefix] {
			last := a.Route
			last.Communities = append(slices.Clone(last.Communities), gracefulShutdown)
			last.Normalize()
			routes = append(routes, last)
		}
	}
	return routes
}

// drains reports whether r has another line for the prefix of a while it hands its role over.
func (r *router) drains(a *Announcement) bool {
	return slices.ContainsFunc(r.cfg.Announce, func(o Announcement) bool {
		return o.When == RoleDraining && o.Speaker == a.Speaker && o.Route.Prefix == a.Route.Prefix
	})
}

func (c *Core) tellHandover(now vrrp.Instant, r *router, to, reason string, fx *Effects) {
	e := Event{Kind: EventHandover, At: now, To: to, Reason: reason}
	if h := r.handover; h != nil {
		e.Peer = h.successor
	}
	fx.about(r, e)
}
