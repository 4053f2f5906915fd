package status

import (
	"time"

	"failoverd/failover"
)

// drainWords says who has drained a router, when, until when and why.
func drainWords(d *failover.DrainStatus, now time.Time) string {
	s := "by " + orDash(clean(d.By)) + " " + ago(now, d.Since) + " ago, until undrain"
	if d.Until != nil {
		s += ", or " + d.Until.Local().Format(time.DateTime)
	}
	if d.Reason != "" {
		s += ": " + clean(d.Reason)
	}
	return s
}
