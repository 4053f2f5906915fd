package regiontest

import (
	"fmt"
	"slices"
	"time"

	"failoverd/vrrp"
)

// wallClock returns what a wall clock shows that is off by so much.
func wallClock(now vrrp.Instant, off time.Duration) time.Time {
	return time.Unix(1_700_000_000, int64(now)).Add(off)
}

// expectRecovery: when nothing but the loss of the mainland happens, the other site's router has the route in time (L3).
func (r *rules) expectRecovery(c Course, f Fault) {
	w := r.w
	lost := f.Target == "M" && (f.Kind == "power" || f.Kind == "uplink")
	if !lost || slices.ContainsFunc(c.Faults, func(o Fault) bool { return o != f && o.noticed() }) {
		return
	}
	at, by := w.Now(), w.Now().Add(w.recovery())
	if f.At+f.For < time.Duration(by) {
		return
	}
	r.expected = append(r.expected, expectation{rule: "L3", by: by, why: "the other site has not taken over", so: func() bool {
		if !w.upstreams[island].holds() || !w.k.serves() {
			return false
		}
		r.recovered = w.Now().Sub(at)
		return true
	}})
}

// askAgain is the least time between two rounds of heartbeats.
const askAgain = 100 * time.Millisecond

// expectSuccession: when nothing but the death of the Active router's agent happens, the other node of its site takes the
// role over as soon as the supervisor has released it, and it has asked whether it may (L2).
func (r *rules) expectSuccession(c Course, f Fault) {
	w := r.w
	if f.Kind != "kill" || f.Target != "m1" || len(c.Faults) > 1 || w.m2.agent == nil || w.m2.agent.view.word != "BACKUP" {
		return
	}
	skew := (256 - backupPriority) * interval / 256
	by := w.Now().Add(skew + skew*drift/1e6 + askAgain + 2*lanDelay + 2*wanDelay + 8*loopDelay)
	r.expected = append(r.expected, expectation{rule: "L2", by: by, why: "m2 has not taken over from m1, whose agent was killed", so: func() bool {
		return w.m2.agent != nil && w.m2.agent.view.word == "MASTER"
	}})
}

// quiet is how long everything must have been right for a verdict.
const quiet = 5 * time.Second

// verdict: after a time without faults exactly one node has the role, the address and the route (L4, L5), and has had them for
// a while. It returns the rule that is not kept yet, and why; empty: all is well.
func (r *rules) verdict() (rule, why string) {
	w := r.w
	active, rule, why := r.roles()
	if rule != "" {
		return rule, why
	}
	if r.changed > w.Now().Add(-quiet) {
		return "L4", "a role has changed long after the last fault"
	}
	for _, n := range w.nodes[:3] {
		if n.serves() != (n == active) {
			return "END", fmt.Sprintf("%s has the address %v, and %s is Active", n.name, n.serves(), active.name)
		}
		if n.speaker.learned != (n == active) {
			return "END", fmt.Sprintf("the router of %s has the route %v, and %s is Active", n.name, n.speaker.learned, active.name)
		}
	}
	if w.preempt && active != w.m1 {
		return "L4", fmt.Sprintf("%s is Active, and m1 should be", active.name)
	}
	return "", ""
}

// roles returns the node that is Active, if all others are Backups.
func (r *rules) roles() (active *node, rule, why string) {
	for _, n := range r.w.nodes[:3] {
		switch {
		case n.agent == nil:
			return nil, "END", n.name + " does not run"
		case n.agent.view.word == "MASTER" && active != nil:
			return nil, "L4", fmt.Sprintf("%s and %s are Active", active.name, n.name)
		case n.agent.view.word == "MASTER":
			active = n
		case n.agent.view.word != "BACKUP":
			return nil, "L4", fmt.Sprintf("%s is %s", n.name, n.agent.view.word)
		}
	}
	if active == nil {
		return nil, "L5", "nobody is Active"
	}
	return active, "", ""
}

// told compares what the agents have told with what they say of themselves.
func (r *rules) told() {
	for _, n := range r.w.nodes[:3] {
		if n.agent == nil {
			continue
		}
		wall := func(i vrrp.Instant) time.Time { return wallClock(i, n.wall) }
		if is := n.agent.core.Snapshot(n.local(), wall).Routers[0].State; is != n.agent.view.word {
			r.fail("END", "%s is %s, and has told that it is %s", n.name, is, n.agent.view.word)
		}
	}
}
