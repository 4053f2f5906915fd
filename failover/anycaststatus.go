package failover

import (
	"time"

	"failoverd/vrrp"
)

// AnycastStatus is one anycast_service.
type AnycastStatus struct {
	Name string `json:"name"`
	// State is ANNOUNCED, LAST, DRAINING, WITHDRAWN, FAULT or INIT.
	State string    `json:"state"`
	Since time.Time `json:"since"`
	// Why says what led to State; Waiting what keeps the service from going on, if anything does.
	Why     string `json:"why"`
	Waiting string `json:"waiting,omitempty"`

	Interface string `json:"interface"`
	// DrainTimeMS is drain_time, while a drain is under way that of this one.
	DrainTimeMS float64 `json:"drain_time_ms"`
	// WithdrawGraceMS is withdraw_grace; 0 also where no route leads here.
	WithdrawGraceMS float64 `json:"withdraw_grace_ms"`
	// KeepLast is keep_last; nil: it has none.
	KeepLast *KeepLastStatus `json:"keep_last,omitempty"`

	Tracks    []TrackStatus   `json:"tracks,omitempty"`
	Addresses []AddressStatus `json:"addresses"`
	Objects   []ObjectStatus  `json:"kernel_objects,omitempty"`
	Routes    []RouteStatus   `json:"routes"`
	// TimesAnnounced and TimesWithdrawn count since the agent's start.
	TimesAnnounced uint64 `json:"times_announced"`
	TimesWithdrawn uint64 `json:"times_withdrawn"`
	// Drained: a person has taken the service out.
	Drained *DrainStatus `json:"drained,omitempty"`
	// Start holds the stages of the last time that the service was announced.
	Start []Phase `json:"last_start,omitempty"`
}

// KeepLastStatus is what keep_last of an anycast service says.
type KeepLastStatus struct {
	Check    string  `json:"check"`
	SettleMS float64 `json:"settle_ms"`
	// Known: there was a result. Seen: another node announces, as far as the check can tell; Reason is what it says.
	Known  bool   `json:"known"`
	Seen   bool   `json:"seen"`
	Reason string `json:"reason,omitempty"`
}

func (c *Core) describeKeepLast(a *AnycastConfig) *KeepLastStatus {
	if a.KeepLast == "" {
		return nil
	}
	t := c.trackers[Tracker{TrackCheck, a.KeepLast}]
	return &KeepLastStatus{Check: a.KeepLast, SettleMS: millis(a.Settle), Known: t.known, Seen: t.known && t.ok, Reason: t.latest}
}

// drainTime is that of the drain under way, which a reload does not change, or that of the next one.
func (r *router) drainTime() time.Duration {
	if h := r.handover; h != nil {
		return h.until.Sub(h.since)
	}
	return r.cfg.Anycast.DrainTime
}

// describeService describes an anycast service by what is true of the router inside.
func (c *Core) describeService(now vrrp.Instant, r *router, wall func(vrrp.Instant) time.Time) AnycastStatus {
	st := c.describe(now, r, wall)
	return AnycastStatus{
		Name: st.Name, State: st.State, Since: st.Since, Why: st.Why, Waiting: st.Waiting, Interface: st.Interface,
		DrainTimeMS: millis(r.drainTime()), WithdrawGraceMS: st.WithdrawGraceMS, KeepLast: c.describeKeepLast(r.cfg.Anycast), Tracks: st.Tracks, Addresses: st.Addresses, Objects: st.Objects, Routes: st.Routes,
		TimesAnnounced: r.counters.BecameMaster, TimesWithdrawn: r.counters.ReleasedMaster, Drained: st.Drained, Start: st.Takeover,
	}
}
