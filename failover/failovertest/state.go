package failovertest

import (
	"slices"
	"time"

	"failoverd/bgp"
	"failoverd/vrrp"
)

// state is what an observer knows of a router, from the events that the core tells.
type state struct {
	key    vrrp.Key
	word   string
	active vrrp.Instant // when it became Active, or stopped being it
	heard  vrrp.Instant // when an advertisement of at least its priority arrived last; -1: never
	down   time.Duration
	last   bool         // a service that is the last resort
	rising bool         // it was a standby before it became Active, and has not told that its addresses are in
	serves vrrp.Instant // until when it may serve without being Active, in an orderly handover; 0: it may not
	// orderly: it has left its role in order, so that what it holds stays for a while after its routes are withdrawn.
	orderly bool
	leaving vrrp.Instant // since when
	ever    bool         // it was Active in this life

	// was: it was Active before or during the batch that is looked at; left: it has stopped being it; farewell: it has said
	// so; gained: it has become it.
	was, left, farewell, gained bool
	// resumes is until when it may go on with the role of another life of the agent; 0: it may not.
	resumes vrrp.Instant
	had     uint8 // the priority that it had when that one died; 0: there is none
}

// state returns what is known of a router.
func (a *agent) state(k vrrp.Key) *state {
	for _, s := range a.states {
		if s.key.VRID == k.VRID && s.key.Family == k.Family && s.key.Interface == k.Interface {
			return s
		}
	}
	s := &state{key: k, word: "INIT", heard: -1, active: -1}
	a.states = append(a.states, s)
	return s
}

// withdrawal says since when a speaker has not been to announce a route.
type withdrawal struct {
	speaker string
	route   bgp.Route
	since   vrrp.Instant
}

// withdraw notes what a speaker is not to announce any more, each route by itself: that a prefix is taken back says nothing
// about the route that had been replaced before, to which the speaker may still owe an answer.
func (a *agent) withdraw(speaker string, before, now []bgp.Route) {
	a.withdrawn = slices.DeleteFunc(a.withdrawn, func(w withdrawal) bool {
		return w.speaker == speaker && announces(now, w.route)
	})
	for _, r := range before {
		if !announces(now, r) {
			a.withdrawn = slices.DeleteFunc(a.withdrawn, func(w withdrawal) bool { return w.speaker == speaker && equal(w.route, r) })
			a.withdrawn = append(a.withdrawn, withdrawal{speaker, r, a.world.now})
		}
	}
}

func announces(routes []bgp.Route, r bgp.Route) bool {
	return slices.ContainsFunc(routes, func(x bgp.Route) bool { return equal(x, r) })
}
