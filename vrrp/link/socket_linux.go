package link

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// socket is a non-blocking kernel socket known to the runtime's poller: reading waits without a thread, and close
// wakes the reader.
type socket struct {
	conn   conn
	raw    syscall.RawConn
	closed atomic.Bool
}

// conn is what *os.File and *net.IPConn have in common.
type conn interface {
	io.Closer
	syscall.Conn
	SetReadDeadline(time.Time) error
}

// newIPSocket opens a raw socket, and returns it once more as the connection that packages ipv4 and ipv6 work on. what
// names it in errors.
func newIPSocket(what string, domain, proto int) (*socket, *net.IPConn, error) {
	network := "ip4"
	if domain == unix.AF_INET6 {
		network = "ip6"
	}
	c, err := net.ListenIP(fmt.Sprintf("%s:%d", network, proto), nil)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w%s", what, bare(err), hint(domain, err))
	}
	s, err := adopt(what, c)
	return s, c, err
}

// newSocket opens a socket of any other kind.
func newSocket(what string, domain, typ, proto int) (*socket, error) {
	fd, err := unix.Socket(domain, typ|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, proto)
	if err != nil {
		return nil, fmt.Errorf("%s: %w%s", what, err, hint(domain, err))
	}
	return adopt(what, os.NewFile(uintptr(fd), what))
}

func adopt(what string, c conn) (*socket, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", what, err), c.Close())
	}
	return &socket{conn: c, raw: raw}, nil
}

// hint says what an operator can do about a socket that cannot be opened.
func hint(domain int, err error) string {
	switch {
	case errors.Is(err, unix.EPERM):
		return " (CAP_NET_RAW is missing)"
	case errors.Is(err, unix.EAFNOSUPPORT) && domain == unix.AF_INET6:
		return " (this kernel runs without IPv6)"
	}
	return ""
}

func (s *socket) close() error {
	s.closed.Store(true)
	return s.conn.Close()
}

// control calls f with the file descriptor.
func (s *socket) control(f func(fd int) error) error {
	var inner error
	if err := s.raw.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return s.fault(err)
	}
	return inner
}

// fault makes a use after close recognisable: a RawConn reports it with an error that package os keeps to itself.
func (s *socket) fault(err error) error {
	if err != nil && s.closed.Load() {
		return os.ErrClosed
	}
	return bare(err)
}

// bare returns the errno inside err, if there is one. What package net puts around it, as in "write ip ::: sendmmsg",
// says nothing more.
func bare(err error) error {
	if err == nil {
		return nil
	}
	if errno, ok := errors.AsType[unix.Errno](err); ok {
		return errno
	}
	return err
}

// set sets an integer option that packages ipv4 and ipv6 do not know.
func (s *socket) set(level, name, value int) error {
	return s.control(func(fd int) error { return unix.SetsockoptInt(fd, level, name, value) })
}

// setting names the option that could not be set.
func setting(what string, err error) error {
	if err != nil {
		return fmt.Errorf("set %s: %w", what, err)
	}
	return nil
}

// grow asks for a receive buffer of n octets: beyond the system's limit where CAP_NET_ADMIN allows it, up to it where not.
func (s *socket) grow(n int) error {
	return s.control(func(fd int) error {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, n) == nil {
			return nil
		}
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, n); err != nil {
			return fmt.Errorf("set SO_RCVBUF: %w", err)
		}
		return nil
	})
}

// indexOf returns the index of an interface in the network namespace of the socket, whatever thread asks.
func (s *socket) indexOf(name string) (int, error) {
	req, err := interfaceRequest(name)
	if err != nil {
		return 0, err
	}
	if err := s.ioctl(unix.SIOCGIFINDEX, req); err != nil {
		return 0, err
	}
	return int(req.Uint32()), nil
}

// flagsOf returns the IFF_* flags of an interface.
func (s *socket) flagsOf(name string) (uint16, error) {
	req, err := interfaceRequest(name)
	if err != nil {
		return 0, err
	}
	if err := s.ioctl(unix.SIOCGIFFLAGS, req); err != nil {
		return 0, err
	}
	return req.Uint16(), nil
}

// owns checks that the interface called name is still the one with that index.
func (s *socket) owns(name string, index int) error {
	switch now, err := s.indexOf(name); {
	case err != nil:
		return err
	case now != index:
		return fmt.Errorf("%w: %s was replaced", ErrNoInterface, name)
	}
	return nil
}

func interfaceRequest(name string) (*unix.Ifreq, error) {
	req, err := unix.NewIfreq(name)
	if err != nil {
		return nil, fmt.Errorf("%w: %q is not an interface name", ErrNoInterface, name)
	}
	return req, nil
}

func (s *socket) ioctl(request uint, req *unix.Ifreq) error {
	err := s.control(func(fd int) error { return unix.IoctlIfreq(fd, request, req) })
	if errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("%w: %s", ErrNoInterface, req.Name())
	}
	return err
}

// appendControl appends one control message of n zero octets to b, and returns b and where the octets are in it.
func appendControl(b []byte, level, typ, n int) (grown []byte, data int) {
	start := len(b)
	b = append(b, make([]byte, unix.CmsgSpace(n))...)
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b[start]))
	h.Level, h.Type = int32(level), int32(typ)
	h.SetLen(unix.CmsgLen(n))
	return b, start + unix.CmsgLen(0)
}

// putInt stores v as the kernel reads an int.
func putInt(b []byte, v int) { binary.NativeEndian.PutUint32(b, uint32(v)) }

// networkOrder returns v as it looks in network order to a machine of this byte order.
func networkOrder(v uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], v)
	return binary.NativeEndian.Uint16(b[:])
}
