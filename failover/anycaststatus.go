package failover

import (
	"time"

	"failoverd/vrrp"
)

// AnycastStatus is one anycast_service.
type AnycastStatus struct {
	Name string `json:"name"`
	// State is ANNOUNCED, DRAINING, WITHDRAWN, FAULT or INIT.
	State string    `json:"state"`
	Since time.Time `json:"since"`
	// Why says what led to State; Waiting what keeps the service from going on, if anything does.
	Why     string `json:"why"`
	Waiting string `json:"waiting,omitempty"`

	Interface   string  `json:"interface"`
	DrainTimeMS float64 `json:"drain_time_ms"`

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

// describeService describes an anycast service by what is true of the router inside.
func (c *Core) describeService(now vrrp.Instant, r *router, wall func(vrrp.Instant) time.Time) AnycastStatus {
	st := c.describe(now, r, wall)
	return AnycastStatus{
		Name: st.Name, State: st.State, Since: st.Since, Why: st.Why, Waiting: st.Waiting, Interface: st.Interface,
		DrainTimeMS: millis(r.cfg.Anycast.DrainTime), Tracks: st.Tracks, Addresses: st.Addresses, Objects: st.Objects, Routes: st.Routes,
		TimesAnnounced: r.counters.BecameMaster, TimesWithdrawn: r.counters.ReleasedMaster, Drained: st.Drained, Start: st.Takeover,
	}
}
