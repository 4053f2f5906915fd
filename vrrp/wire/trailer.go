package wire

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// TrailerLen is the length of the trailer that keepalived's auth_hmac puts behind a VRRP message
// (draft-cassen-vrrp-auth-hmac).
const TrailerLen = 28

// MACLen is the length of the truncated HMAC in a trailer.
const MACLen = 16

// HMACSHA256 is the only type of trailer: HMAC-SHA-256, cut after MACLen octets.
const HMACSHA256 = 1

// Layout of the trailer, and of what the HMAC covers besides the message and the trailer's own head.
const (
	trailerHeadLen = TrailerLen - MACLen
	coveredHeadLen = 20
)

// Trailer is the authentication of a message: type, key, reserved octets, sequence number and HMAC, as they travel.
type Trailer struct {
	Type     uint8
	KeyID    uint8  // 1 to 255
	Reserved uint16 // sent as zero
	Sequence Sequence
	MAC      [MACLen]byte
}

// Sequence is the sequence number of a trailer: 32 bits of seconds since the Unix epoch, 16 bits of a second's fraction,
// and a counter of 16 bits that tells advertisements of one moment apart. Numbers are compared as RFC 1982 has it, so
// that they may wrap.
type Sequence uint64

// SequenceAt returns the sequence number of a moment, in nanoseconds since the Unix epoch, with a counter of zero.
func SequenceAt(wall int64) Sequence {
	seconds, rest := wall/int64(time.Second), wall%int64(time.Second)
	return Sequence(uint32(seconds))<<32 | Sequence(rest<<16/int64(time.Second))<<16
}

// After reports whether s is greater than t (RFC 1982 section 3.2).
func (s Sequence) After(t Sequence) bool { return int64(s-t) > 0 }

// Sub returns the time from t to s, which is negative when s is the earlier one.
func (s Sequence) Sub(t Sequence) time.Duration {
	d := int64(s - t)
	return time.Duration(d>>32)*time.Second + time.Duration(d&0xffffffff*int64(time.Second)>>32)
}

// appendHead appends all of t but the HMAC.
func (t *Trailer) appendHead(b []byte) []byte {
	b = append(b, t.Type, t.KeyID)
	b = binary.BigEndian.AppendUint16(b, t.Reserved)
	return binary.BigEndian.AppendUint64(b, uint64(t.Sequence))
}

// parseTrailer reads TrailerLen octets, whatever they say.
func parseTrailer(b []byte) Trailer {
	return Trailer{
		Type: b[0], KeyID: b[1], Reserved: binary.BigEndian.Uint16(b[2:]),
		Sequence: Sequence(binary.BigEndian.Uint64(b[4:])), MAC: [MACLen]byte(b[trailerHeadLen:]),
	}
}

// AppendSigned is Append with a trailer behind the message. Over IPv4 the checksum covers the message alone, over IPv6
// the trailer, too. The trailer's HMAC does not depend on the destination: copies of an advertisement carry the same one.
func (a *Advertisement) AppendSigned(b []byte, src, dst netip.Addr, form ChecksumForm, t *Trailer) ([]byte, error) {
	return a.append(b, src, dst, form, t)
}

// AppendCovered appends what the HMAC of t covers when a is sent from src: a head that names family, version, VRID and
// source, the message with its checksum read as zero, and the trailer with its HMAC read as zero. The destination and the
// rest of the IP header are not covered.
func (a *Advertisement) AppendCovered(b []byte, src netip.Addr, t *Trailer) []byte {
	return a.appendCovered(b, src, t, 0)
}

// AppendCovered appends what the HMAC of a packet with a trailer covers. The packet's own octets are not needed for it:
// all of them are in its fields.
func (p *Packet) AppendCovered(b []byte) []byte {
	return p.appendCovered(b, p.Src, &p.Trailer, p.reserve)
}

func (a *Advertisement) appendCovered(b []byte, src netip.Addr, t *Trailer, reserve uint8) []byte {
	var head [coveredHeadLen]byte
	head[0], head[1], head[2] = byte(FamilyOf(src)), byte(a.Version), a.VRID
	copyAddr(head[4:], src)
	b = append(b, head[:]...)
	start := len(b)
	b = a.appendMessage(b)
	if a.Version == V3 {
		b[start+4] |= reserve
	}
	b = t.appendHead(b)
	return append(b, make([]byte, MACLen)...)
}

// copyAddr copies the octets of an address to the start of b.
func copyAddr(b []byte, a netip.Addr) {
	if a.Is4() {
		o := a.As4()
		copy(b, o[:])
		return
	}
	o := a.As16()
	copy(b, o[:])
}
