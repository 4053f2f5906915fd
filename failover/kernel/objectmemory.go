package kernel

import (
	"time"

	"golang.org/x/sys/unix"

	"failoverd/failover"
)

// How long an object that was not written waits for the next attempt: longer and longer, unless something changes in
// the kernel that may have been the reason.
const (
	firstObjectRetry = time.Second
	maxObjectRetry   = 30 * time.Second
	// objectRetryGap is between two attempts in any case.
	objectRetryGap = 100 * time.Millisecond
)

// objectMemory is what is remembered about a route or a rule from pass to pass.
type objectMemory struct {
	wanted bool
	// leftover: found at the start, and not wanted since.
	leftover bool
	// own: our entry was there when last looked.
	own bool
	// touched: somebody else has changed something with this key since.
	touched bool
	// restoring: somebody else removed ours, and it is not back yet.
	restoring bool
	losses    flap

	// failure says why the last write failed; tries counts them, tried is when the last one was and retry when the next.
	failure      string
	tries        int
	tried, retry time.Time
}

// waits reports whether the next attempt is not due yet.
func (m *objectMemory) waits(now time.Time) bool { return m.failure != "" && now.Before(m.retry) }

func (m *objectMemory) fail(now time.Time, why string) {
	m.failure, m.tried = why, now
	m.retry = now.Add(min(firstObjectRetry<<min(m.tries, 10), maxObjectRetry))
	m.tries++
}

func (m *objectMemory) succeed() { m.failure, m.tries, m.retry = "", 0, time.Time{} }

// hurry brings the next attempt forward: what was in the way may be gone.
func (m *objectMemory) hurry() {
	if soonest := m.tried.Add(objectRetryGap); m.failure != "" && soonest.Before(m.retry) {
		m.retry, m.tries = soonest, 0
	}
}

// again makes an attempt of this pass not count: another write may have been the one that was missing.
func (m *objectMemory) again() {
	if m.failure != "" {
		m.retry, m.tries = time.Time{}, max(m.tries-1, 0)
	}
}

// note takes down whether ours is there, and whether that it has gone is somebody's doing.
func (m *objectMemory) note(own, somebody bool, now time.Time) {
	if m.own && !own && somebody && m.wanted {
		m.losses.lost(now)
		m.restoring = true
	}
	m.own, m.touched = own, false
}

// routeMemory is what is remembered about a route.
type routeMemory struct {
	objectMemory
	key  failover.RouteKey
	want failover.KernelRoute
	// target was written last, and seen is what the kernel told of it; nil: nothing, or it is gone.
	target, seen *routeEntry
}

// ours reports whether an entry with the key of m is one that we may modify and delete: it has our number, or it is
// what we have written with another one.
func (m *routeMemory) ours(e *routeEntry) bool { return e.proto == Protocol || e.is(m.seen) }

// find returns our entry among those with the key of m; -1: there is none.
func (m *routeMemory) find(entries []routeEntry) int {
	for i := range entries {
		if m.ours(&entries[i]) {
			return i
		}
	}
	return -1
}

// served reports whether our entry e is as it is to be, also where the kernel shows it in another way than it was
// written.
func (m *routeMemory) served(e, target *routeEntry) bool {
	if m.target != nil && m.target.equal(target) && e.is(m.seen) && e.source == m.seen.source {
		return true
	}
	return e.proto == target.proto && e.serves(target)
}

// part returns what of the entry e is ours: over IPv6 somebody else may have appended next hops to it.
func (m *routeMemory) part(e *routeEntry) (ours routeEntry, whole bool) {
	if m.seen == nil || !e.is(m.seen) {
		return *e, true
	}
	return *m.seen, len(e.hops) == len(m.seen.hops)
}

// gatewayed reports whether the route may need another one to reach its gateway.
func (m *routeMemory) gatewayed() bool {
	return m.want.Gateway.IsValid() || len(m.want.NextHops) > 0
}

// ruleMemory is what is remembered about a rule.
type ruleMemory struct {
	objectMemory
	rule failover.KernelRule // in the form of ruleTarget
	// names are the forms in which it is wanted.
	names []failover.KernelRule
	// added: we have added it; before Linux 4.17 that is the only sign that it is ours.
	added bool
}

// find returns the RTPROT_* number of our rule among those of all that are the same.
func (m *ruleMemory) find(protos []uint8) (proto uint8, own bool) {
	for _, p := range protos {
		if p == Protocol || m.added && p == unix.RTPROT_UNSPEC {
			return p, true
		}
	}
	return 0, false
}
