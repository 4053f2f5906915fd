// Package vrrp is the virtual router of RFC 9568 section 6 (and of RFC 3768 for version 2): its parameters, its state
// machine and its deadlines. It is pure. Nothing here opens a socket, reads a clock or starts a goroutine: the caller
// says what happened and when, and gets back what to do, as a value.
//
// Read Router first. Packets come from vrrp/wire; sockets live in vrrp/link; which routers exist, and what else must
// be true before an address or a route may follow the role, is decided in package failover.
package vrrp

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"failoverd/vrrp/wire"
)

// Instant is a point on a monotonic clock, in nanoseconds since an arbitrary start. The core never sees wall time.
type Instant int64

// Never is later than every instant that can occur.
const Never Instant = math.MaxInt64

// Add returns the instant d after i. Never stays Never.
func (i Instant) Add(d time.Duration) Instant {
	if i == Never {
		return Never
	}
	return i + Instant(d)
}

// Sub returns the time from j to i.
func (i Instant) Sub(j Instant) time.Duration { return time.Duration(i - j) }

// Key identifies a virtual router on a node: RFC 9568 section 1.3 makes VRIDs independent per interface and family.
// Its text form INTERFACE/FAMILY/VRID is used in logs, status, metrics and tests alike.
type Key struct {
	Interface string
	Family    wire.Family
	VRID      uint8
}

// String returns for example "eth0/4/51".
func (k Key) String() string {
	return k.Interface + "/" + strconv.Itoa(int(k.Family)) + "/" + strconv.Itoa(int(k.VRID))
}

// MarshalText implements encoding.TextMarshaler with the form of String.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler for the form of String.
func (k *Key) UnmarshalText(b []byte) error {
	parts := strings.Split(string(b), "/")
	if len(parts) != 3 || parts[0] == "" {
		return fmt.Errorf("virtual router key %q: want INTERFACE/FAMILY/VRID", b)
	}
	f, err := strconv.ParseUint(parts[1], 10, 8)
	if err != nil || (f != 4 && f != 6) {
		return fmt.Errorf("virtual router key %q: family must be 4 or 6", b)
	}
	id, err := strconv.ParseUint(parts[2], 10, 8)
	if err != nil || id == 0 {
		return fmt.Errorf("virtual router key %q: VRID must be 1 to 255", b)
	}
	*k = Key{Interface: parts[0], Family: wire.Family(f), VRID: uint8(id)}
	return nil
}

// State is a state of RFC 9568 section 6.3.
type State uint8

// The three states.
const (
	Initialize State = iota
	Backup
	Active
)

// String returns the RFC's word.
func (s State) String() string {
	switch s {
	case Initialize:
		return "Initialize"
	case Backup:
		return "Backup"
	case Active:
		return "Active"
	}
	panic(fmt.Sprintf("vrrp: state %d", uint8(s)))
}

// Peer is a router that advertisements are exchanged with by unicast.
type Peer struct {
	Address netip.Addr
	MinTTL  uint8 // smallest TTL accepted from it; 0: any
	MaxTTL  uint8 // largest TTL accepted from it; 0: any
}

// accepts reports whether a packet of that TTL may come from the peer.
func (p Peer) accepts(ttl uint8) bool {
	return ttl >= p.MinTTL && (p.MaxTTL == 0 || ttl <= p.MaxTTL)
}

// Config holds the parameters of a virtual router (RFC 9568 section 6.1). New validates it; it does not change
// afterwards, except through the setters of Router.
type Config struct {
	Key     Key
	Version wire.Version
	// Priority is 1 to 255; 255 is the address owner.
	Priority uint8
	// Interval is Advertisement_Interval: 1 to 4095 cs, whole seconds up to 255 s in version 2.
	Interval wire.Centiseconds
	// Preempt is Preempt_Mode. The owner preempts whatever it says.
	Preempt bool
	// PreemptDelay is how long a live Active router of lower priority is left alone, counted from its first
	// advertisement heard. Zero: preempt as the RFC does.
	PreemptDelay time.Duration
	// DownTimerAdverts is the multiplier in Active_Down_Interval, 1 to 100; 0 means the RFC's 3.
	DownTimerAdverts uint8
	// Addresses are the virtual addresses in the order in which they are advertised; over IPv6 the first is link-local.
	// There may be none (no_virtual_ipaddress): then the list that is sent is empty, against RFC 9568 section 5.2.5 and as
	// keepalived does, and such lists are accepted.
	Addresses []netip.Addr
	// Unicast selects unicast: only Peers are sent to and listened to. Without it, advertisements go to the group. Then
	// no virtual address needs to be link-local: peers may be on other links.
	Unicast bool
	Peers   []Peer
	// AnySource accepts unicast advertisements from routers that are not peers, as keepalived does by default.
	AnySource bool
	// Watchers get copies by unicast although the router itself uses multicast, and may answer (design/config.md).
	Watchers []Peer
	// AuthType and AuthData are the authentication of version 2.
	AuthType wire.AuthType
	AuthData [8]byte
	// HMAC authenticates by shared keys; nil: not. It excludes AuthSimple.
	HMAC *HMAC
	// Checksum is the form sent in version 3 over IPv4. Every legal form is accepted.
	Checksum wire.ChecksumForm
	// SilentOnLowerPriority keeps an Active router from answering a lower-priority advertisement at once.
	SilentOnLowerPriority bool
	// OwnerIgnoresAdverts makes the address owner drop all advertisements unread while it is Active, so that no other
	// owner can make it yield.
	OwnerIgnoresAdverts bool
	// LastWord makes an Active router send one more advertisement before it yields to a higher priority.
	LastWord bool
}

// ReadvertiseGap is the least time between an Active router's advertisements in answer to adverts of others, so that
// a flood of those costs a bounded effort (V3-FSM-17).
const ReadvertiseGap = 10 * time.Millisecond
