package failover

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	"failoverd/vrrp"
)

// kernelView is what the kernel worker last said, address by address.
type kernelView struct {
	generation uint64
	reports    uint64 // how many there were
	sets       uint64 // how many sets of addresses were put together
	slots      map[AddressKey]*slot
	failed     []*slot // with an error
	leftover   []*slot // should be gone and are not
	foreign    []*slot // there on somebody else's account, and not wanted here
	static     claim   // static_ipaddress
	fixed      map[netip.Addr]bool
}

// slot is what is known of one address of the kernel, whoever wants it.
type slot struct {
	key      AddressKey
	present  uint64 // the last report that it was present in
	restored uint64 // the last report that it was put back in
	wanted   uint64 // the last set that it was part of
	err      string
	leftover bool
	foreign  bool
	owned    bool    // its router is the address owner
	putBack  limiter // on saying that it had to be put back
}

// slot returns what is known of an address.
func (v *kernelView) slot(k AddressKey) *slot {
	s := v.slots[k]
	if s == nil {
		s = &slot{key: k}
		v.slots[k] = s
	}
	return s
}

// keep forgets all addresses but the static ones, those of the routers, and those that are in trouble.
func (v *kernelView) keep(static []Address, groups ...[]*router) {
	old := v.slots
	v.slots = make(map[AddressKey]*slot, len(old))
	for _, s := range slices.Concat(v.failed, v.leftover, v.foreign) {
		v.slots[s.key] = s
	}
	use := func(k AddressKey) *slot {
		if s := old[k]; s != nil {
			v.slots[k] = s
		}
		return v.slot(k)
	}
	v.static, v.fixed = claim{addresses: static}, make(map[netip.Addr]bool, len(static))
	for i := range static {
		v.static.slots = append(v.static.slots, use(static[i].Key()))
		v.fixed[static[i].Prefix.Addr()] = true
	}
	for _, routers := range groups {
		for _, r := range routers {
			for _, s := range r.held.slots {
				use(s.key)
			}
			if slices.EqualFunc(r.own.slots, r.cfg.Addresses, func(s *slot, a Address) bool { return s.key == a.Key() }) {
				r.own.addresses = r.cfg.Addresses
			} else {
				r.own = claim{addresses: r.cfg.Addresses, slots: make([]*slot, 0, len(r.cfg.Addresses))}
				for i := range r.cfg.Addresses {
					r.own.slots = append(r.own.slots, use(r.cfg.Addresses[i].Key()))
				}
			}
			for _, s := range r.own.slots {
				use(s.key)
				s.owned = r.cfg.owner()
			}
		}
	}
}

// has reports whether the last report had the address.
func (v *kernelView) has(s *slot) bool { return v.reports > 0 && s.present == v.reports }

// notRemoved is the reason of an EventAddressFailed about an address that should be gone.
const notRemoved = "it should be gone, and is still there"

// addressesReported takes note of what is in the kernel, and starts or stops what depends on it. A report that is
// older than the last one says nothing any more.
func (c *Core) addressesReported(now vrrp.Instant, rep *AddressReport, fx *Effects) {
	if rep.Generation < c.kernel.generation {
		return
	}
	c.dirty = true
	c.kernel.update(rep, fx, now)
	for _, r := range c.routers {
		if r.fsm.State() == vrrp.Active && rep.Generation >= r.addressGeneration {
			c.settle(now, r, rep, fx)
			c.firstWordDue(now, r, fx)
			c.reschedule(r)
		}
	}
}

// update takes a report over, and tells what is new about it.
func (v *kernelView) update(rep *AddressReport, fx *Effects, now vrrp.Instant) {
	v.generation = rep.Generation
	v.reports++
	for _, k := range rep.Present {
		v.slot(k).present = v.reports
	}
	v.noteFailures(rep, fx, now)
	v.noteLeftovers(rep, fx, now)
	v.noteForeign(rep, fx, now)
	for _, k := range rep.Swept {
		fx.event(Event{Kind: EventSwept, At: now, Address: k})
	}
	for _, k := range rep.Restored {
		s := v.slot(k)
		s.restored = v.reports
		if s.putBack.allows(now) {
			fx.event(Event{Kind: EventRestored, At: now, Address: k})
		}
	}
}

func (v *kernelView) noteFailures(rep *AddressReport, fx *Effects, now vrrp.Instant) {
	before := v.failed
	v.failed = nil
	for _, k := range slices.SortedFunc(maps.Keys(rep.Failed), AddressKey.compare) {
		s, err := v.slot(k), rep.Failed[k]
		if s.err != err {
			fx.event(Event{Kind: EventAddressFailed, At: now, Address: k, Reason: err})
		}
		s.err = err
		v.failed = append(v.failed, s)
	}
	for _, s := range before {
		if _, still := rep.Failed[s.key]; !still {
			s.err = ""
		}
	}
}

func (v *kernelView) noteLeftovers(rep *AddressReport, fx *Effects, now vrrp.Instant) {
	before := v.leftover
	v.leftover = nil
	for _, k := range rep.Leftover {
		s := v.slot(k)
		if !s.leftover {
			fx.event(Event{Kind: EventAddressFailed, At: now, Address: k, Reason: notRemoved})
		}
		s.leftover = true
		v.leftover = append(v.leftover, s)
	}
	for _, s := range before {
		s.leftover = slices.Contains(v.leftover, s)
	}
}

// noteForeign tells of addresses that answer here although this node does not have the role: most likely another daemon
// has left them, and two nodes answer for them. What an address owner has of its own is no news, nor is
// what static_ipaddress puts there, with whatever length.
func (v *kernelView) noteForeign(rep *AddressReport, fx *Effects, now vrrp.Instant) {
	before := v.foreign
	v.foreign = nil
	for _, k := range rep.Foreign {
		s := v.slot(k)
		if s.owned || v.fixed[k.Prefix.Addr()] {
			continue
		}
		if !s.foreign {
			fx.event(Event{Kind: EventForeign, At: now, Address: k})
		}
		s.foreign = true
		v.foreign = append(v.foreign, s)
	}
	for _, s := range before {
		s.foreign = slices.Contains(v.foreign, s)
	}
}

// compare orders keys by interface and prefix.
func (k AddressKey) compare(o AddressKey) int {
	return cmp.Or(cmp.Compare(k.Interface, o.Interface), k.Prefix.Compare(o.Prefix))
}

// settle decides what of an Active router's addresses is in. The LAN is told of each one that is, whatever becomes of
// the others; routes wait for all of them.
func (c *Core) settle(now vrrp.Instant, r *router, rep *AddressReport, fx *Effects) {
	in, news, failing := true, false, false
	r.resumed = false
	for i, s := range r.own.slots {
		failing = failing || s.err != ""
		switch {
		case !c.kernel.has(s):
			in, r.presence[i] = false, absent
		case r.presence[i] == absent || s.restored == c.kernel.reports:
			news, r.presence[i] = true, fresh
		}
	}
	if news {
		r.gratuitous.start(now, &r.cfg.GARP)
		r.gratuitous.again(now, r.fromLive, r.cfg)
		r.fromLive = false
	}
	switch {
	case !failing:
		r.failing = vrrp.Never
	case r.failing == vrrp.Never:
		r.failing = now
	}
	if in == r.addressesIn {
		return
	}
	r.rising = r.rising && !in
	r.addressesIn, r.attracting = in, r.attracting || in
	e := Event{Kind: EventAddresses, At: now, To: "absent", Took: rep.Took}
	if in {
		e.To = "present"
	}
	fx.about(r, e)
}
