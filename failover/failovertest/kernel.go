package failovertest

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"failoverd/failover"
	"failoverd/vrrp"
)

// Kernel is what a host's kernel knows of interfaces and addresses: eth0, and lo without addresses of its own. Leased
// addresses end by themselves, whoever wrote them and whatever became of him.
type Kernel struct {
	host    *Host
	links   []*kernelLink
	failed  map[failover.AddressKey]bool // cannot be added
	objects netObjects                   // of the extra "objects"
	leases  int                          // how many addresses there are that agents wrote
	// refusing counts what keeps a macvlan interface from being made.
	refusing int
}

type kernelLink struct {
	name      string
	parent    string // of a macvlan interface
	index     int    // 0: does not exist
	up        bool
	loopback  bool
	static    []netip.Prefix // the administrator's
	addresses []kernelAddress
	told      bool // a notification is on its way
}

// kernelAddress is an address that an agent wrote.
type kernelAddress struct {
	prefix netip.Prefix
	until  vrrp.Instant // Never: no lease
}

// leaseSlop is how late the kernel may remove an address whose lifetime is over.
const leaseSlop = 400 * time.Millisecond

func newKernel(h *Host, addresses []netip.Prefix) *Kernel {
	return &Kernel{host: h, failed: make(map[failover.AddressKey]bool), links: []*kernelLink{
		{name: "lo", index: 1, up: true, loopback: true},
		{name: "eth0", index: 2, up: true, static: addresses},
	}}
}

func (k *Kernel) link(name string) *kernelLink {
	i := slices.IndexFunc(k.links, func(l *kernelLink) bool { return l.name == name })
	if i < 0 {
		return nil
	}
	return k.links[i]
}

func (k *Kernel) up(name string) bool {
	l := k.link(name)
	return l != nil && l.index != 0 && l.up
}

// owns reports whether packets to a reach this host.
func (k *Kernel) owns(a netip.Addr) bool {
	return slices.ContainsFunc(k.links, func(l *kernelLink) bool {
		return l.index != 0 && slices.ContainsFunc(l.static, func(p netip.Prefix) bool { return p.Addr() == a })
	})
}

// has reports whether the address is there, and whether an agent wrote it.
func (k *Kernel) has(key failover.AddressKey) (there, ours bool) {
	l := k.link(key.Interface)
	if l == nil || l.index == 0 {
		return false, false
	}
	if l.find(key.Prefix) >= 0 {
		return true, true
	}
	return slices.Contains(l.static, key.Prefix), false
}

func (l *kernelLink) find(p netip.Prefix) int {
	return slices.IndexFunc(l.addresses, func(a kernelAddress) bool { return a.prefix == p })
}

// keys returns the keys of all addresses that agents wrote.
func (k *Kernel) keys() (keys []failover.AddressKey) {
	if k.leases == 0 {
		return nil
	}
	for _, l := range k.links {
		for _, a := range l.addresses {
			keys = append(keys, failover.AddressKey{Interface: l.name, Prefix: a.prefix})
		}
	}
	return keys
}

// write adds an address, or gives it another end of life.
func (k *Kernel) write(key failover.AddressKey, until vrrp.Instant) {
	l, w := k.link(key.Interface), k.host.world
	if i := l.find(key.Prefix); i >= 0 {
		l.addresses[i].until = until
	} else {
		w.log(k.host, "kernel: add %s", key)
		w.checker.touch(k.host)
		k.leases++
		l.addresses = append(l.addresses, kernelAddress{key.Prefix, until})
		k.changed(l)
	}
	if until == vrrp.Never {
		return
	}
	w.After(until.Sub(w.now)+w.upTo(leaseSlop), func() {
		if i := l.find(key.Prefix); i >= 0 && l.addresses[i].until == until {
			k.remove(key, byLease)
		}
	})
}

// remover says who removed an address.
type remover string

const (
	byOwner  remover = "its owner"
	byLease  remover = "the end of its lease"
	byOthers remover = "somebody else"
)

// remove takes an address away.
func (k *Kernel) remove(key failover.AddressKey, by remover) {
	l := k.link(key.Interface)
	if i := l.find(key.Prefix); i >= 0 {
		k.host.world.log(k.host, "kernel: remove %s by %s", key, by)
		k.host.world.checker.touch(k.host)
		k.leases--
		l.addresses = slices.Delete(l.addresses, i, i+1)
		k.host.world.checker.removed(k.host, key, by)
		k.changed(l)
	}
}

// lose is a power cut: whatever an agent wrote is gone.
func (k *Kernel) lose() {
	k.host.world.checker.touch(k.host)
	k.leases, k.objects.names = 0, nil
	for _, l := range k.links {
		l.addresses = nil
		if l.parent != "" {
			l.index, l.up = 0, false
		}
	}
}

// setLink changes the state of eth0. What is gone comes back under another index, with the administrator's addresses.
func (k *Kernel) setLink(up, exists bool) {
	l := k.link("eth0")
	k.host.world.checker.hurts(k.host)
	for _, a := range slices.Clone(l.addresses) {
		// The kernel flushes IPv6 addresses when an interface goes down, and all of them with the interface.
		if !exists || !up && a.prefix.Addr().Is6() {
			k.remove(failover.AddressKey{Interface: l.name, Prefix: a.prefix}, byOthers)
		}
	}
	if !exists {
		k.lostStatic(l, nil)
	}
	if !up {
		k.flushRoutes()
	}
	switch {
	case !exists:
		l.index = 0
	case l.index == 0:
		l.index = 10 + int(k.host.world.sequence%1000)
	}
	l.up = up && exists
	k.host.kickObjects()
	k.host.world.log(k.host, "kernel: eth0 index %d up %v", l.index, l.up)
	k.changed(l)
	k.follow(l)
}

// setStatic changes the administrator's addresses on eth0.
func (k *Kernel) setStatic(addresses []netip.Prefix) {
	l := k.link("eth0")
	k.host.world.checker.hurts(k.host)
	k.lostStatic(l, addresses)
	l.static = addresses
	k.host.world.log(k.host, "kernel: eth0 has %v", addresses)
	k.changed(l)
}

// lostStatic tells the checker which of the administrator's addresses go when only some are kept.
func (k *Kernel) lostStatic(l *kernelLink, kept []netip.Prefix) {
	for _, p := range l.static {
		if !slices.Contains(kept, p) {
			k.host.world.checker.removed(k.host, failover.AddressKey{Interface: l.name, Prefix: p}, byOthers)
		}
	}
}

// changed notifies the agent. Changes that follow each other quickly are told at once.
func (k *Kernel) changed(l *kernelLink) {
	a := k.host.agent
	if a == nil {
		return
	}
	a.worker.kick()
	if l.told {
		return
	}
	l.told = true
	k.host.world.After(k.host.world.upTo(resultDelay), func() {
		l.told = false
		if k.host.agent == a {
			a.arrives(failover.InterfaceChanged{Interface: l.describe()})
		}
	})
}

// describe returns the interface as a watcher reports it: the administrator's addresses, and ours after them.
func (l *kernelLink) describe() failover.Interface {
	i := failover.Interface{Name: l.name, Index: l.index, Up: l.up, Loopback: l.loopback, MTU: 1500}
	if l.index == 0 {
		return failover.Interface{Name: l.name}
	}
	for _, p := range l.static {
		if l.up || p.Addr().Is4() {
			i.Addresses = append(i.Addresses, p)
		}
	}
	for _, a := range l.addresses {
		i.Addresses = append(i.Addresses, a.prefix)
	}
	return i
}

// String returns the interfaces and their addresses in the manner of "ip address".
func (k *Kernel) String() string {
	var b strings.Builder
	for _, l := range k.links {
		if l.index == 0 {
			continue
		}
		fmt.Fprintf(&b, "%d: %s: %s\n", l.index, l.name, map[bool]string{true: "UP", false: "DOWN"}[l.up])
		line := func(p netip.Prefix, rest string) {
			fmt.Fprintf(&b, "    %s %s%s\n", map[bool]string{true: "inet", false: "inet6"}[p.Addr().Is4()], p, rest)
		}
		for _, p := range l.static {
			line(p, "")
		}
		for _, a := range l.addresses {
			rest := " proto 112"
			if a.until != vrrp.Never {
				rest += fmt.Sprintf(" valid_lft %.1fsec", a.until.Sub(k.host.world.now).Seconds())
			}
			line(a.prefix, rest)
		}
	}
	return b.String()
}
