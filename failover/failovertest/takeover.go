package failovertest

import (
	"fmt"

	"failoverd/failover"
)

// evidence writes what the events of a batch are based on: who was heard before a transition, the stages of a takeover.
func (s *script) evidence() {
	for i := range s.fx.Events {
		e := &s.fx.Events[i]
		if v := e.Evidence; v != nil {
			s.say("  %s", describeEvidence(v))
		}
		for _, p := range e.Phases {
			s.say("  %-22s at %s, +%v ms", p.Name, FormatInstant(p.At), p.MS)
		}
		if e.Kind == failover.EventTakeover {
			s.say("  took %v", e.Took)
		}
	}
}

func describeEvidence(v *failover.Evidence) string {
	text := "nobody was heard"
	if v.Peer.IsValid() {
		text = fmt.Sprintf("heard %s priority %d, %v ago", v.Peer, v.Priority, v.Ago)
	}
	if v.ActiveDown > 0 {
		text += fmt.Sprintf(", Active_Down_Interval %v", v.ActiveDown)
	}
	return text
}
