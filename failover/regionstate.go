package failover

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"failoverd/vrrp"
)

// region is what the core knows of other sites.
type region struct {
	site     *site    // nil: no site block
	watches  []*watch // in configuration order
	partners []*partner
	requests uint64 // ID of the newest request

	terms map[serviceKey]term
	seen  map[string][]*sighting // by the site in question

	due   vrrp.Instant // when time alone may change something
	dirty bool         // something was heard
}

// heartbeatSlack is for what a deadline of another site is rounded up by: its kernel's timers, and the way of a withdrawal.
const heartbeatSlack = time.Second

func (g *region) partner(id string) *partner {
	for _, p := range g.partners {
		if p.cfg.ID == id {
			return p
		}
	}
	return nil
}

func (g *region) watch(name string) *watch {
	for _, w := range g.watches {
		if w.cfg.Name == name {
			return w
		}
	}
	return nil
}

// watchOf returns the watch_site that r lives by; nil: none.
func (c *Core) watchOf(r *router) *watch {
	if r.cfg.Region.Watch == "" {
		return nil
	}
	return c.region.watch(r.cfg.Region.Watch)
}

// remote reports whether an address is that of a router on another site.
func (c *RouterConfig) remote(a netip.Addr) bool {
	return slices.ContainsFunc(c.Region.Remote, func(p netip.Addr) bool { return p.WithZone("") == a })
}

// self is the site that this node answers for: its own, or what its routers claim terms for; empty: a witness.
func (c *Config) self() string {
	if len(c.Sites) > 0 {
		return c.Sites[0].Name
	}
	for i := range c.Routers {
		if s := c.Routers[i].Region.Self; s != "" {
			return s
		}
	}
	return ""
}

// adoptRegions makes the blocks about sites those of the configuration. What is known of those that stay, stays.
func (c *Core) adoptRegions(now vrrp.Instant) {
	g := &c.region
	old := *g
	if g.terms == nil {
		g.terms, g.seen = make(map[serviceKey]term), make(map[string][]*sighting)
	}
	g.site, g.watches, g.partners, g.dirty, g.due = nil, nil, nil, true, now
	if len(c.cfg.Sites)+len(c.cfg.Watches) == 0 {
		g.due = vrrp.Never
	}
	if len(c.cfg.Sites) > 0 {
		cfg := &c.cfg.Sites[0]
		s := &site{since: now, word: authorityNone}
		if old.site != nil && old.site.cfg.Name == cfg.Name {
			*s = *old.site
		}
		s.cfg, s.partners = cfg, nil
		for i := range cfg.Partners {
			s.partners = append(s.partners, g.adopt(&old, now, partner{
				cfg: &cfg.Partners[i], about: cfg.Name, self: cfg.Name, fence: cfg.fence(), interval: cfg.Heartbeat,
			}))
		}
		g.site = s
	}
	for i := range c.cfg.Watches {
		cfg := &c.cfg.Watches[i]
		w := newWatch(cfg, now)
		if o := old.watch(cfg.Name); o != nil {
			*w = *o
		}
		w.cfg, w.witnesses = cfg, nil
		for j := range cfg.Witnesses {
			w.witnesses = append(w.witnesses, g.adopt(&old, now, partner{
				cfg: &cfg.Witnesses[j], about: cfg.Name, self: c.watcherSelf(cfg.Name), interval: cfg.Heartbeat,
			}))
		}
		g.watches = append(g.watches, w)
	}
}

// fence is what is told of FenceAfter: 0 if isolation does not end the service.
func (s *SiteConfig) fence() time.Duration {
	if s.Hold {
		return 0
	}
	return s.FenceAfter
}

// watcherSelf is the site that the watchers of a site claim terms for.
func (c *Core) watcherSelf(watch string) string {
	for i := range c.cfg.Routers {
		if r := &c.cfg.Routers[i].Region; r.Watch == watch {
			return r.Self
		}
	}
	return c.cfg.self()
}

// adopt returns the partner of p's configuration, with what is known of it if its address and keys are the same.
func (g *region) adopt(old *region, now vrrp.Instant, p partner) *partner {
	p.next, p.downSince, p.letGo = now, vrrp.Never, vrrp.Never
	if o := old.partner(p.cfg.ID); o != nil && o.about == p.about && o.self == p.self && o.cfg.Address == p.cfg.Address {
		cfg, fence, interval := p.cfg, p.fence, p.interval
		p = *o
		p.cfg, p.fence, p.interval = cfg, fence, interval
		p.next = min(p.next, p.sentAt.Add(interval))
	}
	g.partners = append(g.partners, &p)
	return &p
}

// settleRegions draws the conclusions from what was heard of other sites, and from time: authority, holds, takeovers that are
// allowed now, heartbeats that are due. It is called at the end of each batch.
func (c *Core) settleRegions(now vrrp.Instant, fx *Effects) {
	g := &c.region
	if len(g.partners) == 0 && len(g.watches) == 0 || !g.dirty && now < g.due && !c.dirty {
		return
	}
	g.dirty = false
	c.judgeAuthority(now, fx)
	g.due = c.proofDue(now)
	if !c.stopping {
		for _, r := range c.routers {
			if r.guarded() {
				c.settleGuarded(now, r, fx)
			}
		}
	}
	c.settleGroups(now, fx)
	for _, w := range g.watches {
		c.noteWatch(now, w, fx)
	}
	c.sendHeartbeats(now, fx)
	for _, p := range g.partners {
		g.due = min(g.due, p.next)
		if p.answered && p.fresh(now) {
			g.due = min(g.due, p.staleAt()+1)
		}
	}
}

// settleGuarded has r take the role if it may, and works out its holds.
func (c *Core) settleGuarded(now vrrp.Instant, r *router, fx *Effects) {
	if r.fault != "" || r.priority < r.cfg.VRRP.Priority || c.outOfService(r) != "" {
		r.clean = now
	}
	c.updateHold(now, r, fx)
	c.reschedule(r)
	w := c.watchOf(r)
	if w != nil && w.cfg.OnSiteDown && r.group == nil {
		c.seize(now, r, w, fx)
	}
	r.barred = ""
	if r.fsm.State() != vrrp.Backup || !r.fsm.Ready() {
		if b := c.failbackBar(now, r); b.holder != "" && r.fsm.State() == vrrp.Backup {
			c.region.due = min(c.region.due, max(b.again, now+1))
		}
		return
	}
	why, again := c.mayTake(now, r)
	if r.barred = why; why == "" {
		r.takeover.allowed(now)
	} else {
		r.takeover.held()
	}
	switch {
	case why != "":
		c.region.due = min(c.region.due, max(again, now+1))
	case r.group != nil:
		c.unsettle(r.group)
	default:
		c.tellAllowed(now, r, fx)
		c.apply(now, r, r.fsm.Promote(now), fx)
		c.reschedule(r)
	}
}

// tellAllowed says what the takeover of a watcher rests on.
func (c *Core) tellAllowed(now vrrp.Instant, r *router, fx *Effects) {
	w := c.watchOf(r)
	if w == nil {
		return
	}
	j := c.judgeSite(now, w, r)
	reason := r.fsm.Pending().String()
	if r.fsm.Pending() == vrrp.CauseSilence {
		reason = fmt.Sprintf("observed for %s; %s", plainSeconds(c.takeAfter(w)), j.lastSign(now))
		if c.resumes(now, r, w) {
			reason = "this node had the role, and nobody has taken it since"
		}
	}
	fx.about(r, Event{Kind: EventWatch, At: now, Object: "site " + w.cfg.Name, To: "takeover allowed", Reason: reason, Votes: j.votes})
}

// seize takes the role although the site still sends advertisements: by the verdict alone, if the site will learn of it and end
// by itself (takeover_on_site_down).
func (c *Core) seize(now vrrp.Instant, r *router, w *watch, fx *Effects) {
	if r.fsm.State() != vrrp.Backup || c.outOfService(r) != "" || c.termOf(r).Holder == r.cfg.Region.Self {
		return
	}
	speaks := slices.ContainsFunc(c.region.seen[w.cfg.Name], func(s *sighting) bool {
		return s.site == w.cfg.Name && s.fence > 0 && now.Sub(s.at) <= quietFactor*w.cfg.Heartbeat
	})
	j := c.judgeSite(now, w, r)
	if !speaks || j.contact == vrrp.Never || j.quorumSince == vrrp.Never {
		return
	}
	if at := max(j.contact, j.quorumSince).Add(c.takeAfter(w)); now < at {
		c.region.due = min(c.region.due, at)
		return
	}
	if why, again := w.damped(now, j.silentSince); why != "" {
		c.region.due = min(c.region.due, max(again, now+1))
		return
	}
	c.tellAllowed(now, r, fx)
	c.apply(now, r, r.fsm.Seize(now), fx)
	c.reschedule(r)
}

// noteWatch tells of a change of what a watched site looks like, and of what holds a takeover back.
func (c *Core) noteWatch(now vrrp.Instant, w *watch, fx *Effects) {
	j := c.judgeSite(now, w, nil)
	c.noteReturn(w, j.silentSince, j.lastBy)
	held, ready := c.heldBack(w)
	kind := ""
	switch {
	case ready && w.dampens(now, j.silentSince):
		kind = "damped"
	case ready && held != "":
		kind = "held back"
	}
	verdict := j.verdict.String()
	if verdict == w.told && kind == w.held {
		return
	}
	w.told, w.held = verdict, kind
	to := verdict
	if kind != "" {
		to += ", takeover " + kind
	}
	fx.event(Event{Kind: EventWatch, At: now, Object: "site " + w.cfg.Name, To: to, Reason: held, Votes: j.votes})
}

// heldBack says what keeps the first router from taking over that is ready to.
func (c *Core) heldBack(w *watch) (why string, ready bool) {
	for _, r := range c.routers {
		if r.cfg.Region.Watch == w.cfg.Name && r.fsm.State() == vrrp.Backup && r.fsm.Ready() {
			return r.barred, true
		}
	}
	return "", false
}
