package failover_test

import (
	"testing"
	"time"

	"failoverd/failover"
)

// restartHK starts the watcher anew, after down, with what it has to remember if remembered.
func (w *regions) restartHK(down time.Duration, remembered bool) {
	w.t.Helper()
	known := w.nodes["hk"].core.Takeovers()
	if len(known) != 1 {
		w.t.Fatalf("to remember: %+v", known)
	}
	w.kill("hk")
	w.run(down)
	w.start("hk")
	if remembered {
		w.step("hk", known[0])
	}
}

// A restart of the agent is no reason to take over earlier than hold_down after the last takeover.
func TestHoldDownOutlivesTheAgent(t *testing.T) {
	for _, remembered := range []bool{true, false} {
		w := newRegions(t)
		w.nodes["hk"].cfg.Watches[0].HoldDown = 2 * time.Minute
		w.start("sg", "hk", "m1", "m2")
		w.run(25 * time.Second)
		w.kill("m1", "m2")
		w.run(25 * time.Second)
		w.want(byHK)
		changed := w.nodes["hk"].core.TakeoversChanged()
		w.start("m1", "m2")
		w.run(15 * time.Second)
		w.want(byM1)
		if now := w.nodes["hk"].core.TakeoversChanged(); now == changed {
			t.Error("that the site has returned is not worth remembering")
		}
		w.restartHK(time.Second, remembered)
		w.run(10 * time.Second)
		w.kill("m1", "m2") // 50 s after the takeover at most
		w.run(30 * time.Second)
		if remembered {
			w.want("")
			w.run(65 * time.Second)
		}
		w.want(byHK)
	}
}

// An agent that starts anew while the site is still down goes on with the takeover that it had made: it is the same one.
func TestRestartDuringATakeoverIsTheSameOne(t *testing.T) {
	w := steady(t)
	w.kill("m1", "m2")
	w.run(20 * time.Second)
	w.want(byHK)
	w.restartHK(3*time.Second, true)
	w.run(22 * time.Second) // takeover_after, and not hold_down
	w.want(byHK)
	if n := w.status("hk").Watches[0].Penalty; n < 900 || n > 1000 {
		t.Errorf("penalty %d, want that of one takeover", n)
	}
}

// So does the latch of damping, until it would have ended there, or a person says so; and no file makes it longer.
func TestLatchOutlivesTheAgent(t *testing.T) {
	w := steady(t)
	now := w.now
	w.step("hk", failover.Takeovers{Watch: "mainland", Last: now.Add(time.Hour), Penalty: 1e300, Latched: true, Returned: true})
	w.step("hk", failover.Takeovers{Watch: "nowhere", Last: now, Penalty: 9, Latched: true})
	w.run(2 * time.Second) // the site is heard since
	w.kill("m1", "m2")
	w.run(10 * time.Minute)
	w.want("")
	if s := w.status("hk").Watches[0]; !s.Latched || s.Penalty > 3500 {
		t.Errorf("%+v", s)
	}
	w.run(24 * time.Minute) // from 3500 to 750 it takes 33.3 minutes
	w.want(byHK)

	w = steady(t)
	w.step("hk", failover.Takeovers{Watch: "mainland", Last: w.now.Add(-2 * time.Minute), Penalty: 3400, Latched: true, Returned: true})
	changed := w.nodes["hk"].core.TakeoversChanged()
	w.step("hk", failover.UndrainCommand{})
	if w.nodes["hk"].core.TakeoversChanged() == changed {
		t.Error("undrain is forgotten by a restart")
	}
	w.kill("m1", "m2")
	w.run(25 * time.Second)
	w.want(byHK)
}

// An undrain says what it has ended, and that there was nothing to end.
func TestUndrainSaysWhatItEnds(t *testing.T) {
	w := steady(t)
	undrain := func(router string) failover.CommandVerdict {
		n := w.nodes["hk"]
		n.core.Step(w.now, failover.UndrainCommand{Router: router, Ref: 7}, &n.fx)
		if len(n.fx.Verdicts) == 0 {
			return failover.CommandVerdict{}
		}
		v := n.fx.Verdicts[0]
		w.batch(n)
		return v
	}
	if v := undrain(""); v.Ref != 7 || !v.Nothing || v.Text != "no router was drained" {
		t.Errorf("nothing: %+v", v)
	}
	if v := undrain("SERVICE"); !v.Nothing || v.Text != "SERVICE was not drained" {
		t.Errorf("a router that is not drained: %+v", v)
	}
	w.step("hk", failover.DrainCommand{Router: "SERVICE"})
	if v := undrain("SERVICE"); v != (failover.CommandVerdict{}) {
		t.Errorf("a drain: %+v", v)
	}
	w.step("hk", failover.Takeovers{Watch: "mainland", Last: w.now, Penalty: 3000, Latched: true})
	if v := undrain(""); v.Nothing || v.Text != "takeovers are not damped any more" {
		t.Errorf("a latch: %+v", v)
	}
}
