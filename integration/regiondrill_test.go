package integration

import (
	"strings"
	"testing"
	"time"

	"failoverd/failover"
)

// drill builds a region and waits until m1 serves in it.
func drill(t *testing.T, c regionConfig) *region {
	t.Helper()
	r := newRegion(t, c)
	r.start()
	return r
}

// waitServing waits until the client is served by a machine, and returns when it was first.
func (r *region) waitServing(m *machine, since time.Time, d time.Duration) time.Time {
	r.t.Helper()
	var at time.Time
	waitFor(r.t, d, "the client to be served by "+m.name, func() bool {
		var ok bool
		at, _, ok = r.probe.FirstAnswer(since, m.name)
		return ok
	})
	return at
}

// one asserts that two regions served or announced together for no longer than a role takes that is handed over between
// live routers: an advertisement on its way, and a machine that is busy when it arrives.
func (r *region) one(from time.Time) {
	r.t.Helper()
	to := time.Now()
	if a, b := r.bothAddresses(from, to), r.bothRoutes(from, to); a > slack || b > slack {
		r.t.Errorf("both regions held the address for %v, both upstreams the route for %v", a, b)
	}
	for _, err := range r.internet.problems() {
		r.t.Error(err)
	}
}

// becameMaster returns how often a machine's agent has taken the role since it was started.
func (m *machine) becameMaster() uint64 {
	if s := m.state(); s.snapshot != nil {
		return s.snapshot.Routers[0].Counters.BecameMaster
	}
	return 0
}

// restart kills a machine's agent and starts another one.
func (r *region) restart(m *machine) {
	r.t.Helper()
	must(r.t, m.agent.proc.Kill())
	m.agent = startAgent(r.t, r.lab, m.Node, r.conf(m))
}

// TestPrimaryReturnsDuringTakeover: power returns at several moments around the one at which Hong Kong takes over. There is
// at most one move each way, and never two regions that serve.
func TestPrimaryReturnsDuringTakeover(t *testing.T) {
	t.Parallel()
	c := quickRegion(true)
	c.overlap = 0 // strict, so that an overlap would be a mistake
	r := drill(t, c)
	for _, before := range []time.Duration{3 * time.Second, 500 * time.Millisecond, -500 * time.Millisecond} {
		start, was := time.Now(), r.hk.becameMaster()
		r.make(cutSite)
		time.Sleep(time.Until(start.Add(c.takeover() - before)))
		r.mend(cutSite)
		mended := time.Now()
		r.waitServes(r.m1, 40*time.Second)
		r.one(start)
		moves := r.hk.becameMaster() - was
		if moves > 1 {
			t.Errorf("power back %v before the takeover: hk took the role %d times", before, moves)
		}
		t.Logf("power back %v before the takeover: hk took the role %d times, m1 serves %.1f s after the power, longest outage %v",
			before, moves, time.Since(mended).Seconds(), r.probe.Longest(start, time.Now()))
	}
}

// TestBothRegionsReboot: everything loses power and returns at once, the witness too. The mainland serves; Hong Kong does
// not take the role for a moment because it has heard nobody yet.
func TestBothRegionsReboot(t *testing.T) {
	t.Parallel()
	r := drill(t, quickRegion(true))
	all := power("power of everything", func(r *region) []*machine { return r.machines() })
	r.make(all)
	must(t, r.witness.proc.Kill())
	time.Sleep(r.config.hold + 2*time.Second) // the upstreams have given up by then
	back := time.Now()
	r.witness = startAgent(t, r.lab, r.sg, r.witnessConf())
	r.mend(all)
	r.waitServes(r.m1, 40*time.Second)
	t.Logf("m1 serves %.1f s after the reboot", r.waitServing(r.m1, back, time.Second).Sub(back).Seconds())
	if n := r.hk.becameMaster(); n != 0 {
		t.Errorf("hk took the role %d times", n)
	}
	r.one(back)
}

// TestWatcherRestartsWhileThePrimaryIsDown: a watcher that has the role and is killed takes it again when its successor
// finds that every witness knows of no newer term; it does not wait for takeover_after once more.
func TestWatcherRestartsWhileThePrimaryIsDown(t *testing.T) {
	t.Parallel()
	r := drill(t, quickRegion(true))
	c := &r.config
	start := time.Now()
	r.make(cutSite)
	r.waitServing(r.hk, start, c.observation()+10*slack)
	r.checkPrinted(r.hk, failover.SitePower, r.probe.Longest(start, time.Now()).Duration())
	time.Sleep(time.Second)
	killed := time.Now()
	r.restart(r.hk)
	// The address's lease outlasts the agent, but its route does not. The session has to be up before the route can be.
	at := r.waitServing(r.hk, killed.Add(time.Second), c.takeover()+10*time.Second)
	waitFor(t, 10*time.Second, "hk to be MASTER again", func() bool { return r.masters() == "hk" })
	t.Logf("served again %.1f s after the kill; longest outage %v", at.Sub(killed).Seconds(), r.probe.Longest(killed, time.Now()))
	// Start, Active_Down_Interval, two questions to the witness, a session that takes a connect_retry or two.
	if took, most := r.probe.Longest(killed, time.Now()).Duration(), c.activeDown(100)+2*c.heartbeat+voteTime+3*time.Second; took > most {
		t.Errorf("not served for %v, want at most %v", took, most)
	}
	r.mend(cutSite)
	r.waitServes(r.m1, 40*time.Second)
	if a := r.bothAddresses(start, killed); a > 0 {
		t.Errorf("both regions held the address for %v", a)
	}
}

// TestFlappingPrimary: the mainland loses its power again and again, as soon as it serves. With the damping of a
// configuration that says nothing about it the fourth takeover does not happen, until a person says so.
func TestFlappingPrimary(t *testing.T) {
	t.Parallel()
	c := quickRegion(true)
	c.damping = "900 2500 750"
	r := drill(t, c)
	start := time.Now()
	for n := 1; n <= 3; n++ {
		cut := time.Now()
		r.make(cutSite)
		r.waitServing(r.hk, cut, c.observation()+10*slack)
		r.mend(cutSite)
		r.waitServesEventually(r.m1)
	}
	cut := time.Now()
	r.make(cutSite)
	time.Sleep(c.observation())
	s := r.hk.state()
	if s.role != "BACKUP" || s.snapshot.Routers[0].Counters.BecameMaster != 3 {
		t.Fatalf("want hk in BACKUP after three takeovers:\n%s", r.describe())
	}
	w := s.snapshot.Watches[0]
	if !w.Latched || w.Penalty < 2500 || !strings.Contains(w.Held, "damp") {
		t.Errorf("latched %t, penalty %d, held %q; want a reason that names damping", w.Latched, w.Penalty, w.Held)
	}
	if out, code := r.hk.agent.cli("undrain"); code != 0 {
		t.Fatalf("undrain: exit %d: %s", code, out)
	}
	r.waitServing(r.hk, cut, 5*time.Second)
	r.mend(cutSite)
	r.waitServesEventually(r.m1)
	t.Logf("four failures, three takeovers without and one with a person, in %.0f s", time.Since(start).Seconds())
	if !nightly() {
		return
	}
	r.flapByTheClock()
}

// flapByTheClock switches the power every 10 s for three minutes, whatever comes of it.
func (r *region) flapByTheClock() {
	before := r.hk.becameMaster()
	for range 9 {
		r.make(cutSite)
		time.Sleep(10 * time.Second)
		r.mend(cutSite)
		time.Sleep(10 * time.Second)
	}
	if n := r.hk.becameMaster() - before; n > 3 {
		r.t.Errorf("hk took the role %d times within three minutes, want at most 3", n)
	}
	r.waitServesEventually(r.m1)
}

// waitServesEventually waits for a machine to serve where a latch may still be set elsewhere.
func (r *region) waitServesEventually(m *machine) {
	r.t.Helper()
	waitFor(r.t, time.Minute, m.name+" to serve", func() bool { _, ok := r.serves(m); return ok })
}
