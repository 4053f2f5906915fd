package vrrptest

import (
	"fmt"
	"strings"

	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// Log writes down what nodes do: changes of state, adverts, packets refused. Its Observe goes into Network.Observe.
type Log struct {
	// Times also writes down accepted adverts and the deadlines that follow from them.
	Times bool
	// Quiet leaves out the adverts that an Active router sends because its timer says so.
	Quiet bool

	b strings.Builder
}

// String returns what was logged since the last Reset.
func (l *Log) String() string { return l.b.String() }

// Reset empties the log.
func (l *Log) Reset() { l.b.Reset() }

// Observe logs one step. An advert comes before the change of state that it belongs to, as on the wire.
func (l *Log) Observe(s *Step) {
	if s.Kind == Received {
		l.received(s)
	}
	e := s.Effect
	regular := s.Kind == Expired && s.Before.State == vrrp.Active
	if e.Advert && !(regular && l.Quiet) {
		l.line(s, "advert priority %d interval %d", e.Priority, s.Node.advertised(e.Priority))
	}
	if e.Changed() {
		l.line(s, "%v -> %v (%v)", e.From, e.To, e.Cause)
	}
	switch {
	case s.Kind != Expired || s.Before.State != vrrp.Backup || e.Changed():
	case s.After.Deadline == vrrp.Never:
		l.line(s, "is ready")
	default:
		l.line(s, "listens on until %s", seconds(s.Node.global(s.After.Deadline)))
	}
}

func (l *Log) received(s *Step) {
	switch {
	case s.Why != wire.Accepted:
		l.line(s, "dropped a packet from %v: %v", s.Packet.Src, s.Why)
	case s.Before.State == vrrp.Backup && s.Before.Learned != s.After.Learned:
		l.line(s, "learned interval %d from %v", s.After.Learned, s.Packet.Src)
	case l.Times:
		l.line(s, "heard priority %d from %v: waits until %s", s.Packet.Priority, s.Packet.Src, seconds(s.Node.global(s.After.Deadline)))
	}
	if s.Effect.Rival {
		l.line(s, "rival %v with priority %d", s.Packet.Src, s.Packet.Priority)
	}
}

func (l *Log) line(s *Step, format string, args ...any) {
	fmt.Fprintf(&l.b, "%s %s: %s\n", seconds(s.At), s.Node.Name, fmt.Sprintf(format, args...))
}

// seconds formats a time of the network to the microsecond.
func seconds(i vrrp.Instant) string {
	if i == vrrp.Never {
		return "never"
	}
	us := int64(i) / 1000
	return fmt.Sprintf("%d.%06d", us/1e6, us%1e6)
}
