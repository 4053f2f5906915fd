package integration

import (
	"net/netip"
	"testing"
	"time"

	"failoverd/failover"
)

// replace has another program take the place of an agent, and returns what that one says of itself. Nothing of it may be new.
func replace(t *testing.T, a *agent) *failover.Snapshot {
	t.Helper()
	before, after := replaceAny(t, a)
	for i := range after.Routers {
		was, is := &before.Routers[i], &after.Routers[i]
		if is.State != was.State || is.Why != was.Why || is.Since.Sub(was.Since).Abs() > time.Second || is.Counters.BecameMaster != was.Counters.BecameMaster || is.Epoch != was.Epoch {
			t.Errorf("%s: %s since %v (%s), term %d; was %s since %v (%s), term %d", a.node.Name(),
				is.State, is.Since, is.Why, is.Epoch, was.State, was.Since, was.Why, was.Epoch)
		}
	}
	return after
}

// replaceAny is replace for an agent whose time may come meanwhile: it returns what the two say of themselves.
func replaceAny(t *testing.T, a *agent) (before, after *failover.Snapshot) {
	t.Helper()
	before = a.status()
	if out, code := a.cli("upgrade", "--binary", binary); code != 0 {
		t.Fatalf("%s: upgrade: exit status %d:\n%s\n%s", a.node.Name(), code, out, logOf(t, a.proc))
	}
	after = a.status()
	if before == nil || after == nil || after.PID == before.PID {
		t.Fatalf("%s: after the upgrade: %+v", a.node.Name(), after)
	}
	return before, after
}

// stale is how many heartbeats a listener has heard that prove nothing.
func stale(s *failover.Snapshot) uint64 { return s.Listeners[0].Outcomes["stale"] }

// TestUpgradeBetweenRegions: every agent of two regions is replaced, the Active one, its backup, the watcher and the witness, and
// nobody notices. Then the mainland is isolated, and replaced agents on both sides are replaced once more while their clocks run:
// the mainland fences itself when it would have done without, and the watcher takes over when it would have.
func TestUpgradeBetweenRegions(t *testing.T) {
	t.Parallel()
	c := quickRegion(true)
	c.overlap, c.fence = 0, 4*time.Second
	r := drill(t, c)
	waitFor(t, 5*time.Second, "the client to be served for a while", func() bool {
		now := time.Now()
		return r.probe.Longest(now.Add(-300*time.Millisecond), now).Duration() == 0
	})
	start := time.Now()
	moves := r.hk.becameMaster() + r.m1.becameMaster() + r.m2.becameMaster()
	before := map[*agent]uint64{r.hk.agent: stale(r.hk.agent.status()), r.witness: stale(r.witness.status())}
	for _, a := range []*agent{r.witness, r.hk.agent, r.m2.agent, r.m1.agent} {
		replace(t, a)
	}
	waitFor(t, 10*time.Second, "the mainland to be acknowledged by everybody after its upgrade", func() bool {
		s := r.m1.agent.status()
		if s == nil || len(s.Sites) != 1 || s.Sites[0].Authority != "valid" {
			return false
		}
		for _, p := range s.Partners {
			if p.Outcomes["ok"] < 2 {
				return false
			}
		}
		return true
	})
	r.waitServes(r.m1, 10*time.Second)
	for a, n := range before {
		s := a.status()
		if l := &s.Listeners[0]; !l.Open || l.Error != "" || l.Outcomes["replay"] != 0 || stale(s) > n {
			t.Errorf("%s: the listener after the upgrades: %+v", a.node.Name(), l)
		}
	}
	if o := r.probe.Longest(start.Add(-50*time.Millisecond), time.Now()); o.Duration() != 0 {
		t.Errorf("an outage of %v", o)
	}
	if n := r.hk.becameMaster() + r.m1.becameMaster() + r.m2.becameMaster(); n != moves {
		t.Errorf("the role has moved %d times", n-moves)
	}
	spans := routeSpans(r.internet.watchM)
	if n := len(spans); n == 0 || spans[n-1].From.After(start) || !spans[n-1].To.IsZero() {
		t.Errorf("the upstream has lost the route: %v", spans)
	}
	r.upgradeWhileIsolated()
}

// upgradeWhileIsolated replaces agents after a cut, while their clocks run.
func (r *region) upgradeWhileIsolated() {
	t, c := r.t, &r.config
	t.Helper()
	r.make(cutBetween, cutWitnessM)
	cut := time.Now()
	time.Sleep(c.fence / 3)
	_, s := replaceAny(t, r.m1.agent)
	switch took := time.Since(cut); {
	case s.Sites[0].Authority == "valid" && s.Routers[0].State == "MASTER":
	case took < c.fence-c.heartbeat-time.Second: // nothing ends before
		t.Errorf("m1, %v after the cut: %s, %+v", took, s.Routers[0].State, s.Sites[0])
	default:
		t.Logf("m1 was replaced only %v after the cut, and had fenced itself by then", took)
	}
	waitFor(t, c.fence+slack, "m1 to fence itself", func() bool {
		has, err := r.m1.HasAddress(netip.MustParseAddr(regionVIP))
		return err == nil && !has
	})
	spans := r.m1.addressSpans()
	held := spans[len(spans)-1].To.Sub(cut)
	if held > c.fence+2*slack {
		t.Errorf("m1 has let go of the address %v after the cut, want %v at most", held, c.fence)
	}
	time.Sleep(time.Until(cut.Add(c.takeover() / 2)))
	replace(t, r.hk.agent)
	least, most := r.bounds(fenced)
	r.waitServing(r.hk, cut, c.takeover()+voteTime+10*slack)
	o := r.probe.Longest(cut, time.Now()).Duration()
	if o < least || o > most {
		t.Errorf("nobody has served for %v, want %v to %v", o, least, most)
	}
	if n := r.hk.becameMaster(); n != 1 {
		t.Errorf("hk took the role %d times", n)
	}
	r.one(cut)
	t.Logf("m1 let go of the address %.2f s after the cut; nobody served for %.2f s", held.Seconds(), o.Seconds())
}
