package failover

import (
	"fmt"
	"maps"
	"slices"
	"sort"
	"time"

	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// noAcceptFilter is how the packet filter of no_accept is called in events.
const noAcceptFilter = "no_accept filter"

// unguarded is why a router with no_accept does not run before the packet filter was heard of.
const unguarded = "no_accept: the packet filter is not there yet"

// devicesReported takes note of macvlan interfaces and of the packet filter, and tells what is new about them. A reason
// in the event says what is wrong; without one, it is all right again.
func (c *Core) devicesReported(now vrrp.Instant, rep *DevicesReported, fx *Effects) {
	o := &c.objects
	var events []Event
	tell := func(object, old, err string) {
		if old != err {
			events = append(events, Event{Kind: EventDevice, At: now, Object: object, Reason: err})
		}
	}
	for name, err := range rep.Failed {
		tell(name, o.devices[name], err)
	}
	for name, old := range o.devices {
		if _, still := rep.Failed[name]; !still {
			tell(name, old, "")
		}
	}
	sortByObject(events)
	tell(noAcceptFilter, o.filter, rep.Filter)
	fx.Events = append(fx.Events, events...)
	if !o.heard || o.filter != rep.Filter || !maps.Equal(o.devices, rep.Failed) {
		o.heard, o.devices, o.filter = true, maps.Clone(rep.Failed), rep.Filter
		c.evaluateFor(now, "", fx)
	}
}

// unprotected says why r cannot have what its configuration asks for besides addresses: a packet filter that lets
// nobody reach these, and a macvlan interface that is up. Without the one it would accept what no_accept refuses,
// without the other it would attract traffic that nothing receives; somebody else may be able to do it.
func (c *Core) unprotected(now vrrp.Instant, r *router) hindrance {
	o := &c.objects
	if r.cfg.refuses() {
		look := r.born.Add(firstLook)
		switch {
		case o.filter != "":
			return hindrance{reason: "no_accept: " + o.filter}
		case !o.heard && now < look:
			return hindrance{reason: unguarded, pending: true, until: look}
		case !o.heard:
			return hindrance{reason: unguarded}
		}
	}
	if v := r.cfg.VMAC; v != nil {
		// One that somebody has set down comes up again in a moment; only if that fails is it a fault.
		if i := c.interfaces[v.Name]; i != nil && !i.Up && !r.cfg.IgnoreLink && o.devices[v.Name] != "" {
			return hindrance{reason: fmt.Sprintf("macvlan interface %s: %s", v.Name, o.devices[v.Name])}
		}
	}
	return hindrance{}
}

// deviceGrace is how long a macvlan interface that somebody has deleted may be away: it is made again within milliseconds,
// and the addresses with it, which is less than it takes to give up the role.
const deviceGrace = 500 * time.Millisecond

// deviceLost takes note that an interface has disappeared, in case it is one of ours.
func (c *Core) deviceLost(now vrrp.Instant, name string) {
	if !slices.ContainsFunc(c.cfg.Routers, func(r RouterConfig) bool { return r.VMAC != nil && r.VMAC.Name == name }) {
		return
	}
	if c.objects.lost == nil {
		c.objects.lost = make(map[string]vrrp.Instant)
	}
	c.objects.lost[name] = now
}

// deviceDue returns until when r, which runs, may wait for an interface that has disappeared; zero: it may not, because
// that is not its macvlan interface, or because that cannot be made.
func (c *Core) deviceDue(r *router, name string) vrrp.Instant {
	since, lost := c.objects.lost[name]
	if r.cfg.VMAC == nil || r.cfg.VMAC.Name != name || r.fsm.State() == vrrp.Initialize || !lost || c.objects.devices[name] != "" {
		return 0
	}
	return since.Add(deviceGrace)
}

// sortByObject puts events in an order that does not depend on that of a map.
func sortByObject(events []Event) {
	sort.Slice(events, func(i, j int) bool { return events[i].Object < events[j].Object })
}

// refuses reports whether packets to the virtual addresses of the router are to be dropped (RFC 9568 section 6.4.3,
// Accept_Mode).
func (c *RouterConfig) refuses() bool {
	return c.NoAccept && c.VRRP.Priority != wire.PriorityOwner
}
