package regiontest

import (
	"net/netip"
	"slices"
	"time"

	"failoverd/bgp"
	"failoverd/failover"
	"failoverd/vrrp"
)

// upstream is the router of a site's provider. It has a session with each speaker of the site.
type upstream struct {
	world *World
	site  int
	peers []*speaker
}

// holds reports whether the service's route is in the router's table.
func (u *upstream) holds() bool {
	return slices.ContainsFunc(u.peers, func(s *speaker) bool { return s.learned })
}

// speaker is the BGP speaker process of a node's agent with its session: the near end is the process, the far end the
// upstream router. What one end sends arrives while both of them run and the way is open in that direction; each end closes the
// session when it has heard nothing for the hold time.
type speaker struct {
	node  *node
	agent *agent // it belongs to; nil: no process runs
	life  int    // of the process

	table   []bgp.Route
	want    bgp.Desired
	applied uint64
	planned bool
	frozen  bool // it does not run (SIGSTOP)
	fenced  bool // it has withdrawn everything because its agent was silent
	died    uint64
	adopted int          // how often another program has gone on with it
	keeps   bool         // what it announces stays, although the agent has not asked for anything yet
	lapses  vrrp.Instant // when the worker looks whether the right to announce has ended

	near, far bool // the session is established, as each end sees it
	session   int  // number of the session
	left      int  // the last session in which the route has left
	learned   bool // the far end has the service's route from it
	telling   bool // the far end hears the near one
	hearing   bool // the near end hears the far one
	silences  [2]int
	arrives   vrrp.Instant
	since     vrrp.Instant // on the machine's clock, when the near end was established
}

func newSpeaker(n *node) *speaker {
	s := &speaker{node: n}
	u := n.world.upstreams[n.site]
	u.peers = append(u.peers, s)
	return s
}

// begin starts a process for an agent.
func (s *speaker) begin(a *agent) {
	s.agent = a
	s.launch(speakerDelay)
}

func (s *speaker) launch(within time.Duration) {
	s.life++
	s.table, s.want, s.applied, s.planned, s.fenced, s.frozen, s.lapses = nil, bgp.Desired{}, 0, false, false, false, 0
	a := s.agent
	s.do(s.node.world.upTo(within), func() {
		s.want = a.desired
		s.report()
		s.kick()
		s.connect(500 * time.Millisecond)
	})
}

// adoptedGrace is how long what a speaker announces stays without anybody asking for it (gobgp.AdoptedGrace).
const adoptedGrace = 2 * time.Second

// goOn makes another program's agent that of the process. That one does not know what the one before has asked for, and reaches
// the process within a while; at times it says before that it has not.
func (s *speaker) goOn(a *agent) {
	if s == nil || s.agent == nil {
		return
	}
	w := s.node.world
	s.adopted++
	s.agent, s.want, s.applied, s.planned, s.lapses, s.died = a, bgp.Desired{Routes: s.table}, 0, false, 0, 0
	s.keeps = true
	adopted := s.adopted
	reach := w.upTo(20 * time.Millisecond)
	if w.happens(0.2) {
		a.result(failover.SpeakerReported{Report: bgp.Report{Speaker: speakerName, Err: "not reached"}})
		reach = w.upTo(1500 * time.Millisecond)
	}
	s.do(reach, func() {
		if s.adopted == adopted {
			s.report()
			s.kick()
		}
	})
	s.do(adoptedGrace, func() {
		if s.adopted == adopted && s.keeps {
			s.want, s.keeps = bgp.Desired{}, false
			s.kick()
		}
	})
}

// do has something done by the process later, if it is still there.
func (s *speaker) do(d time.Duration, do func()) {
	life := s.life
	s.node.after(d, func() {
		if s.life == life && s.agent != nil {
			do()
		}
	})
}

// set takes a newer desired state from the worker in the agent.
func (s *speaker) set(d bgp.Desired) {
	s.want, s.keeps = d, false
	s.kick()
}

// kick has the newest desired state applied soon.
func (s *speaker) kick() {
	if s.planned {
		return
	}
	s.planned = true
	life := s.life
	s.do(s.node.world.upTo(speakerDelay), func() { s.agent.alive(func() { s.apply(life) }) })
}

func (s *speaker) apply(life int) {
	if s.life != life || s.agent == nil {
		return
	}
	s.planned = false
	if s.fenced || s.frozen {
		return
	}
	until := vrrp.Instant(s.want.Until)
	routes := s.want.Routes
	if until != 0 && s.node.local() >= until {
		routes = nil // the right to announce them has ended
	} else if until != 0 && len(routes) > 0 {
		s.lapse(until)
	}
	if s.keeps {
		s.planned = false
		return
	}
	refresh := s.applied == s.want.Generation && len(routes) == len(s.table)
	s.table, s.applied = routes, s.want.Generation
	if !refresh {
		s.report()
		s.update()
	}
}

// lapse has the worker look again when the right to announce ends.
func (s *speaker) lapse(until vrrp.Instant) {
	if s.lapses >= until {
		return
	}
	s.lapses = until
	life := s.life
	s.node.at(until, func() {
		if a := s.agent; a != nil && s.life == life && vrrp.Instant(s.want.Until) <= until {
			a.alive(func() { s.apply(life) })
		}
	})
}

// hang stops the process; the kernel keeps its session open, and nothing is sent.
func (s *speaker) hang(frozen bool) {
	if s == nil || s.frozen == frozen {
		return
	}
	s.frozen = frozen
	s.hush()
	if !frozen && s.agent != nil {
		s.kick()
		if s.near && !s.far {
			s.do(s.node.world.upTo(lanDelay), s.closeNear)
		}
	}
}

// unattended withdraws everything when the agent has been silent for bgp_lease.
func (s *speaker) unattended(a *agent) {
	if s == nil {
		return
	}
	at := a.frozenAt
	s.do(a.core.Config().BGPLease, func() {
		if a.frozen && a.frozenAt == at && !s.frozen && !s.fenced {
			s.node.world.log(s.node, "speaker: withdraws everything, its agent is silent")
			s.table, s.applied, s.fenced = nil, 0, true
			s.update()
		}
	})
}

// touched is what the process does when its agent is back.
func (s *speaker) touched() {
	if s != nil && s.fenced {
		s.fenced = false
		s.report()
		s.kick()
	}
}

// die kills the process. It is started again.
func (s *speaker) die() {
	if s == nil || s.agent == nil {
		return
	}
	s.node.world.note(s.node, "speaker: dies")
	a := s.agent
	s.gone()
	s.died++
	s.agent = a
	s.report()
	a.alive(func() { s.launch(time.Second) })
}

// end ends the process with its agent. The kernel closes its session.
func (s *speaker) end() {
	if s != nil && s.agent != nil {
		s.gone()
	}
}

func (s *speaker) report() {
	n := bgp.NeighborStatus{Address: netip.MustParseAddr("203.0.113.1"), RemoteAS: 64500, State: bgp.Connect}
	running := s.agent != nil && s.life > 0
	if s.near || s.node.world.mutation == DeafToSessions && s.session > 0 {
		n.State = bgp.Established
	}
	a := s.agent
	if a == nil {
		return
	}
	rep := bgp.Report{
		Speaker: speakerName, Connected: running, Neighbors: []bgp.NeighborStatus{n}, Announced: slices.Clone(s.table),
		Generation: s.applied, Restarts: s.died,
	}
	a.result(failover.SpeakerReported{Report: rep})
}
