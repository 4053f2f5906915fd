package failover

import (
	"fmt"
	"net/netip"
	"slices"

	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// Reasons why a router does not run that are no fault: time alone takes them away.
const (
	unseen      = "the interface has not been looked at yet"
	waitStartup = "vrrp_startup_delay has not passed yet"
)

// interfaceChanged takes note of an interface, and looks again at the routers that it concerns.
func (c *Core) interfaceChanged(now vrrp.Instant, i *Interface, fx *Effects) {
	old := c.interfaces[i.Name]
	if old != nil {
		if old.Equal(i) {
			return
		}
		c.countLocal(old, -1)
	}
	if i.Index == 0 {
		delete(c.interfaces, i.Name) // names come and go with containers: nothing is kept of them
	} else {
		c.interfaces[i.Name] = i
		c.countLocal(i, 1)
	}
	c.evaluateFor(now, i.Name, fx)
	if (old == nil || !old.Up) && i.Up {
		c.linkReturned(now, i.Name)
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
		if iface == "" || r.cfg.VRRP.Key.Interface == iface || r.cfg.Source.IsValid() || slices.Contains(r.carriers, iface) {
			c.evaluate(now, r, fx)
			c.reschedule(r)
		}
	}
}

// evaluate starts or stops a router according to what it needs to run, and keeps its source address current.
func (c *Core) evaluate(now vrrp.Instant, r *router, fx *Effects) {
	if c.stopping {
		return
	}
	fault, source := c.precondition(now, r)
	if source.IsValid() {
		c.setSource(r, source)
	}
	if fault == r.fault {
		return
	}
	r.fault = fault
	if fault == "" {
		c.apply(now, r, r.fsm.Startup(now), fx)
		return
	}
	if fault != unseen && fault != waitStartup {
		fx.about(r, Event{Kind: EventFault, At: now, Reason: fault})
	}
	c.shutdown(now, r, fx)
	if !source.IsValid() {
		// Not before: the last advertisement is sent from it.
		c.setSource(r, source)
	}
}

// precondition says why r cannot run, or the address that it sends from.
func (c *Core) precondition(now vrrp.Instant, r *router) (fault string, source netip.Addr) {
	young := now < c.started.Add(firstLook)
	name := r.cfg.VRRP.Key.Interface
	i := c.interfaces[name]
	switch {
	case i == nil && young:
		return unseen, source
	case i == nil:
		return fmt.Sprintf("interface %s does not exist", name), source
	case !i.Up:
		return fmt.Sprintf("interface %s is down", name), source
	}
	for _, name := range r.carriers {
		switch {
		case c.interfaces[name] != nil:
		case young:
			return unseen, source
		default:
			return fmt.Sprintf("interface %s, which an address of it belongs to, does not exist", name), source
		}
	}
	source, fault = c.source(r, i)
	if fault != "" {
		return fault, source
	}
	if now < r.refusedUntil {
		return r.refusal, source
	}
	for _, id := range r.links {
		l, known := c.links[id]
		switch {
		case l.Open:
		case l.Err != "":
			return l.Err, source
		case !known && young:
			return unseen, source
		default:
			return fmt.Sprintf("the socket of %s is not open yet", id), source
		}
	}
	if r.fsm.State() == vrrp.Initialize && now < c.started.Add(c.cfg.StartupDelay) {
		return waitStartup, source
	}
	return "", source
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

// prefers reports whether a is of the kind that r likes best to send from: multicast over IPv6 is link-local, and a
// unicast peer is reached from a routable address if there is one.
func (r *router) prefers(a netip.Addr) bool {
	return a.Is4() || a.IsLinkLocalUnicast() != r.cfg.VRRP.Unicast
}
