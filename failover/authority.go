package failover

import (
	"fmt"
	"slices"
	"time"

	"failoverd/bgp"
	"failoverd/vrrp"
)

// site is the authority of this node's site: it serves only while somebody outside acknowledges it (safety.md, D). Everything
// is measured from when a request was sent, because nobody knows when it was answered.
type site struct {
	cfg      *SiteConfig
	partners []*partner
	since    vrrp.Instant // since when it is asked for
	sent     vrrp.Instant // of the newest acknowledged request; 0: there is none
	by       string       // who acknowledged it
	given    vrrp.Instant // the end of the authority as speakers were told last
	word     string       // the authority as last told
}

// Words for the authority of a site.
const (
	authorityValid = "valid"
	authorityNone  = "none yet"
	authorityLost  = "lost"
	authorityHeld  = "held"
)

func (s *site) has(p *partner) bool { return slices.Contains(s.partners, p) }

// until returns when the authority ends, unless it is acknowledged again. It may have ended.
func (s *site) until() vrrp.Instant {
	if s.sent == 0 {
		return 0
	}
	return s.sent.Add(s.cfg.FenceAfter)
}

// acknowledged extends the authority of the site.
func (c *Core) acknowledged(now vrrp.Instant, s *site, sent vrrp.Instant, p *partner, fx *Effects) {
	if sent <= s.sent {
		return
	}
	waited := c.unproven(s)
	s.sent, s.by = sent, p.cfg.Kind.String()+" "+p.cfg.Name
	c.dirty = c.dirty || waited && !c.unproven(s) || s.until().Sub(s.given) >= s.cfg.FenceAfter/4
	c.judgeAuthority(now, fx)
}

// unproven reports whether routes of the site wait for an acknowledgement through some speaker.
func (c *Core) unproven(s *site) bool {
	for _, sp := range c.speakers {
		if s.sent < sp.doubt {
			return true
		}
	}
	return false
}

// judgeAuthority works out whether the site may serve now, and lets its routers feel a change.
func (c *Core) judgeAuthority(now vrrp.Instant, fx *Effects) {
	s := c.region.site
	if s == nil {
		return
	}
	word, why := c.authority(now, s)
	if word == s.word {
		return
	}
	from := s.word
	s.word, c.dirty = word, true
	fx.event(Event{Kind: EventAuthority, At: now, Object: "site " + s.cfg.Name, From: from, To: word, Reason: why})
	for _, r := range c.routers {
		if r.cfg.Region.Site == s.cfg.Name {
			c.evaluate(now, r, fx)
			c.reschedule(r)
		}
	}
}

// lapse ends the authority when its time has come, before anything else is done in its name.
func (c *Core) lapse(now vrrp.Instant, fx *Effects) {
	if s := c.region.site; s != nil && s.word == authorityValid && now >= s.until() {
		c.judgeAuthority(now, fx)
	}
}

// authority says whether the site may serve, and why.
func (c *Core) authority(now vrrp.Instant, s *site) (word, why string) {
	switch {
	case s.sent != 0 && now < s.until():
		return authorityValid, "acknowledged by " + s.by
	case s.cfg.Hold && c.mayHold(s):
		return authorityHeld, "isolated hold: nobody outside acknowledges this site, but its upstream and its checks are all right"
	case s.sent != 0:
		return authorityLost, fmt.Sprintf("isolated: nobody outside has acknowledged site %s for %s", s.cfg.Name, plainSeconds(now.Sub(s.sent)))
	case now < s.since.Add(s.cfg.FenceAfter):
		return authorityNone, fmt.Sprintf("site %s waits for its first acknowledgement from outside", s.cfg.Name)
	}
	return authorityLost, fmt.Sprintf("isolated: nobody outside has acknowledged site %s yet", s.cfg.Name)
}

// plainSeconds prints a duration in seconds with one digit after the point, for reasons.
func plainSeconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// mayHold reports whether an isolated site may go on with `isolated hold`: a session of each speaker that its routers announce
// through is established, and its checks are all right.
func (c *Core) mayHold(s *site) bool {
	for _, name := range s.cfg.HoldChecks {
		if t := c.trackers[Tracker{TrackCheck, name}]; t == nil || !t.known || !t.ok {
			return false
		}
	}
	for _, r := range c.routers {
		if r.cfg.Region.Site == s.cfg.Name && c.waitsFor(r) != "" {
			return false
		}
	}
	return true
}

// isolated says why r must not run for want of authority.
func (c *Core) isolated(now vrrp.Instant, r *router) hindrance {
	s := c.region.site
	if s == nil || r.cfg.Region.Site != s.cfg.Name || c.awaiting { // it comes with the turn
		return hindrance{}
	}
	switch word, why := c.authority(now, s); word {
	case authorityNone:
		return hindrance{reason: why, pending: true, until: s.since.Add(s.cfg.FenceAfter)}
	case authorityLost:
		// The time in it would make every look at it a change.
		if s.sent != 0 {
			why = fmt.Sprintf("isolated: nobody outside acknowledges site %s", s.cfg.Name)
		}
		return hindrance{reason: why}
	}
	return hindrance{}
}

// doubted takes note that a speaker's neighbors may have forgotten us, or we them: what is announced from now on needs an
// acknowledgement that was asked for after this moment (safety property S9).
func (c *Core) doubted(now vrrp.Instant, s *speaker) {
	s.doubt = now
	if c.region.site != nil {
		for _, p := range c.region.site.partners {
			p.ask(now)
		}
	}
	c.region.dirty = true
}

// proofGrace is how long routes stay out after one of several sessions was lost without an acknowledgement: no session can
// come back earlier (connect_retry is at least a second), and the other neighbors lose nothing.
const proofGrace = time.Second

// proven reports whether r's routes may be announced through a speaker now.
func (c *Core) proven(now vrrp.Instant, r *router, s *speaker) bool {
	st := c.region.site
	if st == nil || r.cfg.Region.Site != st.cfg.Name || st.word == authorityHeld {
		return true
	}
	// Without a session, what is in the table would leave as soon as one is up.
	return s.report.Established() && (st.sent >= s.doubt || s.others && now < s.doubt.Add(proofGrace))
}

// proofDue returns when time alone may change something about the authority, or about what is proven.
func (c *Core) proofDue(now vrrp.Instant) vrrp.Instant {
	st, due := c.region.site, vrrp.Never
	if st == nil {
		return due
	}
	switch st.word {
	case authorityValid:
		due = st.until()
	case authorityNone:
		due = st.since.Add(st.cfg.FenceAfter)
	}
	for _, s := range c.speakers {
		if !s.others || st.sent >= s.doubt {
			continue
		}
		if end := s.doubt.Add(proofGrace); now < end {
			due = min(due, end)
		} else {
			s.others, c.dirty = false, true
		}
	}
	return due
}

// addressesUntil returns when the authority for guarded addresses ends.
func (c *Core) addressesUntil() vrrp.Instant {
	if s := c.region.site; s != nil && !s.cfg.Hold {
		return s.until()
	}
	return vrrp.Never
}

// routesUntil returns when the authority for routes ends that are all guarded, as bgp.Desired has it.
func (c *Core) routesUntil(guarded bool) int64 {
	s := c.region.site
	if s == nil || s.cfg.Hold || !guarded {
		return 0
	}
	s.given = s.until()
	return int64(s.given)
}

// forgetAuthority forgets the authority after a pause of this process, and all proofs with it.
func (c *Core) forgetAuthority(now vrrp.Instant) {
	s := c.region.site
	if s == nil {
		return
	}
	s.sent, s.since = 0, now
	for _, sp := range c.speakers {
		sp.others = false
		c.doubted(now, sp)
	}
}

// noteSessions finds out whether a report of a speaker is a reason to doubt.
func (c *Core) noteSessions(now vrrp.Instant, s *speaker, old *bgp.Report) {
	lost, gained, kept := sessionChanges(old, &s.report)
	restarted := s.report.Connected && !old.Connected || s.report.Restarts != old.Restarts
	if lost || gained || restarted {
		s.others = kept && !restarted
		c.doubted(now, s)
	}
}

// sessionChanges compares two reports: whether a session was lost, gained, and whether one has been there all the time.
func sessionChanges(old, next *bgp.Report) (lost, gained, kept bool) {
	was := func(n *bgp.NeighborStatus) *bgp.NeighborStatus {
		for i := range old.Neighbors {
			if old.Neighbors[i].Address == n.Address {
				return &old.Neighbors[i]
			}
		}
		return &bgp.NeighborStatus{}
	}
	for i := range next.Neighbors {
		n := &next.Neighbors[i]
		o := was(n)
		before, after := o.State == bgp.Established, n.State == bgp.Established
		switch {
		case before && after && o.Flaps == n.Flaps:
			kept = true
		case after: // new, or another one since
			gained = true
		case before:
			lost = true
		}
	}
	return lost, gained, kept
}
