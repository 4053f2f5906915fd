package failover

import (
	"reflect"
	"slices"
)

// routerChange is what a reload does to one router: the decision that both the plan and the reload follow.
type routerChange struct {
	old, next *RouterConfig // nil: there is none
	effect    PlanEffect
	why       []string // it is restarted
	replaced  bool     // old ends, and next has an instance of its name
	joint     bool     // next is a member of a sync group
}

// keeps reports whether the running router goes on.
func (c *routerChange) keeps() bool { return c.effect == PlanNone || c.effect == PlanLive }

// compareRouters says what becomes of every router: first those of next, in its order, then those of old that it does
// not have. A router is the same one if it has the same key, whatever its name; one whose key has changed is followed
// by its name, to say that it is restarted. An anycast service, which has no key, is also the same one under another name if
// nothing else than that name is new about what it serves.
func compareRouters(old, next *Config) []routerChange {
	rest := make(map[*RouterConfig]bool, len(old.Routers))
	byKey, byName := make(map[identity]*RouterConfig, len(old.Routers)), make(map[string]*RouterConfig, len(old.Routers))
	for i := range old.Routers {
		o := &old.Routers[i]
		rest[o], byKey[o.identity()], byName[o.Name] = true, o, o
	}
	changes := make([]routerChange, len(next.Routers))
	for i := range next.Routers {
		ch := &changes[i]
		ch.next, ch.effect = &next.Routers[i], PlanAdded
		if o := byKey[ch.next.identity()]; o != nil {
			ch.compare(o, old.Multicast, next.Multicast)
			delete(rest, o)
		}
	}
	for i := range changes {
		if ch := &changes[i]; ch.old == nil && rest[byName[ch.next.Name]] {
			ch.compare(byName[ch.next.Name], old.Multicast, next.Multicast)
			delete(rest, ch.old)
		}
	}
	for i := range changes {
		if ch := &changes[i]; ch.old == nil {
			if o := renamedService(old, ch.next, rest); o != nil {
				ch.compare(o, old.Multicast, next.Multicast)
				delete(rest, o)
			}
		}
	}
	for i := range old.Routers {
		if o := &old.Routers[i]; rest[o] {
			changes = append(changes, routerChange{old: o, effect: PlanRemoved})
		}
	}
	placeRouters(changes, next)
	return changes
}

// placeRouters looks for the routers by their names in the new configuration.
func placeRouters(changes []routerChange, next *Config) {
	names, members := make(map[string]bool, len(next.Routers)), make(map[string]bool)
	for i := range next.Routers {
		names[next.Routers[i].Name] = true
	}
	for i := range next.Groups {
		for _, name := range next.Groups[i].Members {
			members[name] = true
		}
	}
	for i := range changes {
		ch := &changes[i]
		ch.replaced = ch.old != nil && names[ch.old.Name]
		ch.joint = ch.next != nil && members[ch.next.Name]
	}
}

// compare decides what becomes of the running router old. A multicast router goes with its socket, which is opened anew
// for another group.
func (c *routerChange) compare(old *RouterConfig, was, is MulticastGroups) {
	c.old, c.why = old, old.restart(c.next)
	if onInterface := func(id LinkID) bool { return id.Interface != "" }; was != is && slices.ContainsFunc(c.next.links(), onInterface) {
		c.why = append(c.why, "another multicast group: "+was.text()+" -> "+is.text())
	}
	switch {
	case len(c.why) > 0:
		c.effect = PlanRestarted
	case reflect.DeepEqual(old, c.next):
		c.effect = PlanNone
	default:
		c.effect = PlanLive
	}
}

// renamedService returns the only one of rest that serves what next does, which is new by its name; nil: there is none, or it is
// not clear which one it would be.
func renamedService(old *Config, next *RouterConfig, rest map[*RouterConfig]bool) (found *RouterConfig) {
	for i := range old.Routers {
		switch o := &old.Routers[i]; {
		case !rest[o] || !o.servesAs(next):
		case found != nil:
			return nil
		default:
			found = o
		}
	}
	return found
}

// servesAs reports whether two anycast services have the same addresses on the same interface, and announce the same prefixes in
// the same states through the same speakers.
func (c *RouterConfig) servesAs(o *RouterConfig) bool {
	return c.Anycast != nil && o.Anycast != nil && len(c.Addresses) > 0 && c.VRRP.Key.Interface == o.VRRP.Key.Interface &&
		slices.EqualFunc(c.Addresses, o.Addresses, func(a, b Address) bool { return a.Key() == b.Key() }) &&
		slices.EqualFunc(c.Announce, o.Announce, func(a, b Announcement) bool {
			return a.Speaker == b.Speaker && a.When == b.When && a.Route.Prefix == b.Route.Prefix
		})
}

// renames reports whether the router goes on under another name.
func (c *routerChange) renames() bool {
	return c.old != nil && c.next != nil && c.old.Name != c.next.Name
}
