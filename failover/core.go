package failover

import (
	"net/netip"
	"time"

	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// StopBound is the longest time that an orderly stop waits for the kernel and the speakers, once no router waits for its
// successor any more.
const StopBound = 2 * time.Second

// logGap is the least time between two log events about the same recurring thing, such as a rival's adverts.
const logGap = 10 * time.Second

// firstLook is how long after the start an interface or a socket that nothing is known of counts as not looked at
// yet. After that it is missing, which is a fault to be told.
const firstLook = time.Second

// Core is the single owner of all state of the agent: which routers exist, their roles, what is in the kernel and in
// BGP as far as reported, and what should be. It is not safe for concurrent use. One loop feeds it:
//
//	for each ready packet:  Receive
//	for each ready input:   Step
//	then:                   Expire, Flush
//
// Inputs go before timers, so that a router that was not scheduled for a while reads what its peer had sent before
// it concludes that the peer is silent. Flush compares what should be with what was last asked for: desired states
// are computed from the state as a whole, never patched by events.
type Core struct {
	cfg     *Config
	started vrrp.Instant

	routers []*router // in configuration order
	leaving []*router // removed by a reload, until their addresses are out
	sched   schedule

	multicast map[multicastKey]*router
	unicast   map[unicastKey]*router
	virtual   map[netip.Addr]bool // addresses that are on an interface because of a role: never a source

	interfaces map[string]*Interface // those that exist
	local      map[netip.Addr]int    // on how many interfaces an address is
	links      map[LinkID]LinkChanged

	speakers    map[string]*speaker
	routes      uint64       // generation of the newest desired routes of any speaker
	memory      []candidate  // of wantedRoutes, to be used again
	speakersDue vrrp.Instant // a speaker that goes on must have been reached then
	railsDue    vrrp.Instant // a rail that holds a route back lets go of it then

	addresses  DesiredAddresses // as last asked for
	lease      time.Duration    // the shortest among them
	unasked    bool             // they are to be asked for whatever they are: nobody has yet
	regroup    bool             // another configuration: they are to be put together anew
	awaiting   bool             // another program has the roles until TakeUp: no router runs
	kernel     kernelView
	renewAt    vrrp.Instant
	looking    vrrp.Instant // since when it is told of interfaces
	leaseEnds  vrrp.Instant // the kernel may have let go of addresses from then on, unless they are renewed
	pacers     []*pacer
	objects    objects // routes and rules
	groupsTold groupsTold
	trackers   map[Tracker]*tracked
	// checkGroups are in an order in which each comes after its members. defined are the definitions of definedFor.
	checkGroups []*CheckGroupConfig
	defined     map[Tracker]string
	definedFor  *Config
	lulls       []lull   // changes of interfaces that do not count yet
	groups      []*group // in configuration order
	drains      map[string]*Drain
	drainEnds   vrrp.Instant // when the first of them ends by itself
	changes     uint64       // counts those of Takeovers
	unsettled   bool         // one of them is stale
	takingOver  bool         // the takeover of one router at least is not complete

	stopping bool
	stopAt   vrrp.Instant // the orderly stop is declared complete then, whatever is missing
	stopped  bool         // it is complete
	dirty    bool         // a role, a presence or a report changed: Flush has work
	reloads  uint64

	recovery []RecoveryStatus // of the configuration reckoned
	reckoned *Config
	region   region

	wallClock int64 // as told last
}

type multicastKey struct {
	link LinkID
	vrid uint8
}

type unicastKey struct {
	local netip.Addr
	vrid  uint8
}

// New returns a core for cfg, with every router in Initialize, at the instant now. It returns an error when a router's
// parameters are out of range or two routers have one key, which a configuration from package conf never has.
func New(cfg *Config, now vrrp.Instant) (*Core, error) {
	routers, err := newRouters(cfg, now)
	if err != nil {
		return nil, err
	}
	c := &Core{
		cfg: cfg, started: now, looking: now, routers: routers, stopAt: vrrp.Never, renewAt: vrrp.Never, leaseEnds: vrrp.Never,
		drainEnds: vrrp.Never, railsDue: vrrp.Never, speakersDue: vrrp.Never,
		interfaces: make(map[string]*Interface), local: make(map[netip.Addr]int), links: make(map[LinkID]LinkChanged),
		speakers: make(map[string]*speaker),
		dirty:    true,
	}
	c.adoptSpeakers(now)
	c.adoptGroups(now)
	c.adoptTrackers(now)
	c.adoptRegions(now)
	c.index()
	for _, r := range c.routers {
		c.weigh(now, r, "", nil)
		c.reschedule(r)
	}
	return c, nil
}

// Config returns the configuration in force.
func (c *Core) Config() *Config { return c.cfg }

// index rebuilds the tables by which packets find their router and addresses what is known of them, and the set of
// virtual addresses.
func (c *Core) index() {
	c.kernel.keep(c.cfg.StaticAddresses, c.routers, c.leaving)
	c.multicast = make(map[multicastKey]*router, len(c.routers))
	c.unicast = make(map[unicastKey]*router)
	c.virtual = make(map[netip.Addr]bool)
	for _, r := range c.routers {
		k := r.cfg.VRRP.Key
		if r.cfg.Anycast == nil {
			c.multicast[multicastKey{LinkID{k.Interface, k.Family}, k.VRID}] = r
		}
		if r.usesUnicast() && r.fsm.Source().IsValid() {
			c.unicast[unicastKey{r.fsm.Source(), k.VRID}] = r
		}
		c.setVirtual(r, r.cfg.Addresses)
	}
	for _, r := range c.leaving {
		c.setVirtual(r, r.held.addresses)
	}
	for i := range c.cfg.StaticAddresses {
		delete(c.virtual, c.cfg.StaticAddresses[i].Prefix.Addr()) // it is there in every role
	}
}

// setVirtual makes addresses of r virtual. What an owner advertises really is its own.
func (c *Core) setVirtual(r *router, addresses []Address) {
	for i := range addresses {
		if !r.cfg.owner() || addresses[i].Excluded {
			c.virtual[addresses[i].Prefix.Addr()] = true
		}
	}
}

// setSource makes a the source of r's advertisements, and r the receiver of what is sent to it by unicast.
func (c *Core) setSource(r *router, a netip.Addr) {
	a = a.WithZone("")
	old := r.fsm.Source()
	if a == old {
		return
	}
	r.fsm.SetSource(a)
	if !r.usesUnicast() {
		return
	}
	vrid := r.cfg.VRRP.Key.VRID
	if k := (unicastKey{old, vrid}); c.unicast[k] == r {
		delete(c.unicast, k)
	}
	if a.IsValid() {
		c.unicast[unicastKey{a, vrid}] = r
	}
}

// Receive processes a packet that wire.Parse accepted, heard on a link. It reports what became of it: a refusal by a
// router is counted there, noted if it is not a peer's, and changes nothing else; wire.DropVRID means that nobody is there for the packet. The
// packet is not kept.
func (c *Core) Receive(now vrrp.Instant, link LinkID, p *wire.Packet, fx *Effects) wire.DropReason {
	r, why := c.find(link, p)
	if r == nil {
		return why
	}
	c.awake(now, fx) // before: who stood still must not answer a rival as if it still served
	if c.ignores(now, r, p) {
		r.fsm.Refuse(wire.DropStaleTerm)
		return wire.DropStaleTerm
	}
	r.fsm.SetWallClock(c.wallClock)
	if c.overhear(now, r, p, fx) {
		return wire.Accepted
	}
	e, why := r.fsm.Receive(now, p)
	if why == wire.DropNotPeer {
		r.strangers.note(now, p.Src)
	}
	if why != wire.Accepted {
		return why
	}
	c.noteSkew(now, r, fx)
	if p.Priority == wire.PriorityRelease {
		r.counters.PriorityZeroRecv++
	}
	if w := c.watchOf(r); w != nil && r.cfg.remote(p.Src) {
		w.advert = now
	}
	c.noteInterval(now, r, fx)
	c.apply(now, r, e, fx)
	if e.Rival {
		c.rival(now, r, p.Src, fx)
	}
	if g := r.group; g != nil && g.word == "MASTER" && r.fsm.Following() {
		c.unsettle(g) // a member that a reload has added may follow while others are Active
	}
	c.reschedule(r)
	return wire.Accepted
}

// find returns the router that a packet is for. A unicast packet reaches both the link of the interface it came by
// and the unicast link; it counts on the latter.
func (c *Core) find(link LinkID, p *wire.Packet) (*router, wire.DropReason) {
	if link.Interface == "" {
		if r := c.unicast[unicastKey{p.Dst, p.VRID}]; r != nil {
			return r, wire.Accepted
		}
		return nil, wire.DropVRID
	}
	r := c.multicast[multicastKey{link, p.VRID}]
	if r == nil {
		return nil, wire.DropVRID
	}
	switch {
	case !p.Dst.IsMulticast() && r.usesUnicast():
		return nil, wire.Accepted
	case p.Dst.IsMulticast() && p.Dst != c.cfg.multicastGroup(link.Family):
		return nil, wire.DropDestination
	}
	return r, wire.Accepted
}

// Step processes one input, which belongs to the core from then on.
func (c *Core) Step(now vrrp.Instant, in Input, fx *Effects) {
	c.awake(now, fx)
	switch in := in.(type) {
	case InterfaceChanged:
		c.interfaceChanged(now, &in.Interface, fx)
	case LinkChanged:
		c.links[in.Link] = in
		c.evaluateFor(now, in.Link.Interface, fx)
	case AddressClaimed:
		c.addressClaimed(now, &in)
	case AddressesReported:
		c.addressesReported(now, &in.Report, fx)
	case SpeakerReported:
		c.speakerReported(now, &in.Report, fx)
	case RPKIReported:
		c.rpkiReported(now, &in.Report, fx)
	case TrackerReported:
		c.trackerReported(now, &in.Report, fx)
	case ObjectsReported:
		c.objectsReported(now, &in.Report, fx)
	case DevicesReported:
		c.devicesReported(now, &in, fx)
	case HeartbeatReplied:
		c.heartbeatReplied(now, &in, fx)
	case HeartbeatHeard:
		c.heartbeatHeard(now, &in, fx)
	case DrainCommand:
		c.drainRouters(now, &in, fx)
	case UndrainCommand:
		c.undrainRouters(now, &in, fx)
	case SwitchoverCommand:
		c.switchOver(now, &in, fx)
	case Takeovers:
		c.remember(now, &in)
	case Reconfigured:
		c.reconfigure(now, in.Config, fx)
	case Stop:
		c.stop(now, in.Reason, fx)
	default:
		panic(in)
	}
}

// stop begins the orderly stop: every role is released in one batch. Whoever had one goes on serving until somebody else
// does.
func (c *Core) stop(now vrrp.Instant, reason string, fx *Effects) {
	if c.stopping {
		return
	}
	c.stopping, c.stopAt, c.dirty = true, now, true
	for _, r := range c.routers {
		c.disinherit(now, r, fx)
		c.stopAt = max(c.stopAt, c.linger(now, r, reason, fx))
		r.fault, r.retired = reason, true
		c.shutdown(now, r, fx)
		c.reschedule(r)
	}
	c.stopAt = c.stopAt.Add(StopBound)
	c.tellStop(now, fx)
}

func (fx *Effects) event(e Event) { fx.Events = append(fx.Events, e) }

// about is event for something that concerns a router.
func (fx *Effects) about(r *router, e Event) {
	e.Router = r.cfg.Name
	if r.cfg.Anycast == nil {
		e.Key = r.cfg.VRRP.Key
	}
	fx.event(e)
}

// limiter lets one event through per logGap. The zero value lets the first one through.
type limiter struct{ next vrrp.Instant }

func (l *limiter) allows(now vrrp.Instant) bool {
	if now < l.next {
		return false
	}
	l.next = now.Add(logGap)
	return true
}
