// Package bgp says what failoverd wants from BGP, in values: speakers, neighbors, routes and their attributes, the
// allow list, the difference between what is announced and what should be, and Speaker, the contract that a backend
// fulfils. It is pure; bgp/gobgp talks to a gobgp server, bgp/speaker hosts one.
//
// Words are those of RFC 4271 and RFC 4760. Read Route first, then Speaker.
package bgp

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

// Community is a community of RFC 1997, AS in the upper half.
type Community uint32

// Well-known communities by their configuration names (RFC 1997, RFC 8326, RFC 7999, RFC 3765).
var wellKnown = map[string]Community{
	"graceful-shutdown":   0xFFFF0000,
	"blackhole":           0xFFFF029A,
	"no-export":           0xFFFFFF01,
	"no-advertise":        0xFFFFFF02,
	"no-export-subconfed": 0xFFFFFF03,
	"no-peer":             0xFFFFFF04,
}

// ParseCommunity reads "AS:VALUE" (both 0 to 65535) or a well-known name such as "graceful-shutdown".
func ParseCommunity(s string) (Community, error) {
	if c, ok := wellKnown[s]; ok {
		return c, nil
	}
	as, val, ok := strings.Cut(s, ":")
	a, err1 := strconv.ParseUint(as, 10, 16)
	v, err2 := strconv.ParseUint(val, 10, 16)
	if !ok || err1 != nil || err2 != nil {
		return 0, fmt.Errorf("community %q: want AS:VALUE with two numbers up to 65535, or a well-known name such as graceful-shutdown", s)
	}
	return Community(a<<16 | v), nil
}

// String returns "AS:VALUE".
func (c Community) String() string { return fmt.Sprintf("%d:%d", uint32(c)>>16, uint32(c)&0xffff) }

// LargeCommunity is a community of RFC 8092.
type LargeCommunity struct{ Global, Local1, Local2 uint32 }

// ParseLargeCommunity reads "GLOBAL:LOCAL1:LOCAL2", three numbers of 32 bits.
func ParseLargeCommunity(s string) (LargeCommunity, error) {
	var n [3]uint32
	parts := strings.Split(s, ":")
	if len(parts) != 3 {
		return LargeCommunity{}, fmt.Errorf("large community %q: want GLOBAL:LOCAL1:LOCAL2", s)
	}
	for i, p := range parts {
		v, err := strconv.ParseUint(p, 10, 32)
		if err != nil {
			return LargeCommunity{}, fmt.Errorf("large community %q: %q is not a number up to 4294967295", s, p)
		}
		n[i] = uint32(v)
	}
	return LargeCommunity{n[0], n[1], n[2]}, nil
}

// String returns "GLOBAL:LOCAL1:LOCAL2".
func (c LargeCommunity) String() string { return fmt.Sprintf("%d:%d:%d", c.Global, c.Local1, c.Local2) }

// Attributes are the path attributes of a route that we originate. The zero value is a plain announcement.
type Attributes struct {
	// NextHop is sent as it is; the zero value asks for the session's own address (next-hop-self).
	NextHop netip.Addr
	// MED is MULTI_EXIT_DISC; nil: not sent.
	MED *uint32
	// LocalPref is LOCAL_PREF, sent to iBGP neighbors only; nil: the speaker's default of 100.
	LocalPref *uint32
	// Prepend is how many times the own AS is put in front of AS_PATH besides the once that eBGP does, 0 to 16.
	Prepend uint8
	// Communities and LargeCommunities are sorted and free of duplicates once Normalize ran.
	Communities      []Community
	LargeCommunities []LargeCommunity
}

// Normalize sorts the community lists and removes duplicates, so that equal sets are equal values and the order on
// the wire is canonical (BGP-COM-01).
func (a *Attributes) Normalize() {
	slices.Sort(a.Communities)
	a.Communities = slices.Compact(a.Communities)
	sort.Slice(a.LargeCommunities, func(i, j int) bool {
		x, y := &a.LargeCommunities[i], &a.LargeCommunities[j]
		return cmp.Or(cmp.Compare(x.Global, y.Global), cmp.Compare(x.Local1, y.Local1), cmp.Compare(x.Local2, y.Local2)) < 0
	})
	a.LargeCommunities = slices.Compact(a.LargeCommunities)
}

// Equal compares two normalized attribute sets.
func (a Attributes) Equal(b Attributes) bool {
	return a.NextHop == b.NextHop && equalPtr(a.MED, b.MED) && equalPtr(a.LocalPref, b.LocalPref) &&
		a.Prepend == b.Prepend && slices.Equal(a.Communities, b.Communities) &&
		slices.Equal(a.LargeCommunities, b.LargeCommunities)
}

func equalPtr(a, b *uint32) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

// Route is one prefix with the attributes to announce it with. The prefix is masked.
type Route struct {
	Prefix netip.Prefix
	Attributes
}

// String returns the prefix and the attributes that are set, in the words of the configuration.
func (r Route) String() string {
	b := r.Prefix.AppendTo(make([]byte, 0, 64))
	if r.NextHop.IsValid() {
		b = r.NextHop.AppendTo(append(b, " next_hop "...))
	}
	if r.MED != nil {
		b = strconv.AppendUint(append(b, " med "...), uint64(*r.MED), 10)
	}
	if r.LocalPref != nil {
		b = strconv.AppendUint(append(b, " local_pref "...), uint64(*r.LocalPref), 10)
	}
	if r.Prepend != 0 {
		b = strconv.AppendUint(append(b, " prepend "...), uint64(r.Prepend), 10)
	}
	for _, c := range r.Communities {
		b = append(append(b, " community "...), c.String()...)
	}
	for _, c := range r.LargeCommunities {
		b = append(append(b, " large_community "...), c.String()...)
	}
	return string(b)
}

// Diff returns what to announce and what to withdraw to get from have to want. A change of attributes is an
// announcement alone: an implicit replace, never a withdrawal (RFC 4271 section 9). Both results are sorted by prefix.
func Diff(have, want []Route) (announce []Route, withdraw []netip.Prefix) {
	if Same(have, want) {
		return nil, nil
	}
	have, want = ascending(have), ascending(want)
	for _, r := range want {
		for len(have) > 0 && have[0].Prefix.Compare(r.Prefix) < 0 {
			withdraw, have = append(withdraw, have[0].Prefix), have[1:]
		}
		if len(have) == 0 || have[0].Prefix != r.Prefix {
			announce = append(announce, r)
			continue
		}
		if !have[0].Attributes.Equal(r.Attributes) {
			announce = append(announce, r)
		}
		have = have[1:]
	}
	for _, r := range have {
		withdraw = append(withdraw, r.Prefix)
	}
	return announce, withdraw
}

// Same reports whether a and b are one and the same slice, or both empty. That is cheap to see, and nobody changes a set of
// routes that he has given away.
func Same(a, b []Route) bool { return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0]) }

// ascending returns routes sorted by prefix, each prefix once; of two with one prefix, the later one counts. Most sets are so
// already.
func ascending(routes []Route) []Route {
	for i := 1; i < len(routes); i++ {
		if routes[i-1].Prefix.Compare(routes[i].Prefix) >= 0 {
			routes = slices.Clone(routes)
			slices.Reverse(routes)
			slices.SortStableFunc(routes, func(a, b Route) int { return a.Prefix.Compare(b.Prefix) })
			return slices.CompactFunc(routes, func(a, b Route) bool { return a.Prefix == b.Prefix })
		}
	}
	return routes
}

// AllowList is the list of prefixes that may leave; each entry allows exactly itself, no more-specific ones.
type AllowList []netip.Prefix

// Permits reports whether p is on the list.
func (l AllowList) Permits(p netip.Prefix) bool { return slices.Contains(l, p) }

// Neighbor is one BGP neighbor. All sessions are opened by us unless the speaker has a listen port.
type Neighbor struct {
	Address      netip.Addr // with zone when link-local
	RemoteAS     uint32     // never 0
	LocalAddress netip.Addr // zero: the kernel's choice
	Description  string
	Password     string // TCP MD5 (RFC 2385); empty: none
	Port         uint16 // 0: 179
	HoldTime     time.Duration
	Keepalive    time.Duration
	ConnectRetry time.Duration
	// Multihop is the TTL of an eBGP session over several hops; 0: direct. Excludes TTLSecurity.
	Multihop uint8
	// TTLSecurity is the number of hops of GTSM (RFC 5082); 0: off.
	TTLSecurity uint8
	// AllowTwoOctetAS keeps a session with a neighbor that does not speak four-octet AS numbers (RFC 6793). By default
	// it is closed: the conversion that it needs is where gobgp's parser was broken before.
	AllowTwoOctetAS bool
	// GracefulRestart is the restart time announced; 0: the capability is not sent, and a crash ends the route.
	GracefulRestart time.Duration
}

// SpeakerConfig is one bgp_speaker of the configuration.
type SpeakerConfig struct {
	Name       string
	LocalAS    uint32     // never 0
	RouterID   netip.Addr // IPv4; of an operator's gobgpd perhaps none: then it may be any
	ListenPort uint16     // 0: never listen
	Allow      AllowList
	// MaxAnnouncements is the most prefixes that may be announced at once; 0: as many as Allow has.
	MaxAnnouncements int
	// MaxChanges is the most changes of one prefix within ChangeWindow, at least MinChanges; 0: any number.
	MaxChanges int
	// Calm keeps each prefix below what neighbors with flap damping count (Governor.Calm).
	Calm bool
	// RPKICaches are the caches (HOST:PORT, RFC 8210) that our own origins are validated with, the preferred one first; none:
	// they are not.
	RPKICaches []string
	// RPKIWarn: an invalid origin is announced all the same, with a warning (rpki_invalid warn).
	RPKIWarn  bool
	Neighbors []Neighbor
	// External is the gobgpd that speaks; nil: a process of our own does.
	External *External
}

// SessionState is a state of the BGP finite state machine (RFC 4271 section 8.2.2).
type SessionState uint8

// The six states, and Unknown for a speaker that has not reported yet.
const (
	Unknown SessionState = iota
	Idle
	Connect
	ActiveState // RFC 4271 calls it Active; it has nothing to do with VRRP's
	OpenSent
	OpenConfirm
	Established
)

var stateNames = [...]string{"Unknown", "Idle", "Connect", "Active", "OpenSent", "OpenConfirm", "Established"}

// String returns the RFC's word.
func (s SessionState) String() string { return stateNames[s] }

// MarshalText implements encoding.TextMarshaler.
func (s SessionState) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *SessionState) UnmarshalText(b []byte) error {
	for i, n := range stateNames {
		if n == string(b) {
			*s = SessionState(i)
			return nil
		}
	}
	return fmt.Errorf("BGP state %q", b)
}
