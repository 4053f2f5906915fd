package failover

import (
	"net/netip"

	"failoverd/bgp"
	"failoverd/vrrp"
)

// speaker is what the core knows of one bgp_speaker.
type speaker struct {
	cfg     *bgp.SpeakerConfig
	desired bgp.Desired // as last asked for
	origin  uint32      // the AS that its routes originate in
	report  bgp.Report
	// reported: report is one that the speaker made.
	reported bool
	// stale: it may still announce what another life of the agent has asked for, so that it is asked for nothing, too.
	stale   bool
	refused string // what the rails refused last
	rails   rails
	// troubles limits how often the errors of neighbors that stay down are told; the zero address stands for the
	// speaker itself.
	troubles map[netip.Addr]*limiter
	// doubt is when neighbors may have forgotten us last, or we them (see doubted); others: one session was there all the
	// time.
	doubt  vrrp.Instant
	others bool
	// After an upgrade: reached is until when the sessions are believed that the program before has left (0: they need not be),
	// and early what was reported meanwhile by who has not reached the process yet. unsaid: it may still announce what the
	// program before has asked for.
	reached vrrp.Instant
	early   *bgp.Report
	unsaid  bool
	// found are the routes that the life before has left with the process that goes on. They are announced until the speaker is
	// asked for the first time. While it has not said what they are, and until awaited, it is not asked for less than everything.
	found   []bgp.Route
	awaited vrrp.Instant

	wanted []bgp.Route // what wantedRoutes returned last
	passed passed
}

// passed is what the rails of a speaker made of a set of routes.
type passed struct {
	cfg         *bgp.SpeakerConfig
	routes, may []bgp.Route
	err         error
}

// validated is bgp.SpeakerConfig.Validate. It costs something only if the routes are others than the last time: a batch that
// changes nothing about them is the usual one.
func (s *speaker) validated(routes []bgp.Route) ([]bgp.Route, error) {
	if p := &s.passed; p.cfg != s.cfg || !bgp.Same(p.routes, routes) {
		p.cfg, p.routes = s.cfg, routes
		p.may, p.err = s.cfg.Validate(routes)
	}
	return s.passed.may, s.passed.err
}

// acknowledged reports whether the speaker's table reflects what was asked for up to a generation; a speaker that is
// not there announces nothing, which is also an answer to a withdrawal.
func (s *speaker) acknowledged(generation uint64) bool {
	return !s.report.Connected || s.report.Generation >= min(s.desired.Generation, generation)
}

// Reached returns the names of the speakers with a gobgpd that works for this node now: whoever goes on finds it as it is.
func (c *Core) Reached() (names []string) {
	for i := range c.cfg.Speakers {
		if s := c.speakers[c.cfg.Speakers[i].Name]; s.cfg.External != nil && s.report.Connected {
			names = append(names, s.cfg.Name)
		}
	}
	return names
}

// adoptSpeakers makes the set of speakers that of the configuration. What is known of one that stays, stays.
func (c *Core) adoptSpeakers(now vrrp.Instant) {
	old := c.speakers
	c.speakers = make(map[string]*speaker, len(c.cfg.Speakers))
	for i := range c.cfg.Speakers {
		s := &c.cfg.Speakers[i]
		o := old[s.Name]
		if o == nil {
			o = &speaker{report: bgp.Report{Speaker: s.Name}, troubles: make(map[netip.Addr]*limiter)}
		}
		o.rails.adopt(now, o.cfg, s)
		o.cfg = s
		c.speakers[s.Name] = o
	}
}

// speakerReported takes note of a speaker's news.
func (c *Core) speakerReported(now vrrp.Instant, rep *bgp.Report, fx *Effects) {
	s := c.speakers[rep.Speaker]
	if s == nil {
		return // news of a speaker that a reload removed
	}
	if s.notReached(now, rep) {
		return
	}
	c.reach(now, s)
	c.dirty = true
	old := s.report
	s.report, s.reported = *rep, true
	if s.desired.Generation == 0 && rep.Connected {
		s.found = rep.Announced
		s.unsaid = s.unsaid || len(s.found) > 0 // who wants none of it has to say so
	}
	c.noteSessions(now, s, &old)
	trouble := rep.Err != "" && rep.Err != old.Err
	if old.Connected != rep.Connected || trouble && s.trouble(netip.Addr{}).allows(now) {
		to, reason := "down", rep.Err
		switch {
		case rep.Connected && old.Connected:
			to = "trouble" // it is there all the time
		case rep.Connected:
			to, reason = "up", "" // why it was down is no reason to be up
		}
		fx.event(Event{Kind: EventSpeaker, At: now, Speaker: rep.Speaker, To: to, Reason: reason})
	}
	s.sessionEvents(now, old.Neighbors, fx)
	s.routeEvents(now, old.Announced, fx)
	c.sessionsReported(now, rep, fx)
	lost := old.Established() && !rep.Established()
	for _, r := range c.routers {
		if lost && r.fsm.State() == vrrp.Backup && r.announcesThrough(rep.Speaker) {
			r.holdUntil = now.Add(r.cfg.BGPWait)
		}
		c.updateHold(now, r, fx)
		c.reschedule(r)
	}
}

// sessionEvents tells which sessions came and went since old, and why others do not come.
func (s *speaker) sessionEvents(now vrrp.Instant, old []bgp.NeighborStatus, fx *Effects) {
	for i := range s.report.Neighbors {
		n := &s.report.Neighbors[i]
		var was bgp.NeighborStatus
		for j := range old {
			if old[j].Address == n.Address {
				was = old[j]
			}
		}
		changed := (was.State == bgp.Established) != (n.State == bgp.Established)
		trouble := n.LastError != "" && n.LastError != was.LastError
		if !changed && (!trouble || !s.trouble(n.Address).allows(now)) {
			continue
		}
		reason := n.LastError
		if changed && n.State == bgp.Established {
			reason = "" // what went wrong before is no reason to be up
		}
		fx.event(Event{
			Kind: EventSession, At: now, Speaker: s.cfg.Name, Peer: n.Address,
			From: was.State.String(), To: n.State.String(), Reason: reason,
		})
	}
}

func (s *speaker) trouble(a netip.Addr) *limiter {
	l := s.troubles[a]
	if l == nil {
		l = new(limiter)
		s.troubles[a] = l
	}
	return l
}

// routeEvents tells what came into the speaker's table and left it since old.
func (s *speaker) routeEvents(now vrrp.Instant, old []bgp.Route, fx *Effects) {
	added, gone := bgp.Diff(old, s.report.Announced)
	for _, r := range added {
		fx.event(Event{Kind: EventRoutes, At: now, Speaker: s.cfg.Name, To: "announced", Reason: r.String()})
	}
	for _, p := range gone {
		fx.event(Event{Kind: EventRoutes, At: now, Speaker: s.cfg.Name, To: "withdrawn", Reason: p.String()})
	}
}
