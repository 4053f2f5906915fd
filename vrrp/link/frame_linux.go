package link

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"failoverd/vrrp/wire"
)

const (
	ethernetHeader = 14
	ip4Header      = 20
	ip6Header      = 40
)

var (
	errNotMulticast = errors.New("only multicast can be sent from a virtual link-layer address")
	errNoFrames     = errors.New("the link is bound to no interface")
	errNotEthernet  = errors.New("the interface is not an Ethernet")
)

// SendFrom is Send to a multicast group with another link-layer source than that of the interface: the virtual
// router's, so that switches learn where it is (RFC 9568 section 7.3). The frame leaves by the interface of the link,
// not by a macvlan interface that has the same address, and is otherwise what Send would emit, but for the IPv4
// identification and the IPv6 flow label. src is taken as it is, whether this host has it or not.
//
// It fails on the unicast link, on an interface that is not an Ethernet, and for a dst that is not multicast. What Send
// says about waiting, allocations and concurrency is true here, and the two share one caller.
func (l *Link) SendFrom(mac [6]byte, payload []byte, src, dst netip.Addr, ttl uint8) error {
	err := l.sendFrom(mac, payload, src, dst, ttl)
	if err != nil {
		l.failed.Add(1)
		return fmt.Errorf("send on link %s from %x at %v to %v: %w", l.id, mac, src, dst, err)
	}
	l.sent.Add(1)
	return nil
}

func (l *Link) sendFrom(mac [6]byte, payload []byte, src, dst netip.Addr, ttl uint8) error {
	switch {
	case !src.IsValid() || !dst.IsValid() || wire.FamilyOf(src) != l.id.Family || wire.FamilyOf(dst) != l.id.Family:
		return errAddress
	case l.frames == nil:
		return errNoFrames
	case !dst.IsMulticast():
		return errNotMulticast
	case !l.frames.ethernet:
		return errNotEthernet
	}
	if ttl == 0 {
		ttl = wire.TTL
	}
	return l.frames.send(mac, payload, src, dst, ttl)
}

// framer sends whole Ethernet frames on one interface. One goroutine at a time uses it; it allocates nothing once its
// buffer has the size of the largest frame.
type framer struct {
	sock     *socket
	ethernet bool
	to       unix.SockaddrLinklayer
	frame    []byte
	id       uint16 // the last IPv4 identification
	step     func(fd uintptr)
	err      error // of step
}

func openFramer(iface string) (*framer, error) {
	s, err := openPacket(iface)
	if err != nil {
		return nil, err
	}
	f := &framer{sock: s}
	f.step = func(fd uintptr) { f.err = unix.Sendto(int(fd), f.frame, unix.MSG_DONTWAIT, &f.to) }
	err = s.control(func(fd int) error {
		sa, err := unix.Getsockname(fd)
		if ll, ok := sa.(*unix.SockaddrLinklayer); ok {
			f.ethernet, f.to.Ifindex = ll.Hatype == unix.ARPHRD_ETHER && ll.Halen == 6, ll.Ifindex
		}
		return err
	})
	if err == nil {
		err = setting("SO_PRIORITY", s.set(unix.SOL_SOCKET, unix.SO_PRIORITY, priorityControl))
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return f, nil
}

func (f *framer) send(mac [6]byte, payload []byte, src, dst netip.Addr, ttl uint8) error {
	to := multicastMAC(dst)
	f.frame = append(append(f.frame[:0], to[:]...), mac[:]...)
	if src.Is4() {
		f.to.Protocol = networkOrder(unix.ETH_P_IP)
		f.id++
		f.frame = appendIP4(binary.BigEndian.AppendUint16(f.frame, unix.ETH_P_IP), src, dst, ttl, f.id, len(payload))
	} else {
		f.to.Protocol = networkOrder(unix.ETH_P_IPV6)
		f.frame = appendIP6(binary.BigEndian.AppendUint16(f.frame, unix.ETH_P_IPV6), src, dst, ttl, len(payload))
	}
	f.frame = append(f.frame, payload...)
	if err := f.sock.raw.Control(f.step); err != nil {
		return f.sock.fault(err)
	}
	return f.err
}

// multicastMAC returns the link-layer address of a multicast group (RFC 1112 section 6.4, RFC 2464 section 7).
func multicastMAC(group netip.Addr) [6]byte {
	if group.Is4() {
		a := group.As4()
		return [6]byte{0x01, 0x00, 0x5e, a[1] & 0x7f, a[2], a[3]}
	}
	a := group.As16()
	return [6]byte{0x33, 0x33, a[12], a[13], a[14], a[15]}
}

// appendIP4 appends an IPv4 header without options for n octets of VRRP.
func appendIP4(b []byte, src, dst netip.Addr, ttl uint8, id uint16, n int) []byte {
	start := len(b)
	b = append(b, 0x45, dscpCS6)
	b = binary.BigEndian.AppendUint16(b, uint16(ip4Header+n))
	b = binary.BigEndian.AppendUint16(b, id)
	b = append(b, 0, 0, ttl, wire.Protocol, 0, 0)
	from, to := src.As4(), dst.As4()
	b = append(append(b, from[:]...), to[:]...)
	var sum uint32
	for h := b[start:]; len(h) > 0; h = h[2:] {
		sum += uint32(binary.BigEndian.Uint16(h))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(b[start+10:], ^uint16(sum))
	return b
}

// appendIP6 appends an IPv6 header for n octets of VRRP.
func appendIP6(b []byte, src, dst netip.Addr, hops uint8, n int) []byte {
	b = binary.BigEndian.AppendUint32(b, 6<<28|dscpCS6<<20)
	b = binary.BigEndian.AppendUint16(b, uint16(n))
	b = append(b, wire.Protocol, hops)
	from, to := src.As16(), dst.As16()
	return append(append(b, from[:]...), to[:]...)
}
