package failover

import (
	"maps"
	"slices"
	"strings"

	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// noAcceptFilter is how the packet filter of no_accept is called in events.
const noAcceptFilter = "no_accept filter"

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
	o.devices, o.filter = maps.Clone(rep.Failed), rep.Filter
}

// sortByObject puts events in an order that does not depend on that of a map.
func sortByObject(events []Event) {
	slices.SortFunc(events, func(a, b Event) int { return strings.Compare(a.Object, b.Object) })
}

// refuses reports whether packets to the virtual addresses of the router are to be dropped (RFC 9568 section 6.4.3,
// Accept_Mode).
func (c *RouterConfig) refuses() bool {
	return c.NoAccept && c.VRRP.Priority != wire.PriorityOwner
}
