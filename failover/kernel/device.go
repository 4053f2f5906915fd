package kernel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"failoverd/failover"
)

// Devices makes and keeps the macvlan interfaces that carry virtual link-layer addresses (use_vmac, RFC 9568 section
// 7.3), and the packet filter of no_accept. Both are there whatever the roles of the virtual routers are: to remove a
// macvlan interface takes 20 ms, which nobody has while a role changes.
//
// An interface without virtual addresses says nothing, because every frame with the virtual link-layer address tells
// the switches that the virtual router is here. IPv6 makes no address of its own on it, routers are not solicited, and
// the packet filter keeps back what multicast membership would say of the interface while it has no address.
//
// So that a virtual IPv4 address is answered for with the virtual link-layer address only, the interface answers for
// its own addresses only (arp_ignore 1) and asks in their name only (arp_announce 2), and its parent does likewise.
// rp_filter is 2: packets that came in over the virtual address are answered over the parent, and while the interface
// has no IPv4 address everything that arrives there is dropped (RFC 9568 section 6.4.2); over IPv6 the packet filter does
// that. Forwarding is as on the parent. What the parent's settings were is in the alias of the interface, and is put back when the last one goes.
//
// The mode is bridge. In the private one, that keepalived uses, Linux gives a multicast frame that carries the address
// of a macvlan interface to that interface alone: a Backup router would not hear the Active one on the parent.
//
// Set may be called from any goroutine, Run once. Everything happens in the network namespace of the thread that called
// NewDevices, where no other Devices may run.
type Devices struct {
	// Bar is held while something is read or written; nil: nobody wants to keep Devices from it. It is set before Run.
	Bar sync.Locker

	log    *slog.Logger
	ns     *namespace
	links  *netlink.Handle
	filter *filter
	box    deviceBox
	staged atomic.Bool // the process before this one has the interfaces
}

// NewDevices opens the kernel. It fails if there is no rtnetlink; it needs no privilege, Run does (CAP_NET_ADMIN).
func NewDevices(log *slog.Logger) (*Devices, error) {
	ns, err := currentNamespace()
	if err != nil {
		return nil, fmt.Errorf("open kernel devices: %w", err)
	}
	var links *netlink.Handle
	err = ns.do(func() (err error) {
		if links, err = netlink.NewHandle(unix.NETLINK_ROUTE); err == nil {
			err = links.SetSocketTimeout(answerTimeout)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open kernel devices: %w", errors.Join(err, ns.close()))
	}
	return &Devices{
		log: log, ns: ns, links: links, filter: newFilter(log, ns),
		box: deviceBox{signal: make(chan struct{}, 1)},
	}, nil
}

// Close releases the sockets. It must be called after Run has returned.
func (d *Devices) Close() error {
	d.links.Close()
	d.filter.close()
	return d.ns.close()
}

// Set asks for exactly these interfaces, and for a packet filter that lets nothing through to notAccepted, and returns
// at once. A newer call replaces an older one that was not looked at yet. With counters, the filter counts what it
// drops. The caller must not change the slices afterwards.
func (d *Devices) Set(devices []failover.Device, notAccepted []failover.AddressKey, counters bool) {
	d.box.put(deviceWish{devices, notAccepted, counters})
}

// Stage makes Run touch nothing that the process before this one has, which lives: interfaces are only looked at, and the packet
// filter is a second one beside that of the other. It belongs before Run; TakeOver ends it.
func (d *Devices) Stage() { d.staged.Store(true) }

// TakeOver says that the process before this one does nothing any more: what is there is ours.
func (d *Devices) TakeOver() {
	if d.staged.CompareAndSwap(true, false) {
		d.box.wake()
	}
}

// Run keeps what Set asks for until ctx is done, and then removes the interfaces and the filter. Each Set is answered
// by a report, its own or that of a newer one; a report is also given when something changes. report is called by Run's
// goroutine and must not block.
//
// What somebody else removes is put back: an interface within milliseconds - within longer and longer times if that
// happens again and again -, settings within DefaultResync, and the filter within filterPoll, where the kernel does
// not protect it anyway. An interface of a wanted name that is not ours is never touched.
//
// The error is nil unless the kernel's notifications cannot be subscribed to at the start.
func (d *Devices) Run(ctx context.Context, report func(failover.DevicesReported)) error {
	var feed subscription // of which only the news matters that there is some
	if err := feed.start(d.log, d.ns, func(unix.NlMsghdr, []byte) {}, unix.RTNLGRP_LINK); err != nil {
		return fmt.Errorf("watch devices: %w", err)
	}
	defer feed.close()
	var addresses subscription // on IPv6 addresses
	if err := addresses.start(d.log, d.ns, func(unix.NlMsghdr, []byte) {}, unix.RTNLGRP_IPV6_IFADDR); err != nil {
		return fmt.Errorf("watch devices: %w", err)
	}
	defer addresses.close()
	w := &deviceWorker{Devices: d, report: report, ours: map[string]*ownDevice{}, parents: map[string]*parentSettings{}}
	timer := time.NewTimer(DefaultResync)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			w.end()
			return nil
		case <-d.box.signal:
			w.pass = time.Time{}
		case <-feed.changed():
			// The kernel reports one change in several messages, our own among them.
			if soon := time.Now().Add(settle); soon.Before(w.pass) {
				w.pass = soon
				timer.Reset(settle)
			}
			continue
		case <-addresses.changed():
			// A role has changed: the filter opens or closes the interface at once.
		case <-timer.C:
		}
		timer.Reset(behind(d.Bar, w.step))
	}
}

// deviceWish is what Set asks for.
type deviceWish struct {
	devices     []failover.Device
	notAccepted []failover.AddressKey
	counters    bool
}

// deviceBox holds the newest wish that was not looked at yet.
type deviceBox struct {
	signal chan struct{}

	mu   sync.Mutex
	wish *deviceWish
}

func (b *deviceBox) put(w deviceWish) {
	b.mu.Lock()
	b.wish = &w
	b.mu.Unlock()
	b.wake()
}

// wake makes Run look at everything.
func (b *deviceBox) wake() {
	select {
	case b.signal <- struct{}{}:
	default:
	}
}

func (b *deviceBox) take() *deviceWish {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := b.wish
	b.wish = nil
	return w
}

// deviceWorker is the state of Run.
type deviceWorker struct {
	*Devices
	report func(failover.DevicesReported)

	wish    *deviceWish                // nil before the first Set: nothing is touched
	ours    map[string]*ownDevice      // by name
	parents map[string]*parentSettings // by name
	pass    time.Time                  // when interfaces are looked at next
	check   time.Time                  // when their settings are looked at next
	failed  map[string]string
	told    *failover.DevicesReported // nil: the newest Set was not answered
}

// step does what is due and returns for how long there is nothing to do.
func (w *deviceWorker) step(now time.Time) time.Duration {
	if wish := w.box.take(); wish != nil {
		w.wish, w.told, w.check = wish, nil, now
	}
	if staged := w.staged.Load(); staged != w.filter.beside {
		w.filter.beside, w.check = staged, now
	}
	if w.wish == nil {
		w.pass = now.Add(DefaultResync)
		return DefaultResync
	}
	if !now.Before(w.pass) {
		w.pass = now.Add(DefaultResync)
		w.keep(now)
		if !now.Before(w.check) {
			w.check = now.Add(DefaultResync)
		}
	} else {
		w.filter.keep(w.content(), now)
	}
	w.tell()
	next := w.pass
	if due := w.filter.due; !due.IsZero() && due.Before(next) {
		next = due
	}
	return max(time.Until(next), 0)
}

// later asks for another look at the interfaces at t.
func (w *deviceWorker) later(t time.Time) {
	if t.Before(w.pass) {
		w.pass = t
	}
}

func (w *deviceWorker) content() *filterContent {
	c := newFilterContent(w.wish.devices, w.wish.notAccepted, w.wish.counters)
	c.silent = w.silent()
	return c
}

// tell reports what is news.
func (w *deviceWorker) tell() {
	rep := failover.DevicesReported{Failed: maps.Clone(w.failed)}
	if len(w.wish.notAccepted) > 0 {
		rep.Filter = w.filter.why
	}
	if w.told != nil && w.told.Filter == rep.Filter && maps.Equal(w.told.Failed, rep.Failed) {
		return
	}
	w.told = &rep
	w.report(rep)
}
