package vrrp_test

import (
	"net/netip"
	"testing"
	"time"

	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// ready returns a joint router whose timer has fired, and when.
func ready(t *testing.T, c vrrp.Config) (*vrrp.Router, vrrp.Instant) {
	t.Helper()
	r := newRouter(t, c)
	r.SetJoint(true)
	if e := r.Startup(0); e.To != vrrp.Backup {
		t.Fatalf("startup of a joint router: %+v", e)
	}
	now := vrrp.Instant(0)
	if r.Deadline() != vrrp.Never {
		now = r.Deadline()
		stays(t, r, r.Expire(now), vrrp.Backup)
	}
	if !r.Ready() || r.Deadline() != vrrp.Never {
		t.Fatalf("not ready at %v, timer at %v", time.Duration(now), time.Duration(r.Deadline()))
	}
	return r, now
}

func TestJointRouterWaitsForPromote(t *testing.T) {
	r, now := ready(t, config(100))
	stays(t, r, r.Expire(now+100*second), vrrp.Backup)
	want := vrrp.Effect{Advert: true, Priority: 100, From: vrrp.Backup, To: vrrp.Active, Cause: vrrp.CauseSilence}
	if e := r.Promote(now + 100*second); e != want {
		t.Errorf("%+v, want %+v", e, want)
	}
	due(t, r, now+101*second)
}

func TestPromoteIsForTheReadyOnly(t *testing.T) {
	r := newRouter(t, config(100))
	r.SetJoint(true)
	stays(t, r, r.Promote(0), vrrp.Initialize)
	r.Startup(0)
	stays(t, r, r.Promote(second), vrrp.Backup)
	r, now := ready(t, config(100))
	hear(t, r, now, packet(t, r, higher, 200, 100))
	stays(t, r, r.Promote(now), vrrp.Backup)
	due(t, r, now.Add(r.ActiveDownInterval()))
}

// A joint owner is ready at once, and does not begin alone.
func TestJointOwnerIsReadyAtOnce(t *testing.T) {
	r, now := ready(t, config(255))
	if now != 0 {
		t.Errorf("ready at %v", time.Duration(now))
	}
	if e := r.Promote(now); e.To != vrrp.Active || e.Cause != vrrp.CauseOwner || e.Priority != 255 {
		t.Errorf("%+v", e)
	}
}

// What a ready router hears, and whether it is ready after it.
func TestWhatEndsReadiness(t *testing.T) {
	for _, tt := range []struct {
		name     string
		c        vrrp.Config
		priority uint8
		ready    bool
		follows  bool
	}{
		{"a lower priority", config(100), 99, true, false},
		{"an equal one", config(100), 100, false, true},
		{"a higher one", config(100), 101, false, true},
		{"a release", config(100), 0, true, false},
		{"a lower one with nopreempt", config(100, nopreempt), 99, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, now := ready(t, tt.c)
			hear(t, r, now, packet(t, r, higher, tt.priority, 100))
			if got := r.Ready(); got != tt.ready || r.Following() != tt.follows {
				t.Errorf("ready %v, following %v; want %v, %v", got, r.Following(), tt.ready, tt.follows)
			}
			if tt.follows {
				due(t, r, now.Add(r.ActiveDownInterval()))
				stays(t, r, r.Expire(r.Deadline()), vrrp.Backup)
				if !r.Ready() || r.Following() {
					t.Error("not ready again after silence")
				}
			}
		})
	}
}

// The router that was to be preempted may stay after all, if the own priority falls before the others are ready.
func TestReadinessIsLookedAtOnceMore(t *testing.T) {
	r := newRouter(t, config(150))
	r.SetJoint(true)
	r.Startup(0)
	for now := second; now < r.Deadline(); now += second {
		hear(t, r, now, packet(t, r, higher, 100, 100))
	}
	now := r.Deadline()
	stays(t, r, r.Expire(now), vrrp.Backup)
	if !r.Ready() {
		t.Fatal("not ready to preempt")
	}
	r.SetPriority(90)
	if r.Reconsider(now) || r.Ready() || !r.Following() {
		t.Errorf("ready with priority 90 while 100 serves")
	}
	due(t, r, (3 * second).Add(r.ActiveDownInterval()))
}

func TestDemote(t *testing.T) {
	r, now := active(t, config(100))
	stays(t, backup(t, config(100)), backup(t, config(100)).Demote(0, 0), vrrp.Backup)
	want := vrrp.Effect{Advert: true, Priority: 0, From: vrrp.Active, To: vrrp.Backup, Cause: vrrp.CauseJoint}
	if e := r.Demote(now+second, 40*time.Millisecond); e != want {
		t.Errorf("%+v, want %+v", e, want)
	}
	due(t, r, (now + second).Add(r.ActiveDownInterval()+40*time.Millisecond))
	if r.Following() {
		t.Error("it follows nobody yet")
	}
}

// What the other one had sent before both were demoted does not make them come back in step; a release is obeyed.
func TestPatienceOutlastsWhatWasOnItsWay(t *testing.T) {
	r, now := active(t, config(100))
	r.Demote(now, time.Second)
	until := now.Add(r.ActiveDownInterval() + time.Second)
	hear(t, r, now+1, packet(t, r, higher, 100, 100))
	due(t, r, until)
	hear(t, r, now+2*second, packet(t, r, higher, 100, 100))
	due(t, r, (now + 2*second).Add(r.ActiveDownInterval()))
	hear(t, r, now+2*second, packet(t, r, higher, 0, 100))
	due(t, r, (now + 2*second).Add(r.SkewTime()))
	// It ends with the role.
	r, now = active(t, config(100))
	r.Demote(now, 100*time.Second)
	hear(t, r, now, packet(t, r, higher, 0, 100))
	now = r.Deadline()
	if e := r.Expire(now); e.To != vrrp.Active {
		t.Fatalf("%+v", e)
	}
	hear(t, r, now, packet(t, r, higher, 200, 100))
	due(t, r, now.Add(r.ActiveDownInterval()))
}

// Two routers that release to each other end with one of them, and send a bounded number of packets.
func TestDemoteAgainstAnActivePeer(t *testing.T) {
	r, now := active(t, config(100))
	peer, _ := active(t, config(90))
	peer.SetSource(lower)
	r.Demote(now, 0)
	release := packet(t, peer, own, 0, 100)
	e := hear(t, peer, now, release)
	if !e.Advert || e.Priority != 90 || e.Changed() {
		t.Fatalf("an Active router answers a release with %+v", e)
	}
	stays(t, r, hear(t, r, now, packet(t, r, lower, 90, 100)), vrrp.Backup)
}

func TestEndOfJointRole(t *testing.T) {
	r, now := ready(t, config(100))
	r.SetJoint(false)
	if e := r.Expire(now + 100*second); e.To != vrrp.Active {
		t.Errorf("alone, and ready for long: %+v", e)
	}
	r.SetJoint(true)
	if r.State() != vrrp.Active {
		t.Error("a role that it has is kept")
	}
}

func TestShutdownEndsReadiness(t *testing.T) {
	r, now := ready(t, config(100))
	r.Shutdown(now)
	if r.Ready() {
		t.Error("ready in Initialize")
	}
	r.Startup(now)
	if r.Ready() {
		t.Error("ready without having listened")
	}
}

func TestOwnerIgnoresAdverts(t *testing.T) {
	ignore := func(c *vrrp.Config) { c.OwnerIgnoresAdverts = true }
	r, now := active(t, config(255, ignore))
	if _, why := r.Receive(now, packet(t, r, higher, 255, 100)); why != wire.DropOwner || r.State() != vrrp.Active {
		t.Errorf("%v, %v", why, r.State())
	}
	r, now = active(t, config(100, ignore))
	if e := hear(t, r, now, packet(t, r, higher, 200, 100)); e.To != vrrp.Backup {
		t.Errorf("who is no owner listens: %+v", e)
	}
}

// Without addresses (no_virtual_ipaddress) a router sends an empty list, and accepts one.
func TestNoAddresses(t *testing.T) {
	none := func(c *vrrp.Config) { c.Addresses = nil }
	for _, tt := range []struct {
		name string
		c    vrrp.Config
		size int
	}{
		{"version 3", config(100, none), 8},
		{"version 2", config(100, version2, none), 16},
		{"IPv6", config(100, ipv6, none), 8},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := backup(t, tt.c)
			if b := encode(t, r, tt.c.Key.Family.Group(), 100); len(b) != tt.size {
				t.Errorf("%d octets, want %d", len(b), tt.size)
			}
			src := higher
			if tt.c.Key.Family == wire.IPv6 {
				src = higher6
			}
			hear(t, r, second, packet(t, r, src, 200, 100))
			if !r.Following() || r.ListMismatches() != 0 {
				t.Errorf("following %v, %d lists differ", r.Following(), r.ListMismatches())
			}
		})
	}
	// A list that somebody else has: version 3 counts it, version 2 refuses it, as for any other difference.
	some := wire.Advertisement{Version: wire.V3, VRID: 51, Priority: 200, Interval: 100, Addresses: []netip.Addr{vip[0]}}
	h := wire.Header{Src: higher, Dst: wire.IPv4.Group(), TTL: wire.TTL}
	r := backup(t, config(100, none))
	hear(t, r, second, parse(t, &some, h))
	if r.ListMismatches() != 1 {
		t.Errorf("%d lists differ", r.ListMismatches())
	}
	some.Version = wire.V2
	if _, why := backup(t, config(100, version2, none)).Receive(second, parse(t, &some, h)); why != wire.DropAddressList {
		t.Errorf("%v", why)
	}
	// And the other way round.
	some.Addresses = nil
	for v, c := range map[wire.Version]vrrp.Config{wire.V3: config(100), wire.V2: config(100, version2)} {
		some.Version = v
		if _, why := backup(t, c).Receive(second, parse(t, &some, h)); why != wire.DropCountZero {
			t.Errorf("version %d: %v", v, why)
		}
	}
}
