package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
)

// Layout of the fixed header, common to both versions up to the checksum (RFC 9568 section 5.2, RFC 3768 section 5.3).
const (
	headerLen   = 8
	authLen     = 8
	checksumOff = 6

	typeAdvertisement = 1
)

// MaxAddresses is the largest count that the header can carry (RFC 9568 section 5.2.5).
const MaxAddresses = 255

// Append appends the octets of a, as sent from src to dst, to b. The form matters only for version 3 over IPv4.
//
// It returns an error when a cannot be expressed: VRID 0, an interval outside 1-4095 cs (version 3) or not 1-255
// whole seconds (version 2), more than 255 addresses, an address of another family than src, version 2 over IPv6.
func (a *Advertisement) Append(b []byte, src, dst netip.Addr, form ChecksumForm) ([]byte, error) {
	return a.append(b, src, dst, form, nil)
}

// append is Append with a trailer, or without one.
func (a *Advertisement) append(b []byte, src, dst netip.Addr, form ChecksumForm, t *Trailer) ([]byte, error) {
	if err := a.validate(src, dst); err != nil {
		return b, err
	}
	start := len(b)
	b = a.appendMessage(b)
	covered := len(b)
	if t != nil {
		b = append(t.appendHead(b), t.MAC[:]...)
		if src.Is6() {
			covered = len(b)
		}
	}
	binary.BigEndian.PutUint16(b[start+checksumOff:], checksum(b[start:covered], a.Version, src, dst, form))
	return b, nil
}

// appendMessage appends the octets of a with a checksum of zero.
func (a *Advertisement) appendMessage(b []byte) []byte {
	b = append(b, byte(a.Version)<<4|typeAdvertisement, a.VRID, a.Priority, byte(len(a.Addresses)))
	if a.Version == V2 {
		b = append(b, byte(a.AuthType), byte(a.Interval/100), 0, 0)
	} else {
		b = append(b, byte(a.Interval>>8), byte(a.Interval), 0, 0)
	}
	for _, addr := range a.Addresses {
		if addr.Is4() {
			o := addr.As4()
			b = append(b, o[:]...)
		} else {
			o := addr.As16()
			b = append(b, o[:]...)
		}
	}
	if a.Version == V2 {
		b = append(b, a.AuthData[:]...)
	}
	return b
}

func (a *Advertisement) validate(src, dst netip.Addr) error {
	f := FamilyOf(src)
	switch {
	case !src.IsValid() || !dst.IsValid() || FamilyOf(dst) != f:
		return fmt.Errorf("advertisement from %v to %v: need two addresses of one family", src, dst)
	case a.VRID == 0:
		return fmt.Errorf("advertisement from %v with VRID 0: want 1 to 255", src)
	case a.Version == V2 && f != IPv4:
		return fmt.Errorf("advertisement from %v: VRRP version 2 exists over IPv4 only", src)
	case a.Version == V2 && (a.Interval%100 != 0 || a.Interval < 100 || a.Interval > 25500):
		return fmt.Errorf("advertisement interval %v: version 2 takes whole seconds from 1 to 255", a.Interval.Duration())
	case a.Version == V3 && (a.Interval < 1 || a.Interval > MaxIntervalV3):
		return fmt.Errorf("advertisement interval %d cs: version 3 takes 1 to %d", a.Interval, MaxIntervalV3)
	case a.Version != V2 && a.Version != V3:
		return fmt.Errorf("advertisement version %d: only 2 and 3 exist", a.Version)
	case len(a.Addresses) > MaxAddresses:
		return fmt.Errorf("advertisement with %d addresses: at most %d fit", len(a.Addresses), MaxAddresses)
	}
	for _, addr := range a.Addresses {
		if !addr.IsValid() || FamilyOf(addr) != f {
			return fmt.Errorf("advertisement over %v with address %v", f, addr)
		}
	}
	return nil
}

// Parse reads one packet. On Accepted p holds it; its address slice reuses p's storage, so a caller that keeps p
// across calls allocates nothing. On any other reason p holds h, what could be read of VRID and version, and no more.
// Zones of the addresses in h are dropped: whoever read the packet knows the interface.
//
// It asks the questions that need no configuration: destination and TTL of a multicast packet, source, lengths,
// version 2 or 3, type, count (none only if nothing follows), checksum in any legal form, non-zero interval, first IPv6 address of a multicast packet
// link-local. The reserve nibble of version 3 is masked before the interval is looked at (RFC 9568 section 5.2.6).
//
// TrailerLen octets behind the message are a Trailer, of which nothing is checked here. A virtual router that knows no
// authentication refuses them as it does any other number (DropTrailing).
func Parse(b []byte, h Header, p *Packet) DropReason {
	h.Src, h.Dst = h.Src.WithZone(""), h.Dst.WithZone("")
	addrs := p.Addresses[:0]
	*p = Packet{Header: h}
	p.Addresses = addrs
	if len(b) > 1 {
		p.Version, p.VRID = Version(b[0]>>4), b[1]
	}
	if r := checkHeader(h); r != Accepted {
		return r
	}
	if len(b) < headerLen {
		return DropShortHeader
	}
	f := FamilyOf(h.Src)
	switch {
	case p.Version != V2 && p.Version != V3, p.Version == V2 && f == IPv6:
		return DropVersion
	case b[0]&0x0f != typeAdvertisement:
		return DropType
	case p.VRID == 0:
		return DropVRID
	case b[3] == 0 && len(b) != emptyLen(p.Version) && len(b) != emptyLen(p.Version)+TrailerLen:
		return DropCountZero
	}
	length := messageLen(b, p.Version, f)
	if r := checkLength(b, p.Version, f, length); r != Accepted {
		return r
	}
	covered := b[:length]
	if f == IPv6 {
		covered = b
	}
	form, ok := verify(covered, p.Version, h.Src, h.Dst)
	if !ok {
		return DropChecksum
	}
	if r := checkBody(b, p.Version, h.Dst); r != Accepted {
		return r
	}
	p.Checksum, p.Priority = form, b[2]
	p.fill(b[:length], f)
	if len(b) > length {
		p.Signed, p.Trailer = true, parseTrailer(b[length:])
	}
	return Accepted
}

// checkHeader applies the rules on the IP header that hold for every router.
func checkHeader(h Header) DropReason {
	f := FamilyOf(h.Src)
	switch {
	case !h.Src.IsValid() || !h.Dst.IsValid() || FamilyOf(h.Dst) != f:
		return DropSource
	case h.Dst.IsMulticast() && h.Dst != h.group(f):
		return DropDestination
	case h.Dst == broadcast:
		return DropDestination
	case h.Dst.IsMulticast() && h.TTL != TTL:
		return DropTTL
	case h.Src.IsUnspecified() || h.Src.IsMulticast() || h.Src == broadcast:
		return DropSource
	case f == IPv6 && h.Dst.IsMulticast() && !h.Src.IsLinkLocalUnicast():
		return DropSource
	}
	return Accepted
}

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// emptyLen is the length of a message without addresses. RFC 9568 section 5.2.5 wants at least one, but routers that
// only announce or run scripts have none (keepalived's no_virtual_ipaddress): whether such a message is acceptable, the
// virtual router decides.
func emptyLen(v Version) int {
	if v == V2 {
		return headerLen + authLen
	}
	return headerLen
}

// messageLen is the length that the address count implies.
func messageLen(b []byte, v Version, f Family) int {
	return emptyLen(v) + int(b[3])*f.AddrLen()
}

// checkLength demands the exact length that the address count implies (V3-RX-05), or that with a trailer.
func checkLength(b []byte, v Version, f Family, want int) DropReason {
	switch addresses := headerLen + int(b[3])*f.AddrLen(); {
	case len(b) < addresses:
		return DropTruncatedAddresses
	case len(b) < want && v == V2:
		return DropTruncatedAuth
	case len(b) != want && len(b) != want+TrailerLen:
		return DropTrailing
	}
	return Accepted
}

// interval returns Max Advertise Interval of a version 3 message, without the reserve nibble.
func interval(b []byte) Centiseconds { return Centiseconds(binary.BigEndian.Uint16(b[4:]) & 0x0fff) }

// checkBody applies the rules on the content of a message whose length and checksum are right. That the first IPv6
// address is link-local (RFC 9568 section 5.2.9) is a rule for routers on one link: by unicast, which reaches other
// links, there may be none to advertise.
func checkBody(b []byte, v Version, dst netip.Addr) DropReason {
	if v == V3 && interval(b) == 0 {
		return DropIntervalZero
	}
	if dst.Is6() && dst.IsMulticast() && b[3] > 0 && !netip.AddrFrom16([16]byte(b[headerLen:])).IsLinkLocalUnicast() {
		return DropFirstNotLinkLocal
	}
	return Accepted
}

// fill reads the version-dependent fields and the address list of a message that passed every check.
func (p *Packet) fill(b []byte, f Family) {
	if p.Version == V2 {
		p.AuthType, p.Interval = AuthType(b[4]), Centiseconds(b[5])*100
		copy(p.AuthData[:], b[len(b)-authLen:])
	} else {
		p.Interval, p.reserve = interval(b), b[4]&0xf0
	}
	// The length was checked against the count, so the packet paid for what is allocated here.
	if cap(p.Addresses) < int(b[3]) {
		p.Addresses = make([]netip.Addr, 0, b[3])
	}
	for i, n := 0, f.AddrLen(); i < int(b[3]); i++ {
		o := b[headerLen+i*n:]
		if f == IPv4 {
			p.Addresses = append(p.Addresses, netip.AddrFrom4([4]byte(o)))
		} else {
			p.Addresses = append(p.Addresses, netip.AddrFrom16([16]byte(o)))
		}
	}
}

// AuthDataFor returns the authentication data of a password: left-aligned, padded with zeros, cut at eight octets
// (RFC 2338 section 5.3.6.1).
func AuthDataFor(password string) (d [8]byte) {
	copy(d[:], bytes.TrimRight([]byte(password), "\x00"))
	return d
}
