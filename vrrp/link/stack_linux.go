package link

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"

	"failoverd/vrrp/wire"
)

const (
	// dscpCS6 is the octet of the IP header that carries DSCP CS6, the class of routing protocols (RFC 4594 section
	// 3.1): RFC 9568 section 2.5 warns of advertisements that wait in queues behind bulk traffic.
	dscpCS6 = 0xc0

	// priorityControl is the kernel's own queueing priority for the same purpose, and the highest that needs no
	// further capability.
	priorityControl = 6

	// receiveBuffer holds about a second of a flood of 10 000 packets, each of which occupies some 768 octets.
	receiveBuffer = 4 << 20
)

// stack is what differs between the two versions of IP: an ipv4.PacketConn or ipv6.PacketConn and what it lacks. A
// value belongs to one link: address and header are called by the sender and by the reader, and share nothing.
type stack interface {
	// open opens the socket, which comes before everything else, and returns it for Open to configure.
	open() (*socket, error)
	// options sets what an interface link and the unicast link have in common.
	options(*socket) error

	// Of the PacketConn.
	JoinGroup(ifi *net.Interface, group net.Addr) error
	SetMulticastInterface(ifi *net.Interface) error
	ReadBatch(ms []ipv4.Message, flags int) (int, error)
	batchWriter

	// address returns the socket address and the control messages that send from src to dst, by an interface or,
	// when index is 0, by the one that the routing table says. Both are valid until the next call. The messages are
	// our own: Marshal of a ControlMessage allocates, and that of IPv4 has no TTL.
	address(src, dst netip.Addr, index int, ttl uint8) (net.Addr, []byte)
	// header reads the IP facts of a received message into d, and cuts the payload out of it.
	header(msg, oob []byte, from net.Addr, d *datagram)
}

func stackOf(f wire.Family) (stack, error) {
	switch f {
	case wire.IPv4:
		return newIP4(), nil
	case wire.IPv6:
		return newIP6(), nil
	}
	return nil, fmt.Errorf("address family %d (want 4 or 6)", uint8(f))
}

// configure applies what Open promises and returns the index of the interface, 0 on the unicast link.
func configure(s *socket, id ID, st stack, group netip.Addr) (index int, err error) {
	multicast := id.Interface != ""
	if multicast {
		if index, err = s.indexOf(id.Interface); err != nil {
			return 0, err
		}
		err := s.control(func(fd int) error { return unix.BindToDevice(fd, id.Interface) })
		if err != nil {
			return 0, fmt.Errorf("bind to device: %w", err)
		}
	}
	err = cmp.Or(
		st.options(s),
		setting("SO_PRIORITY", s.set(unix.SOL_SOCKET, unix.SO_PRIORITY, priorityControl)),
		setting("SO_RXQ_OVFL", s.set(unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1)),
		s.grow(receiveBuffer),
	)
	if err != nil || !multicast {
		return 0, err
	}
	ifi := &net.Interface{Index: index}
	err = bare(cmp.Or(
		st.JoinGroup(ifi, &net.IPAddr{IP: group.AsSlice()}),
		st.SetMulticastInterface(ifi)))
	switch {
	case errors.Is(err, unix.ENODEV), errors.Is(err, unix.EINVAL): // older and newer kernels
		return 0, fmt.Errorf("join %v: %w (no %v on this interface: its MTU is too small)", group, err, id.Family)
	case err != nil:
		return 0, fmt.Errorf("join %v: %w", group, err)
	}
	// Already due: looking after the interface is the first thing that Run does.
	return index, s.conn.SetReadDeadline(time.Now())
}

// eachControl calls f for every control message in oob.
func eachControl(oob []byte, f func(level, typ int32, data []byte)) {
	for len(oob) > 0 {
		h, data, rest, err := unix.ParseOneSocketControlMessage(oob)
		if err != nil {
			return // cut short by the kernel: what is missing stays zero, and the packet fails a check
		}
		f(h.Level, h.Type, data)
		oob = rest
	}
}

// overflow reads the count of a SO_RXQ_OVFL message.
func overflow(level, typ int32, data []byte, d *datagram) {
	if level == unix.SOL_SOCKET && typ == unix.SO_RXQ_OVFL && len(data) >= 4 {
		d.lost = binary.NativeEndian.Uint32(data)
	}
}
