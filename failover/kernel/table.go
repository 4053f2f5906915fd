package kernel

import (
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// forever is the kernel's INFINITY_LIFE_TIME.
const forever = ^uint32(0)

// link is a network interface as the kernel describes it.
type link struct {
	index int
	name  string
	flags uint32 // IFF_*
	mtu   int
	// promotes is the IPv4 setting promote_secondaries.
	promotes bool
}

// entry is an address as the kernel describes it.
type entry struct {
	index     int
	prefix    netip.Prefix // not masked
	peer      netip.Addr   // the other end of a point-to-point address; zero: none
	broadcast netip.Addr
	label     string
	scope     uint8
	proto     uint8
	flags     uint32 // IFA_F_*
	// valid and preferred are the seconds left when the entry was read, or forever.
	valid, preferred uint32
}

// usable reports whether packets for the address are accepted: duplicate detection is over, or never ran.
func (e *entry) usable() bool {
	tentative := e.flags&unix.IFA_F_TENTATIVE != 0 && e.flags&unix.IFA_F_OPTIMISTIC == 0
	return !tentative && e.flags&unix.IFA_F_DADFAILED == 0
}

// sameAs reports whether two descriptions differ in nothing but how long the address has to live.
func (e *entry) sameAs(o *entry) bool {
	a := *e
	a.valid, a.preferred = o.valid, o.preferred
	return a == *o
}

// changeKind says what a change is about.
type changeKind uint8

const (
	linkChanged changeKind = iota
	linkGone
	addressChanged
	addressGone
)

// change is one notification of the kernel.
type change struct {
	kind  changeKind
	link  link
	entry entry
}

// record is an entry in the table.
type record struct {
	entry
	// until is when the lifetime ends, at the latest: the kernel rounds what is left up to seconds; zero: never.
	until time.Time
	// pending: the kernel has taken the address, but has not told yet that it is in (IPv6 does so from a work queue).
	pending bool
}

func newRecord(e entry, now time.Time) record {
	return record{entry: e, until: end(e.valid, now)}
}

// end returns when a lifetime that was valid at now ends; zero: never.
func end(valid uint32, now time.Time) time.Time {
	if valid == forever {
		return time.Time{}
	}
	return now.Add(time.Duration(valid) * time.Second)
}

// spot is where an address can be: IPv6 allows it there once, IPv4 once per prefix length and peer.
type spot struct {
	index int
	addr  netip.Addr
}

func (e *entry) spot() spot { return spot{e.index, e.prefix.Addr()} }

// table is the kernel's links and addresses as last heard of.
type table struct {
	links map[int]link
	names map[string]int
	spots map[spot][]record
}

func newTable() *table {
	return &table{links: map[int]link{}, names: map[string]int{}, spots: map[spot][]record{}}
}

// read returns the table of a full listing.
func read(links []link, entries []entry, now time.Time) *table {
	t := newTable()
	for _, l := range links {
		t.putLink(l)
	}
	for i := range entries {
		t.put(newRecord(entries[i], now))
	}
	return t
}

// apply merges a notification and reports whether it said anything new; another lifetime is not new.
func (t *table) apply(c *change, now time.Time) bool {
	switch c.kind {
	case linkChanged:
		return t.putLink(c.link)
	case linkGone:
		return t.dropLink(c.link.index)
	case addressChanged:
		return t.put(newRecord(c.entry, now))
	case addressGone:
		return t.drop(&c.entry)
	}
	panic("kernel: unknown kind of change")
}

func (t *table) putLink(l link) bool {
	old, known := t.links[l.index]
	if known && old == l {
		return false
	}
	if known && old.name != l.name && t.names[old.name] == l.index {
		delete(t.names, old.name)
	}
	t.links[l.index], t.names[l.name] = l, l.index
	return true
}

func (t *table) dropLink(index int) bool {
	old, known := t.links[index]
	if !known {
		return false
	}
	delete(t.links, index)
	if t.names[old.name] == index {
		delete(t.names, old.name)
	}
	for s := range t.spots {
		if s.index == index {
			delete(t.spots, s)
		}
	}
	return true
}

// find returns the record of exactly that address, or nil. It is valid until the table changes.
func (t *table) find(e *entry) *record {
	records := t.spots[e.spot()]
	for i := range records {
		if records[i].prefix == e.prefix && records[i].peer == e.peer {
			return &records[i]
		}
	}
	return nil
}

func (t *table) put(r record) bool {
	if old := t.find(&r.entry); old != nil {
		news := old.pending != r.pending || !old.sameAs(&r.entry)
		*old = r
		return news
	}
	s := r.spot()
	t.spots[s] = append(t.spots[s], r)
	return true
}

func (t *table) drop(e *entry) bool {
	s := e.spot()
	records := t.spots[s]
	for i := range records {
		if records[i].prefix != e.prefix || records[i].peer != e.peer {
			continue
		}
		if len(records) == 1 {
			delete(t.spots, s)
		} else {
			t.spots[s] = append(records[:i:i], records[i+1:]...)
		}
		return true
	}
	return false
}
