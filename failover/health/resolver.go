package health

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// target is a host with a port.
type target struct {
	host string
	port uint16
	// address is what the host is if it is no name.
	address netip.Addr
}

// newTarget takes HOST:PORT apart, or HOST if def is not 0.
func newTarget(s string, def uint16) (target, error) {
	host, port, err := net.SplitHostPort(s)
	t := target{host: host, port: def}
	switch {
	case err != nil && def == 0:
		return target{}, err
	case err != nil:
		t.host = strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")
	default:
		n, err := net.LookupPort("tcp", port)
		if err != nil {
			return target{}, err
		}
		t.port = uint16(n)
	}
	if a, err := netip.ParseAddr(t.host); err == nil {
		t.address = a
	}
	return t, nil
}

// dial connects to a target, by its addresses one after the other, which share what time is left. prepare is that of connect.
func (w way) dial(ctx context.Context, kind int, t *target, prepare func(fd int) error) (*link, error) {
	if t.address.IsValid() {
		return w.connect(ctx, kind, 0, netip.AddrPortFrom(t.address, t.port), prepare)
	}
	all, err := w.resolve(ctx, t.host)
	if err != nil {
		return nil, err
	}
	var first error
	for i, a := range all {
		l, err := w.dialBy(ctx, kind, netip.AddrPortFrom(a, t.port), len(all)-i, prepare)
		if err == nil {
			return l, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

// dialBy connects to one of several addresses that are left, within its part of the time.
func (w way) dialBy(ctx context.Context, kind int, a netip.AddrPort, left int, prepare func(fd int) error) (*link, error) {
	deadline, limited := ctx.Deadline()
	if !limited || left == 1 {
		return w.connect(ctx, kind, 0, a, prepare)
	}
	part, cancel := context.WithTimeout(ctx, time.Until(deadline)/time.Duration(left))
	defer cancel()
	l, err := w.connect(part, kind, 0, a, prepare)
	if err == nil {
		l.leave()
		l.follow(ctx)
	}
	return l, err
}

// resolve returns the addresses of a host that this way may lead to: the host itself if it is an address. There is at least
// one, or an error. It is a hurdle, and stays one if it fails or has taken all the time there was.
func (w way) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	resolver := net.DefaultResolver
	if w.namespace != "" {
		resolver = w.resolver()
	}
	passed := hinder(ctx, resolverSilent)
	all, err := resolver.LookupNetIP(ctx, "ip", host)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	passed()
	var fit []netip.Addr
	for _, a := range all {
		if a = a.Unmap(); !w.source.IsValid() || a.Is4() == w.source.Is4() {
			fit = append(fit, a)
		}
	}
	if len(fit) == 0 {
		return nil, errors.New("no address of the family of source")
	}
	return fit, nil
}

// resolver returns one that asks in the namespace of the way: the servers that ip netns exec gives to programs there
// (/etc/netns/NAME/resolv.conf), or, without that file, those of this node.
func (w way) resolver() *net.Resolver {
	inside := way{namespace: w.namespace}
	own := ownServers("/etc/netns/" + w.namespace + "/resolv.conf")
	next := 0
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		at, err := netip.ParseAddrPort(address)
		if err != nil {
			return nil, err
		}
		if len(own) > 0 {
			at = netip.AddrPortFrom(own[next%len(own)], at.Port())
			next++
		}
		kind := unix.SOCK_STREAM
		if strings.HasPrefix(network, "udp") {
			kind = unix.SOCK_DGRAM
		}
		l, err := inside.connect(ctx, kind, 0, at, nil)
		if err != nil {
			return nil, err
		}
		if kind == unix.SOCK_DGRAM {
			return datagrams{l}, nil
		}
		return l, nil
	}}
}

// ownServers returns the servers that a resolv.conf names; none if there is no such file.
func ownServers(path string) (list []netip.Addr) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	for line := range bytes.Lines(text) {
		f := bytes.Fields(line)
		if len(f) < 2 || string(f[0]) != "nameserver" {
			continue
		}
		if a, err := netip.ParseAddr(string(f[1])); err == nil {
			list = append(list, a)
		}
	}
	return list
}
