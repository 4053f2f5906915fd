package failover

import (
	"slices"
	"time"

	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// rivalGap is the least time between two announcements of a router's addresses in answer to rivals.
const rivalGap = time.Second

// maxPaced is the longest queue of announcements that wait for their turn on one interface. What does not fit is left
// out: it was to be repeated anyway.
const maxPaced = 4096

// gratuitous is the schedule of a router's gratuitous ARPs and unsolicited neighbor advertisements. Each field but
// quiet is the instant of the next batch of its kind; Never: none. Batches leave in Expire only, after all inputs of
// their instant: a role that has just been lost announces nothing.
type gratuitous struct {
	first      vrrp.Instant // addresses that the LAN has not been told of
	second     vrrp.Instant // garp_master_delay after the first
	settled    vrrp.Instant // when a router that the role was taken from may have let go of the addresses
	letGo      vrrp.Instant // when it has for certain
	refresh    vrrp.Instant
	rival      vrrp.Instant // a rival was heard
	rivalAgain vrrp.Instant // RivalDelay later
	quiet      vrrp.Instant // not before this instant on account of a rival
}

var idle = gratuitous{first: vrrp.Never, second: vrrp.Never, settled: vrrp.Never, refresh: vrrp.Never, rival: vrrp.Never, rivalAgain: vrrp.Never}

func (g *gratuitous) next() vrrp.Instant {
	return min(g.first, g.second, g.settled, g.refresh, g.rival, g.rivalAgain)
}

// start asks for the first batch now, and arms what follows.
func (g *gratuitous) start(now vrrp.Instant, cfg *GARP) {
	g.first = now
	if cfg.Delay > 0 {
		g.second = now.Add(cfg.Delay)
	}
	if cfg.Refresh > 0 && g.refresh == vrrp.Never {
		g.refresh = now.Add(cfg.Refresh)
	}
}

// settleGap is how long after a router has let go the LAN is told once more.
const settleGap = 50 * time.Millisecond

// again arms batches for when a live router that the role was taken from has let go: until its routes are withdrawn it
// keeps the addresses, and may answer who asks for them. One that leaves in order and is configured as this one serves for
// a while before that, and settles after it; the LAN is told every ReleaseBound meanwhile.
func (g *gratuitous) again(now vrrp.Instant, fromLive bool, cfg *RouterConfig) {
	if !fromLive {
		return
	}
	g.settled = now.Add(ReleaseBound + settleGap)
	if g.letGo = g.settled; cfg.Attracts() {
		g.letGo = g.letGo.Add(HandoverRouteGrace + cfg.grace())
	}
}

// tellSettled reports whether the LAN is to be told now that somebody may have let go, and plans the next time.
func (g *gratuitous) tellSettled(now vrrp.Instant) bool {
	if g.settled > now {
		return false
	}
	if g.settled = vrrp.Never; now < g.letGo {
		g.settled = min(now.Add(ReleaseBound), g.letGo)
	}
	return true
}

// adopt takes another period of refreshes over.
func (g *gratuitous) adopt(now vrrp.Instant, old, cfg *GARP, running bool) {
	if old.Refresh == cfg.Refresh {
		return
	}
	g.refresh = vrrp.Never
	if cfg.Refresh > 0 && running {
		g.refresh = now.Add(cfg.Refresh)
	}
}

// heardRival asks for a batch now and another one RivalDelay later, at most once in rivalGap. What is heard sooner is
// answered when the gap is over, never left out: it may be the last that is heard, and the LAN believes who spoke last.
func (g *gratuitous) heardRival(now vrrp.Instant, cfg *GARP) {
	if cfg.RivalRepeat == 0 || g.rival != vrrp.Never {
		return
	}
	g.rival = max(now, g.quiet)
	if cfg.RivalDelay > 0 {
		g.rivalAgain = g.rival.Add(cfg.RivalDelay)
	}
}

// announceDue sends the batches of r that are due.
func (c *Core) announceDue(now vrrp.Instant, r *router, fx *Effects) {
	g, cfg := &r.gratuitous, &r.cfg.GARP
	if g.next() > now {
		return
	}
	if g.first <= now {
		g.first = vrrp.Never
		c.announce(now, r, fresh, cfg.Repeat, fx)
	}
	if g.second <= now {
		g.second = vrrp.Never
		c.announce(now, r, announced, cfg.Repeat, fx)
	}
	if g.tellSettled(now) {
		c.announce(now, r, announced, 1, fx)
	}
	if g.refresh <= now {
		g.refresh = now.Add(cfg.Refresh)
		c.announce(now, r, announced, cfg.RefreshRepeat, fx)
	}
	if g.rival <= now {
		g.rival, g.quiet = vrrp.Never, now.Add(rivalGap)
		c.announce(now, r, announced, cfg.RivalRepeat, fx)
	}
	if g.rivalAgain <= now {
		g.rivalAgain = vrrp.Never
		c.announce(now, r, announced, cfg.RivalRepeat, fx)
	}
}

// announce sends repeat rounds over those addresses of r that are in the given state; none is absent.
func (c *Core) announce(now vrrp.Instant, r *router, which presence, repeat int, fx *Effects) {
	for range repeat {
		for i := range r.cfg.Addresses {
			if r.presence[i] == which {
				c.announceOne(now, r, r.cfg.Addresses[i].Key(), fx)
			}
		}
	}
	for i := range r.presence {
		if r.presence[i] == which {
			r.presence[i] = announced
		}
	}
}

// linkReturned tells the LAN behind an interface again where the addresses on it are: it may not be the same LAN, or
// have forgotten.
func (c *Core) linkReturned(now vrrp.Instant, iface string) {
	for _, r := range c.routers {
		news := false
		for i := range r.presence {
			if r.presence[i] != absent && r.cfg.Addresses[i].Interface == iface {
				news, r.presence[i] = true, fresh
			}
		}
		if news {
			r.gratuitous.start(now, &r.cfg.GARP)
			c.reschedule(r)
		}
	}
}

// announceOne sends one announcement, or queues it where a least interval is configured. Loopback interfaces have
// nobody to tell.
func (c *Core) announceOne(now vrrp.Instant, r *router, k AddressKey, fx *Effects) {
	i := c.interfaces[k.Interface]
	if i == nil || i.Loopback || !i.Up {
		return
	}
	family := wire.FamilyOf(k.Prefix.Addr())
	if c.cfg.announceGap(family) == 0 {
		r.counters.Announcements++
		fx.Announcements = append(fx.Announcements, LinkAnnouncement{k.Interface, k.Prefix.Addr()})
		return
	}
	p := c.pacer(LinkID{k.Interface, family})
	if len(p.queue) < maxPaced {
		p.queue = append(p.queue, paced{r, k})
	}
	c.drain(now, p, fx)
}

// announceGap returns the least time between two announcements of a family on one interface.
func (c *Config) announceGap(f wire.Family) time.Duration {
	if f == wire.IPv4 {
		return c.GARPInterval
	}
	return c.NAInterval
}

// pacer spaces the announcements of one family on one interface (vrrp_garp_interval, vrrp_gna_interval).
type pacer struct {
	link  LinkID
	queue []paced
	free  vrrp.Instant // nothing before
}

// paced is an announcement that waits for its turn.
type paced struct {
	router *router
	key    AddressKey
}

// pacer returns that of a link. There are as many as interfaces with addresses, so a search will do.
func (c *Core) pacer(link LinkID) *pacer {
	for _, p := range c.pacers {
		if p.link == link {
			return p
		}
	}
	p := &pacer{link: link}
	c.pacers = append(c.pacers, p)
	return p
}

// awaitsTurn reports whether an announcement of r's is still to be sent.
func (c *Core) awaitsTurn(r *router, k AddressKey) bool {
	return slices.ContainsFunc(c.pacers, func(p *pacer) bool { return slices.Contains(p.queue, paced{r, k}) })
}

func (p *pacer) due() vrrp.Instant {
	if len(p.queue) == 0 {
		return vrrp.Never
	}
	return p.free
}

// drain sends what a pacer allows at now, and leaves out what is not to be announced any more.
func (c *Core) drain(now vrrp.Instant, p *pacer, fx *Effects) {
	gap := c.cfg.announceGap(p.link.Family)
	for len(p.queue) > 0 && p.free <= now {
		q := p.queue[0]
		p.queue[0] = paced{}
		p.queue = p.queue[1:]
		if !q.router.carries(q.key) {
			continue
		}
		p.free = now.Add(gap)
		q.router.counters.Announcements++
		fx.Announcements = append(fx.Announcements, LinkAnnouncement{q.key.Interface, q.key.Prefix.Addr()})
	}
}

// carries reports whether an address of r is in the kernel, by right.
func (r *router) carries(k AddressKey) bool {
	for i := range r.presence {
		if r.presence[i] != absent && r.cfg.Addresses[i].Key() == k {
			return true
		}
	}
	return false
}
