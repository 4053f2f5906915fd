package kernel

import (
	"log/slog"
	"slices"
	"time"

	"failoverd/failover"
)

const (
	// maxObjectRounds bounds how often a pass compares and writes. Two are normal: one that writes, one that agrees;
	// there are more while one write makes room for another.
	maxObjectRounds = 8
	// maxListings bounds how often a pass reads everything, which others may make necessary.
	maxListings = 3
	// listingGap is between two listings that nobody but others asks for.
	listingGap = 20 * time.Millisecond
)

// objectReconciler makes the kernel's routes and rules what the newest DesiredObjects says. It belongs to the goroutine
// of Run.
type objectReconciler struct {
	log    *slog.Logger
	host   objectHost
	feed   objectFeed
	box    *objectBox
	report func(failover.ObjectReport)
	resync time.Duration

	have *objectTable
	want objectWish
	// interfaces are the indexes that our entries refer to.
	interfaces map[int]struct{}

	generation uint64
	asked      bool // anything was asked for yet
	answered   bool // last answers generation
	last       failover.ObjectReport
	swept      int // since the last report

	searched bool // leftovers of a dead predecessor were looked for

	stale   bool // have must be read anew
	overrun bool // so that nobody told who did what
	// otherRules: somebody changed rules that did not matter.
	otherRules bool
	shifted    bool // an interface came, went, or went up or down
	hurrying   bool // something changed that may be what a failed write needs
	listed     time.Time
	listErr    error
	due        time.Time // of the next pass
}

func newObjectReconciler(o *Objects, feed objectFeed, report func(failover.ObjectReport)) *objectReconciler {
	return &objectReconciler{
		log: o.log, host: o.host, feed: feed, box: &o.box, report: report, resync: o.resync,
		have: newObjectTable(), want: newObjectWish(), stale: true,
	}
}

// step looks at what came in and makes a pass if anything asks for one. It returns when it wants to be called next.
func (r *objectReconciler) step(now time.Time) time.Duration {
	r.absorb()
	fresh := r.adopt()
	if !r.asked {
		return r.resync
	}
	if now.Sub(r.listed) >= r.resync {
		r.stale = true
	}
	if r.hurrying {
		r.hurry(now)
	}
	listable := r.stale && now.Sub(r.listed) >= listingGap && r.listErr == nil
	if fresh || listable || r.shifted && !r.stale || !now.Before(r.due) {
		r.pass()
		r.answer()
	}
	r.schedule(time.Now())
	return max(time.Until(r.due), 0)
}

// adopt takes the newest DesiredObjects out of the box, if there is one.
func (r *objectReconciler) adopt() bool {
	d, ok := r.box.take()
	if !ok {
		return false
	}
	r.generation, r.asked, r.answered = d.Generation, true, false
	for _, m := range r.want.knownRoutes {
		m.wanted = false
		m.succeed()
	}
	for _, m := range r.want.knownRules {
		m.wanted, m.names = false, m.names[:0]
		m.succeed()
	}
	r.want.routes, r.want.rules = r.want.routes[:0], r.want.rules[:0]
	for i := range d.Routes {
		r.wantRoute(&d.Routes[i])
	}
	// A route without a gateway may be what another one needs to reach its own.
	slices.SortStableFunc(r.want.routes, func(a, b *routeMemory) int { return rank(a) - rank(b) })
	for i := range d.Rules {
		r.wantRule(&d.Rules[i])
	}
	return true
}

// rank is 0 for routes that need no other.
func rank(m *routeMemory) int {
	if m.gatewayed() {
		return 1
	}
	return 0
}

func (r *objectReconciler) wantRoute(route *failover.KernelRoute) {
	key := route.Key()
	m := r.want.knownRoutes[key]
	if m == nil {
		// Whether somebody else has this key is not known. The kernel says so when the route is added, which is sooner
		// than a listing of a million routes.
		m = &routeMemory{key: key}
		r.want.knownRoutes[key] = m
	}
	if m.wanted {
		return // two routers want the same one
	}
	m.wanted, m.leftover, m.want = true, false, *route
	r.want.routes = append(r.want.routes, m)
}

func (r *objectReconciler) wantRule(rule *failover.KernelRule) {
	target := ruleTarget(*rule)
	m := r.want.knownRules[target]
	if m == nil {
		m = &ruleMemory{rule: target}
		r.want.knownRules[target] = m
		r.stale = r.stale || r.otherRules
	}
	m.names = append(m.names, *rule)
	if m.wanted {
		return
	}
	m.wanted, m.leftover = true, false
	r.want.rules = append(r.want.rules, m)
}

// pass compares and writes until nothing is left to do. A newer DesiredObjects ends it, for the next one to undo what
// is no longer wanted.
func (r *objectReconciler) pass() {
	r.shifted = false
	listings := 0
	for range maxObjectRounds {
		if r.stale {
			if listings++; listings > maxListings || !r.list() {
				break
			}
		}
		now := time.Now()
		r.notice(now)
		ops := planObjects(r.have, &r.want, now)
		if len(ops) == 0 {
			break
		}
		progress := r.write(ops)
		r.absorb()
		if r.box.waiting() || !progress && !r.stale {
			break
		}
		if progress {
			r.again()
		}
	}
	if r.stale {
		return
	}
	r.notice(time.Now())
	r.forget()
	r.rememberInterfaces()
}

// list reads everything that matters from the kernel.
func (r *objectReconciler) list() bool {
	links, err := r.host.links()
	var routes []routeEntry
	var rules []ruleEntry
	if err == nil && (!r.searched || len(r.want.knownRoutes) > 0) {
		routes, err = r.host.routes(r.keep)
	}
	if err == nil {
		rules, err = r.host.rules()
	}
	if err != nil && r.listErr == nil {
		r.log.Warn("routes and rules cannot be read", "err", err)
	}
	r.listed, r.listErr = time.Now(), err
	if err != nil {
		return false
	}
	r.have, r.stale, r.otherRules = readObjects(links, routes, rules), false, false
	r.search()
	// Whose doing it is that something has gone is told by notifications that came before the listing was complete.
	r.absorb()
	return true
}

// keep says which routes of a listing matter.
func (r *objectReconciler) keep(key failover.RouteKey, proto uint8) bool {
	return r.want.knownRoutes[key] != nil || !r.searched && proto == Protocol
}

// search finds, once, what a dead predecessor left: whatever carries our number before we have written anything.
func (r *objectReconciler) search() {
	if r.searched {
		return
	}
	r.searched = true
	for key, entries := range r.have.routes {
		m := &routeMemory{key: key}
		if r.want.knownRoutes[key] == nil && m.find(entries) >= 0 {
			m.leftover = true
			r.want.knownRoutes[key] = m
		}
	}
	for rule, protos := range r.have.rules {
		m := &ruleMemory{rule: rule}
		if _, own := m.find(protos); own && r.want.knownRules[rule] == nil {
			m.leftover = true
			r.want.knownRules[rule] = m
		}
	}
}

// notice looks which of ours are there, and finds those that somebody else has removed.
func (r *objectReconciler) notice(now time.Time) {
	for key, m := range r.want.knownRoutes {
		entries := r.have.routes[key]
		// The kernel itself drops the routes of an interface that goes down.
		somebody := (m.touched || r.overrun) && (m.target == nil || m.target.usable(r.have.links))
		m.note(m.find(entries) >= 0, somebody, now)
		if m.seen != nil && !slices.ContainsFunc(entries, func(e routeEntry) bool { return e.is(m.seen) }) {
			m.target, m.seen = nil, nil
		}
	}
	for rule, m := range r.want.knownRules {
		_, own := m.find(r.have.rules[rule])
		m.note(own, m.touched || r.overrun, now)
		m.added = m.added && own
	}
	r.overrun = false
}

// forget drops the memory of what is neither wanted nor there any more.
func (r *objectReconciler) forget() {
	for key, m := range r.want.knownRoutes {
		if !m.wanted && !m.own {
			r.gone(&m.objectMemory)
			delete(r.want.knownRoutes, key)
			delete(r.have.routes, key)
		}
	}
	for rule, m := range r.want.knownRules {
		if !m.wanted && !m.own {
			r.gone(&m.objectMemory)
			delete(r.want.knownRules, rule)
		}
	}
}

func (r *objectReconciler) gone(m *objectMemory) {
	if m.leftover {
		r.swept++
	}
}
