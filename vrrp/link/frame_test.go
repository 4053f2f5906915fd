package link

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"

	"failoverd/vrrp/wire"
)

type mac [6]byte

func (m mac) String() string { return net.HardwareAddr(m[:]).String() }

var (
	broadcastMAC = mac{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	groupMAC4    = mac{0x01, 0x00, 0x5e, 0, 0, 0x12}
	groupMAC6    = mac{0x33, 0x33, 0, 0, 0, 0x12}
)

func groupMAC(f wire.Family) mac {
	if f == wire.IPv4 {
		return groupMAC4
	}
	return groupMAC6
}

// frame is an Ethernet frame, and the IP packet in it if there is one.
type frame struct {
	dst, src  mac
	etherType uint16
	payload   []byte // of the frame

	from, to netip.Addr
	ttl      uint8
	tos      uint8
	proto    uint8
	body     []byte // of the IP packet
}

func parseFrame(b []byte) *frame {
	f := &frame{dst: mac(b[:6]), src: mac(b[6:12]), etherType: binary.BigEndian.Uint16(b[12:]), payload: b[14:]}
	p := f.payload
	switch {
	case f.etherType == unix.ETH_P_IP && len(p) >= 20:
		f.tos, f.ttl, f.proto = p[1], p[8], p[9]
		f.from, f.to = netip.AddrFrom4([4]byte(p[12:])), netip.AddrFrom4([4]byte(p[16:]))
		f.body = p[int(p[0]&0xf)*4 : binary.BigEndian.Uint16(p[2:])]
	case f.etherType == unix.ETH_P_IPV6 && len(p) >= 40:
		f.tos, f.ttl, f.proto = p[0]<<4|p[1]>>4, p[7], p[6]
		f.from, f.to = netip.AddrFrom16([16]byte(p[8:])), netip.AddrFrom16([16]byte(p[24:]))
		f.body = p[40 : 40+int(binary.BigEndian.Uint16(p[4:]))]
	}
	return f
}

// ethernet builds a frame; a VLAN tag goes in front of the type if vlan is given.
func ethernet(dst, src mac, etherType uint16, payload []byte, vlan ...uint16) []byte {
	b := append(append([]byte(nil), dst[:]...), src[:]...)
	for _, tci := range vlan {
		b = binary.BigEndian.AppendUint16(b, unix.ETH_P_8021Q)
		b = binary.BigEndian.AppendUint16(b, tci)
	}
	b = binary.BigEndian.AppendUint16(b, etherType)
	return append(b, payload...)
}

// ipPacket builds an IP packet of protocol 112 and returns it with its EtherType.
func ipPacket(src, dst netip.Addr, ttl uint8, body []byte) (uint16, []byte) {
	if src.Is4() {
		b := []byte{0x45, 0xc0, 0, 0, 0, 1, 0, 0, ttl, wire.Protocol, 0, 0}
		binary.BigEndian.PutUint16(b[2:], uint16(20+len(body)))
		b = append(append(b, src.AsSlice()...), dst.AsSlice()...)
		binary.BigEndian.PutUint16(b[10:], internetChecksum(b))
		return unix.ETH_P_IP, append(b, body...)
	}
	b := []byte{0x6c, 0, 0, 0, 0, 0, wire.Protocol, ttl}
	binary.BigEndian.PutUint16(b[4:], uint16(len(body)))
	b = append(append(b, src.AsSlice()...), dst.AsSlice()...)
	return unix.ETH_P_IPV6, append(b, body...)
}

// internetChecksum is RFC 1071 over the concatenation of parts, each of even length.
func internetChecksum(parts ...[]byte) uint16 {
	var sum uint32
	for _, p := range parts {
		for i := 0; i+1 < len(p); i += 2 {
			sum += uint32(p[i])<<8 | uint32(p[i+1])
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// pseudoHeader is that of RFC 8200 section 8.1; over IPv4 it sums like the shorter one.
func pseudoHeader(f *frame) []byte {
	b := append(f.from.AsSlice(), f.to.AsSlice()...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(f.body)))
	return append(b, 0, 0, 0, f.proto)
}

// tap is a packet socket on an interface.
type tap struct {
	t    testing.TB
	conn *packet.Conn
}

func newTap(t testing.TB, n namespace, iface string) *tap {
	t.Helper()
	tp := &tap{t: t}
	n.do(t, func() error {
		ifi, err := net.InterfaceByName(iface)
		if err != nil {
			return err
		}
		tp.conn, err = packet.Listen(ifi, packet.Raw, unix.ETH_P_ALL, nil)
		return err
	})
	t.Cleanup(func() { tp.conn.Close() })
	return tp
}

// next returns the next frame that from sent and that want wants.
func (tp *tap) next(from mac, want func(*frame) bool) *frame {
	tp.t.Helper()
	return tp.wait(from, 5*time.Second, want)
}

// wait is next with another limit.
func (tp *tap) wait(from mac, limit time.Duration, want func(*frame) bool) *frame {
	tp.t.Helper()
	if err := tp.conn.SetReadDeadline(time.Now().Add(limit)); err != nil {
		tp.t.Fatal(err)
	}
	for {
		b := make([]byte, 2048)
		n, _, err := tp.conn.ReadFrom(b)
		if err != nil {
			tp.t.Fatalf("waiting for a frame: %v", err)
		}
		if f := parseFrame(b[:n]); f.src == from && want(f) {
			return f
		}
	}
}

// advert waits for a VRRP packet.
func (tp *tap) advert(from mac) *frame {
	tp.t.Helper()
	return tp.next(from, isVRRP)
}

func isVRRP(f *frame) bool { return f.from.IsValid() && f.proto == wire.Protocol }

// inject puts a frame on the wire.
func (tp *tap) inject(b []byte) {
	tp.t.Helper()
	if _, err := tp.conn.WriteTo(b, &packet.Addr{HardwareAddr: make(net.HardwareAddr, 6)}); err != nil {
		tp.t.Fatalf("inject: %v", err)
	}
}

// send injects a VRRP packet from B, to the group or to A.
func (tp *tap) send(src, dst netip.Addr, ttl uint8, body []byte) {
	tp.t.Helper()
	to := macA
	if dst.IsMulticast() {
		to = groupMAC(wire.FamilyOf(dst))
	}
	typ, p := ipPacket(src, dst, ttl, body)
	tp.inject(ethernet(to, macB, typ, p))
}
