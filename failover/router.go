package failover

import (
	"fmt"
	"net/netip"

	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// router is a virtual router with everything that depends on its role.
type router struct {
	cfg   *RouterConfig
	fsm   *vrrp.Router
	links []LinkID // the sockets it needs
	// carriers are the other interfaces that its addresses belong to: a router that cannot have its addresses must
	// not keep another one from having them.
	carriers []string

	// due and place belong to the schedule.
	due   vrrp.Instant
	place int

	since vrrp.Instant // of the current state
	why   string       // what led to it
	fault string       // why the router cannot run; empty: it runs
	word  string       // the state as last logged
	// recovered is the fault that has just ended; empty: there was none.
	recovered string
	// retired: it does not run on purpose, because of a reload or an orderly stop.
	retired bool
	// pending: fault is no fault, but something that is not known yet.
	pending bool
	// obstacle is what keeps the router itself from running, whatever its sync group does; sendFrom the address that it is
	// to send from.
	obstacle hindrance
	sendFrom netip.Addr
	born     vrrp.Instant
	group    *group // nil: none
	// last is why an anycast service is not well that goes on as the last resort, lastSince since when it does; empty: it does
	// not.
	last      string
	lastSince vrrp.Instant
	// before is that of the life of the agent before this one, which holds while something is untested (lastBefore).
	before string
	// untested are tracked things that are not known yet, and that it does not suffer for. priority is the effective one;
	// rebased is by how much a reload has just changed that of the configuration.
	untested []Tracker
	priority uint8
	rebased  int
	// clean is when something about the router was not all right last; barred is why it must not take a role that it is
	// ready for.
	clean  vrrp.Instant
	barred string

	// presence says of each of cfg.Addresses what the reports that count said of it: those on addressGeneration or
	// a later one. addressesIn: they said of each one that it is in.
	presence          []presence
	addressesIn       bool
	addressGeneration uint64
	// rising: it was a standby until it became Active, and its addresses are not in yet. It is announced as a standby until they
	// are: what it announced is as good as before, and a withdrawal in between would be one without a cause.
	rising bool
	// own are the addresses of cfg. held is what was last asked for on behalf of this router; it stays when a reload
	// changes cfg.
	own, held claim

	// attracting: routes that lead here may be out. releasing: the role is lost, and what is held stays until release is
	// complete.
	attracting bool
	releasing  bool
	release    release
	// handover: it has left the role and serves until its successor does; nil: it does not. planned is what the handover
	// will be if it leaves the role in this call, and because why it does.
	handover  *handover
	planned   *handover
	because   string
	drained   *Drain       // a person keeps it out of the role; nil: nobody does
	drainOver vrrp.Instant // drain_time has passed of one that was the last resort
	strangers strangers
	// inherits is what it takes over from another life of the agent as soon as it can run; nil: nothing.
	inherits *inheritance
	// legacy is what another program has handed over of it, until it runs; nil: nothing.
	legacy *LegacyRouter

	// failing is since when the kernel has refused an address of this Active router; Never: it has not. After
	// RefusalBound the role is given up, because of refusal and until refusedUntil.
	failing      vrrp.Instant
	refusal      string
	refusedUntil vrrp.Instant

	programmed bool   // its routes and rules were asked for
	resumed    bool   // it goes on with the role of another life, and the kernel has not said yet what it has of its addresses
	told       string // the last state that its scripts were told of
	rivalTold  limiter
	replaced   bool // retired, and another one goes on under its name

	holdUntil  vrrp.Instant // bgp_wait ends
	holder     *router      // on whose account it is held; nil: on nobody's
	leaves     bool         // it leaves the role to another site
	gratuitous gratuitous
	firstWord  vrrp.Instant // the first advertisement of the role is sent then at the latest; Never: none waits
	contested  []contested
	fromLive   bool // the role was taken from a live router, which may answer for the addresses until it has let go
	met        bool // it was taken from one that had it, or one that believed to have it was heard since
	takeover   takeover
	counters   RouterCounters

	interval    wire.Centiseconds // last logged learned interval
	intervalLog limiter
	rivalLog    limiter
	lateLog     limiter
	skewLog     limiter

	trailer *wire.Trailer // of the advertisement that is being sent; nil: none
}

// claim is a list of addresses, with what is known of each. Two claims are the same if they share their storage.
type claim struct {
	addresses []Address
	slots     []*slot
}

func (c claim) same(o claim) bool {
	return len(c.slots) == len(o.slots) && (len(c.slots) == 0 || &c.slots[0] == &o.slots[0])
}

// claim returns what the kernel is to have on behalf of r.
func (r *router) claim() claim {
	switch {
	case r.fsm.State() == vrrp.Active, r.inherits != nil:
		return r.own
	case r.releasing, r.handover != nil:
		return r.held
	}
	return claim{}
}

// presence is what is known of one address of an Active router.
type presence uint8

const (
	absent    presence = iota
	fresh              // in the kernel, and the LAN has not been told
	announced          // in the kernel, and the LAN has been told
)

func newRouter(cfg *RouterConfig, now vrrp.Instant) (*router, error) {
	fsm, err := vrrp.New(cfg.VRRP)
	if err != nil {
		return nil, fmt.Errorf("vrrp_instance %s: %w", cfg.Name, err)
	}
	return &router{
		cfg: cfg, fsm: fsm, links: cfg.links(), presence: make([]presence, len(cfg.Addresses)),
		carriers: cfg.carriers(), failing: vrrp.Never, place: -1, since: now, why: "start", fault: unseen, pending: true, word: "INIT",
		obstacle: hindrance{reason: unseen, pending: true, until: now.Add(firstLook)}, born: now, clean: now,
		gratuitous: idle, firstWord: vrrp.Never, interval: cfg.VRRP.Interval, priority: cfg.VRRP.Priority,
	}, nil
}

// newRouters makes the routers of a configuration.
func newRouters(cfg *Config, now vrrp.Instant) ([]*router, error) {
	routers := make([]*router, len(cfg.Routers))
	keys := make(map[identity]bool, len(cfg.Routers))
	for i := range cfg.Routers {
		rc := &cfg.Routers[i]
		if id := rc.identity(); keys[id] && rc.Anycast != nil {
			return nil, fmt.Errorf("anycast_service %s: there is another one", rc.Name)
		} else if keys[id] {
			return nil, fmt.Errorf("vrrp_instance %s: another instance is %s too", rc.Name, rc.VRRP.Key)
		}
		keys[rc.identity()] = true
		r, err := newRouter(rc, now)
		if err != nil {
			return nil, err
		}
		routers[i] = r
	}
	return routers, nil
}

func (r *router) usesUnicast() bool { return r.cfg.VRRP.Unicast || len(r.cfg.VRRP.Watchers) > 0 }

// lonely reports whether nobody can hear the router, or be heard by it: it is on the loopback interface.
func (r *router) lonely() bool { return len(r.links) == 0 }

// role returns the role that announcements depend on; ok is false when the router has none.
func (r *router) role() (role Role, ok bool) {
	switch {
	case r.handover != nil:
		return RoleDraining, true
	case r.rising:
		return RoleBackup, true
	case r.fsm.State() == vrrp.Active && r.last != "":
		return RoleDraining, r.addressesIn
	case r.fsm.State() == vrrp.Active:
		return RoleActive, r.addressesIn
	case r.fsm.State() == vrrp.Backup:
		return RoleBackup, true
	}
	return 0, false
}

// nextDue returns the earliest instant at which the router wants to be looked at.
func (r *router) nextDue() vrrp.Instant {
	d := min(r.fsm.Deadline(), r.gratuitous.next(), r.defenceDue(), r.firstWord)
	if r.releasing {
		d = min(d, r.release.until)
	}
	if r.fsm.Held() && r.holder == r && !r.leaves {
		d = min(d, r.holdUntil)
	}
	if r.inherits != nil {
		d = min(d, r.inherits.until)
	}
	return min(d, r.lookAgain())
}

// shutdown takes r out of the election.
func (c *Core) shutdown(now vrrp.Instant, r *router, fx *Effects) {
	if r.fsm.State() == vrrp.Initialize {
		if word := r.stateWord(); word != r.word {
			r.word, r.since = word, now
		}
		r.why = r.fault
		c.tell(now, r, r.word, fx)
		return
	}
	c.apply(now, r, r.fsm.Shutdown(now), fx)
}

// apply carries out what the state machine asked for.
func (c *Core) apply(now vrrp.Instant, r *router, e vrrp.Effect, fx *Effects) {
	takes := e.Changed() && e.To == vrrp.Active
	if e.Advert && !takes {
		c.advertise(r, e.Priority, fx)
	}
	if e.Changed() {
		c.transition(now, r, e, fx)
	}
	if e.Advert && takes {
		c.sayFirst(now, r, e.Priority, fx)
	}
}

// transition records a change of state and what follows from it at once. Addresses and routes follow in Flush.
func (c *Core) transition(now vrrp.Instant, r *router, e vrrp.Effect, fx *Effects) {
	from, since, resumed := r.word, r.since, r.resumed
	r.since, r.why, r.word, r.resumed = now, e.Cause.String(), r.stateWord(), false
	switch {
	case e.Cause == vrrp.CauseShutdown:
		r.why = r.fault
	case r.cfg.Anycast != nil:
		r.why, r.recovered, r.because = r.serviceWhy(e), "", ""
	case e.Cause == vrrp.CauseStartup && r.recovered != "":
		r.why, r.recovered = "recovered from: "+r.recovered, ""
	case e.Cause == vrrp.CauseDrain && r.because != "":
		r.why, r.because = r.because, ""
	}
	c.dirty = true
	fx.about(r, Event{
		Kind: EventTransition, At: now, From: from, To: r.word, Reason: r.why, Peer: r.fsm.Heard().Address, Evidence: r.evidence(now, e),
	})
	if e.To == vrrp.Active {
		c.claim(now, r, fx)
	}
	c.noteTakeover(now, since, r, e, fx)
	switch {
	case e.To == vrrp.Active:
		r.counters.BecameMaster++
		r.met = e.Cause == vrrp.CausePreempt
		if c.served(now, r) {
			break
		}
		// Only a report on what is asked for from now on counts, also if the addresses never went.
		r.releasing, r.addressGeneration = false, c.addresses.Generation+1
		if len(r.cfg.Addresses) == 0 { // there is nothing to report
			r.addressesIn, r.attracting, r.addressGeneration = true, true, 0
		}
		r.fromLive = e.Cause == vrrp.CausePreempt || e.Cause == vrrp.CauseRelease
	case e.From == vrrp.Active:
		r.counters.ReleasedMaster++
		if resumed {
			c.outdate(r)
		}
		c.leave(now, r, e.Cause, fx)
		r.noLongerServes(now)
	case e.To == vrrp.Initialize && !c.stopping:
		c.abandon(now, r, r.why, r.retired || r.pending || r.drainOver == now, fx)
	}
	r.rising = e.To == vrrp.Active && e.From == vrrp.Backup && !r.addressesIn
	if e.To == vrrp.Backup {
		r.holdUntil = now.Add(r.cfg.BGPWait)
	}
	if r.group != nil {
		c.unsettle(r.group)
	}
	c.updateHold(now, r, fx)
	c.tell(now, r, r.word, fx)
}

// forgetAddresses makes every address unknown, so that nothing depends on it any more.
func (r *router) forgetAddresses() {
	clear(r.presence)
	r.addressesIn, r.gratuitous, r.contested, r.failing = false, idle, nil, vrrp.Never
}

// stateWord is keepalived's word for the state of r, or that of an anycast service.
func (r *router) stateWord() string {
	switch {
	case r.cfg.Anycast != nil:
		return r.serviceWord()
	case r.fsm.State() == vrrp.Active:
		return "MASTER"
	case r.fsm.State() == vrrp.Backup:
		return "BACKUP"
	case r.retired || r.fault == "" || r.pending:
		return "INIT"
	}
	return "FAULT"
}

// advertise encodes and queues one advertisement to everyone who should hear it. Nothing can leave through an
// interface that is down.
func (c *Core) advertise(r *router, priority uint8, fx *Effects) {
	r.firstWord = vrrp.Never
	if !c.reaches(r) {
		return
	}
	var a wire.Advertisement
	r.fsm.Advertisement(&a, priority)
	c.sign(r, &a)
	c.queueAdverts(r, &a, fx)
	r.counters.AdvertsSent++
	if priority == wire.PriorityRelease {
		r.counters.PriorityZeroSent++
	}
}

// reaches reports whether an advertisement of r can reach anybody.
func (c *Core) reaches(r *router) bool {
	i := c.interfaces[r.fsm.Config().Key.Interface]
	return i != nil && i.Up && !r.lonely()
}

// queueAdverts queues an advertisement to everyone who should hear it.
func (c *Core) queueAdverts(r *router, a *wire.Advertisement, fx *Effects) {
	v := r.fsm.Config()
	if !v.Unicast && v.Key.Interface != loopback {
		c.queueAdvert(r, a, LinkID{v.Key.Interface, v.Key.Family}, c.cfg.multicastGroup(v.Key.Family), wire.TTL, fx)
	}
	ttl := r.cfg.TTL
	if ttl == 0 {
		ttl = wire.TTL
	}
	for i := range v.Peers {
		c.queueAdvert(r, a, LinkID{"", v.Key.Family}, v.Peers[i].Address, ttl, fx)
	}
	for i := range v.Watchers {
		c.queueAdvert(r, a, LinkID{"", v.Key.Family}, v.Watchers[i].Address, ttl, fx)
	}
}

// queueAdvert encodes a for one destination: the checksum depends on it.
func (c *Core) queueAdvert(r *router, a *wire.Advertisement, link LinkID, dst netip.Addr, ttl uint8, fx *Effects) {
	start := len(fx.buf)
	buf, err := a.AppendSigned(fx.buf, r.fsm.Source(), dst, r.fsm.Config().Checksum, r.trailer)
	if err != nil {
		r.counters.NoSource++ // the parameters were validated: only the source can be wrong
		return
	}
	fx.buf = buf
	v := Advert{Link: link, Src: r.fsm.Source(), Dst: dst, TTL: ttl, Payload: buf[start:len(buf):len(buf)]}
	if m := r.cfg.VMAC; m != nil && !m.XmitBase && dst.IsMulticast() {
		v.MAC = m.MAC
	}
	fx.Adverts = append(fx.Adverts, v)
}

// rival reacts to another router that believes to be Active: caches may point to it now.
func (c *Core) rival(now vrrp.Instant, r *router, peer netip.Addr, fx *Effects) {
	r.counters.Rivals++
	r.met = true
	r.gratuitous.heardRival(now, &r.cfg.GARP)
	c.tellRival(now, r, fx)
	if r.rivalLog.allows(now) {
		fx.about(r, Event{Kind: EventRival, At: now, Peer: peer})
	}
}

// noteInterval logs a change of the adopted interval (V3-RX-16), at most one per logGap: two senders that disagree
// must not fill the log.
func (c *Core) noteInterval(now vrrp.Instant, r *router, fx *Effects) {
	l := r.fsm.LearnedInterval()
	if r.fsm.State() != vrrp.Backup || l == r.interval || !r.intervalLog.allows(now) {
		return
	}
	fx.about(r, Event{
		Kind: EventInterval, At: now, Peer: r.fsm.Heard().Address,
		From: r.interval.Duration().String(), To: l.Duration().String(),
	})
	r.interval = l
}
