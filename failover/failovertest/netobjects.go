package failovertest

import (
	"math/rand/v2"
	"slices"
	"time"

	"failoverd/failover"
	"failoverd/vrrp"
)

// The extra "objects": routes and policy rules in the kernel, of each router, of both, and static ones.

func routedRouter(_ *Profile, v variant) string {
	if v.unrouted {
		return ""
	}
	return "  route 10.51.0.0/24 via 192.0.2.254 dev eth0 table 100\n" + sharedRule
}

func secondRouted(*Profile, variant) string {
	return "  route 10.52.0.0/24 via 192.0.2.253 dev eth0\n" + sharedRule
}

func staticObjects(*Profile, variant) string {
	return "static_route 10.50.0.0/24 via 192.0.2.254 dev eth0\nstatic_rule to 10.50.0.0/24 table 100 priority 90\n"
}

// sharedRule is there if either router is Active.
const sharedRule = "  rule from 198.51.100.10/32 table 100 priority 100\n"

// objectName is what an object is called here.
func routeName(r *failover.KernelRoute) string { return "route " + r.Key().String() }
func ruleName(r *failover.KernelRule) string   { return "rule " + r.String() }

// objectNames returns the names of routes and rules.
func objectNames(routes []failover.KernelRoute, rules []failover.KernelRule) (names []string) {
	for i := range routes {
		names = append(names, routeName(&routes[i]))
	}
	for i := range rules {
		names = append(names, ruleName(&rules[i]))
	}
	return names
}

// netObjects is what a kernel has of routes and rules that agents added.
type netObjects struct {
	names  []string
	failed map[string]bool // cannot be added
}

func (h *Host) addObjects() { h.Kernel.objects.failed = make(map[string]bool) }

// objectsWork ends all faults of the objects.
func (h *Host) objectsWork() {
	clear(h.Kernel.objects.failed)
	h.kickObjects()
}

func (h *Host) kickObjects() {
	if h.agent != nil && h.agent.objects.asked {
		h.agent.objects.kick()
	}
}

// flushRoutes is what becomes of the routes over an interface that is down or gone.
func (k *Kernel) flushRoutes() {
	for _, name := range slices.Clone(k.objects.names) {
		if name[:5] == "route" {
			k.removeObject(name, byOthers)
		}
	}
}

func (k *Kernel) removeObject(name string, by remover) {
	if i := slices.Index(k.objects.names, name); i >= 0 {
		k.host.world.log(k.host, "kernel: remove %s by %s", name, by)
		k.objects.names = slices.Delete(k.objects.names, i, i+1)
		k.host.world.checker.objectGone(k.host, name, by)
		k.host.kickObjects()
	}
}

// objectWorker is the worker of an agent that makes the kernel have its routes and rules, and reports what became of them.
type objectWorker struct {
	agent   *agent
	asked   bool // anything was asked for yet
	want    failover.DesiredObjects
	had     []string // of the last report
	sweeps  bool     // leftovers of a dead predecessor are to be looked for
	swept   bool     // they have been
	goesOn  bool     // there are roles of another life
	planned bool
	dropped map[string]vrrp.Instant // when what is not wanted any more ceased to be
}

// sweepAfter is how long an agent that takes over leaves objects of the life before that it has not asked for.
const sweepAfter = 2 * time.Second

// beginObjects has leftovers removed that nobody has asked for: after the first batch, or, if there are roles to go on with,
// some time later.
func (a *agent) beginObjects(goesOn bool) {
	if !a.world.has("objects") {
		return
	}
	a.objects.sweeps, a.objects.goesOn = !goesOn, goesOn
	if goesOn {
		a.world.After(sweepAfter, func() {
			if a.host.agent == a && !a.frozen {
				a.objects.sweeps = true
				a.objects.sweep()
			}
		})
	}
}

// sweep removes leftovers, if it is time for it and nothing was asked for yet.
func (o *objectWorker) sweep() {
	if o.sweeps && !o.asked {
		o.set(failover.DesiredObjects{})
	}
}

// set takes a newer desired state.
func (o *objectWorker) set(d failover.DesiredObjects) {
	names := objectNames(d.Routes, d.Rules)
	if o.dropped == nil {
		o.dropped = make(map[string]vrrp.Instant)
	}
	for _, old := range objectNames(o.want.Routes, o.want.Rules) {
		if !slices.Contains(names, old) {
			o.dropped[old] = o.agent.world.now
		}
	}
	for _, name := range names {
		delete(o.dropped, name)
	}
	o.want, o.asked = d, true
	o.kick()
}

// kick has the worker look again soon.
func (o *objectWorker) kick() {
	if o.planned {
		return
	}
	o.planned = true
	a := o.agent
	a.world.After(a.world.upTo(workerDelay)+a.world.upTo(a.host.mood.kernel), func() {
		o.planned = false
		switch {
		case a.host.agent != a: // dead
		case a.frozen:
			o.planned, a.thaw = true, append(a.thaw, func() { o.planned = false; o.kick() })
		default:
			o.work()
		}
	})
}

func (o *objectWorker) work() {
	a, k := o.agent, o.agent.host.Kernel
	rep := failover.ObjectReport{
		Generation: o.want.Generation, RoutesFailed: make(map[failover.RouteKey]string), RulesFailed: make(map[failover.KernelRule]string),
	}
	names := objectNames(o.want.Routes, o.want.Rules)
	for _, name := range slices.Clone(k.objects.names) {
		if !slices.Contains(names, name) {
			k.removeObject(name, byOwner)
			if !o.swept {
				rep.Swept++
			}
		}
	}
	o.swept = true
	o.had = slices.DeleteFunc(o.had, func(name string) bool { return !slices.Contains(names, name) })
	for i := range o.want.Routes {
		r := &o.want.Routes[i]
		switch restored, why := o.put(routeName(r), k.up(r.Interface)); {
		case why != "":
			rep.RoutesFailed[r.Key()] = why
		case restored:
			rep.RoutesRestored = append(rep.RoutesRestored, r.Key())
		}
	}
	for i := range o.want.Rules {
		r := &o.want.Rules[i]
		switch restored, why := o.put(ruleName(r), true); {
		case why != "":
			rep.RulesFailed[*r] = why
		case restored:
			rep.RulesRestored = append(rep.RulesRestored, *r)
		}
	}
	a.result(failover.ObjectsReported{Report: rep})
}

// put makes one object be there. It reports whether it was put back, or why it is not there.
func (o *objectWorker) put(name string, up bool) (restored bool, why string) {
	k := o.agent.host.Kernel
	switch {
	case slices.Contains(k.objects.names, name):
		return false, ""
	case !up:
		return false, "network is unreachable"
	case k.objects.failed[name]:
		return false, "no space left"
	}
	k.host.world.log(k.host, "kernel: add %s", name)
	k.objects.names = append(k.objects.names, name)
	restored = slices.Contains(o.had, name)
	if !restored {
		o.had = append(o.had, name)
	}
	return restored, ""
}

// forwards reports whether a router that has left its role in order, or serves on for another life, may still forward what
// comes: until its successor serves, its routes are withdrawn, and the neighbors have followed.
func (c *checker) forwards(a *agent, r *failover.RouterConfig) bool {
	st := a.state(r.VRRP.Key)
	return r.Announces(failover.RoleActive) && (c.leaves(a, st) ||
		st.serves != 0 && c.w.now <= st.serves.Add(failover.ReleaseBound+failover.DefaultWithdrawGrace+c.slack(a.host)))
}

// leaves reports whether a router leaves its role in order, or has just done so.
func (c *checker) leaves(a *agent, st *state) bool {
	return st.orderly && c.w.now.Sub(max(st.leaving, a.since)) <= c.linger()+failover.ReleaseBound+failover.DefaultWithdrawGrace+c.slack(a.host)
}

// rightful: routes and rules are asked for only on behalf of a router that may attract what they attract, and static ones
// (OBJECTS).
func (c *checker) rightful(a *agent) {
	if !a.objects.asked || len(a.objects.want.Routes)+len(a.objects.want.Rules) == 0 {
		return
	}
	right := c.rightfulObjects(a, func(r *failover.RouterConfig) bool {
		st := a.state(r.VRRP.Key)
		// Who resumes has what the life before had, until the kernel says what that was.
		if st.word == "MASTER" && st.resumes > 0 && c.w.now.Sub(a.since) <= c.slack(a.host) {
			c.graced++
			return true
		}
		return c.inRole(a, r, failover.RoleActive) || c.serving(a, r.VRRP.Key)
	})
	for _, cfg := range a.configs { // also one that a reload has removed or made another router of
		for i := range cfg.Routers {
			if r := &cfg.Routers[i]; c.forwards(a, r) {
				right = append(right, objectNames(r.Routes, r.Rules)...)
			}
		}
	}
	for _, name := range objectNames(a.objects.want.Routes, a.objects.want.Rules) {
		if !slices.Contains(right, name) {
			c.fail("OBJECTS", "%s wants %s by right of no router", a.host.Name, name)
		}
	}
}

// rightfulObjects returns the names of the static objects, and of those of routers with a right, without duplicates.
func (c *checker) rightfulObjects(a *agent, hasRight func(*failover.RouterConfig) bool) (names []string) {
	cfg := a.core.Config()
	names = objectNames(cfg.StaticRoutes, cfg.StaticRules)
	for i := range cfg.Routers {
		if r := &cfg.Routers[i]; len(r.Routes)+len(r.Rules) > 0 && hasRight(r) {
			names = append(names, objectNames(r.Routes, r.Rules)...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// attracted: when an owner removes an address, the routes and rules that only its router has are out, unless nobody answered
// (ORDER).
func (c *checker) attracted(a *agent, r *failover.RouterConfig, k failover.AddressKey) {
	o, there := &a.objects, a.host.Kernel.objects.names
	for _, name := range objectNames(r.Routes, r.Rules) {
		since, dropped := o.dropped[name]
		if !dropped && o.goesOn && !o.swept {
			since, dropped = a.since, !slices.Contains(objectNames(o.want.Routes, o.want.Rules), name)
		}
		if dropped && slices.Contains(there, name) && !c.shared(a, r, name) && c.w.now.Sub(since) < failover.ReleaseBound {
			c.fail("ORDER", "%s removes %s while %s is still there", a.host.Name, k, name)
		}
	}
}

// leftBehind is attracted for an agent that has just started, and does not go on with a role although it might have.
func (c *checker) leftBehind(a *agent, k failover.AddressKey) {
	cfg := a.core.Config()
	for i := range cfg.Routers {
		if st := a.state(cfg.Routers[i].VRRP.Key); hasAddress(&cfg.Routers[i], k) && st.word != "MASTER" && st.resumes > 0 {
			c.attracted(a, &cfg.Routers[i], k)
		}
	}
}

// shared reports whether another router has an object, too.
func (c *checker) shared(a *agent, r *failover.RouterConfig, name string) bool {
	cfg := a.core.Config()
	for i := range cfg.Routers {
		if o := &cfg.Routers[i]; o.Name != r.Name && slices.Contains(objectNames(o.Routes, o.Rules), name) {
			return true
		}
	}
	return false
}

// objectGone: an agent that goes on where another one stood takes nothing away that it then puts back (R3).
func (c *checker) objectGone(h *Host, name string, by remover) {
	a := h.agent
	if a == nil || by != byOwner || a.objects.swept || !a.objects.goesOn || a.stopAt != vrrp.Never {
		return
	}
	now := a.core.Snapshot(a.local(), wall)
	right := c.rightfulObjects(a, func(r *failover.RouterConfig) bool {
		i := slices.IndexFunc(now.Routers, func(x failover.RouterStatus) bool { return x.Name == r.Name })
		return now.Routers[i].State == "MASTER" && c.wellFounded(a, r) || now.Routers[i].State == "INIT" && a.state(r.VRRP.Key).resumes > c.w.now
	})
	if slices.Contains(right, name) {
		c.fail("R3", "%s goes on, and removes %s first", h.Name, name)
	}
}

// installed: a kernel has exactly the objects that the roles entitle to (END).
func (c *checker) installed(a *agent) {
	if !c.w.has("objects") {
		return
	}
	want := c.rightfulObjects(a, func(r *failover.RouterConfig) bool { return a.state(r.VRRP.Key).word == "MASTER" })
	have := slices.Sorted(slices.Values(a.host.Kernel.objects.names))
	if !slices.Equal(want, have) {
		c.fail("END", "%s has %v, and should have %v", a.host.Name, have, want)
	}
}

func (s *scenario) objectDeleted(h *Host, _ *Fault, r *rand.Rand) {
	if names := h.Kernel.objects.names; len(names) > 0 {
		h.Kernel.removeObject(Choose(r, names...), byOthers)
	}
}

func (s *scenario) objectFails(h *Host, f *Fault, r *rand.Rand) {
	if !s.has("objects") {
		return
	}
	cfg := s.w.config(h.Config)
	name := Choose(r, objectNames(cfg.Routers[0].Routes, cfg.StaticRules)...)
	h.Kernel.objects.failed[name] = true
	s.w.log(h, "kernel: adding %s fails", name)
	h.Kernel.removeObject(name, byOthers)
	s.later(f.For, h.objectsWork)
}

// withoutRoutes is a reload that takes the routes away from the first router.
func (s *scenario) withoutRoutes(h *Host, _ *Fault, _ *rand.Rand) {
	if !s.has("objects") {
		return
	}
	s.w.checker.disturb()
	h.Config = s.config(h.index, variant{unrouted: true})
	h.reload()
}
