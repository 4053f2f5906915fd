package failovertest

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"failoverd/failover"
	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// checker watches a World. The rules are those of the safety properties for one site (S1 to S5, S10, S12, S14, L1,
// L2); what it knows of the roles it knows from events and packets, and the rest from the kernels and speakers.
type checker struct {
	w      *World
	broken string // the first rule that was broken, with the circumstances
	asking bool   // whether one is broken: it does not count

	// disturbed is when something last happened that is not the protocol's own course; impaired counts what is going
	// on. Rules on how quickly something happens count from the end of it all.
	disturbed vrrp.Instant
	impaired  int

	// How long things may take: the configuration says.
	interval time.Duration // of advertisements
	rtt      time.Duration // of an exchange, on calm paths and loops
	longest  time.Duration // until an election is over, whatever was before
	// refusals: a kernel has refused an address, so that a router may have left the role to others for a while.
	refusals bool
	lease    time.Duration

	hosts    []hostView
	keys     []vrrp.Key // the virtual routers that the base configurations have
	lans     []lanView  // by key
	expected []expectation
	cache    map[netip.Addr]*Host // whom the LAN believes to have an address
	moved    vrrp.Instant         // when a router changed its state last
	// unheard: one of two Active routers has gone in a way that the other one could not hear, so that nobody has told
	// the LAN again.
	unheard map[vrrp.Key]bool
	touched bool // something has been done that elections may depend on
	// graced counts what was right only because it had just been so, or was about to be.
	graced int
	// resumed are the roles that agents have resumed so early that nobody may have noticed.
	resumed []resumption
}

func newChecker(w *World) *checker {
	return &checker{w: w, cache: make(map[netip.Addr]*Host), unheard: make(map[vrrp.Key]bool), touched: true}
}

// begin is called when the hosts and their configurations are there.
func (c *checker) begin() {
	for _, h := range c.w.Hosts {
		c.hosts = append(c.hosts, hostView{gone: make(map[failover.AddressKey]loss), slow: -1, hurt: -1})
		for _, r := range c.w.config(h.Config).Routers {
			if r.Anycast == nil && !slices.Contains(c.keys, r.VRRP.Key) {
				c.keys = append(c.keys, r.VRRP.Key)
				c.lans = append(c.lans, lanView{none: c.w.now, two: vrrp.Never})
			}
		}
	}
}

func (c *checker) fail(rule, format string, args ...any) {
	switch {
	case c.broken != "":
	case c.asking:
		c.broken = rule
	default:
		c.broken = fmt.Sprintf("%s at %s: %s", rule, FormatInstant(c.w.now), fmt.Sprintf(format, args...))
		c.w.log(nil, "BROKEN %s", c.broken)
	}
}

// disturb notes that something happened from outside.
func (c *checker) disturb() {
	c.disturbed, c.expected = c.w.now, nil
}

// impair notes that something unfavorable begins (+1) or ends (-1).
func (c *checker) impair(by int) {
	c.impaired += by
	c.disturb()
}

// calm returns since when nothing has disturbed the LAN; Never: something does.
func (c *checker) calm() vrrp.Instant {
	if c.impaired > 0 {
		return vrrp.Never
	}
	return c.disturbed
}

// over reports whether a condition that began at since has lasted longer than limit in calm times.
func (c *checker) over(since vrrp.Instant, limit time.Duration) bool {
	calm := c.calm()
	return since != vrrp.Never && calm != vrrp.Never && c.w.now.Sub(max(since, calm)) > limit
}

// slack is how long the host may take for what is to happen at once.
func (c *checker) slack(h *Host) time.Duration {
	d := 2*(loopDelay+workerDelay+resultDelay) + speakerDelay
	if v := &c.hosts[h.index]; v.slow >= 0 && c.w.now.Sub(v.slow) < 2*time.Second || h.slow() {
		d += time.Second
	}
	return d
}

func (h *Host) slow() bool { return h.mood != mood{} }

// batch looks at the effects of a batch before they are carried out.
func (c *checker) batch(a *agent) {
	for _, st := range a.states {
		st.was, st.left, st.farewell, st.gained = st.word == "MASTER", false, false, false
	}
	if len(a.fx.Events) > 0 {
		c.touch(a.host)
	}
	for i := range a.fx.Events {
		switch e := &a.fx.Events[i]; {
		case e.Kind == failover.EventTransition:
			c.transition(a, e)
		case e.Kind == failover.EventAddresses && e.To == "present":
			a.state(e.Key).rising = false
		case e.Kind == failover.EventTracker && (e.To == "failed" || e.To == "unknown"):
			c.hurts(a.host) // who does not know whether it may serve lets go as quickly as who knows that it may not
		}
	}
	for i := range a.fx.Adverts {
		c.advert(a, &a.fx.Adverts[i])
	}
	for _, n := range a.fx.Announcements {
		if c.entitledTo(a, func(x *failover.Address) bool {
			return x.Interface == n.Interface && x.Prefix.Addr() == n.Address && c.supported(a.host, x.Key())
		}) == nil {
			c.fail("S4", "%s announces %s on %s without being Active with the address in", a.host.Name, n.Address, n.Interface)
		}
	}
}

func (c *checker) transition(a *agent, e *failover.Event) {
	c.moved = c.w.now
	st := a.state(e.Key)
	c.succeeded(a, st, e)
	if e.From == "BACKUP" && e.To == "MASTER" && st.heard >= 0 && c.w.now.Sub(st.heard) < st.down-time.Millisecond {
		c.fail("S11", "%s takes %s over %v after it heard a router that it has to leave alone for %v", a.host.Name, e.Key, c.w.now.Sub(st.heard), st.down)
	}
	if e.From != "MASTER" && e.To == "BACKUP" {
		st.heard = -1
	}
	switch {
	case e.From == "MASTER" && (e.To != "BACKUP" || c.impaired > 0):
		c.unheard[e.Key] = true
	case e.To == "MASTER":
		c.unheard[e.Key] = false
	}
	if (st.word == "MASTER") != (e.To == "MASTER") {
		st.active = c.w.now
	}
	st.ever = st.ever || e.From == "MASTER"
	orderly := c.inOrder(a, st, e)
	if orderly && (!st.orderly || e.From == "MASTER") {
		st.leaving = c.w.now
	}
	st.serves, st.orderly = c.mayServe(a, st, e), orderly
	st.word, st.rising = e.To, e.From == "BACKUP" && e.To == "MASTER"
	st.was, st.gained, st.left = st.was || e.To == "MASTER", st.gained || e.To == "MASTER", st.left || e.From == "MASTER"
}

// mayServe returns until when a router may serve that has changed its state: the last one to have the role goes on until its
// successor does, unless it has a fault or a reload has removed it.
func (c *checker) mayServe(a *agent, st *state, e *failover.Event) vrrp.Instant {
	stops := a.stopAt != vrrp.Never && e.To == "INIT"
	switch {
	case e.Key == serviceKey && e.From == "MASTER" && e.To == "BACKUP":
		return c.w.now.Add(serviceDrain)
	case e.From == "MASTER" && e.To == "BACKUP":
		return c.w.now.Add(failover.HandoverRouteGrace)
	case e.From == "MASTER" && stops:
		return c.w.now.Add(c.linger())
	case e.To == "BACKUP" || stops:
		return st.serves
	}
	return 0
}

// inOrder reports whether a router has left its role in order: for another one, because somebody wants it so, in a stop, or
// because a reload has removed it; and has had no fault since.
func (c *checker) inOrder(a *agent, st *state, e *failover.Event) bool {
	switch {
	case e.To == "MASTER" || e.To == "FAULT":
		return false
	case e.To == "INIT" && a.stopAt == vrrp.Never && e.Reason != "removed from the configuration" && e.Reason != "restarted with another configuration":
		return false
	case e.From != "MASTER":
		return st.orderly || st.serves != 0 && !st.ever // for the life before
	}
	r := router(a.core.Config(), e.Key)
	return r == nil || r.VRRP.Priority != wire.PriorityOwner || e.To == "INIT"
}

// linger is the longest time that an orderly stop waits for a successor and what it programs.
func (c *checker) linger() time.Duration {
	d := min(c.interval+failover.HandoverMargin, failover.HandoverStopBound) + failover.HandoverRouteGrace
	if c.w.has("anycast") {
		d = max(d, serviceDrain)
	}
	return d + failover.DefaultWithdrawGrace
}

// serving reports whether a router of an agent hands its role over.
func (c *checker) serving(a *agent, k vrrp.Key) bool {
	st := a.state(k)
	until := st.serves
	if until > 0 && a.since > st.active {
		until = max(until, a.since.Add(failover.HandoverRouteGrace)) // it stood still meanwhile, and has heard its successor late
	}
	if st.word == "MASTER" || until == 0 {
		return false
	}
	c.graced++
	return c.w.now.Sub(until) <= c.slack(a.host)
}

// arrived notes what the process could have heard, whether it has read it or not.
func (c *checker) arrived(a *agent, p *wire.Packet) {
	k := vrrp.Key{Interface: "eth0", Family: p.Family(), VRID: p.VRID}
	st := a.state(k)
	r := router(a.core.Config(), k)
	switch {
	case r == nil:
	case p.Priority == wire.PriorityRelease:
		st.heard = -1
	case p.Priority >= r.VRRP.Priority:
		interval := p.Interval.Duration()
		st.heard, st.down = c.w.now, 3*interval+skew(r.VRRP.Priority, interval)
	}
}

func skew(priority uint8, interval time.Duration) time.Duration {
	return time.Duration(256-int(priority)) * interval / 256
}

func router(cfg *failover.Config, k vrrp.Key) *failover.RouterConfig {
	for i := range cfg.Routers {
		if cfg.Routers[i].VRRP.Key == k {
			return &cfg.Routers[i]
		}
	}
	return nil
}

// advert: who speaks is Active, or has just stopped being it and says so (S3).
func (c *checker) advert(a *agent, v *failover.Advert) {
	var p wire.Packet
	if why := wire.Parse(v.Payload, wire.Header{Src: v.Src, Dst: v.Dst, TTL: wire.TTL}, &p); why != wire.Accepted {
		c.fail("S3", "%s sends what no one accepts: %s", a.host.Name, why)
		return
	}
	k := vrrp.Key{Interface: "eth0", Family: p.Family(), VRID: p.VRID}
	st := a.state(k)
	if !st.was || p.Priority == wire.PriorityRelease && !st.left {
		c.fail("S3", "%s sends priority %d for %s as %s", a.host.Name, p.Priority, k, st.word)
	}
	// An answer may go out in the batch in which the role is lost, but not after the farewell.
	if p.Priority == wire.PriorityRelease {
		st.farewell = true
	} else if st.farewell && st.word != "MASTER" && !st.gained {
		c.fail("S3", "%s goes on to send for %s as %s", a.host.Name, k, st.word)
	}
	c.weighed(a, k, &p)
	c.fromVMAC(a, k, v, &p)
	if !slices.ContainsFunc(a.host.Kernel.link("eth0").static, func(x netip.Prefix) bool { return x.Addr() == v.Src }) && c.over(0, time.Second) {
		c.fail("S3", "%s sends from %s, which is not its own", a.host.Name, v.Src)
	}
}

// entitledTo returns a router of the agent that is Active and has such an address; nil: there is none.
func (c *checker) entitledTo(a *agent, has func(*failover.Address) bool) *failover.RouterConfig {
	cfg := a.core.Config()
	for i := range cfg.Routers {
		r := &cfg.Routers[i]
		if a.state(r.VRRP.Key).word != "MASTER" {
			continue
		}
		for j := range r.Addresses {
			if has(&r.Addresses[j]) {
				return r
			}
		}
	}
	return nil
}

// supported reports whether the kernel has the address, or lost it so recently that nobody can know. What the owner
// itself removed it has to know, and that it stood still for longer than the lease.
func (c *checker) supported(h *Host, k failover.AddressKey) bool {
	if there, _ := h.Kernel.has(k); there {
		return true
	}
	l, ok := c.hosts[h.index].gone[k]
	if !ok || l.by == byOwner || h.agent == nil || l.by == byLease && l.at < h.agent.since && h.agent.frozenFor >= c.lease {
		return false
	}
	c.graced++
	return c.w.now.Sub(max(l.at, h.agent.since)) <= c.slack(h)
}

// removed notes that an address has left the kernel.
func (c *checker) removed(h *Host, k failover.AddressKey, by remover) {
	c.hosts[h.index].gone[k] = loss{c.w.now, by}
}

// settled looks at what an agent wants once a batch is done.
func (c *checker) settled(a *agent, stopped bool) {
	if a.core.Deadline() > a.local()+1 {
		a.spins = 0
	} else if a.spins++; a.spins > 3 {
		c.fail("SPIN", "%s does what is due again and again, and more is due in %d ns", a.host.Name, a.core.Deadline().Sub(a.local()))
	}
	c.routes(a)
	c.tracked(a)
	for _, s := range a.speakers {
		if a.stopAt != vrrp.Never && c.w.now.Sub(max(a.stopAt.Add(c.linger()), a.since.Add(failover.HandoverRouteGrace))) > c.slack(a.host) && len(a.desired[s.cfg.Name].Routes) > 0 {
			c.fail("S14", "%s stops, and still wants %s", a.host.Name, describeRoutes(a.desired[s.cfg.Name].Routes))
		}
	}
	if stopped {
		c.stopped(a)
	}
}

// stopped: an orderly stop leaves nothing behind, and takes its time only when somebody does not answer (S14).
func (c *checker) stopped(a *agent) {
	switch took := c.w.now.Sub(a.stopAt); {
	case took >= failover.StopBound && c.excused(a):
		return // somebody has not answered for as long as it waits
	case took >= c.linger()+failover.StopBound:
		c.fail("S14", "%s took %v to stop", a.host.Name, took)
		return
	}
	if left := a.host.Kernel.keys(); len(left) > 0 {
		c.fail("S14", "%s has stopped, and left %v", a.host.Name, left)
	}
	if left := a.host.Kernel.objects.names; len(left) > 0 {
		c.fail("S14", "%s has stopped, and left %v", a.host.Name, left)
	}
	for _, s := range a.speakers {
		if s.up && len(s.Table) > 0 && s.connected(a) && !s.adopted {
			c.fail("S14", "%s has stopped, and %s still announces %s", a.host.Name, s.cfg.Name, describeRoutes(s.Table))
		}
	}
}

func (c *checker) excused(a *agent) bool {
	v := &c.hosts[a.host.index]
	return a.host.slow() || v.slow >= 0 && c.w.now.Sub(v.slow) < 2*(c.linger()+failover.StopBound) || c.w.now.Sub(a.since) < c.linger()+failover.StopBound+time.Second
}

// announced notes whom the LAN believes.
func (c *checker) announced(h *Host, a failover.LinkAnnouncement) { c.cache[a.Address] = h }

// look looks at the world after each event.
func (c *checker) look() {
	c.freshAddresses()
	for i, k := range c.keys {
		c.election(k, &c.lans[i])
	}
	c.touched = false
	if len(c.expected) > 0 {
		c.expectations()
	}
}

// String returns the world for whoever reads a failure.
func (w *World) String() string {
	var b strings.Builder
	for _, h := range w.Hosts {
		b.WriteString(h.String())
	}
	return b.String()
}
