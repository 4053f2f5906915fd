package failover

import (
	"net/netip"
	"slices"
	"time"

	"failoverd/bgp"
	"failoverd/vrrp"
)

// Names of the stages of a takeover, in their order. A stage that does not apply is left out: there is no last
// advertisement of who was never heard, no address of a router without one, and no route of one that announces nothing.
const (
	PhaseHeard        = "last advert heard"
	PhaseSilence      = "silence detected"
	PhaseQuorum       = "quorum"
	PhasePromoted     = "promoted"
	PhaseReady        = "ready to serve" // of an anycast service, which nobody promotes
	PhaseAddress      = "address in"
	PhaseRouteSent    = "route sent to speaker"
	PhaseAcknowledged = "acknowledged by gobgp"
)

// Evidence is what led to a transition.
type Evidence struct {
	// Peer is whose advertisement was heard last, Priority what it said, Ago how long before the transition.
	Peer     netip.Addr
	Priority uint8
	Ago      time.Duration
	// ActiveDown is Active_Down_Interval as the router waited for it; zero where it waited for nothing.
	ActiveDown time.Duration
}

// takeover records a router's way to the role, and the last one that it has gone. Its instants are those of the batches
// that found out; 0 is none.
type takeover struct {
	silence    vrrp.Instant // Active_Down_Timer has fired
	quorum     vrrp.Instant // the guard has allowed it
	activeDown time.Duration

	open   bool // the role is taken, and not everything is in place
	phases []Phase
	sent   []awaited
	last   []Phase // for status; never changed
}

// awaited is a speaker that has been asked for routes and has not confirmed them.
type awaited struct {
	speaker    string
	generation uint64
}

// expiring is called before the state machine looks at its timer, which forgets what it has waited for.
func (t *takeover) expiring(fsm *vrrp.Router) (ready bool) {
	if fsm.State() == vrrp.Backup {
		t.activeDown = fsm.ActiveDownInterval()
	}
	return fsm.Ready()
}

// expired is called after that, with what expiring has returned.
func (t *takeover) expired(now vrrp.Instant, fsm *vrrp.Router, ready bool) {
	if fsm.Ready() && !ready {
		t.silence, t.quorum = now, 0
	}
}

// allowed says that nothing holds the takeover of a ready router back any more. Only the first call counts, until held.
func (t *takeover) allowed(now vrrp.Instant) {
	if t.quorum == 0 {
		t.quorum = now
	}
}

// held says that the takeover of a router is not allowed, or not any more.
func (t *takeover) held() { t.quorum = 0 }

// begin starts the record of a router that has become Active at now, and was in its former state since. who was heard last.
func (t *takeover) begin(now, since vrrp.Instant, who vrrp.Heard, e vrrp.Effect) {
	t.open, t.phases, t.sent = true, nil, t.sent[:0]
	if e.From == vrrp.Backup && who.Address.IsValid() && who.At >= since {
		t.mark(PhaseHeard, who.At)
	}
	silence, quorum := t.silence, t.quorum
	if silence < since || silence == 0 {
		silence = now // it was not joint, and this is when its timer has fired
	}
	if quorum < silence {
		quorum = now // no guard; a sync group may have held it back
	}
	t.mark(PhaseSilence, silence)
	t.mark(PhaseQuorum, quorum)
	t.mark(PhasePromoted, now)
	t.silence, t.quorum = 0, 0
}

// mark adds a stage.
func (t *takeover) mark(name string, at vrrp.Instant) {
	p := Phase{Name: name, At: at}
	if n := len(t.phases); n > 0 {
		p.MS = millis(at.Sub(t.phases[n-1].At))
	}
	t.phases = append(t.phases, p)
}

// evidence returns what led to a transition that has just happened: whose silence, release or lower priority gave the role,
// or whose advertisement took it. Nil where nobody has done either.
func (r *router) evidence(now vrrp.Instant, e vrrp.Effect) *Evidence {
	h := r.fsm.Heard()
	ev := &Evidence{Peer: h.Address, Priority: h.Priority}
	if h.Address.IsValid() {
		ev.Ago = now.Sub(h.At)
	}
	switch e.Cause {
	case vrrp.CauseSilence, vrrp.CausePreempt, vrrp.CauseRelease, vrrp.CauseVacant:
		ev.ActiveDown = r.takeover.activeDown
		return ev
	case vrrp.CauseHigherPriority, vrrp.CauseHigherAddress:
		return ev
	}
	return nil
}

// noteTakeover keeps the record of a takeover over a transition.
func (c *Core) noteTakeover(now, since vrrp.Instant, r *router, e vrrp.Effect, fx *Effects) {
	switch {
	case e.Cause == vrrp.CauseUpgrade: // nobody has taken anything over
	case e.To == vrrp.Active && r.cfg.Anycast != nil:
		r.takeover = takeover{open: true, last: r.takeover.last}
		r.takeover.mark(PhaseReady, now)
		c.takingOver = true
	case e.To == vrrp.Active:
		r.takeover.begin(now, since, r.fsm.Heard(), e)
		c.takingOver = true
	case e.From == vrrp.Active && r.takeover.open:
		c.endTakeover(now, r, "incomplete", "the role was lost before: "+r.why, fx)
	}
}

// followTakeovers looks which stages the open takeovers have reached. It is called in Flush, when the routes of the batch
// have been asked for.
func (c *Core) followTakeovers(now vrrp.Instant, fx *Effects) {
	if !c.takingOver {
		return
	}
	c.takingOver = false
	for _, r := range c.routers {
		if r.takeover.open {
			c.followTakeover(now, r, fx)
		}
		c.takingOver = c.takingOver || r.takeover.open
	}
}

func (c *Core) followTakeover(now vrrp.Instant, r *router, fx *Effects) {
	t := &r.takeover
	reached := t.phases[len(t.phases)-1].Name
	if reached == PhaseReady {
		reached = PhasePromoted
	}
	if reached == PhasePromoted && len(r.cfg.Addresses) == 0 {
		reached = PhaseAddress
	}
	if reached == PhasePromoted {
		if !r.addressesIn {
			return
		}
		t.mark(PhaseAddress, now)
		reached = PhaseAddress
	}
	if reached == PhaseAddress {
		var all bool
		if t.sent, all = c.awaitedBy(r, t.sent[:0]); !all {
			return
		}
		if len(t.sent) > 0 {
			t.mark(PhaseRouteSent, now)
			reached = PhaseRouteSent
		}
	}
	if reached == PhaseRouteSent {
		if slices.ContainsFunc(t.sent, c.waitsForAnswer) {
			return
		}
		t.mark(PhaseAcknowledged, now)
	}
	c.endTakeover(now, r, "complete", r.why, fx)
}

// awaitedBy returns the speakers that have been asked to announce a route of the Active r, and whether those are all that
// will be. What the rails have refused nobody waits for.
func (c *Core) awaitedBy(r *router, sent []awaited) (_ []awaited, all bool) {
	for i := range r.cfg.Announce {
		a := &r.cfg.Announce[i]
		s := c.speakers[a.Speaker]
		if a.When != RoleActive || s == nil || slices.ContainsFunc(sent, func(w awaited) bool { return w.speaker == a.Speaker }) {
			continue
		}
		switch {
		case s.wants(a.Route.Prefix):
			sent = append(sent, awaited{a.Speaker, s.desired.Generation})
		case s.refused == "":
			return sent, false
		}
	}
	return sent, true
}

// wants reports whether a prefix is among what was asked for last.
func (s *speaker) wants(p netip.Prefix) bool {
	for i := range s.desired.Routes {
		if s.desired.Routes[i].Prefix == p {
			return true
		}
	}
	return false
}

// keeps reports whether a prefix is announced already as it would be now: with another AS it is another announcement.
func (s *speaker) keeps(p netip.Prefix) bool {
	if s.desired.Generation == 0 {
		return slices.ContainsFunc(s.found, func(r bgp.Route) bool { return r.Prefix == p })
	}
	return s.origin == s.cfg.LocalAS && s.wants(p)
}

// waitsForAnswer reports whether a speaker is still to confirm that its table is what was asked for.
func (c *Core) waitsForAnswer(w awaited) bool {
	s := c.speakers[w.speaker]
	return s != nil && (!s.report.Connected || s.report.Generation < w.generation)
}

// endTakeover tells of a takeover and closes the record.
func (c *Core) endTakeover(now vrrp.Instant, r *router, to, reason string, fx *Effects) {
	t := &r.takeover
	t.open, t.last = false, t.phases
	first, last := t.phases[0].At, t.phases[len(t.phases)-1].At
	fx.about(r, Event{
		Kind: EventTakeover, At: now, To: to, Reason: reason, Phases: t.phases, Took: last.Sub(first),
	})
}
