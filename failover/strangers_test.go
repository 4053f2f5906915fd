package failover_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"failoverd/failover"
	"failoverd/failover/failovertest"
	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// TestStrangersAreNamed: a router names the sources of unicast advertisements that it refuses because they are not its peers,
// the newest few of however many somebody makes up.
func TestStrangersAreNamed(t *testing.T) {
	cfg := failovertest.MustParseConfig("router A eth0/4/51 priority 100 unicast source 192.0.2.1\npeer 192.0.2.2\naddress 192.0.2.10/32 eth0\n")
	core, err := failover.New(cfg, 0)
	if err != nil {
		t.Fatal(err)
	}
	var fx failover.Effects
	core.Step(0, failover.LinkChanged{Link: failover.LinkID{Family: wire.IPv4}, Open: true}, &fx)
	core.Step(0, failover.InterfaceChanged{Interface: failover.Interface{
		Name: "eth0", Index: 2, Up: true, Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24")},
	}}, &fx)
	hear := func(at time.Duration, source string) wire.DropReason {
		t.Helper()
		return core.Receive(vrrp.Instant(at), failover.LinkID{Family: wire.IPv4}, &wire.Packet{
			Header:        wire.Header{Src: netip.MustParseAddr(source), Dst: netip.MustParseAddr("192.0.2.1"), TTL: 255},
			Advertisement: wire.Advertisement{Version: wire.V3, VRID: 51, Priority: 100, Interval: 100, Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.10")}},
		}, &fx)
	}
	status := func(at time.Duration) []failover.StrangerStatus {
		s := core.Snapshot(vrrp.Instant(at), func(i vrrp.Instant) time.Time { return time.Unix(0, int64(i)) })
		return s.Routers[0].Strangers
	}
	if why := hear(time.Second, "192.0.2.2"); why != wire.Accepted || len(status(time.Second)) != 0 {
		t.Errorf("the peer's: %v, strangers %+v", why, status(time.Second))
	}
	for range 3 {
		if why := hear(2*time.Second, "192.0.2.9"); why != wire.DropNotPeer {
			t.Fatalf("a stranger's: %v", why)
		}
	}
	if got := status(3 * time.Second); len(got) != 1 || got[0] != (failover.StrangerStatus{Source: netip.MustParseAddr("192.0.2.9"), Packets: 3, MSAgo: 1000}) {
		t.Errorf("strangers %+v", got)
	}
	for i := range 250 {
		hear(4*time.Second, fmt.Sprintf("198.51.100.%d", i))
		hear(4*time.Second, "192.0.2.9")
	}
	got := status(4 * time.Second)
	if len(got) != 4 || got[0].Source.String() != "192.0.2.9" || got[0].Packets != 253 || got[1].Source.String() != "198.51.100.249" {
		t.Errorf("after a flood: %+v", got)
	}
}
