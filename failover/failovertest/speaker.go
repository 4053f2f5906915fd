package failovertest

import (
	"net/netip"
	"time"

	"failoverd/bgp"
	"failoverd/failover"
)

// Speaker is a BGP speaker process of an agent, and the worker that talks to it: a table of routes that follows the
// newest desired state some time later. What is in the table counts as announced.
type Speaker struct {
	Table []bgp.Route

	agent       *agent
	cfg         bgp.SpeakerConfig
	up          bool // the process answers
	established bool
	fenced      bool // it has withdrawn everything because its agent was silent
	want        bgp.Desired
	applied     uint64
	restarts    uint64
	planned     bool
	ended       bool // by a reload, or with the agent
	adopted     bool // it has been kept from another life of the agent, and nobody has asked it for anything since
}

func newSpeaker(a *agent, cfg bgp.SpeakerConfig, want bgp.Desired) *Speaker {
	s := &Speaker{agent: a, cfg: cfg, want: want}
	s.start(speakerDelay)
	return s
}

// start starts the process within a delay; its session comes later.
func (s *Speaker) start(within time.Duration) {
	w := s.agent.world
	w.After(w.upTo(within), func() {
		if s.ended || s.up {
			return
		}
		s.up, s.applied = true, 0
		s.report()
		s.kick()
		w.After(w.upTo(500*time.Millisecond), func() { s.session(true) })
	})
}

// kick has the newest desired state applied soon.
func (s *Speaker) kick() {
	if s.planned {
		return
	}
	s.planned = true
	w := s.agent.world
	w.After(w.upTo(speakerDelay), func() {
		s.planned = false
		if s.ended || !s.up || s.fenced || s.adopted || s.agent.host.mood.hung {
			return
		}
		if s.agent.frozen { // so is the worker
			s.planned, s.agent.thaw = true, append(s.agent.thaw, func() { s.planned = false; s.kick() })
			return
		}
		if w.trace != nil && s.applied != s.want.Generation {
			w.log(s.agent.host, "speaker %s announces #%d: %s", s.cfg.Name, s.want.Generation, describeRoutes(s.want.Routes))
		}
		w.checker.keeps(s, s.want.Routes)
		w.checker.continues(s)
		before := w.has("anycast") && w.bestPath() != nil
		s.Table, s.applied = s.want.Routes, s.want.Generation
		w.checker.keptLast(s.agent.host, before)
		s.report()
	})
}

// set takes a newer desired state.
func (s *Speaker) set(d bgp.Desired) {
	s.want, s.adopted = d, false
	s.kick()
}

// session makes the session come or go.
func (s *Speaker) session(established bool) {
	if !s.ended && s.up && s.established != established {
		s.established = established
		s.report()
	}
}

// die kills the process: its sessions are closed, and so its routes are gone. It is started again.
func (s *Speaker) die() {
	if s.ended || !s.up {
		return
	}
	s.agent.world.log(s.agent.host, "speaker %s dies", s.cfg.Name)
	s.Table, s.up, s.established, s.fenced, s.applied = nil, false, false, false, 0
	s.restarts++
	s.report()
	s.start(time.Second)
}

// end ends the process for good; it withdraws on the way out.
func (s *Speaker) end() {
	w := s.agent.world
	w.After(w.upTo(speakerDelay), func() { s.Table, s.up, s.ended = nil, false, true })
}

// silent is what the process does when its agent has been silent for bgp_lease; touched, when it is back.
func (s *Speaker) silent() {
	s.agent.world.log(s.agent.host, "speaker %s withdraws everything: its agent is silent", s.cfg.Name)
	s.Table, s.applied, s.fenced = nil, 0, true
}

func (s *Speaker) touched() {
	if s.fenced {
		s.fenced = false
		s.report()
		s.kick()
	}
}

// upstream is the neighbor of every speaker.
var upstream = netip.MustParseAddr("203.0.113.1")

func (s *Speaker) report() {
	n := bgp.NeighborStatus{Address: upstream, RemoteAS: 64500, State: bgp.Connect}
	if s.established {
		n.State = bgp.Established
	}
	rep := bgp.Report{
		Speaker: s.cfg.Name, Connected: s.up, Neighbors: []bgp.NeighborStatus{n}, Announced: s.Table,
		Generation: s.applied, Restarts: s.restarts,
	}
	if !s.up {
		rep.Err = "the speaker process has died"
	}
	s.agent.result(failover.SpeakerReported{Report: rep})
}
