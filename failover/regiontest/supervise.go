package regiontest

import (
	"slices"
	"time"

	"failoverd/failover"
	"failoverd/vrrp"
)

// Times of a supervisor and of the agents that it starts (failover/docs/processes.md).
const (
	willDelay = 20 * time.Millisecond  // a will may be that old
	startTime = 60 * time.Millisecond  // the least that a start takes
	startMore = 160 * time.Millisecond // up to so much more
	memory    = time.Minute            // so long a death counts
)

// supervisor is what starts a node's agent, and outlives it.
type supervisor struct {
	will   []failover.Advert // what is to be sent if the agent dies now
	deaths []vrrp.Instant    // that count, on the machine's clock
}

// writeWill has the supervisor learn soon what is to be sent if the agent dies.
func (a *agent) writeWill() {
	n := a.node
	if !n.world.supervised || n.site == nowhere || a.willPlanned {
		return
	}
	a.willPlanned = true
	n.after(n.world.upTo(willDelay), func() {
		a.willPlanned = false
		a.alive(func() {
			t := a.core.Testament()
			if n.world.mutation == HeirlessWill {
				t.Adverts = nil
			}
			n.supervisor.will = slices.Clone(t.Adverts)
		})
	})
}

// kill ends the agents of nodes without a word. Their supervisors see to it: they release the roles, since who serves by the
// authority of a site cannot resume, end the speakers, and start the agents again.
func (w *World) kill(n *node, _ Fault) {
	if n.agent == nil || n.off || n.paused {
		return
	}
	w.note(n, "agent is killed")
	n.agent, n.stopping, n.again = nil, false, false
	n.speaker.end()
	s := &n.supervisor
	for i := range s.will {
		w.send(n, &s.will[i])
	}
	s.will = nil
	now := n.local()
	s.deaths = append(slices.DeleteFunc(s.deaths, func(d vrrp.Instant) bool { return now.Sub(d) > memory }), now)
	wait := startTime + w.upTo(startMore)
	if again := len(s.deaths) - 1; again > 0 {
		wait += min(50*time.Millisecond<<min(again, 8), 5*time.Second)
	}
	n.after(wait, n.start)
}
