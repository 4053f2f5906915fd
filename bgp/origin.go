package bgp

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// VRP is a Validated ROA Payload (RFC 6811 section 2): AS may originate Prefix and what is inside it, up to MaxLength.
// AS 0 authorizes nobody (RFC 7607, RFC 6483 section 4). The prefix is masked.
type VRP struct {
	Prefix    netip.Prefix `json:"prefix"`
	MaxLength uint8        `json:"max_length"`
	AS        uint32       `json:"as"`
}

// String returns "203.0.113.0/24-24 AS64500".
func (v VRP) String() string { return fmt.Sprintf("%s-%d AS%d", v.Prefix, v.MaxLength, v.AS) }

// Covers reports whether the VRP says anything about p: its prefix is p or a less specific one.
func (v VRP) Covers(p netip.Prefix) bool {
	return v.Prefix.Bits() <= p.Bits() && v.Prefix.Contains(p.Addr())
}

// Matches reports whether the VRP authorizes as to originate p, which it covers.
func (v VRP) Matches(p netip.Prefix, as uint32) bool {
	return v.Covers(p) && p.Bits() <= int(v.MaxLength) && v.AS == as && v.AS != 0
}

// Validity is the outcome of origin validation.
type Validity uint8

// The three states of RFC 6811 section 2, and Unchecked for when there is no data to look into.
const (
	Unchecked Validity = iota
	NotFound           // no VRP covers the prefix
	Valid              // one that covers it matches
	Invalid            // some cover it, and none matches
)

var validityNames = [...]string{"unknown", "not-found", "valid", "invalid"}

// String returns "unknown", "not-found", "valid" or "invalid".
func (v Validity) String() string { return validityNames[v] }

// ValidateOrigin applies RFC 6811 section 2 to a route for p that as originates. why says in words which VRPs decide.
func ValidateOrigin(vrps []VRP, p netip.Prefix, as uint32) (v Validity, why string) {
	var covering []VRP
	for _, vrp := range vrps {
		if vrp.Matches(p, as) {
			return Valid, vrp.String()
		}
		if vrp.Covers(p) {
			covering = append(covering, vrp)
		}
	}
	if len(covering) == 0 {
		return NotFound, "no ROA covers the prefix"
	}
	return Invalid, refusal(covering, p, as)
}

// refusal says why none of the VRPs that cover p matches it.
func refusal(covering []VRP, p netip.Prefix, as uint32) string {
	slices.SortFunc(covering, CompareVRPs)
	const most = 4
	var said []string
	own := false
	for _, v := range covering {
		own = own || v.AS == as && v.AS != 0
		if len(said) < most {
			said = append(said, v.String())
		}
	}
	list := strings.Join(said, ", ")
	if n := len(covering) - len(said); n > 0 {
		list += fmt.Sprintf(" and %d more", n)
	}
	if own {
		return fmt.Sprintf("AS%d may not announce a /%d: %s", as, p.Bits(), list)
	}
	return fmt.Sprintf("AS%d is not authorized: %s", as, list)
}

// CompareVRPs orders by prefix, then maximum length, then AS.
func CompareVRPs(a, b VRP) int {
	if c := a.Prefix.Compare(b.Prefix); c != 0 {
		return c
	}
	if c := int(a.MaxLength) - int(b.MaxLength); c != 0 {
		return c
	}
	switch {
	case a.AS < b.AS:
		return -1
	case a.AS > b.AS:
		return 1
	}
	return 0
}
