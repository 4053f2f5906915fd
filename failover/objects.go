package failover

import (
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"

	"failoverd/vrrp"
)

// objects is the state of routes and rules: what was last asked for, on whose behalf, and what became of it.
type objects struct {
	desired DesiredObjects
	cfg     *Config // that desired was put together from
	static  bool    // whether it has the static ones
	// outdated: the kernel has more than desired, from another life, and has to be asked again.
	outdated bool
	// addresses: the addresses that were last asked for have the static ones.
	addresses bool
	// routeOwner and ruleOwner say for whom an object of desired is there; nil: it is static.
	routeOwner map[RouteKey]*router
	ruleOwner  map[KernelRule]*router

	generation uint64 // of the newest report
	routeErr   map[RouteKey]string
	ruleErr    map[KernelRule]string
	putBack    map[string]*limiter // on saying that an object had to be put back

	// withdrawing are routers that keep their addresses until the worker has answered that generation, without their
	// virtual routes; unasked: it has not been told to take these out yet.
	withdrawing map[*router]uint64

	heard   bool                    // of macvlan interfaces and the packet filter at all
	devices map[string]string       // why a macvlan interface is not as wanted
	lost    map[string]vrrp.Instant // when a macvlan interface disappeared last
	filter  string                  // why no_accept cannot be had
}

// entitled reports whether the routes and rules of r should be there: it is Active, or still serves, and its addresses are
// in, because a route attracts what only they can accept. One that goes on with the role of another life has them from
// there, and its addresses, too: they stay until the kernel says otherwise.
func (r *router) entitled() bool {
	if r.handover != nil || r.inherits != nil && r.inherits.resume {
		return true
	}
	return r.fsm.State() == vrrp.Active && (r.addressesIn || r.resumed || len(r.cfg.Addresses) == 0) ||
		r.releasing && r.release.forwards && r.programmed
}

// staticWanted reports whether what is there whatever the roles is to be there. In an orderly stop it goes once no
// router waits for the withdrawal of its routes any more: the sessions may run over it.
func (c *Core) staticWanted() bool {
	releasing := func(r *router) bool { return r.releasing || r.handover != nil }
	return !c.stopping || slices.ContainsFunc(c.routers, releasing) || slices.ContainsFunc(c.leaving, releasing)
}

const unasked = math.MaxUint64

// withdraw makes r, which has lost its role, wait for its virtual routes and rules to be out.
func (o *objects) withdraw(r *router) {
	if !r.programmed {
		return
	}
	if o.withdrawing == nil {
		o.withdrawing = make(map[*router]uint64)
	}
	o.withdrawing[r] = unasked
}

// pending reports whether virtual routes or rules of r, which has lost its role, may still be there.
func (o *objects) pending(r *router) bool {
	since, ok := o.withdrawing[r]
	if ok && o.generation >= since {
		delete(o.withdrawing, r)
		return false
	}
	return ok
}

// asked notes that what should be there now is without the objects of routers that have lost their roles. Who has nothing
// to wait for, because somebody else wants the same, lets go of its addresses at once.
func (c *Core) asked(now vrrp.Instant) {
	o := &c.objects
	if len(o.withdrawing) == 0 {
		return
	}
	// Who has the role again, or has waited for long enough.
	maps.DeleteFunc(o.withdrawing, func(r *router, _ uint64) bool { return !r.releasing })
	for _, routers := range [...][]*router{c.routers, c.leaving} {
		for _, r := range routers {
			if o.withdrawing[r] == unasked {
				o.withdrawing[r] = o.desired.Generation
				c.finishRelease(now, r)
			}
		}
	}
}

// flushObjects asks the kernel worker for another set of routes and rules if another one should be there.
func (c *Core) flushObjects(now vrrp.Instant, fx *Effects) {
	defer c.asked(now)
	o, static := &c.objects, c.staticWanted()
	another := o.cfg != c.cfg || o.static != static
	for _, routers := range [...][]*router{c.routers, c.leaving} {
		for _, r := range routers {
			if len(r.cfg.Routes)+len(r.cfg.Rules) == 0 {
				continue
			}
			if e := r.entitled(); e != r.programmed {
				another, r.programmed = true, e
			}
		}
	}
	if !another {
		return
	}
	o.cfg, o.static = c.cfg, static
	routes, rules := c.wantedObjects()
	if !o.outdated && reflect.DeepEqual(routes, o.desired.Routes) && slices.Equal(rules, o.desired.Rules) {
		return
	}
	o.outdated = false
	o.desired = DesiredObjects{Generation: o.desired.Generation + 1, Routes: routes, Rules: rules}
	o.forget()
	d := o.desired
	fx.Objects = &d
}

// wantedObjects returns the routes and rules that should be there now. Of two entries for one kernel object, a static
// one decides, and then the first in the configuration among those whose router is entitled.
func (c *Core) wantedObjects() (routes []KernelRoute, rules []KernelRule) {
	o := &c.objects
	o.routeOwner, o.ruleOwner = make(map[RouteKey]*router), make(map[KernelRule]*router)
	add := func(r *router, more []KernelRoute, others []KernelRule) {
		for i := range more {
			if _, taken := o.routeOwner[more[i].Key()]; !taken {
				o.routeOwner[more[i].Key()] = r
				routes = append(routes, more[i])
			}
		}
		for _, rule := range others {
			if _, taken := o.ruleOwner[rule.identity()]; !taken {
				o.ruleOwner[rule.identity()] = r
				rules = append(rules, rule)
			}
		}
	}
	if o.static {
		add(nil, c.cfg.StaticRoutes, c.cfg.StaticRules)
	}
	for _, routers := range [...][]*router{c.routers, c.leaving} {
		for _, r := range routers {
			if r.programmed && len(r.cfg.Routes)+len(r.cfg.Rules) > 0 {
				add(r, r.cfg.Routes, r.cfg.Rules)
			}
		}
	}
	return routes, rules
}

// identity is what makes r another rule to the kernel.
func (r KernelRule) identity() KernelRule {
	r.Untracked = false
	return r
}

// forget drops what is known of objects that are not wanted any more.
func (o *objects) forget() {
	maps.DeleteFunc(o.routeErr, func(k RouteKey, _ string) bool { _, wanted := o.routeOwner[k]; return !wanted })
	maps.DeleteFunc(o.ruleErr, func(k KernelRule, _ string) bool { _, wanted := o.ruleOwner[k]; return !wanted })
	wanted := make(map[string]bool, len(o.putBack))
	if len(o.putBack) > 0 {
		for k := range o.routeOwner {
			wanted[routeWord(k)] = true
		}
		for k := range o.ruleOwner {
			wanted[ruleWord(k)] = true
		}
	}
	maps.DeleteFunc(o.putBack, func(name string, _ *limiter) bool { return !wanted[name] })
}

func routeWord(k RouteKey) string { return "route " + k.String() }

func ruleWord(r KernelRule) string { return "rule " + r.String() }

// objectsReported takes note of what became of routes and rules. A report that is older than the last one says nothing
// any more.
func (c *Core) objectsReported(now vrrp.Instant, rep *ObjectReport, fx *Effects) {
	o := &c.objects
	if rep.Generation < o.generation {
		return
	}
	o.generation, c.dirty = rep.Generation, true
	if rep.Swept > 0 {
		fx.event(Event{Kind: EventSwept, At: now, Object: fmt.Sprintf("routes and rules: %d", rep.Swept)})
	}
	rules := make(map[KernelRule]string, len(rep.RulesFailed))
	for r, err := range rep.RulesFailed {
		rules[r.identity()] = err
	}
	tellFailures(now, o.routeErr, rep.RoutesFailed, routeWord, fx)
	tellFailures(now, o.ruleErr, rules, ruleWord, fx)
	o.routeErr, o.ruleErr = maps.Clone(rep.RoutesFailed), rules
	for _, k := range rep.RoutesRestored {
		o.restored(now, routeWord(k), fx)
	}
	for _, r := range rep.RulesRestored {
		o.restored(now, ruleWord(r.identity()), fx)
	}
}

// tellFailures tells of the objects that fail now, and did not before, or for another reason.
func tellFailures[K comparable](now vrrp.Instant, old, failed map[K]string, word func(K) string, fx *Effects) {
	var events []Event
	for k, err := range failed {
		if old[k] != err {
			events = append(events, Event{Kind: EventObjectFailed, At: now, Object: word(k), Reason: err})
		}
	}
	sortByObject(events)
	fx.Events = append(fx.Events, events...)
}

func (o *objects) restored(now vrrp.Instant, name string, fx *Effects) {
	l := o.putBack[name]
	if l == nil {
		l = new(limiter)
		if o.putBack == nil {
			o.putBack = make(map[string]*limiter)
		}
		o.putBack[name] = l
	}
	if l.allows(now) {
		fx.event(Event{Kind: EventObjectRestored, At: now, Object: name})
	}
}

// objectsGone reports whether an orderly stop has nothing to wait for on account of routes and rules: none is wanted,
// and the worker has answered that.
func (c *Core) objectsGone() bool {
	o := &c.objects
	return len(o.desired.Routes)+len(o.desired.Rules) == 0 && o.generation >= o.desired.Generation
}
