package regiontest

import (
	"strings"
	"time"

	"failoverd/bgp"
	"failoverd/failover"
	"failoverd/failover/heartbeat"
	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// releaseLimit is how long an agent that runs keeps the address after its role has gone.
const releaseLimit = failover.ReleaseBound + failover.DefaultWithdrawGrace + 2*(loopDelay+workerDelay+resultDelay) + speakerDelay

// spinLimit is how many batches in a row may leave something that is due.
const spinLimit = 5

// batch looks at the effects of a batch before they are carried out.
func (r *rules) batch(a *agent, fx *failover.Effects) {
	v := &a.view
	was := v.serving()
	if was {
		a.node.entitled = a.node.local()
	}
	for i := range fx.Events {
		switch e := &fx.Events[i]; e.Kind {
		case failover.EventTransition:
			r.transition(a, e)
		case failover.EventHandover:
			v.draining = e.To == "waiting"
		}
	}
	if a.node.site == nowhere {
		return
	}
	for i := range fx.Adverts {
		r.advert(a, &fx.Adverts[i], was)
	}
	for i := range fx.Routes {
		r.routes(a, fx.Routes[i].Desired.Routes)
	}
	if fx.Addresses != nil {
		r.addresses(a, fx.Addresses)
	}
	for i := range fx.Heartbeats {
		r.heartbeat(a, &fx.Heartbeats[i].Request)
	}
}

func (r *rules) transition(a *agent, e *failover.Event) {
	v, now := &a.view, a.node.local()
	r.w.note(a.node, "%s -> %s (%s)", e.From, e.To, e.Reason)
	r.changed = r.w.Now()
	was := v.word
	v.word = e.To
	if e.Reason == vrrp.CauseUpgrade.String() {
		r.wentOn(a, was)
		return
	}
	switch {
	case e.To == "MASTER":
		v.draining, v.grace = false, never
	case e.From == "MASTER":
		v.left(e)
	}
	if a.node.site == island && e.To == "MASTER" {
		r.takeover(a, now, e.Reason)
	}
}

// takeover: a watcher takes over only while it is in contact with a witness, and, unless the mainland has let go of the role,
// only after it has heard nothing of the mainland and has been in contact for T_take, without interruption (L6). It may go
// on with what it had before a restart.
func (r *rules) takeover(a *agent, now vrrp.Instant, why string) {
	v, w := &a.view, r.w
	r.takeovers++
	r.released = strings.Contains(why, "released")
	if out := now.Sub(v.reply); out > 3*w.beat+time.Second {
		r.fail("L6", "%s takes over %v after its last contact with a witness: %s", a.node.name, out, why)
	}
	if r.released || v.term.Holder == otherSite {
		return
	}
	if n := r.witnessed(); n < w.quorum {
		r.fail("L6", "%s takes over although %d of %d voters could know that the mainland is down: %s", a.node.name, n, w.quorum, why)
	}
	if w.onDown {
		return
	}
	// The other clock counts in the inequality; this one may be fast by as much as the drift.
	take := w.take - w.take*drift/1e6 - loopDelay
	if silent := now.Sub(v.lastLife()); silent < take {
		r.fail("L6", "%s takes over %v after a sign of life of the mainland: %s", a.node.name, silent, why)
	}
	if observed := now.Sub(v.contact); observed < take {
		r.fail("L6", "%s takes over after it has been in contact with a witness for %v: %s", a.node.name, observed, why)
	}
	if v.claimed != never && now.Sub(v.claimed) < w.holdDown-w.holdDown*drift/1e6 {
		r.fail("S13", "%s takes over %v after its last takeover", a.node.name, now.Sub(v.claimed))
	}
	v.claimed = now
}

// witnessed returns how many of those who vote have had no sign of life of the mainland for T_take, in their present life, as
// far as the watcher may know: an answer may be as old as a partner counts as fresh.
func (r *rules) witnessed() (n int) {
	w := r.w
	lag := 3*w.beat + time.Second + probeRise*probeInterval
	take := w.take - w.take*2*drift/1e6 - loopDelay
	if w.k.probe.silence.lasted(w.Now(), take, lag) {
		n++
	}
	for _, o := range w.nodes[3:] {
		if o.silence.lasted(w.Now(), take, lag) {
			n++
		}
	}
	return n
}

// advert: who speaks is Active, or has just stopped being it and says so (S3); an isolated site says nothing (S15).
func (r *rules) advert(a *agent, x *failover.Advert, was bool) {
	var p wire.Packet
	if why := wire.Parse(x.Payload, wire.Header{Src: x.Src, Dst: x.Dst, TTL: wire.TTL, Group: group(x.Dst)}, &p); why != wire.Accepted {
		r.fail("S3", "%s sends what no one accepts: %s", a.node.name, why)
		return
	}
	if p.Priority == wire.PriorityRelease {
		return
	}
	if !was && !a.view.serving() {
		r.fail("S3", "%s sends priority %d as %s", a.node.name, p.Priority, a.view.word)
	}
	r.authorised("S15", a, "sends an advertisement")
}

// authorised: what an agent of the mainland does is within its authority.
func (r *rules) authorised(rule string, a *agent, what string) bool {
	v := &a.view
	if !v.guarded() || a.node.local() < v.authority() {
		return true
	}
	r.fail(rule, "%s %s %v after its authority", a.node.name, what, a.node.local().Sub(v.authority()))
	return false
}

// routes: the route is wanted only by who serves, has authority, and has the address (S4, S12).
func (r *rules) routes(a *agent, routes []bgp.Route) {
	for _, x := range routes {
		if x.Prefix != service {
			r.fail("S12", "%s wants %s", a.node.name, x.Prefix)
		}
	}
	if len(routes) == 0 || !r.authorised("S4", a, "announces") {
		return
	}
	if !a.view.serving() {
		r.fail("S4", "%s announces as %s", a.node.name, a.view.word)
	}
}

// addresses: the address is wanted with an end that is within authority (S15).
func (r *rules) addresses(a *agent, d *failover.DesiredAddresses) {
	if len(d.Addresses) == 0 || !a.view.guarded() || a.view.word != "MASTER" {
		return
	}
	if d.Until > a.view.authority() {
		r.fail("S15", "%s wants the address until %v after its authority", a.node.name, d.Until.Sub(a.view.authority()))
	}
}

// heartbeat: terms grow, and who serves has the newest one it knows (S8).
func (r *rules) heartbeat(a *agent, q *heartbeat.Request) {
	e, ok := term(q)
	if !ok {
		return
	}
	v := &a.view
	if e.Term.Epoch < v.term.Epoch {
		r.fail("S8", "%s says term %d after %d", a.node.name, e.Term.Epoch, v.term.Epoch)
	}
	v.term = e.Term
	if e.Term.Epoch > r.newest.Epoch || e.Term.Epoch == r.newest.Epoch && e.Term.Holder == homeSite {
		r.newest = e.Term
	}
	self := homeSite
	if a.node.site == island {
		self = otherSite
	}
	if v.word == "MASTER" && e.Term.Holder != self {
		r.fail("S8", "%s is active under a term of %q", a.node.name, e.Term.Holder)
	}
}

// settled looks at what an agent wants once a batch is done: without authority, nothing (S14); and there is nothing left to do at once.
func (r *rules) settled(a *agent) {
	v := &a.view
	if a.core.Deadline() > a.node.local()+1 {
		a.spins = 0
	} else if a.spins++; a.spins > spinLimit {
		r.fail("SPIN", "%s does what is due again and again, and more is due in %d ns", a.node.name, a.core.Deadline().Sub(a.node.local()))
	}
	if len(a.desired.Routes) == 0 && len(a.worker.want.Addresses) == 0 {
		return
	}
	if len(a.desired.Routes) > 0 {
		r.authorised("S14", a, "goes on announcing")
	}
	if v.guarded() && v.word == "MASTER" {
		r.authorised("S14", a, "goes on serving")
	}
}

// written: nothing is written that outlives authority, unless it is undone in the same step (S15).
func (r *rules) written(n *node, until vrrp.Instant) {
	if n.site != mainland || n.agent == nil {
		return
	}
	if authority := n.agent.view.authority(); until > authority.Add(time.Millisecond) {
		r.suspect = n
	}
}

// updated: the first time that the route leaves in a session, a proof of authority was asked for after the session was
// there (S9). A speaker whose agent does not run may repeat what it was told, until bgp_lease ends it.
func (r *rules) updated(s *speaker) {
	a := s.agent
	if a == nil || s.left == s.session {
		return
	}
	s.left = s.session
	if a.view.guarded() && !a.frozen && a.view.acked < s.since {
		r.fail("S9", "%s announces in a new session without a new proof of authority", s.node.name)
	}
}
