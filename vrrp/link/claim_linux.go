package link

import (
	"cmp"
	"errors"
	"net/netip"

	"golang.org/x/net/bpf"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// openARP opens a packet socket for the ARP packets that arrive on the interface with one of addrs as their sender. Own
// packets do not come back to such a socket.
func openARP(iface string, addrs []netip.Addr) (*socket, error) {
	// Protocol 0 keeps every frame away until the filter is there.
	s, err := newSocket("packet socket", unix.AF_PACKET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return nil, err
	}
	filter, err := bpf.Assemble(arpFilter(addrs))
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	index, err := s.indexOf(iface)
	if err == nil {
		err = cmp.Or(
			setting("SO_ATTACH_FILTER", s.attach(filter)),
			s.grow(claimBuffer),
			s.control(func(fd int) error {
				return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_ARP), Ifindex: index})
			}),
		)
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// mostFiltered is how many addresses the kernel looks for by itself; a filter has up to 4096 instructions.
const mostFiltered = 1024

// arpFilter lets through what one of addrs is the sender of, and everything if there are too many of them.
func arpFilter(addrs []netip.Addr) []bpf.Instruction {
	pass, drop := bpf.RetConstant{Val: maxClaim}, bpf.RetConstant{Val: 0}
	if len(addrs) > mostFiltered {
		return []bpf.Instruction{pass}
	}
	program := []bpf.Instruction{bpf.LoadAbsolute{Off: arpSenderIP, Size: 4}}
	for _, a := range addrs {
		b := a.As4()
		v := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
		program = append(program, bpf.JumpIf{Cond: bpf.JumpEqual, Val: v, SkipFalse: 1}, pass)
	}
	return append(program, drop)
}

// attach sets the filter of a socket.
func (s *socket) attach(filter []bpf.RawInstruction) error {
	program := make([]unix.SockFilter, len(filter))
	for i, f := range filter {
		program[i] = unix.SockFilter{Code: f.Op, Jt: f.Jt, Jf: f.Jf, K: f.K}
	}
	return s.control(func(fd int) error {
		return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
	})
}

// openAdvertisements opens a raw socket for the neighbor advertisements that arrive on the interface.
func openAdvertisements(iface string) (*socket, error) {
	s, conn, err := newIPSocket("raw socket for ICMPv6", unix.AF_INET6, unix.IPPROTO_ICMPV6)
	if err != nil {
		return nil, err
	}
	p := ipv6.NewPacketConn(conn)
	var only ipv6.ICMPFilter
	only.SetAll(true)
	only.Accept(ipv6.ICMPTypeNeighborAdvertisement)
	_, err = s.indexOf(iface)
	if err == nil {
		err = cmp.Or(
			setting("ICMPV6_FILTER", p.SetICMPFilter(&only)),
			s.control(func(fd int) error { return unix.BindToDevice(fd, iface) }),
			setting("IPV6_RECVHOPLIMIT", p.SetControlMessage(ipv6.FlagHopLimit, true)),
			s.grow(claimBuffer),
		)
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}
