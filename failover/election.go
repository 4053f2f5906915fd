package failover

import (
	"fmt"
	"time"

	"failoverd/failover/heartbeat"
	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// mayTake says why r, whose time has come by the rules of VRRP, must not take the role yet; empty: it may. again is when time
// alone may change that; vrrp.Never: it does not.
func (c *Core) mayTake(now vrrp.Instant, r *router) (why string, again vrrp.Instant) {
	if why := c.outOfService(r); why != "" {
		return why, vrrp.Never
	}
	if w := c.watchOf(r); w != nil {
		return c.watchAllows(now, r, w)
	}
	if s := c.region.site; s != nil && r.cfg.Region.Site == s.cfg.Name {
		return c.siteAllows(now, r, s)
	}
	return "", now
}

// watchAllows is mayTake for the watcher of another site.
func (c *Core) watchAllows(now vrrp.Instant, r *router, w *watch) (why string, again vrrp.Instant) {
	switch cause := r.fsm.Pending(); {
	case cause == vrrp.CausePreempt: // the site has lowered its priority
		return "", now
	case cause == vrrp.CauseRelease && c.released(now, r, w), c.resumes(now, r, w):
		return "", now
	}
	letGo := c.letGo(now, w)
	if letGo <= now && c.released(now, r, w) {
		r.fsm.NoteRelease()
		return "", now
	}
	j := c.judgeSite(now, w, r)
	vacant := letGo <= now && c.ended(now, r, w)
	if !vacant {
		why, again = c.observed(now, w, &j)
	}
	if why == "" {
		why, again = w.damped(now, j.silentSince)
	}
	if why == "" && vacant {
		r.fsm.NoteVacancy()
	}
	if letGo > now {
		again = min(again, letGo)
	}
	return why, again
}

// letGo returns from when on what the witnesses say counts as a release by a site that cannot tell this node itself, or whose
// holder of the role died while the others could not take it: none of the nodes that a witness hears serves or could. Every
// witness has to answer, because whoever serves is acknowledged by one of them, and by that one perhaps alone. By then a node that
// none of them hears has fenced itself, unless it talks to this one, and what a dead one has left behind is gone T_take after its
// last word. vrrp.Never: they do not say so. Without this a site that lives, hears the witness and cannot serve would keep the
// watcher from taking over for ever: it is not silent.
func (c *Core) letGo(now vrrp.Instant, w *watch) vrrp.Instant {
	take := c.takeAfter(w)
	fence := w.cfg.FenceAfter + take - w.cfg.TakeoverAfter + heartbeatSlack
	at, said := w.since, false
	for _, p := range w.witnesses {
		switch {
		case !p.fresh(now):
			return vrrp.Never
		case p.letGo != vrrp.Never:
			at, said = max(at, p.letGo.Add(max(fence, take-fence))), true
		case p.heardSite && !p.quiet:
			return vrrp.Never
		case p.heardSite: // the site has fallen silent there
			at = max(at, p.silentAt.Add(take))
		}
	}
	if !said {
		return vrrp.Never
	}
	return at
}

// observed says what is missing of the observation that allows a takeover: for T_take nobody has heard of the site, the quorum
// has said "down", and this node was in contact, all without interruption (safety.md, A to C).
func (c *Core) observed(now vrrp.Instant, w *watch, j *siteJudgement) (why string, again vrrp.Instant) {
	name := "site " + w.cfg.Name
	switch {
	case j.contact == vrrp.Never && len(w.witnesses) > 0:
		return "no witness answers: this node itself may be cut off", vrrp.Never
	case j.contact == vrrp.Never:
		return "no session to an upstream: this node itself may be cut off", vrrp.Never
	case j.quorumSince == vrrp.Never:
		return fmt.Sprintf("%s is not down: %d of %d needed votes say so", name, j.down, w.cfg.DownQuorum), vrrp.Never
	}
	take := c.takeAfter(w)
	if at := max(j.silentSince, j.contact, j.quorumSince).Add(take); now < at {
		return fmt.Sprintf("%s looks down, observed for %s of %s (%s)", name, plainSeconds(take-at.Sub(now)), plainSeconds(take), j.lastSign(now)), at
	}
	return "", now
}

// released reports whether the site has given the role away in its own words: nobody of it has the service or could have it. A
// release that is heard is not enough, for it may be that of one router among several, or of one that a cut has made believe
// that it is alone.
func (c *Core) released(now vrrp.Instant, r *router, w *watch) bool {
	return c.everybodySays(now, r, w, releasedAll)
}

// ended reports whether nobody of the site can be serving, by what its nodes and the witnesses say.
func (c *Core) ended(now vrrp.Instant, r *router, w *watch) bool {
	return c.everybodySays(now, r, w, endedAll)
}

func releasedAll(h *heartbeat.Heard) bool { return h.Released }

func endedAll(h *heartbeat.Heard) bool { return h.Ended }

// everybodySays reports whether no node of the site that this one has heard lately may have the service, and whether all
// witnesses that hear the site say it.
func (c *Core) everybodySays(now vrrp.Instant, r *router, w *watch, it func(*heartbeat.Heard) bool) bool {
	if len(w.witnesses) > 0 && c.contact(now, w) == vrrp.Never {
		return false
	}
	take := c.takeAfter(w)
	for _, s := range c.region.seen[w.cfg.Name] {
		if s.site == w.cfg.Name && now.Sub(s.at) <= take && s.mayHave(now, r.service().Service) {
			return false
		}
	}
	for _, p := range w.witnesses {
		if p.fresh(now) && p.heardSite && !p.says(it) && now.Sub(p.silentAt) <= take {
			return false
		}
	}
	return true
}

// says reports whether something is true of the site in question as the partner has heard it.
func (p *partner) says(it func(*heartbeat.Heard) bool) bool {
	for i := range p.reply.Sites {
		if h := &p.reply.Sites[i]; h.Site == p.about {
			return it(h)
		}
	}
	return false
}

// resumes reports whether r had the role when this node was last heard, and nobody has taken it since: every witness says so,
// in answer to a question of this life. Then the site cannot serve without a newer term, and there is nothing to wait for.
func (c *Core) resumes(now vrrp.Instant, r *router, w *watch) bool {
	if len(w.witnesses) == 0 || c.termOf(r).Holder != r.cfg.Region.Self {
		return false
	}
	for _, p := range w.witnesses {
		k, ok := p.knows(r.service().Service)
		if !p.fresh(now) || !ok || k.Holder != r.cfg.Region.Self {
			return false
		}
	}
	return true
}

// siteAllows is mayTake for a router of the service's own site. Its authority has been looked at already.
func (c *Core) siteAllows(now vrrp.Instant, r *router, s *site) (why string, again vrrp.Instant) {
	// Whoever had the role before may have lost it to another site meanwhile: that was asked for after its last sign of life.
	since := r.takeover.silence
	if r.fsm.Pending() != vrrp.CausePreempt { // whoever is preempted is heard all the time
		since = max(since, r.fsm.Heard().At)
	}
	if r.fsm.Pending() == vrrp.CauseSilence && r.clean > r.fsm.Heard().At && c.termOf(r).Holder == r.cfg.Region.Self {
		// It was out of service after the last sign of life of the router that had the role. A watcher may have counted on that
		// for as long as it has not heard better, and take over just now.
		if since = max(since, r.clean.Add((quietFactor+1)*s.cfg.Heartbeat)); now < since {
			return "until no other site can take the role for what this node has said while it was out of service", since
		}
	}
	if s.word == authorityValid && s.sent < since {
		for _, p := range s.partners {
			p.ask(now)
		}
		return "for an acknowledgement that was asked for after the last router fell silent", now.Add(askGap)
	}
	if r.fsm.Pending() == vrrp.CauseRelease {
		return "", now
	}
	b := c.failback(now, r)
	return b.words(now), b.again
}

// bar is what keeps a router from taking the role back from another site. The zero value: nothing does. It is worked out in
// every batch, and put into words only for whoever reads them.
type bar struct {
	holder string // the other site; empty: no bar
	what   barKind
	wait   string       // the speaker without a session
	clean  vrrp.Instant // when this node has been all right for long enough
	again  vrrp.Instant // when time alone may take it away
}

type barKind uint8

const (
	barNoPreempt barKind = iota
	barSession
	barClean
	barSilent
)

// words says what the bar is.
func (b bar) words(now vrrp.Instant) string {
	switch {
	case b.holder == "":
		return ""
	case b.what == barNoPreempt:
		return fmt.Sprintf("site %s has the role, and nopreempt leaves it there", b.holder)
	case b.what == barSession:
		return fmt.Sprintf("site %s has the role, and speaker %s has no established session", b.holder, b.wait)
	}
	if b.what == barSilent {
		return fmt.Sprintf("site %s had the role and is silent: what it may have left behind ends by itself in %s", b.holder, plainSeconds(b.again.Sub(now)))
	}
	return fmt.Sprintf("site %s has the role, and this node must have been all right for %s more (failback_clean)", b.holder, plainSeconds(b.clean.Sub(now)))
}

// failback returns what keeps r from taking the role back from another site that has it.
func (c *Core) failback(now vrrp.Instant, r *router) bar {
	t := c.termOf(r)
	if t.Holder == "" || t.Holder == r.cfg.Region.Self {
		return bar{}
	}
	life := c.holderLife(now, r, t.Holder)
	if r.fsm.Ready() && r.fsm.Pending() == vrrp.CauseSilence {
		life.lately = life.heard >= r.takeover.silence // by somebody else, and since it fell silent here
	}
	gone := life.heard.Add(c.goneAfter(r))
	clean := r.clean.Add(r.cfg.Region.FailbackClean)
	switch speaker := c.waitsFor(r); {
	case life.released || now >= gone:
		return bar{}
	case !life.lately:
		return bar{holder: t.Holder, what: barSilent, again: gone}
	case !r.cfg.VRRP.Preempt:
		return bar{holder: t.Holder, what: barNoPreempt, again: gone}
	case speaker != "":
		return bar{holder: t.Holder, what: barSession, wait: speaker, again: gone}
	case now < clean:
		return bar{holder: t.Holder, what: barClean, clean: clean, again: min(clean, gone)}
	}
	return bar{}
}

// goneAfter is how long another site that has the role must have been silent before it counts as gone: until it has fenced
// itself, its upstream has dropped the route of a dead one, and its kernel the addresses (safety.md section 6.4). What the other
// site has configured is taken to be what this one has.
func (c *Core) goneAfter(r *router) time.Duration {
	var hold, lease, fence, beat time.Duration
	for i := range r.cfg.Announce {
		if s := c.cfg.Speaker(r.cfg.Announce[i].Speaker); s != nil {
			hold = max(hold, s.LongestHold())
		}
	}
	for i := range r.cfg.Addresses {
		lease = max(lease, r.cfg.Addresses[i].Lease)
	}
	if s := c.region.site; s != nil {
		fence, beat = s.cfg.FenceAfter, s.cfg.Heartbeat
	}
	return max(fence, hold, lease+KernelSlop) + WithdrawTime + 2*beat
}

// life is what is known of the site that holds a term.
type life struct {
	heard    vrrp.Instant // when anybody heard it serve last; 0: nobody has
	lately   bool         // that was a moment ago: it will learn of a newer term
	denied   vrrp.Instant // when it has said last that it does not serve; 0: never
	released bool         // that was a moment ago, and after heard
}

// holderLife gathers what advertisements and partners say of the site that holds the term of r's service.
func (c *Core) holderLife(now vrrp.Instant, r *router, holder string) (l life) {
	if h := r.fsm.Heard(); h.Address.IsValid() && h.Priority > 0 && r.cfg.remote(h.Address) {
		l.heard, l.lately = h.At, now.Sub(h.At) <= r.fsm.ActiveDownInterval()
	}
	for _, p := range c.region.partners {
		if p.about != r.cfg.Region.Home || !p.answered {
			continue
		}
		at, serves := p.hears(holder, r.service().Service)
		switch {
		case at == 0:
		case serves:
			l.heard = max(l.heard, at)
			l.lately = l.lately || now.Sub(at) <= quietFactor*p.interval+maxRTT
		case p.fresh(now):
			l.denied = max(l.denied, at)
		}
	}
	l.released = l.denied > l.heard
	return l
}

// hears returns when the partner, in its newest answer, heard of the holder of a service last, and whether that served; 0: it
// has not heard of it.
func (p *partner) hears(holder string, s heartbeat.Service) (at vrrp.Instant, serves bool) {
	came := p.at.Add(p.rtt)
	if p.reply.Site == holder {
		k, ok := p.knows(s)
		if !ok || k.Holder != holder {
			return 0, false // it has said so before it took the role
		}
		return came, k.State == heartbeat.Active || k.State == heartbeat.Draining
	}
	for i := range p.reply.Sites {
		if h := &p.reply.Sites[i]; h.Site == holder {
			return came.Add(-h.Age), !h.Released
		}
	}
	return 0, false
}

// ignores reports whether an advertisement must not make r yield: it comes from a site whose term is over and that has not
// claimed a newer one, although its nodes do that before they serve. A node that stood still sends such, until it is told.
func (c *Core) ignores(now vrrp.Instant, r *router, p *wire.Packet) bool {
	w, priority := c.watchOf(r), p.Priority
	if w == nil || !r.cfg.remote(p.Src) || r.fsm.State() != vrrp.Active || priority == 0 || priority < r.fsm.Priority() || c.termOf(r).Holder != r.cfg.Region.Self {
		return false
	}
	spoke, lately := false, false
	for _, s := range c.region.seen[w.cfg.Name] {
		if s.site == w.cfg.Name {
			spoke = true
			lately = lately || now.Sub(s.at) <= quietFactor*w.cfg.Heartbeat
		}
	}
	if !spoke || r.fsm.Overhear(p) != wire.Accepted {
		return false // it does not speak the channel: plain VRRP; and what is refused anyhow changes nothing
	}
	if w.ignoring == vrrp.Never || now.Sub(w.ignoredAt) > r.fsm.ActiveDownInterval() {
		w.ignoring = now
	}
	w.ignoredAt = now
	// One that goes on for longer than it would serve without being told, and says nothing else, has another configuration now.
	return lately || now.Sub(w.ignoring) <= max(w.cfg.FenceAfter, c.takeAfter(w)-w.cfg.TakeoverAfter+w.cfg.FenceAfter)+heartbeatSlack
}
