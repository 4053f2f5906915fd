package failover

import (
	"fmt"
	"maps"
	"slices"

	"failoverd/vrrp"
)

// describeRegions fills in what is known of other sites.
func (c *Core) describeRegions(now vrrp.Instant, s *Snapshot) {
	g := &c.region
	if st := g.site; st != nil {
		s.Sites = append(s.Sites, c.describeSite(now, st))
	}
	for _, w := range g.watches {
		s.Watches = append(s.Watches, c.describeWatch(now, w))
	}
	for _, about := range slices.Sorted(maps.Keys(g.seen)) {
		for _, n := range g.seen[about] {
			s.Heard = append(s.Heard, n.describe(now, about))
		}
	}
	for _, p := range g.partners {
		s.Partners = append(s.Partners, p.describe(now))
	}
}

func (c *Core) describeSite(now vrrp.Instant, st *site) SiteStatus {
	out := SiteStatus{Name: st.cfg.Name, FenceMS: millis(st.cfg.FenceAfter)}
	out.Authority, out.Why = c.authority(now, st)
	if st.sent != 0 {
		ago := millis(now.Sub(st.sent))
		out.AckMSAgo, out.RemainingMS = &ago, max(millis(st.until().Sub(now)), 0)
	}
	return out
}

func (c *Core) describeWatch(now vrrp.Instant, w *watch) WatchStatus {
	j, take := c.judgeSite(now, w, nil), c.takeAfter(w)
	out := WatchStatus{
		Name: w.cfg.Name, Verdict: j.verdict.String(), Votes: j.votes, Down: j.down, Quorum: w.cfg.DownQuorum,
		TakeoverMS: millis(take), Contact: j.contact != vrrp.Never, Penalty: int(w.at(now, w.cfg.HalfLife)), Latched: w.latched,
	}
	if out.Votes == nil {
		out.Votes = []Vote{}
	}
	why, _ := c.observed(now, w, &j)
	if why == "" {
		why, _ = w.damped(now, j.silentSince)
	}
	if barred, ready := c.heldBack(w); ready {
		why = barred
	}
	for _, r := range c.routers {
		if r.cfg.Region.Watch == w.cfg.Name && r.fsm.State() == vrrp.Active {
			why = "" // it has the role
		}
	}
	out.Held = why
	if since := max(j.silentSince, j.contact, j.quorumSince); since != vrrp.Never {
		out.ObservedMS = min(millis(now.Sub(since)), out.TakeoverMS)
	}
	if j.silentSince > w.since {
		ago := millis(now.Sub(j.silentSince))
		out.HeardMSAgo = &ago
	}
	return out
}

func (s *sighting) describe(now vrrp.Instant, about string) NodeStatus {
	out := NodeStatus{About: about, Site: s.site, Node: s.node, HeardMSAgo: millis(now.Sub(s.at)), States: make(map[string]string, len(s.states)), Namesakes: s.namesakes.shown(now)}
	for k, st := range s.states {
		out.States[fmt.Sprintf("%d/%d", k.Family, k.VRID)] = st.String()
	}
	return out
}

func (p *partner) describe(now vrrp.Instant) PartnerStatus {
	out := PartnerStatus{ID: p.cfg.ID, Kind: p.cfg.Kind.String(), Address: p.cfg.Address.String()}
	if p.answered {
		ago, rtt := millis(now.Sub(p.at)), millis(p.rtt)
		out.AnsweredMSAgo, out.RTTMS = &ago, &rtt
	}
	if p.cfg.Kind == PartnerWitness {
		v, _, _ := p.vote(now)
		out.Verdict = v.String()
	}
	return out
}

// describeRegion fills in what other sites mean to a router.
func (c *Core) describeRegion(r *router, st *RouterStatus) {
	st.Mode, st.Site, st.Watch = "local", r.cfg.Region.Site, r.cfg.Region.Watch
	if r.guarded() {
		t := c.termOf(r)
		st.Mode, st.Epoch, st.Holder = "guarded", t.Epoch, t.Holder
	}
}
