package failover_test

import (
	"encoding/json"
	"net/netip"
	"testing"
	"time"

	"failoverd/bgp"
	"failoverd/failover"
	"failoverd/vrrp"
)

// upgrade has another core take the place of that of r. early: the speaker's process is reached before the kernel has said what
// is there.
func (r *railed) upgrade(early bool) {
	r.t.Helper()
	text, err := json.Marshal(r.core.Legacy(r.now))
	var l failover.Legacy
	if err == nil {
		err = json.Unmarshal(text, &l)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	cfg := r.core.Config()
	up := r.core.Snapshot(r.now, func(i vrrp.Instant) time.Time { return time.Unix(0, int64(i)) }).Routers[0].State != "FAULT"
	if r.core, err = failover.New(cfg, r.now); err != nil {
		r.t.Fatal(err)
	}
	r.core.Await()
	var last bgp.Desired // nothing: nobody has asked
	if n := len(r.asked); n > 0 {
		last = r.asked[n-1]
	}
	r.core.Step(r.now, failover.LinkChanged{Link: failover.LinkID{Interface: "eth0", Family: 4}, Open: true}, &r.fx)
	r.core.Step(r.now, failover.InterfaceChanged{Interface: failover.Interface{
		Name: "eth0", Index: 2, Up: up, Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24")},
	}}, &r.fx)
	if err := r.core.TakeUp(r.now, &l, &r.fx); err != nil {
		r.t.Fatal(err)
	}
	found := r.report(bgp.Desired{Routes: last.Routes})
	if early {
		r.core.Step(r.now, found, &r.fx)
	}
	r.flush()
	r.step(found)
}

// What neighbors have heard they do not forget because of an upgrade: a withdrawal of before counts, and what waits goes on
// waiting, for as long as it would have.
func TestUpgradeKeepsGovernor(t *testing.T) {
	for _, row := range []struct {
		name   string
		word   string
		change func(*bgp.SpeakerConfig)
		flaps  int
		wait   time.Duration
	}{
		{"avoid_flap_damping", "avoid_flap_damping", func(c *bgp.SpeakerConfig) { c.Calm = true }, 1, 31 * time.Second},
		{"max_changes", "max_changes", func(c *bgp.SpeakerConfig) { c.MaxChanges = 4 }, 2, time.Minute},
	} {
		for _, early := range []bool{false, true} {
			t.Run(row.name, func(t *testing.T) {
				r := newRailed(t, false, row.change)
				r.active()
				r.announces(true)
				for n := range row.flaps {
					r.link(false)
					r.announces(false)
					if n == 0 {
						r.upgrade(early) // the withdrawal is what is remembered
					}
					r.active()
				}
				r.announces(false)
				r.wantTold(failover.EventHeld, ">held", "")
				r.events = nil
				begun := r.now
				r.upgrade(early)
				r.announces(false)
				if s := r.snapshot(); len(s.Speakers[0].Held) != 1 || s.Speakers[0].Held[0].Flaps != (row.word == "avoid_flap_damping") {
					t.Errorf("status after the upgrade: %+v", s.Speakers[0])
				}
				for _, e := range r.events {
					if e.Kind == failover.EventHeld {
						t.Errorf("told again: %v", e)
					}
				}
				r.pass(row.wait - r.now.Sub(begun))
				r.announces(true)
				r.wantTold(failover.EventHeld, ">released", "")
				asked := len(r.asked)
				r.upgrade(early)
				r.announces(true)
				for _, d := range r.asked[asked:] {
					if len(d.Routes) != 1 {
						t.Errorf("an upgrade asks for %v", d.Routes)
					}
				}
			})
		}
	}
}

// Without a session before the upgrade nothing has been heard, and nothing is believed.
func TestUpgradeWithoutSession(t *testing.T) {
	r := newRailed(t, false, func(c *bgp.SpeakerConfig) { c.MaxChanges = 4 })
	r.active()
	r.pass(time.Hour)
	r.cut = true
	r.step(r.report(r.asked[len(r.asked)-1]))
	for range 4 {
		r.link(false)
		r.upgrade(false)
		r.active()
		r.announces(true)
	}
}
