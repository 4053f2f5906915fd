package health

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// way is where probes leave from: an address of this node, or an interface; the zero value leaves it to the kernel.
type way struct {
	source netip.Addr
	device string
}

// dialer returns one for connections that leave this way. No keep-alive is needed for what lives for a second.
func (w way) dialer(network string) *net.Dialer {
	d := &net.Dialer{KeepAlive: -1}
	if w.source.IsValid() {
		ap := netip.AddrPortFrom(w.source, 0)
		if network == "udp" {
			d.LocalAddr = net.UDPAddrFromAddrPort(ap)
		} else {
			d.LocalAddr = net.TCPAddrFromAddrPort(ap)
		}
	}
	if w.device != "" {
		d.Control = func(_, _ string, c syscall.RawConn) (err error) {
			if e := c.Control(func(fd uintptr) { err = unix.BindToDevice(int(fd), w.device) }); e != nil {
				return e
			}
			return err
		}
	}
	return d
}

// reachable returns why nothing can be sent to an address this way: no route, no such address or interface, no permission.
// It asks the kernel, and sends nothing: a UDP socket that is connected has been given a route.
func (w way) reachable(ctx context.Context, a netip.Addr) error {
	const discard = 9 // any port will do
	c, err := w.dialer("udp").DialContext(ctx, "udp", netip.AddrPortFrom(a, discard).String())
	if err != nil {
		return err
	}
	return c.Close()
}

// resolve returns an address of a host that this way may lead to, which is the host itself if it is an address.
func (w way) resolve(ctx context.Context, host string) (netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return a, nil
	}
	all, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return netip.Addr{}, err
	}
	for _, a := range all {
		if a = a.Unmap(); !w.source.IsValid() || a.Is4() == w.source.Is4() {
			return a, nil
		}
	}
	return netip.Addr{}, errors.New("no address of the family of source")
}

// Errors of the kernel that say that this node could not even ask.
var ownErrors = []error{
	unix.EPERM, unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, unix.EADDRNOTAVAIL, unix.ENODEV, unix.ENETDOWN,
	unix.EAFNOSUPPORT, unix.EPROTONOSUPPORT,
}

// Errors that the kernel has for routes that it does not have, and also when a router elsewhere says that it has none.
var routeErrors = []error{unix.ENETUNREACH, unix.EHOSTUNREACH, unix.EACCES, unix.EINVAL}

// failure is the outcome of a probe that failed with an error. It finds out who is to blame: this node, which then cannot
// look, or the target. A name that does not exist is the target's fault; one that no resolver could say anything about is
// not.
func (w way) failure(ctx context.Context, err error) outcome {
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return dnsFailure(dns)
	}
	o := outcome{cause: harmless(plain(err)), blind: among(err, ownErrors)}
	var op *net.OpError
	if !o.blind && among(err, routeErrors) && errors.As(err, &op) {
		a := addressOf(op.Addr)
		o.blind = a.IsValid() && w.reachable(ctx, a) != nil
	}
	if o.blind && w.device != "" && errors.Is(err, unix.ENODEV) {
		o.cause = "interface " + w.device + " does not exist"
	}
	if o.blind && w.source.IsValid() && errors.Is(err, unix.EADDRNOTAVAIL) {
		o.cause = "source " + w.source.String() + " is not an address of this node"
	}
	return o
}

func dnsFailure(err *net.DNSError) outcome {
	o := outcome{cause: "no such host " + err.Name, blind: !err.IsNotFound}
	switch {
	case !o.blind:
		return o
	case err.IsTimeout:
		o.cause = "the resolver does not answer"
	default:
		o.cause = "the resolver cannot tell"
	}
	o.said = harmless(err.Error()) // may have the number of a port in it
	return o
}

func among(err error, list []error) bool {
	for _, e := range list {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func addressOf(a net.Addr) netip.Addr {
	switch a := a.(type) {
	case *net.TCPAddr:
		return a.AddrPort().Addr().Unmap()
	case *net.UDPAddr:
		return a.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}
