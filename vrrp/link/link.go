// Package link is where VRRP meets the wire: raw sockets that receive and send advertisements, and the frames that
// tell the neighbours where a virtual address now lives (gratuitous ARP, unsolicited neighbor advertisement). It runs
// on Linux only and needs CAP_NET_RAW. What a packet means is decided elsewhere: vrrp/wire reads it, package vrrp acts.
//
// Read Link first, then Announcer. A Link starts no goroutine of its own:
//
//	reader goroutine   Link.Run      -> deliver, Options.Drop
//	one sender         Link.Send, Link.SendFrom     (the owner loop of the agent)
//	anybody            Link.Drops, Link.Counters, Link.Close
//	anybody            Announcer.Announce, Announcer.Close
package link

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"failoverd/vrrp/wire"
)

// ErrNoInterface says that the interface of a Link or an Announcer does not exist, or does not exist any more: an
// interface that was deleted and created again under the same name is another one, and needs another Link.
var ErrNoInterface = errors.New("no such interface")

// ID names a link: a network interface and an address family.
type ID struct {
	// Interface is the name of a network interface. Empty, it names the unicast link of the family: one socket that
	// is bound to no interface, because packets of a routed peer may arrive on any.
	Interface string
	Family    wire.Family
}

// String returns for example "eth0/IPv4", and "*/IPv4" for the unicast link.
func (id ID) String() string {
	if id.Interface == "" {
		return "*/" + id.Family.String()
	}
	return id.Interface + "/" + id.Family.String()
}

// Options are the optional parts of a Link. The zero value is fine.
type Options struct {
	// Drop, when not nil, is called for every packet that was received but not delivered, with its reason, source and
	// VRID (0 when it was too short to have one). The goroutine of Run calls it; it must not block.
	Drop func(reason wire.DropReason, src netip.Addr, vrid uint8)
	// Group is the multicast group that an interface link joins and accepts instead of the protocol's own
	// (vrrp_mcast_group4, vrrp_mcast_group6). Zero: the protocol's.
	Group netip.Addr
}

// Counters is what a link did since it was opened, in packets.
type Counters struct {
	Received   uint64 // delivered by Run
	Sent       uint64 // handed to the kernel
	SendFailed uint64 // refused by the kernel, or not expressible
	ReadErrors uint64 // failed reads; each is followed by a pause
	Overflowed uint64 // thrown away by the kernel because Run did not keep up
}

// Link is a raw socket for IP protocol 112.
//
// On an interface it is a member of 224.0.0.18 or ff02::12 (or Options.Group) there and receives what arrives by that interface, unicast
// packets included. The unicast link (ID.Interface empty) is a member of no group and receives no multicast at all.
// Own multicasts are not looped back to this host.
type Link struct {
	// constant after Open
	id      ID
	drop    func(wire.DropReason, netip.Addr, uint8)
	sock    *socket
	index   int        // of the interface; 0 on the unicast link
	group   netip.Addr // Options.Group
	closing chan struct{}
	once    sync.Once

	in     *reader // owned by Run
	out    *writer // owned by the caller of Send
	stack  stack   // its address is owned by the caller of Send
	frames *framer // owned by the caller of SendFrom; nil on the unicast link

	// atomic
	drops                                [wire.NumDropReasons]atomic.Uint64
	received, sent, failed, faults, lost atomic.Uint64
}

// Open opens the link id. The error says in one line what is missing: CAP_NET_RAW, the interface (errors.Is with
// ErrNoInterface), or IPv6 on the host or on the interface. The network namespace is that of the calling thread, for good.
func Open(id ID, opts Options) (*Link, error) {
	l, err := open(id, opts)
	if err != nil {
		return nil, fmt.Errorf("open link %s: %w", id, err)
	}
	return l, nil
}

func open(id ID, opts Options) (*Link, error) {
	st, err := stackOf(id.Family)
	if err != nil {
		return nil, err
	}
	group, err := groupOf(id, opts.Group)
	if err != nil {
		return nil, err
	}
	sock, err := st.open()
	if err != nil {
		return nil, err
	}
	index, err := configure(sock, id, st, group)
	if err != nil {
		return nil, errors.Join(err, sock.close())
	}
	var frames *framer
	if index != 0 {
		if frames, err = openFramer(id.Interface); err != nil {
			return nil, errors.Join(err, sock.close())
		}
	}
	drop := opts.Drop
	if drop == nil {
		drop = func(wire.DropReason, netip.Addr, uint8) {}
	}
	return &Link{
		id: id, drop: drop, sock: sock, index: index, group: opts.Group, closing: make(chan struct{}),
		in: newReader(sock, st), out: newWriter(sock, st), stack: st, frames: frames,
	}, nil
}

// groupOf returns the multicast group of a link.
func groupOf(id ID, other netip.Addr) (netip.Addr, error) {
	switch {
	case !other.IsValid():
		return id.Family.Group(), nil
	case !other.IsMulticast() || other.Zone() != "" || wire.FamilyOf(other) != id.Family:
		return netip.Addr{}, fmt.Errorf("group %v is no %v multicast address", other, id.Family)
	}
	return other, nil
}

// ID returns the name that the link was opened under.
func (l *Link) ID() ID { return l.id }

// Drops returns how many received packets were not delivered, by reason. Safe for concurrent use.
func (l *Link) Drops() wire.DropCounters {
	var c wire.DropCounters
	for r := range c {
		c[r] = l.drops[r].Load()
	}
	return c
}

// Counters returns what the link did so far. Safe for concurrent use.
func (l *Link) Counters() Counters {
	return Counters{
		Received: l.received.Load(), Sent: l.sent.Load(), SendFailed: l.failed.Load(),
		ReadErrors: l.faults.Load(), Overflowed: l.lost.Load(),
	}
}

// Close ends Run and makes Send fail. It may be called more than once and from any goroutine, deliver and Drop included.
func (l *Link) Close() error {
	var err error
	l.once.Do(func() {
		close(l.closing)
		err = l.sock.close()
		if l.frames != nil {
			err = errors.Join(err, l.frames.sock.close())
		}
	})
	return err
}

// pause waits for d, or less if the link is closed meanwhile; it reports whether the link is still open.
func (l *Link) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-l.closing:
		return false
	}
}
