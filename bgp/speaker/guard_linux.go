package speaker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"failoverd/bgp/gobgp"
)

// lookEvery is how often the interfaces of sessions are looked at: so late is a dead one noticed at most.
const lookEvery = 100 * time.Millisecond

// settling is how many looks after a session came up connections are looked for: gobgp's log is ahead of its state.
const settling = 5

// guard does for the connections of this process what gobgp does not. It bounds how long what was sent may stay without an
// acknowledgement by the hold time (TCP_USER_TIMEOUT, RFC 5482): otherwise an UPDATE could come out of the kernel's queue when the neighbor
// has long given us up, and a neighbor that does not read could keep a session for ever (RFC 9687). And it ends a session with
// a neighbor on the link as soon as the interface is down, instead of a hold time later.
type guard struct {
	server gobgp.Server
	log    *logger
	up     chan struct{} // one place: a session came up
	links  []guarded     // owned by run
}

// guarded is a session with a neighbor on the link.
type guarded struct {
	link          string
	local, remote netip.Addr
}

func newGuard(s gobgp.Server, l *logger) *guard {
	g := &guard{server: s, log: l, up: make(chan struct{}, 1)}
	l.up = func() {
		select {
		case g.up <- struct{}{}:
		default:
		}
	}
	return g
}

// run works until ctx ends. It never blocks gobgp.
func (g *guard) run(ctx context.Context) {
	probe, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		g.log.log.Warn("interfaces are not watched", "err", err)
		return
	}
	defer func() { _ = unix.Close(probe) }()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	again := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.up:
			again = settling
		case <-tick.C:
			if again > 0 {
				again--
				if err := g.adopt(); err != nil {
					g.log.log.Debug("a BGP connection has no TCP user timeout", "err", err)
				}
			}
			g.look(probe)
		}
	}
}

// adopt sets the time-out of every connection with an established session, and notes its interface.
func (g *guard) adopt() error {
	holds, err := gobgp.HoldTimes(g.server)
	if err != nil {
		return err
	}
	conns, err := connections()
	if err != nil {
		return err
	}
	var errs []error
	g.links = g.links[:0]
	for _, c := range conns {
		hold := holds[c.remote.WithZone("")]
		if hold == 0 {
			continue
		}
		if err := unix.SetsockoptInt(c.fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(hold/time.Millisecond)); err != nil {
			errs = append(errs, fmt.Errorf("neighbor %v: %w", c.remote, err))
		}
		if link := linkBetween(c.local, c.remote); link != "" {
			g.links = append(g.links, guarded{link, c.local, c.remote})
		}
	}
	return errors.Join(errs...)
}

// look ends the sessions on interfaces that are down.
func (g *guard) look(probe int) {
	for i := len(g.links) - 1; i >= 0; i-- {
		s := g.links[i]
		if usable(probe, s.link) {
			continue
		}
		g.links = append(g.links[:i], g.links[i+1:]...)
		peer := s.remote
		if peer.IsLinkLocalUnicast() && peer.Is6() {
			peer = peer.WithZone(s.link)
		}
		g.log.explain(peer, "interface "+s.link+" is down")
		if err := cut(s); err != nil {
			g.log.log.Log(context.Background(), slog.LevelDebug, "close a connection", "peer", s.remote.String(), "err", err)
		}
	}
}

// usable reports whether an interface is there, up, and has a carrier.
func usable(probe int, link string) bool {
	req, err := unix.NewIfreq(link)
	if err != nil {
		return false
	}
	if err := unix.IoctlIfreq(probe, unix.SIOCGIFFLAGS, req); err != nil {
		return !errors.Is(err, unix.ENODEV)
	}
	const both = unix.IFF_UP | unix.IFF_RUNNING
	return req.Uint16()&both == both
}

// cut ends the connections of a session; gobgp finds its end.
func cut(s guarded) error {
	conns, err := connections()
	if err != nil {
		return err
	}
	for _, c := range conns {
		if c.local == s.local && c.remote == s.remote {
			err = errors.Join(err, unix.Shutdown(c.fd, unix.SHUT_RDWR))
		}
	}
	return err
}

// connection is a TCP connection of this process.
type connection struct {
	fd            int
	local, remote netip.Addr // link-local ones without a zone
	zone          uint32     // of a link-local remote: the index of the interface
}

// connections looks for the TCP connections among the descriptors of this process: gobgp keeps them to itself.
func connections() ([]connection, error) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return nil, fmt.Errorf("list descriptors: %w", err)
	}
	var all []connection
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if p, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PROTOCOL); err != nil || p != unix.IPPROTO_TCP {
			continue
		}
		local, err1 := unix.Getsockname(fd)
		remote, err2 := unix.Getpeername(fd)
		if err1 == nil && err2 == nil { // a listener has no peer
			all = append(all, connection{fd, addrOf(local), addrOf(remote), zoneOf(remote)})
		}
	}
	return all, nil
}

func addrOf(s unix.Sockaddr) netip.Addr {
	switch s := s.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrFrom4(s.Addr)
	case *unix.SockaddrInet6:
		return netip.AddrFrom16(s.Addr).Unmap()
	default:
		return netip.Addr{}
	}
}

func zoneOf(s unix.Sockaddr) uint32 {
	if s, ok := s.(*unix.SockaddrInet6); ok {
		return s.ZoneId
	}
	return 0
}

// linkBetween is the interface whose subnet both addresses are in; "": the neighbor is not on a link of ours, or inside
// this host.
func linkBetween(local, remote netip.Addr) string {
	links, err := net.Interfaces()
	if err != nil {
		return ""
	}
	for _, l := range links {
		addrs, err := l.Addrs()
		if err != nil || l.Flags&net.FlagLoopback != 0 {
			continue
		}
		for _, a := range addrs {
			p, err := netip.ParsePrefix(a.String())
			if err == nil && p.Addr() == local && p.Contains(remote) && remote != local {
				return l.Name
			}
		}
	}
	return ""
}
