package failover_test

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"failoverd/bgp"
	"failoverd/failover"
	"failoverd/failover/failovertest"
	"failoverd/vrrp"
)

const legacyConfig = "router V4 eth0/4/51 priority 100\n  address 192.0.2.10/24 eth0 lease 3s\n"

// What makes no sense is refused as a whole, and the core still awaits its turn.
func TestTakeUpRefuses(t *testing.T) {
	cfg, err := failovertest.ParseConfig(legacyConfig)
	if err != nil {
		t.Fatal(err)
	}
	good := vrrp.Standing{State: vrrp.Active, Priority: 100, Learned: 100, Deadline: 5}
	for name, change := range map[string]func(*failover.LegacyRouter){
		"no state":          func(r *failover.LegacyRouter) { r.Standing.State = vrrp.Initialize },
		"an unknown state":  func(r *failover.LegacyRouter) { r.Standing.State = 9 },
		"priority 0":        func(r *failover.LegacyRouter) { r.Standing.Priority = 0 },
		"interval 0":        func(r *failover.LegacyRouter) { r.Standing.Learned = 0 },
		"a long interval":   func(r *failover.LegacyRouter) { r.Standing.Learned = 65535 },
		"an unknown router": func(r *failover.LegacyRouter) { r.Key = "eth0/4/52" },
	} {
		core, err := failover.New(cfg, 0)
		if err != nil {
			t.Fatal(err)
		}
		core.Await()
		l := &failover.Legacy{Routers: []failover.LegacyRouter{{Key: "eth0/4/51", Standing: good}}}
		change(&l.Routers[0])
		var fx failover.Effects
		if err := core.TakeUp(10, l, &fx); !errors.Is(err, failover.ErrLegacy) {
			t.Errorf("%s: %v", name, err)
		}
		if core.Inheriting() {
			t.Errorf("%s: something is taken over", name)
		}
		if err := core.TakeUp(10, &failover.Legacy{Routers: []failover.LegacyRouter{{Key: "eth0/4/51", Standing: good}}}, &fx); err != nil || !core.Inheriting() {
			t.Errorf("%s: afterwards %v", name, err)
		}
	}
	core, _ := failover.New(cfg, 0)
	core.Await()
	twice := failover.LegacyRouter{Key: "eth0/4/51", Standing: good}
	if err := core.TakeUp(10, &failover.Legacy{Routers: []failover.LegacyRouter{twice, twice}}, new(failover.Effects)); !errors.Is(err, failover.ErrLegacy) {
		t.Errorf("one router twice: %v", err)
	}
}

// A gobgpd that works for the program before is one that it was connected to; a process of the agent's own is handed over otherwise.
func TestReached(t *testing.T) {
	cfg, err := failovertest.ParseConfig("speaker EDGE allow 198.51.100.0/24\nspeaker CORE allow 198.51.100.0/24\n" + legacyConfig)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Speaker("EDGE").External = &bgp.External{Target: "unix:/run/gobgp.sock"}
	core, err := failover.New(cfg, 0)
	if err != nil {
		t.Fatal(err)
	}
	var fx failover.Effects
	for _, row := range []struct {
		connected bool
		want      []string
	}{{false, nil}, {true, []string{"EDGE"}}, {false, nil}} {
		for _, name := range []string{"EDGE", "CORE"} {
			core.Step(1, failover.SpeakerReported{Report: bgp.Report{Speaker: name, Connected: row.connected}}, &fx)
		}
		if got := core.Reached(); !slices.Equal(got, row.want) {
			t.Errorf("connected %t: %v, want %v", row.connected, got, row.want)
		}
	}
}

// What nobody can have counted or refused makes no sense either.
func TestTakeUpRefusesCounts(t *testing.T) {
	cfg, err := failovertest.ParseConfig("speaker EDGE allow 198.51.100.0/24 changes 4\n" + legacyConfig)
	if err != nil {
		t.Fatal(err)
	}
	p := netip.MustParsePrefix("198.51.100.0/24")
	for name, l := range map[string]failover.Legacy{
		"refused for too long":   {Idle: []failover.LegacyIdle{{Key: "eth0/4/51", Refused: failover.RefusalPause + 1, Refusal: "x"}}},
		"refused for no reason":  {Idle: []failover.LegacyIdle{{Key: "eth0/4/51", Refused: 1}}},
		"not able to run later":  {Idle: []failover.LegacyIdle{{Key: "eth0/4/51", Since: 6}}},
		"a change of the future": {Governors: []failover.LegacyGovernor{{Speaker: "EDGE", History: []bgp.History{{Prefix: p, Changes: []time.Duration{-1}}}}}},
		"held for an hour":       {Governors: []failover.LegacyGovernor{{Speaker: "EDGE", Held: []failover.LegacyHeld{{Prefix: p, Left: time.Hour}}}}},
		"a prefix that is none":  {Governors: []failover.LegacyGovernor{{Speaker: "EDGE", Held: []failover.LegacyHeld{{}}}}},
		"asked for twice":        {Governors: []failover.LegacyGovernor{{Speaker: "EDGE", Asked: []bgp.Route{{Prefix: p}, {Prefix: p}}}}},
		"before the beginning":   {At: -1},
	} {
		core, err := failover.New(cfg, 0)
		if err != nil {
			t.Fatal(err)
		}
		core.Await()
		if l.At == 0 {
			l.At = 5
		}
		if err := core.TakeUp(10, &l, new(failover.Effects)); !errors.Is(err, failover.ErrLegacy) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
