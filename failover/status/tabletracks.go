package status

import (
	"fmt"
	"strconv"
	"strings"

	"failoverd/failover"
	"failoverd/vrrp/wire"
)

// trackNotes says what the things that r tracks do to it: a line for each that keeps it from running or costs it priority,
// and one for all that add to its priority. What WHY says already is left out.
func trackNotes(r *failover.RouterStatus) (notes []note) {
	var raised []string
	for i := range r.Tracks {
		t := &r.Tracks[i]
		effect, st := trackEffect(r, t)
		switch {
		case effect == "" || t.Fault && (mentions(r.Why, t) || mentions(r.Waiting, t)):
		case st == plain:
			raised = append(raised, fmt.Sprintf("%+d %s%s", t.Effect, trackName(t), reverse(t)))
		default:
			notes = append(notes, note{st, effect + ": " + trackName(t) + reverse(t) + ": " + trackVerdict(t)})
		}
	}
	if len(raised) > 0 {
		notes = append(notes, note{plain, "priority raised: " + strings.Join(raised, ", ")})
	}
	return notes
}

// trackEffect says what t does to r now, and how bad that is; empty: nothing.
func trackEffect(r *failover.RouterStatus, t *failover.TrackStatus) (string, style) {
	switch {
	case t.Fault && t.Known:
		return "FAULT", red
	case t.Fault:
		return "INIT", yellow
	case r.PriorityBase == wire.PriorityOwner:
		return "", plain // it never changes
	case t.Effect < 0:
		return fmt.Sprintf("priority %d", t.Effect), yellow
	case t.Effect > 0:
		return fmt.Sprintf("priority +%d", t.Effect), plain
	case t.Known && !t.OK && t.Kind == failover.TrackFile.String():
		return "counts as 0", yellow
	case t.Known && !t.OK && t.Weight > 0 && !t.Reverse:
		return fmt.Sprintf("priority +%d missing", t.Weight), yellow
	}
	return "", plain
}

// trackVerdict says what the last look at t has shown.
func trackVerdict(t *failover.TrackStatus) string {
	file := t.Kind == failover.TrackFile.String()
	switch {
	case !t.Known:
		return "no result yet"
	case t.Unknown:
		return "cannot look: " + t.Reason
	case t.Reason != "" && (file || !t.OK):
		return t.Reason
	case file && t.OK:
		return "is " + strconv.Itoa(t.Value)
	case t.OK && t.Reason != "":
		// It may be of a failure that is not the last of a row yet.
		return "ok (" + t.Reason + ")"
	case t.OK:
		return "ok"
	}
	return "failed"
}

func trackName(t *failover.TrackStatus) string { return t.Kind + " " + t.Name }

// reverse explains an effect that is the opposite of what one expects.
func reverse(t *failover.TrackStatus) string {
	if t.Reverse {
		return " reverse"
	}
	return ""
}

// mentions reports whether a reason of the agent is about t: these begin with the name, and the verdict follows.
func mentions(reason string, t *failover.TrackStatus) bool {
	_, after, found := strings.Cut(reason, trackName(t))
	return found && (strings.HasPrefix(after, ":") || strings.HasPrefix(after, " "))
}

// tracks lists everything that r tracks, right and wrong.
func (p *printer) tracks(r *failover.RouterStatus) {
	for i := range r.Tracks {
		t := &r.Tracks[i]
		what := trackName(t)
		if t.Weight != 0 {
			what += " weight " + strconv.Itoa(t.Weight)
		}
		effect, st := trackEffect(r, t)
		if effect != "" {
			effect += ", "
		}
		p.text(st, label("tracks"), what+reverse(t)+": "+effect+trackVerdict(t))
	}
}
