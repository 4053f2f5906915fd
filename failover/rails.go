package failover

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"failoverd/bgp"
	"failoverd/vrrp"
)

// originPatience is how long after the start, or after a reload that changes whom to ask or about what, a route that is not
// announced waits for the RPKI caches before it is announced without an answer. A node hardly ever takes a role that early;
// later nothing waits for a cache.
const originPatience = 3 * time.Second

// rails is what the core knows and remembers of a speaker's rails besides the allow list.
type rails struct {
	rpki    bgp.RPKIReport
	told    map[string]*limiter     // when the trouble of a cache was told of last
	origins map[netip.Prefix]origin // of every prefix that a router may announce, in any role
	// carried are verdicts of before a reload that changed whom to ask, of before an upgrade or of the life before. Each counts
	// until a cache of now has said something about the prefix, or until its time is over. Of a reload only "invalid" is carried.
	carried map[netip.Prefix]origin
	ends    vrrp.Instant // when the next of carried is over
	// learned is when the data of rpki was renewed last, until when it counts if that does not happen again; 0: there is none.
	learned, until vrrp.Instant
	// patience is when routes wait for the caches no longer; zero: there are no caches.
	patience vrrp.Instant
	governor bgp.Governor
	held     []bgp.Held
	before   *belief // of an upgrade; nil: there was none, or it does not matter any more
}

// origin is the RPKI validity of a prefix of ours.
type origin struct {
	validity bgp.Validity
	why      string
	// before is what a verdict has outlived without an answer of a cache since ("the upgrade"); empty: it is by what a cache
	// says now. Then learned and until are those of the data that it is by; until is vrrp.Never for one that outlives all.
	before         string
	learned, until vrrp.Instant
}

// words returns why the origin is what it is, and what there is to know about that.
func (o *origin) words() string {
	if o.before == "" {
		return o.why
	}
	return o.why + "; that was before " + o.before + ", and no RPKI cache has answered since"
}

// adopt takes over another configuration; old is nil where there was none.
func (r *rails) adopt(now vrrp.Instant, old, cfg *bgp.SpeakerConfig) {
	switch {
	case len(cfg.RPKICaches) == 0:
		*r = rails{governor: r.governor, held: r.held, before: r.before}
		return
	case old != nil && slices.Equal(old.RPKICaches, cfg.RPKICaches) && slices.Equal(old.Allow, cfg.Allow) && old.LocalAS == cfg.LocalAS:
		return
	}
	r.patience = now.Add(originPatience)
	if old == nil || old.LocalAS != cfg.LocalAS {
		r.carry(nil) // they were about another origin
		return
	}
	refusals := make(map[netip.Prefix]origin)
	for p, o := range r.origins {
		if o.validity != bgp.Invalid {
			continue
		}
		if o.before == "" {
			o.before, o.learned = "the reload", r.learned
		}
		o.until = vrrp.Never
		refusals[p] = o
	}
	r.carry(refusals)
}

// validate judges a prefix by what the caches say now. While none says anything, what was carried over stands.
func (r *rails) validate(now vrrp.Instant, p netip.Prefix, as uint32) (o origin) {
	o.validity, o.why = r.rpki.Validate(p, as)
	if was, carried := r.carried[p]; carried && o.validity == bgp.Unchecked && now < was.until {
		return was
	}
	return o
}

// carry replaces what was carried over.
func (r *rails) carry(origins map[netip.Prefix]origin) {
	r.carried, r.ends = origins, vrrp.Never
	for _, o := range origins {
		r.ends = min(r.ends, o.until)
	}
}

// answered drops what was carried over and a cache of now has said something about since.
func (r *rails) answered(cfg *bgp.SpeakerConfig) {
	if !slices.Contains(cfg.RPKICaches, r.rpki.Using) {
		return // late news of a cache that a reload removed
	}
	for p := range r.carried {
		if v, _ := r.rpki.Validate(p, cfg.LocalAS); v != bgp.Unchecked {
			delete(r.carried, p)
		}
	}
}

// waits reports whether a route that nothing is known about waits for the caches. Where there is data, it is not about this
// route: it was collected before a reload.
func (r *rails) waits(now vrrp.Instant) bool {
	return now < r.patience && (!r.rpki.Settled || r.rpki.Using != "")
}

// renew notes for how long the data of a report counts.
func (r *rails) renew(now vrrp.Instant, rep *bgp.RPKIReport) {
	if rep.Using == "" {
		r.learned, r.until = 0, 0
		return
	}
	until := now.Add(min(max(rep.Left, 0), longestVerdict))
	if until > r.until.Add(time.Second) { // otherwise it is the same data, up to what the two clocks differ by
		r.learned = now
	}
	r.until = until
}

// rpkiReported takes note of what the caches of a speaker say.
func (c *Core) rpkiReported(now vrrp.Instant, rep *bgp.RPKIReport, fx *Effects) {
	s := c.speakers[rep.Speaker]
	if s == nil || len(s.cfg.RPKICaches) == 0 {
		return // news of what a reload removed
	}
	old := s.rails.rpki
	s.rails.rpki = *rep
	s.rails.renew(now, rep)
	s.rails.answered(s.cfg)
	for i := range rep.Caches {
		s.cacheEvent(now, &rep.Caches[i], old.Caches, fx)
	}
	if rep.Same(&old) {
		return
	}
	c.dirty = true
	c.judgeOrigins(now, s, fx)
}

// cacheEvent tells that a cache came or went, and now and then why it does not come.
func (s *speaker) cacheEvent(now vrrp.Instant, k *bgp.CacheStatus, old []bgp.CacheStatus, fx *Effects) {
	var was bgp.CacheStatus
	if i := slices.IndexFunc(old, func(o bgp.CacheStatus) bool { return o.Address == k.Address }); i >= 0 {
		was = old[i]
	}
	up, wasUp := k.State == "up", was.State == "up"
	trouble := k.Error != "" && k.Error != was.Error
	if s.rails.told == nil {
		s.rails.told = make(map[string]*limiter)
	}
	l := s.rails.told[k.Address]
	if l == nil {
		l = new(limiter)
		s.rails.told[k.Address] = l
	}
	switch {
	case up && wasUp, !up && !wasUp && (!trouble || !l.allows(now)):
		return
	case !up && wasUp:
		l.allows(now)
	}
	e := Event{Kind: EventCache, At: now, Speaker: s.cfg.Name, Object: k.Address, To: "down", Reason: k.Error}
	if up {
		e.To, e.Reason = "up", fmt.Sprintf("serial %d, %d records", k.Serial, k.Records)
	} else if k.HasData {
		e.Reason += "; its data counts for " + k.Expires.Sub(k.Synced).String() + " from when it was current"
	}
	fx.event(e)
}

// candidates returns the prefixes that a router may announce through s, in any role, sorted.
func (c *Core) candidates(s *speaker) []netip.Prefix {
	var prefixes []netip.Prefix
	for _, r := range c.routers {
		for i := range r.cfg.Announce {
			if a := &r.cfg.Announce[i]; a.Speaker == s.cfg.Name {
				prefixes = append(prefixes, a.Route.Prefix)
			}
		}
	}
	slices.SortFunc(prefixes, netip.Prefix.Compare)
	return slices.Compact(prefixes)
}

// judgeOrigins validates every prefix that is announced or may be one day, and tells of what is another outcome than
// before: a standby learns now, not when it takes over, that nobody would believe it (BGP-RPKI-05).
func (c *Core) judgeOrigins(now vrrp.Instant, s *speaker, fx *Effects) {
	if len(s.cfg.RPKICaches) == 0 {
		return
	}
	old := s.rails.origins
	s.rails.origins = make(map[netip.Prefix]origin)
	for _, p := range c.candidates(s) {
		o := s.rails.validate(now, p, s.cfg.LocalAS)
		was, known := old[p]
		s.rails.origins[p] = o
		if was.validity == o.validity && (o.validity != bgp.Invalid || was.words() == o.words()) || !known && o.validity == bgp.Unchecked {
			continue
		}
		reason := o.words()
		if e := s.originEffect(p); o.validity != bgp.Valid {
			reason += "; " + e
		}
		fx.event(Event{
			Kind: EventOrigin, At: now, Speaker: s.cfg.Name, Object: p.String(), From: was.validity.String(),
			To: o.validity.String(), Reason: reason,
		})
	}
}

// originEffect says what the validity of a prefix means for its announcement.
func (s *speaker) originEffect(p netip.Prefix) string {
	v := s.rails.origins[p].validity
	refuses := v == bgp.Invalid && !s.cfg.RPKIWarn
	switch announced := s.keeps(p); {
	case announced && v == bgp.Invalid:
		return "it stays announced, and networks that validate origins drop it"
	case announced:
		return "announced"
	case refuses:
		return "it would be refused"
	case v == bgp.Invalid:
		return "it would be announced (rpki_invalid warn), and networks that validate origins would drop it"
	}
	return "it would be announced"
}

// foundWithin is how long an agent that resumes waits for a speaker to say what the life before has left with it. It takes
// milliseconds; the speaker keeps that for longer.
const foundWithin = 500 * time.Millisecond

// unfound reports whether a speaker may still announce what it would not be asked for now, because nobody knows yet that it does.
func (c *Core) unfound(now vrrp.Instant, s *speaker, withheld bool) bool {
	if !withheld || s.reported || s.desired.Generation > 0 || now >= s.awaited {
		return false
	}
	c.railsDue = min(c.railsDue, s.awaited)
	return true
}

// premature reports whether a speaker of the life before is not to be asked for anything yet: a router that goes on in its role
// waits for the kernel to say that the addresses are in, and its routes would be missing from what the others want. That is a
// matter of milliseconds.
func (c *Core) premature(now vrrp.Instant, s *speaker) bool {
	if s.desired.Generation > 0 || now >= s.awaited || c.stopping || !c.undecided(s) {
		return false
	}
	c.railsDue = min(c.railsDue, s.awaited)
	return true
}

// passOrigins leaves out the routes that RPKI stands against. What is announced already is never taken back: that would be
// an outage of our own making (BGP-RPKI-03), and the cache may be wrong or gone (BGP-RPKI-02).
func (c *Core) passOrigins(now vrrp.Instant, s *speaker, routes []bgp.Route) (pass []bgp.Route, refused error) {
	if len(s.cfg.RPKICaches) == 0 {
		return routes, nil
	}
	waits := s.rails.waits(now)
	for _, r := range routes {
		o := s.rails.origins[r.Prefix]
		switch {
		case s.keeps(r.Prefix):
		case o.validity == bgp.Invalid && !s.cfg.RPKIWarn:
			refused = errors.Join(refused, fmt.Errorf("speaker %s: %s: RPKI says that the origin is invalid, and rpki_invalid is refuse: %s",
				s.cfg.Name, r.Prefix, o.words()))
			continue
		case o.validity == bgp.Unchecked && waits:
			c.railsDue = min(c.railsDue, s.rails.patience)
			continue
		}
		pass = append(pass, r)
	}
	return pass, refused
}

// govern holds changes back that would be too many, and tells of what waits and what does not any more.
func (c *Core) govern(now vrrp.Instant, s *speaker, want []bgp.Route, fx *Effects) []bgp.Route {
	r := &s.rails
	before := r.held
	have, heard, open := c.soFar(now, s)
	switch {
	case open && len(want) == 0:
		return want // and nothing is asked for
	case !heard:
		// Nobody hears of it, so it is no change: a session that flaps must not use up what a takeover needs.
		r.held = nil
		s.released(now, before, fx)
		return want
	}
	r.governor.Calm = s.cfg.Calm
	want, r.held = r.governor.Admit(int64(now), s.cfg.MaxChanges, have, want, func(p netip.Prefix) bgp.Instead { return c.insteadOf(s, p) })
	for _, h := range r.held {
		c.railsDue = min(c.railsDue, vrrp.Instant(h.Until))
		if isHeld(before, h.Prefix) {
			continue
		}
		instead := "what it is now stays"
		switch {
		case h.Withdrawn:
			instead = "it is withdrawn until then"
		case !s.wants(h.Prefix):
			instead = "it is not announced until then"
		}
		fx.event(Event{
			Kind: EventHeld, At: now, Speaker: s.cfg.Name, Object: h.Prefix.String(), To: "held",
			Reason: fmt.Sprintf("%s; the next one is possible in %.1f s; %s", s.limit(&h), vrrp.Instant(h.Until).Sub(now).Seconds(), instead),
		})
	}
	s.released(now, before, fx)
	return want
}

// limit says what a change is too many for.
func (s *speaker) limit(h *bgp.Held) string {
	if h.Flaps {
		return fmt.Sprintf("avoid_flap_damping allows one withdrawal in %.0f s and %d in %.0f minutes", bgp.CalmPause.Seconds(), bgp.CalmMost, bgp.CalmWindow.Minutes())
	}
	return fmt.Sprintf("%d changes a minute are allowed", s.cfg.MaxChanges)
}

// holds returns the word that holds a prefix back; empty: nothing does.
func (r *rails) holds(p netip.Prefix) string {
	i := slices.IndexFunc(r.held, func(h bgp.Held) bool { return h.Prefix == p })
	switch {
	case i < 0:
		return ""
	case r.held[i].Flaps:
		return "avoid_flap_damping"
	}
	return "max_changes"
}

// released tells of what was held back before and is not any more.
func (s *speaker) released(now vrrp.Instant, before []bgp.Held, fx *Effects) {
	for _, h := range before {
		if !isHeld(s.rails.held, h.Prefix) {
			fx.event(Event{Kind: EventHeld, At: now, Speaker: s.cfg.Name, Object: h.Prefix.String(), To: "released"})
		}
	}
}

func isHeld(held []bgp.Held, p netip.Prefix) bool {
	return slices.ContainsFunc(held, func(h bgp.Held) bool { return h.Prefix == p })
}

// insteadOf says what becomes of a prefix that may not change now. Only while a router announces it because it serves, and
// not as a standby, may the attributes of before stay for a while; and where keep_last knows of nobody else who announces,
// nothing waits.
func (c *Core) insteadOf(s *speaker, p netip.Prefix) bgp.Instead {
	instead := bgp.Withdraw
	for _, r := range c.routers {
		role, ok := r.role()
		if !ok || role == RoleBackup {
			continue
		}
		for i := range r.cfg.Announce {
			switch a := &r.cfg.Announce[i]; {
			case a.Speaker != s.cfg.Name || a.Route.Prefix != p:
			case c.alone(r):
				return bgp.Announce
			default:
				instead = bgp.Wait
			}
		}
	}
	return instead
}

// governed returns a prefix that r should announce and does not because of max_changes or avoid_flap_damping; invalid: there is none.
func (c *Core) governed(r *router) (p netip.Prefix) { p, _ = c.governedBy(r); return p }

// governedBy is governed with the word that holds the prefix back.
func (c *Core) governedBy(r *router) (p netip.Prefix, word string) {
	for i := range r.cfg.Announce {
		a := &r.cfg.Announce[i]
		if s := c.speakers[a.Speaker]; s != nil && isHeld(s.rails.held, a.Route.Prefix) && !s.wants(a.Route.Prefix) {
			return a.Route.Prefix, s.rails.holds(a.Route.Prefix)
		}
	}
	return p, ""
}
