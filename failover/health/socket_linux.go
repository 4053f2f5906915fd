package health

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// link is a socket that is connected to an address. A read or a write ends with the context of the dial, so
// that no probe needs a goroutine of its own for that.
//
// It is no connection of package net because a thousand probes a second should not pay for what they do not use: lists of
// addresses, races between families, keep-alive; and because a socket that belongs to another network namespace cannot be
// opened there.
type link struct {
	*os.File
	remote netip.AddrPort
	stop   func() bool // withdraws what ends the link with its context
}

// long ago is a deadline that ends whatever waits.
var longAgo = time.Unix(1, 0)

// follow makes l end with a context.
func (l *link) follow(ctx context.Context) {
	l.stop = context.AfterFunc(ctx, func() { _ = l.SetDeadline(longAgo) })
}

// leave makes l not end with its context any more.
func (l *link) leave() {
	if l.stop != nil {
		l.stop()
	}
}

// Close ends the connection.
func (l *link) Close() error {
	l.leave()
	return l.File.Close()
}

// LocalAddr implements net.Conn. Nobody asks.
func (l *link) LocalAddr() net.Addr { return &net.TCPAddr{} }

// RemoteAddr implements net.Conn.
func (l *link) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(l.remote) }

// datagrams is a link by UDP, as package net's resolver wants it.
type datagrams struct{ *link }

// ReadFrom implements net.PacketConn.
func (d datagrams) ReadFrom(b []byte) (int, net.Addr, error) {
	n, err := d.Read(b)
	return n, d.RemoteAddr(), err
}

// WriteTo implements net.PacketConn.
func (d datagrams) WriteTo(b []byte, _ net.Addr) (int, error) { return d.Write(b) }

// socket opens one of a family, in the namespace of the way, and makes it leave by the way.
func (w way) socket(family, kind, protocol int) (fd int, err error) {
	if w.namespace == "" {
		fd, err = open(family, kind, protocol)
	} else {
		fd, err = w.openWithin(family, kind, protocol)
	}
	if err != nil {
		return -1, err
	}
	if err := w.bind(fd, family); err != nil {
		_ = unix.Close(fd) // nothing was sent
		return -1, err
	}
	return fd, nil
}

func open(family, kind, protocol int) (fd int, err error) {
	fd, err = unix.Socket(family, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
	return fd, os.NewSyscallError("socket", err)
}

func (w way) openWithin(family, kind, protocol int) (fd int, err error) {
	err = within(w.namespace, func() (err error) {
		fd, err = open(family, kind, protocol)
		return err
	})
	return fd, err
}

// bind ties a socket to the interface and the address that the way begins with. The kernel chooses the port when it
// knows where the connection leads to, so that there are enough of them.
func (w way) bind(fd, family int) error {
	if w.device != "" {
		if err := unix.BindToDevice(fd, w.device); err != nil {
			return os.NewSyscallError("bind to device", err)
		}
	}
	if !w.source.IsValid() {
		return nil
	}
	if w.source.Is4() != (family == unix.AF_INET) {
		return errFamily
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1) // saves ports where it works
	to, err := socketAddress(fd, netip.AddrPortFrom(w.source, 0))
	if err != nil {
		return err
	}
	return os.NewSyscallError("bind", unix.Bind(fd, to))
}

var errFamily = errors.New("source is of another family")

// socketAddress returns the kernel's form of an address. The zone of one is an interface where the socket is.
func socketAddress(fd int, a netip.AddrPort) (unix.Sockaddr, error) {
	if a.Addr().Is4() || a.Addr().Is4In6() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().Unmap().As4()}, nil
	}
	to := &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
	zone := a.Addr().Zone()
	if zone == "" {
		return to, nil
	}
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		to.ZoneId = uint32(n)
		return to, nil
	}
	request, err := unix.NewIfreq(zone)
	if err == nil {
		err = unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, request)
	}
	if err != nil {
		return nil, os.NewSyscallError("interface "+zone, err)
	}
	to.ZoneId = request.Uint32()
	return to, nil
}

// connect returns a socket of a kind that is connected to an address, or fails when ctx ends. An error says which address it
// is about. prepare, unless it is nil, is called with the socket before.
func (w way) connect(ctx context.Context, kind, protocol int, a netip.AddrPort, prepare func(fd int) error) (*link, error) {
	s, err := w.begin(ctx, kind, protocol, a, prepare)
	if err != nil {
		return nil, err
	}
	return s.link(ctx)
}

// attempt is a socket that is connected, or is about to be. It belongs to whoever began it, until it is made a link.
type attempt struct {
	fd         int
	remote     netip.AddrPort
	connecting bool
}

// begin begins what connect does, and waits for nothing but what the kernel may take its time for, such as to look for the
// interface of an address. That is a hurdle.
func (w way) begin(ctx context.Context, kind, protocol int, a netip.AddrPort, prepare func(fd int) error) (attempt, error) {
	defer hinder(ctx, neverAsked)()
	family := unix.AF_INET6
	if a.Addr().Unmap().Is4() {
		family = unix.AF_INET
	}
	fd, err := w.socket(family, kind, protocol)
	if err != nil {
		return attempt{}, dialError(a, err)
	}
	s := attempt{fd: fd, remote: a}
	if prepare != nil {
		err = prepare(fd)
	}
	if err == nil {
		s.connecting, err = connect(fd, a)
	}
	if err != nil {
		_ = unix.Close(fd) // it was never connected
		return attempt{}, dialError(a, err)
	}
	return s, nil
}

// open makes a link of the socket, which may not be connected yet: a write waits for that.
func (s attempt) open(ctx context.Context) *link {
	l := &link{File: os.NewFile(uintptr(s.fd), "probe"), remote: s.remote}
	l.follow(ctx)
	return l
}

// link waits until the socket is connected, or ctx ends.
func (s attempt) link(ctx context.Context) (*link, error) {
	l := s.open(ctx)
	if s.connecting && !connected(s.fd) { // a target on this machine has answered already
		if err := l.established(); err != nil {
			_ = l.Close() // it was never connected
			return nil, dialError(s.remote, err)
		}
	}
	return l, nil
}

// abrupt makes the end of a connection a reset. With a thousand probes a second, those that end in order would leave sixty
// thousand connections in TIME-WAIT, more than there are ports for one target; whoever has closed first is rid of its own one,
// too.
func abrupt(fd int) error {
	return os.NewSyscallError("setsockopt", unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}))
}

// talkative is abrupt, for whoever writes as soon as it can: what it has to acknowledge goes with what it writes, the end of
// the handshake with the request.
func talkative(fd int) error {
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_QUICKACK, 0) // it saves packets, that is all
	return abrupt(fd)
}

// connect begins to connect, and reports whether that goes on.
func connect(fd int, a netip.AddrPort) (goesOn bool, err error) {
	to, err := socketAddress(fd, a)
	if err != nil {
		return false, err
	}
	switch err := unix.Connect(fd, to); {
	case err == nil:
		return false, nil
	case errors.Is(err, unix.EINPROGRESS), errors.Is(err, unix.EINTR), errors.Is(err, unix.EALREADY):
		return true, nil
	default:
		return false, os.NewSyscallError("connect", err)
	}
}

// established waits until the socket is connected.
func (l *link) established() error {
	raw, err := l.SyscallConn()
	if err != nil {
		return err
	}
	var failure error
	err = raw.Write(func(fd uintptr) bool {
		is, err := establishing(int(fd))
		failure = err
		return is || err != nil
	})
	return errors.Join(failure, err)
}

// establishing reports whether a socket that was not connected is, and why it will never be. Nobody says that it is ready when it
// is not: a poller may.
func establishing(fd int) (is bool, err error) {
	number, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	switch e := syscall.Errno(number); {
	case err != nil:
		return false, os.NewSyscallError("getsockopt", err)
	case e == 0:
		return connected(fd), nil
	case e == unix.EINPROGRESS, e == unix.EALREADY, e == unix.EINTR:
		return false, nil
	default:
		return false, os.NewSyscallError("connect", e)
	}
}

// dialError says what could not be reached.
func dialError(a netip.AddrPort, err error) error {
	return &net.OpError{Op: "dial", Net: "ip", Addr: net.TCPAddrFromAddrPort(a), Err: err}
}
