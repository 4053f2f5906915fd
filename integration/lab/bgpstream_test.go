package lab

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var (
	client = netip.MustParseAddr("203.0.113.2")
	server = netip.MustParseAddr("203.0.113.1")
)

// segment is a packet of one direction of a session; n is its number in time.
func segment(n int, seq uint32, payload []byte) Packet {
	return Packet{
		Frame: Frame{At: time.Unix(100, int64(n))}, Src: client, Dst: server,
		TCP: &TCP{SrcPort: 40000, DstPort: bgpPort, Seq: seq, Payload: payload},
	}
}

func syn(n int, seq uint32) Packet {
	p := segment(n, seq, nil)
	p.TCP.SYN = true
	return p
}

func message(kind byte, body ...byte) []byte {
	m := append(slices.Clone(bgpMarker), byte((19+len(body))>>8), byte(19+len(body)), kind)
	return append(m, body...)
}

func TestBGPMessagesFromSegments(t *testing.T) {
	keepalive, withdraw := message(4), message(2, 0, 4, 24, 198, 51, 100, 0, 0)
	both := slices.Concat(keepalive, withdraw)
	const max = 0xffffffff
	for _, c := range []struct {
		name    string
		packets []Packet
		want    []BGPType
		at      []int // number of the segment that completes each
	}{
		{"one message a segment", []Packet{syn(0, 9), segment(1, 10, keepalive), segment(2, 29, withdraw)}, []BGPType{4, 2}, []int{1, 2}},
		{"two in one segment", []Packet{syn(0, 9), segment(1, 10, both)}, []BGPType{4, 2}, []int{1, 1}},
		{"one in three segments", []Packet{syn(0, 9), segment(1, 10, keepalive[:5]), segment(2, 15, keepalive[5:17]), segment(3, 27, keepalive[17:])}, []BGPType{4}, []int{3}},
		{"a retransmission", []Packet{syn(0, 9), segment(1, 10, keepalive), segment(2, 10, keepalive), segment(3, 29, withdraw)}, []BGPType{4, 2}, []int{1, 3}},
		{"a retransmission that goes further", []Packet{syn(0, 9), segment(1, 10, keepalive), segment(2, 10, both)}, []BGPType{4, 2}, []int{1, 2}},
		{"out of order", []Packet{syn(0, 9), segment(1, 29, withdraw), segment(2, 10, keepalive)}, []BGPType{4, 2}, []int{2, 2}},
		{"sequence numbers wrap", []Packet{syn(0, max-10), segment(1, max-9, both[:20]), segment(2, 10, both[20:])}, []BGPType{4, 2}, []int{1, 2}},
		{"picked up in the middle", []Packet{segment(1, 500, keepalive[7:]), segment(2, 512, withdraw)}, []BGPType{2}, []int{2}},
		{"a new connection on the same ports", []Packet{syn(0, 9), segment(1, 10, keepalive[:5]), syn(2, 900), segment(3, 901, withdraw)}, []BGPType{2}, []int{3}},
		{"nonsense, then a message", []Packet{syn(0, 9), segment(1, 10, make([]byte, 40)), segment(2, 50, keepalive)}, []BGPType{4}, []int{2}},
		{"empty segments", []Packet{syn(0, 9), segment(1, 10, nil), segment(2, 10, keepalive)}, []BGPType{4}, []int{2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var kinds []BGPType
			var at []int
			for _, m := range BGPMessages(c.packets) {
				kinds, at = append(kinds, m.Type), append(at, m.At.Nanosecond())
			}
			if !slices.Equal(kinds, c.want) || !slices.Equal(at, c.at) {
				t.Errorf("messages %v completed by %v, want %v by %v", kinds, at, c.want, c.at)
			}
		})
	}
}

func TestBGPMessageBodies(t *testing.T) {
	med, pref := uint32(50), uint32(200)
	service, service6 := netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("2001:db8:100::/48")
	for _, c := range []struct {
		name string
		msg  []byte
		want BGPMessage
		bad  bool
	}{
		{"keepalive", message(4), BGPMessage{Type: BGPKeepalive}, false},
		{"open", message(1, 4, 0xfb, 0xf5, 0, 9, 10, 0, 0, 1, 0), BGPMessage{Type: BGPOpen, HoldTime: 9}, false},
		{"open cut short", message(1, 4, 0xfb), BGPMessage{Type: BGPOpen}, true},
		{"notification", message(3, 6, 2), BGPMessage{Type: BGPNotification, Code: 6, Subcode: 2}, false},
		{"notification cut short", message(3, 6), BGPMessage{Type: BGPNotification}, true},
		{"end of rib", message(2, 0, 0, 0, 0), BGPMessage{Type: BGPUpdate}, false},
		{"withdrawal", message(2, 0, 4, 24, 198, 51, 100, 0, 0), BGPMessage{Type: BGPUpdate, Withdrawn: []netip.Prefix{service}}, false},
		{"announcement", message(2, 0, 0, 0, 41,
			0x40, 1, 1, 0, 0x40, 2, 6, 2, 1, 0, 0, 0xfb, 0xf5, 0x40, 3, 4, 203, 0, 113, 2,
			0x80, 4, 4, 0, 0, 0, 50, 0x40, 5, 4, 0, 0, 0, 200, 0xc0, 8, 4, 0xfb, 0xf4, 0, 100,
			24, 198, 51, 100), BGPMessage{
			Type: BGPUpdate, Announced: []netip.Prefix{service}, NextHop: client, ASPath: []uint32{64501},
			MED: &med, LocalPref: &pref, Communities: []uint32{64500<<16 | 100},
		}, false},
		{"IPv6 announcement, extended length", message(2, 0, 0, 0, 32, 0x90, 14, 0, 28,
			0, 2, 1, 16, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0,
			48, 0x20, 1, 0xd, 0xb8, 1, 0), BGPMessage{
			Type: BGPUpdate, Announced: []netip.Prefix{service6}, NextHop: netip.MustParseAddr("2001:db8::2"),
		}, false},
		{
			"IPv6 withdrawal", message(2, 0, 0, 0, 13, 0x80, 15, 10, 0, 2, 1, 48, 0x20, 1, 0xd, 0xb8, 1, 0),
			BGPMessage{Type: BGPUpdate, Withdrawn: []netip.Prefix{service6}},
			false,
		},
		{"another family is left alone", message(2, 0, 0, 0, 8, 0x80, 15, 5, 0, 1, 128, 1, 2), BGPMessage{Type: BGPUpdate}, false},
		{"attributes longer than the message", message(2, 0, 0, 0, 99), BGPMessage{Type: BGPUpdate}, true},
		{"attribute longer than the attributes", message(2, 0, 0, 0, 4, 0x40, 1, 9, 0), BGPMessage{Type: BGPUpdate}, true},
		{"prefix of 33 bits", message(2, 0, 0, 0, 0, 33, 1, 2, 3, 4, 5), BGPMessage{Type: BGPUpdate}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := BGPMessages([]Packet{segment(1, 10, c.msg)})
			if len(got) != 1 {
				t.Fatalf("%d messages, want 1", len(got))
			}
			m := got[0]
			if (m.Err != nil) != c.bad {
				t.Errorf("error %v, want one: %t", m.Err, c.bad)
			}
			m = BGPMessage{
				Type: m.Type, Announced: m.Announced, Withdrawn: m.Withdrawn, NextHop: m.NextHop, ASPath: m.ASPath, MED: m.MED,
				LocalPref: m.LocalPref, Communities: m.Communities, Code: m.Code, Subcode: m.Subcode, HoldTime: m.HoldTime,
			}
			if d := cmp.Diff(c.want, m, cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
				cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); d != "" {
				t.Errorf("-want +got\n%s", d)
			}
		})
	}
}

// FuzzDecode: no frame may crash the witnesses, and no message may come out of nothing.
func FuzzDecode(f *testing.F) {
	f.Add([]byte{})
	f.Add(slices.Concat(make([]byte, 12), []byte{8, 6, 0, 1, 8, 0, 6, 4, 0, 1}, make([]byte, 18)))
	f.Add(slices.Concat(make([]byte, 12), []byte{8, 0, 0x45, 0, 0, 59, 0, 0, 0, 0, 64, 6}, make([]byte, 10), []byte{0, 179, 0, 179},
		make([]byte, 8), []byte{0x50, 2}, make([]byte, 6), message(4)))
	f.Add(slices.Concat(make([]byte, 12), []byte{0x86, 0xdd, 0x60, 0, 0, 0, 0, 32, 58, 255}, make([]byte, 32), []byte{136}, make([]byte, 31)))
	f.Fuzz(func(t *testing.T, b []byte) {
		packets := Decode([]Frame{{Data: b}})
		for i := range packets {
			if packets[i].String() == "packet" {
				t.Errorf("decoded into nothing: %x", b)
			}
		}
		for _, m := range BGPMessages(packets) {
			if len(m.Body)+19 > len(b) || m.String() == "" {
				t.Errorf("a message of %d octets out of a frame of %d", len(m.Body)+19, len(b))
			}
		}
	})
}
