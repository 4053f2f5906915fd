package vrrp_test

import (
	"net/netip"
	"testing"
	"time"

	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// The rules on intervals, families, list lengths and version 2 have tests by their catalogue names.
func TestNewRefuses(t *testing.T) {
	set := func(f func(*vrrp.Config)) vrrp.Config { return config(100, f) }
	peers := func(ps ...vrrp.Peer) vrrp.Config { return config(100, unicast(ps...)) }
	for _, tt := range []struct {
		c    vrrp.Config
		want string
	}{
		{vrrp.Config{}, "VRID 0"},
		{set(func(c *vrrp.Config) { c.Key.VRID = 0 }), "VRID 0"},
		{set(func(c *vrrp.Config) { c.Key.Family = 5 }), "family 5"},
		{set(func(c *vrrp.Config) { c.Version = 4 }), "version 4"},
		{config(0), "priority 0"},
		{set(func(c *vrrp.Config) { c.PreemptDelay = -1 }), "preempt delay"},
		{set(func(c *vrrp.Config) { c.DownTimerAdverts = 101 }), "down_timer_adverts 101"},
		{set(func(c *vrrp.Config) { c.Checksum = 3 }), "checksum form 3"},
		{set(func(c *vrrp.Config) { c.Addresses = []netip.Addr{addr("224.0.0.18")} }), "cannot be a virtual address"},
		{set(func(c *vrrp.Config) { c.Addresses = []netip.Addr{addr("0.0.0.0")} }), "cannot be a virtual address"},
		{config(100, ipv6, func(c *vrrp.Config) { c.Addresses = []netip.Addr{addr("fe80::1%eth0")} }), "cannot be a virtual"},
		{peers(vrrp.Peer{}), "peer invalid IP is not IPv4"},
		{peers(vrrp.Peer{Address: addr("2001:db8::1")}), "is not IPv4"},
		{peers(vrrp.Peer{Address: addr("224.0.0.18")}), "no unicast address"},
		{peers(vrrp.Peer{Address: addr("255.255.255.255")}), "no unicast address"},
		{peers(vrrp.Peer{Address: addr("0.0.0.0")}), "no unicast address"},
		{peers(vrrp.Peer{Address: lower}, vrrp.Peer{Address: higher, MinTTL: 10, MaxTTL: 9}), "at least 10 and at most 9"},
		{set(func(c *vrrp.Config) { c.Watchers = []vrrp.Peer{{Address: vip6[1]}} }), "is not IPv4"},
		{config(100, unicast(), func(c *vrrp.Config) { c.Watchers = []vrrp.Peer{{Address: lower}} }), "watchers"},
	} {
		refuseConfig(t, tt.c, tt.want)
	}
}

func TestNewKeepsNothingOfTheCallers(t *testing.T) {
	c := config(100, unicast(vrrp.Peer{Address: higher}))
	r := newRouter(t, c)
	c.Peers[0].Address = lower
	if r.Config().Peers[0].Address != higher || r.Config().DownTimerAdverts != 3 {
		t.Errorf("%+v", r.Config())
	}
}

func TestDownTimerAdverts(t *testing.T) {
	r := backup(t, config(100, func(c *vrrp.Config) { c.DownTimerAdverts = 5 }))
	due(t, r, after(5609375*time.Microsecond))
}

func TestKeyText(t *testing.T) {
	for _, k := range []vrrp.Key{{"eth0", wire.IPv4, 51}, {"bond0.100", wire.IPv6, 255}, {"a:1", wire.IPv6, 1}} {
		b, err := k.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var got vrrp.Key
		if err := got.UnmarshalText(b); err != nil || got != k {
			t.Errorf("%s: %+v, %v", b, got, err)
		}
	}
	if k := (vrrp.Key{Interface: "eth0", Family: wire.IPv4, VRID: 51}); k.String() != "eth0/4/51" {
		t.Errorf("%v", k)
	}
	for _, s := range []string{"", "eth0", "eth0/4", "/4/51", "eth0/5/51", "eth0/4/0", "eth0/4/256", "eth0/x/51", "eth0/4/51/1"} {
		var k vrrp.Key
		if err := k.UnmarshalText([]byte(s)); err == nil || k != (vrrp.Key{}) {
			t.Errorf("%q: %+v, %v", s, k, err)
		}
	}
}

func TestWords(t *testing.T) {
	for s, want := range map[vrrp.State]string{vrrp.Initialize: "Initialize", vrrp.Backup: "Backup", vrrp.Active: "Active"} {
		if s.String() != want {
			t.Errorf("%v, want %s", s, want)
		}
	}
	seen := make(map[string]bool)
	for c := vrrp.CauseNone; c <= vrrp.CauseResume; c++ {
		if seen[c.String()] {
			t.Errorf("two causes are called %q", c)
		}
		seen[c.String()] = true
	}
}

func TestInstant(t *testing.T) {
	if vrrp.Never.Add(time.Hour) != vrrp.Never || vrrp.Never.Add(-time.Hour) != vrrp.Never {
		t.Error("never came")
	}
	if i := second.Add(-2 * time.Second); i.Sub(second) != -2*time.Second {
		t.Errorf("%v", i)
	}
}

func TestReconfigure(t *testing.T) {
	for _, tt := range []struct {
		name string
		to   vrrp.Config
		want bool
	}{
		{"the same", config(100), true},
		{"addresses, interval, priority", config(120, interval(50), func(c *vrrp.Config) { c.Addresses = list4(3) }), true},
		{"to owner", config(255), false},
		{"another version", config(100, version2), false},
		{"to unicast", config(100, unicast(vrrp.Peer{Address: higher})), false},
		{"another VRID", config(100, func(c *vrrp.Config) { c.Key.VRID++ }), false},
		{"invalid", config(100, interval(0)), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, r := range []*vrrp.Router{newRouter(t, config(100)), backup(t, config(100))} {
				state, deadline, before := r.State(), r.Deadline(), r.WithoutDrops()
				if got := r.Reconfigure(tt.to); got != tt.want {
					t.Fatalf("%v, want %v", got, tt.want)
				}
				if r.State() != state || r.Deadline() != deadline {
					t.Errorf("state %v, timer %v", r.State(), r.Deadline())
				}
				if !tt.want && (r.Config().Interval != before.Config().Interval || r.Priority() != before.Priority()) {
					t.Errorf("refused, but changed to %+v", r.Config())
				}
				if tt.want && (r.Priority() != tt.to.Priority || r.Config().DownTimerAdverts != 3) {
					t.Errorf("priority %d, %+v", r.Priority(), r.Config())
				}
			}
		})
	}
	// The new list is the one that is compared.
	r := backup(t, config(100))
	r.Reconfigure(config(100, func(c *vrrp.Config) { c.Addresses = list4(2) }))
	p := packet(t, r, higher, 200, 100)
	p.Addresses[0], p.Addresses[1] = p.Addresses[1], p.Addresses[0]
	hear(t, r, second, p)
	if r.ListMismatches() != 0 {
		t.Error("compared with the old list")
	}
	// A Backup keeps the interval it learned, an Active router advertises its new one.
	hear(t, r, second, packet(t, r, higher, 200, 300))
	r.Reconfigure(config(100, interval(50)))
	if r.LearnedInterval() != 300 {
		t.Errorf("interval %d, want the learned 300", r.LearnedInterval())
	}
	r, now := active(t, config(100))
	r.Reconfigure(config(100, interval(50)))
	r.Expire(now + second)
	due(t, r, (now + second).Add(500*time.Millisecond))
}
