package supervisor

import (
	"errors"
	"fmt"
	"time"
)

// Succession is how an agent follows one that has died.
type Succession string

const (
	// Fresh: there is nothing to take over.
	Fresh Succession = "fresh"
	// Resume: it may go on, if it asks for it in time (Link.Claim).
	Resume Succession = "resume"
	// Resign: the roles have been given away for it.
	Resign Succession = "resign"
	// Take: the one before works, and hands over when this one is ready (Link.Staged).
	Take Succession = "take"
)

// judge decides how an agent follows one that has died with a will, or without one, and that was alive last at alive; deaths
// is how often that has happened lately. The reason is why it does not go on with what it had.
func judge(w *Will, alive, now time.Duration, deaths int) (next Succession, why string) {
	switch {
	case w == nil || len(w.Heirs) == 0:
		return Fresh, ""
	case !w.Resume:
		return Resign, "its configuration says so"
	case deaths > 1:
		return Resign, fmt.Sprintf("it has died before within %v", memory)
	case now >= w.inTime(alive):
		return Resign, fmt.Sprintf("it had been silent for %v", (now - alive).Round(time.Millisecond))
	}
	return Resume, ""
}

// estate is what the supervisor has to see to after a death.
type estate struct {
	will   *Will
	number uint64 // of the will
	next   Succession
	why    string
	over   *time.Timer // it is too late to resume then
}

// died sees to the will of an agent that has died, and has it started again.
func (s *supervisor) died() {
	now := time.Now()
	for len(s.deaths) > 0 && now.Sub(s.deaths[0]) > memory {
		s.deaths = s.deaths[1:]
	}
	s.deaths = append(s.deaths, now)
	e := &s.estate
	e.over.Stop()
	s.readWill()
	if e.next, e.why = judge(e.will, s.store.LastAlive(), monotonic(), len(s.deaths)); e.next == Resume {
		e.over.Reset(e.will.inTime(s.store.LastAlive()) - monotonic())
	} else {
		// Sessions of an agent that has no role may go on, too.
		if e.next == Resign || e.will == nil || !e.will.Resume || len(s.deaths) > 1 {
			s.kept.dropAll()
		}
		s.carryOut(e.why)
	}
	s.retry()
}

// readWill reads the newest will.
func (s *supervisor) readWill() {
	w, n, err := s.store.Will()
	if err != nil && !errors.Is(err, ErrNoWill) {
		s.opts.Log.Error("the agent's last will is not usable, its addresses end with their leases", "err", err)
	}
	if err != nil {
		w, n = nil, 0
	}
	s.estate.will, s.estate.number = w, n
}

// carryOut sends the advertisements of the will, once.
func (s *supervisor) carryOut(why string) {
	w := s.estate.will
	if w == nil || s.estate.number == s.carried || len(w.Adverts) == 0 {
		return
	}
	s.carried = s.estate.number
	begun := time.Now()
	sent, err := w.execute(s.namespace)
	if err != nil {
		s.opts.Log.Error("the agent's last will is not carried out in full", "err", err)
	}
	s.opts.Log.Warn("roles released for the agent", "why", why, "routers", len(w.Heirs), "adverts", sent, "took", time.Since(begun).String())
}

// resign gives the roles away that an agent has not come back for.
func (s *supervisor) resign(why string) {
	e := &s.estate
	if e.next != Resume {
		return
	}
	e.over.Stop()
	e.next, e.why = Resign, why
	s.kept.dropAll()
	s.carryOut(why)
}

// claimed answers an agent that is back.
func (s *supervisor) claimed() {
	e := &s.estate
	answer, text := gone, e.why
	if e.next == Resume {
		e.over.Stop()
		e.next, e.why = Resign, "it has gone on already"
		answer, text = granted, ""
	}
	if err := s.child.send(answer, text); err != nil {
		s.opts.Log.Error("the agent is not answered", "err", err)
	}
}
