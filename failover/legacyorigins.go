package failover

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"failoverd/bgp"
	"failoverd/vrrp"
)

// longestVerdict bounds how long data of an RPKI cache counts: no cache may say more than two days (RFC 8210 section 6).
const longestVerdict = 48 * time.Hour

// LegacyOrigin is what was known of the RPKI validity of one prefix that a router may announce: only own prefixes, and not the
// table of the cache. It counts in the next life of the agent until a cache of that one has answered, or its time is over: a
// cache that is down when the program is replaced, or dies, lets nothing out that was refused.
type LegacyOrigin struct {
	Speaker  string
	AS       uint32 // that would originate it
	Prefix   netip.Prefix
	Validity bgp.Validity // bgp.Unchecked is none
	Why      string       `json:",omitempty"`
	// Learned is when the data was renewed last, Until when it counts; vrrp.Never: until a cache answers. Instants mean the same
	// to both lives, which are under one boot.
	Learned, Until vrrp.Instant
}

// legacyOrigins returns those of all speakers, sorted. What was carried over goes on with the time that it has.
func (c *Core) legacyOrigins() (list []LegacyOrigin) {
	for i := range c.cfg.Speakers {
		s := c.speakers[c.cfg.Speakers[i].Name]
		for _, p := range slices.SortedFunc(maps.Keys(s.rails.origins), netip.Prefix.Compare) {
			o := s.rails.origins[p]
			if o.before == "" {
				o.learned, o.until = s.rails.learned, s.rails.until
			}
			if o.validity != bgp.Unchecked && o.until > 0 {
				list = append(list, LegacyOrigin{s.cfg.Name, s.cfg.LocalAS, p, o.validity, o.why, o.learned, o.until})
			}
		}
	}
	return list
}

// check says what makes no sense in what was written down at an instant.
func (l *LegacyOrigin) check(at vrrp.Instant) error {
	switch {
	case !l.Prefix.IsValid() || l.Prefix != l.Prefix.Masked():
		return fmt.Errorf("%w: speaker %s has the origin of %v validated", ErrLegacy, l.Speaker, l.Prefix)
	case l.Validity == bgp.Unchecked || l.Validity > bgp.Invalid:
		return fmt.Errorf("%w: speaker %s: %v has validity %d", ErrLegacy, l.Speaker, l.Prefix, uint8(l.Validity))
	case l.Learned < 0 || l.Learned > at:
		return fmt.Errorf("%w: speaker %s: the validity of %v was learned at %d, and now is %d", ErrLegacy, l.Speaker, l.Prefix, l.Learned, at)
	case l.Until < 0, l.Until != vrrp.Never && l.Until.Sub(at) > longestVerdict:
		return fmt.Errorf("%w: speaker %s: the validity of %v counts until %d, and now is %d", ErrLegacy, l.Speaker, l.Prefix, l.Until, at)
	}
	return nil
}

// Recall makes the core go on with what another life has known of the validity of own prefixes, and tells of it. It belongs
// between New and the first Flush, with Inherit or without. Nothing is changed when the error is not nil, which wraps ErrLegacy.
func (c *Core) Recall(now vrrp.Instant, list []LegacyOrigin, fx *Effects) error {
	for i := range list {
		if err := list[i].check(now); err != nil {
			return err
		}
	}
	for _, s := range c.carryOver(now, list, "the agent was started again") {
		c.judgeOrigins(now, s, fx)
	}
	c.dirty = true
	return nil
}

// takeUpOrigins goes on with what the program before has known, and has told of.
func (c *Core) takeUpOrigins(now vrrp.Instant, l *Legacy, fx *Effects) {
	for _, s := range c.carryOver(now, l.Origins, "the upgrade") {
		s.rails.origins = maps.Clone(s.rails.carried)
		c.judgeOrigins(now, s, fx)
	}
}

// carryOver adds to what is carried over what is about routes of this configuration and still counts, and returns the speakers.
func (c *Core) carryOver(now vrrp.Instant, list []LegacyOrigin, before string) (of []*speaker) {
	carried := make(map[string]map[netip.Prefix]origin)
	for i := range list {
		l := &list[i]
		s := c.speakers[l.Speaker]
		if s == nil || len(s.cfg.RPKICaches) == 0 || s.cfg.LocalAS != l.AS || l.Until <= now {
			continue
		}
		if carried[l.Speaker] == nil {
			carried[l.Speaker] = make(map[netip.Prefix]origin)
		}
		carried[l.Speaker][l.Prefix] = origin{l.Validity, l.Why, before, l.Learned, l.Until}
	}
	for i := range c.cfg.Speakers {
		s := c.speakers[c.cfg.Speakers[i].Name]
		origins := carried[s.cfg.Name]
		if origins == nil {
			continue
		}
		own := c.candidates(s)
		maps.DeleteFunc(origins, func(p netip.Prefix, _ origin) bool {
			_, is := slices.BinarySearchFunc(own, p, netip.Prefix.Compare)
			return !is
		})
		s.rails.carry(origins)
		s.rails.answered(s.cfg)
		of = append(of, s)
	}
	return of
}

// expireOrigins drops what was carried over and does not count any more.
func (c *Core) expireOrigins(now vrrp.Instant, fx *Effects) {
	for i := range c.cfg.Speakers {
		s := c.speakers[c.cfg.Speakers[i].Name]
		if len(s.rails.carried) == 0 || now < s.rails.ends {
			continue
		}
		maps.DeleteFunc(s.rails.carried, func(_ netip.Prefix, o origin) bool { return o.until <= now })
		s.rails.carry(s.rails.carried)
		c.judgeOrigins(now, s, fx)
	}
}
