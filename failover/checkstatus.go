package failover

import (
	"time"

	"failoverd/failover/heartbeat"
	"failoverd/vrrp"
)

// CheckStatus is one health_check, whoever uses it.
type CheckStatus struct {
	Name  string `json:"name"`
	Kind  string `json:"kind"`  // tcp and so on
	Probe string `json:"probe"` // "tcp 198.18.0.1:443" and the like, with the kind
	// Known: there was a result. OK, Unknown (this node cannot look) and Reason are that result.
	Known   bool   `json:"known"`
	OK      bool   `json:"ok"`
	Unknown bool   `json:"unknown,omitempty"`
	Reason  string `json:"reason,omitempty"`
	// Since is when the results began that led to the verdict; nil: there was none yet.
	Since *time.Time `json:"since,omitempty"`
	// Warning is what is wrong and no failure: a certificate that is about to end.
	Warning string `json:"warning,omitempty"`
	// The following is added by whoever knows the probes. Probes is how many of the last ones are counted: of these, RTTMS
	// is the average round trip in milliseconds of those that succeeded, LossPercent how many did not. LastRTTMS is that of
	// the last success.
	Probes      int     `json:"probes,omitempty"`
	LastRTTMS   float64 `json:"last_rtt_ms,omitempty"`
	RTTMS       float64 `json:"rtt_ms,omitempty"`
	LossPercent float64 `json:"loss_percent,omitempty"`
	// Damped: the verdict changed too often, so that the check stays down until it is steady.
	Damped bool `json:"damped,omitempty"`
}

// CheckGroupStatus is one check_group, whoever uses it.
type CheckGroupStatus struct {
	Name string `json:"name"`
	Rule string `json:"rule"` // all, any or at_least N
	Need int    `json:"need"` // how many members must be up
	// Verdict is up, down or unknown. Known: there was a result; a group has none while it waits for the first one of a
	// member that decides it.
	Known   bool   `json:"known"`
	Verdict string `json:"verdict"`
	// Reason says how many members are up, and what is wrong with the others.
	Reason string `json:"reason,omitempty"`
	// Since is when the results began that led to the verdict; nil: there was none yet.
	Since   *time.Time          `json:"since,omitempty"`
	Members []GroupMemberStatus `json:"members"`
}

// GroupMemberStatus is a member of a check group.
type GroupMemberStatus struct {
	Kind    string `json:"kind"` // track_check, track_script, track_process or track_file
	Name    string `json:"name"`
	Verdict string `json:"verdict"` // up, down or unknown
	Reason  string `json:"reason,omitempty"`
}

// describeChecks describes all health checks, in the configuration's order.
func (c *Core) describeChecks(wall func(vrrp.Instant) time.Time) []CheckStatus {
	var list []CheckStatus
	for i := range c.cfg.Checks {
		cfg := &c.cfg.Checks[i]
		st := CheckStatus{Name: cfg.Name, Kind: cfg.Probe.Kind.String(), Probe: cfg.Probe.String()}
		if t := c.trackers[Tracker{TrackCheck, cfg.Name}]; t != nil && t.known {
			since := wall(t.sinceAt)
			st.Known, st.OK, st.Unknown, st.Reason, st.Since = true, t.ok, t.unknown, t.latest, &since
			st.Warning = t.warning
		}
		list = append(list, st)
	}
	return list
}

// describeCheckGroups describes all check groups, in the configuration's order.
func (c *Core) describeCheckGroups(wall func(vrrp.Instant) time.Time) []CheckGroupStatus {
	var list []CheckGroupStatus
	for i := range c.cfg.CheckGroups {
		g := &c.cfg.CheckGroups[i]
		name := Tracker{TrackCheck, g.Name}
		t := c.trackers[name]
		if t == nil {
			continue
		}
		o := t.opinion(name)
		st := CheckGroupStatus{Name: g.Name, Rule: g.RuleText(), Need: g.Need(), Known: t.known, Verdict: o.verdict.String(), Reason: o.reason}
		if t.known {
			since := wall(t.sinceAt)
			st.Since = &since
		}
		for _, m := range g.Members {
			o := c.trackers[m].opinion(m)
			if o.verdict == heartbeat.Up {
				o.reason = ""
			}
			st.Members = append(st.Members, GroupMemberStatus{m.Kind.String(), m.Name, o.verdict.String(), o.reason})
		}
		list = append(list, st)
	}
	return list
}

// warned tells of what a check warns of, when that is news.
func (t *tracked) warned(now vrrp.Instant, rep *TrackerReport, fx *Effects) {
	if t.warning == rep.Warning {
		return
	}
	if t.warning = rep.Warning; t.warning != "" {
		fx.event(Event{Kind: EventTracker, At: now, Object: rep.Tracker.String(), To: "warning", Reason: t.warning})
	}
}
