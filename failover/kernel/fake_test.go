package kernel

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"failoverd/failover"
)

// fakeKernel behaves like Linux in what this package can see: identities, lifetimes, primaries and secondaries,
// duplicate detection, notifications, and IPv6 addresses that are announced a moment after they were acknowledged.
type fakeKernel struct {
	mu      sync.Mutex
	next    int
	devices []*link
	table   []*fakeAddress // in the kernel's order
	feeds   []*fakeFeed
	proto   bool
	delay   time.Duration // from acknowledgement to confirmation of IPv6
	// beforeWrite is called before each batch, without the lock.
	beforeWrite func(ops []op)
	// refuse returns the error for an op, or nil.
	refuse func(o op) error
	// duplicates are addresses that another host has.
	duplicates map[netip.Addr]bool
	writes     []string
}

type fakeAddress struct {
	entry
	until time.Time
	timer *time.Timer
	gone  bool
}

func newFakeKernel() *fakeKernel {
	k := &fakeKernel{next: 1, proto: true, delay: 50 * time.Microsecond, duplicates: map[netip.Addr]bool{}}
	k.addLink("lo")
	k.devices[0].flags |= unix.IFF_LOOPBACK
	return k
}

func (k *fakeKernel) virtual() bool { return true }

func (k *fakeKernel) open(testing.TB) host { return &fakeHost{k} }

func (k *fakeKernel) notify(c change) {
	for _, f := range k.feeds {
		f.changes = append(f.changes, c)
		select {
		case f.signal <- struct{}{}:
		default:
		}
	}
}

func (k *fakeKernel) device(name string) *link {
	for _, l := range k.devices {
		if l.name == name {
			return l
		}
	}
	return nil
}

func (k *fakeKernel) byIndex(index int) *link {
	for _, l := range k.devices {
		if l.index == index {
			return l
		}
	}
	return nil
}

func (k *fakeKernel) addLink(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	l := &link{index: k.next, name: name, flags: unix.IFF_UP | unix.IFF_RUNNING, mtu: 1500}
	k.next++
	k.devices = append(k.devices, l)
	k.notify(change{kind: linkChanged, link: *l})
}

func (k *fakeKernel) removeLink(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	l := k.device(name)
	for _, a := range slices.Clone(k.table) {
		if a.index == l.index && !a.gone {
			k.remove(a)
		}
	}
	k.devices = slices.DeleteFunc(k.devices, func(o *link) bool { return o == l })
	k.notify(change{kind: linkGone, link: *l})
}

func (k *fakeKernel) renameLink(old, name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	l := k.device(old)
	l.name = name
	k.notify(change{kind: linkChanged, link: *l})
}

func (k *fakeKernel) setUp(name string, up bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	l := k.device(name)
	if l.flags |= unix.IFF_UP | unix.IFF_RUNNING; !up {
		l.flags &^= unix.IFF_UP | unix.IFF_RUNNING
	}
	k.notify(change{kind: linkChanged, link: *l})
	for _, a := range slices.Clone(k.table) {
		if !up && a.index == l.index && a.prefix.Addr().Is6() && !a.gone {
			k.remove(a)
		}
	}
}

func (k *fakeKernel) promotes(name string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.device(name).promotes
}

func (k *fakeKernel) addAddress(prefix, dev string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	o := op{kind: opAdd, index: k.device(dev).index, addr: address(prefix, dev, 0), valid: forever}
	if err := k.add(&o, 0); err != nil {
		panic(fmt.Sprintf("add %s: %v", prefix, err))
	}
}

func (k *fakeKernel) removeAddress(prefix, dev string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	a := k.find(k.device(dev).index, netip.MustParsePrefix(prefix))
	if a == nil || a.prefix.String() != prefix {
		panic("remove " + prefix + ": no such address")
	}
	k.remove(a)
}

func (k *fakeKernel) show() []string {
	h := &fakeHost{k}
	links, _ := h.links()
	entries, _ := h.addresses()
	return showEntries(links, entries)
}

// find returns the address that is the same object to the kernel.
func (k *fakeKernel) find(index int, p netip.Prefix) *fakeAddress {
	for _, a := range k.table {
		if a.index == index && a.prefix.Addr() == p.Addr() && (p.Addr().Is6() || a.prefix == p) {
			return a
		}
	}
	return nil
}

func (k *fakeKernel) add(o *op, proto uint8) error {
	l := k.byIndex(o.index)
	switch {
	case l == nil:
		return unix.ENODEV
	case k.find(o.index, o.addr.Prefix) != nil:
		return unix.EEXIST
	}
	a := &fakeAddress{entry: entry{
		index: o.index, prefix: o.addr.Prefix, broadcast: o.addr.Broadcast, scope: o.addr.Scope, proto: proto,
		label: o.addr.Label, flags: o.flags(),
	}}
	at := len(k.table)
	if a.prefix.Addr().Is4() {
		if a.label == "" {
			a.label = l.name
		}
		// Primaries before secondaries, IPv4 before IPv6.
		at = 0
		for i, other := range k.table {
			if other.prefix.Addr().Is4() && (other.flags&unix.IFA_F_SECONDARY == 0 || other.index != a.index) {
				at = i + 1
			}
			if other.index == a.index && other.prefix.Masked() == a.prefix.Masked() {
				a.flags |= unix.IFA_F_SECONDARY
			}
		}
		if a.flags&unix.IFA_F_SECONDARY != 0 {
			at = len(k.table)
		}
	}
	k.table = slices.Insert(k.table, at, a)
	k.live(a, o)
	if a.prefix.Addr().Is4() {
		k.notify(change{kind: addressChanged, entry: k.describe(a)})
		return nil
	}
	if a.flags&unix.IFA_F_NODAD != 0 {
		time.AfterFunc(k.delay, func() { k.announce(a, 0) })
		return nil
	}
	a.flags |= unix.IFA_F_TENTATIVE
	k.notify(change{kind: addressChanged, entry: k.describe(a)})
	time.AfterFunc(time.Second, func() { k.announce(a, unix.IFA_F_TENTATIVE) })
	return nil
}

// announce tells that an IPv6 address is in, or that another host has it.
func (k *fakeKernel) announce(a *fakeAddress, cleared uint32) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if a.gone {
		return
	}
	if cleared != 0 && k.duplicates[a.prefix.Addr()] {
		a.flags |= unix.IFA_F_DADFAILED
		if a.until.IsZero() {
			k.notify(change{kind: addressChanged, entry: k.describe(a)})
		} else {
			k.remove(a)
		}
		return
	}
	a.flags &^= cleared
	k.notify(change{kind: addressChanged, entry: k.describe(a)})
}

// live sets the lifetime.
func (k *fakeKernel) live(a *fakeAddress, o *op) {
	if a.timer != nil {
		a.timer.Stop()
	}
	a.until, a.timer = time.Time{}, nil
	if a.flags &^= unix.IFA_F_DEPRECATED; o.preferred() == 0 {
		a.flags |= unix.IFA_F_DEPRECATED
	}
	if o.valid != forever {
		life := time.Duration(o.valid) * time.Second
		a.until = time.Now().Add(life)
		a.timer = time.AfterFunc(life+100*time.Millisecond, func() {
			k.mu.Lock()
			defer k.mu.Unlock()
			if !a.gone && time.Now().After(a.until) {
				k.remove(a)
			}
		})
	}
}

func (k *fakeKernel) remove(a *fakeAddress) {
	a.gone = true
	if a.timer != nil {
		a.timer.Stop()
	}
	k.table = slices.DeleteFunc(k.table, func(o *fakeAddress) bool { return o == a })
	k.notify(change{kind: addressGone, entry: k.describe(a)})
	if !a.prefix.Addr().Is4() || a.flags&unix.IFA_F_SECONDARY != 0 {
		return
	}
	l := k.byIndex(a.index)
	first := true
	for _, other := range slices.Clone(k.table) {
		if other.gone || other.index != a.index || other.prefix.Masked() != a.prefix.Masked() {
			continue
		}
		if !l.promotes {
			k.remove(other)
			continue
		}
		if first {
			other.flags &^= unix.IFA_F_SECONDARY
			k.notify(change{kind: addressChanged, entry: k.describe(other)})
		}
		first = false
	}
}

func (k *fakeKernel) describe(a *fakeAddress) entry {
	e := a.entry
	e.valid, e.preferred = forever, forever
	if !a.until.IsZero() {
		e.valid = uint32(max(time.Until(a.until), 0) / time.Second)
		e.preferred = e.valid
	}
	if a.flags&unix.IFA_F_DEPRECATED != 0 {
		e.preferred = 0
	}
	return e
}

func (k *fakeKernel) writeOne(o *op) error {
	k.writes = append(k.writes, o.String())
	if k.refuse != nil {
		if err := k.refuse(*o); err != nil {
			return err
		}
	}
	proto := uint8(0)
	if k.proto {
		proto = Protocol
	}
	a := k.find(o.index, o.addr.Prefix)
	switch o.kind {
	case opPromote:
		k.byIndex(o.index).promotes = true
		k.notify(change{kind: linkChanged, link: *k.byIndex(o.index)})
	case opAdd:
		return k.add(o, proto)
	case opRenew:
		if a == nil {
			return k.add(o, proto)
		}
		a.proto = proto
		if a.prefix.Addr().Is6() {
			a.flags = a.flags&unix.IFA_F_TENTATIVE | o.flags()
		}
		k.live(a, o)
		k.notify(change{kind: addressChanged, entry: k.describe(a)})
	case opDelete:
		if a == nil || a.prefix != o.addr.Prefix {
			return unix.EADDRNOTAVAIL
		}
		k.remove(a)
	}
	return nil
}

// fakeHost is an opening of a fakeKernel.
type fakeHost struct{ k *fakeKernel }

func (h *fakeHost) tagged() bool { return h.k.proto }
func (h *fakeHost) close() error { return nil }

func (h *fakeHost) links() ([]link, error) {
	h.k.mu.Lock()
	defer h.k.mu.Unlock()
	list := make([]link, 0, len(h.k.devices))
	for _, l := range h.k.devices {
		list = append(list, *l)
	}
	return list, nil
}

func (h *fakeHost) addresses() ([]entry, error) {
	h.k.mu.Lock()
	defer h.k.mu.Unlock()
	list := make([]entry, 0, len(h.k.table))
	for _, a := range h.k.table {
		list = append(list, h.k.describe(a))
	}
	return list, nil
}

func (h *fakeHost) write(ops []op) []error {
	if h.k.beforeWrite != nil {
		h.k.beforeWrite(ops)
	}
	h.k.mu.Lock()
	defer h.k.mu.Unlock()
	errs := make([]error, len(ops))
	for i := range ops {
		errs[i] = h.k.writeOne(&ops[i])
	}
	return errs
}

func (h *fakeHost) subscribe() (feed, error) {
	h.k.mu.Lock()
	defer h.k.mu.Unlock()
	f := &fakeFeed{k: h.k, signal: make(chan struct{}, 1)}
	h.k.feeds = append(h.k.feeds, f)
	return f, nil
}

// fakeFeed is a subscription to a fakeKernel. Its fields belong to the kernel's lock.
type fakeFeed struct {
	k       *fakeKernel
	signal  chan struct{}
	changes []change
	lost    bool
}

func (f *fakeFeed) changed() <-chan struct{} { return f.signal }

func (f *fakeFeed) take() ([]change, bool) {
	f.k.mu.Lock()
	defer f.k.mu.Unlock()
	changes, lost := f.changes, f.lost
	f.changes, f.lost = nil, false
	return changes, lost
}

func (f *fakeFeed) close() {
	f.k.mu.Lock()
	defer f.k.mu.Unlock()
	f.k.feeds = slices.DeleteFunc(f.k.feeds, func(o *fakeFeed) bool { return o == f })
}

// overrun makes every subscription lose what it has not taken yet.
func (k *fakeKernel) overrun() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, f := range k.feeds {
		f.changes, f.lost = nil, true
	}
}

// keys returns the keys of addresses.
func keys(addresses ...failover.Address) (list []failover.AddressKey) {
	for _, a := range addresses {
		list = append(list, a.Key())
	}
	return list
}
