package kernel

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"failoverd/failover"
)

// routeEntry is a route as the kernel describes it, or as it is to be.
type routeEntry struct {
	routeContent
	// hops are in any order; none for types that discard packets.
	hops []hop
}

// routeContent is a routeEntry without its next hops.
type routeContent struct {
	key    failover.RouteKey
	kind   uint8 // RTN_*
	scope  uint8 // RT_SCOPE_*; 0 for IPv6
	proto  uint8 // RTPROT_*
	source netip.Addr
	metrics
	// odd: there is more to the route than can be said here, such as an encapsulation.
	odd bool
}

// metrics are the RTAX_* of a route; 0: not set.
type metrics struct {
	mtu, advMSS, hopLimit, initCwnd, initRwnd uint32
	mtuLock                                   bool
}

// hop is a next hop. index is 0 in what is wanted when the kernel is to find the interface.
type hop struct {
	gateway netip.Addr
	index   int
	weight  int
	onLink  bool
}

// discards reports whether routes of the type have no next hop.
func discards(kind uint8) bool {
	switch kind {
	case unix.RTN_BLACKHOLE, unix.RTN_UNREACHABLE, unix.RTN_PROHIBIT, unix.RTN_THROW:
		return true
	}
	return false
}

// routeTarget returns what the kernel's entry for r is to be, and in words what keeps it from being written.
func routeTarget(r *failover.KernelRoute, links *table) (target routeEntry, problem string) {
	target = routeEntry{routeContent: routeContent{
		key: r.Key(), kind: r.Type, scope: r.Scope, proto: cmp.Or(r.Protocol, Protocol), source: r.Source,
		metrics: metrics{r.MTU, r.AdvMSS, r.HopLimit, r.InitCwnd, r.InitRwnd, r.MTULock},
	}}
	if r.Destination.Addr().Is6() {
		target.scope = unix.RT_SCOPE_UNIVERSE
	}
	if discards(r.Type) {
		return target, ""
	}
	wanted := r.NextHops
	if len(wanted) == 0 && (r.Gateway.IsValid() || r.Interface != "") {
		wanted = []failover.NextHop{{Gateway: r.Gateway, Interface: r.Interface, OnLink: r.OnLink}}
	}
	for i := range wanted {
		h, why := hopTarget(&wanted[i], links)
		problem = cmp.Or(problem, why)
		target.hops = append(target.hops, h)
	}
	if len(target.hops) == 1 {
		target.hops[0].weight = 1 // which is what the kernel says of an only one
	}
	return target, problem
}

func hopTarget(n *failover.NextHop, links *table) (h hop, problem string) {
	h = hop{gateway: n.Gateway.WithZone(""), weight: max(n.Weight, 1), onLink: n.OnLink}
	if n.Interface == "" {
		return h, ""
	}
	index, exists := links.names[n.Interface]
	switch {
	case !exists:
		return h, "interface " + n.Interface + " does not exist"
	case links.links[index].flags&unix.IFF_UP == 0:
		problem = "interface " + n.Interface + " is down"
	}
	h.index = index
	return h, problem
}

func (e *routeEntry) is6() bool { return e.key.Destination.Addr().Is6() }

// equal reports whether two entries say the same in every respect.
func (e *routeEntry) equal(o *routeEntry) bool {
	return e.routeContent == o.routeContent && slices.Equal(e.hops, o.hops)
}

// serves reports whether e does what target asks for, whoever has added it.
func (e *routeEntry) serves(target *routeEntry) bool {
	a := e.routeContent
	a.proto = target.proto
	return a == target.routeContent && e.contains(target.hops) && (e.is6() || len(e.hops) == len(target.hops))
}

// contains reports whether the next hops are all there. There may be more over IPv6: what somebody appends to our
// route, the kernel shows as one with it.
func (e *routeEntry) contains(hops []hop) bool {
	for i := range hops {
		if !slices.ContainsFunc(e.hops, hops[i].servedBy) {
			return false
		}
	}
	return true
}

func (h hop) servedBy(o hop) bool {
	if h.index == 0 {
		o.index = 0
	}
	return h == o
}

// is reports whether e is the entry that the kernel made of what was written, which it showed as seen. Over IPv6 a
// route loses its source address when the host does.
func (e *routeEntry) is(seen *routeEntry) bool {
	if seen == nil {
		return false
	}
	a := e.routeContent
	if e.is6() && !a.source.IsValid() {
		a.source = seen.source
	}
	return a == seen.routeContent && e.contains(seen.hops) && (e.is6() || len(e.hops) == len(seen.hops))
}

// usable reports whether the interfaces of an entry are up.
func (e *routeEntry) usable(links *table) bool {
	for i := range e.hops {
		if index := e.hops[i].index; index != 0 && links.links[index].flags&unix.IFF_UP == 0 {
			return false
		}
	}
	return true
}

// describe returns the entry in the words of iproute2.
func (e *routeEntry) describe(links *table) string {
	var b strings.Builder
	if e.kind != unix.RTN_UNICAST {
		b.WriteString(routeTypes[e.kind] + " ")
	}
	b.WriteString(e.key.String())
	for i := range e.hops {
		h := &e.hops[i]
		if len(e.hops) > 1 {
			b.WriteString(" nexthop")
		}
		if h.gateway.IsValid() {
			b.WriteString(" via " + h.gateway.String())
		}
		if name := links.links[h.index].name; name != "" {
			b.WriteString(" dev " + name)
		}
		if len(e.hops) > 1 {
			fmt.Fprintf(&b, " weight %d", h.weight)
		}
		if h.onLink {
			b.WriteString(" onlink")
		}
	}
	if e.source.IsValid() {
		b.WriteString(" src " + e.source.String())
	}
	fmt.Fprintf(&b, " proto %d", e.proto)
	return b.String()
}

// routeTypes are the words of iproute2 for RTN_*.
var routeTypes = [256]string{
	unix.RTN_UNICAST: "unicast", unix.RTN_LOCAL: "local", unix.RTN_BROADCAST: "broadcast", unix.RTN_ANYCAST: "anycast",
	unix.RTN_MULTICAST: "multicast", unix.RTN_BLACKHOLE: "blackhole", unix.RTN_UNREACHABLE: "unreachable",
	unix.RTN_PROHIBIT: "prohibit", unix.RTN_THROW: "throw", unix.RTN_NAT: "nat", unix.RTN_XRESOLVE: "xresolve",
}

// routeReason says in words for people why a route was not written.
func routeReason(err error, e *routeEntry, links *table) string {
	text := err.Error()
	switch {
	case errors.Is(err, unix.EPERM):
		return "not permitted: CAP_NET_ADMIN is missing"
	case errors.Is(err, unix.EEXIST):
		return "somebody else has added a route with the same key"
	case errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EHOSTUNREACH):
		return "gateway" + gateways(e) + " cannot be reached directly (" + text + ")"
	case errors.Is(err, unix.ENETDOWN):
		return "interface" + devices(e, links) + " is down"
	case errors.Is(err, unix.ENODEV):
		return "interface" + devices(e, links) + " does not exist"
	case errors.Is(err, unix.EINVAL) && e.source.IsValid() &&
		(strings.Contains(text, "prefsrc") || strings.Contains(text, "source address")):
		return "source address " + e.source.String() + " is not on this host"
	case errors.Is(err, unix.EAFNOSUPPORT), errors.Is(err, unix.EOPNOTSUPP):
		return "kernel has no such routes (" + text + ")"
	}
	return "kernel refuses it: " + text
}

// gateways lists the gateways of e, each after a space.
func gateways(e *routeEntry) (s string) {
	for i := range e.hops {
		if e.hops[i].gateway.IsValid() {
			s += " " + e.hops[i].gateway.String()
		}
	}
	return s
}

// devices lists the interfaces of e that are known, each after a space.
func devices(e *routeEntry, links *table) (s string) {
	for i := range e.hops {
		if name := links.links[e.hops[i].index].name; name != "" {
			s += " " + name
		}
	}
	return s
}

// compareRouteKeys orders by destination, table, metric and tos.
func compareRouteKeys(a, b *failover.RouteKey) int {
	return cmp.Or(
		a.Destination.Addr().Compare(b.Destination.Addr()), a.Destination.Bits()-b.Destination.Bits(),
		cmp.Compare(a.Table, b.Table), cmp.Compare(a.Metric, b.Metric), int(a.TOS)-int(b.TOS),
	)
}
