// Package wire is the VRRP packet format: version 2 over IPv4 (RFC 3768, with the simple-text authentication of
// RFC 2338) and version 3 over IPv4 and IPv6 (RFC 9568). It turns octets into values and back, and says why a
// packet is not acceptable. It is pure: no socket, no clock, no log.
//
// Start with Advertisement (what is said), Packet (what was heard, with the facts of the IP layer) and DropReason
// (the rungs of the receive ladder). Rules that depend on a configured virtual router - its version, its peers, its
// password - live one floor up, in vrrp.Router.Receive.
package wire

import (
	"fmt"
	"net/netip"
	"time"
)

// Protocol is the IP protocol number of VRRP (RFC 9568 section 5.1.1.4).
const Protocol = 112

// TTL is the only TTL or hop limit that a multicast advertisement may carry (RFC 9568 sections 5.1.1.3, 5.1.2.3).
const TTL = 255

// Priorities with a meaning of their own (RFC 9568 section 5.2.4).
const (
	PriorityRelease = 0   // the Active router gives up the role
	PriorityDefault = 100 // what a router has when nothing is configured
	PriorityOwner   = 255 // the router owns the addresses
)

// Version is the VRRP protocol version, 2 or 3.
type Version uint8

// The two versions in use.
const (
	V2 Version = 2
	V3 Version = 3
)

// Family is an address family in the numbering of the IP header: 4 or 6.
type Family uint8

// The two address families.
const (
	IPv4 Family = 4
	IPv6 Family = 6
)

// FamilyOf returns the family of a. An IPv4-mapped IPv6 address counts as IPv6.
func FamilyOf(a netip.Addr) Family {
	if a.Is4() {
		return IPv4
	}
	return IPv6
}

// String returns "IPv4" or "IPv6".
func (f Family) String() string { return fmt.Sprintf("IPv%d", uint8(f)) }

// AddrLen returns the length of an address of the family in octets.
func (f Family) AddrLen() int {
	if f == IPv4 {
		return 4
	}
	return 16
}

var (
	group4 = netip.AddrFrom4([4]byte{224, 0, 0, 18})
	group6 = netip.MustParseAddr("ff02::12")
)

// Group returns the multicast destination of the family (RFC 9568 sections 5.1.1.2, 5.1.2.2).
func (f Family) Group() netip.Addr {
	if f == IPv4 {
		return group4
	}
	return group6
}

// Centiseconds is a time in hundredths of a second, the unit of Max Advertise Interval (RFC 9568 section 5.2.7).
// Version 2 counts whole seconds on the wire; here they are multiples of 100.
type Centiseconds uint16

// MaxIntervalV3 is the largest value of the 12-bit field of version 3.
const MaxIntervalV3 Centiseconds = 4095

// Duration returns c as a time.Duration.
func (c Centiseconds) Duration() time.Duration { return time.Duration(c) * 10 * time.Millisecond }

// AuthType is the authentication type of version 2. RFC 3768 section 5.3.6 keeps 1 and 2 as leftovers of RFC 2338.
type AuthType uint8

// Authentication types of version 2.
const (
	AuthNone   AuthType = 0
	AuthSimple AuthType = 1 // eight octets of clear text: protection against accidents, not against people
	AuthAH     AuthType = 2 // recognised, never accepted
)

// ChecksumForm says which octets the checksum of a packet covers.
type ChecksumForm uint8

// Checksum forms. RFC 9568 section 5.2.8 asks for ChecksumMessage over IPv4; keepalived and FRR send and demand
// ChecksumPseudo by default. Over IPv6 and in version 2 there is no choice: Append ignores the form, and Parse reports
// ChecksumPseudo over IPv6 and ChecksumMessage for version 2.
const (
	// ChecksumPseudo covers a pseudo-header with the real destination (RFC 5798 as widely read).
	ChecksumPseudo ChecksumForm = iota
	// ChecksumMessage covers the VRRP message alone (RFC 9568).
	ChecksumMessage
	// ChecksumPseudoGroup covers a pseudo-header with the multicast group although the packet went to a unicast
	// address: keepalived before 1.3.7. Received, never sent by default.
	ChecksumPseudoGroup
)

// String returns the name used in status and metrics.
func (f ChecksumForm) String() string {
	switch f {
	case ChecksumPseudo:
		return "pseudo-header"
	case ChecksumMessage:
		return "message-only"
	case ChecksumPseudoGroup:
		return "pseudo-header-group"
	}
	panic(fmt.Sprintf("wire: checksum form %d", uint8(f)))
}

// Advertisement is the content of one VRRP packet. Addresses keep their order.
type Advertisement struct {
	Version   Version
	VRID      uint8
	Priority  uint8
	Interval  Centiseconds
	AuthType  AuthType // version 2 only
	AuthData  [8]byte  // version 2 only; meaningful when AuthType is AuthSimple
	Addresses []netip.Addr
}

// Header is what the IP layer says about a packet.
type Header struct {
	Src, Dst netip.Addr
	TTL      uint8
	// Group is the only multicast destination that counts; zero: the protocol's own (Family.Group). It is no part of
	// the packet.
	Group netip.Addr
}

// group returns the multicast destination that counts.
func (h *Header) group(f Family) netip.Addr {
	if h.Group.IsValid() {
		return h.Group
	}
	return f.Group()
}

// Packet is an advertisement that passed Parse, with the IP facts that later checks need.
type Packet struct {
	Header
	Advertisement
	Checksum ChecksumForm // the form that verified
	// Signed: Trailer came behind the message. Whether it is right, a virtual router with the key can tell.
	Signed  bool
	Trailer Trailer

	reserve uint8 // the high four bits of the octet that they share with the interval of version 3: the HMAC covers them
}

// Family returns the address family that carried the packet.
func (p *Packet) Family() Family { return FamilyOf(p.Src) }
