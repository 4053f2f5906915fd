package failover

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sort"
	"time"

	"failoverd/bgp"
	"failoverd/failover/heartbeat"
	"failoverd/vrrp"
)

// switchBound is the longest time from the last act of one program to the first one of the other that counts as no pause for a
// node with sites. A supervisor that works gives up after two seconds at most. After a longer one nothing is believed that
// rests on having been there all the time.
const switchBound = 2500 * time.Millisecond

// LegacyRegion is what a node knows of other sites, and what they have allowed it. All of it rests on instants that were: a
// program that takes over has the authority of the one before for as long as that one would have had it, and not a moment
// longer. Requests that wait for their answers are forgotten; an answer to one of them proves nothing any more.
type LegacyRegion struct {
	Requests uint64      // ID of the newest request
	Site     *LegacySite `json:",omitempty"` // nil: no site block
	Terms    []LegacyTerm
	Seen     []LegacySighting `json:",omitempty"`
	Partners []LegacyPartner
	Watches  []LegacyWatch   `json:",omitempty"`
	Speakers []LegacySpeaker `json:",omitempty"`
	// Down are the health checks that say "down", with when the evidence for it begins.
	Down []LegacyCheck `json:",omitempty"`
}

// LegacySite is the authority of a site.
type LegacySite struct {
	Since vrrp.Instant
	Sent  vrrp.Instant // of the newest acknowledged request; 0: there is none
	By    string       `json:",omitempty"`
	Word  string       // as last told
}

// LegacyTerm is the newest term of a service.
type LegacyTerm struct {
	Home string
	heartbeat.Service
	heartbeat.Term
	Since vrrp.Instant
}

// LegacySighting is what a node has said of itself last.
type LegacySighting struct {
	About, Site, Node string
	At                vrrp.Instant
	Fence             time.Duration
	States            []LegacyState
}

// LegacyState is what a node is for a service.
type LegacyState struct {
	heartbeat.Service
	State heartbeat.State
}

// LegacyPartner is what a partner has answered.
type LegacyPartner struct {
	ID        string
	Next      vrrp.Instant // when the next heartbeat is due
	SentAt    vrrp.Instant
	Said      []heartbeat.Entry `json:",omitempty"`
	Answered  bool
	At        vrrp.Instant
	RTT       time.Duration
	Reply     heartbeat.Reply
	SilentAt  vrrp.Instant
	HeardSite bool
	Quiet     bool
	DownSince vrrp.Instant
	LetGo     vrrp.Instant
}

// LegacyWatch is what is known of a watched site.
type LegacyWatch struct {
	Name         string
	Since        vrrp.Instant
	Advert       vrrp.Instant
	ContactSince vrrp.Instant
	Ignoring     vrrp.Instant
	IgnoredAt    vrrp.Instant
	Told, Held   string
	Took         vrrp.Instant
	Penalty      float64
	Latched      bool
	Returned     bool
	Restored     bool
}

// LegacySpeaker is what a speaker's process, which stays, has reported last.
type LegacySpeaker struct {
	Name      string
	Connected bool
	Neighbors []bgp.NeighborStatus
	Announced []bgp.Route
	// Doubt and Others are as in speaker: what is announced needs a proof that was asked for since.
	Doubt  vrrp.Instant
	Others bool
}

// LegacyCheck is a check that says "down".
type LegacyCheck struct {
	Name  string
	Since vrrp.Instant
}

// regional reports whether the node has to do with other sites.
func (c *Core) regional() bool {
	return c.region.site != nil || len(c.region.watches) > 0 || len(c.region.partners) > 0 || c.cfg.WitnessServer != nil
}

// legacyRegion returns nil for a node that knows no other site.
func (c *Core) legacyRegion() *LegacyRegion {
	if !c.regional() {
		return nil
	}
	g := &c.region
	l := &LegacyRegion{Requests: g.requests}
	if s := g.site; s != nil {
		l.Site = &LegacySite{Since: s.since, Sent: s.sent, By: s.by, Word: s.word}
	}
	for k, t := range g.terms {
		l.Terms = append(l.Terms, LegacyTerm{k.home, k.Service, t.Term, t.since})
	}
	sort.Slice(l.Terms, func(i, j int) bool {
		a, b := &l.Terms[i], &l.Terms[j]
		return cmp.Or(cmp.Compare(a.Home, b.Home), compareServices(a.Service, b.Service)) < 0
	})
	for _, about := range slices.Sorted(maps.Keys(g.seen)) {
		for _, s := range g.seen[about] {
			l.Seen = append(l.Seen, s.legacy(about))
		}
	}
	for _, p := range g.partners {
		l.Partners = append(l.Partners, LegacyPartner{
			ID: p.cfg.ID, Next: p.next, SentAt: p.sentAt, Said: slices.Clone(p.said), Answered: p.answered, At: p.at, RTT: p.rtt, Reply: p.reply,
			SilentAt: p.silentAt, HeardSite: p.heardSite, Quiet: p.quiet, DownSince: p.downSince, LetGo: p.letGo,
		})
	}
	for _, w := range g.watches {
		d := &w.damping
		l.Watches = append(l.Watches, LegacyWatch{
			Name: w.cfg.Name, Since: w.since, Advert: w.advert, ContactSince: w.contactSince, Ignoring: w.ignoring, IgnoredAt: w.ignoredAt,
			Told: w.told, Held: w.held, Took: d.took, Penalty: d.penalty, Latched: d.latched, Returned: d.returned, Restored: d.restored,
		})
	}
	c.legacyEvidence(l)
	return l
}

// legacyEvidence adds what speakers and checks have said.
func (c *Core) legacyEvidence(l *LegacyRegion) {
	for i := range c.cfg.Speakers {
		s := c.speakers[c.cfg.Speakers[i].Name]
		l.Speakers = append(l.Speakers, LegacySpeaker{
			Name: s.cfg.Name, Connected: s.report.Connected, Neighbors: slices.Clone(s.report.Neighbors), Announced: slices.Clone(s.report.Announced),
			Doubt: s.doubt, Others: s.others,
		})
	}
	for id, t := range c.trackers {
		if id.Kind == TrackCheck && t.saysDown() {
			l.Down = append(l.Down, LegacyCheck{id.Name, t.sinceAt})
		}
	}
	sort.Slice(l.Down, func(i, j int) bool { return l.Down[i].Name < l.Down[j].Name })
}

func compareServices(a, b heartbeat.Service) int {
	return cmp.Or(cmp.Compare(a.Family, b.Family), cmp.Compare(a.VRID, b.VRID))
}

func (s *sighting) legacy(about string) LegacySighting {
	l := LegacySighting{About: about, Site: s.site, Node: s.node, At: s.at, Fence: s.fence}
	for k, st := range s.states {
		l.States = append(l.States, LegacyState{k, st})
	}
	sort.Slice(l.States, func(i, j int) bool { return compareServices(l.States[i].Service, l.States[j].Service) < 0 })
	return l
}

// check says what makes no sense: nothing that was handed over at an instant can rest on a later one.
func (l *LegacyRegion) check(at vrrp.Instant) error {
	late := func(what string, i vrrp.Instant) error {
		return fmt.Errorf("%w: %s at %d, later than the end at %d", ErrLegacy, what, i, at)
	}
	if s := l.Site; s != nil && (s.Sent > at || s.Since > at) {
		return late("the authority of the site", max(s.Sent, s.Since))
	}
	for i := range l.Seen {
		s := &l.Seen[i]
		if s.At > at {
			return late("node "+s.Node+" was heard", s.At)
		}
		if slices.ContainsFunc(s.States, func(x LegacyState) bool { return x.State > heartbeat.Active }) {
			return fmt.Errorf("%w: node %s is what nobody can be", ErrLegacy, s.Node)
		}
	}
	for i := range l.Partners {
		p := &l.Partners[i]
		if p.At > at || p.SentAt > at || p.SilentAt > at {
			return late(p.ID+" was asked", max(p.At, p.SentAt, p.SilentAt))
		}
		unknown := func(k heartbeat.Knowledge) bool { return k.State > heartbeat.Active }
		if p.Reply.Verdict > heartbeat.Down || slices.ContainsFunc(p.Reply.Services, unknown) {
			return fmt.Errorf("%w: %s has answered what nobody can answer", ErrLegacy, p.ID)
		}
	}
	for i := range l.Watches {
		if w := &l.Watches[i]; w.Advert > at || w.ContactSince > at && w.ContactSince != vrrp.Never || w.Took > at {
			return late("what is known of site "+w.Name, max(w.Advert, w.Took))
		}
	}
	return nil
}

// takeUpRegion goes on with what the program before knew. What the configuration does not have is left out.
func (c *Core) takeUpRegion(now vrrp.Instant, l *LegacyRegion) {
	g := &c.region
	g.requests, g.dirty = max(g.requests, l.Requests), true
	if s := g.site; s != nil && l.Site != nil {
		s.since, s.sent, s.by, s.word, s.given = l.Site.Since, l.Site.Sent, l.Site.By, l.Site.Word, 0
	}
	for i := range l.Terms {
		t := &l.Terms[i]
		g.terms[serviceKey{t.Home, t.Service}] = term{t.Term, t.Since}
	}
	for i := range l.Seen {
		s := &l.Seen[i]
		n := &sighting{site: s.Site, node: s.Node, at: s.At, fence: s.Fence, states: make(map[heartbeat.Service]heartbeat.State, len(s.States))}
		for _, st := range s.States {
			n.states[st.Service] = st.State
		}
		g.seen[s.About] = append(g.seen[s.About], n)
	}
	for i := range l.Partners {
		if p := g.partner(l.Partners[i].ID); p != nil {
			p.succeed(now, &l.Partners[i])
		}
	}
	for i := range l.Watches {
		if w := g.watch(l.Watches[i].Name); w != nil {
			w.succeed(&l.Watches[i])
		}
	}
	for i := range l.Speakers {
		if s := c.speakers[l.Speakers[i].Name]; s != nil {
			c.goOnWith(now, s, &l.Speakers[i])
		}
	}
	for i := range l.Down {
		// Both have looked, and their looks overlap: the evidence has no hole.
		if t := c.trackers[Tracker{TrackCheck, l.Down[i].Name}]; t != nil && t.saysDown() {
			t.down = l.Down[i].Since
			t.sinceAt = min(t.sinceAt, t.down)
		}
	}
}

// succeed makes p one that the program before has asked. A question without an answer is asked again soon.
func (p *partner) succeed(now vrrp.Instant, l *LegacyPartner) {
	p.next, p.sentAt, p.said = l.Next, l.SentAt, l.Said
	p.answered, p.at, p.rtt, p.reply = l.Answered, l.At, l.RTT, l.Reply
	p.silentAt, p.heardSite, p.quiet, p.downSince, p.letGo = l.SilentAt, l.HeardSite, l.Quiet, l.DownSince, l.LetGo
	if !p.answered || p.at < p.sentAt {
		p.ask(now)
	}
}

func (w *watch) succeed(l *LegacyWatch) {
	w.since, w.advert, w.contactSince, w.ignoring, w.ignoredAt = l.Since, l.Advert, l.ContactSince, l.Ignoring, l.IgnoredAt
	w.told, w.held = l.Told, l.Held
	w.damping = damping{took: l.Took, penalty: l.Penalty, latched: l.Latched, returned: l.Returned, restored: l.Restored}
}
