package failover

import (
	"errors"
	"slices"
	"time"

	"failoverd/bgp"
	"failoverd/vrrp"
)

// Flush ends a batch: it compares what should be in the kernel and in BGP with what was last asked for, and asks for
// the difference. Routes come first, because a route must be withdrawn before its addresses go.
func (c *Core) Flush(now vrrp.Instant, fx *Effects) {
	c.settleGroups(now, fx)
	c.settleRegions(now, fx)
	if !c.dirty {
		return
	}
	c.dirty = false
	c.railsDue = vrrp.Never
	for i := range c.cfg.Speakers {
		c.flushRoutes(now, c.speakers[c.cfg.Speakers[i].Name], fx)
	}
	c.followTakeovers(now, fx)
	c.finishReleases(now)
	c.flushObjects(now, fx)
	c.flushAddresses(now, fx)
	c.dismiss()
	c.sendHeartbeats(now, fx) // who has let go of everything says so
	if c.stopping && (c.stopped || c.nothingLeft() || now >= c.stopAt) {
		c.stopped, c.stopAt, fx.Stopped = true, vrrp.Never, true
	}
}

// flushRoutes asks a speaker for another set of routes if it should announce another one.
func (c *Core) flushRoutes(now vrrp.Instant, s *speaker, fx *Effects) {
	if len(s.rails.carried) > 0 {
		c.railsDue = min(c.railsDue, s.rails.ends)
	}
	wanted, guarded := c.wantedRoutes(now, s)
	routes, invalid := c.passOrigins(now, s, wanted)
	if c.unfound(now, s, len(routes) < len(wanted)) || c.premature(now, s) {
		return
	}
	s.origin = s.cfg.LocalAS
	want, err := s.validated(routes)
	refused := ""
	if err = errors.Join(invalid, err); err != nil {
		refused = err.Error()
	}
	if refused != s.refused {
		s.refused = refused
		if refused != "" {
			fx.event(Event{Kind: EventRefused, At: now, Speaker: s.cfg.Name, Reason: refused})
		}
	}
	want = c.govern(now, s, want, fx)
	if s.unsaid && !c.undecided(s) {
		s.unsaid, s.stale = false, true
	}
	announce, withdraw := bgp.Diff(s.desired.Routes, want)
	until := c.routesUntil(guarded)
	if len(announce) == 0 && len(withdraw) == 0 && !s.stale {
		if len(want) > 0 && until != s.desired.Until { // the same set, for longer
			s.desired.Until = until
			fx.Routes = append(fx.Routes, SpeakerRoutes{Speaker: s.cfg.Name, Desired: s.desired})
		}
		return
	}
	// One count for all speakers: a late report of a speaker that a reload removed and another one put back must not
	// pass for an answer.
	c.routes++
	s.stale = false
	s.desired = bgp.Desired{Generation: c.routes, Routes: want, Until: until}
	fx.Routes = append(fx.Routes, SpeakerRoutes{Speaker: s.cfg.Name, Desired: s.desired})
}

// wantedRoutes returns what the routers' roles entitle them to announce through a speaker, sorted by prefix. Where two
// routers want one prefix, an Active one goes before one that hands its role over, and that before a Backup, and then the
// first in the configuration decides. guarded says whether all of them are announced by the authority of the site.
func (c *Core) wantedRoutes(now vrrp.Instant, s *speaker) (want []bgp.Route, guarded bool) {
	list := c.memory[:0]
	for _, when := range [...]Role{RoleActive, RoleDraining, RoleBackup} {
		for _, r := range c.routers {
			if role, ok := r.role(); ok && role == when && c.proven(now, r, s) {
				list = r.candidates(list, s.cfg.Name, when)
			}
		}
	}
	slices.SortStableFunc(list, func(a, b candidate) int { return a.Prefix.Compare(b.Prefix) })
	list = slices.CompactFunc(list, func(a, b candidate) bool { return a.Prefix == b.Prefix })
	c.memory = list
	if !slices.EqualFunc(s.wanted, list, func(r bgp.Route, x candidate) bool {
		return r.Prefix == x.Prefix && r.Attributes.Equal(x.Attributes)
	}) {
		s.wanted = make([]bgp.Route, len(list))
		for i := range list {
			s.wanted[i] = list[i].Route
		}
	}
	return s.wanted, !slices.ContainsFunc(list, func(x candidate) bool { return !x.guarded })
}

// candidate is a route that a router wants, and whether it does so by the authority of the site.
type candidate struct {
	bgp.Route
	guarded bool
}

// candidates appends the routes that r announces through a speaker in a role.
func (r *router) candidates(list []candidate, speaker string, when Role) []candidate {
	guarded := r.cfg.Region.Site != ""
	if when == RoleDraining {
		for _, route := range r.cfg.draining(speaker) {
			list = append(list, candidate{route, guarded})
		}
		return list
	}
	for i := range r.cfg.Announce {
		if a := &r.cfg.Announce[i]; a.Speaker == speaker && a.When == when {
			list = append(list, candidate{a.Route, guarded})
		}
	}
	return list
}

// dismiss forgets those that a reload has removed and that hold nothing any more.
func (c *Core) dismiss() {
	before := len(c.leaving)
	c.leaving = slices.DeleteFunc(c.leaving, func(r *router) bool {
		if !r.releasing {
			c.sched.remove(r)
		}
		return !r.releasing
	})
	if len(c.leaving) != before {
		c.index()
	}
}

// flushAddresses asks the kernel worker for another set of addresses if another one should be there, or for a renewal
// of the leases if that is due.
func (c *Core) flushAddresses(now vrrp.Instant, fx *Effects) {
	changed := c.reclaim() || c.unasked
	c.unasked = false
	renew := c.lease != NoLease && c.renewAt <= now
	if changed {
		c.addresses.Generation++
	}
	if renew {
		c.addresses.Renewal++
	}
	if c.lease == NoLease {
		c.renewAt, c.leaseEnds = vrrp.Never, vrrp.Never
	} else {
		if next := now.Add(c.lease / 3); renew || c.renewAt > next {
			c.renewAt = next
		}
		c.leaseEnds = c.renewAt.Add(c.lease - c.lease/3)
	}
	if changed || renew {
		d := c.addresses
		d.Until = c.addressesUntil()
		fx.Addresses = &d
	}
}

// reclaim brings what is asked for in line with what the routers are entitled to, and reports whether it is to be asked
// for: it is another set, or a router waits for a report on one that looks the same.
func (c *Core) reclaim() bool {
	static := c.staticWanted()
	another, waited := c.regroup || static != c.objects.addresses, false
	c.regroup, c.objects.addresses = false, static
	for _, routers := range [...][]*router{c.routers, c.leaving} {
		for _, r := range routers {
			next := r.claim()
			another = another || !next.same(r.held)
			waited = waited || r.fsm.State() == vrrp.Active && r.addressGeneration > c.addresses.Generation
			r.held = next
		}
	}
	if !another {
		return waited
	}
	want, lease := c.wantedAddresses()
	another = !slices.Equal(want, c.addresses.Addresses)
	c.addresses.Addresses, c.lease = want, lease
	return another || waited
}

// wantedAddresses returns the static addresses and what all routers hold, without duplicates - of two entries for one
// address, a static one decides, and then the first in the configuration - and the shortest life among it.
func (c *Core) wantedAddresses() (want []Address, lease time.Duration) {
	want = make([]Address, 0, len(c.addresses.Addresses)+1)
	c.kernel.sets++
	add := func(held claim) {
		for i, s := range held.slots {
			if s.wanted == c.kernel.sets {
				continue
			}
			s.wanted = c.kernel.sets
			a := &held.addresses[i]
			want = append(want, *a)
			if life := c.life(a); life != NoLease && (lease == NoLease || life < lease) {
				lease = life
			}
		}
	}
	if c.objects.addresses {
		add(c.kernel.static)
	}
	for _, routers := range [...][]*router{c.routers, c.leaving} {
		for _, r := range routers {
			add(r.held)
		}
	}
	return want, lease
}

// life returns how long an address lives when it is renewed at its best: for its lease, and a guarded one no longer than an
// acknowledgement gives its site authority; NoLease: for ever.
func (c *Core) life(a *Address) time.Duration {
	if s := c.region.site; a.Guarded && a.Lease != NoLease && s != nil && !s.cfg.Hold {
		return min(a.Lease, s.cfg.FenceAfter)
	}
	return a.Lease
}

// nothingLeft reports whether an orderly stop has done its work: nothing of ours in the kernel, nothing announced. The
// first report comes after leftovers of a dead predecessor were swept, so without one nothing is known.
func (c *Core) nothingLeft() bool {
	if c.kernel.reports == 0 || len(c.addresses.Addresses) > 0 || c.kernel.generation < c.addresses.Generation || len(c.kernel.leftover) > 0 {
		return false
	}
	if !c.objectsGone() {
		return false
	}
	for _, s := range c.speakers {
		if !s.acknowledged(s.desired.Generation) {
			return false
		}
	}
	return true
}
