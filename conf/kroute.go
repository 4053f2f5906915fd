package conf

import (
	"net/netip"
	"slices"

	"failoverd/failover"
)

// kernelRoute is the draft of an entry of virtual_routes or static_routes.
type kernelRoute struct {
	at   Token  // the destination, or the first word if there is none
	what string // virtual_routes or static_routes
	ok   bool   // nothing is wrong with the words, each for itself

	kind        field[uint8]
	destination field[netip.Prefix] // zero: all of a family that other words tell
	nextHop
	hops      []*nextHop
	source    field[netip.Addr]
	scope     field[uint8]
	table     field[uint32]
	metric    field[uint32]
	tos       field[uint8]
	protocol  field[uint32]
	mtu       field[mtu]
	advMSS    field[uint32]
	hopLimit  field[uint32]
	initCwnd  field[uint32]
	initRwnd  field[uint32]
	ipv6      field[bool]
	order     field[bool] // add, prepend or append
	untracked field[bool]

	// key is what resolve made of it; resolved: there is one.
	key      failover.RouteKey
	resolved bool
}

// nextHop is the draft of where packets go: of the route itself, or of one of several.
type nextHop struct {
	at     Token
	via    field[netip.Addr]
	device field[string]
	onLink field[bool]
	weight field[int]
}

// mtu is a path MTU, which may be final.
type mtu struct {
	octets uint32
	locked bool
}

// Types of routes: the kernel's RTN_*.
const (
	routeUnicast     = 1
	routeLocal       = 2
	routeBroadcast   = 3
	routeMulticast   = 5
	routeBlackhole   = 6
	routeUnreachable = 7
	routeProhibit    = 8
	routeThrow       = 9
)

// routeTypes are their names, by number.
var routeTypes = map[uint8]string{
	routeUnicast: "unicast", routeLocal: "local", routeBroadcast: "broadcast", routeMulticast: "multicast",
	routeBlackhole: "blackhole", routeUnreachable: "unreachable", routeProhibit: "prohibit", routeThrow: "throw",
}

// routeProtocols are iproute2's names for who made a route (RTPROT_*).
var routeProtocols = map[string]uint32{
	"redirect": 1, "kernel": 2, "boot": 3, "static": 4, "gated": 8, "ra": 9, "mrt": 10, "zebra": 11, "bird": 12,
	"dnrouted": 13, "xorp": 14, "ntk": 15, "dhcp": 16, "keepalived": 18, "babel": 42, "openr": 99, "bgp": 186, "isis": 187,
	"ospf": 188, "rip": 189, "eigrp": 192,
}

// The greatest values that the kernel takes as they are: IPv4 packets of 65535 octets, without what headers need.
const (
	minMTU    = 68 // RFC 791
	maxMTU    = 65535 - 15
	maxAdvMSS = 65535 - 40
)

var (
	virtualRouteWords = newTable("virtual_routes", routeRows(), ofStatic("only static entries have one")).inEntries()
	staticRouteWords  = newTable("static_routes", routeRows(), ofStatic("a route that vanishes is put back and costs no role")).inEntries()
	nextHopWords      = newTable("nexthop", hopRows(func(h *nextHop) *nextHop { return h }), []row[*nextHop]{
		option(func(h *nextHop) *field[int] { return &h.weight },
			func(d *decoder, c *cursor) (int, Token, bool) { return d.int(c, 1, 256) }, "weight")[0],
	}, unsupported[*nextHop](later, "", "encap", "realms", "vrf")).inEntries()
)

// ofStatic refuses the words that belong to static entries, where another reason is to be given there.
func ofStatic(note string) []row[*kernelRoute] {
	return unsupported[*kernelRoute](refused, note, "track_group")
}

// routeRows are the options of a route.
func routeRows() []row[*kernelRoute] {
	number := func(lo, hi uint32) func(*decoder, *cursor) (uint32, Token, bool) {
		return func(d *decoder, c *cursor) (uint32, Token, bool) { return d.uint32(c, lo, hi) }
	}
	var kinds []row[*kernelRoute]
	for _, n := range []uint8{1, 2, 3, 5, 6, 7, 8, 9} {
		kinds = append(kinds, option(func(r *kernelRoute) *field[uint8] { return &r.kind },
			func(_ *decoder, c *cursor) (uint8, Token, bool) { return n, c.keyword, true }, routeTypes[n])...)
	}
	return slices.Concat(
		kinds,
		hopRows(func(r *kernelRoute) *nextHop { return &r.nextHop }),
		[]row[*kernelRoute]{
			word("to", func(d *decoder, r *kernelRoute, c *cursor) {
				if t, ok := d.next(c, "a prefix"); ok {
					d.routeDestination(r, t)
				}
			}),
			word("nexthop", (*decoder).inlineHop),
		},
		option(func(r *kernelRoute) *field[netip.Addr] { return &r.source },
			func(d *decoder, c *cursor) (netip.Addr, Token, bool) { return d.address(c, false) }, "src"),
		option(func(r *kernelRoute) *field[uint8] { return &r.scope }, (*decoder).scope, "scope"),
		option(func(r *kernelRoute) *field[uint32] { return &r.table }, (*decoder).routingTable, "table"),
		option(func(r *kernelRoute) *field[uint32] { return &r.metric }, number(0, 1<<32-1), "metric", "priority", "preference"),
		option(func(r *kernelRoute) *field[uint8] { return &r.tos }, (*decoder).serviceType, "tos", "dsfield"),
		option(func(r *kernelRoute) *field[uint32] { return &r.protocol }, (*decoder).routeProtocol, "protocol"),
		option(func(r *kernelRoute) *field[mtu] { return &r.mtu }, (*decoder).mtu, "mtu"),
		option(func(r *kernelRoute) *field[uint32] { return &r.advMSS }, number(1, maxAdvMSS), "advmss"),
		option(func(r *kernelRoute) *field[uint32] { return &r.hopLimit }, number(0, 255), "hoplimit"),
		option(func(r *kernelRoute) *field[uint32] { return &r.initCwnd }, number(1, 1<<32-1), "initcwnd"),
		option(func(r *kernelRoute) *field[uint32] { return &r.initRwnd }, number(1, 1<<32-1), "initrwnd"),
		option(func(r *kernelRoute) *field[bool] { return &r.untracked }, present, "no_track"),
		option(func(r *kernelRoute) *field[bool] { return &r.order }, present, "prepend"),
		option(func(r *kernelRoute) *field[bool] { return &r.order }, (*decoder).routeOrder, "add", "append"),
		familyRows(func(r *kernelRoute) *field[bool] { return &r.ipv6 }),
		all[*kernelRoute](later, "", "", "nat", "anycast", "ecn"),
		unsupported[*kernelRoute](later, "", "rtt", "rttvar", "reordering", "window", "cwnd", "ssthresh", "realms", "rto_min",
			"features", "quickack", "congctl", "fastopen_no_cookie", "ttl-propagate", "pref", "expires", "encap", "vrf"),
		unsupported[*kernelRoute](refused, "it is deprecated; give two routes with a metric each, or nexthop twice", "or"),
		unsupported[*kernelRoute](refused, "write via; keepalived does not know the word and installs the route without a gateway", "gateway"),
	)
}

// hopRows are the options that a route has in common with one of several next hops.
func hopRows[T any](of func(T) *nextHop) []row[T] {
	via := func(t T) *field[netip.Addr] { return &of(t).via }
	return slices.Concat(
		option(via, (*decoder).gateway, "via"),
		[]row[T]{deprecated(option(via, (*decoder).gateway, "gw")[0], "via")},
		option(func(t T) *field[string] { return &of(t).device }, (*decoder).device, "dev", "oif"),
		option(func(t T) *field[bool] { return &of(t).onLink }, present, "onlink"),
	)
}

// kernelRoutes decodes a virtual_routes, or static_routes if static. Several blocks add up.
func (d *decoder) kernelRoutes(to *[]*kernelRoute, static bool, c *cursor) {
	t := virtualRouteWords
	if static {
		t = staticRouteWords
	}
	d.eachEntry(d.body(c), t.name, func(c *cursor) {
		c.known = func(w Token) bool { return !w.Quoted && (t.has(w.Text) || nextHopWords.has(w.Text)) }
		c.head = func(w Token) bool { return isNetwork(w.Text) }
		r := &kernelRoute{at: c.words[0], what: t.name}
		mark := len(d.findings)
		for c.more() {
			if w := c.words[0]; !w.Quoted && isNetwork(w.Text) {
				d.routeDestination(r, c.take())
			} else {
				statement(d, t, r, c)
			}
		}
		d.hopBlock(r, c)
		if r.destination.missing() && !d.wrong(mark) {
			d.errorf(r.at, "%s: a route without a destination", t.name)
		}
		r.ok = !d.wrong(mark)
		*to = append(*to, r)
	})
}

// routeDestination reads where a route leads to.
func (d *decoder) routeDestination(r *kernelRoute, t Token) {
	if r.destination.given {
		d.errorf(t, "%s %s: the destination is %s already; each route takes a line of its own", r.what, t.Text, r.destination.at.Text)
		return
	}
	r.at = t
	if slices.Contains(anywhere, t.Text) {
		r.destination.set(netip.Prefix{}, t, true)
		return
	}
	p, ok := d.subnet(t, r.what)
	if ok && p.Masked() != p {
		// The kernel refuses such an IPv4 route.
		d.suggestf(t, p.Masked().String(), "%s %s: bits behind the prefix length are set", r.what, t.Text)
		ok = false
	}
	r.destination.set(p, t, ok)
}

// inlineHop decodes a next hop and the options behind it that are its own.
func (d *decoder) inlineHop(r *kernelRoute, c *cursor) {
	h := &nextHop{at: c.keyword}
	r.hops = append(r.hops, h)
	for c.more() && !c.words[0].Quoted && nextHopWords.has(c.words[0].Text) {
		statement(d, nextHopWords, h, c)
	}
}

// hopBlock decodes next hops in braces behind the route.
func (d *decoder) hopBlock(r *kernelRoute, c *cursor) {
	if c.block == nil {
		return
	}
	lines := c.block.Lines
	c.block = nil
	isHop := func(w string) bool { return w == "nexthop" }
	entries(d, nextHopWords, lines, isHop, func(c *cursor) *nextHop {
		h := &nextHop{at: c.keyword}
		if !isHop(c.keyword.Text) { // most likely only the word is missing, and what follows is right
			d.errorf(c.keyword, "unexpected %q in the braces of a route: want nexthop", c.keyword.Text)
			if nextHopWords.has(c.keyword.Text) {
				c.words = append([]Token{c.keyword}, c.words...)
			}
		}
		r.hops = append(r.hops, h)
		return h
	})
}

// gateway returns the address of a router. A word for its family may stand before it.
func (d *decoder) gateway(c *cursor) (netip.Addr, Token, bool) {
	family := ""
	if c.more() && !c.words[0].Quoted && (c.words[0].Text == "inet" || c.words[0].Text == "inet6") {
		family = c.take().Text
	}
	a, t, ok := d.address(c, false)
	if ok && family != "" && a.Is6() != (family == "inet6") {
		d.errorf(t, "via %s %s: is %s", family, a, familyName(a.Is6()))
		ok = false
	}
	return a, t, ok
}

// routeOrder warns of the words that say which of two equal routes comes first: keepalived's default is prepend.
func (d *decoder) routeOrder(c *cursor) (bool, Token, bool) {
	d.warnf(c.keyword, "%s is ignored: a metric tells the order of routes to one destination", c.keyword.Text)
	return true, c.keyword, true
}

func (d *decoder) routeProtocol(c *cursor) (uint32, Token, bool) {
	return d.named(c, routeProtocols, 1, 255, "1 to 255 or a name like static")
}

func (d *decoder) mtu(c *cursor) (mtu, Token, bool) {
	locked := c.more() && c.words[0].Text == "lock"
	if locked {
		c.take()
	}
	n, t, ok := d.uint32(c, minMTU, maxMTU)
	return mtu{n, locked}, t, ok
}
