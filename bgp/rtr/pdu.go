// Package rtr is the router's side of the RPKI to Router protocol, version 1 (RFC 8210) and version 0 (RFC 6810): the
// codec, and the state machine of one session with one cache. It is pure: octets, connections and the time come in as
// arguments; octets to send, a deadline and the data come out. bgp/rpki connects it to sockets.
//
// Of what a cache sends only the VRPs are kept that cover one of the few prefixes that the caller announces, so a full
// table of the world's ROAs takes no memory. Nothing that a cache sends can do more than end the session.
//
// Read Session first, then PDU.
package rtr

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"failoverd/bgp"
)

// Versions of the protocol.
const (
	Version0 = 0 // RFC 6810
	Version1 = 1 // RFC 8210
)

// Type is the type of a PDU (RFC 8210 section 5).
type Type uint8

// Types of PDUs.
const (
	SerialNotify  Type = 0
	SerialQuery   Type = 1
	ResetQuery    Type = 2
	CacheResponse Type = 3
	IPv4Prefix    Type = 4
	IPv6Prefix    Type = 6
	EndOfData     Type = 7
	CacheReset    Type = 8
	RouterKey     Type = 9 // version 1 only
	ErrorReport   Type = 10
)

var typeNames = map[Type]string{
	SerialNotify: "Serial Notify", SerialQuery: "Serial Query", ResetQuery: "Reset Query", CacheResponse: "Cache Response",
	IPv4Prefix: "IPv4 Prefix", IPv6Prefix: "IPv6 Prefix", EndOfData: "End of Data", CacheReset: "Cache Reset",
	RouterKey: "Router Key", ErrorReport: "Error Report",
}

// String returns the RFC's name.
func (t Type) String() string {
	if s, ok := typeNames[t]; ok {
		return s
	}
	return fmt.Sprintf("PDU type %d", uint8(t))
}

// Code is the code of an Error Report (RFC 8210 section 12).
type Code uint16

// Error codes.
const (
	CorruptData        Code = 0
	InternalError      Code = 1
	NoDataAvailable    Code = 2 // the only one that does not end the session
	InvalidRequest     Code = 3
	UnsupportedVersion Code = 4
	UnsupportedType    Code = 5
	UnknownWithdrawal  Code = 6
	DuplicateRecord    Code = 7
	UnexpectedVersion  Code = 8
)

var codeNames = [...]string{
	"Corrupt Data", "Internal Error", "No Data Available", "Invalid Request", "Unsupported Protocol Version",
	"Unsupported PDU Type", "Withdrawal of Unknown Record", "Duplicate Announcement Received", "Unexpected Protocol Version",
}

// String returns the RFC's name.
func (c Code) String() string {
	if int(c) < len(codeNames) {
		return codeNames[c]
	}
	return fmt.Sprintf("error code %d", uint16(c))
}

// Sizes in octets.
const (
	headerSize = 8
	// maxPDU bounds what is waited for. The largest PDUs in use are Router Keys of a few hundred octets and Error Reports
	// that quote one.
	maxPDU = 64 << 10
)

// PDU is one protocol data unit. Which fields count depends on Type.
type PDU struct {
	Version uint8
	Type    Type
	Session uint16 // Serial Notify, Serial Query, Cache Response, End of Data
	Serial  uint32 // Serial Notify, Serial Query, End of Data
	// Refresh, Retry and Expire are the seconds of an End of Data of version 1; zero in version 0.
	Refresh, Retry, Expire uint32
	// Announce says whether a prefix or a key is announced or withdrawn; VRP is that of a prefix.
	Announce bool
	VRP      bgp.VRP
	// Code, Quoted and Text are of an Error Report. Quoted and Text share the input's memory.
	Code   Code
	Quoted []byte
	Text   []byte
}

// ProtocolError is a violation by the other side, and what an Error Report would say of it.
type ProtocolError struct {
	Code Code
	Text string
	// PDU is the offending one, or as much of it as there is; it shares the input's memory.
	PDU []byte
}

// Error implements error.
func (e *ProtocolError) Error() string { return fmt.Sprintf("%s: %s", e.Code, e.Text) }

// Parse reads the first PDU in b and returns its length. A length of 0 without an error: b does not hold all of it yet.
// The error is a *ProtocolError.
func Parse(b []byte) (p PDU, n int, err error) {
	if len(b) < headerSize {
		return p, 0, nil
	}
	size := int64(binary.BigEndian.Uint32(b[4:]))
	p.Version, p.Type = b[0], Type(b[1])
	bad := func(code Code, format string, args ...any) (PDU, int, error) {
		return p, 0, &ProtocolError{Code: code, Text: fmt.Sprintf(format, args...), PDU: b[:min(int64(len(b)), max(size, headerSize))]}
	}
	if p.Version > Version1 && p.Type != ErrorReport {
		return bad(UnsupportedVersion, "protocol version %d", p.Version)
	}
	want, known := bodySize(p.Version, p.Type)
	switch {
	case !known:
		return bad(UnsupportedType, "%s in version %d", p.Type, p.Version)
	case size > maxPDU:
		return bad(CorruptData, "%s of %d octets", p.Type, size)
	case size < headerSize+want.least || want.exact && size != headerSize+want.least:
		return bad(CorruptData, "%s of %d octets", p.Type, size)
	case size > int64(len(b)):
		return p, 0, nil
	}
	if why := p.decode(b[2:4], b[headerSize:size]); why != "" {
		return bad(CorruptData, "%s: %s", p.Type, why)
	}
	return p, int(size), nil
}

type bodyLength struct {
	least int64
	exact bool
}

// bodySize returns the length of what follows the header (RFC 8210 section 5, RFC 6810 section 5).
func bodySize(version uint8, t Type) (bodyLength, bool) {
	switch t {
	case SerialNotify, SerialQuery:
		return bodyLength{4, true}, true
	case ResetQuery, CacheResponse, CacheReset:
		return bodyLength{0, true}, true
	case IPv4Prefix:
		return bodyLength{12, true}, true
	case IPv6Prefix:
		return bodyLength{24, true}, true
	case EndOfData:
		if version == Version0 {
			return bodyLength{4, true}, true
		}
		return bodyLength{16, true}, true
	case RouterKey:
		return bodyLength{24, false}, version != Version0
	case ErrorReport:
		return bodyLength{8, false}, true
	}
	return bodyLength{}, false
}

// decode reads the two octets of the header that depend on the type, and the body, whose length has been looked at. It
// returns what is wrong.
func (p *PDU) decode(middle, body []byte) (wrong string) {
	u32 := binary.BigEndian.Uint32
	switch p.Type {
	case SerialNotify, SerialQuery:
		p.Session, p.Serial = binary.BigEndian.Uint16(middle), u32(body)
	case CacheResponse:
		p.Session = binary.BigEndian.Uint16(middle)
	case EndOfData:
		p.Session, p.Serial = binary.BigEndian.Uint16(middle), u32(body)
		if p.Version != Version0 {
			p.Refresh, p.Retry, p.Expire = u32(body[4:]), u32(body[8:]), u32(body[12:])
		}
	case IPv4Prefix, IPv6Prefix:
		return p.decodePrefix(body)
	case RouterKey:
		p.Announce = middle[0]&1 != 0
	case ErrorReport:
		return p.decodeError(binary.BigEndian.Uint16(middle), body)
	}
	return ""
}

func (p *PDU) decodePrefix(body []byte) (wrong string) {
	bits, most, n := int(body[1]), int(body[2]), 4
	if p.Type == IPv6Prefix {
		n = 16
	}
	addr, _ := netip.AddrFromSlice(body[4 : 4+n])
	switch {
	case bits > 8*n || most > 8*n:
		return fmt.Sprintf("length %d, maximum length %d", bits, most)
	case most < bits:
		return fmt.Sprintf("maximum length %d is less than the length %d", most, bits)
	}
	p.Announce = body[0]&1 != 0
	p.VRP = bgp.VRP{
		Prefix: netip.PrefixFrom(addr, bits).Masked(), MaxLength: uint8(most),
		AS: binary.BigEndian.Uint32(body[4+n:]),
	}
	return ""
}

func (p *PDU) decodeError(code uint16, body []byte) (wrong string) {
	p.Code = Code(code)
	quoted := int64(binary.BigEndian.Uint32(body))
	if quoted > int64(len(body))-8 {
		return fmt.Sprintf("it quotes %d octets", quoted)
	}
	p.Quoted = body[4 : 4+quoted]
	rest := body[4+quoted:]
	text := int64(binary.BigEndian.Uint32(rest))
	if text != int64(len(rest))-4 {
		return fmt.Sprintf("a text of %d octets", text)
	}
	p.Text = rest[4:]
	return ""
}

// Append appends the encoding of p to b. It panics at a type that it does not know.
func (p *PDU) Append(b []byte) []byte {
	start := len(b)
	header := func(middle uint16) {
		b = append(b, p.Version, uint8(p.Type))
		b = binary.BigEndian.AppendUint16(b, middle)
		b = append(b, 0, 0, 0, 0)
	}
	u32 := func(v uint32) { b = binary.BigEndian.AppendUint32(b, v) }
	switch p.Type {
	case SerialNotify, SerialQuery:
		header(p.Session)
		u32(p.Serial)
	case ResetQuery, CacheReset:
		header(0)
	case CacheResponse:
		header(p.Session)
	case IPv4Prefix, IPv6Prefix:
		header(0)
		b = append(b, flag(p.Announce), uint8(p.VRP.Prefix.Bits()), p.VRP.MaxLength, 0)
		b = append(b, p.VRP.Prefix.Addr().AsSlice()...)
		u32(p.VRP.AS)
	case EndOfData:
		header(p.Session)
		u32(p.Serial)
		if p.Version != Version0 {
			u32(p.Refresh)
			u32(p.Retry)
			u32(p.Expire)
		}
	case RouterKey:
		header(uint16(flag(p.Announce)) << 8)
		b = append(b, make([]byte, 24)...)
	case ErrorReport:
		header(uint16(p.Code))
		u32(uint32(len(p.Quoted)))
		b = append(b, p.Quoted...)
		u32(uint32(len(p.Text)))
		b = append(b, p.Text...)
	default:
		panic(p.Type)
	}
	binary.BigEndian.PutUint32(b[start+4:], uint32(len(b)-start))
	return b
}

func flag(on bool) uint8 {
	if on {
		return 1
	}
	return 0
}
