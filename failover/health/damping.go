package health

import (
	"time"

	"failoverd/failover"
)

// damping keeps a check down that changes all the time: see failover.Damping. A change is one of the verdict from up to
// anything else, or back.
type damping struct {
	failover.Damping
	known, up bool
	since     time.Time   // of the last change
	changes   []time.Time // the last ones, oldest first; no more than matter
	active    bool
}

// take counts a verdict; agreed says that the last result was not against it. It reports whether damping began or ended.
func (d *damping) take(now time.Time, up, agreed bool) (turned bool) {
	was := d.active
	switch {
	case !d.known:
		d.known, d.up, d.since = true, up, now
	case d.up != up:
		d.up, d.since = up, now
		d.changes = append(d.changes, now)
		if surplus := len(d.changes) - max(d.Changes, 1); surplus > 0 {
			d.changes = d.changes[surplus:]
		}
		d.active = d.active || d.Changes > 0 && len(d.changes) == d.Changes && now.Sub(d.changes[0]) <= d.Within
	}
	if d.active && (d.Changes == 0 || up && agreed && now.Sub(d.since) >= d.Steady) {
		d.active, d.changes = false, nil
	}
	return d.active != was
}
