package failover

import (
	"fmt"
	"net/netip"

	"failoverd/bgp"
	"failoverd/vrrp"
)

// describeRPKI returns the origin validation of a speaker; nil: it has none.
func (c *Core) describeRPKI(s *speaker) *RPKIStatus {
	if len(s.cfg.RPKICaches) == 0 {
		return nil
	}
	st := &RPKIStatus{
		Invalid: "refuse", Using: s.rails.rpki.Using,
		Caches: append([]bgp.CacheStatus{}, s.rails.rpki.Caches...), Origins: []OriginStatus{},
	}
	if s.cfg.RPKIWarn {
		st.Invalid = "warn"
	}
	for _, p := range c.candidates(s) {
		o := s.rails.origins[p]
		why := o.words()
		if why == "" {
			why = "no RPKI cache has answered yet"
		}
		st.Origins = append(st.Origins, OriginStatus{
			Prefix: p, OriginAS: s.cfg.LocalAS, Validity: o.validity.String(), Why: why,
			Wanted: s.wants(p) || c.means(s, p), Effect: s.originEffect(p),
		})
	}
	return st
}

// means reports whether a router's role wants a prefix announced by a speaker, although it may be refused.
func (c *Core) means(s *speaker, p netip.Prefix) bool {
	for _, r := range c.routers {
		for i := range r.cfg.Announce {
			if a := &r.cfg.Announce[i]; a.Speaker == s.cfg.Name && a.Route.Prefix == p && r.means(a) {
				return true
			}
		}
	}
	return false
}

// describeRails adds to a line of bgp_announce what the rails have against it, now or after a takeover.
func (s *speaker) describeRails(st *RouteStatus) {
	if len(s.cfg.RPKICaches) > 0 {
		o := s.rails.origins[st.Prefix]
		st.Origin = o.validity.String()
		if o.validity == bgp.Invalid && st.Error == "" {
			st.Warning = "RPKI: the origin is invalid, " + s.originEffect(st.Prefix) + ": " + o.words()
		}
	}
	if word := s.rails.holds(st.Prefix); word != "" && st.Wanted {
		held := word + " holds its newest state back"
		if st.Announced {
			st.Warning = held
		} else {
			st.Error = held
		}
	}
}

// railed says what an Active router waits for before it announces what it should, in words; empty: the rails keep nothing back.
func (c *Core) railed(now vrrp.Instant, r *router) string {
	if r.fsm.State() != vrrp.Active {
		return ""
	}
	for i := range r.cfg.Announce {
		a := &r.cfg.Announce[i]
		p, s := a.Route.Prefix, c.speakers[a.Speaker]
		if s == nil || len(s.cfg.RPKICaches) == 0 || !r.means(a) || s.keeps(p) {
			continue
		}
		switch o := s.rails.origins[p]; {
		case o.validity == bgp.Invalid && !s.cfg.RPKIWarn:
			return fmt.Sprintf("for RPKI, by which the origin of %s is invalid (rpki_invalid refuse): %s", p, o.words())
		case o.validity == bgp.Unchecked && s.rails.waits(now):
			return fmt.Sprintf("for an RPKI cache to say whether the origin of %s is valid, at most %.1f s more", p, s.rails.patience.Sub(now).Seconds())
		}
	}
	if p, word := c.governedBy(r); word != "" {
		return fmt.Sprintf("for %s, which holds %s back", word, p)
	}
	return ""
}
