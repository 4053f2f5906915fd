package failover

import (
	"fmt"
	"net/netip"
	"slices"

	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// interfaceChanged takes note of an interface, and looks again at the routers that it concerns.
func (c *Core) interfaceChanged(now vrrp.Instant, i *Interface, fx *Effects) {
	old := c.interfaces[i.Name]
	c.settleLink(now, old, i)
	c.interfaceIs(now, old, i, fx)
}

// interfaceIs replaces what is known of an interface.
func (c *Core) interfaceIs(now vrrp.Instant, old, i *Interface, fx *Effects) {
	if old != nil {
		if old.Equal(i) {
			return
		}
		c.countLocal(old, -1)
	}
	if i.Index == 0 {
		delete(c.interfaces, i.Name) // names come and go with containers: nothing is kept of them
		c.deviceLost(now, i.Name)
	} else {
		c.interfaces[i.Name] = i
		c.countLocal(i, 1)
	}
	id := Tracker{Kind: TrackInterface, Name: i.Name}
	if t := c.trackers[id]; t != nil && t.see(i) {
		c.trackerChanged(now, id, t, fx)
	}
	c.evaluateFor(now, i.Name, fx)
	if (old == nil || !old.Up) && i.Up {
		c.linkReturned(now, i.Name)
		c.pardon(now, i.Name)
	}
}

// countLocal keeps c.local, so that nobody has to search all interfaces for an address.
func (c *Core) countLocal(i *Interface, by int) {
	for _, p := range i.Addresses {
		a := p.Addr().WithZone("")
		if c.local[a] += by; c.local[a] == 0 {
			delete(c.local, a)
		}
	}
}

// evaluateFor looks again at the preconditions of every router that depends on the interface: it runs there, an address
// of its belongs there, or its source address may be anywhere. The empty name stands for all of them.
func (c *Core) evaluateFor(now vrrp.Instant, iface string, fx *Effects) {
	for _, r := range c.routers {
		if iface == "" || r.cfg.VRRP.Key.Interface == iface || r.cfg.Source.IsValid() || slices.Contains(r.carriers, iface) ||
			r.tracks(iface) {
			c.evaluate(now, r, fx)
			c.reschedule(r)
		}
	}
}

// precondition says why r itself cannot run, and returns the address that it is to send from; zero: none.
func (c *Core) precondition(now vrrp.Instant, r *router) (h hindrance, source netip.Addr) {
	name := r.cfg.VRRP.Key.Interface
	i, look := c.interfaces[name], c.looking.Add(firstLook)
	young := now < look
	switch {
	case i == nil && young:
		return hindrance{reason: unseen, pending: true, until: look}, source
	case i == nil:
		return hindrance{reason: fmt.Sprintf("interface %s does not exist", name)}, source
	case !i.Up && !r.cfg.IgnoreLink:
		return hindrance{reason: c.downReason(name)}, source
	}
	var back vrrp.Instant
	for _, name := range r.carriers {
		switch {
		case c.interfaces[name] != nil:
		case now < c.deviceDue(r, name):
			back = c.deviceDue(r, name)
		case young:
			return hindrance{reason: unseen, pending: true, until: look}, source
		case r.cfg.VMAC != nil && name == r.cfg.VMAC.Name && now < r.born.Add(firstLook):
			// A reload has added the router, and its macvlan interface is being made.
			return hindrance{reason: unseen, pending: true, until: r.born.Add(firstLook)}, source
		default:
			return hindrance{reason: fmt.Sprintf("interface %s, which an address of it belongs to, does not exist", name)}, source
		}
	}
	source, fault := c.source(r, i)
	switch {
	case fault != "":
		return hindrance{reason: fault}, source
	case now < r.refusedUntil:
		return hindrance{reason: r.refusal, until: r.refusedUntil}, source
	}
	if h = c.closedLink(now, r); h.reason != "" {
		return h, source
	}
	if h = c.unprotected(now, r); h.reason != "" {
		return h, source
	}
	h = c.trackingFault(now, r)
	if h.reason != "" {
		return h, source
	}
	last, again := h.last, h.until
	if h = c.isolated(now, r); h.reason != "" {
		return h, source
	}
	if h = c.delayed(now, r); h.reason == "" {
		h.until, h.last = back, last
		if again != 0 && (back == 0 || again < back) {
			h.until = again
		}
	}
	return h, source
}

// closedLink says which socket of r is not open. One that nobody has told of yet is on its way.
func (c *Core) closedLink(now vrrp.Instant, r *router) hindrance {
	for _, id := range r.links {
		l, known := c.links[id]
		look := r.born.Add(firstLook)
		switch {
		case l.Open:
		case l.Err != "":
			return hindrance{reason: l.Err}
		case !known && now < look:
			return hindrance{reason: unseen, pending: true, until: look}
		default:
			return hindrance{reason: fmt.Sprintf("the socket of %s is not open yet", id)}
		}
	}
	return hindrance{}
}

// delayed says why r is not to start yet. Delays after the start of the agent and of the kernel keep nobody from running
// that does; an Instant is the time since the kernel's start.
func (c *Core) delayed(now vrrp.Instant, r *router) hindrance {
	startup, boot := c.started.Add(c.cfg.StartupDelay), vrrp.Instant(c.cfg.BootDelay)
	switch {
	case c.awaiting:
		return hindrance{reason: waitTurn, pending: true}
	case r.fsm.State() != vrrp.Initialize, r.inherits != nil, r.legacy != nil:
	case now < startup:
		return hindrance{reason: waitStartup, pending: true, until: startup}
	case now < boot:
		return hindrance{reason: waitBoot, pending: true, until: boot}
	}
	return hindrance{}
}

// source chooses the address that r sends from: the configured one, if this host has it, or the first address of the
// interface that is not virtual (RFC 9568 section 7.2; V3-TX-04). One that serves is kept: a later address of the
// interface is no reason to change.
func (c *Core) source(r *router, i *Interface) (netip.Addr, string) {
	if a := r.cfg.Source; a.IsValid() {
		if c.local[a.WithZone("")] == 0 {
			return netip.Addr{}, fmt.Sprintf("source address %s is not on this host", a)
		}
		return a, ""
	}
	if r.lonely() {
		return i.first(r.cfg.VRRP.Key.Family), ""
	}
	var first, second netip.Addr
	for _, p := range i.Addresses {
		a := p.Addr().WithZone("")
		if !a.IsValid() || wire.FamilyOf(a) != r.cfg.VRRP.Key.Family || c.virtual[a] {
			continue
		}
		switch better := r.prefers(a); {
		case better && a == r.fsm.Source():
			return a, ""
		case better && !first.IsValid():
			first = a
		case !better && !second.IsValid() && r.cfg.VRRP.Unicast:
			second = a
		}
	}
	if !first.IsValid() {
		first = second
	}
	if !first.IsValid() {
		return first, fmt.Sprintf("interface %s has no %v address to send from", i.Name, r.cfg.VRRP.Key.Family)
	}
	return first, ""
}

// first returns an address for a router that nobody hears: it needs one, as all do, and any will do.
func (i *Interface) first(f wire.Family) netip.Addr {
	for _, p := range i.Addresses {
		if a := p.Addr().WithZone(""); a.IsValid() && wire.FamilyOf(a) == f {
			return a
		}
	}
	if f == wire.IPv4 {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return netip.IPv6Loopback()
}

// prefers reports whether a is of the kind that r likes best to send from: multicast over IPv6 is link-local, and a
// unicast peer is reached from a routable address if there is one.
func (r *router) prefers(a netip.Addr) bool {
	return a.Is4() || a.IsLinkLocalUnicast() != r.cfg.VRRP.Unicast
}
