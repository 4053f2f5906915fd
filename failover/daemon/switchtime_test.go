package daemon

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"failoverd/failover"
	"failoverd/failover/failovertest"
	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// Whatever becomes of a successor, the next advertisement leaves before three intervals have passed since the last one.
func TestSwitchTime(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name     string
		due      time.Duration // from now on
		leases   time.Duration // from now on; 0: there are none
		interval time.Duration
		want     time.Duration
		hasty    bool
	}{
		{"nobody is Active", 5 * ms, 0, 0, longestSwitch, false},
		{"a second, at a good moment", 600 * ms, 0, time.Second, longestSwitch, false},
		{"a second, at the last moment", 1 * ms, 0, time.Second, 1981 * ms, false},
		{"a tenth, at a good moment", 60 * ms, 0, 100 * ms, 240 * ms, false},
		{"a tenth, overdue", -30 * ms, 0, 100 * ms, 150 * ms, false},
		{"40 ms", 20 * ms, 0, 40 * ms, 80 * ms, false},
		{"25 ms at the last moment", 0, 0, 25 * ms, 30 * ms, false},
		{"20 ms at the last moment", 0, 0, 20 * ms, 20 * ms, true},
		{"10 ms", 5 * ms, 0, 10 * ms, 5 * ms, true},
		{"leases that outlive it", 600 * ms, 2300 * ms, time.Second, longestSwitch, false},
		{"leases of a second, about to be renewed", 600 * ms, 666 * ms, time.Second, 366 * ms, false},
		{"leases of routes, and nobody is Active", 600 * ms, 750 * ms, 0, 450 * ms, false},
		{"leases that were not renewed in time", 600 * ms, 310 * ms, 0, 10 * ms, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			now := vrrp.Instant(time.Hour)
			leases := vrrp.Never
			if c.leases > 0 {
				leases = now.Add(c.leases)
			}
			got := switchTime(now, now.Add(c.due), leases, c.interval)
			if got != c.want || (hasty(got, c.interval) != "") != c.hasty {
				t.Errorf("%v, %q; want %v", got, hasty(got, c.interval), c.want)
			}
			if last := c.due - c.interval; c.interval > 0 && got+killTime-last > 3*c.interval {
				t.Errorf("the neighbors hear nothing for %v", got+killTime-last)
			}
		})
	}
	if why := hasty(5*ms, 10*ms); !strings.Contains(why, "for 30ms") || !strings.Contains(why, "leaves 5ms") {
		t.Error(why)
	}
	if why := hasty(5*ms, time.Second); !strings.Contains(why, "leases of addresses or routes, are late, which leaves 5ms") {
		t.Error(why)
	}
}

// The lower bound that --check tells is that of the shortest lease that runs.
func TestLeasesEnd(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name, config string
		least, ends  time.Duration // 0: none runs
	}{
		{"nothing that ends", "router V4 eth0/4/51 priority 100\n  address 192.0.2.10/24 eth0\n", 0, 0},
		{"addresses that nobody has", "router V4 eth0/4/51 priority 100\n  address 192.0.2.10/24 eth0 lease 1s\n", 0, 0},
		{"routes", "bgp_lease 2s\nspeaker EDGE allow 198.51.100.0/24\nrouter V4 eth0/4/51 priority 100\n  address 192.0.2.10/24 eth0\n", 1500 * ms, 1600 * ms},
		{"addresses", "router V4 eth0/4/51 priority 255\n  address 192.0.2.10/24 eth0 lease 1s\n", time.Second - time.Second/3, time.Second},
		{"the shorter one", "bgp_lease 1s\nspeaker EDGE allow 198.51.100.0/24\nrouter V4 eth0/4/51 priority 255\n  address 192.0.2.10/24 eth0 lease 3s\n", 750 * ms, 850 * ms},
	} {
		t.Run(c.name, func(t *testing.T) {
			core := atWork(t, c.config)
			want := func(d time.Duration) vrrp.Instant {
				if d == 0 {
					return vrrp.Never
				}
				return vrrp.Instant(d)
			}
			if got := leastLeases(core, 0); got != want(c.least) {
				t.Errorf("at least %v, want %v", got, want(c.least))
			}
			if got := leasesEnd(core, vrrp.Instant(100*ms)); got != want(c.ends) {
				t.Errorf("they end at %v, want %v", got, want(c.ends))
			}
		})
	}
}

// atWork returns a core whose interface is there from the beginning, at 0: who owns the addresses serves.
func atWork(t *testing.T, config string) *failover.Core {
	t.Helper()
	cfg, err := failovertest.ParseConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	core, err := failover.New(cfg, 0)
	if err != nil {
		t.Fatal(err)
	}
	var fx failover.Effects
	core.Step(0, failover.InterfaceChanged{Interface: failover.Interface{
		Name: "eth0", Index: 2, Up: true, Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24")},
	}}, &fx)
	core.Step(0, failover.LinkChanged{Link: failover.LinkID{Interface: "eth0", Family: wire.IPv4}, Open: true}, &fx)
	core.Flush(0, &fx)
	return core
}
