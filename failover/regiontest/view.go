package regiontest

import (
	"failoverd/failover"
	"failoverd/failover/heartbeat"
	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// view is what an observer knows of an agent: from the events that it tells, from what it sends, and from what it was
// given. All instants are on the machine's clock; never is before all of them.
type view struct {
	agent    *agent
	word     string
	draining bool         // it hands its role over, and has told so
	grace    vrrp.Instant // until when it serves beside a better router that it has yielded to
	stopping bool
	upgraded string // what the program before was when it handed over

	sent    []sent
	acked   vrrp.Instant // when the newest acknowledged request was sent
	contact vrrp.Instant // begin of the uninterrupted contact with witnesses
	reply   vrrp.Instant // when a witness answered last
	life    vrrp.Instant // when a sign of life of the mainland arrived last, but for its nodes' heartbeats
	// said is when a node of the mainland that has not said since that it cannot serve has said that it could.
	said map[string]vrrp.Instant

	claimed vrrp.Instant // when it took the role over from a silent mainland last
	term    heartbeat.Term
}

// sent is a request that may be acknowledged.
type sent struct {
	id uint64
	at vrrp.Instant
}

const never = vrrp.Instant(-1 << 62)

func newView(a *agent) view {
	return view{
		agent: a, word: "INIT", grace: never, acked: never, contact: never, reply: never, life: never, claimed: never,
		said: make(map[string]vrrp.Instant),
	}
}

// asked notes a request that leaves.
func (v *view) asked(id uint64) {
	if len(v.sent) > 256 {
		v.sent = append(v.sent[:0], v.sent[128:]...)
	}
	v.sent = append(v.sent, sent{id, v.agent.node.local()})
}

// input notes what the core is given.
func (v *view) input(in failover.Input) {
	now := v.agent.node.local()
	switch in := in.(type) {
	case failover.Stop:
		v.stopping = true
	case failover.HeartbeatReplied:
		v.replied(now, &in)
	case failover.HeartbeatHeard:
		switch e, ok := term(&in.Request); {
		case !in.Fresh || in.Request.Site != homeSite || !ok:
		case e.State == heartbeat.Out: // the life of this node is not that of the service
			delete(v.said, in.Request.Node)
		default:
			v.said[in.Request.Node] = now
		}
	}
}

// lastLife returns when the last sign of life of the mainland's service arrived.
func (v *view) lastLife() vrrp.Instant {
	last := v.life
	for _, at := range v.said {
		last = max(last, at)
	}
	return last
}

func (v *view) replied(now vrrp.Instant, in *failover.HeartbeatReplied) {
	at := never
	for i := len(v.sent) - 1; i >= 0 && at == never; i-- {
		if v.sent[i].id == in.Reply.ID {
			at = v.sent[i].at
		}
	}
	v.acked = max(v.acked, at)
	w := v.agent.node.world
	if w.partner(in.Partner).site != nowhere {
		return
	}
	if now.Sub(v.reply) > 3*w.beat {
		v.contact = at
	}
	v.reply = now
	for _, h := range in.Reply.Sites {
		if h.Site == homeSite && !h.Released {
			v.life = max(v.life, now.Add(-h.Age))
		}
	}
}

// heard notes an advertisement that has arrived.
func (v *view) heard(p *wire.Packet) {
	if p.Priority > 0 && v.agent.node.site == island {
		v.life = v.agent.node.local()
	}
}

// authority returns when the right to serve ends on the machine's clock.
func (v *view) authority() vrrp.Instant {
	if v.acked == never {
		return never
	}
	return v.acked.Add(v.agent.node.world.fence)
}

// guarded reports whether the agent needs authority.
func (v *view) guarded() bool { return v.agent.node.site == mainland }

// serving reports whether the agent may have address and route as far as its role goes.
func (v *view) serving() bool {
	return v.word == "MASTER" || v.draining || v.agent.node.local() < v.grace
}

// left notes the end of the role. A better router of the own site, or of another one, is given time to serve before this one stops.
func (v *view) left(e *failover.Event) {
	if e.Reason != vrrp.CauseHigherPriority.String() && e.Reason != vrrp.CauseHigherAddress.String() {
		return
	}
	w, grace := v.agent.node.world, failover.HandoverRouteGrace
	if w.k.address == e.Peer || v.agent.node == w.k {
		grace = w.overlap
	}
	v.grace = v.agent.node.local().Add(grace + loopDelay + v.agent.node.late)
}
