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

// updateHold keeps a Backup whose routes could not leave yet from taking the role from a router that serves: a
// return must not cost an outage (bgp_wait).
func (c *Core) updateHold(now vrrp.Instant, r *router, fx *Effects) {
	running := r.fsm.State() == vrrp.Backup
	hold := running && now < r.holdUntil && c.waitsFor(r) != ""
	if hold == r.fsm.Held() {
		return
	}
	r.fsm.SetHold(hold)
	e := Event{Kind: EventHold, At: now, To: "over"}
	switch {
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
