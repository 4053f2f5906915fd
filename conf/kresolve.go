package conf

import (
	"net/netip"
	"slices"

	"failoverd/failover"
)

// Scopes of routes (RT_SCOPE_*) that have a meaning of their own.
const (
	scopeGlobal  = 0
	scopeLink    = 253
	scopeHost    = 254
	scopeNowhere = 255
)

// resolveKernelRoute returns the route that the kernel is to have, if nothing stands against it. device is the default
// interface, or "": it serves the routes that need an interface and name none. One with a gateway that any interface may
// reach stays without; the kernel finds it.
func (d *decoder) resolveKernelRoute(r *kernelRoute, device string) (failover.KernelRoute, bool) {
	if !r.ok {
		return failover.KernelRoute{}, false
	}
	mark := len(d.findings)
	ipv6 := d.routeFamily(r)
	out := failover.KernelRoute{
		Type: r.kind.or(routeUnicast), Destination: r.destination.value, Source: r.source.or(netip.Addr{}),
		Table: r.table.or(mainTable), Metric: r.metric.or(0), TOS: r.tos.or(0), Protocol: uint8(r.protocol.or(0)),
		MTU: r.mtu.value.octets, MTULock: r.mtu.value.locked, AdvMSS: r.advMSS.or(0), HopLimit: r.hopLimit.or(0),
		InitCwnd: r.initCwnd.or(0), InitRwnd: r.initRwnd.or(0), Untracked: r.untracked.or(false),
	}
	if !out.Destination.IsValid() {
		out.Destination = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		if ipv6 {
			out.Destination = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
	}
	if ipv6 && out.TOS != 0 {
		d.errorf(r.tos.at, "tos %s: the kernel has no IPv6 routes by TOS; use a rule", r.tos.at.Text)
	}
	d.resolveHops(r, &out, device)
	out.Scope = d.routeScope(r, &out)
	if d.wrong(mark) {
		return failover.KernelRoute{}, false
	}
	r.key, r.resolved = out.Key(), true
	return out, true
}

// routeFamily returns whether a route is of IPv6; without any word about it, it is of IPv4.
func (d *decoder) routeFamily(r *kernelRoute) bool {
	f := families{d: d}
	if r.destination.value.IsValid() {
		f.add(r.destination.at, r.destination.value.Addr().Is6())
	}
	if r.ipv6.ok {
		f.add(r.ipv6.at, r.ipv6.value)
	}
	f.addAddress(&r.via)
	for _, h := range r.hops {
		f.addAddress(&h.via)
	}
	f.addAddress(&r.source)
	return f.ipv6
}

// resolveHops fills in where packets go.
func (d *decoder) resolveHops(r *kernelRoute, out *failover.KernelRoute, device string) {
	if out.Type >= routeBlackhole {
		d.goesNowhere(r)
		return
	}
	if out.Type == routeBroadcast && out.Destination.Addr().Is6() {
		d.errorf(r.kind.at, "broadcast: IPv6 has none")
	}
	if len(r.hops) == 0 {
		r.nextHop.at = r.at
		h := d.resolveHop(r, &r.nextHop, device)
		out.Gateway, out.Interface, out.OnLink = h.Gateway, h.Interface, h.OnLink
		return
	}
	for _, f := range []struct {
		given bool
		at    Token
		word  string
	}{{r.via.given, r.via.at, "via"}, {r.device.given, r.device.at, "dev"}, {r.onLink.given, r.onLink.at, "onlink"}} {
		if f.given {
			d.errorf(f.at, "%s of a route with nexthop: it belongs behind the nexthop that it is for", f.word)
		}
	}
	for _, draft := range r.hops {
		h := d.resolveHop(r, draft, device)
		twin := func(o failover.NextHop) bool { return o.Gateway == h.Gateway && o.Interface == h.Interface }
		if slices.ContainsFunc(out.NextHops, twin) {
			d.errorf(draft.at, "nexthop: there is an equal one already; give it a greater weight")
		}
		if len(r.hops) > 1 && out.Destination.Addr().Is6() && !h.Gateway.IsValid() && !draft.via.given {
			d.errorf(draft.at, "nexthop: via is missing; the kernel takes none of several IPv6 next hops without it")
		}
		out.NextHops = append(out.NextHops, h)
	}
	if len(out.NextHops) == 1 { // no choice: an ordinary route, which is what the kernel makes of it
		h := out.NextHops[0]
		out.Gateway, out.Interface, out.OnLink, out.NextHops = h.Gateway, h.Interface, h.OnLink, nil
	}
}

// goesNowhere reports the words for a way in a route that has none.
func (d *decoder) goesNowhere(r *kernelRoute) {
	for _, at := range []struct {
		given bool
		Token
	}{{r.via.given, r.via.at}, {r.device.given, r.device.at}, {r.onLink.given, r.onLink.at}} {
		if at.given {
			d.errorf(at.Token, "%s: a route of this type has neither via nor dev", routeTypes[r.kind.value])
		}
	}
	if len(r.hops) > 0 {
		d.errorf(r.hops[0].at, "%s: a route of this type has no nexthop", routeTypes[r.kind.value])
	}
}

// resolveHop returns a next hop. The kernel finds the interface of a gateway, unless the gateway's address means
// something else on each interface or is not to be looked for at all.
func (d *decoder) resolveHop(r *kernelRoute, h *nextHop, device string) failover.NextHop {
	out := failover.NextHop{
		Gateway: h.via.or(netip.Addr{}), Interface: h.device.or(""), Weight: h.weight.or(1), OnLink: h.onLink.or(false),
	}
	switch {
	case out.OnLink && !out.Gateway.IsValid():
		d.errorf(h.onLink.at, "onlink says that a gateway is on the link, and there is no via")
	case out.Interface != "":
	case !out.Gateway.IsValid():
		if out.Interface = device; device == "" {
			d.errorf(h.at, "%s %s: neither via nor dev says where to", r.what, h.at.Text)
		}
	case out.Gateway.IsLinkLocalUnicast() && out.Gateway.Is6() || out.OnLink:
		if out.Interface = device; device == "" {
			d.errorf(h.via.at, "via %s: dev is missing; only it says on which link that is", out.Gateway)
		}
	}
	return out
}

// defaultScope is the scope of a route that names none: global, as keepalived's, also where iproute2 would say link, but
// for the types of IPv4 routes that the kernel refuses with it.
func defaultScope(r *failover.KernelRoute) uint8 {
	if r.Destination.Addr().Is6() {
		return scopeGlobal
	}
	return leastScope(r.Type)
}

// leastScope is the widest scope that the kernel takes for a type of route.
func leastScope(kind uint8) uint8 {
	switch kind {
	case routeLocal:
		return scopeHost
	case routeBroadcast:
		return scopeLink
	}
	return scopeGlobal
}

// routeScope returns the scope of a route, and reports what the kernel would not take.
func (d *decoder) routeScope(r *kernelRoute, out *failover.KernelRoute) uint8 {
	def := defaultScope(out)
	scope, at := r.scope.or(def), r.at
	if r.scope.ok {
		at = r.scope.at
	}
	hasGateway := out.Gateway.IsValid() ||
		slices.ContainsFunc(out.NextHops, func(h failover.NextHop) bool { return h.Gateway.IsValid() })
	switch {
	case out.Destination.Addr().Is6():
		if r.scope.ok && scope != scopeGlobal {
			d.warnf(at, "scope is ignored: IPv6 routes have none")
		}
		return scopeGlobal
	case scope == scopeNowhere:
		d.errorf(at, "scope nowhere: a route cannot have it")
	case scope < leastScope(out.Type):
		d.errorf(at, "scope %s: a %s route has at least scope %s", scopeName(scope), routeTypes[out.Type], scopeName(leastScope(out.Type)))
	case hasGateway && leastScope(out.Type) >= scopeLink:
		d.errorf(at, "a %s route has no via", routeTypes[out.Type])
	case hasGateway && scope >= scopeLink:
		d.errorf(at, "scope %s: a route with via reaches farther; the kernel wants scope global or site", scopeName(scope))
	}
	return scope
}

// checkKernelRoutes looks for routes that are one to the kernel: the second would replace the first, and whoever goes
// would take it from the other. It wants all entries, after resolveKernelRoute.
func (d *decoder) checkKernelRoutes(routes []*kernelRoute) {
	first := map[failover.RouteKey]*kernelRoute{}
	for _, r := range routes {
		if !r.resolved {
			continue
		}
		if f := first[r.key]; f != nil {
			d.errorf(r.at, "%s %s: there is this route already at %s; another metric makes it another one", r.what, r.key, f.at.Pos)
			continue
		}
		first[r.key] = r
	}
}
