package failover

import (
	"fmt"
	"slices"
	"time"

	"failoverd/bgp"
	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// Snapshot describes the core at now. The caller adds what only it knows: the agent's version, the links, the file.
// wall turns an instant into wall-clock time. The result shares nothing with the core but what
// never changes.
func (c *Core) Snapshot(now vrrp.Instant, wall func(vrrp.Instant) time.Time) *Snapshot {
	s := &Snapshot{
		RouterID:  c.cfg.RouterID,
		StartedAt: wall(c.started),
		TakenAt:   wall(now),
		Config:    ConfigStatus{Hash: c.cfg.Hash, Reloads: c.reloads},
		Routers:   make([]RouterStatus, 0, len(c.routers)),
		Speakers:  make([]SpeakerStatus, 0, len(c.cfg.Speakers)),
		Agent:     AgentStatus{AddressWrites: c.addresses.Generation, Stopping: c.stopping},
	}
	for _, r := range c.routers {
		if r.cfg.Anycast != nil {
			s.Services = append(s.Services, c.describeService(now, r, wall))
		} else {
			s.Routers = append(s.Routers, c.describe(now, r, wall))
		}
	}
	s.Groups = c.describeGroups(wall)
	c.describeStatic(s)
	s.Checks = c.describeChecks(wall)
	s.CheckGroups = c.describeCheckGroups(wall)
	c.describeRegions(now, s)
	s.Recovery = c.describeRecovery()
	s.LongLeases = describeLongLeases(c.cfg.LongLeases)
	for i := range c.cfg.Speakers {
		s.Speakers = append(s.Speakers, c.describeSpeaker(c.speakers[c.cfg.Speakers[i].Name], wall))
	}
	return s
}

// State returns the state of a virtual router in the word that a Snapshot has for it; empty: there is none with this key.
func (c *Core) State(k vrrp.Key) string {
	for _, r := range c.routers {
		if r.cfg.Anycast == nil && r.cfg.VRRP.Key == k {
			return r.stateWord()
		}
	}
	return ""
}

// describeRecovery returns the recovery times, which are reckoned once for each configuration and never changed.
func (c *Core) describeRecovery() []RecoveryStatus {
	if c.reckoned != c.cfg {
		c.recovery, c.reckoned = RTO(c.cfg), c.cfg
	}
	return c.recovery
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (c *Core) describe(now vrrp.Instant, r *router, wall func(vrrp.Instant) time.Time) RouterStatus {
	v := r.fsm.Config()
	st := RouterStatus{
		Name: r.cfg.Name, Key: v.Key, VRID: v.Key.VRID, State: r.stateWord(), Since: wall(r.since), Why: r.why,
		Waiting: c.waiting(now, r), Interface: v.Key.Interface, Version: uint8(v.Version),
		Unicast: v.Unicast, PriorityBase: v.Priority, PriorityEffective: r.fsm.Priority(),
		Preempt:           v.Preempt,
		WithdrawGraceMS:   millis(r.cfg.grace()),
		AdvertIntervalMS:  millis(v.Interval.Duration()),
		LearnedIntervalMS: millis(r.fsm.LearnedInterval().Duration()),
		SkewMS:            millis(r.fsm.SkewTime()),
		ActiveDownMS:      millis(r.fsm.ActiveDownInterval()),
		Addresses:         make([]AddressStatus, 0, len(r.cfg.Addresses)),
		Routes:            make([]RouteStatus, 0, len(r.cfg.Announce)),
		Counters:          r.count(),
		Takeover:          r.takeover.last,
		Strangers:         r.strangers.describe(now),
	}
	st.Now = r.standing(now, st.Waiting)
	st.Master, st.LastMaster = r.masters(now)
	if src := r.fsm.Source(); src.IsValid() {
		st.Source = src.String()
	}
	if d := r.fsm.Deadline(); d != vrrp.Never {
		ms := millis(d.Sub(now))
		st.NextTimerMS, st.TakesOver = &ms, c.takesOver(r)
	}
	c.describeTracking(now, r, &st)
	c.describeRegion(r, &st)
	r.describeHMAC(&st)
	c.describeObjects(r, &st)
	st.Drained = r.describeDrain()
	for _, s := range r.own.slots {
		a := c.kernel.describe(s)
		r.describeClaim(now, s.key, &a)
		st.Addresses = append(st.Addresses, a)
	}
	for i := range r.cfg.Announce {
		st.Routes = append(st.Routes, c.describeRoute(r, &r.cfg.Announce[i]))
	}
	return st
}

func (v *kernelView) describe(s *slot) AddressStatus {
	st := AddressStatus{
		Address: s.key.Prefix, Interface: s.key.Interface, Wanted: v.sets > 0 && s.wanted == v.sets, Present: v.has(s), Error: s.err,
	}
	switch {
	case s.leftover:
		st.Present, st.Error = true, notRemoved
	case s.foreign:
		st.Present, st.Error = true, "somebody else has added it, and it answers here although this node does not have the role"
	}
	return st
}

// waiting says what keeps r from going on, in words; empty: nothing.
func (c *Core) waiting(now vrrp.Instant, r *router) string {
	switch {
	case r.cfg.Anycast != nil:
		return c.serviceWaits(now, r)
	case r.handover != nil:
		return "for its successor; until then it goes on serving"
	case c.stopping:
		return "the agent stops"
	case r.fault != "":
		return r.fault
	case c.outOfService(r) != "":
		return c.outOfService(r) + "; undrain ends that"
	case r.fsm.Held() && r.holder != r:
		return fmt.Sprintf("for %s of sync group %s, which waits %s", r.holder.cfg.Name, r.group.cfg.Name, c.holdReason(now, r.holder))
	case r.fsm.Ready() && r.barred != "":
		return r.barred
	case r.fsm.Ready() && r.group != nil:
		return c.others(r)
	case r.fsm.Held() && c.failbackHold(now, r) != "":
		return c.failbackHold(now, r)
	case r.fsm.Held():
		return fmt.Sprintf("for an established session of speaker %s, at most %.0f s more, before it takes the role from a live MASTER",
			c.waitsFor(r), r.holdUntil.Sub(now).Seconds())
	case r.fsm.State() == vrrp.Active && !r.addressesIn:
		return "for the kernel to report the addresses in"
	case c.railed(now, r) != "":
		return c.railed(now, r)
	case r.releasing:
		return r.waitsToLetGo()
	}
	return ""
}

func (r *router) count() RouterCounters {
	n := r.counters
	n.AdvertsReceived, n.ListMismatches, n.LateWakeups = r.fsm.Received(), r.fsm.ListMismatches(), r.fsm.LateWakeups()
	drops, forms := r.fsm.Drops(), r.fsm.ChecksumForms()
	n.Drops, n.Checksums = drops.Map(), make(map[string]uint64)
	for i, f := range forms {
		if f != 0 {
			n.Checksums[wire.ChecksumForm(i).String()] = f
		}
	}
	return n
}

// means reports whether the role of r wants an announcement, whatever the rails make of it.
func (r *router) means(a *Announcement) bool {
	role, ok := r.role()
	return ok && (role == a.When || role == RoleDraining && a.When == RoleActive && !r.drains(a))
}

func (c *Core) describeRoute(r *router, a *Announcement) RouteStatus {
	st := RouteStatus{Prefix: a.Route.Prefix, Speaker: a.Speaker, When: a.When.String(), Route: a.Route.String()}
	st.Wanted = r.means(a)
	s := c.speakers[a.Speaker]
	if s == nil {
		return st
	}
	same := func(x bgp.Route) bool { return x.Prefix == a.Route.Prefix }
	// A prefix in the table belongs to the line that wants it, or, when none does, to all that could have wanted it.
	st.Announced = s.report.Connected && slices.ContainsFunc(s.report.Announced, same) &&
		(st.Wanted || !slices.ContainsFunc(s.desired.Routes, same))
	for i := range s.report.Neighbors {
		switch s.report.Neighbors[i].State {
		case bgp.Established:
			st.Sessions++
		case bgp.Unknown:
			st.SessionsUnknown = true
		}
	}
	if st.Wanted && !st.Announced {
		st.Error = s.report.Err
		if s.refused != "" {
			st.Error = s.refused
		}
	}
	s.describeRails(&st)
	return st
}

func (c *Core) describeSpeaker(s *speaker, wall func(vrrp.Instant) time.Time) SpeakerStatus {
	st := SpeakerStatus{
		Name: s.cfg.Name, LocalAS: s.cfg.LocalAS, Backend: s.cfg.Backend(), Connected: s.report.Connected, Error: s.report.Err,
		ResidentBytes: s.report.Resident, MemoryLimit: s.report.MemoryLimit, Version: s.report.Version,
		Restarts: s.report.Restarts, Neighbors: append([]bgp.NeighborStatus{}, s.report.Neighbors...), Announced: []string{},
	}
	if s.refused != "" {
		st.Error = s.refused
	}
	for _, r := range s.report.Announced {
		st.Announced = append(st.Announced, r.String())
	}
	st.RPKI = c.describeRPKI(s)
	for _, h := range s.rails.held {
		st.Held = append(st.Held, HeldStatus{Prefix: h.Prefix, Until: wall(vrrp.Instant(h.Until)), Withdrawn: h.Withdrawn, Flaps: h.Flaps})
	}
	return st
}
