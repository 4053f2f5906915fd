package failover

import (
	"fmt"
	"slices"
	"time"

	"failoverd/failover/heartbeat"
	"failoverd/vrrp"
)

// watch is a watched site: what is known of its life, and how takeovers were going.
type watch struct {
	cfg       *WatchConfig
	witnesses []*partner
	since     vrrp.Instant // since when it is watched

	advert       vrrp.Instant // when an advertisement of the site was heard last
	contactSince vrrp.Instant // begin of the present contact; Never: there is none
	damping
	ignoring  vrrp.Instant // since when advertisements of an older term are ignored; Never: none are
	ignoredAt vrrp.Instant // the last one

	told string // the verdict as last told
	held string // why a takeover is held back, as last told
}

func newWatch(cfg *WatchConfig, now vrrp.Instant) *watch {
	return &watch{cfg: cfg, since: now, contactSince: vrrp.Never, ignoring: vrrp.Never}
}

// inContact takes note of an answer of a witness; still says whether that one had been in contact before.
func (w *watch) inContact(now vrrp.Instant, still bool) {
	if w.contactSince == vrrp.Never || !still && !w.otherContact(now) {
		w.contactSince = now
	}
}

// otherContact reports whether at least two witnesses have answered lately: the one that just has, and another one.
func (w *watch) otherContact(now vrrp.Instant) bool {
	n := 0
	for _, p := range w.witnesses {
		if p.fresh(now) {
			n++
		}
	}
	return n > 1
}

// contact returns since when this node has been in contact with the rest of the world without interruption; Never: it is not.
func (c *Core) contact(now vrrp.Instant, w *watch) vrrp.Instant {
	if len(w.witnesses) > 0 {
		if !slices.ContainsFunc(w.witnesses, func(p *partner) bool { return p.fresh(now) }) {
			w.contactSince = vrrp.Never
		}
		return w.contactSince
	}
	// Nobody to ask: an own upstream that answers is the next best thing. Without any, there is nothing to tell by.
	sessions, up := false, false
	for _, r := range c.routers {
		for i := range r.cfg.Announce {
			if s := c.speakers[r.cfg.Announce[i].Speaker]; r.cfg.Region.Watch == w.cfg.Name && s != nil {
				sessions, up = true, up || s.report.Established()
			}
		}
	}
	switch {
	case sessions && !up:
		w.contactSince = vrrp.Never
	case w.contactSince == vrrp.Never:
		w.contactSince = now
	}
	return w.contactSince
}

// siteJudgement is what this node makes of a watched site.
type siteJudgement struct {
	verdict     heartbeat.Verdict
	votes       []Vote
	down        int
	quorumSince vrrp.Instant // since when the quorum says "down"; Never: it does not
	silentSince vrrp.Instant // when anybody heard of the site last, as far as this node knows
	lastBy      string       // who that was
	contact     vrrp.Instant // since when this node has been in contact; Never: it is not
}

// judgeSite asks everybody. r is the router whose service it is about; nil: all of the site.
func (c *Core) judgeSite(now vrrp.Instant, w *watch, r *router) siteJudgement {
	j := siteJudgement{quorumSince: vrrp.Never, silentSince: w.since, lastBy: "", contact: c.contact(now, w)}
	var since []vrrp.Instant
	vote := func(name string, v heartbeat.Verdict, at vrrp.Instant, reason string) {
		x := Vote{Name: name, Verdict: v, Says: v.String(), Reason: reason}
		if v == heartbeat.Down {
			at = max(at, w.since)
			since = append(since, at)
			x.SinceMS = millis(now.Sub(at))
		}
		j.votes = append(j.votes, x)
	}
	for _, name := range w.cfg.Checks {
		v, at, reason := c.checkVote(name)
		vote("health_check "+name, v, at, reason)
	}
	for _, p := range w.witnesses {
		v, at, reason := p.vote(now)
		vote("witness "+p.cfg.Name, v, at, reason)
		if p.silentAt != 0 {
			j.heard(p.silentAt, "witness "+p.cfg.Name)
		}
	}
	j.heard(w.advert, "an advertisement")
	for _, s := range c.region.seen[w.cfg.Name] {
		if s.site == w.cfg.Name && !s.declines(now, r, w.cfg.Heartbeat) {
			j.heard(s.at, "a heartbeat of "+s.node)
		}
	}
	j.decide(w, since)
	return j
}

// lastSign says when the site was heard last, and by whom.
func (j *siteJudgement) lastSign(now vrrp.Instant) string {
	if j.lastBy == "" {
		return fmt.Sprintf("nobody has heard it since this node began to listen, %s ago", plainSeconds(now.Sub(j.silentSince)))
	}
	return fmt.Sprintf("last sign of life: %s, %s ago", j.lastBy, plainSeconds(now.Sub(j.silentSince)))
}

// heard takes note that the site was heard at an instant.
func (j *siteJudgement) heard(at vrrp.Instant, by string) {
	if at > j.silentSince {
		j.silentSince, j.lastBy = at, by
	}
}

// decide counts the votes; since holds when each that says "down" began to.
func (j *siteJudgement) decide(w *watch, since []vrrp.Instant) {
	j.down = len(since)
	up := slices.ContainsFunc(j.votes, func(v Vote) bool { return v.Verdict == heartbeat.Up })
	if len(since) >= w.cfg.DownQuorum {
		slices.Sort(since)
		j.quorumSince, j.verdict = since[w.cfg.DownQuorum-1], heartbeat.Down
	} else if up {
		j.verdict = heartbeat.Up
	}
}

// checkVote is what a health check says of the site, and since when.
func (c *Core) checkVote(name string) (v heartbeat.Verdict, since vrrp.Instant, reason string) {
	t := c.trackers[Tracker{TrackCheck, name}]
	switch {
	case t == nil || !t.known:
		return heartbeat.Unknown, 0, "no result yet"
	case t.unknown:
		return heartbeat.Unknown, 0, t.latest
	case t.ok:
		return heartbeat.Up, 0, ""
	}
	return heartbeat.Down, t.sinceAt, t.latest
}

// vote is what a witness says of the site: what it has measured, or else whether it still hears it.
func (p *partner) vote(now vrrp.Instant) (v heartbeat.Verdict, since vrrp.Instant, reason string) {
	switch {
	case !p.answered:
		return heartbeat.Unknown, 0, "it has not answered yet"
	case !p.fresh(now):
		return heartbeat.Unknown, 0, fmt.Sprintf("it has not answered for %s", plainSeconds(now.Sub(p.at)))
	case p.heardSite && !p.quiet:
		return heartbeat.Up, 0, "it hears the site"
	case p.reply.Verdict == heartbeat.Up:
		return heartbeat.Up, 0, "its checks are all right"
	case p.reply.Verdict == heartbeat.Down && p.heardSite:
		return heartbeat.Down, max(p.silentAt, p.downSince), "its checks fail, and it does not hear the site"
	case p.reply.Verdict == heartbeat.Down:
		return heartbeat.Down, p.downSince, "its checks fail"
	case p.heardSite:
		return heartbeat.Down, p.silentAt, "it does not hear the site"
	}
	return heartbeat.Unknown, 0, "it has never heard the site, and has no result of checks"
}

// takeAfter is T_take: what is configured, or more if the site says that it goes on for longer without being acknowledged
// than was assumed (safety.md section 6.4).
func (c *Core) takeAfter(w *watch) time.Duration {
	take := w.cfg.TakeoverAfter
	for _, s := range c.region.seen[w.cfg.Name] {
		if more := s.fence - w.cfg.FenceAfter; s.site == w.cfg.Name && more > 0 {
			take = max(take, w.cfg.TakeoverAfter+more)
		}
	}
	return take
}
