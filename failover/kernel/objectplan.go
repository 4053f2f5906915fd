package kernel

import (
	"fmt"
	"slices"
	"sort"
	"time"

	"failoverd/failover"
)

// objectOpKind is a kind of write.
type objectOpKind uint8

const (
	objectAdd objectOpKind = iota
	objectReplace
	objectDelete
)

// String returns the word of iproute2.
func (k objectOpKind) String() string { return [...]string{"add", "replace", "delete"}[k] }

// objectOp is one write: of a route, or else of a rule.
type objectOp struct {
	kind  objectOpKind
	entry routeEntry
	rule  ruleEntry

	route *routeMemory // nil: a rule
	of    *ruleMemory  // nil: a route
}

func (o *objectOp) memory() *objectMemory {
	if o.route != nil {
		return &o.route.objectMemory
	}
	return &o.of.objectMemory
}

// noun returns what o is about.
func (o *objectOp) noun() string {
	if o.route != nil {
		return "route"
	}
	return "rule"
}

// describe returns the object in the words of iproute2.
func (o *objectOp) describe(links *table) string {
	if o.route != nil {
		return o.entry.describe(links)
	}
	return describeRule(&o.rule.KernelRule)
}

// objectWish is what is wanted, with what is remembered about each object.
type objectWish struct {
	// routes and rules are wanted, in the order in which they are to be added.
	routes []*routeMemory
	rules  []*ruleMemory
	// knownRoutes and knownRules are all that this process may touch: what a predecessor left, and what was wanted at
	// some time and may still be there.
	knownRoutes map[failover.RouteKey]*routeMemory
	knownRules  map[failover.KernelRule]*ruleMemory
}

func newObjectWish() objectWish {
	return objectWish{
		knownRoutes: map[failover.RouteKey]*routeMemory{}, knownRules: map[failover.KernelRule]*ruleMemory{},
	}
}

// verdict says how a wanted object stands.
type verdict uint8

const (
	isThere    verdict = iota
	isMissing          // it can be added
	isChanged          // our entry can be replaced by it
	isInTheWay         // our entry must go first
	isBlocked          // nothing can be done now
)

// planObjects returns the writes that turn have into what is wanted at now, in order: routes before the rules that
// lead to them, everything that adds before everything that deletes, rules before the routes they lead to.
func planObjects(have *objectTable, want *objectWish, now time.Time) (ops []objectOp) {
	for _, m := range want.routes {
		entries := have.routes[m.key]
		target, own, v, _ := judgeRoute(have, m, now)
		switch v {
		case isInTheWay:
			part, _ := m.part(&entries[own])
			ops = append(ops, objectOp{kind: objectDelete, entry: part, route: m})
			ops = append(ops, objectOp{kind: objectAdd, entry: target, route: m})
		case isMissing:
			ops = append(ops, objectOp{kind: objectAdd, entry: target, route: m})
		case isChanged:
			ops = append(ops, objectOp{kind: objectReplace, entry: target, route: m})
		case isThere, isBlocked:
		}
	}
	for _, m := range want.rules {
		if v, _ := judgeRule(have, m, now); v == isMissing {
			ops = append(ops, objectOp{kind: objectAdd, rule: ruleEntry{m.rule, Protocol}, of: m})
		}
	}
	ops = planRuleDeletions(ops, have, want, now)
	return planRouteDeletions(ops, have, want, now)
}

// judgeRoute says how a wanted route stands: what its entry is to be, which one is ours (-1: none), and for isBlocked
// why.
func judgeRoute(have *objectTable, m *routeMemory, now time.Time) (target routeEntry, own int, v verdict, why string) {
	entries := have.routes[m.key]
	own = m.find(entries)
	target, problem := routeTarget(&m.want, have.links)
	if own >= 0 && m.served(&entries[own], &target) {
		return target, own, isThere, ""
	}
	if own < 0 && slices.ContainsFunc(entries, func(e routeEntry) bool { return e.serves(&target) }) {
		return target, own, isThere, ""
	}
	switch {
	case own < 0 && len(entries) > 0:
		why = "somebody else has a route with the same key: " + entries[0].describe(have.links)
	case problem != "":
		why = problem
	case m.losses.held(now):
		why = heldBack(&m.objectMemory)
	case m.waits(now):
		why = m.failure
	case own < 0:
		return target, own, isMissing, ""
	case replaceable(entries, own, m):
		return target, own, isChanged, ""
	default:
		return target, own, isInTheWay, ""
	}
	return target, own, isBlocked, why
}

// replaceable reports whether the kernel would replace the entry that is ours, and nothing else. It replaces the first
// one that has the key, whoever has added it.
func replaceable(entries []routeEntry, own int, m *routeMemory) bool {
	if entries[own].is6() {
		_, whole := m.part(&entries[own])
		return whole && len(entries) == 1
	}
	return own == 0
}

// judgeRule says how a wanted rule stands, and for isBlocked why.
func judgeRule(have *objectTable, m *ruleMemory, now time.Time) (v verdict, why string) {
	switch {
	case len(have.rules[m.rule]) > 0:
		return isThere, ""
	case m.losses.held(now):
		return isBlocked, heldBack(&m.objectMemory)
	case m.waits(now):
		return isBlocked, m.failure
	}
	return isMissing, ""
}

func heldBack(m *objectMemory) string {
	return fmt.Sprintf("removed by somebody else %d times, next attempt %v after the last time",
		m.losses.count, m.losses.delay)
}

// planRuleDeletions appends the removal of every rule of ours that is not wanted, the last one first.
func planRuleDeletions(ops []objectOp, have *objectTable, want *objectWish, now time.Time) []objectOp {
	first := len(ops)
	for rule, m := range want.knownRules {
		if m.wanted || m.waits(now) {
			continue
		}
		if proto, own := m.find(have.rules[rule]); own {
			ops = append(ops, objectOp{kind: objectDelete, rule: ruleEntry{rule, proto}, of: m})
		}
	}
	added := ops[first:]
	sort.Slice(added, func(i, j int) bool { return compareRules(added[j].of.rule, added[i].of.rule) < 0 })
	return ops
}

// planRouteDeletions appends the removal of every route of ours that is not wanted, those with a gateway first.
func planRouteDeletions(ops []objectOp, have *objectTable, want *objectWish, now time.Time) []objectOp {
	first := len(ops)
	for key, m := range want.knownRoutes {
		if m.wanted || m.waits(now) {
			continue
		}
		for i := range have.routes[key] {
			if e := &have.routes[key][i]; m.ours(e) {
				part, _ := m.part(e)
				ops = append(ops, objectOp{kind: objectDelete, entry: part, route: m})
			}
		}
	}
	added := ops[first:]
	sort.SliceStable(added, func(i, j int) bool {
		a, b := &added[i], &added[j]
		if a.route.gatewayed() != b.route.gatewayed() {
			return a.route.gatewayed()
		}
		return compareRouteKeys(&a.entry.key, &b.entry.key) < 0
	})
	return ops
}
