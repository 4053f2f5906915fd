package failovertest

import (
	"encoding/json"
	"slices"
	"time"

	"failoverd/bgp"
	"failoverd/failover"
	"failoverd/vrrp"
)

// Times of a supervisor and of the agents that it starts (failover/docs/processes.md).
const (
	startTime = 60 * time.Millisecond  // the least that a start takes
	startMore = 160 * time.Millisecond // up to so much more
	willDelay = 20 * time.Millisecond  // a will may be that old
	memory    = time.Minute            // so long a death counts
	longLife  = 2 * time.Second        // after so long a life the next one begins at once
)

// lastWill is what the supervisor knows of the roles of an agent.
type lastWill struct {
	failover.Testament
	text    string // the configuration
	index   int    // of eth0
	carried bool   // its advertisements have been sent
	// cache is what the agent knew of RPKI then, offset what its clock showed more than the world's.
	cache  cacheWord
	offset time.Duration
}

// succession is what the supervisor has to see to after a death.
type succession struct {
	will     *lastWill // nil: there is nothing to take over
	known    *lastWill // what it says of RPKI counts in any case; nil: there was none
	resume   bool      // the next life may go on
	died     vrrp.Instant
	released vrrp.Instant // when the roles were given away; Never: they were not
	kept     []*Speaker
	calm     bool // nothing had happened for long when it died
}

// writeWill plans that the supervisor learns of what has changed.
func (a *agent) writeWill() {
	w := a.world
	if !w.supervised || a.willPlanned {
		return
	}
	a.willPlanned = true
	w.After(w.upTo(willDelay), func() {
		a.willPlanned = false
		switch {
		case a.host.agent != a || a.frozen:
		case a.core.Inheriting():
			a.writeWill() // until then that of the life before holds
		default:
			a.will = &lastWill{Testament: a.core.Testament(), text: a.text, index: a.host.Kernel.link("eth0").index, cache: a.knows(), offset: a.offset}
		}
	})
}

// kill ends the agent without a word, and has its supervisor see to it. With resign that is not to resume (on_crash).
func (h *Host) kill(resign bool) {
	a, w := h.agent, h.world
	if a == nil {
		return
	}
	w.log(h, "agent is killed")
	e := &succession{will: a.will, known: a.will, died: a.alive, released: vrrp.Never, kept: a.speakers}
	if e.will != nil && len(e.will.Heirs) == 0 {
		e.will = nil
	}
	h.leave(a)
	h.succession = e
	if h.short++; w.now.Sub(a.since) > longLife {
		h.short = 0
	}
	h.deaths = append(slices.DeleteFunc(h.deaths, func(d vrrp.Instant) bool { return w.now.Sub(d) > memory }), w.now)
	again := len(h.deaths) > 1
	switch {
	case e.will == nil:
		if again {
			e.drop()
		}
	case resign || again || w.now >= e.inTime():
		h.resign(e)
	default:
		e.resume = true
		w.After(e.inTime().Sub(w.now), func() { h.resign(e) })
	}
	h.startSoon(e)
}

// startSoon starts the next life. After more than one short life in a row the supervisor waits.
func (h *Host) startSoon(e *succession) {
	wait := startTime + h.world.upTo(startMore)
	if n := h.short; n > 1 {
		wait += min(50*time.Millisecond<<min(n-1, 8), 5*time.Second)
	}
	h.world.After(wait, func() {
		if h.agent == nil && h.succession == e {
			h.start()
		}
	})
}

// inTime is until when the next life may resume.
func (e *succession) inTime() vrrp.Instant { return e.died.Add(2 * e.will.Interval) }

// drop ends the speakers that were kept.
func (e *succession) drop() {
	for _, s := range e.kept {
		s.end()
	}
	e.kept = nil
}

// resign gives the roles away that an agent has not come back for.
func (h *Host) resign(e *succession) {
	w := h.world
	if h.succession != e || e.released != vrrp.Never {
		return
	}
	w.log(h, "supervisor releases the roles")
	e.resume, e.released = false, w.now
	e.drop()
	if e.will.carried {
		return
	}
	e.will.carried = true
	if h.Kernel.link("eth0").index != e.will.index {
		return
	}
	for i := range e.will.Adverts {
		w.send(h, &e.will.Adverts[i])
	}
}

// follow makes a new agent take over from the life before.
func (a *agent) follow(e *succession) {
	w := a.world
	a.host.succession = nil
	if e.known != nil {
		a.recall(e.known.Origins, e.known.cache, e.known.offset)
	}
	if e.will == nil || e.will.text != a.text {
		a.adopt(e.kept)
		return
	}
	a.objects.goesOn = e.resume
	resume, died := e.resume, e.died
	if w.mutation == Usurper { // the answer of the supervisor does not count
		resume, died = true, w.now
	} else if !resume && e.released > e.died {
		died = e.released
	}
	until := died.Add(3 * e.will.Interval)
	w.log(a.host, "takes over from the life before: resume %v", resume)
	a.core.Inherit(a.local(), e.will.Heirs, resume, died.Add(a.offset), until.Add(a.offset))
	a.will = e.will
	a.heirs(e, until)
	a.adopt(e.kept)
	if e.resume && e.calm {
		w.checker.resumes(a)
	}
}

// heirs notes what the new life may go on with, and until when.
func (a *agent) heirs(e *succession, until vrrp.Instant) {
	for _, x := range e.will.Heirs {
		for _, r := range a.core.Config().Routers {
			if r.Anycast == nil && r.VRRP.Key.String() != x.Key || r.Anycast != nil && r.Kind()+" "+r.Name != x.Key {
				continue
			}
			st := a.state(r.VRRP.Key)
			if st.serves = until; e.resume {
				st.resumes, st.had = until, x.Priority
			} else {
				bound, from := r.VRRP.Interval.Duration()+failover.HandoverMargin, e.released
				if a.world.now < from.Add(bound) {
					from = a.world.now // a successor is waited for from when somebody listens
				}
				st.serves = from.Add(bound + failover.HandoverRouteGrace)
			}
		}
	}
}

// keepSpeakers is how long a kept speaker announces what nobody asks for.
const keepSpeakers = 2 * time.Second

// adopt makes speakers of the life before those of this one. What they announce stays until it is asked for.
func (a *agent) adopt(kept []*Speaker) {
	w := a.world
	for _, s := range kept {
		if a.core.Config().Speaker(s.cfg.Name) == nil || s.ended {
			s.end()
			continue
		}
		s.agent, s.want, s.applied, s.planned, s.adopted = a, bgp.Desired{}, 0, true, true
		a.speakers = append(a.speakers, s)
		w.After(w.upTo(speakerDelay), func() {
			s.planned = false
			s.report()
			s.kick()
		})
		w.After(keepSpeakers, func() {
			if s.adopted && s.agent == a {
				s.adopted = false
				s.kick()
			}
		})
	}
}

// upgrade lets another agent go on where this one stands, if it may. Everything that is handed over is text on the way. late:
// its checks have no results yet.
func (h *Host) upgrade(late bool) {
	a, w := h.agent, h.world
	if !h.idle() || len(w.with) > 0 && (a.pending > 0 || w.now.Sub(a.since) <= lookWithin) || h.Config != a.text || slices.ContainsFunc(h.Kernel.links, func(l *kernelLink) bool { return l.told }) {
		return // what it is about to learn may change everything
	}
	b := a.successor(late)
	if bar, why := a.core.HandoverBar(), b.core.Unready(b.local()); bar != "" || why != "" {
		w.log(h, "no upgrade: %q, %q", bar, why)
		return
	}
	text, err := json.Marshal(a.core.Legacy(b.local()))
	var l failover.Legacy
	if err == nil {
		err = json.Unmarshal(text, &l)
	}
	if err != nil {
		panic(err)
	}
	switch w.mutation {
	case ForgottenVerdicts:
		l.Verdicts = nil
	case Oblivious:
		l.Origins = nil
	}
	b.before = a.knows()
	w.log(h, "upgrade, late results: %v", late)
	w.checker.touch(h)
	h.agent = b
	b.states = append(b.states, a.states...)
	b.inbox, b.withdrawn, b.will = append(b.inbox, a.inbox...), a.withdrawn, a.will
	b.configs, b.adopted = a.configs, a.adopted
	b.changes, b.established = slices.Clone(a.changes), a.established // which it is told, with the governor's memory
	if b.asked = a.asked; a.desired[governedSpeaker].Generation > 0 {
		b.asked = a.desired[governedSpeaker].Routes
	}
	b.adopt(a.speakers)
	if err := b.core.TakeUp(b.local(), &l, &b.fx); err != nil {
		w.checker.fail("R3", "%s: %v", h.Name, err)
	}
	b.core.Flush(b.local(), &b.fx)
	if late {
		b.goesOnWith(a)
	}
	w.checker.upgraded(b)
	b.beginObjects(true)
	b.fixtures()
	b.beginCache()
	b.perform()
	b.arm()
}
