package failover

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"failoverd/vrrp"
)

// Legacy is what a program that works hands over to another one, which takes its place (an upgrade): where every router
// stands, and what has been said of it, so that nothing is said twice. Both live on one machine under one boot, so that
// an Instant means the same to both.
type Legacy struct {
	// At is when the program before did nothing any more; LeaseEnds is when the kernel may let go of its addresses, vrrp.Never or 0:
	// it does not.
	At        vrrp.Instant
	LeaseEnds vrrp.Instant
	Routers   []LegacyRouter
	// Told holds the last state that the scripts of a router were told of which does not run, by its key.
	Told map[string]string `json:",omitempty"`
	// Groups holds the last state that each sync group was told of, by its name.
	Groups map[string]string `json:",omitempty"`
	// Idle are the routers that cannot run.
	Idle []LegacyIdle `json:",omitempty"`
	// Governors are those of speakers.
	Governors []LegacyGovernor `json:",omitempty"`
	// Verdicts are what is known of tracked things. Programs from before there were any leave them out.
	Verdicts []LegacyVerdict `json:",omitempty"`
	// Origins are what is known of the RPKI validity of own prefixes. Programs that know nothing of it ask anew.
	Origins []LegacyOrigin `json:",omitempty"`
	// Region is what is known of other sites; nil: the node knows none.
	Region *LegacyRegion `json:",omitempty"`
}

// LegacyRouter is one router that runs.
type LegacyRouter struct {
	Key      string // as of an Heir
	Standing vrrp.Standing
	// Since and Why are of the state that it is in, Told the last state that its scripts were told of.
	Since vrrp.Instant
	Why   string
	Told  string `json:",omitempty"`
	// Last is why an anycast service is not well that serves as the last resort; empty: it does not.
	Last string `json:",omitempty"`
	// HoldUntil is when bgp_wait ends.
	HoldUntil vrrp.Instant
	// Announced are the addresses that the LAN knows of. The instants are when it is told again; vrrp.Never: it is not.
	Announced []AddressKey `json:",omitempty"`
	Second    vrrp.Instant
	Settled   vrrp.Instant
	LetGo     vrrp.Instant // the LAN is told again and again from Settled until then; 0: once
	Refresh   vrrp.Instant
	Rival     vrrp.Instant
	RivalLast vrrp.Instant
	Quiet     vrrp.Instant
	Counters  RouterCounters
	// Clean is when something was not all right last. Silence, Quorum and ActiveDown are those of a takeover that has not
	// happened yet.
	Clean           vrrp.Instant
	Silence, Quorum vrrp.Instant
	ActiveDown      time.Duration
}

// HandoverBar says why the roles cannot be handed over to another program now; empty: they can.
func (c *Core) HandoverBar() string {
	c.definitions() // so that they are there when time is short
	switch {
	case c.stopping:
		return "the agent is about to stop"
	case len(c.leaving) > 0:
		return "a router that a reload has removed has not let go of its addresses yet; try again"
	case c.Inheriting():
		return "the agent has not taken over from its last life yet; try again"
	}
	for _, r := range c.routers {
		switch {
		case r.pending, r.legacy != nil:
			return fmt.Sprintf("%s has not started yet (%s); try again", r.cfg.Name, r.fault)
		case r.handover != nil, r.releasing:
			return fmt.Sprintf("%s has left its role and has not let go of it yet; try again", r.cfg.Name)
		case r.fsm.State() == vrrp.Active && !r.addressesIn:
			return fmt.Sprintf("the addresses of %s are not in yet; try again", r.cfg.Name)
		}
	}
	return ""
}

// Legacy returns that of this moment, after which nothing may be done any more. What it holds is the caller's.
func (c *Core) Legacy(now vrrp.Instant) *Legacy {
	l := &Legacy{
		At: now, LeaseEnds: c.leaseEnds, Groups: maps.Clone(c.groupsTold), Verdicts: c.legacyVerdicts(), Region: c.legacyRegion(),
		Governors: c.legacyGovernors(now), Origins: c.legacyOrigins(),
	}
	for _, r := range c.routers {
		if r.fsm.State() == vrrp.Initialize {
			l.tell(r.cfg.heirKey(), r.told)
			l.Idle = append(l.Idle, c.legacyIdle(now, r))
			continue
		}
		g := &r.gratuitous
		h := LegacyRouter{
			Key: r.cfg.heirKey(), Standing: r.fsm.Standing(), Since: r.since, Why: r.why, Told: r.told, Last: r.last, HoldUntil: r.holdUntil,
			Second: g.second, Settled: g.settled, LetGo: g.letGo, Refresh: g.refresh, Rival: g.rival, RivalLast: g.rivalAgain, Quiet: g.quiet,
			Counters: r.counters,
			Clean:    r.clean, Silence: r.takeover.silence, Quorum: r.takeover.quorum, ActiveDown: r.takeover.activeDown,
		}
		for i, p := range r.presence {
			if k := r.cfg.Addresses[i].Key(); p == announced && !c.awaitsTurn(r, k) {
				h.Announced = append(h.Announced, k)
			}
		}
		l.Routers = append(l.Routers, h)
	}
	return l
}

// tell notes what was told of a router that does not run.
func (l *Legacy) tell(key, told string) {
	if told == "" {
		return
	}
	if l.Told == nil {
		l.Told = make(map[string]string)
	}
	l.Told[key] = told
}

// Await makes every router wait for TakeUp, whatever it finds: another program has the roles. It belongs right after New.
func (c *Core) Await() { c.awaiting = true }

// resultsWithin is how long a core that awaits its turn waits for results of its own. After that it goes on with those that are
// handed over: a check that cannot reach anything has a result when its timeout is over, and that may be long.
const resultsWithin = 5 * time.Second

// Unready says what a core that awaits its turn still has to learn before it can go on as the one before; empty: nothing.
// Sessions of BGP speakers come with the turn, and so nobody waits for what is tracked of them.
func (c *Core) Unready(now vrrp.Instant) string {
	c.definitions() // as in HandoverBar
	patient := now < c.started.Add(resultsWithin)
	for _, r := range c.routers {
		r.untested = slices.DeleteFunc(c.notYetKnown(r), func(t Tracker) bool { return patient && t.Kind != TrackBGP })
		h, _ := c.precondition(now, r)
		r.untested = nil
		if h.pending && h.reason != waitTurn {
			return r.cfg.Name + ": " + h.reason
		}
	}
	if patient && c.regional() {
		return c.noResult()
	}
	return ""
}

// noResult names a health check that has no result yet: whoever goes on with the votes of the program before better has one.
func (c *Core) noResult() string {
	name := ""
	for id, t := range c.trackers {
		if id.Kind == TrackCheck && !t.known && (name == "" || id.Name < name) {
			name = id.Name
		}
	}
	if name == "" {
		return ""
	}
	return "health_check " + name + " has no result yet"
}

// ErrLegacy says that what was handed over makes no sense.
var ErrLegacy = errors.New("what was handed over makes no sense")

// TakeUp ends Await with what the program before has handed over. Routers that can run go on where they stood; one that
// was Active and cannot run gives its role away when a fault of it is known, as in Inherit. Nothing is changed when the
// error is not nil, which wraps ErrLegacy.
//
// After a switch that took too long nothing is taken up: the kernel may have let go of the addresses, or somebody else may
// serve by now. Every router starts anew, and a site asks for its authority, as after a pause.
func (c *Core) TakeUp(now vrrp.Instant, l *Legacy, fx *Effects) error {
	if err := l.check(now); err != nil {
		return err
	}
	late := l.LeaseEnds != 0 && now >= l.LeaseEnds || l.Region != nil && now.Sub(l.At) > switchBound
	heirs := make(map[string]*LegacyRouter, len(l.Routers))
	for i := range l.Routers {
		h := &l.Routers[i]
		if heirs[h.Key] != nil || !h.Standing.Runs() {
			return fmt.Errorf("%w: router %s, %v with priority %d", ErrLegacy, h.Key, h.Standing.State, h.Standing.Priority)
		}
		heirs[h.Key] = h
	}
	known := make(map[string]bool, len(c.routers))
	for _, r := range c.routers {
		known[r.cfg.heirKey()] = true
	}
	for key := range heirs {
		if !known[key] {
			return fmt.Errorf("%w: there is no router %s", ErrLegacy, key)
		}
	}
	if !late {
		c.takeUpVerdicts(now, l.Verdicts)
		for _, r := range c.routers {
			if h := heirs[r.cfg.heirKey()]; h != nil {
				c.leaveTo(now, r, h)
			}
		}
	}
	c.awaiting, c.started, c.unasked, c.regroup, c.dirty = false, now, true, true, true
	c.groupsTold = maps.Clone(l.Groups)
	c.takeUpIdle(l)
	c.takeUpGovernors(now, l)
	c.takeUpOrigins(now, l, fx)
	if l.Region != nil {
		c.takeUpRegion(now, l.Region)
	}
	if late {
		c.forgetAuthority(now)
		for _, w := range c.region.watches {
			w.contactSince = vrrp.Never
		}
	}
	for _, r := range c.routers {
		r.told = l.Told[r.cfg.heirKey()]
	}
	c.evaluateFor(now, "", fx)
	for _, r := range c.routers {
		c.weigh(now, r, "upgrade", fx)
	}
	return nil
}

// check says what makes no sense in l as a whole.
func (l *Legacy) check(now vrrp.Instant) error {
	if l.At > now || l.At < 0 {
		return fmt.Errorf("%w: it is of %d, and now is %d", ErrLegacy, l.At, now)
	}
	for i := range l.Idle {
		if err := l.Idle[i].check(l.At); err != nil {
			return err
		}
	}
	for i := range l.Governors {
		if err := l.Governors[i].check(); err != nil {
			return err
		}
	}
	for i := range l.Origins {
		if err := l.Origins[i].check(l.At); err != nil {
			return err
		}
	}
	if l.Region != nil {
		if err := l.Region.check(l.At); err != nil {
			return err
		}
	}
	return checkVerdicts(l.Verdicts, l.At)
}

// leaveTo prepares r for going on as h says.
func (c *Core) leaveTo(now vrrp.Instant, r *router, h *LegacyRouter) {
	r.legacy, r.priority, r.clean, r.before = h, h.Standing.Priority, h.Clean, h.Last
	r.fsm.SetPriority(r.priority)
	if h.Standing.State == vrrp.Active {
		r.untested = c.notYetKnown(r)
		r.attracting = true // its routes are out
		c.awaitFound(now, r)
		until := now.Add(3 * r.cfg.VRRP.Interval.Duration())
		r.inherits, r.held = &inheritance{resume: true, died: now, until: until}, r.own
	}
}

// goOn makes r go on as the program before has left it. Nothing of what was said is said again.
func (c *Core) goOn(now vrrp.Instant, r *router, h *LegacyRouter, fx *Effects) {
	r.told = h.Told
	e := r.fsm.Succeed(&h.Standing)
	r.fsm.SetPriority(r.priority) // what is tracked may have been weighed anew
	c.apply(now, r, e, fx)
	r.since, r.why, r.counters, r.holdUntil = h.Since, h.Why, h.Counters, h.HoldUntil
	r.clean, r.takeover.silence, r.takeover.quorum, r.takeover.activeDown = h.Clean, h.Silence, h.Quorum, h.ActiveDown
	r.gratuitous = gratuitous{
		first: vrrp.Never, second: h.Second, settled: h.Settled, letGo: h.LetGo, refresh: h.Refresh, rival: h.Rival, rivalAgain: h.RivalLast, quiet: h.Quiet,
	}
	for i := range r.presence {
		if slices.Contains(h.Announced, r.cfg.Addresses[i].Key()) {
			r.presence[i] = announced
		}
	}
	c.updateHold(now, r, fx)
	c.reschedule(r)
}
