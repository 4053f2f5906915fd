package kernel

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"failoverd/failover"
)

// opKind is a kind of write.
type opKind uint8

const (
	opPromote opKind = iota // turn promote_secondaries on
	opAdd                   // add an address that is not there
	opRenew                 // give an address of ours another lifetime
	opDelete                // remove an address of ours
)

// op is one write. The fields of addr beyond Interface and Prefix matter to opAdd and opRenew only.
type op struct {
	kind  opKind
	index int
	addr  failover.Address
	// valid is the lifetime in seconds, or forever.
	valid uint32
}

// String returns the op in the words of iproute2.
func (o op) String() string {
	switch o.kind {
	case opPromote:
		return "promote_secondaries dev " + o.addr.Interface
	case opDelete:
		return "del " + o.addr.Key().String()
	case opAdd, opRenew:
	default:
		panic(fmt.Sprintf("kernel: unknown op %d", o.kind))
	}
	var b strings.Builder
	b.WriteString([...]string{opAdd: "add ", opRenew: "replace "}[o.kind] + o.addr.Key().String())
	if o.addr.Broadcast.IsValid() {
		b.WriteString(" brd " + o.addr.Broadcast.String())
	}
	if o.addr.Scope != 0 {
		fmt.Fprintf(&b, " scope %d", o.addr.Scope)
	}
	if o.addr.Label != "" {
		b.WriteString(" label " + o.addr.Label)
	}
	if o.flags()&unix.IFA_F_NODAD != 0 {
		b.WriteString(" nodad")
	}
	if o.addr.NoPrefixRoute {
		b.WriteString(" noprefixroute")
	}
	if o.valid != forever || o.preferred() != forever {
		b.WriteString(" valid_lft " + seconds(o.valid) + " preferred_lft " + seconds(o.preferred()))
	}
	return b.String()
}

func seconds(s uint32) string {
	if s == forever {
		return "forever"
	}
	return fmt.Sprint(s)
}

// flags returns the IFA_F_* flags that the address is to be written with.
func (o *op) flags() uint32 {
	var f uint32
	if o.addr.Prefix.Addr().Is6() && !o.addr.DAD {
		f |= unix.IFA_F_NODAD
	}
	if o.addr.NoPrefixRoute {
		f |= unix.IFA_F_NOPREFIXROUTE
	}
	return f
}

func (o *op) preferred() uint32 {
	if o.addr.Deprecated && o.addr.Prefix.Addr().Is6() {
		return 0
	}
	return o.valid
}

// wish is what is wanted, with what is remembered about each address.
type wish struct {
	items []item
	// renew: extend, once, every leased address that has lived for a third of its lease.
	renew bool
	// tagged: the kernel keeps IFA_PROTO.
	tagged bool
	// known are all addresses that this process may delete if they are ours: those that a predecessor left or may have
	// left, and those that it wanted at some time.
	known map[failover.AddressKey]*memory
}

// item is one wanted address.
type item struct {
	failover.Address
	mem *memory
}

// memory is what is remembered about an address from pass to pass.
type memory struct {
	wanted bool
	// since is when the lease was asked for last: by a greater Renewal, or by wanting the address at all.
	since time.Time
	// renewed is what since was when the lease was written last; zero: it was not.
	renewed time.Time
	// bound is when the authority for a guarded address ends; zero: never.
	bound time.Time
	// ever: this process has wanted the address at some time.
	ever bool
	// written is what was last written; settled that the kernel's entry needs no more adapting to it.
	written failover.Address
	settled bool
	// index is the interface on which our address was last seen, 0: not seen.
	index int
	// until is when the lifetime that was last written ends; zero: never.
	until time.Time
	// restoring: somebody else removed the address, and it is not back yet.
	restoring bool
	losses    flap
	// blocked: nothing more is to be tried in this pass; failure says why, unless it was postponed.
	blocked bool
	failure string
	// refused counts the writes that have failed since the last one that has not.
	refused int
	// dadFailed: the kernel took the address away because another host has it.
	dadFailed bool
}

// ours reports whether an entry with the key of m is one that we may modify and delete.
func (w *wish) ours(r *record, m *memory) bool {
	if r.peer.IsValid() {
		return false
	}
	if w.tagged {
		return r.proto == Protocol
	}
	return !r.until.IsZero() || m.ever && m.settled && m.written.Lease == failover.NoLease
}

// own returns our entry for it, or nil, and whether the address is there at all: an entry of somebody else serves
// whatever its prefix length.
func (w *wish) own(have *table, index int, it *item) (own *record, there bool) {
	records := have.spots[spot{index, it.Prefix.Addr()}]
	for i := range records {
		r := &records[i]
		if r.prefix == it.Prefix && w.ours(r, it.mem) {
			return r, true
		}
		there = there || w.foreign(have, r)
	}
	return nil, there
}

// foreign reports whether r is somebody else's. An entry of ours with another length is on its way out and does not
// count.
func (w *wish) foreign(have *table, r *record) bool {
	m := w.known[failover.AddressKey{Interface: have.links[r.index].name, Prefix: r.prefix}]
	return m == nil || !w.ours(r, m)
}

// plan returns the writes that turn have into what is wanted at now, in order: everything that adds goes before
// everything that deletes, except where the kernel needs the old entry gone to take the new one.
func plan(have *table, want *wish, now time.Time) []op {
	p := planner{have: have, want: want, now: now}
	for i := range want.items {
		p.item(&want.items[i])
	}
	p.deletions()
	return p.ops
}

type planner struct {
	have *table
	want *wish
	now  time.Time
	ops  []op
	// early are deletions that could not wait for the end.
	early []failover.AddressKey
	// promoted are the interfaces that need no other opPromote.
	promoted []int
}

func (p *planner) item(it *item) {
	index, exists := p.have.names[it.Interface]
	if !exists || it.mem.blocked {
		return
	}
	elapsed := p.now.Sub(it.mem.since)
	allowed := it.mem.allowed(p.now)
	valid := min(lifetime(it.Lease, elapsed), allowed)
	own, there := p.want.own(p.have, index, it)
	switch {
	case own != nil && it.Lease != failover.NoLease && elapsed > it.Lease:
		// Written too late, by a process that was stopped meanwhile: nobody entitles us to the address any more.
		p.add(opDelete, index, it.Address, 0)
	case own != nil && allowed == 0 && (it.mem.over(p.now) || p.due(own, it)):
		// What would be written could end after the authority.
		p.add(opDelete, index, it.Address, 0)
	case valid == 0:
		// Too little of the lease is left to be written; the next renewal brings more.
	case own == nil && !there:
		p.makeRoom(index, it)
		p.add(opAdd, index, it.Address, valid)
	case own != nil:
		p.adapt(own, it, valid)
	}
}

func (p *planner) add(kind opKind, index int, a failover.Address, valid uint32) {
	p.ops = append(p.ops, op{kind: kind, index: index, addr: a, valid: valid})
}

// due reports whether the lifetime of an entry of ours is to be written, whatever it is to be.
func (p *planner) due(own *record, it *item) bool {
	known := it.mem.settled && it.mem.written == it.Address
	return p.want.renew && p.aged(own, it) || it.mem.tooLong() ||
		!known && (!it.mem.bound.IsZero() || flagsDiffer(own, &it.Address) || lifetimeDiffers(own, it.Lease, p.now))
}

// renewalSlack is how much sooner than a third of its lease an address may be renewed: the process was late the last time, and
// to wait for another renewal would leave too little.
const renewalSlack = 250 * time.Millisecond

// aged reports whether a third of the lease of an entry of ours is over, from one renewal to the other: how long it took to write
// does not count. Renewals come at a third of the shortest lease: where leases differ, the longer ones are not due each time.
func (p *planner) aged(own *record, it *item) bool {
	if it.Lease == failover.NoLease {
		return !it.mem.bound.IsZero()
	}
	third := it.Lease / 3
	return it.mem.since.Sub(it.mem.renewed) >= third-renewalSlack || own.until.IsZero() || own.until.Sub(p.now) <= it.Lease-third
}

// adapt gives an entry of ours the properties and the lifetime that are wanted.
func (p *planner) adapt(own *record, it *item, valid uint32) {
	known := it.mem.settled && it.mem.written == it.Address
	switch {
	case !known && fixedDiffers(own, &it.Address):
		p.add(opDelete, own.index, it.Address, 0)
		p.add(opAdd, own.index, it.Address, valid)
	case p.due(own, it):
		p.add(opRenew, own.index, it.Address, valid)
	}
}

// makeRoom prepares an interface for an address.
//
// IPv4: when the first address of a subnet goes, by hand or because its lifetime is over, the kernel removes all
// others of the subnet, also those of the administrator, unless promote_secondaries is on.
//
// IPv6: an address is there once, so that one with another prefix length has to go first.
func (p *planner) makeRoom(index int, it *item) {
	if it.Prefix.Addr().Is4() {
		if !it.Prefix.IsSingleIP() && !p.have.links[index].promotes && !slices.Contains(p.promoted, index) {
			p.promoted = append(p.promoted, index)
			p.add(opPromote, index, failover.Address{Interface: it.Interface}, 0)
		}
		return
	}
	for _, r := range p.have.spots[spot{index, it.Prefix.Addr()}] {
		k := failover.AddressKey{Interface: it.Interface, Prefix: r.prefix}
		if m := p.want.known[k]; m != nil && !m.wanted && p.want.ours(&r, m) {
			p.early = append(p.early, k)
			p.add(opDelete, index, failover.Address{Interface: k.Interface, Prefix: k.Prefix}, 0)
		}
	}
}

// deletions appends the removal of every address of ours that is not wanted, sorted by interface and address.
func (p *planner) deletions() {
	first := len(p.ops)
	for s, records := range p.have.spots {
		for i := range records {
			r := &records[i]
			if p.want.tagged && r.proto != Protocol {
				continue
			}
			k := failover.AddressKey{Interface: p.have.links[s.index].name, Prefix: r.prefix}
			m := p.want.known[k]
			if m == nil || m.wanted || m.blocked || !p.want.ours(r, m) || slices.Contains(p.early, k) {
				continue
			}
			p.add(opDelete, s.index, failover.Address{Interface: k.Interface, Prefix: k.Prefix}, 0)
		}
	}
	slices.SortFunc(p.ops[first:], func(a, b op) int { return compareKeys(a.addr.Key(), b.addr.Key()) })
}

// compareKeys orders by interface, address and length.
func compareKeys(a, b failover.AddressKey) int {
	return cmp.Or(
		strings.Compare(a.Interface, b.Interface), a.Prefix.Addr().Compare(b.Prefix.Addr()), a.Prefix.Bits()-b.Prefix.Bits(),
	)
}

// fixedDiffers reports whether the entry differs from what is wanted in something that the kernel does not change in
// place: everything of IPv4 but the lifetime.
func fixedDiffers(r *record, a *failover.Address) bool {
	if !a.Prefix.Addr().Is4() {
		return false
	}
	return r.broadcast != a.Broadcast || r.scope != a.Scope || a.Label != "" && r.label != a.Label ||
		r.flags&unix.IFA_F_NOPREFIXROUTE != 0 != a.NoPrefixRoute
}

// flagsDiffer reports whether the entry differs in flags that the kernel changes in place, those of IPv6.
func flagsDiffer(r *record, a *failover.Address) bool {
	if a.Prefix.Addr().Is4() {
		return false
	}
	return r.flags&unix.IFA_F_NOPREFIXROUTE != 0 != a.NoPrefixRoute || r.flags&unix.IFA_F_NODAD != 0 == a.DAD ||
		r.flags&unix.IFA_F_DEPRECATED != 0 != a.Deprecated
}

// lifetimeDiffers reports whether the lifetime is of another kind than wanted, or longer.
func lifetimeDiffers(r *record, lease time.Duration, now time.Time) bool {
	if lease == failover.NoLease || r.until.IsZero() {
		return r.until.IsZero() != (lease == failover.NoLease)
	}
	return r.until.Sub(now) > lease+time.Second
}

// leaseSlack is by how much a lifetime may be rounded up to the kernel's whole seconds. Without it an address that is
// written right after the Set would lose a whole second.
const leaseSlack = 250 * time.Millisecond

// lifetime returns the valid_lft to write so long after the Set that asked for a lease: forever without a lease, 0 if
// nothing can be written any more.
func lifetime(lease, elapsed time.Duration) uint32 {
	if lease == failover.NoLease {
		return forever
	}
	left := min(lease-elapsed+leaseSlack, lease)
	return uint32(max(left, 0) / time.Second)
}
