package link

import (
	"cmp"
	"encoding/binary"
	"net"
	"net/netip"

	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"

	"failoverd/vrrp/wire"
)

// Layout of struct in6_pktinfo: address, interface index.
const (
	pktinfo6Len   = 20
	pktinfo6Index = 16
)

// ip6 is the stack of IPv6.
type ip6 struct {
	*ipv6.PacketConn
	in   *receiver6
	to   net.IPAddr
	oob  []byte
	info []byte // the struct in6_pktinfo inside oob
	hops []byte // the int inside oob
}

func newIP6() *ip6 {
	oob, info := appendControl(nil, unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, pktinfo6Len)
	oob, hops := appendControl(oob, unix.IPPROTO_IPV6, unix.IPV6_HOPLIMIT, 4)
	return &ip6{to: net.IPAddr{IP: make(net.IP, net.IPv6len)}, oob: oob, info: oob[info:], hops: oob[hops:]}
}

// open leaves IPV6_CHECKSUM off: with it the kernel would throw packets with a wrong checksum away unseen, and the
// counter for them would stay 0 for ever. Package wire computes and verifies.
func (s *ip6) open() (*socket, error) {
	sock, conn, err := newIPSocket("raw socket for IPv6 protocol 112", unix.AF_INET6, wire.Protocol)
	if err != nil {
		return nil, err
	}
	s.PacketConn = ipv6.NewPacketConn(conn)
	s.in = newReceiver6(sock)
	return sock, nil
}

// ReadBatch replaces that of PacketConn.
func (s *ip6) ReadBatch(ms []ipv6.Message, flags int) (int, error) { return s.in.ReadBatch(ms, flags) }

func (s *ip6) options(sock *socket) error {
	return cmp.Or(
		setting("IPV6_MULTICAST_ALL", sock.set(unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_ALL, 0)),
		setting("IPV6_MULTICAST_LOOP", s.SetMulticastLoopback(false)),
		setting("IPV6_MULTICAST_HOPS", s.SetMulticastHopLimit(wire.TTL)),
		setting("IPV6_UNICAST_HOPS", s.SetHopLimit(wire.TTL)),
		setting("IPV6_TCLASS", s.SetTrafficClass(dscpCS6)),
		setting("IPV6_RECVPKTINFO and IPV6_RECVHOPLIMIT", s.SetControlMessage(ipv6.FlagDst|ipv6.FlagHopLimit, true)),
	)
}

func (s *ip6) address(src, dst netip.Addr, index int, ttl uint8) (net.Addr, []byte) {
	from, to := src.As16(), dst.As16()
	copy(s.info, from[:])
	putInt(s.info[pktinfo6Index:], index)
	putInt(s.hops, int(ttl))
	copy(s.to.IP, to[:])
	return &s.to, s.oob
}

// header takes the facts from the control messages: over IPv6 the kernel keeps the header to itself.
func (*ip6) header(msg, oob []byte, from net.Addr, d *datagram) {
	d.Src = netip.AddrFrom16([16]byte(from.(*net.IPAddr).IP))
	d.payload = msg
	eachControl(oob, func(level, typ int32, data []byte) {
		overflow(level, typ, data, d)
		switch {
		case level != unix.IPPROTO_IPV6:
		case typ == unix.IPV6_PKTINFO && len(data) >= pktinfo6Len:
			d.Dst = netip.AddrFrom16([16]byte(data[:16]))
		case typ == unix.IPV6_HOPLIMIT && len(data) >= 4:
			d.TTL = uint8(binary.NativeEndian.Uint32(data))
		}
	})
}
