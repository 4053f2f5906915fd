package failover_test

import (
	"net/netip"
	"testing"
	"time"

	"failoverd/failover"
	"failoverd/failover/failovertest"
	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// leaver is an Active router that the tests make leave its role.
type leaver struct {
	core      *failover.Core
	now       vrrp.Instant
	fx        failover.Effects
	addresses int // how many are asked for
}

var outside = addr("192.0.2.200")

func newLeaver(t *testing.T, region failover.RegionConfig) *leaver {
	t.Helper()
	cfg := failovertest.MustParseConfig("router A eth0/4/51 priority 150\n address 192.0.2.10/24 eth0\n")
	cfg.Routers[0].Region = region
	if region.HandoverUntil != "" {
		cfg.Checks = []failover.CheckConfig{{Name: region.HandoverUntil}}
	}
	l := new(leaver)
	var err error
	if l.core, err = failover.New(cfg, 0); err != nil {
		t.Fatal(err)
	}
	l.step(failover.LinkChanged{Link: failover.LinkID{Interface: "eth0", Family: wire.IPv4}, Open: true})
	l.step(failover.InterfaceChanged{Interface: failover.Interface{
		Name: "eth0", Index: 2, Up: true, Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24")},
	}})
	l.until(4 * time.Second)
	l.step(failover.AddressesReported{Report: failover.AddressReport{
		Generation: 1, Present: []failover.AddressKey{{Interface: "eth0", Prefix: netip.MustParsePrefix("192.0.2.10/24")}},
	}})
	if l.addresses != 1 || l.core.Snapshot(l.now, wallClock).Routers[0].Waiting != "" {
		t.Fatal("it does not serve")
	}
	return l
}

func (l *leaver) step(in failover.Input) {
	l.core.Step(l.now, in, &l.fx)
	l.flush()
}

func (l *leaver) hear(from netip.Addr, priority uint8) {
	l.core.Receive(l.now, failover.LinkID{Interface: "eth0", Family: wire.IPv4}, &wire.Packet{
		Header: wire.Header{Src: from, Dst: wire.IPv4.Group(), TTL: wire.TTL},
		Advertisement: wire.Advertisement{
			Version: wire.V3, VRID: 51, Priority: priority, Interval: 100, Addresses: addrs("192.0.2.10"),
		},
	}, &l.fx)
	l.flush()
}

func (l *leaver) flush() {
	if l.core.Deadline() <= l.now {
		l.core.Expire(l.now, &l.fx)
	}
	l.core.Flush(l.now, &l.fx)
	if l.fx.Addresses != nil {
		l.addresses = len(l.fx.Addresses.Addresses)
	}
	l.fx.Reset()
}

// until lets time pass.
func (l *leaver) until(d time.Duration) {
	for target := vrrp.Instant(d); l.core.Deadline() <= target; {
		l.now = max(l.now, l.core.Deadline())
		l.flush()
	}
	l.now = vrrp.Instant(d)
}

// TestHowLongALeaverServes: a role that stays in its site ends when its successor must have everything in place. One that
// leaves the site ends at once, unless the configuration lets both sites serve for a while.
func TestHowLongALeaverServes(t *testing.T) {
	overlap := failover.RegionConfig{Remote: []netip.Addr{outside}, HandoverOverlap: 5 * time.Second}
	until := overlap
	until.HandoverUntil = "seen"
	strict := failover.RegionConfig{Remote: []netip.Addr{outside}}
	yield := func(from netip.Addr) func(*leaver) { return func(l *leaver) { l.hear(from, 200) } }
	// Who has taken the role goes on to say so.
	again := func(l *leaver) {
		for _, at := range []time.Duration{6 * time.Second, 8 * time.Second} {
			l.until(at)
			l.hear(outside, 200)
		}
	}
	drain := func(from netip.Addr) func(*leaver) {
		return func(l *leaver) {
			l.step(failover.DrainCommand{Router: "A", Drain: failover.Drain{By: "ann"}})
			l.until(4500 * time.Millisecond)
			if from.IsValid() {
				l.hear(from, 100)
			}
		}
	}
	for _, c := range []struct {
		name   string
		region failover.RegionConfig
		leave  func(*leaver)
		serves time.Duration // after the start of the agent, until the addresses go
	}{
		{"a better router of the site", strict, yield(addr("192.0.2.2")), 4*time.Second + failover.HandoverGrace},
		{"a better router of another site", strict, yield(outside), 4 * time.Second},
		{"the same, with an overlap", overlap, func(l *leaver) {
			l.hear(outside, 200)
			again(l)
		}, 9 * time.Second},
		{"the same, seen through the own upstream", until, func(l *leaver) {
			l.hear(outside, 200)
			l.until(6 * time.Second)
			l.step(failover.TrackerReported{Report: failover.TrackerReport{Tracker: failover.Tracker{Kind: failover.TrackCheck, Name: "seen"}, OK: true}})
		}, 6 * time.Second},
		{"not seen", until, func(l *leaver) {
			l.hear(outside, 200)
			l.step(failover.TrackerReported{Report: failover.TrackerReport{Tracker: failover.Tracker{Kind: failover.TrackCheck, Name: "seen"}}})
			again(l)
		}, 9 * time.Second},
		{"drained, and taken over in the site", overlap, drain(addr("192.0.2.2")), 4500*time.Millisecond + failover.HandoverGrace},
		{"drained, and taken over by another site", overlap, drain(outside), 9500 * time.Millisecond},
		{"the same without an overlap", strict, drain(outside), 4500 * time.Millisecond},
		{"drained, and nobody comes", strict, drain(netip.Addr{}), 5200 * time.Millisecond},
		{"the same with an overlap", overlap, drain(netip.Addr{}), 5200*time.Millisecond + failover.HandoverRemoteMargin},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLeaver(t, c.region)
			c.leave(l)
			if l.now < vrrp.Instant(c.serves) {
				l.until(c.serves - 1)
				if l.addresses != 1 {
					t.Errorf("it has let its address go before %v", c.serves)
				}
				l.until(c.serves)
			}
			l.flush()
			if l.addresses != 0 {
				t.Errorf("it still has its address at %v", c.serves)
			}
		})
	}
}

// A stop ends in bounded time whatever the interval is.
func TestLongIntervalsDoNotHoldTheStop(t *testing.T) {
	l := newLeaver(t, failover.RegionConfig{})
	cfg := failovertest.MustParseConfig("router A eth0/4/51 priority 150 interval 40s\n address 192.0.2.10/24 eth0\n")
	l.step(failover.Reconfigured{Config: cfg})
	l.step(failover.Stop{Reason: "terminated"})
	if !l.core.Draining() || l.core.StopLimit() != l.now.Add(failover.HandoverStopBound+failover.HandoverRouteGrace+failover.StopBound) {
		t.Errorf("draining %t, the end is %v after the stop", l.core.Draining(), l.core.StopLimit().Sub(l.now))
	}
	l.until(4*time.Second + failover.HandoverStopBound)
	if l.core.Draining() || l.addresses != 0 {
		t.Error("it still serves")
	}
}
