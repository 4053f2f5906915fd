package witness

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"failoverd/failover/heartbeat"
)

const (
	// dscpCS6 is the traffic class of network control, which advertisements have, too.
	dscpCS6 = 0xc0

	// receiveBuffer is what a listener asks the kernel for: some seconds of a large network's heartbeats.
	receiveBuffer = 1 << 20

	controlSpace = 128

	// Pauses after failed reads double from the first to the last.
	firstPause = time.Millisecond
	lastPause  = time.Second
)

// socket is a UDP socket. One goroutine reads; sending is for the owner.
type socket struct {
	conn    *net.UDPConn
	raw     syscall.RawConn
	six     bool
	asks    bool          // it sends requests, and is told what the network thinks of them
	closing chan struct{} // closed before the socket is
	ended   chan struct{} // closed when its reader has ended
}

// datagram is what was received. The payload is valid until the next one.
type datagram struct {
	payload []byte
	from    netip.AddrPort
	local   netip.Addr // where it was sent to; invalid: unknown
	index   int        // of the interface, for a link-local sender
	lost    uint64     // datagrams that the kernel has thrown away since the one before
}

// openSocket opens a socket in the network namespace of the calling thread. One that asks has a port of the kernel's choice.
func openSocket(addr netip.AddrPort, asks bool) (*socket, error) {
	network, six := "udp4", addr.Addr().Unmap().Is6()
	if six {
		network = "udp6"
	}
	conn, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return nil, fmt.Errorf("open UDP socket %v: %w", addr, bare(err))
	}
	s := &socket{conn: conn, six: six, asks: asks, closing: make(chan struct{}), ended: make(chan struct{})}
	if s.raw, err = conn.SyscallConn(); err == nil {
		err = s.control(s.options)
	}
	if err != nil {
		return nil, fmt.Errorf("open UDP socket %v: %w", addr, errors.Join(err, conn.Close()))
	}
	return s, nil
}

// bare returns the errno inside err, if there is one: what package net puts around it says nothing more.
func bare(err error) error {
	if errno, ok := errors.AsType[unix.Errno](err); ok {
		return errno
	}
	return err
}

func (s *socket) control(f func(fd int) error) error {
	var inner error
	if err := s.raw.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return net.ErrClosed // there is no other reason
	}
	return inner
}

// options sets what differs from a plain socket. No option says "don't fragment": a long heartbeat in two pieces is
// better than none.
func (s *socket) options(fd int) error {
	level, all := unix.IPPROTO_IP, []struct{ name, value int }{
		{unix.IP_TOS, dscpCS6}, {unix.IP_PKTINFO, 1}, {unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT},
	}
	told := unix.IP_RECVERR
	if s.six {
		level, told = unix.IPPROTO_IPV6, unix.IPV6_RECVERR
		all[0].name, all[1].name, all[2].name = unix.IPV6_TCLASS, unix.IPV6_RECVPKTINFO, unix.IPV6_MTU_DISCOVER
	}
	if s.asks { // without it a socket that is not connected is told nothing
		all = append(all, struct{ name, value int }{told, 1})
	}
	for _, o := range all {
		if err := unix.SetsockoptInt(fd, level, o.name, o.value); err != nil {
			return fmt.Errorf("set option %d: %w", o.name, err)
		}
	}
	if s.asks {
		return nil
	}
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer) // up to the system's limit, then
	}
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1)
}

// close closes the socket and waits for its reader, which waits for nothing.
func (s *socket) close() {
	close(s.closing)
	_ = s.conn.Close() // it is of no use any more in any case
	<-s.ended
}

// run reads until close. Whatever else goes wrong is told to failed and outlived.
func (s *socket) run(take func(*datagram), failed func(error)) {
	var (
		d    datagram
		lost uint32
		wait = firstPause
		b    = make([]byte, heartbeat.MaxLen+1) // a longer one is cut and has the wrong length
		oob  = make([]byte, controlSpace)
	)
	for {
		n, oobn, _, from, err := s.conn.ReadMsgUDPAddrPort(b, oob)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			failed(bare(err))
			s.forgive()
			if !s.pause(wait) {
				return
			}
			wait = min(2*wait, lastPause)
			continue
		}
		wait = firstPause
		d = datagram{payload: b[:n], from: netip.AddrPortFrom(from.Addr().Unmap(), from.Port())}
		d.lost = s.facts(oob[:oobn], &d, &lost)
		take(&d)
	}
}

// pause waits for d, or less if the socket is closed meanwhile; it reports whether it is still open.
func (s *socket) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.closing:
		return false
	}
}

// facts reads the control messages of a datagram, and returns how many were lost before it; lost is the kernel's count,
// which wraps.
func (s *socket) facts(oob []byte, d *datagram, lost *uint32) (missed uint64) {
	for len(oob) > 0 {
		h, data, rest, err := unix.ParseOneSocketControlMessage(oob)
		if err != nil {
			return missed
		}
		oob = rest
		switch {
		case h.Level == unix.SOL_SOCKET && h.Type == unix.SO_RXQ_OVFL && len(data) >= 4:
			now := binary.NativeEndian.Uint32(data)
			missed, *lost = uint64(now-*lost), now
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			d.local = netip.AddrFrom4([4]byte(data[4:8])) // ipi_spec_dst: what a reply is to come from
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			if a := netip.AddrFrom16([16]byte(data[:16])); !a.IsMulticast() {
				d.local = a
			}
			if d.from.Addr().IsLinkLocalUnicast() {
				d.index = int(binary.NativeEndian.Uint32(data[16:]))
			}
		}
	}
	return missed
}

// send sends without waiting, from a certain address (or, if it is invalid, the kernel's choice); index is that of the
// interface for a link-local destination, 0: the one that its zone names.
func (s *socket) send(b []byte, to netip.AddrPort, from netip.Addr, index int) error {
	return s.control(func(fd int) error {
		sa, err := address(fd, to, index)
		if err != nil {
			return err
		}
		_, err = unix.SendmsgN(fd, b, source(from), sa, unix.MSG_DONTWAIT)
		if s.asks && err != nil && err != unix.EAGAIN {
			// It may be what came of the one before, which keeps this one from being sent.
			forgive(fd)
			_, err = unix.SendmsgN(fd, b, source(from), sa, unix.MSG_DONTWAIT)
		}
		return err
	})
}

// address is a destination for the kernel.
func address(fd int, to netip.AddrPort, index int) (unix.Sockaddr, error) {
	ip := to.Addr().Unmap()
	if ip.Is4() {
		return &unix.SockaddrInet4{Port: int(to.Port()), Addr: ip.As4()}, nil
	}
	if index == 0 && ip.Zone() != "" {
		req, err := unix.NewIfreq(ip.Zone())
		if err == nil {
			err = unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, req)
		}
		if err != nil {
			return nil, fmt.Errorf("interface %s: %w", ip.Zone(), err)
		}
		index = int(req.Uint32())
	}
	return &unix.SockaddrInet6{Port: int(to.Port()), ZoneId: uint32(index), Addr: ip.As16()}, nil
}

// source is the control message that says where a datagram comes from.
func source(from netip.Addr) []byte {
	switch {
	case !from.IsValid():
		return nil
	case from.Is4():
		return unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: from.As4()})
	}
	return unix.PktInfo6(&unix.Inet6Pktinfo{Addr: from.As16()})
}

// forgive empties the queue of errors, which takes room of what is received.
func (s *socket) forgive() {
	_ = s.control(func(fd int) error { // closed: nothing is left in it
		forgive(fd)
		return nil
	})
}

func forgive(fd int) {
	var b [1]byte
	for range 64 { // it cannot be refilled faster than that for long
		if _, _, _, _, err := unix.Recvmsg(fd, b[:], nil, unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT); err != nil {
			return
		}
	}
}
