package failover

import (
	"net/netip"
	"time"

	"failoverd/bgp"
)

// RouteStatus is one line of bgp_announce.
type RouteStatus struct {
	Prefix    netip.Prefix `json:"prefix"`
	Speaker   string       `json:"speaker"`
	When      string       `json:"when"`
	Route     string       `json:"route"` // with its attributes, in configuration words
	Wanted    bool         `json:"wanted"`
	Announced bool         `json:"announced"` // in the speaker's table
	// Sessions is the number of established sessions that it goes to.
	Sessions int `json:"sessions"`
	// SessionsUnknown: the speaker has said nothing of some session yet, or does not answer any more: it may be established.
	SessionsUnknown bool   `json:"sessions_unknown,omitempty"`
	Error           string `json:"error,omitempty"`
	// Origin is the RPKI validity of the prefix; empty: it is not validated. Warning says what is wrong with it.
	Origin  string `json:"origin,omitempty"`
	Warning string `json:"warning,omitempty"`
}

// SpeakerStatus is one bgp_speaker.
type SpeakerStatus struct {
	Name      string `json:"name"`
	LocalAS   uint32 `json:"local_as"`
	Backend   string `json:"backend"` // embedded, or gobgpd and where
	Connected bool   `json:"connected"`
	Error     string `json:"error,omitempty"`
	Restarts  uint64 `json:"restarts"`
	// Version is that of the program that the embedded speaker's process runs: after an upgrade, the agent is another one.
	// Empty: not known, as with gobgpd.
	Version string `json:"version,omitempty"`
	// ResidentBytes is what the embedded speaker's process has in memory, and MemoryLimit from where on the neighbor that
	// sends most loses its session; beyond twice as much the process ends. 0: not known, as with gobgpd.
	ResidentBytes uint64               `json:"resident_bytes,omitempty"`
	MemoryLimit   uint64               `json:"memory_limit_bytes,omitempty"`
	Neighbors     []bgp.NeighborStatus `json:"neighbors"`
	Announced     []string             `json:"announced"`
	// RPKI is what the caches of rpki_cache say; nil: there are none.
	RPKI *RPKIStatus `json:"rpki,omitempty"`
	// Held are the changes that max_changes holds back.
	Held []HeldStatus `json:"held,omitempty"`
}

// RPKIStatus is the origin validation of a speaker.
type RPKIStatus struct {
	// Invalid is rpki_invalid: refuse or warn.
	Invalid string `json:"rpki_invalid"`
	// Using is the cache whose data counts; empty: there is no data.
	Using   string            `json:"using,omitempty"`
	Caches  []bgp.CacheStatus `json:"caches"`
	Origins []OriginStatus    `json:"origins"`
}

// OriginStatus is the validity of one prefix that is announced, or would be after a takeover.
type OriginStatus struct {
	Prefix   netip.Prefix `json:"prefix"`
	OriginAS uint32       `json:"origin_as"`
	// Validity is valid, not-found, invalid, or unknown when there is no data.
	Validity string `json:"validity"`
	Why      string `json:"why"`
	Wanted   bool   `json:"wanted"` // it is to be announced now
	// Effect says what follows from it.
	Effect string `json:"effect"`
}

// HeldStatus is a change that waits because of max_changes, or of avoid_flap_damping.
type HeldStatus struct {
	Prefix netip.Prefix `json:"prefix"`
	Until  time.Time    `json:"until"`
	// Withdrawn: the prefix is withdrawn meanwhile, because its attributes of before are those of an Active router.
	Withdrawn bool `json:"withdrawn,omitempty"`
	// Flaps: it is avoid_flap_damping that it waits for.
	Flaps bool `json:"flaps,omitempty"`
}
