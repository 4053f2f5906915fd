package wire

import (
	"encoding/binary"
	"net/netip"
)

// sum adds the octets of b to an unfolded one's-complement sum (RFC 1071). b counts as starting on an even octet;
// an odd last octet is padded with zero. Adding 32-bit words gives the same folded result as 16-bit ones in half the
// steps, and 64 bits hold the carries of any datagram.
func sum(acc uint64, b []byte) uint64 {
	for len(b) >= 4 {
		acc += uint64(binary.BigEndian.Uint32(b))
		b = b[4:]
	}
	if len(b) >= 2 {
		acc += uint64(binary.BigEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) == 1 {
		acc += uint64(b[0]) << 8
	}
	return acc
}

// fold reduces a sum to 16 bits.
func fold(acc uint64) uint16 {
	for acc > 0xffff {
		acc = acc&0xffff + acc>>16
	}
	return uint16(acc)
}

// sumAddr adds the octets of an address without allocating.
func sumAddr(acc uint64, a netip.Addr) uint64 {
	if a.Is4() {
		b := a.As4()
		return sum(acc, b[:])
	}
	b := a.As16()
	return sum(acc, b[:])
}

// pseudo returns the sum of the pseudo-header: source, destination, length and next header 112. For IPv4 it is the
// one of RFC 5798 as keepalived and FRR read it, for IPv6 that of RFC 8200 section 8.1; both sum to the same terms.
func pseudo(src, dst netip.Addr, length int) uint64 {
	return sumAddr(sumAddr(0, src), dst) + uint64(length) + Protocol
}

// checksum returns the checksum of msg, whose checksum field must be zero, in the given form.
func checksum(msg []byte, v Version, src, dst netip.Addr, form ChecksumForm) uint16 {
	return ^fold(sum(coverage(v, src, dst, len(msg), form), msg))
}

// coverage returns the sum of what is covered besides the message itself.
func coverage(v Version, src, dst netip.Addr, length int, form ChecksumForm) uint64 {
	switch {
	case v == V2:
		return 0
	case src.Is4() && form == ChecksumMessage:
		return 0
	case src.Is4() && form == ChecksumPseudoGroup:
		return pseudo(src, group4, length)
	default:
		return pseudo(src, dst, length)
	}
}

// verify finds the form under which the checksum of msg is right; in version 2 that can only be ChecksumMessage and
// over IPv6 only ChecksumPseudo. It sums the packet as it came, so that the alias 0xffff of 0x0000 passes too
// (RFC 1071).
func verify(msg []byte, v Version, src, dst netip.Addr) (ChecksumForm, bool) {
	s := sum(0, msg)
	right := func(form ChecksumForm) bool { return fold(coverage(v, src, dst, len(msg), form)+s) == 0xffff }
	switch {
	case v == V2:
		return ChecksumMessage, right(ChecksumMessage)
	case right(ChecksumPseudo):
		return ChecksumPseudo, true
	case src.Is6():
		return ChecksumPseudo, false
	case right(ChecksumMessage):
		return ChecksumMessage, true
	case !dst.IsMulticast() && right(ChecksumPseudoGroup):
		return ChecksumPseudoGroup, true
	}
	return ChecksumPseudo, false
}
