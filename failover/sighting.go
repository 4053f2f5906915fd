package failover

import (
	"slices"
	"time"

	"failoverd/failover/heartbeat"
	"failoverd/vrrp"
)

// sighting is what a node of another site, or, for a witness, of any site, has said of itself last.
type sighting struct {
	site, node string
	at         vrrp.Instant
	fence      time.Duration
	states     map[heartbeat.Service]heartbeat.State
	namesakes  namesakes
}

// Bounds of what is remembered of nodes: who is not heard for so long is forgotten, and nobody can make this node
// remember more of them.
const (
	forgetNode = 10 * time.Minute
	maxNodes   = 64
)

// heartbeatHeard takes note of a request of another node, and answers it.
func (c *Core) heartbeatHeard(now vrrp.Instant, in *HeartbeatHeard, fx *Effects) {
	q := &in.Request
	var s *sighting
	if in.Fresh {
		s = c.see(now, q)
	}
	noted := s != nil
	if noted {
		c.nameTwice(now, s, in, fx)
		for i := range q.Entries {
			e := &q.Entries[i]
			c.learn(now, serviceKey{q.About, e.Service}, e.Term, "node "+q.Node+" of site "+q.Site, fx)
		}
		c.region.dirty = true
	}
	fx.Answers = append(fx.Answers, Answer{Ref: in.Ref, Reply: c.reply(now, q, noted)})
}

// see remembers what a node says of itself, unless there are too many of them: then it returns nil.
func (c *Core) see(now vrrp.Instant, q *heartbeat.Request) *sighting {
	nodes := c.region.seen[q.About]
	i := slices.IndexFunc(nodes, func(s *sighting) bool { return s.site == q.Site && s.node == q.Node })
	if i < 0 {
		if len(nodes) >= maxNodes {
			nodes = slices.DeleteFunc(nodes, func(s *sighting) bool { return now.Sub(s.at) > forgetNode })
		}
		if len(nodes) >= maxNodes || nodes == nil && len(c.region.seen) >= maxNodes {
			return nil
		}
		i = len(nodes)
		c.region.seen[q.About] = append(nodes, &sighting{site: q.Site, node: q.Node})
	}
	s := c.region.seen[q.About][i]
	s.at, s.fence, s.states = now, q.FenceAfter, make(map[heartbeat.Service]heartbeat.State, len(q.Entries))
	for i := range q.Entries {
		s.states[q.Entries[i].Service] = q.Entries[i].State
	}
	return s
}

// reply says what this node knows of what a request is about.
func (c *Core) reply(now vrrp.Instant, q *heartbeat.Request, noted bool) heartbeat.Reply {
	a := heartbeat.Reply{Site: c.cfg.self(), Node: c.cfg.node(), About: q.About, ID: q.ID, Noted: noted, Sites: c.heard(now, q.About)}
	if w := c.region.watch(q.About); w != nil {
		v := c.judgeSite(now, w, nil)
		if a.Verdict = v.verdict; a.Verdict == heartbeat.Down {
			a.VerdictAge = max(now.Sub(v.quorumSince), 0)
		}
	}
	for i := range q.Entries {
		k := serviceKey{q.About, q.Entries[i].Service}
		t, known := c.region.terms[k]
		if !known {
			continue
		}
		a.Services = append(a.Services, heartbeat.Knowledge{
			Service: k.Service, Term: t.Term, State: c.standingFor(k), Tenure: now.Sub(t.since), Successors: c.successors(now, q, k.Service),
		})
	}
	return a
}

// heard says which sites were heard about a service's home, the home first.
func (c *Core) heard(now vrrp.Instant, about string) (list []heartbeat.Heard) {
	seen := slices.Clone(c.region.seen[about])
	slices.SortStableFunc(seen, func(a, b *sighting) int { return later(a.site != about) - later(b.site != about) })
	for _, s := range seen {
		i := 0
		for i < len(list) && list[i].Site != s.site {
			i++
		}
		if i == len(list) {
			if len(list) == heartbeat.MaxSites {
				continue
			}
			list = append(list, heartbeat.Heard{Site: s.site, Age: now.Sub(s.at), Released: true, Ended: true})
		}
		h := &list[i]
		h.Age = min(h.Age, now.Sub(s.at))
		for service := range s.states {
			h.Released = h.Released && !s.mayHave(now, service)
			h.Ended = h.Ended && !s.mayServe(now, service)
		}
	}
	return list
}

// later is 1 for what goes behind.
func later(behind bool) int {
	if behind {
		return 1
	}
	return 0
}

// mayHave reports whether the node may have a service by now, after what it said last. One that could have had it cannot
// take it any more once it has not been acknowledged for long enough; one that had it may have left a route behind.
func (s *sighting) mayHave(now vrrp.Instant, service heartbeat.Service) bool {
	switch age := now.Sub(s.at); s.states[service] {
	case heartbeat.Active, heartbeat.Draining:
		return age <= heartbeat.ReleasedWithin
	case heartbeat.Ready:
		return s.unfenced(age)
	}
	return false
}

// mayServe reports whether the node may be serving by now: unlike mayHave, what a dead one has left behind does not count.
func (s *sighting) mayServe(now vrrp.Instant, service heartbeat.Service) bool {
	return s.states[service] != heartbeat.Out && s.unfenced(now.Sub(s.at))
}

// declines reports whether the node says, as late as can be expected, that it cannot have the service of r, or any for nil: then
// its life is not that of the service, whose holder may have died.
func (s *sighting) declines(now vrrp.Instant, r *router, beat time.Duration) bool {
	if len(s.states) == 0 || now.Sub(s.at) > quietFactor*beat {
		return false
	}
	if r != nil {
		return s.states[r.service().Service] == heartbeat.Out
	}
	for _, st := range s.states {
		if st != heartbeat.Out {
			return false
		}
	}
	return true
}

// unfenced reports whether a node that has said something so long ago may still act on it: it has not fenced itself, and one
// that never does counts for ReleasedWithin.
func (s *sighting) unfenced(age time.Duration) bool {
	return s.fence == 0 && age <= heartbeat.ReleasedWithin || s.fence > 0 && age <= s.fence+heartbeatSlack
}

// readyOutside reports whether a node of another site has said lately that it could take the role of r.
func (c *Core) readyOutside(now vrrp.Instant, r *router) bool {
	if !r.guarded() {
		return false
	}
	k := r.service()
	for _, p := range c.region.partners {
		if s := p.reply.Site; p.about == k.home && p.fresh(now) && s != "" && s != r.cfg.Region.Self {
			if kn, ok := p.knows(k.Service); ok && kn.State == heartbeat.Ready {
				return true
			}
		}
	}
	return slices.ContainsFunc(c.region.seen[k.home], func(s *sighting) bool {
		return s.site != r.cfg.Region.Self && now.Sub(s.at) <= successorWithin && s.states[k.Service] == heartbeat.Ready
	})
}

// standingFor is what this node is for a service; Out if it has no router for it.
func (c *Core) standingFor(k serviceKey) heartbeat.State {
	for _, r := range c.routers {
		if r.guarded() && r.service() == k {
			return c.standing(r)
		}
	}
	return heartbeat.Out
}

// successors counts the nodes of the asking site that could have a service instead of the one that asks.
func (c *Core) successors(now vrrp.Instant, q *heartbeat.Request, s heartbeat.Service) uint8 {
	n := 0
	for _, o := range c.region.seen[q.About] {
		st := o.states[s]
		if o.site == q.Site && o.node != q.Node && now.Sub(o.at) <= successorWithin && (st == heartbeat.Ready || st == heartbeat.Active) {
			n++
		}
	}
	return uint8(min(n, 255))
}

// successorWithin is how old what a node said of itself may be for it to count as a successor.
const successorWithin = 5 * time.Second
