package link

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"

	"failoverd/vrrp/wire"
)

// device is what an announcement needs to know about an interface.
type device struct {
	index int
	mac   net.HardwareAddr
	quiet bool // it has no neighbours to tell
	up    bool
}

// openPacket opens a packet socket that is bound to the interface and receives nothing.
func openPacket(iface string) (*socket, error) {
	// Protocol 0 keeps every frame away; what is sent carries its own EtherType.
	s, err := newSocket("packet socket", unix.AF_PACKET, unix.SOCK_RAW, 0)
	if err != nil {
		return nil, err
	}
	index, err := s.indexOf(iface)
	if err == nil {
		err = s.control(func(fd int) error { return unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: index}) })
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// deviceOf asks the kernel about the interface that a packet socket is bound to. The name of that socket carries the
// link-layer address of the moment: none when the interface is gone.
func deviceOf(s *socket, name string) (device, error) {
	var sa unix.Sockaddr
	err := s.control(func(fd int) (err error) {
		sa, err = unix.Getsockname(fd)
		return err
	})
	if err != nil {
		return device{}, err
	}
	ll, ok := sa.(*unix.SockaddrLinklayer)
	if !ok {
		return device{}, fmt.Errorf("packet socket with an address of type %T", sa)
	}
	if err := s.owns(name, ll.Ifindex); err != nil {
		return device{}, err
	}
	flags, err := s.flagsOf(name)
	if err != nil {
		return device{}, err
	}
	return device{
		index: ll.Ifindex,
		mac:   net.HardwareAddr(bytes.Clone(ll.Addr[:min(int(ll.Halen), len(ll.Addr))])),
		quiet: flags&(unix.IFF_LOOPBACK|unix.IFF_NOARP) != 0 || ll.Halen == 0,
		up:    flags&unix.IFF_UP != 0,
	}, nil
}

// sendFrame sends an Ethernet frame without waiting.
func sendFrame(s *socket, index int, frame []byte) error {
	to := &unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_ARP), Ifindex: index}
	return s.control(func(fd int) error { return unix.Sendto(fd, frame, unix.MSG_DONTWAIT, to) })
}

// neighbor is a socket that sends Neighbor Discovery messages.
type neighbor struct {
	sock *socket
	out  *writer
}

// openNeighbor opens the socket. For ICMPv6 the kernel always fills in the checksum (RFC 3542 section 3.1).
func openNeighbor() (*neighbor, error) {
	s, conn, err := newIPSocket("raw socket for ICMPv6", unix.AF_INET6, unix.IPPROTO_ICMPV6)
	if err != nil {
		return nil, err
	}
	p := ipv6.NewPacketConn(conn)
	var all ipv6.ICMPFilter
	all.SetAll(true) // nobody reads this socket
	err = cmp.Or(
		setting("IPV6_MULTICAST_LOOP", p.SetMulticastLoopback(false)),
		setting("IPV6_TCLASS", p.SetTrafficClass(dscpCS6)),
		setting("ICMPV6_FILTER", p.SetICMPFilter(&all)),
	)
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return &neighbor{s, newWriter(s, p)}, nil
}

var allNodes = netip.MustParseAddr("ff02::1")

// send sends msg to all nodes on an interface. Neighbor Discovery is believed at hop limit 255 only.
func (n *neighbor) send(msg []byte, src netip.Addr, index int) error {
	cm := ipv6.ControlMessage{HopLimit: wire.TTL, Src: src.AsSlice(), IfIndex: index}
	return n.out.write(msg, cm.Marshal(), &net.IPAddr{IP: allNodes.AsSlice()})
}

// forwards reports whether the interface forwards IPv6 packets, that is, whether this host is a router on it.
func forwards(iface string) (bool, error) {
	b, err := os.ReadFile(filepath.Join("/proc/sys/net/ipv6/conf", iface, "forwarding"))
	if err != nil {
		return false, err
	}
	return string(bytes.TrimSpace(b)) != "0", nil
}
