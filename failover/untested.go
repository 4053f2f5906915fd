package failover

import (
	"slices"

	"failoverd/vrrp"
)

// What nobody has looked at yet: a reload may add a check to a router that runs, or give one another name, and a life of the
// agent that goes on where another one stood has no results at first. Two rules hold for that:
//
//   - A router that serves does not lose by it. Until there is a result it keeps the priority that it had, as far as any result
//     could make it so, and a weight of 0 does not end its role.
//   - A router that does not serve never gains by it. A weight counts as whatever is worse, and with a weight of 0 the router
//     waits in INIT.
//
// The former are in untested. Who ceases to serve is one of the latter from then on.

// serves reports whether r has the role, is about to go on with it, or hands it over and still serves.
func (r *router) serves() bool {
	return r.fsm.State() == vrrp.Active || r.handover != nil || r.inherits != nil && r.inherits.resume
}

// notYetKnown returns what r tracks and nobody has looked at in this life. Interfaces are always looked at.
func (c *Core) notYetKnown(r *router) (list []Tracker) {
	for i := range r.cfg.Tracks {
		t := r.cfg.Tracks[i].Tracker
		if t.Kind != TrackInterface && (c.trackers[t] == nil || !c.trackers[t].known) {
			list = append(list, t)
		}
	}
	return list
}

// newlyTracked returns what r is to track and has not tracked before, and what is not known yet, if it serves.
func (c *Core) newlyTracked(r *router, old *RouterConfig) []Tracker {
	if !r.serves() {
		return nil
	}
	return slices.DeleteFunc(c.notYetKnown(r), func(name Tracker) bool {
		before := slices.ContainsFunc(old.Tracks, func(t Track) bool { return t.Tracker == name })
		return before && !slices.Contains(r.untested, name)
	})
}

// spared reports whether r does not suffer for what is not known of a tracked thing.
func (c *Core) spared(r *router, name Tracker) bool {
	return slices.Contains(r.untested, name) && !c.trackers[name].known
}

// noLongerServes has r looked at that has just ceased to serve, if it was spared something until then.
func (r *router) noLongerServes(now vrrp.Instant) {
	if (len(r.untested) > 0 || r.last != "") && !r.serves() {
		r.obstacle.until = now
	}
}

// spareNoMore makes what nobody has looked at count for who does not serve.
func (c *Core) spareNoMore(now vrrp.Instant, r *router, fx *Effects) {
	if len(r.untested) > 0 && !r.serves() {
		r.untested = nil
		c.weigh(now, r, "what it tracks has no result yet", fx)
	}
}

// span is what results that are open may add to a priority: from low, at most 0, to high, at least 0.
type span struct{ low, high int }

// with returns s and what a tracked thing may add besides.
func (s span) with(t *Track) span {
	switch {
	case t.Weight == 0:
	case t.Kind == TrackFile:
		s.low, s.high = s.low+fileFault, s.high+fileMost
	default:
		s.low, s.high = s.low+min(t.effect(true), t.effect(false)), s.high+max(t.effect(true), t.effect(false))
	}
	return s
}

// keep returns the priority that a router keeps which had one of before, if everything but what is open adds up to total.
func (s span) keep(total, before int) int {
	if s == (span{}) {
		return total
	}
	return min(max(before, total+s.low), total+s.high)
}
