package kernel

import (
	"maps"
	"time"

	"failoverd/failover"
)

// answer reports how things stand if the newest DesiredObjects has not been answered yet, or if it is news. What a
// newer one is waiting to replace is not worth reporting.
func (r *objectReconciler) answer() {
	if r.box.waiting() {
		return
	}
	rep := r.current(time.Now())
	if r.answered && rep.Swept == 0 && len(rep.RoutesRestored) == 0 && len(rep.RulesRestored) == 0 &&
		maps.Equal(rep.RoutesFailed, r.last.RoutesFailed) && maps.Equal(rep.RulesFailed, r.last.RulesFailed) {
		return
	}
	r.answered, r.last, r.swept = true, rep, 0
	r.report(rep)
}

// current builds a report.
func (r *objectReconciler) current(now time.Time) failover.ObjectReport {
	rep := failover.ObjectReport{
		Generation: r.generation, Swept: r.swept,
		RoutesFailed: map[failover.RouteKey]string{}, RulesFailed: map[failover.KernelRule]string{},
	}
	for _, m := range r.want.routes {
		_, _, v, why := judgeRoute(r.have, m, now)
		switch {
		case v != isThere:
			rep.RoutesFailed[m.key] = r.words(&m.objectMemory, why)
		case m.restoring:
			m.restoring = false
			rep.RoutesRestored = append(rep.RoutesRestored, m.key)
		}
	}
	for _, m := range r.want.rules {
		v, why := judgeRule(r.have, m, now)
		for _, name := range m.names {
			switch {
			case v != isThere:
				rep.RulesFailed[name] = r.words(&m.objectMemory, why)
			case m.restoring:
				rep.RulesRestored = append(rep.RulesRestored, name)
			}
		}
		m.restoring = m.restoring && v != isThere
	}
	return rep
}

// words says why an object is not as wanted.
func (r *objectReconciler) words(m *objectMemory, why string) string {
	switch {
	case r.listErr != nil:
		return "kernel cannot be read: " + r.listErr.Error()
	case why != "":
		return why
	case m.failure != "":
		return m.failure
	}
	return "not written yet"
}

// schedule decides when the next pass is due if nothing happens before.
func (r *objectReconciler) schedule(now time.Time) {
	r.due = r.listed.Add(r.resync)
	sooner := func(t time.Time) {
		if t.Before(r.due) {
			r.due = t
		}
	}
	switch {
	case r.listErr != nil:
		sooner(r.listed.Add(retryAfter))
	case r.stale:
		sooner(r.listed.Add(listingGap))
	}
	memory := func(m *objectMemory) {
		if m.wanted && m.losses.held(now) {
			sooner(m.losses.allowed)
		}
		if m.failure != "" {
			sooner(m.retry)
		}
	}
	for _, m := range r.want.knownRoutes {
		memory(&m.objectMemory)
	}
	for _, m := range r.want.knownRules {
		memory(&m.objectMemory)
	}
}

// hurry brings the next attempts of everything that failed forward.
func (r *objectReconciler) hurry(now time.Time) {
	r.hurrying = false
	for _, m := range r.want.knownRoutes {
		m.hurry()
	}
	for _, m := range r.want.knownRules {
		m.hurry()
	}
	r.schedule(now)
}

// again lets everything that failed in this pass be tried once more.
func (r *objectReconciler) again() {
	for _, m := range r.want.knownRoutes {
		m.again()
	}
	for _, m := range r.want.knownRules {
		m.again()
	}
}
