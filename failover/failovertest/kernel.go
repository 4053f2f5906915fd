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

// worker is the kernel worker of an agent: it makes the kernel have what is wanted, and reports what is there.
type worker struct {
	agent   *agent
	want    failover.DesiredAddresses
	asked   vrrp.Instant
	renewed uint64
	had     []failover.AddressKey        // of the last report
	written map[failover.AddressKey]bool // by this worker, not by a dead predecessor
	planned bool
	dropped []failover.AddressKey // what has ceased to be wanted since the last work; for EdgeRemoval
}

// set takes a newer desired state.
func (k *worker) set(d failover.DesiredAddresses) {
	for i := range k.want.Addresses {
		k.dropped = append(k.dropped, k.want.Addresses[i].Key())
	}
	k.want, k.asked = d, k.agent.world.now
	k.kick()
}

// kick has the worker look again soon.
func (k *worker) kick() {
	if k.planned {
		return
	}
	k.planned = true
	w, h := k.agent.world, k.agent.host
	w.After(w.upTo(workerDelay)+w.upTo(h.mood.kernel), func() {
		k.planned = false
		switch {
		case h.agent != k.agent: // dead
		case k.agent.frozen:
			k.planned, k.agent.thaw = true, append(k.agent.thaw, func() { k.planned = false; k.kick() })
		default:
			k.work()
		}
	})
}

func (k *worker) work() {
	a := k.agent
	rep := failover.AddressReport{Generation: k.want.Generation, Present: make([]failover.AddressKey, 0, len(k.want.Addresses))}
	renew := k.want.Renewal != k.renewed
	k.renewed = k.want.Renewal
	for i := range k.want.Addresses {
		k.put(&k.want.Addresses[i], renew, &rep)
	}
	for _, key := range k.leftover() {
		a.world.checker.removing(a, key)
		a.host.Kernel.remove(key, byOwner)
	}
	k.dropped = k.dropped[:0]
	k.had = rep.Present // nobody changes it
	if a.world.mutation == OptimisticReport {
		rep.Present, rep.Failed = nil, nil
		for i := range k.want.Addresses {
			rep.Present = append(rep.Present, k.want.Addresses[i].Key())
		}
	}
	a.result(failover.AddressesReported{Report: rep})
}

// put makes one wanted address be there. A lease counts from when it was asked for, however late it is written.
func (k *worker) put(addr *failover.Address, renew bool, rep *failover.AddressReport) {
	key, kern, now := addr.Key(), k.agent.host.Kernel, k.agent.world.now
	until := vrrp.Never
	if addr.Lease != failover.NoLease && k.agent.world.mutation != EternalLease {
		until = k.asked.Add(addr.Lease)
	}
	if k.agent.world.mutation == WrongDevice {
		key = onParent(kern, key)
	}
	there, ours := kern.has(key)
	link := kern.link(key.Interface)
	switch {
	case link == nil || link.index == 0:
		fails(rep, key, "no such interface")
		return
	case ours && until <= now:
		kern.remove(key, byOwner)
		return
	case ours && (renew || !k.written[key]):
		kern.write(key, until)
	case there:
	case kern.failed[key]:
		fails(rep, key, "no space left")
		return
	case until.Sub(now) < time.Second:
		return // too little of the lease is left to be written
	default:
		kern.write(key, until)
		if slices.Contains(k.had, key) {
			rep.Restored = append(rep.Restored, key)
		}
	}
	rep.Present, k.written[key] = append(rep.Present, addr.Key()), true
}

// onParent returns the key of the same address on the interface that carries a macvlan interface.
func onParent(k *Kernel, key failover.AddressKey) failover.AddressKey {
	if l := k.link(key.Interface); l != nil && l.parent != "" {
		key.Interface = l.parent
	}
	return key
}

func fails(rep *failover.AddressReport, key failover.AddressKey, why string) {
	if rep.Failed == nil {
		rep.Failed = make(map[failover.AddressKey]string)
	}
	rep.Failed[key] = why
}

// leftover returns the addresses that are to be removed.
func (k *worker) leftover() (keys []failover.AddressKey) {
	if k.agent.host.Kernel.leases == 0 {
		return nil
	}
	for _, l := range k.agent.host.Kernel.links {
		for _, x := range l.addresses {
			key := failover.AddressKey{Interface: l.name, Prefix: x.prefix}
			if !k.wants(key) && (k.agent.world.mutation != EdgeRemoval || slices.Contains(k.dropped, key)) {
				keys = append(keys, key)
			}
		}
	}
	return keys
}

func (k *worker) wants(key failover.AddressKey) bool {
	for i := range k.want.Addresses {
		a := &k.want.Addresses[i]
		if a.Prefix == key.Prefix && (a.Interface == key.Interface || k.agent.world.mutation == WrongDevice) {
			return true
		}
	}
	return false
}
