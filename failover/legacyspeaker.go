package failover

import (
	"slices"

	"failoverd/bgp"
	"failoverd/vrrp"
)

// goOnWith takes up what a speaker's process has reported to the program before. Its sessions are believed until it has been
// reached, which takes some milliseconds; after proofGrace they might be others.
func (c *Core) goOnWith(now vrrp.Instant, s *speaker, l *LegacySpeaker) {
	s.report = bgp.Report{Speaker: l.Name, Connected: l.Connected, Neighbors: slices.Clone(l.Neighbors), Announced: slices.Clone(l.Announced)}
	for i := range s.report.Neighbors {
		s.report.Neighbors[i].Flaps = 0 // whoever goes on with them counts anew
	}
	s.reported, s.doubt, s.others = true, l.Doubt, l.Others
	s.unsaid, s.found = true, s.report.Announced
	if l.Connected {
		s.believe(c, now)
	}
	if t := c.trackers[Tracker{TrackBGP, l.Name}]; t != nil {
		t.hear(&s.report)
	}
}

// believe makes what is known of the sessions hold until the process is reached, or proofGrace is over.
func (s *speaker) believe(c *Core, now vrrp.Instant) {
	s.reached = now.Add(proofGrace)
	c.speakersDue = min(c.speakersDue, s.reached)
}

// notReached reports whether a report only says that the process which goes on was not reached yet. It is kept, for when time
// shows that it was right.
func (s *speaker) notReached(now vrrp.Instant, rep *bgp.Report) bool {
	if s.reached == 0 || rep.Connected || now >= s.reached {
		return false
	}
	s.early = rep
	return true
}

// reach ends the time in which the sessions of the program before are believed. Who was reached too late may have lost them and
// have got others.
func (c *Core) reach(now vrrp.Instant, s *speaker) {
	if s.reached != 0 && now >= s.reached {
		s.report = bgp.Report{Speaker: s.report.Speaker, Announced: s.report.Announced}
	}
	s.reached, s.early = 0, nil
}

// expireSpeakers stops believing in what nobody has confirmed.
func (c *Core) expireSpeakers(now vrrp.Instant, fx *Effects) {
	if c.speakersDue > now {
		return
	}
	c.speakersDue = vrrp.Never
	for i := range c.cfg.Speakers {
		s := c.speakers[c.cfg.Speakers[i].Name]
		switch {
		case s.reached == 0:
		case s.reached > now:
			c.speakersDue = min(c.speakersDue, s.reached)
		case s.early != nil:
			c.speakerReported(now, s.early, fx)
		default:
			c.speakerReported(now, &bgp.Report{Speaker: s.cfg.Name, Err: "the process that goes on was not reached yet"}, fx)
		}
	}
}

// undecided reports whether it is open yet what is to be announced through a speaker whose process goes on: a router that is to
// go on in its role, or does and waits for its addresses to be confirmed, announces through it. Until then nothing is said.
func (c *Core) undecided(s *speaker) bool {
	return slices.ContainsFunc(c.routers, func(r *router) bool {
		return (r.legacy != nil || r.inherits != nil || r.fsm.State() == vrrp.Active && !r.addressesIn) && r.announcesThrough(s.cfg.Name)
	})
}
