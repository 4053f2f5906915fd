package kernel

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"failoverd/failover"
	"failoverd/vrrp"
)

const (
	// retryAfter is how long a failed write waits for the next attempt, and quickRetry how long the first quickRetries of
	// them do: a router without its addresses resigns within failover.RefusalSoon.
	retryAfter   = time.Second
	quickRetry   = 30 * time.Millisecond
	quickRetries = 2
	// confirmWithin is how long the kernel may take to tell that an address is in before everything is listed anew.
	confirmWithin = 100 * time.Millisecond
	// maxRounds bounds how often a pass compares and writes. Two are normal: one that writes, one that agrees.
	maxRounds = 4
	// reportAtLeast is for how long reports may be left out because newer Sets keep coming.
	reportAtLeast = 100 * time.Millisecond
)

// reconciler makes the kernel's addresses what the newest DesiredAddresses says. It belongs to the goroutine of Run.
type reconciler struct {
	log    *slog.Logger
	host   host
	feed   feed
	box    *mailbox
	report func(failover.AddressReport)
	resync time.Duration
	clock  func() vrrp.Instant

	have *table
	want wish
	// configured is what is watched for addresses of others, sorted.
	configured []failover.AddressKey
	// addrs and links are what a change must be about to matter: all that was ever configured or wanted.
	addrs map[netip.Addr]struct{}
	links map[string]struct{}

	desired  failover.DesiredAddresses
	setAt    time.Time
	asked    bool // anything was asked for yet
	renewal  uint64
	answered bool // last answers desired
	last     failover.AddressReport
	lastAt   time.Time
	swept    []failover.AddressKey // since the last report
	leftover []failover.AddressKey // of the last pass

	searched bool // leftovers of a dead predecessor were looked for

	stale   bool // have must be read anew
	listed  time.Time
	listErr error
	due     time.Time // of the next pass
	// unconfirmed: the kernel has not told yet that all the addresses it took are in.
	unconfirmed bool
}

func newReconciler(w *Worker, feed feed, report func(failover.AddressReport)) *reconciler {
	r := &reconciler{
		log: w.log, host: w.writer, feed: feed, box: &w.box, report: report, resync: w.options.Resync, clock: w.clock,
		have: newTable(), stale: true, addrs: map[netip.Addr]struct{}{}, links: map[string]struct{}{},
		want: wish{tagged: w.writer.tagged(), known: map[failover.AddressKey]*memory{}},
	}
	for _, k := range w.options.Configured {
		r.want.known[k] = &memory{}
	}
	r.configure(w.options.Configured)
	return r
}

// configure sets which addresses are watched.
func (r *reconciler) configure(configured []failover.AddressKey) {
	r.configured = slices.SortedFunc(slices.Values(configured), compareKeys)
	r.configured = slices.Compact(r.configured) // two routers may be configured for the same one
	for _, k := range r.configured {
		r.concern(k)
	}
}

// concern makes changes of an address, and of its interface, matter from now on.
func (r *reconciler) concern(k failover.AddressKey) {
	r.addrs[k.Prefix.Addr()], r.links[k.Interface] = struct{}{}, struct{}{}
}

// step looks at what came in and makes a pass if anything asks for one. It returns when it wants to be called next.
func (r *reconciler) step(now time.Time) time.Duration {
	configured, fresh := r.box.takeConfigured()
	if fresh {
		r.configure(configured)
	}
	matters := r.absorb(now)
	fresh = r.adopt() || fresh
	if !r.asked {
		return r.resync
	}
	due := !now.Before(r.due)
	if due && r.unconfirmed || now.Sub(r.listed) >= r.resync {
		r.stale = true
	}
	if fresh || matters || due || r.stale {
		r.pass()
		r.schedule(time.Now())
		r.answer(now)
	}
	return max(time.Until(r.due), 0)
}

// adopt takes the newest DesiredAddresses out of the mailbox, if there is one.
func (r *reconciler) adopt() bool {
	d, at, ok := r.box.take()
	if !ok {
		return false
	}
	renewed := !r.asked || d.Renewal > r.renewal
	r.want.renew = r.want.renew || renewed
	r.desired, r.setAt, r.asked, r.renewal, r.answered = d, at, true, d.Renewal, false
	for i := range r.want.items {
		r.want.items[i].mem.wanted = false
	}
	r.want.items = r.want.items[:0]
	ends := r.ends(d.Until)
	for _, a := range d.Addresses {
		m := r.want.known[a.Key()]
		if m == nil {
			m = &memory{}
			r.want.known[a.Key()] = m
		}
		if m.wanted {
			continue // two routers want the same one
		}
		anew := renewed || m.since.IsZero()
		if anew {
			m.since = at
		}
		m.entitle(&a, ends, anew)
		if !m.ever {
			r.concern(a.Key())
		}
		m.wanted, m.ever = true, true
		r.want.items = append(r.want.items, item{a, m})
	}
	return true
}

// absorb merges the kernel's notifications and reports whether any of them matters.
func (r *reconciler) absorb(now time.Time) (matters bool) {
	changes, lost := r.feed.take()
	r.stale = r.stale || lost
	for i := range changes {
		c := &changes[i]
		before := r.have.links[c.link.index].name
		if c.kind == addressGone {
			r.noteDuplicate(&c.entry)
		}
		if !r.have.apply(c, now) {
			continue
		}
		switch c.kind {
		case linkChanged, linkGone:
			matters = matters || r.concerns(before) || r.concerns(c.link.name)
		default:
			_, about := r.addrs[c.entry.prefix.Addr()]
			matters = matters || about || r.want.tagged && c.entry.proto == Protocol
		}
	}
	return matters
}

func (r *reconciler) concerns(name string) bool {
	_, ok := r.links[name]
	return ok
}

// noteDuplicate remembers that an address goes because duplicate detection failed: the kernel keeps only permanent
// ones with a flag that says so.
func (r *reconciler) noteDuplicate(e *entry) {
	if e.flags&unix.IFA_F_DADFAILED == 0 {
		return
	}
	if m := r.want.known[failover.AddressKey{Interface: r.have.links[e.index].name, Prefix: e.prefix}]; m != nil {
		m.dadFailed = true
	}
}

// pass compares and writes until nothing is left to do. A newer DesiredAddresses ends it, for the next one to undo
// what is no longer wanted.
func (r *reconciler) pass() {
	r.leftover = r.leftover[:0]
	for _, m := range r.want.known {
		m.blocked, m.failure = false, ""
		if !m.wanted {
			*m = memory{ever: m.ever, written: m.written, settled: m.settled}
		}
	}
	for round := 1; ; round++ {
		if r.stale && !r.list() {
			break
		}
		now := time.Now()
		r.noticeLosses(now)
		ops := plan(r.have, &r.want, now)
		r.want.renew = false
		if len(ops) > 0 {
			r.write(ops)
			r.absorb(time.Now())
		}
		if len(ops) == 0 && !r.stale || r.box.waiting() {
			break
		}
		if round == maxRounds {
			r.stale = true // look again later
			break
		}
	}
	r.remember()
}

// list reads everything from the kernel.
func (r *reconciler) list() bool {
	var entries []entry
	links, err := r.host.links()
	if err == nil {
		entries, err = r.host.addresses()
	}
	if err != nil && r.listErr == nil {
		r.log.Warn("kernel cannot be read", "err", err)
	}
	if r.listErr = err; err != nil {
		return false
	}
	now := time.Now()
	r.have, r.stale, r.listed = read(links, entries, now), false, now
	r.search()
	return true
}

// search finds, once, what a dead predecessor left: whatever carries our tag before we have written anything. The
// memory of it is what entitles us to delete it, now or when that works.
func (r *reconciler) search() {
	if r.searched || !r.want.tagged {
		return
	}
	r.searched = true
	for s, records := range r.have.spots {
		for i := range records {
			k := failover.AddressKey{Interface: r.have.links[s.index].name, Prefix: records[i].prefix}
			if r.want.known[k] == nil && r.want.ours(&records[i], &memory{}) {
				r.want.known[k] = &memory{}
			}
		}
	}
}

// noticeLosses finds addresses that we had added and that somebody else removed, and decides how soon each may go
// back. An address that ended with its lease or went with its interface was not removed by anybody.
func (r *reconciler) noticeLosses(now time.Time) {
	for i := range r.want.items {
		it := &r.want.items[i]
		m := it.mem
		if m.index != 0 {
			own, _ := r.want.own(r.have, m.index, it)
			if own == nil && r.removed(it, now) {
				m.losses.lost(now)
				m.restoring = !m.dadFailed
				if m.dadFailed {
					m.losses.hold(now, maxHoldback)
				}
			}
			if own == nil {
				m.index = 0
			}
		}
		if _, there := r.have.names[it.Interface]; !there {
			m.restoring = false // it went with its interface, as it turns out: the news of that came in two parts
		}
		if m.losses.held(now) {
			m.blocked = true
			m.failure = fmt.Sprintf("removed by somebody else %d times, next attempt %v after the last time",
				m.losses.count, m.losses.delay)
			if m.dadFailed {
				m.failure = "another host has the address (duplicate address detection)"
			}
		}
	}
}

// removed reports whether it, which is no longer there, was taken away by somebody.
func (r *reconciler) removed(it *item, now time.Time) bool {
	m := it.mem
	if !m.until.IsZero() && now.After(m.until.Add(-leaseSlack)) {
		return false
	}
	l, exists := r.have.links[m.index]
	if !exists || l.name != it.Interface {
		return false
	}
	// The kernel itself drops the IPv6 addresses of an interface that goes down.
	return it.Prefix.Addr().Is4() || l.flags&unix.IFF_UP != 0
}

// remember notes which of our addresses are there, to notice when one goes.
func (r *reconciler) remember() {
	for i := range r.want.items {
		it := &r.want.items[i]
		index, exists := r.have.names[it.Interface]
		if !exists {
			continue
		}
		if own, _ := r.want.own(r.have, index, it); own != nil && !own.pending {
			it.mem.index = index
			if !it.mem.settled {
				it.mem.written, it.mem.settled = it.Address, true
			}
		}
	}
}
