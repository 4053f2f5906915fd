package kernel

import (
	"slices"

	"failoverd/failover"
)

// objectKind says what an objectChange is about.
type objectKind uint8

const (
	objectLink objectKind = iota
	objectAddress
	objectRoute
	objectRule
)

// objectChange is one notification of the kernel.
type objectChange struct {
	kind objectKind
	gone bool
	// replaced: NLM_F_REPLACE.
	replaced bool
	// port is the netlink port of whoever made the change; 0: the kernel itself.
	port  uint32
	link  link
	entry entry // of an address
	route routeEntry
	rule  ruleEntry
}

// objectTable is what matters of the kernel's links, routes and rules, as last heard of.
type objectTable struct {
	links *table
	// routes are those with a key that matters, in the kernel's order.
	routes map[failover.RouteKey][]routeEntry
	// rules are the RTPROT_* numbers of those that are the same otherwise.
	rules map[failover.KernelRule][]uint8
}

func newObjectTable() *objectTable {
	return &objectTable{
		links:  newTable(),
		routes: map[failover.RouteKey][]routeEntry{},
		rules:  map[failover.KernelRule][]uint8{},
	}
}

// readObjects returns the table of a full listing.
func readObjects(links []link, routes []routeEntry, rules []ruleEntry) *objectTable {
	t := newObjectTable()
	for _, l := range links {
		t.links.putLink(l)
	}
	for i := range routes {
		t.routes[routes[i].key] = append(t.routes[routes[i].key], routes[i])
	}
	for i := range rules {
		t.putRule(&rules[i])
	}
	return t
}

// wroteRoute enters a change of our own. It reports false when the table does not tell any more what the kernel has.
func (t *objectTable) wroteRoute(c *objectChange) bool {
	key := c.route.key
	switch {
	case c.gone:
		return t.dropRoute(&c.route)
	case len(t.routes[key]) == 0, c.replaced && len(t.routes[key]) == 1:
		// A new route is added only where there is no other with its key, and replaces the first one with it.
		t.routes[key] = []routeEntry{c.route}
		return true
	}
	return false
}

// dropRoute takes out a route, or over IPv6 some next hops of one: the kernel tells about each of them on its own.
func (t *objectTable) dropRoute(e *routeEntry) bool {
	entries := t.routes[e.key]
	for i := range entries {
		have := &entries[i]
		if have.kind != e.kind || !have.contains(e.hops) || !e.is6() && (have.proto != e.proto || have.source != e.source) {
			continue
		}
		left := slices.DeleteFunc(slices.Clone(have.hops), func(h hop) bool { return slices.Contains(e.hops, h) })
		if len(left) > 0 {
			// Which protocol and which metrics the rest has is known to the kernel only.
			return false
		}
		if entries = slices.Delete(entries, i, i+1); len(entries) == 0 {
			delete(t.routes, e.key)
		} else {
			t.routes[e.key] = entries
		}
		return true
	}
	return false
}

func (t *objectTable) putRule(e *ruleEntry) {
	t.rules[e.KernelRule] = append(t.rules[e.KernelRule], e.proto)
}

func (t *objectTable) dropRule(e *ruleEntry) bool {
	protos := t.rules[e.KernelRule]
	i := slices.Index(protos, e.proto)
	if i < 0 {
		return false
	}
	if protos = slices.Delete(protos, i, i+1); len(protos) == 0 {
		delete(t.rules, e.KernelRule)
	} else {
		t.rules[e.KernelRule] = protos
	}
	return true
}
