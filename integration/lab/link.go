package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Connect joins two nodes by a cable (a veth pair) and brings both ends up.
func (l *Lab) Connect(a *Node, ifA string, b *Node, ifB string) error {
	if err := l.veth(a, ifA, b, ifB); err != nil {
		return err
	}
	if err := errors.Join(a.SetUp(ifA, true), b.SetUp(ifB, true)); err != nil {
		return err
	}
	return errors.Join(a.waitForCarrier(ifA), b.waitForCarrier(ifB))
}

// waitForCarrier waits until an interface is operational. The kernel notes that from a work queue that runs at most
// once a second for one interface, so a cable may take as long to be of use.
func (n *Node) waitForCarrier(ifname string) error {
	return WaitFor(context.Background(), 5*time.Second, fmt.Sprintf("carrier of %s %s", n, ifname), func() bool {
		link, err := n.link(ifname)
		return err == nil && link.Attrs().OperState == netlink.OperUp
	})
}

// veth creates a pair with one end in each namespace, both down.
func (l *Lab) veth(a *Node, ifA string, b *Node, ifB string) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr = ifA, l.nextMAC()
	err := a.nl.LinkAdd(&netlink.Veth{
		LinkAttrs: attrs, PeerName: ifB, PeerHardwareAddr: l.nextMAC(), PeerTxQLen: -1,
		PeerNamespace: netlink.NsFd(b.ns.Fd()),
	})
	if err != nil {
		return fmt.Errorf("connect %s %s to %s %s: %w", a, ifA, b, ifB, err)
	}
	return nil
}

// link looks an interface up.
func (n *Node) link(name string) (netlink.Link, error) {
	link, err := n.nl.LinkByName(name)
	if err != nil {
		return nil, fmt.Errorf("%s: interface %s: %w", n, name, err)
	}
	return link, nil
}

// HardwareAddr returns the hardware address of an interface.
func (n *Node) HardwareAddr(ifname string) (net.HardwareAddr, error) {
	link, err := n.link(ifname)
	if err != nil {
		return nil, err
	}
	return link.Attrs().HardwareAddr, nil
}

// SetUp sets an interface up or down. The other end of a cable sees its carrier come or go.
func (n *Node) SetUp(ifname string, up bool) error {
	link, err := n.link(ifname)
	if err != nil {
		return err
	}
	set := n.nl.LinkSetDown
	if up {
		set = n.nl.LinkSetUp
	}
	if err := set(link); err != nil {
		return fmt.Errorf("%s: set %s up=%t: %w", n, ifname, up, err)
	}
	return nil
}

// DeleteLink removes an interface; of a cable both ends go.
func (n *Node) DeleteLink(ifname string) error {
	link, err := n.link(ifname)
	if err != nil {
		return err
	}
	if err := n.nl.LinkDel(link); err != nil {
		return fmt.Errorf("%s: delete %s: %w", n, ifname, err)
	}
	return nil
}

// AddAddress adds an address in CIDR form and returns when it can be used. An address that is there already is left as
// it is.
func (n *Node) AddAddress(ifname, cidr string) error {
	return n.address("add", ifname, cidr, func(l netlink.Link, a *netlink.Addr) error {
		if err := n.nl.AddrReplace(l, a); err != nil || a.IP.To4() != nil {
			return err
		}
		return n.waitUntilUsable(l, a)
	})
}

// waitUntilUsable waits until an IPv6 address has left the tentative state. Duplicate detection is off (see furnish), but
// the kernel still puts an address into service from a work queue, and does not answer for it before. With IFA_F_NODAD
// the state would not show that.
func (n *Node) waitUntilUsable(l netlink.Link, a *netlink.Addr) error {
	return WaitFor(context.Background(), 5*time.Second, "the end of its tentative state", func() bool {
		list, err := n.nl.AddrList(l, netlink.FAMILY_V6)
		return err == nil && slices.ContainsFunc(list, func(b netlink.Addr) bool {
			return b.IP.Equal(a.IP) && b.Flags&unix.IFA_F_TENTATIVE == 0
		})
	})
}

// DeleteAddress removes an address in CIDR form.
func (n *Node) DeleteAddress(ifname, cidr string) error {
	return n.address("delete", ifname, cidr, n.nl.AddrDel)
}

func (n *Node) address(verb, ifname, cidr string, do func(netlink.Link, *netlink.Addr) error) error {
	link, err := n.link(ifname)
	if err != nil {
		return err
	}
	addr, err := netlink.ParseAddr(cidr)
	if err != nil {
		return fmt.Errorf("%s: %s address %s: %w", n, verb, cidr, err)
	}
	if err := do(link, addr); err != nil {
		return fmt.Errorf("%s: %s address %s dev %s: %w", n, verb, cidr, ifname, err)
	}
	return nil
}

// Addresses returns the addresses of an interface, or of all when ifname is empty, in the kernel's order.
func (n *Node) Addresses(ifname string) ([]netip.Prefix, error) {
	var link netlink.Link
	if ifname != "" {
		var err error
		if link, err = n.link(ifname); err != nil {
			return nil, err
		}
	}
	list, err := n.nl.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("%s: list addresses: %w", n, err)
	}
	var out []netip.Prefix
	for _, a := range list {
		if p, ok := prefixOf(a.IPNet); ok {
			out = append(out, p)
		}
	}
	return out, nil
}

// HasAddress reports whether any interface of the node has the address.
func (n *Node) HasAddress(a netip.Addr) (bool, error) {
	list, err := n.Addresses("")
	if err != nil {
		return false, err
	}
	for _, p := range list {
		if p.Addr() == a {
			return true, nil
		}
	}
	return false, nil
}

func prefixOf(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	a, ok := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(a.Unmap(), bits), ok
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// AddRoute adds or replaces the route to a prefix by way of a neighbor.
func (n *Node) AddRoute(dst netip.Prefix, via netip.Addr) error {
	return n.replaceRoute(dst, via, unix.RTPROT_STATIC)
}

func (n *Node) replaceRoute(dst netip.Prefix, via netip.Addr, proto int) error {
	r := &netlink.Route{Dst: ipNet(dst), Gw: via.AsSlice(), Protocol: netlink.RouteProtocol(proto)}
	if err := n.nl.RouteReplace(r); err != nil {
		return fmt.Errorf("%s: add route %s via %s: %w", n, dst, via, err)
	}
	return nil
}

// DeleteRoute removes the route to a prefix.
func (n *Node) DeleteRoute(dst netip.Prefix) error {
	if err := n.nl.RouteDel(&netlink.Route{Dst: ipNet(dst)}); err != nil {
		return fmt.Errorf("%s: delete route %s: %w", n, dst, err)
	}
	return nil
}

// NextHop returns the neighbor by which the main table reaches exactly that prefix, and whether there is such a route.
func (n *Node) NextHop(dst netip.Prefix) (netip.Addr, bool, error) {
	family := netlink.FAMILY_V4
	if dst.Addr().Is6() {
		family = netlink.FAMILY_V6
	}
	list, err := n.nl.RouteListFiltered(family, &netlink.Route{Dst: ipNet(dst)}, netlink.RT_FILTER_DST)
	if err != nil {
		return netip.Addr{}, false, fmt.Errorf("%s: list routes: %w", n, err)
	}
	for _, r := range list {
		if a, ok := netip.AddrFromSlice(r.Gw); ok {
			return a.Unmap(), true, nil
		}
	}
	return netip.Addr{}, len(list) > 0, nil
}

// Sysctl writes a value below /proc/sys/net, for example "ipv4/ip_forward".
func (n *Node) Sysctl(key, value string) error {
	return n.Do(func() error {
		if err := os.WriteFile("/proc/sys/net/"+key, []byte(value), 0); err != nil {
			return fmt.Errorf("%s: sysctl: %w", n, err)
		}
		return nil
	})
}

// ReadSysctl reads a value below /proc/sys/net, as the kernel prints it.
func (n *Node) ReadSysctl(key string) (value string, err error) {
	err = n.Do(func() error {
		b, err := os.ReadFile("/proc/sys/net/" + key)
		if err != nil {
			return fmt.Errorf("%s: sysctl: %w", n, err)
		}
		value = string(b)
		return nil
	})
	return value, err
}
