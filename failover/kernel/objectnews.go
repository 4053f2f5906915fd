package kernel

import (
	"time"
)

// absorb merges the kernel's notifications. What this process did is entered; what anybody else did makes a listing
// necessary if it is about something that matters, because the kernel tells only half of it: it drops IPv4 routes
// without a word when an interface goes down or an address goes away.
func (r *objectReconciler) absorb() {
	changes, lost := r.feed.take()
	if lost {
		r.stale, r.overrun, r.hurrying = true, true, true
	}
	for i := range changes {
		c := &changes[i]
		switch c.kind {
		case objectLink:
			r.linkChanged(c)
		case objectAddress:
			r.hurrying = true
			_, about := r.interfaces[c.entry.index]
			r.stale = r.stale || c.gone && (about || r.sourceOf(c))
		case objectRoute:
			r.routeChanged(c)
		case objectRule:
			r.ruleChanged(c)
		}
	}
}

func (r *objectReconciler) linkChanged(c *objectChange) {
	apply := change{kind: linkChanged, link: c.link}
	if c.gone {
		apply.kind = linkGone
	}
	if !r.have.links.apply(&apply, time.Time{}) {
		return
	}
	r.shifted, r.hurrying = true, true
	_, about := r.interfaces[c.link.index]
	r.stale = r.stale || about
}

// sourceOf reports whether a route of ours has the address as its source.
func (r *objectReconciler) sourceOf(c *objectChange) bool {
	for _, m := range r.want.routes {
		if m.want.Source == c.entry.prefix.Addr() {
			return true
		}
	}
	return false
}

func (r *objectReconciler) routeChanged(c *objectChange) {
	m := r.want.knownRoutes[c.route.key]
	switch {
	case c.port == r.host.port():
		r.stale = r.stale || !r.have.wroteRoute(c)
		if m != nil && !c.gone {
			seen := c.route
			m.seen = &seen
		}
	case m == nil:
		r.hurrying = true
	default:
		r.stale, r.hurrying = true, true
		m.touched = m.touched || c.port != 0 && (c.gone || c.replaced)
	}
}

func (r *objectReconciler) ruleChanged(c *objectChange) {
	m := r.want.knownRules[c.rule.KernelRule]
	switch {
	case c.port == r.host.port() && c.gone:
		r.stale = r.stale || !r.have.dropRule(&c.rule)
	case c.port == r.host.port():
		r.have.putRule(&c.rule)
	case m == nil:
		r.otherRules = true
	default:
		r.stale = true
		m.touched = m.touched || c.gone
	}
}

// rememberInterfaces notes which interfaces our entries refer to.
func (r *objectReconciler) rememberInterfaces() {
	r.interfaces = map[int]struct{}{}
	for _, m := range r.want.routes {
		entries := r.have.routes[m.key]
		for i := range entries {
			for _, h := range entries[i].hops {
				r.interfaces[h.index] = struct{}{}
			}
		}
	}
}
