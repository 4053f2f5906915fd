package bgp

import (
	"net/netip"
	"slices"
	"time"
)

// RPKIReport is what the RPKI caches of a speaker say about its own prefixes. A report is complete; a newer one replaces
// an older one.
type RPKIReport struct {
	Speaker string
	Caches  []CacheStatus // in configuration order
	// Using is the address of the cache whose data Scope and VRPs are; empty: no cache has data that still counts.
	Using string
	// Scope are the prefixes that the data was collected for; about any other nothing is known. Sorted.
	Scope []netip.Prefix
	// VRPs are those that cover a prefix of Scope, sorted, without duplicates.
	VRPs []VRP
	// Settled: there is data, or every cache has been tried since the start and none has any: waiting longer is no use.
	Settled bool
	// Left is for how long the data counts from now on if it is not renewed; 0: there is none.
	Left time.Duration
}

// Validate applies RFC 6811 to a route of ours; Unchecked where there is no data.
func (r *RPKIReport) Validate(p netip.Prefix, as uint32) (Validity, string) {
	switch {
	case r.Using == "":
		return Unchecked, "no RPKI cache has data"
	case !slices.Contains(r.Scope, p):
		return Unchecked, "the RPKI cache has not been asked about it yet"
	}
	return ValidateOrigin(r.VRPs, p, as)
}

// Same reports whether two reports lead to the same decisions: everything but the status of the caches and Left.
func (r *RPKIReport) Same(o *RPKIReport) bool {
	return r.Speaker == o.Speaker && r.Using == o.Using && r.Settled == o.Settled &&
		slices.Equal(r.Scope, o.Scope) && slices.Equal(r.VRPs, o.VRPs)
}

// CacheStatus is what is known of one RPKI cache.
type CacheStatus struct {
	Address string `json:"address"` // HOST:PORT as configured
	// State is "connecting", "syncing", "up" or "down".
	State string `json:"state"`
	// Error is why the session is not up, or was lost last; empty once it is up.
	Error   string `json:"error,omitempty"`
	Version uint8  `json:"protocol_version"`
	Session uint16 `json:"session_id"`
	Serial  uint32 `json:"serial"`
	// Records is how many VRPs the cache had in its last full transfer, with the changes since; Kept how many of them are
	// about our prefixes.
	Records int64 `json:"records"`
	Kept    int   `json:"kept"`
	// HasData: the data of the last complete transfer still counts. It was current at Synced and counts until Expires.
	HasData bool      `json:"has_data"`
	Synced  time.Time `json:"synced"`
	Expires time.Time `json:"expires"`
}
