package failover

import (
	"time"

	"failoverd/vrrp"
)

// CheckStatus is one health_check, whoever uses it.
type CheckStatus struct {
	Name  string `json:"name"`
	Probe string `json:"probe"` // "tcp 198.18.0.1:443" and the like
	// Known: there was a result. OK, Unknown (this node cannot look) and Reason are that result.
	Known   bool   `json:"known"`
	OK      bool   `json:"ok"`
	Unknown bool   `json:"unknown,omitempty"`
	Reason  string `json:"reason,omitempty"`
	// Since is when the results began that led to the verdict; nil: there was none yet.
	Since *time.Time `json:"since,omitempty"`
}

// describeChecks describes all health checks, in the configuration's order.
func (c *Core) describeChecks(wall func(vrrp.Instant) time.Time) []CheckStatus {
	var list []CheckStatus
	for i := range c.cfg.Checks {
		cfg := &c.cfg.Checks[i]
		st := CheckStatus{Name: cfg.Name, Probe: cfg.Probe.String()}
		if t := c.trackers[Tracker{TrackCheck, cfg.Name}]; t != nil && t.known {
			since := wall(t.sinceAt)
			st.Known, st.OK, st.Unknown, st.Reason, st.Since = true, t.ok, t.unknown, t.latest, &since
		}
		list = append(list, st)
	}
	return list
}
