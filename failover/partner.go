package failover

import (
	"slices"
	"time"

	"failoverd/failover/heartbeat"
	"failoverd/vrrp"
)

// partner is somebody that heartbeats are sent to, and what it has answered.
type partner struct {
	cfg      *Partner
	about    string // the site that is asked about
	self     string // the site that asks
	fence    time.Duration
	interval time.Duration

	next   vrrp.Instant // when the next heartbeat is due
	sentAt vrrp.Instant // of the newest one; 0: none
	said   []heartbeat.Entry
	sent   [sentKept]sentRequest

	answered  bool
	at        vrrp.Instant // when the newest request that was answered had been sent
	rtt       time.Duration
	reply     heartbeat.Reply
	silentAt  vrrp.Instant // when the site in question was heard there last; 0: never
	heardSite bool         // it has been heard in the partner's present life
	quiet     bool         // and not for quietFactor heartbeats before the newest answer
	downSince vrrp.Instant // since when its own verdict is "down"
	letGo     vrrp.Instant // since when nobody of the site can serve by what it has heard of it; Never: somebody can
}

// sentRequest is when a request was sent, for whoever answers it.
type sentRequest struct {
	id uint64
	at vrrp.Instant
}

// sentKept is how many requests an answer may refer to: at the shortest heartbeat, answers of several seconds ago.
const sentKept = 64

// askGap is the least time between two heartbeats that are sent out of turn.
const askGap = 100 * time.Millisecond

// quietFactor is how many heartbeats must be missing before a partner, or a site that is heard through one, counts as
// silent.
const quietFactor = 3

// fresh reports whether the partner has answered lately. That is measured from when the request was sent, so that what waited
// in a socket while this process stood still is not news.
func (p *partner) fresh(now vrrp.Instant) bool { return p.answered && now <= p.staleAt() }

// staleAt returns when an answer that has come is not fresh any more.
func (p *partner) staleAt() vrrp.Instant {
	return p.at.Add(quietFactor*p.interval + min(p.rtt, maxRTT))
}

// maxRTT is the longest time on the way that is allowed for.
const maxRTT = time.Second

// wasSent returns when a request was sent.
func (p *partner) wasSent(id uint64) (vrrp.Instant, bool) {
	s := p.sent[id%sentKept]
	return s.at, s.id == id && id != 0
}

// ask sends the next heartbeat soon: something depends on an answer that is asked for from now on.
func (p *partner) ask(now vrrp.Instant) { p.next = min(p.next, max(now, p.sentAt.Add(askGap))) }

// knows returns what the partner knew of a service when it answered last.
func (p *partner) knows(s heartbeat.Service) (heartbeat.Knowledge, bool) {
	for _, k := range p.reply.Services {
		if k.Service == s {
			return k, true
		}
	}
	return heartbeat.Knowledge{}, false
}

// sendHeartbeats sends what is due, and what is to be said at once: other states or terms than before.
func (c *Core) sendHeartbeats(now vrrp.Instant, fx *Effects) {
	for _, p := range c.region.partners {
		entries := c.entries(p.about)
		if now < p.next && slices.Equal(entries, p.said) {
			continue
		}
		c.region.requests++
		id := c.region.requests
		p.said, p.sentAt, p.next = entries, now, now.Add(p.interval)
		p.sent[id%sentKept] = sentRequest{id, now}
		fx.Heartbeats = append(fx.Heartbeats, Heartbeat{Partner: p.cfg.ID, Request: heartbeat.Request{
			Site: p.self, Node: c.cfg.node(), About: p.about, ID: id, FenceAfter: p.fence, Entries: entries,
		}})
	}
}

// entries says what this node is for the services of a site.
func (c *Core) entries(home string) []heartbeat.Entry {
	var list []heartbeat.Entry
	for _, r := range c.routers {
		if r.cfg.Region.Home == home && len(list) < heartbeat.MaxServices {
			list = append(list, heartbeat.Entry{
				Service: r.service().Service, Term: c.termOf(r).Term, State: c.standing(r), Priority: r.fsm.Priority(),
			})
		}
	}
	return list
}

// standing is what r is for its service, as others should count on it. Who hands its role over still has it, unless
// it is prepared to serve beside a successor on another site.
func (c *Core) standing(r *router) heartbeat.State {
	switch {
	case r.fsm.State() == vrrp.Active:
		return heartbeat.Active
	case (r.handingOver() || r.settles()) && r.cfg.Region.HandoverOverlap > 0:
		return heartbeat.Draining
	case r.handingOver() || r.releasing:
		return heartbeat.Active
	case r.fsm.State() == vrrp.Backup && c.outOfService(r) == "":
		return heartbeat.Ready
	}
	return heartbeat.Out
}

// node is the name of this node in heartbeats.
func (c *Config) node() string { return c.RouterID[:min(len(c.RouterID), heartbeat.MaxName)] }

// heartbeatReplied takes note of what a partner has answered.
func (c *Core) heartbeatReplied(now vrrp.Instant, in *HeartbeatReplied, fx *Effects) {
	p := c.region.partner(in.Partner)
	if p == nil || in.Reply.About != p.about {
		return // of a partner that a reload removed
	}
	sent, ok := p.wasSent(in.Reply.ID)
	if !ok {
		return
	}
	was := p.fresh(now)
	if p.answered && sent < p.at {
		return // overtaken by a newer one
	}
	p.answered, p.at, p.rtt, p.reply = true, sent, now.Sub(sent), in.Reply
	if p.downSince = vrrp.Never; in.Reply.Verdict == heartbeat.Down {
		p.downSince = now.Add(-in.Reply.VerdictAge)
	}
	p.heardSite, p.quiet = false, false
	for i := range in.Reply.Sites {
		if h := &in.Reply.Sites[i]; h.Site == p.about {
			// The age was measured when the answer was made: to count it from now is on the safe side.
			p.silentAt, p.heardSite, p.quiet = max(p.silentAt, now.Add(-h.Age)), true, h.Age > quietFactor*p.interval
		}
	}
	// Of a site that is silent nobody knows what it does.
	if !p.says(endedAll) || now.Sub(p.silentAt) > quietFactor*p.interval {
		p.letGo = vrrp.Never
	} else if p.letGo == vrrp.Never || !was {
		p.letGo = now
	}
	for i := range in.Reply.Services {
		k := &in.Reply.Services[i]
		c.learn(now, serviceKey{p.about, k.Service}, k.Term, p.cfg.Kind.String()+" "+p.cfg.Name, fx)
	}
	c.region.dirty = true
	if s := c.region.site; s != nil && s.has(p) && in.Reply.Noted {
		c.acknowledged(now, s, sent, p, fx)
	}
	for _, w := range c.region.watches {
		if slices.Contains(w.witnesses, p) {
			w.inContact(now, was)
		}
	}
}
