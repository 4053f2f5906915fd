package wire

import "fmt"

// DropReason says why a received packet had no effect. The zero value, Accepted, means that it was processed.
// Each reason is counted on its own; a dropped packet changes nothing but counters (safety property S10).
type DropReason uint8

// The reasons, in the order in which the receive ladder asks (RFC 9568 section 7.1; design catalogue section 1.3).
const (
	Accepted DropReason = iota
	DropOwnSource
	DropDestination
	DropTTL
	DropSource
	DropNotPeer // unicast source that is not a configured peer
	DropExpectedUnicast
	DropShortHeader
	DropVersion
	DropType
	DropVRID
	DropCountZero
	DropTruncatedAddresses
	DropTruncatedAuth
	DropTrailing
	DropChecksum
	DropIntervalZero
	DropAuthType
	DropAuthData
	DropHMACMissing    // auth_hmac: no trailer
	DropHMACMalformed  // auth_hmac: a trailer of unknown type, or with reserved octets that are not zero
	DropHMACUnknownKey // auth_hmac: a key that is not configured
	DropHMACBad        // auth_hmac: the HMAC is not that of the packet
	DropHMACStale      // auth_hmac: sent too far from now
	DropHMACReplay     // auth_hmac: the sender has sent it, or a later one, before
	DropInterval       // version 2: the interval differs from the configured one
	DropFirstNotLinkLocal
	DropAddressList // version 2: the list differs and the sender is not the owner
	DropNotRunning  // the virtual router is in Initialize
	DropOwner       // reserved for routers told to ignore adverts while they own the addresses
	DropStaleTerm   // of a site whose term is over (failover, guarded mode)
	DropQueueFull   // read from the socket, but the agent was too busy to look at it

	numDropReasons
)

// NumDropReasons is the number of DropReason values, Accepted included: the size of a counter array.
const NumDropReasons = int(numDropReasons)

var dropNames = [NumDropReasons]string{
	Accepted:               "accepted",
	DropOwnSource:          "own_source",
	DropDestination:        "destination",
	DropTTL:                "ttl",
	DropSource:             "source",
	DropNotPeer:            "unicast_source_not_a_peer",
	DropExpectedUnicast:    "expected_unicast_got_multicast",
	DropShortHeader:        "short_header",
	DropVersion:            "version",
	DropType:               "type",
	DropVRID:               "vrid_unknown",
	DropCountZero:          "count_zero",
	DropTruncatedAddresses: "truncated_address_list",
	DropTruncatedAuth:      "truncated_auth_data",
	DropTrailing:           "trailing_bytes",
	DropChecksum:           "checksum",
	DropIntervalZero:       "interval_zero",
	DropAuthType:           "auth_type_mismatch",
	DropAuthData:           "auth_data",
	DropHMACMissing:        "auth_hmac_missing",
	DropHMACMalformed:      "auth_hmac_malformed",
	DropHMACUnknownKey:     "auth_hmac_unknown_key",
	DropHMACBad:            "auth_hmac_bad_hmac",
	DropHMACStale:          "auth_hmac_stale",
	DropHMACReplay:         "auth_hmac_replay",
	DropInterval:           "interval_mismatch",
	DropFirstNotLinkLocal:  "first_address_not_link_local",
	DropAddressList:        "address_list_mismatch",
	DropNotRunning:         "not_running",
	DropOwner:              "owner",
	DropStaleTerm:          "stale_term",
	DropQueueFull:          "queue_full",
}

// String returns the name used in logs, status and metrics.
func (r DropReason) String() string {
	if int(r) >= NumDropReasons {
		panic(fmt.Sprintf("wire: drop reason %d", uint8(r)))
	}
	return dropNames[r]
}

// DropCounters counts packets by reason. It is a plain value: whoever holds it owns it.
type DropCounters [NumDropReasons]uint64

// Map returns the non-zero counters by name, without Accepted.
func (c *DropCounters) Map() map[string]uint64 {
	m := make(map[string]uint64)
	for r := Accepted + 1; r < numDropReasons; r++ {
		if c[r] != 0 {
			m[r.String()] = c[r]
		}
	}
	return m
}
