package daemon

import (
	"log/slog"
	"maps"
	"slices"
	"time"

	"failoverd/failover"
	"failoverd/vrrp"
)

// drainsName is the file that remembers drains over restarts.
const drainsName = "drains.json"

// savedDrains is what that file holds.
type savedDrains struct {
	Version int          `json:"version"` // 1
	Drains  []savedDrain `json:"drains"`
}

type savedDrain struct {
	Router string     `json:"router"`
	By     string     `json:"by,omitempty"`
	Reason string     `json:"reason,omitempty"`
	Since  time.Time  `json:"since"`
	Until  *time.Time `json:"until,omitempty"` // missing: until somebody says otherwise
}

// drainKeeper is a keeper of the drains in force.
type drainKeeper struct{ *keeper }

func newDrainKeeper(dir string, log *slog.Logger) drainKeeper {
	return drainKeeper{newKeeper(dir, drainsName, "drains", log)}
}

// load returns the drains that were in force when the last agent ended, but for those whose time is over.
func (k drainKeeper) load(now vrrp.Instant, wall time.Time) (commands []failover.DrainCommand) {
	var saved savedDrains
	if !k.read(&saved, &saved.Version) {
		return nil
	}
	for _, s := range saved.Drains {
		d := failover.Drain{By: s.By, Reason: s.Reason, Since: s.Since, Ends: vrrp.Never}
		if s.Until != nil {
			d.Until, d.Ends = *s.Until, now.Add(s.Until.Sub(wall))
		}
		if s.Router != "" && d.Ends > now {
			commands = append(commands, failover.DrainCommand{Router: s.Router, Drain: d})
		}
	}
	return commands
}

// keep has drains written.
func (k drainKeeper) keep(drains map[string]failover.Drain) {
	saved := savedDrains{Version: 1, Drains: []savedDrain{}}
	for _, name := range slices.Sorted(maps.Keys(drains)) {
		d := drains[name]
		s := savedDrain{Router: name, By: d.By, Reason: d.Reason, Since: d.Since}
		if !d.Until.IsZero() {
			s.Until = &d.Until
		}
		saved.Drains = append(saved.Drains, s)
	}
	k.put(&saved)
}
