package lab_test

import (
	"net/netip"
	"testing"
	"time"

	"failoverd/integration/lab"
)

// routed is a client (a) and a service (b) on either side of a router.
type routed struct{ a, b, router *lab.Node }

func newRouted(t *testing.T, l *lab.Lab) routed {
	t.Helper()
	r := routed{must(l.Node("a"))(t), must(l.Node("b"))(t), must(l.Node("router"))(t)}
	check(t, l.Connect(r.a, "eth0", r.router, "left"))
	check(t, l.Connect(r.b, "eth0", r.router, "right"))
	check(t, r.a.AddAddress("eth0", "10.0.0.2/24"))
	check(t, r.b.AddAddress("eth0", "10.0.1.2/24"))
	check(t, r.router.AddAddress("left", "10.0.0.1/24"))
	check(t, r.router.AddAddress("right", "10.0.1.1/24"))
	check(t, r.router.Sysctl("ipv4/ip_forward", "1"))
	check(t, r.a.AddRoute(netip.MustParsePrefix("10.0.1.0/24"), netip.MustParseAddr("10.0.0.1")))
	check(t, r.b.AddRoute(netip.MustParsePrefix("10.0.0.0/24"), netip.MustParseAddr("10.0.1.1")))
	return r
}

func TestBlockIsOneWayAndEnds(t *testing.T) {
	l := lab.ForTest(t)
	r := newRouted(t, l)
	must(r.b.Respond())(t)
	probe := must(r.a.Probe(netip.MustParseAddr("10.0.1.2")))(t)
	there := lab.Flow{From: netip.MustParsePrefix("10.0.0.0/24"), To: netip.MustParsePrefix("10.0.1.0/24")}
	back := lab.Flow{From: there.To, To: there.From}
	for _, f := range []lab.Flow{there, back} {
		_, _, err := probe.WaitForAnswer(time.Now(), 10*time.Second)
		check(t, err)
		check(t, r.router.Block(f))
		cut := time.Now()
		time.Sleep(200 * time.Millisecond)
		if n := probe.Answers(cut, time.Now())["b"]; n != 0 {
			t.Errorf("%s is blocked: %d answers", f, n)
		}
		if err := r.router.Block(f); err == nil {
			t.Errorf("%s blocked twice", f)
		}
		check(t, r.router.Unblock(f))
	}
	_, _, err := probe.WaitForAnswer(time.Now(), 10*time.Second)
	check(t, err)
}

// TestWireLosesAndReorders: a probe through a wire keeps its checksum and its answers, loses the share that it should, and
// overtakes.
func TestWireLosesAndReorders(t *testing.T) {
	l := lab.ForTest(t)
	a, b, path := must(l.Node("a"))(t), must(l.Node("b"))(t), must(l.Node("path"))(t)
	check(t, l.Connect(a, "eth0", path, "left"))
	check(t, l.Connect(b, "eth0", path, "right"))
	check(t, a.AddAddress("eth0", "10.0.0.1/24"))
	check(t, b.AddAddress("eth0", "10.0.0.2/24"))
	wire := must(path.Wire("left", "right"))(t)
	must(b.Respond())(t)
	probe := must(a.Probe(netip.MustParseAddr("10.0.0.2")))(t)
	_, _, err := probe.WaitForAnswer(time.Now(), 10*time.Second)
	check(t, err)

	share := func(d time.Duration) float64 {
		from := time.Now()
		time.Sleep(d)
		to := time.Now()
		time.Sleep(300 * time.Millisecond) // for the last answers
		return float64(probe.Answers(from, to)["b"]) / (float64(to.Sub(from)) / float64(lab.ProbeInterval))
	}
	if got := share(500 * time.Millisecond); got < 0.9 {
		t.Errorf("fair weather: %.2f of the probes answered", got)
	}
	wire.Set(lab.Weather{Loss: 0.3, Delay: 5 * time.Millisecond, Jitter: 20 * time.Millisecond, Seed: 1})
	// Both ways: 0.7 squared. 2000 probes deviate by 0.01.
	if got := share(2 * time.Second); got < 0.40 || got > 0.55 {
		t.Errorf("30 %% loss each way: %.2f of the probes answered, want about 0.49", got)
	}
	wire.Set(lab.Weather{Loss: 1, Only: func(f []byte) bool { return false }})
	if got := share(300 * time.Millisecond); got < 0.9 {
		t.Errorf("weather elsewhere: %.2f of the probes answered", got)
	}
	if passed, lost := wire.Counts(); passed == 0 || lost == 0 {
		t.Errorf("counted %d passed, %d lost", passed, lost)
	}
	check(t, wire.Close())
}
