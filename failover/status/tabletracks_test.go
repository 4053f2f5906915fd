package status

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"failoverd/failover"
	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// track returns a result: words in short for the fields that differ from test to test.
func track(kind failover.TrackerKind, name string, weight int, ok bool, reason string, effect int) failover.TrackStatus {
	return failover.TrackStatus{
		Kind: kind.String(), Name: name, Weight: weight, Known: true, OK: ok, Reason: reason, Effect: effect,
		Fault: weight == 0 && !ok,
	}
}

// tracking is a pair of routers in a sync group of which one is in FAULT, and single ones: with a lower priority, without
// its macvlan interface, not started, and the address owner.
func tracking() *failover.Snapshot {
	s := sample()
	s.Speakers, s.Links = nil, nil
	taken := s.TakenAt
	const (
		gate   = "track_script chk_gate: exit status 3, 2 in a row: no gate"
		device = "there is an interface vrrp.54 (veth) that is not failoverd's"
	)
	at := func(vrid uint8) vrrp.Key { return vrrp.Key{Interface: "eth0", Family: wire.IPv4, VRID: vrid} }
	unknown := failover.TrackStatus{Kind: "track_script", Name: "chk_slow", Fault: true}
	s.Routers = []failover.RouterStatus{{
		Name: "WEB", Key: at(51), State: "FAULT", Since: taken.Add(-3 * time.Second), Why: gate, Waiting: gate, Interface: "eth0",
		PriorityBase: 150, PriorityEffective: 116, Group: "G",
		Tracks: []failover.TrackStatus{
			track(failover.TrackScript, "chk_ok", 20, true, "exit status 0", 20),
			track(failover.TrackScript, "chk_web", -40, false, "exit status 1, 3 in a row: connect 127.0.0.1:80: refused", -40),
			track(failover.TrackScript, "chk_gate", 0, false, "exit status 3, 2 in a row: no gate", 0),
			track(failover.TrackInterface, "eth1", 0, false, "down", 0),
			{Kind: "track_file", Name: "load", Weight: -2, Known: true, OK: true, Value: 7, Reason: "the file says 7", Effect: -14},
		},
		Objects: []failover.ObjectStatus{
			{Kind: "route", Object: "10.9.0.0/24 via 192.0.2.9"}, {Kind: "rule", Object: "from 192.0.2.51/32 lookup 77"},
		},
	}, {
		Name: "DB", Key: at(52), State: "FAULT", Since: taken.Add(-3 * time.Second), Why: "sync group G: WEB: " + gate,
		Waiting: "sync group G: WEB: " + gate, Interface: "eth0", PriorityBase: 100, PriorityEffective: 100, Group: "G",
	}, {
		Name: "LONE", Key: at(53), State: "MASTER", Since: taken.Add(-time.Hour), Why: "no advertisement heard", Interface: "eth0",
		PriorityBase: 250, PriorityEffective: 240, Master: &failover.MasterStatus{Self: true}, VMAC: "vrrp.53",
		Tracks: []failover.TrackStatus{
			track(failover.TrackInterface, "eth1", -10, false, "does not exist", -10),
			track(failover.TrackScript, "chk_gone", 10, false, "timed out after 2s, 3 in a row", 0),
			track(failover.TrackProcess, "haproxy", 5, true, "1 process, at least 1 wanted", 5),
			{Kind: "track_script", Name: "chk_rev", Weight: 5, Reverse: true, Known: true, OK: true, Effect: -5},
			{Kind: "track_script", Name: "chk_new", Weight: -6, Effect: -6},
			track(failover.TrackFile, "lost", 3, false, "cannot be read: permission denied", 0),
		},
		Addresses: []failover.AddressStatus{{
			Address: netip.MustParsePrefix("192.0.2.53/24"), Interface: "vrrp.53", Wanted: true, Present: true,
		}},
		Objects: []failover.ObjectStatus{
			{Kind: "filter", Object: "no_accept", Wanted: true, Error: "operation not supported"},
			{Kind: "route", Object: "10.10.0.0/24 via 192.0.2.9", Wanted: true},
			{Kind: "route", Object: "10.11.0.0/24 via 198.51.100.3", Wanted: true, Error: "gateway 198.51.100.3 cannot be reached directly"},
		},
	}, {
		Name: "V54", Key: at(54), State: "FAULT", Since: taken.Add(-3 * time.Second), Why: "macvlan interface vrrp.54: " + device,
		Waiting: "macvlan interface vrrp.54: " + device, Interface: "eth0", PriorityBase: 1, PriorityEffective: 1, VMAC: "vrrp.54",
		Tracks:  []failover.TrackStatus{track(failover.TrackScript, "chk_web", -40, false, "", -40)},
		Objects: []failover.ObjectStatus{{Kind: "device", Object: "vrrp.54", Wanted: true, Error: device}},
	}, {
		Name: "SLOW", Key: at(55), State: "INIT", Since: taken.Add(-3 * time.Second), Why: "track_script chk_slow has no result yet",
		Waiting: "track_script chk_slow has no result yet", Interface: "eth0", PriorityBase: 100, PriorityEffective: 100,
		Tracks: []failover.TrackStatus{unknown},
	}, {
		Name: "OWNER", Key: at(56), State: "MASTER", Since: taken.Add(-time.Hour), Why: "address owner", Interface: "eth0",
		PriorityBase: wire.PriorityOwner, PriorityEffective: wire.PriorityOwner, Master: &failover.MasterStatus{Self: true},
		Tracks: []failover.TrackStatus{track(failover.TrackScript, "chk_web", -40, false, "exit status 1", -40)},
	}}
	for i := range s.Routers {
		r := &s.Routers[i]
		r.Version, r.Source, r.Preempt = 2, "192.0.2.1", true
		r.AdvertIntervalMS, r.LearnedIntervalMS, r.SkewMS, r.ActiveDownMS = 1000, 1000, 414.0625, 3414.0625
		if r.Master != nil {
			r.Master.Address = netip.MustParseAddr(r.Source)
		}
	}
	s.Groups = []failover.GroupStatus{{
		Name: "G", State: "FAULT", Since: taken.Add(-3 * time.Second), Why: "WEB: " + gate, Members: []string{"WEB", "DB"},
	}, {
		Name: "H", State: "MASTER", Since: taken.Add(-time.Hour), Why: "MAIL: no advertisement heard", Members: []string{"MAIL"},
	}}
	s.StaticAddresses = []failover.AddressStatus{{
		Address: netip.MustParsePrefix("10.77.0.1/32"), Interface: "eth0", Wanted: true, Present: true,
	}}
	s.StaticObjects = []failover.ObjectStatus{{
		Kind: "route", Object: "10.79.0.0/24 via 203.0.113.77", Wanted: true, Error: "gateway 203.0.113.77 cannot be reached directly",
	}}
	return s
}

// quiet is tracking without anything wrong: nothing of it may cost a line but what is there.
func quiet() *failover.Snapshot {
	s := tracking()
	s.Routers = s.Routers[2:3]
	r := &s.Routers[0]
	r.Tracks, r.Objects = r.Tracks[2:3], r.Objects[1:2]
	r.PriorityBase, r.PriorityEffective = 100, 105
	s.Groups, s.StaticObjects = s.Groups[1:], nil
	return s
}

func TestTrackEffectAndVerdict(t *testing.T) {
	router := &failover.RouterStatus{PriorityBase: 100}
	file, script := failover.TrackFile.String(), failover.TrackScript.String()
	for _, c := range []struct {
		name            string
		track           failover.TrackStatus
		effect, verdict string
		style           style
	}{
		{"failed, weight 0", failover.TrackStatus{Kind: script, Known: true, Fault: true, Reason: "exit status 1"}, "FAULT", "exit status 1", red},
		{"failed, nobody knows why", failover.TrackStatus{Kind: script, Known: true, Fault: true}, "FAULT", "failed", red},
		{"no result, weight 0", failover.TrackStatus{Kind: script, Fault: true}, "INIT", "no result yet", yellow},
		{"no result, new while it runs", failover.TrackStatus{Kind: script}, "", "no result yet", plain},
		{"ok, weight 0", failover.TrackStatus{Kind: script, Known: true, OK: true}, "", "ok", plain},
		{"ok, reverse, weight 0", failover.TrackStatus{Kind: script, Known: true, OK: true, Reverse: true, Fault: true}, "FAULT", "ok", red},
		{"ok, but the last run failed", failover.TrackStatus{Kind: script, Known: true, OK: true, Reason: "exit status 1"}, "", "ok (exit status 1)", plain},
		{"ok, positive weight", failover.TrackStatus{Kind: script, Weight: 20, Known: true, OK: true, Effect: 20}, "priority +20", "ok", plain},
		{"failed, positive weight", failover.TrackStatus{Kind: script, Weight: 20, Known: true, Reason: "down"}, "priority +20 missing", "down", yellow},
		{"failed, positive weight, reverse", failover.TrackStatus{Kind: script, Weight: 20, Reverse: true, Known: true}, "", "failed", plain},
		{"failed, negative weight", failover.TrackStatus{Kind: script, Weight: -20, Known: true, Effect: -20}, "priority -20", "failed", yellow},
		{"failed, negative weight, reverse", failover.TrackStatus{Kind: script, Weight: -20, Reverse: true, Known: true, Effect: 20}, "priority +20", "failed", plain},
		{"number", failover.TrackStatus{Kind: file, Weight: -2, Known: true, OK: true, Value: 7, Effect: -14}, "priority -14", "is 7", yellow},
		{"number 0", failover.TrackStatus{Kind: file, Weight: -2, Known: true, OK: true}, "", "is 0", plain},
		{"no number", failover.TrackStatus{Kind: file, Weight: 1, Known: true, OK: true, Reason: "empty, taken as 0"}, "", "empty, taken as 0", plain},
		{"unreadable file", failover.TrackStatus{Kind: file, Weight: 1, Known: true, Reason: "cannot be read"}, "counts as 0", "cannot be read", yellow},
		{"number that is a fault", failover.TrackStatus{Kind: file, Weight: 1, Known: true, OK: true, Value: -300, Effect: -254, Fault: true}, "FAULT", "is -300", red},
	} {
		t.Run(c.name, func(t *testing.T) {
			effect, st := trackEffect(router, &c.track)
			if verdict := trackVerdict(&c.track); effect != c.effect || st != c.style || verdict != c.verdict {
				t.Errorf("%q, style %q, %q; want %q, style %q, %q", effect, st, verdict, c.effect, c.style, c.verdict)
			}
		})
	}
}

// A reason is not said twice, and a name that begins like another one is another one.
func TestMentions(t *testing.T) {
	chk := &failover.TrackStatus{Kind: "track_script", Name: "chk"}
	for reason, want := range map[string]bool{
		"track_script chk: exit status 1":                      true,
		"track_script chk has no result yet":                   true,
		"sync group G: WEB: track_script chk: exit status 1":   true,
		"track_script chk_web: exit status 1":                  false,
		"track_process chk: no process, at least 1 wanted":     false,
		"no advertisement heard":                               false,
		"":                                                     false,
		"interface eth1 does not exist, says track_script chk": false,
	} {
		if got := mentions(reason, chk); got != want {
			t.Errorf("%q: %v, want %v", reason, got, want)
		}
	}
}

func TestPriorityDetail(t *testing.T) {
	for _, c := range []struct {
		base, effective uint8
		effects         []int
		want            string
	}{
		{100, 100, nil, "100"},
		{100, 100, []int{20, -20}, "100"},
		{100, 90, []int{10, -20}, "100->90 (-10 by what it tracks)"},
		{250, 254, []int{20}, "250->254 (+20 by what it tracks; 254 is the most)"},
		{10, 1, []int{-20}, "10->1 (-20 by what it tracks; 1 is the least)"},
		{255, 255, []int{-20}, "255 as the owner of the addresses"},
	} {
		r := &failover.RouterStatus{PriorityBase: c.base, PriorityEffective: c.effective}
		for i, e := range c.effects {
			r.Tracks = append(r.Tracks, failover.TrackStatus{Name: fmt.Sprint(i), Effect: e})
		}
		if got := priorityDetail(r); got != c.want {
			t.Errorf("%d, %v: %q, want %q", c.base, c.effects, got, c.want)
		}
	}
}
