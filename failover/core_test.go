package failover_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"failoverd/bgp"
	"failoverd/failover"
	"failoverd/failover/failovertest"
	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// TestNewRefuses lists the configurations that package conf never makes and that a core does not run.
func TestNewRefuses(t *testing.T) {
	for _, tt := range []struct{ name, config, want string }{
		{"a parameter out of range", "router A eth0/4/51 priority 0\n address 192.0.2.10/24 eth0", "vrrp_instance A: virtual router eth0/4/51: priority 0"},
		{"two routers with one key", "router A eth0/4/51\n address 192.0.2.10/24 eth0\nrouter B eth0/4/51\n address 192.0.2.11/24 eth0", "vrrp_instance B: another instance is eth0/4/51 too"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := failover.New(failovertest.MustParseConfig(tt.config), 0)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestLinks(t *testing.T) {
	for _, tt := range []struct{ name, config, want string }{
		{"nothing needs no socket", "", "[]"},
		{"one socket serves all VRIDs of an interface and family", "router A eth0/4/1\n address 192.0.2.1/24 eth0\nrouter B eth0/4/2\n address 192.0.2.2/24 eth0", "[eth0/4]"},
		{"families and interfaces have their own", "router A eth0/4/1\n address 192.0.2.1/24 eth0\nrouter B eth0/6/1\n address fe80::1/64 eth0\nrouter C eth1/4/1\n address 192.0.2.2/24 eth1", "[eth0/4 eth0/6 eth1/4]"},
		{"unicast routers share one that is bound to no interface", "router A eth0/4/1 unicast\n peer 192.0.2.9\n address 192.0.2.1/24 eth0\nrouter B eth1/4/2 unicast\n peer 192.0.2.9\n address 192.0.2.2/24 eth1", "[unicast/4]"},
		{"a router with watchers needs both", "router A eth0/4/1\n watcher 192.0.2.9\n address 192.0.2.1/24 eth0", "[eth0/4 unicast/4]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := fmt.Sprint(failovertest.MustParseConfig(tt.config).Links()); got != tt.want {
				t.Errorf("links %s, want %s", got, tt.want)
			}
		})
	}
}

// TestNothingIsAllocatedInSteadyState: what happens for every packet, in or out, leaves no garbage, whether the packet
// counts or not.
func TestNothingIsAllocatedInSteadyState(t *testing.T) {
	const routers = 254
	backup, active := newNode(t, routers, leased), newNode(t, routers, leased)
	active.until(vrrp.Instant(4 * time.Second))
	forever := newNode(t, routers, "") // renewals of leases are no matter of packets
	forever.until(vrrp.Instant(4 * time.Second))
	link, from200 := packet(t, 7, 200)
	_, from50 := packet(t, 7, 50)
	_, stranger := packet(t, 7, 200)
	stranger.VRID = 255
	_, looped := packet(t, 7, 200)
	looped.Src = addr("172.16.0.1")
	receive := func(n *node, p *wire.Packet, want wire.DropReason) func() {
		return func() {
			n.now += 1000
			if got := n.core.Receive(n.now, link, p, &n.fx); got != want {
				t.Fatalf("the packet is %v, want %v", got, want)
			}
			if n.core.Deadline() <= n.now {
				n.core.Expire(n.now, &n.fx)
			}
			n.core.Flush(n.now, &n.fx)
			n.fx.Reset()
		}
	}
	for _, tt := range []struct {
		name string
		do   func()
	}{
		{"an advertisement of the Active router", receive(backup, from200, wire.Accepted)},
		{"an advertisement of a rival", receive(active, from50, wire.Accepted)},
		{"an advertisement for nobody here", receive(backup, stranger, wire.DropVRID)},
		{"an advertisement of one's own", receive(backup, looped, wire.DropOwnSource)},
		{"an advertisement to send", func() {
			forever.now = forever.core.Deadline()
			forever.core.Expire(forever.now, &forever.fx)
			forever.core.Flush(forever.now, &forever.fx)
			if len(forever.fx.Adverts) != routers || forever.core.Deadline() <= forever.now {
				t.Errorf("%d advertisements are sent, and the deadline is %d at %d", len(forever.fx.Adverts), forever.core.Deadline(), forever.now)
			}
			forever.fx.Reset()
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.do() // room for effects is made once
			if n := testing.AllocsPerRun(200, tt.do); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}

// TestAFloodOfRivalsIsAnsweredWithinBounds: a thousand advertisements a second of a lower priority cost a bounded number of
// answers, announcements and lines in the log (V3-FSM-17).
func TestAFloodOfRivalsIsAnsweredWithinBounds(t *testing.T) {
	n := newNode(t, 1, leased)
	n.until(vrrp.Instant(4 * time.Second))
	link, p := packet(t, 0, 50)
	var adverts, announcements, events int
	for range 10_000 {
		n.now += vrrp.Instant(time.Millisecond)
		n.core.Receive(n.now, link, p, &n.fx)
		if n.core.Deadline() <= n.now {
			n.core.Expire(n.now, &n.fx)
		}
		n.core.Flush(n.now, &n.fx)
		adverts, announcements, events = adverts+len(n.fx.Adverts), announcements+len(n.fx.Announcements), events+len(n.fx.Events)
		n.fx.Reset()
	}
	if adverts > 1012 || announcements > 11 || events > 2 {
		t.Errorf("10 s of it cost %d advertisements, %d announcements and %d lines; want at most 1012, 11 and 2", adverts, announcements, events)
	}
}

// TestAnnouncementsThatWaitAreBounded: what is produced faster than the pace allows is left out, not kept for ever.
func TestAnnouncementsThatWaitAreBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString("garp_interval 10s\nrouter A eth0/4/1\n garp repeat 100 refresh 1s refresh_repeat 100\n")
	for i := range 200 {
		fmt.Fprintf(&b, " address 192.0.2.%d/24 eth0\n", i+10)
	}
	core, err := failover.New(failovertest.MustParseConfig(b.String()), 0)
	if err != nil {
		t.Fatal(err)
	}
	n := &node{core: core}
	n.core.Step(0, failover.LinkChanged{Link: failover.LinkID{Interface: "eth0", Family: wire.IPv4}, Open: true}, &n.fx)
	n.core.Step(0, failover.InterfaceChanged{Interface: iface(0)}, &n.fx)
	n.until(vrrp.Instant(60 * time.Second))
	// The role goes, and with it everything that waits: none of it may leave.
	link := failover.LinkID{Interface: "eth0", Family: wire.IPv4}
	n.core.Step(n.now, failover.LinkChanged{Link: link, Err: "closed"}, &n.fx)
	n.core.Flush(n.now, &n.fx)
	n.fx.Reset()
	for n.core.Deadline() <= vrrp.Instant(24*time.Hour) {
		n.now = max(n.now, n.core.Deadline())
		n.core.Expire(n.now, &n.fx)
		n.core.Flush(n.now, &n.fx)
		if len(n.fx.Announcements) > 0 {
			t.Fatalf("%v are announced after the loss of the role", n.fx.Announcements)
		}
		n.fx.Reset()
	}
}

// TestSnapshotSharesNothing: what is published is not changed by what happens next.
func TestSnapshotSharesNothing(t *testing.T) {
	n := newNode(t, 3, leased)
	n.until(vrrp.Instant(4 * time.Second))
	wall := func(i vrrp.Instant) time.Time { return time.Unix(0, int64(i)).UTC() }
	s := n.core.Snapshot(n.now, wall)
	before, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		link, p := packet(t, i, 200)
		n.core.Receive(n.now, link, p, &n.fx)
	}
	n.core.Step(n.now, failover.SpeakerReported{Report: bgp.Report{Speaker: "EDGE", Err: "dead"}}, &n.fx)
	n.core.Step(n.now, failover.Stop{}, &n.fx)
	n.until(n.now + vrrp.Instant(time.Second))
	after, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(before), string(after)); diff != "" {
		t.Errorf("the snapshot has changed (-before +after):\n%s", diff)
	}
}

// TestSnapshotHasNoNullLists: programs that read the status may count on lists.
func TestSnapshotHasNoNullLists(t *testing.T) {
	cfg := failovertest.MustParseConfig("speaker EDGE\nrouter A eth0/4/51\n address 192.0.2.10/24 eth0")
	core, err := failover.New(cfg, 0)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(core.Snapshot(0, func(vrrp.Instant) time.Time { return time.Time{} }))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"routers", "speakers", "addresses", "routes", "neighbors", "announced", "drops", "checksum_forms"} {
		if strings.Contains(string(b), fmt.Sprintf("%q:null", name)) {
			t.Errorf("%s is null", name)
		}
	}
}

// TestCountersTellWhatHappened follows one router through a takeover, a rival, refusals and a release.
func TestCountersTellWhatHappened(t *testing.T) {
	n := newNode(t, 1, leased)
	n.until(vrrp.Instant(4 * time.Second))
	link, rival := packet(t, 0, 50)
	_, master := packet(t, 0, 200)
	_, own := packet(t, 0, 200)
	own.Src = addr("172.16.0.1")
	for _, p := range []*wire.Packet{rival, own, own, master} {
		n.core.Receive(n.now, link, p, &n.fx)
		n.flush()
	}
	got := n.core.Snapshot(n.now, func(vrrp.Instant) time.Time { return time.Time{} }).Routers[0].Counters
	want := failover.RouterCounters{
		AdvertsSent: 2, AdvertsReceived: 2, BecameMaster: 1, ReleasedMaster: 1, Rivals: 1, Announcements: 2,
		Checksums: map[string]uint64{"pseudo-header": 2}, Drops: map[string]uint64{"own_source": 2},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("counters (-want +got):\n%s", diff)
	}
}

// TestResetKeepsStorageOnly: a reset Effects says nothing, and the next batch need not make room again.
func TestResetKeepsStorageOnly(t *testing.T) {
	fx := failover.Effects{
		Notifications: make([]failover.Notification, 3), Objects: &failover.DesiredObjects{},
		Adverts: make([]failover.Advert, 3), Announcements: make([]failover.LinkAnnouncement, 3), Routes: make([]failover.SpeakerRoutes, 3),
		Addresses: &failover.DesiredAddresses{}, Events: make([]failover.Event, 3), Stopped: true,
		Heartbeats: make([]failover.Heartbeat, 3), Answers: make([]failover.Answer, 3), Verdicts: make([]failover.CommandVerdict, 3),
	}
	fx.Reset()
	v := reflect.ValueOf(fx)
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.Slice:
			if f.Len() != 0 || v.Type().Field(i).IsExported() && f.Cap() != 3 {
				t.Errorf("%s has length %d and capacity %d", v.Type().Field(i).Name, f.Len(), f.Cap())
			}
		default:
			if !f.IsZero() {
				t.Errorf("%s is not zero", v.Type().Field(i).Name)
			}
		}
	}
}
