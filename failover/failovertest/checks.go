package failovertest

import (
	"math/rand/v2"
	"slices"
	"time"

	"failoverd/failover"
	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// The extra "checks": three health checks, of which two have to be all right for the first router to run, one of them with
// a weight beside, and an interface that is tracked.

// checkNames are the health checks of a host.
var checkNames = [...]string{"c1", "c2", "c3"}

const (
	checkWeight = -30 // of the first check
	sideWeight  = -15 // of sideLink
	sideLink    = "eth1"
	// lookWithin is when a check has its first result.
	lookWithin = 200 * time.Millisecond
)

func checkedRouter(*Profile, variant) string {
	return lines("  track check two\n  track check %s weight %d\n  track interface %s weight %d\n", checkNames[0], checkWeight, sideLink, sideWeight)
}

func checkGroup(_ *Profile, v variant) string {
	return lines("check_group two at_least %d check c1 check c2 check c3\n", needed(v.stricter))
}

// needed is how many checks have to be all right.
func needed(stricter bool) int {
	if stricter {
		return len(checkNames)
	}
	return 2
}

// sensors are the health checks of a host.
type sensors struct {
	failing [len(checkNames)]int // how many faults make it fail
	blind   [len(checkNames)]int // how many of them keep it from looking
	side    int                  // how many faults take sideLink down
}

// evidence is what an agent has been told by its checks.
type evidence struct {
	known, ok       [len(checkNames)]bool
	sideKnown, side bool
	changed         vrrp.Instant
}

func (h *Host) addSideLink() {
	h.Kernel.links = append(h.Kernel.links, &kernelLink{name: sideLink, index: 3, up: true})
}

// recover ends all faults of the checks.
func (h *Host) recover() {
	h.sensors = sensors{}
	h.Kernel.setSide(true)
	for i := range checkNames {
		h.looked(i)
	}
}

// check returns the result of a check.
func (h *Host) check(i int) failover.TrackerReport {
	rep := failover.TrackerReport{Tracker: failover.Tracker{Kind: failover.TrackCheck, Name: checkNames[i]}, OK: h.sensors.failing[i] == 0}
	if !rep.OK {
		rep.Unknown, rep.Reason = h.sensors.blind[i] > 0, "timed out"
	}
	return rep
}

// looked hands the agent a result.
func (h *Host) looked(i int) {
	if a := h.agent; a != nil {
		a.result(failover.TrackerReported{Report: h.check(i)})
	}
}

// beginChecks has the checks of a new agent look for the first time.
func (a *agent) beginChecks() {
	if !a.world.has("checks") {
		return
	}
	for i := range checkNames {
		a.world.After(a.world.upTo(lookWithin), func() {
			if a.host.agent == a {
				a.host.looked(i)
			}
		})
	}
}

// observeChecks tells an agent at once what the checks say.
func (a *agent) observeChecks(now vrrp.Instant) {
	if !a.world.has("checks") {
		return
	}
	for i := range checkNames {
		a.step(now, failover.TrackerReported{Report: a.host.check(i)})
	}
}

// learns notes what the core is told; deaf: it is not told.
func (a *agent) learns(in failover.Input) (deaf bool) {
	e := &a.evidence
	before := *e
	switch in := in.(type) {
	case failover.TrackerReported:
		i := slices.Index(checkNames[:], in.Report.Tracker.Name)
		if i < 0 {
			return false
		}
		deaf = e.known[i] && a.world.mutation == DeafToChecks
		e.known[i], e.ok[i] = true, in.Report.OK
	case failover.RPKIReported:
		a.hearsCache(&in.Report)
		return a.world.mutation == DeafToRPKI
	case failover.Reconfigured:
		if in.Config.Speaker(rpkiSpeaker) == nil {
			a.cache, a.before = cacheWord{}, cacheWord{}
		}
	case failover.InterfaceChanged:
		if in.Interface.Name == sideLink {
			e.sideKnown, e.side = true, in.Interface.Up
		}
	}
	if *e != before {
		e.changed = a.world.now
		a.world.checker.touch(a.host)
	}
	return deaf
}

// complete reports whether there is a result of everything.
func (e *evidence) complete() bool { return e.sideKnown && !slices.Contains(e.known[:], false) }

// up returns how many checks are all right.
func (e *evidence) up() (n int) {
	for _, ok := range e.ok {
		if ok {
			n++
		}
	}
	return n
}

// fit reports whether the checks of a host let its first router run, as they are and as its agent knows them, and whether a
// router has its macvlan interface.
func (c *checker) fit(h *Host, k vrrp.Key) bool {
	if !c.carried(h, k) {
		return false
	}
	if !c.w.has("checks") || h.agent == nil || k.VRID != firstVRID {
		return true
	}
	up := 0
	for i := range checkNames {
		if h.sensors.failing[i] == 0 {
			up++
		}
	}
	need := needed(c.stricter(h.agent))
	return min(up, h.agent.evidence.up()) >= need
}

// firstVRID is that of the router which depends on the checks.
const firstVRID = 51

func (c *checker) stricter(a *agent) bool {
	return a.core.Config().CheckGroups[0].AtLeast > needed(false)
}

// rank returns the priority that a router has: that of the configuration, and what its agent's checks add.
func (c *checker) rank(a *agent, r *failover.RouterConfig) uint8 {
	p := int(r.VRRP.Priority)
	if !c.w.has("checks") || r.VRRP.Key.VRID != firstVRID || p == wire.PriorityOwner {
		return r.VRRP.Priority
	}
	e := &a.evidence
	if !e.ok[0] {
		p += checkWeight
	}
	if !e.side {
		p += sideWeight
	}
	return uint8(max(p, 1))
}

// tracked: a router does not run while too few of its checks are all right (TRACK).
func (c *checker) tracked(a *agent) {
	if !c.w.has("checks") || !a.evidence.complete() || a.stopAt != vrrp.Never {
		return
	}
	for _, st := range a.states {
		if st.key.VRID == firstVRID && (st.word == "MASTER" || st.word == "BACKUP") && a.evidence.up() < needed(c.stricter(a)) {
			c.fail("TRACK", "%s is %s for %s although %d checks are all right and %d are needed", a.host.Name, st.word, st.key, a.evidence.up(), needed(c.stricter(a)))
		}
	}
}

// weighed: an advertisement has the priority that the results make (PRIORITY).
func (c *checker) weighed(a *agent, k vrrp.Key, p *wire.Packet) {
	r := router(a.core.Config(), k)
	if !c.w.has("checks") || r == nil || p.Priority == wire.PriorityRelease {
		return
	}
	c.resumedWith(a, a.state(k), p.Priority)
	if !a.evidence.complete() || max(a.evidence.changed, a.adopted[len(a.adopted)-1]) >= c.w.now {
		return
	}
	if want := c.rank(a, r); p.Priority != want {
		c.fail("PRIORITY", "%s advertises priority %d for %s, and its checks make it %d", a.host.Name, p.Priority, k, want)
	}
}

// checkFails makes one of the checks fail for a while, or two of them: one time out of four because they cannot look.
func (s *scenario) checkFails(h *Host, f *Fault, r *rand.Rand) {
	if !s.has("checks") {
		return
	}
	c := s.w.checker
	fails, blind := r.Perm(len(checkNames))[:Choose(r, 1, 2)], r.IntN(4) == 0
	set := func(by int) {
		for _, i := range fails {
			h.sensors.failing[i] += by
			if blind {
				h.sensors.blind[i] += by
			}
			s.w.log(h, "%d faults make %s fail", h.sensors.failing[i], checkNames[i])
			c.touch(h)
			h.looked(i)
		}
	}
	fit := c.fit(h, c.keys[0])
	lost := fit && h.idle() && h.agent.evidence.complete() && !slices.ContainsFunc(fails, func(i int) bool { return h.sensors.failing[i] > 0 }) &&
		h.agent.evidence.up()-len(fails) < needed(c.stricter(h.agent))
	if lost {
		c.expectOf(h, true, func(k vrrp.Key) bool { return k.VRID == firstVRID }, 2*resultDelay+loopDelay)
	} else {
		c.disturb()
	}
	set(1)
	s.later(f.For, func() {
		c.disturb()
		set(-1)
	})
}

// sideLinkDown takes the tracked interface down for a while.
func (s *scenario) sideLinkDown(h *Host, f *Fault, _ *rand.Rand) {
	if !s.has("checks") {
		return
	}
	set := func(by int) {
		s.w.checker.disturb()
		h.sensors.side += by
		h.Kernel.setSide(h.sensors.side == 0)
	}
	set(1)
	s.later(f.For, func() { set(-1) })
}

// anotherRule is a reload that changes how many checks have to be all right.
func (s *scenario) anotherRule(h *Host, _ *Fault, _ *rand.Rand) {
	if !s.has("checks") {
		return
	}
	s.w.checker.disturb()
	h.Config = s.config(h.index, variant{stricter: true})
	h.reload()
}

// setSide changes the state of sideLink.
func (k *Kernel) setSide(up bool) {
	l := k.link(sideLink)
	if l.up == up {
		return
	}
	k.host.world.checker.touch(k.host)
	l.up = up
	k.host.world.log(k.host, "kernel: %s up %v", sideLink, up)
	k.changed(l)
}
