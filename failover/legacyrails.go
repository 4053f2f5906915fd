package failover

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"failoverd/bgp"
	"failoverd/vrrp"
)

// LegacyGovernor is what holds the routes of a speaker back (max_changes, avoid_flap_damping). Neighbors do not forget because of
// an upgrade. Times count back, or on, from Legacy.At. Programs that know nothing of it go on without.
type LegacyGovernor struct {
	Speaker string
	// Asked is what the speaker was asked for last. Heard: neighbors had heard of it.
	Asked   []bgp.Route
	Heard   bool          `json:",omitempty"`
	History []bgp.History `json:",omitempty"`
	Held    []LegacyHeld  `json:",omitempty"`
}

// LegacyHeld is a change that waits.
type LegacyHeld struct {
	Prefix           netip.Prefix
	Left             time.Duration
	Withdrawn, Flaps bool
}

// belief is what is known of a speaker's announcements before anything is asked of it after an upgrade.
type belief struct {
	asked []bgp.Route  // by the program before
	until vrrp.Instant // neighbors are believed to hear of changes until then, although nobody has confirmed that
}

// legacyGovernors returns those of all speakers that have one.
func (c *Core) legacyGovernors(now vrrp.Instant) (list []LegacyGovernor) {
	for i := range c.cfg.Speakers {
		s := c.speakers[c.cfg.Speakers[i].Name]
		if s.cfg.MaxChanges == 0 && !s.cfg.Calm {
			continue
		}
		l := LegacyGovernor{Speaker: s.cfg.Name, Asked: slices.Clone(s.desired.Routes), Heard: s.report.Established(), History: s.rails.governor.History(int64(now))}
		for _, h := range s.rails.held {
			l.Held = append(l.Held, LegacyHeld{h.Prefix, max(vrrp.Instant(h.Until).Sub(now), 0), h.Withdrawn, h.Flaps})
		}
		list = append(list, l)
	}
	return list
}

// check says what makes no sense.
func (l *LegacyGovernor) check() error {
	wrong := func(p netip.Prefix) bool { return !p.IsValid() || p != p.Masked() }
	for i := range l.Asked {
		if p := l.Asked[i].Prefix; wrong(p) || i > 0 && l.Asked[i-1].Prefix.Compare(p) >= 0 {
			return fmt.Errorf("%w: speaker %s was asked for %v, out of order or none", ErrLegacy, l.Speaker, p)
		}
	}
	for _, h := range l.Held {
		if wrong(h.Prefix) || h.Left < 0 || h.Left > bgp.CalmWindow {
			return fmt.Errorf("%w: speaker %s holds %v back for %v", ErrLegacy, l.Speaker, h.Prefix, h.Left)
		}
	}
	if err := new(bgp.Governor).Restore(0, l.History); err != nil {
		return fmt.Errorf("%w: speaker %s: %w", ErrLegacy, l.Speaker, err)
	}
	return nil
}

// takeUpGovernors goes on with what was counted.
func (c *Core) takeUpGovernors(now vrrp.Instant, l *Legacy) {
	for i := range l.Governors {
		g := &l.Governors[i]
		s := c.speakers[g.Speaker]
		if s == nil || s.rails.governor.Restore(int64(l.At), g.History) != nil { // check has seen it
			continue
		}
		s.rails.held = nil
		for _, h := range g.Held {
			s.rails.held = append(s.rails.held, bgp.Held{Prefix: h.Prefix, Until: int64(l.At.Add(h.Left)), Withdrawn: h.Withdrawn, Flaps: h.Flaps})
		}
		if g.Heard {
			s.rails.before = &belief{asked: slices.Clone(g.Asked), until: now.Add(proofGrace)}
		}
	}
}

// soFar returns what neighbors have heard so far of a speaker's routes; heard false: they hear of nothing, so that nothing counts.
// After an upgrade it is what the program before has asked for, until this one does; open: it has not come to that yet.
func (c *Core) soFar(now vrrp.Instant, s *speaker) (have []bgp.Route, heard, open bool) {
	have, heard = s.desired.Routes, s.report.Established()
	b := s.rails.before
	switch {
	case b == nil:
		return have, heard, false
	case !heard && now >= b.until:
		s.rails.before = nil
		return have, false, false
	case s.desired.Generation > 0:
		return have, true, false
	case c.undecided(s):
		return nil, true, true
	}
	have, b.asked = b.asked, nil
	return have, true, false
}
