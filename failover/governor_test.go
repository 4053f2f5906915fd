package failover_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"failoverd/bgp"
	"failoverd/failover"
)

// TestBGP_DAMP_01_Governor: a role that flaps changes the route no more often than allowed, withdraws at once every time, and
// announces what is wanted in the end as soon as there is room.
func TestBGP_DAMP_01_Governor(t *testing.T) {
	r := newRailed(t, true, func(c *bgp.SpeakerConfig) { c.MaxChanges = 6 })
	r.active()
	r.announces(true)
	r.pass(time.Hour)
	asked := len(r.asked)
	flapBegan := r.now
	for range 8 {
		r.link(false)
		r.announces(false) // never delayed
		r.active()
	}
	changes := len(r.asked) - asked
	if changes > 6 {
		t.Errorf("%d changes within %v", changes, r.now.Sub(flapBegan))
	}
	r.wantTold(failover.EventHeld, ">held", "6 changes a minute are allowed")
	s := r.snapshot()
	if len(s.Speakers[0].Held) != 1 || !strings.Contains(s.Routers[0].Routes[0].Error+s.Routers[0].Routes[0].Warning, "max_changes") {
		t.Errorf("status %+v, %+v", s.Speakers[0], s.Routers[0].Routes[0])
	}
	r.pass(time.Minute)
	r.announces(true)
	if got := r.asked[len(r.asked)-1].Routes[0].Prepend; got != 0 {
		t.Errorf("the route of the Backup is announced (prepend %d)", got)
	}
	r.wantTold(failover.EventHeld, ">released", "")
	if s := r.snapshot(); len(s.Speakers[0].Held) != 0 || s.Routers[0].Routes[0].Error != "" {
		t.Errorf("status %+v", s.Speakers[0])
	}
}

// TestBGP_DAMP_01_Calm: with avoid_flap_damping a router that has been withdrawn a moment ago is not announced again yet, says why, and is
// as soon as it may be.
func TestBGP_DAMP_01_Calm(t *testing.T) {
	r := newRailed(t, false, func(c *bgp.SpeakerConfig) { c.Calm, c.MaxChanges = true, 12 })
	r.active()
	r.announces(true)
	r.link(false)
	r.announces(false) // never delayed
	r.active()
	r.announces(false)
	r.wantTold(failover.EventHeld, ">held", "one withdrawal in 30 s and 3 in 15 minutes")
	s := r.snapshot()
	if len(s.Speakers[0].Held) != 1 || !s.Speakers[0].Held[0].Flaps || !strings.Contains(s.Routers[0].Routes[0].Error, "avoid_flap_damping") {
		t.Errorf("status %+v, %+v", s.Speakers[0], s.Routers[0].Routes[0])
	}
	r.pass(31 * time.Second)
	r.announces(true)
	r.wantTold(failover.EventHeld, ">released", "")
}

// TestSessionsOfASpeakerThatDoesNotAnswer: their state is not known, which is not the same as that they are down.
func TestSessionsOfASpeakerThatDoesNotAnswer(t *testing.T) {
	r := newRailed(t, false, func(*bgp.SpeakerConfig) {})
	r.active()
	for _, row := range []struct {
		state    bgp.SessionState
		sessions int
		unknown  bool
	}{{bgp.Established, 1, false}, {bgp.Unknown, 0, true}, {bgp.Idle, 0, false}} {
		r.step(failover.SpeakerReported{Report: bgp.Report{
			Speaker: "EDGE", Connected: true, Generation: r.asked[len(r.asked)-1].Generation, Announced: []bgp.Route{{Prefix: service}},
			Neighbors: []bgp.NeighborStatus{{Address: netip.MustParseAddr("192.0.2.254"), State: row.state}},
		}})
		if a := r.snapshot().Routers[0].Routes[0]; !a.Announced || a.Sessions != row.sessions || a.SessionsUnknown != row.unknown {
			t.Errorf("with its session %v: %+v", row.state, a)
		}
	}
}

// TestGovernorCountsWhatIsHeard: what changes while there is no session is no change to anybody.
func TestGovernorCountsWhatIsHeard(t *testing.T) {
	r := newRailed(t, false, func(c *bgp.SpeakerConfig) { c.MaxChanges = 4 })
	r.active()
	r.pass(time.Hour)
	session := func(up bool) {
		r.cut = !up
		r.step(r.report(r.asked[len(r.asked)-1]))
	}
	session(false)
	for range 8 {
		r.link(false)
		r.active()
		r.announces(true)
	}
	r.link(false)
	session(true)
	r.active()
	r.announces(true)
	for _, announced := range []bool{true, false} { // these are heard
		r.link(false)
		r.active()
		r.announces(announced)
	}
	session(false)
	r.announces(true)
	r.wantTold(failover.EventHeld, ">released", "")
}
