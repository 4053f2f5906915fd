package status

import (
	"fmt"
	"strings"
	"time"

	"failoverd/failover"
	"failoverd/vrrp"
)

// EventTime is the form of times in the event log: RFC 3339 with all nine digits, so that lines sort as text.
const EventTime = "2006-01-02T15:04:05.000000000Z07:00"

// Event is one line of the event log, in JSON. Fields that do not apply are left out.
type Event struct {
	Time   string `json:"time"`    // wall clock, UTC, as EventTime
	MonoNS int64  `json:"mono_ns"` // CLOCK_MONOTONIC: comparable within one BootID
	BootID string `json:"boot_id"`
	PID    int    `json:"pid"`
	// Seq counts the events of this process from 1; a gap says that the event log was too slow.
	Seq  uint64 `json:"seq"`
	Kind string `json:"kind"`

	Router   string          `json:"router,omitempty"`
	Key      string          `json:"key,omitempty"`
	From     string          `json:"from,omitempty"`
	To       string          `json:"to,omitempty"`
	Reason   string          `json:"reason,omitempty"`
	Peer     string          `json:"peer,omitempty"`
	Speaker  string          `json:"speaker,omitempty"`
	Address  string          `json:"address,omitempty"`
	Object   string          `json:"object,omitempty"`
	Group    string          `json:"group,omitempty"`
	Evidence *EventEvidence  `json:"evidence,omitempty"`
	Votes    []failover.Vote `json:"votes,omitempty"`
	Phases   []EventPhase    `json:"phases,omitempty"`
	TookMS   float64         `json:"took_ms,omitempty"`
}

// EventEvidence is what led to a transition: whose advertisement was heard last, and for how long it was waited for.
type EventEvidence struct {
	HeardFrom    string   `json:"heard_from,omitempty"`
	Priority     *uint8   `json:"heard_priority,omitempty"`
	HeardMSAgo   *float64 `json:"heard_ms_ago,omitempty"`
	ActiveDownMS float64  `json:"active_down_interval_ms,omitempty"`
}

// EventPhase is one stage of a takeover, MS milliseconds after the one before.
type EventPhase struct {
	Phase  string  `json:"phase"`
	MS     float64 `json:"ms"`
	MonoNS int64   `json:"mono_ns"`
	Time   string  `json:"time"`
}

// eventKinds are the words for the kinds of events.
var eventKinds = map[failover.EventKind]string{
	failover.EventTransition: "transition", failover.EventFault: "fault", failover.EventAddresses: "addresses",
	failover.EventRestored: "address_restored", failover.EventSwept: "address_swept",
	failover.EventAddressFailed: "address_failed", failover.EventForeign: "address_foreign", failover.EventClaimed: "address_claimed", failover.EventRoutes: "route",
	failover.EventRival: "rival", failover.EventSession: "session", failover.EventSpeaker: "speaker",
	failover.EventRefused: "refused", failover.EventHold: "hold", failover.EventInterval: "interval",
	failover.EventLate: "late", failover.EventReconfigured: "reconfigured", failover.EventTracker: "tracker",
	failover.EventPriority: "priority", failover.EventGroup: "sync_group", failover.EventObjectFailed: "object_failed",
	failover.EventObjectRestored: "object_restored", failover.EventDevice: "device", failover.EventWatch: "watched_site",
	failover.EventAuthority: "authority", failover.EventTerm: "term", failover.EventDrain: "drain",
	failover.EventHandover: "handover", failover.EventTakeover: "takeover", failover.EventClockSkew: "clock_skew",
	failover.EventNamesakes: "namesakes", failover.EventLeftover: "route_left",
	failover.EventStart: "start", failover.EventStop: "stop",
	failover.EventOrigin: "rpki_origin", failover.EventCache: "rpki_cache", failover.EventHeld: "max_changes",
}

// EventKind returns the word for a kind of event. It panics at one that it does not know.
func EventKind(k failover.EventKind) string {
	word, ok := eventKinds[k]
	if !ok {
		panic(fmt.Sprintf("status: unknown kind of event %d", k))
	}
	return word
}

// NewEvent describes an event; wall turns an instant into wall-clock time. Who writes it fills in BootID, PID and Seq.
func NewEvent(e *failover.Event, wall func(vrrp.Instant) time.Time) *Event {
	at := func(i vrrp.Instant) string { return wall(i).UTC().Format(EventTime) }
	ev := &Event{
		Time: at(e.At), MonoNS: int64(e.At), Kind: EventKind(e.Kind), Router: e.Router, From: e.From, To: e.To,
		Reason: e.Reason, Speaker: e.Speaker, Object: e.Object, Group: e.Group, Votes: e.Votes, TookMS: milliseconds(e.Took),
	}
	if e.Key != (vrrp.Key{}) {
		ev.Key = e.Key.String()
	}
	if e.Peer.IsValid() {
		ev.Peer = e.Peer.String()
	}
	if e.Address.Prefix.IsValid() {
		ev.Address = e.Address.String()
	}
	for _, p := range e.Phases {
		ev.Phases = append(ev.Phases, EventPhase{Phase: p.Name, MS: p.MS, MonoNS: int64(p.At), Time: at(p.At)})
	}
	if v := e.Evidence; v != nil {
		ev.Evidence = &EventEvidence{ActiveDownMS: milliseconds(v.ActiveDown)}
		if v.Peer.IsValid() {
			ago := milliseconds(v.Ago)
			ev.Evidence.HeardFrom, ev.Evidence.Priority, ev.Evidence.HeardMSAgo = v.Peer.String(), &v.Priority, &ago
		}
	}
	return ev
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// Text returns the event as a line for people, in local time: when, what kind, about what, what changed and why.
func (e *Event) Text() string {
	var b strings.Builder
	when := e.Time
	if t, err := time.Parse(time.RFC3339Nano, e.Time); err == nil {
		when = t.Local().Format("2006-01-02 15:04:05.000")
	}
	fmt.Fprintf(&b, "%s  %-15s", when, e.Kind)
	for _, subject := range []string{e.Router, e.Group, e.Speaker, e.Object, e.Address} {
		if subject != "" {
			b.WriteString(" " + subject)
		}
	}
	if e.Peer != "" && e.Evidence == nil {
		b.WriteString(" peer " + e.Peer)
	}
	switch {
	case e.From != "":
		b.WriteString("  " + e.From + " -> " + e.To)
	case e.To != "":
		b.WriteString("  " + e.To)
	}
	if e.TookMS > 0 {
		fmt.Fprintf(&b, " in %.1f ms", e.TookMS)
	}
	if e.Reason != "" {
		b.WriteString(": " + e.Reason)
	}
	b.WriteString(e.Evidence.text())
	e.writeVotes(&b)
	e.writePhases(&b)
	return clean(b.String())
}

func (v *EventEvidence) text() string {
	if v == nil {
		return ""
	}
	var parts []string
	if v.HeardFrom != "" && v.Priority != nil && v.HeardMSAgo != nil {
		parts = append(parts, fmt.Sprintf("heard %s, priority %d, %.1f ms before", v.HeardFrom, *v.Priority, *v.HeardMSAgo))
	}
	if v.ActiveDownMS > 0 {
		parts = append(parts, fmt.Sprintf("Active_Down_Interval %.1f ms", v.ActiveDownMS))
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, "; ") + ")"
}

func (e *Event) writeVotes(b *strings.Builder) {
	for i, v := range e.Votes {
		sep := ", "
		if i == 0 {
			sep = "; votes: "
		}
		fmt.Fprintf(b, "%s%s %s", sep, v.Name, v.Says)
	}
}

func (e *Event) writePhases(b *strings.Builder) {
	for i, p := range e.Phases {
		if i == 0 {
			fmt.Fprintf(b, "; %s", p.Phase)
			continue
		}
		fmt.Fprintf(b, ", %s +%.1f", p.Phase, p.MS)
	}
}
