package link

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"github.com/mdlayher/arp"
	"github.com/mdlayher/ndp"
	"golang.org/x/sys/unix"
)

// Announcer tells the neighbours on one interface where an address now lives. It speaks for the link-layer address
// that the interface has at that moment. Safe for concurrent use.
type Announcer struct {
	name string

	mu  sync.Mutex
	arp *socket   // packet socket, bound to the interface; it also answers what the interface is like
	nd  *neighbor // nil until the first IPv6 address: a host without IPv6 needs none
}

// OpenAnnouncer returns an Announcer for the interface. It fails when the interface does not exist (ErrNoInterface) or
// CAP_NET_RAW is missing. IPv6 is not touched before the first IPv6 address.
func OpenAnnouncer(iface string) (*Announcer, error) {
	sock, err := openPacket(iface)
	if err != nil {
		return nil, fmt.Errorf("open announcer %s: %w", iface, err)
	}
	return &Announcer{name: iface, arp: sock}, nil
}

// Announce sends one announcement of addr, which should be on the interface already.
//
// For IPv4 that is an ARP Announcement (RFC 5227 section 2.3): a broadcast request whose sender and target are addr.
// For IPv6 it is an unsolicited neighbor advertisement to all nodes (RFC 4861 section 7.2.6) with the override flag, and
// with the router flag when the interface forwards; it comes from addr, or from another address of the interface
// while addr cannot be used as a source. It moves entries that neighbours have; it creates none (RFC 9131).
//
// On an interface without neighbours (loopback, dummy, point-to-point without ARP) it does nothing and returns nil.
// It never waits. Errors: ErrNoInterface when the interface was deleted, ENETDOWN while it is down, ENOBUFS or EAGAIN
// while its queue is full, os.ErrClosed after Close. IPv6 looks at the network namespace of the calling thread, which
// must be the one that OpenAnnouncer was called in.
func (a *Announcer) Announce(addr netip.Addr) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.announce(addr); err != nil {
		return fmt.Errorf("announce %v on %s: %w", addr, a.name, err)
	}
	return nil
}

func (a *Announcer) announce(addr netip.Addr) error {
	if !addr.IsValid() || addr.IsUnspecified() || addr.IsMulticast() || addr.Is4In6() {
		return errors.New("not an address that a host can have")
	}
	dev, err := deviceOf(a.arp, a.name)
	switch {
	case err != nil:
		return err
	case dev.quiet:
		return nil
	case !dev.up:
		return unix.ENETDOWN
	case len(dev.mac) != 6:
		return fmt.Errorf("link-layer addresses of %d octets are not supported", len(dev.mac))
	case addr.Is4():
		frame, err := gratuitousARP(dev.mac, addr)
		if err != nil {
			return err
		}
		return sendFrame(a.arp, dev.index, frame)
	}
	return a.advertise(dev, addr.WithZone(""))
}

// advertise sends an unsolicited neighbor advertisement.
func (a *Announcer) advertise(dev device, addr netip.Addr) error {
	if a.nd == nil {
		nd, err := openNeighbor()
		if err != nil {
			return err
		}
		a.nd = nd
	}
	router, err := forwards(a.name)
	if err != nil {
		return err
	}
	msg, err := unsolicitedNA(dev.mac, addr, router)
	if err != nil {
		return err
	}
	err = a.nd.send(msg, addr, dev.index)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EADDRNOTAVAIL) {
		// The address is elsewhere on this host, or still tentative: let the kernel choose the source.
		err = a.nd.send(msg, netip.IPv6Unspecified(), dev.index)
	}
	return err
}

// Close releases the sockets. It may be called more than once.
func (a *Announcer) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var nd error
	if a.nd != nil {
		nd = a.nd.sock.close()
		a.nd = nil
	}
	if a.arp.closed.Load() {
		return nd
	}
	return errors.Join(nd, a.arp.close())
}

// gratuitousARP returns the Ethernet frame of an ARP Announcement. The request form is the one to use: Linux takes a
// reply for gratuitous only if its target link-layer address equals the sender's.
func gratuitousARP(mac net.HardwareAddr, addr netip.Addr) ([]byte, error) {
	p, err := arp.NewPacket(arp.OperationRequest, mac, addr, broadcast, addr)
	if err != nil {
		return nil, err
	}
	body, err := p.MarshalBinary()
	if err != nil {
		return nil, err
	}
	frame := append(append([]byte(nil), broadcast...), mac...)
	frame = append(frame, unix.ETH_P_ARP>>8, unix.ETH_P_ARP&0xff)
	return append(frame, body...), nil
}

var broadcast = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// unsolicitedNA returns the ICMPv6 message, its checksum left to the kernel. The override flag makes hosts replace the
// link-layer address that they have; without the router flag they would stop using addr as their default router.
func unsolicitedNA(mac net.HardwareAddr, addr netip.Addr, router bool) ([]byte, error) {
	return ndp.MarshalMessage(&ndp.NeighborAdvertisement{
		Router:        router,
		Override:      true,
		TargetAddress: addr,
		Options:       []ndp.Option{&ndp.LinkLayerAddress{Direction: ndp.Target, Addr: mac}},
	})
}
