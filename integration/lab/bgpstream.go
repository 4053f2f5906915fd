package lab

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// BGPType is the type of a BGP message (RFC 4271 section 4.1, RFC 2918).
type BGPType uint8

// The message types.
const (
	BGPOpen         BGPType = 1
	BGPUpdate       BGPType = 2
	BGPNotification BGPType = 3
	BGPKeepalive    BGPType = 4
	BGPRefresh      BGPType = 5
)

// String returns the RFC's word.
func (t BGPType) String() string {
	names := [...]string{"", "OPEN", "UPDATE", "NOTIFICATION", "KEEPALIVE", "ROUTE-REFRESH"}
	if int(t) >= len(names) || t == 0 {
		return fmt.Sprintf("type %d", uint8(t))
	}
	return names[t]
}

// BGPMessage is one message of a BGP session, put together from TCP segments.
type BGPMessage struct {
	// At is when the segment that completed the message was seen, at Node and Interface.
	At              time.Time
	Node, Interface string
	Src, Dst        netip.Addr
	Type            BGPType
	Body            []byte // without the header of 19 octets

	// Announced and Withdrawn are the unicast prefixes of an UPDATE, from all of its fields.
	Announced, Withdrawn []netip.Prefix
	// NextHop is that of what is announced; ASPath its AS numbers of four octets, in order; MED and Communities are as
	// received.
	NextHop     netip.Addr
	ASPath      []uint32
	MED         *uint32
	LocalPref   *uint32
	Communities []uint32
	// Code and Subcode are those of a NOTIFICATION.
	Code, Subcode uint8
	// HoldTime is that of an OPEN, in seconds.
	HoldTime uint16
	// Err says what of the message could not be read.
	Err error
}

// String returns the message in a form for people, without the time.
func (m *BGPMessage) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "bgp %s > %s %s", m.Src, m.Dst, m.Type)
	for _, p := range m.Announced {
		fmt.Fprintf(&b, " announce %s", p)
	}
	for _, p := range m.Withdrawn {
		fmt.Fprintf(&b, " withdraw %s", p)
	}
	if m.Type == BGPNotification {
		fmt.Fprintf(&b, " %d/%d", m.Code, m.Subcode)
	}
	if m.Err != nil {
		fmt.Fprintf(&b, " (%v)", m.Err)
	}
	return b.String()
}

// flow is one direction of a connection.
type flow struct {
	src, dst         netip.Addr
	srcPort, dstPort uint16
}

// stream puts the segments of a flow in order.
type stream struct {
	started bool
	next    uint32 // sequence number of the octet after buf
	buf     []byte // from the start of a message
	later   map[uint32][]byte
}

// BGPReader puts BGP messages together from packets as they come. The zero value is ready. A connection that was up before
// the first packet is picked up at the next message that begins a segment. Retransmissions count once, at their first
// appearance.
type BGPReader struct{ streams map[flow]*stream }

// Read takes the next packet and returns the messages that it completes.
func (r *BGPReader) Read(p *Packet) (out []BGPMessage) {
	if p.TCP == nil || (p.TCP.SrcPort != bgpPort && p.TCP.DstPort != bgpPort) {
		return nil
	}
	if r.streams == nil {
		r.streams = make(map[flow]*stream)
	}
	key := flow{p.Src, p.Dst, p.TCP.SrcPort, p.TCP.DstPort}
	if r.streams[key] == nil || p.TCP.SYN {
		r.streams[key] = &stream{later: make(map[uint32][]byte)}
	}
	for _, raw := range r.streams[key].feed(p.TCP) {
		m := BGPMessage{At: p.At, Node: p.Node, Interface: p.Interface, Src: p.Src, Dst: p.Dst, Type: BGPType(raw[18]), Body: raw[19:]}
		m.Err = m.parse()
		out = append(out, m)
	}
	return out
}

// BGPMessages returns the messages of all BGP connections that the packets hold, in the order of time.
func BGPMessages(packets []Packet) []BGPMessage {
	var r BGPReader
	var out []BGPMessage
	for i := range packets {
		out = append(out, r.Read(&packets[i])...)
	}
	slices.SortStableFunc(out, func(a, b BGPMessage) int { return a.At.Compare(b.At) })
	return out
}

// BGP puts together the BGP messages that have been seen so far.
func (c *Capture) BGP() []BGPMessage { return BGPMessages(c.Packets()) }

var bgpMarker = bytes.Repeat([]byte{0xff}, 16)

// feed takes a segment and returns the messages that it completes.
func (s *stream) feed(t *TCP) [][]byte {
	if t.SYN {
		s.started, s.next = true, t.Seq+1
		return nil
	}
	if !s.started {
		if !bytes.HasPrefix(t.Payload, bgpMarker) {
			return nil
		}
		s.started, s.next = true, t.Seq
	}
	if len(t.Payload) > 0 {
		s.later[t.Seq] = bytes.Clone(t.Payload)
	}
	s.join()
	return s.messages()
}

// join appends the segments that follow on what is there, and forgets those that repeat it.
func (s *stream) join() {
	for again := true; again; {
		again = false
		for _, seq := range slices.SortedFunc(maps.Keys(s.later), func(a, b uint32) int { return cmp.Compare(int32(a-s.next), int32(b-s.next)) }) {
			b := s.later[seq]
			known := int32(s.next - seq)
			if known < 0 {
				continue
			}
			delete(s.later, seq)
			if int(known) < len(b) {
				s.buf = append(s.buf, b[known:]...)
				s.next += uint32(len(b)) - uint32(known)
				again = true
			}
		}
	}
}

// messages cuts the complete messages off the buffer. After nonsense it waits for a segment that begins with a marker.
func (s *stream) messages() (out [][]byte) {
	for len(s.buf) >= 19 {
		n := int(binary.BigEndian.Uint16(s.buf[16:]))
		if !bytes.HasPrefix(s.buf, bgpMarker) || n < 19 {
			*s = stream{later: make(map[uint32][]byte)}
			return out
		}
		if len(s.buf) < n {
			return out
		}
		out = append(out, s.buf[:n:n])
		s.buf = s.buf[n:]
	}
	return out
}
