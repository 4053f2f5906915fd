package health

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// way is where probes leave from: an address of this node, or an interface; the zero value leaves it to the kernel. All
// of it is in a network namespace, unless that is empty.
type way struct {
	source    netip.Addr
	device    string
	namespace string
}

// reachable returns why nothing can be sent to an address this way: no route, no such address or interface, no permission.
// It asks the kernel, and sends nothing: a UDP socket that is connected has been given a route.
func (w way) reachable(ctx context.Context, a netip.Addr) error {
	const discard = 9 // any port will do
	l, err := w.connect(ctx, unix.SOCK_DGRAM, 0, netip.AddrPortFrom(a, discard), mayBroadcast)
	if err != nil {
		return err
	}
	return l.Close()
}

// mayBroadcast lets a socket send to what may be a broadcast address.
func mayBroadcast(fd int) error {
	return os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BROADCAST, 1))
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
	var outside *namespaceError
	if errors.As(err, &outside) {
		return outcome{blind: true, cause: harmless(outside.Error())}
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
		o.cause = resolverSilent
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
