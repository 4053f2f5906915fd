package link

import (
	"cmp"
	"encoding/binary"
	"net"
	"net/netip"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"

	"failoverd/vrrp/wire"
)

// Layout of struct in_pktinfo: interface index, local address, destination in the header.
const (
	pktinfo4Len   = 12
	pktinfo4Local = 4
	pktinfo4Dst   = 8
)

// ip4 is the stack of IPv4.
type ip4 struct {
	*ipv4.PacketConn
	to   net.IPAddr
	oob  []byte
	info []byte // the struct in_pktinfo inside oob
	ttl  []byte // the int inside oob
}

func newIP4() *ip4 {
	oob, info := appendControl(nil, unix.IPPROTO_IP, unix.IP_PKTINFO, pktinfo4Len)
	oob, ttl := appendControl(oob, unix.IPPROTO_IP, unix.IP_TTL, 4)
	return &ip4{to: net.IPAddr{IP: make(net.IP, net.IPv4len)}, oob: oob, info: oob[info:], ttl: oob[ttl:]}
}

func (s *ip4) open() (*socket, error) {
	sock, conn, err := newIPSocket("raw socket for IP protocol 112", unix.AF_INET, wire.Protocol)
	if err != nil {
		return nil, err
	}
	s.PacketConn = ipv4.NewPacketConn(conn)
	return sock, nil
}

func (s *ip4) options(sock *socket) error {
	return cmp.Or(
		// Without this, a socket gets the groups that any other socket of the host has joined, on any interface.
		setting("IP_MULTICAST_ALL", sock.set(unix.IPPROTO_IP, unix.IP_MULTICAST_ALL, 0)),
		setting("IP_MULTICAST_LOOP", s.SetMulticastLoopback(false)),
		setting("IP_MULTICAST_TTL", s.SetMulticastTTL(wire.TTL)),
		setting("IP_TTL", s.SetTTL(wire.TTL)),
		setting("IP_TOS", s.SetTOS(dscpCS6)),
		// A long advertisement to a peer behind a small MTU arrives in fragments rather than not at all. Don't Fragment
		// is off in what keepalived sends, too.
		setting("IP_MTU_DISCOVER", sock.set(unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT)),
		setting("IP_PKTINFO", s.SetControlMessage(ipv4.FlagDst, true)),
	)
}

func (s *ip4) address(src, dst netip.Addr, index int, ttl uint8) (net.Addr, []byte) {
	from, to := src.As4(), dst.As4()
	putInt(s.info, index)
	copy(s.info[pktinfo4Local:], from[:])
	putInt(s.ttl, int(ttl))
	copy(s.to.IP, to[:])
	return &s.to, s.oob
}

// header reads the IP header, which the kernel hands out together with the payload, trimmed to its total length.
func (*ip4) header(msg, oob []byte, _ net.Addr, d *datagram) {
	const minHeader = 20
	if len(msg) < minHeader {
		return
	}
	n := int(msg[0]&0x0f) * 4
	if n < minHeader || n > len(msg) {
		return
	}
	d.TTL = msg[8]
	d.Src = netip.AddrFrom4([4]byte(msg[12:16]))
	d.Dst = netip.AddrFrom4([4]byte(msg[16:20]))
	d.payload = msg[n:]
	eachControl(oob, func(level, typ int32, data []byte) {
		overflow(level, typ, data, d)
		if level != unix.IPPROTO_IP || typ != unix.IP_PKTINFO || len(data) < pktinfo4Len || d.Dst.IsMulticast() {
			return
		}
		// The kernel's local address for the packet is its destination, unless that is a broadcast address.
		d.misdirected = binary.BigEndian.Uint32(data[pktinfo4Local:]) != binary.BigEndian.Uint32(data[pktinfo4Dst:])
	})
}
