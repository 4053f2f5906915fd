package failover_test

import (
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	"failoverd/bgp"
	"failoverd/failover"
	"failoverd/failover/failovertest"
	"failoverd/vrrp"
)

// recoveryBase is a node of a pair that announces its address; version 3, advert_int 1.
const recoveryBase = `speaker EDGE allow 198.51.100.0/24 neighbor 203.0.113.1
router A eth0/4/51 priority 100
  address 192.0.2.10/24 eth0 lease 3s
  announce 198.51.100.0/24 EDGE
`

// recoveryConfig returns the base with a hold time and changes.
func recoveryConfig(changes ...func(*failover.Config)) *failover.Config {
	c := failovertest.MustParseConfig(recoveryBase)
	c.BGPLease = 3 * time.Second
	c.Speakers[0].Neighbors[0].HoldTime = 9 * time.Second
	r := &c.Routers[0]
	r.BGPWait, r.WithdrawGrace = 30*time.Second, failover.DefaultWithdrawGrace
	r.VRRP.Preempt = true
	for _, change := range changes {
		change(c)
	}
	return c
}

var hongKong = netip.MustParseAddr("10.3.0.13")

// guarded makes the base a node of a site that has a watcher and a witness.
func guarded(c *failover.Config) {
	c.Sites = []failover.SiteConfig{{
		Name: "m", FenceAfter: 7 * time.Second, Heartbeat: time.Second,
		Partners: []failover.Partner{{Kind: failover.PartnerWatcher}, {Kind: failover.PartnerWitness}},
	}}
	r := &c.Routers[0]
	r.VRRP.Watchers = []vrrp.Peer{{Address: hongKong}}
	r.Region = failover.RegionConfig{Site: "m", Home: "m", Self: "m", Remote: []netip.Addr{hongKong}, FailbackClean: time.Minute}
}

// watching makes the base a watcher with a witness.
func watching(c *failover.Config) {
	c.Watches = []failover.WatchConfig{{
		Name: "m", FenceAfter: 7 * time.Second, HoldTime: 9 * time.Second, Lease: 3 * time.Second, Heartbeat: time.Second,
		TakeoverAfter: 18 * time.Second, Witnesses: []failover.Partner{{Kind: failover.PartnerWitness}}, DownQuorum: 1,
		HoldDown: time.Minute,
	}}
	r := &c.Routers[0]
	r.VRRP.Unicast, r.VRRP.Peers = true, []vrrp.Peer{{Address: hongKong}}
	r.Region = failover.RegionConfig{Watch: "m", Home: "m", Self: "hk", Remote: []netip.Addr{hongKong}}
}

// alone leaves nobody of the own site who would hear the router.
func alone(c *failover.Config) {
	r := &c.Routers[0]
	r.VRRP.Unicast, r.VRRP.Peers, r.VRRP.Watchers = true, r.VRRP.Watchers, nil
}

func trackBGP(weight int) func(*failover.Config) {
	return func(c *failover.Config) {
		c.Routers[0].Tracks = []failover.Track{{Tracker: failover.Tracker{Kind: failover.TrackBGP, Name: "EDGE"}, Weight: weight}}
	}
}

const forever = -1

// TestRTO: the totals, in seconds, as design/safety.md 6.4 has them.
func TestRTO(t *testing.T) {
	for _, tt := range []struct {
		name    string
		failure string
		cfg     *failover.Config
		want    float64
		note    string // part of it
	}{
		{"the formula: HB + T_take + T_vote + T_prog + T_adv", failover.SitePower, recoveryConfig(watching), 20.5, ""},
		{"hold 3/1", failover.SitePower, recoveryConfig(watching, func(c *failover.Config) { c.Watches[0].TakeoverAfter = 12 * time.Second }), 14.5, ""},
		{"a check that fails late", failover.SitePower, recoveryConfig(watching, func(c *failover.Config) {
			c.Watches[0].Checks = []string{"c"}
			c.Checks = []failover.CheckConfig{{Name: "c", Interval: 2 * time.Second, Timeout: time.Second, Fall: 3}}
		}), 22.5, ""},
		{"a check that needs longer than takeover_after", failover.SitePower, recoveryConfig(watching, func(c *failover.Config) {
			c.Watches[0].Checks = []string{"c"}
			c.Checks = []failover.CheckConfig{{Name: "c", Interval: 10 * time.Second, Timeout: time.Second, Fall: 5}}
		}), 52.5, ""},
		{"the site as its own nodes see it", failover.SitePower, recoveryConfig(guarded), 20.5, "takeover_after is that of the other site"},
		{"last node of a watched site crashes", failover.NodeCrash, recoveryConfig(watching), 24.5, "a check that only sees the machine"},
		{"only node of a site loses its power", failover.NodePower, recoveryConfig(guarded, alone), 20.5, "another site takes over"},

		{"a pair, crash: the silence, address and route", failover.NodeCrash, recoveryConfig(), 4.5, "hold_time"},
		{"a long lease outlives the takeover", failover.NodeCrash, recoveryConfig(func(c *failover.Config) { c.Routers[0].Addresses[0].Lease = 9 * time.Second }), 10, ""},
		{"a gobgpd outlives the agent", failover.NodeCrash, recoveryConfig(func(c *failover.Config) {
			c.Speakers[0].External = &bgp.External{Target: "unix:/run/gobgp.sock"}
		}), forever, "backend gobgpd"},
		{"an operator's gobgpd has hold times of its own", failover.NodePower, recoveryConfig(func(c *failover.Config) {
			c.Speakers[0].External, c.Speakers[0].Neighbors = &bgp.External{Target: "unix:/run/gobgp.sock"}, nil
		}), 91, "assumption"},
		{"no lease", failover.NodeCrash, recoveryConfig(func(c *failover.Config) { c.Routers[0].Addresses[0].Lease = 0 }), forever, "vip_lease 0"},
		{"a pair, power: the upstream keeps the dead route", failover.NodePower, recoveryConfig(), 10, ""},
		{"graceful restart keeps it longer", failover.NodePower, recoveryConfig(func(c *failover.Config) {
			c.Speakers[0].Neighbors[0].GracefulRestart = 30 * time.Second
		}), 40, ""},
		{"a pair that announces nothing", failover.NodePower, recoveryConfig(func(c *failover.Config) { c.Routers[0].Announce = nil }), 4.2, ""},
		{"the successor of a guarded node needs a proof", failover.NodeCrash, recoveryConfig(guarded), 5.5, ""},
		{"a pair without another site", failover.SitePower, recoveryConfig(), forever, "no other site is configured"},
		{"local mode with a watcher", failover.SitePower, recoveryConfig(func(c *failover.Config) {
			c.Routers[0].VRRP.Watchers = []vrrp.Peer{{Address: hongKong}}
		}), 10, "at another site"},
		{"duplicate address detection", failover.NodeCrash, recoveryConfig(func(c *failover.Config) { c.Routers[0].Addresses[0].DAD = true }), 6.5, ""},
		{"sub-second advertisements", failover.NodeCrash, recoveryConfig(func(c *failover.Config) {
			c.Routers[0].VRRP.Interval, c.Routers[0].Announce = 10, nil
		}), 4, ""},
		{"a slow member of the sync group", failover.NodePower, recoveryConfig(func(c *failover.Config) {
			slow := c.Routers[0]
			slow.Name, slow.VRRP.Interval = "B", 300
			c.Routers = append(c.Routers, slow)
			c.Groups = []failover.GroupConfig{{Name: "G", Members: []string{"A", "B"}}}
		}), 12.5, ""},

		{"uplink, not tracked", failover.UplinkLoss, recoveryConfig(), forever, "track_bgp"},
		{"uplink, the role is given up", failover.UplinkLoss, recoveryConfig(trackBGP(0)), 10.5, "if the successor's own uplink works"},
		{"uplink, the priority falls", failover.UplinkLoss, recoveryConfig(trackBGP(-50)), 13.5, ""},
		{"uplink, the priority falls, and nobody preempts", failover.UplinkLoss, recoveryConfig(trackBGP(-50), func(c *failover.Config) { c.Routers[0].VRRP.Preempt = false }), forever, "nopreempt"},
		{"uplink of a guarded node", failover.UplinkLoss, recoveryConfig(guarded, trackBGP(0)), 12.5, ""},
		{"uplink of the watched site", failover.UplinkLoss, recoveryConfig(watching), 15.5, "track_bgp"},

		{"inter-region link, witness", failover.InterRegionLoss, recoveryConfig(watching), 0, "nothing happens"},
		{"inter-region link, site with a witness", failover.InterRegionLoss, recoveryConfig(guarded), 0, "nothing happens"},
		{"inter-region link, site without a witness", failover.InterRegionLoss, recoveryConfig(guarded, func(c *failover.Config) {
			c.Sites[0].Partners = c.Sites[0].Partners[:1]
		}), 20.5, "fences itself after fence_after 7"},
		{"inter-region link, local mode", failover.InterRegionLoss, recoveryConfig(func(c *failover.Config) {
			c.Routers[0].VRRP.Watchers = []vrrp.Peer{{Address: hongKong}}
		}), forever, "both serve and both announce"},
		{"inter-region link, no region", failover.InterRegionLoss, recoveryConfig(), 0, "no other site"},

		{"orderly stop", failover.OrderlyStop, recoveryConfig(), 2, "not an outage"},
		{"orderly stop, nothing to withdraw", failover.OrderlyStop, recoveryConfig(func(c *failover.Config) { c.Routers[0].Announce = nil }), 1.2, "not an outage"},
		{"orderly stop, to another site", failover.OrderlyStop, recoveryConfig(guarded), 4.7, "handover_overlap 0"},
		{"orderly stop, to another site, which serves beside this one", failover.OrderlyStop, recoveryConfig(guarded, func(c *failover.Config) {
			c.Routers[0].Region.HandoverOverlap = 2 * time.Second
		}), 6.9, "handover_overlap 2"},
		{"failback", failover.Failback, recoveryConfig(), 34.5, "can be an outage"},
		{"failback from another site", failover.Failback, recoveryConfig(guarded), 66.5, "sessions of its speakers"},
		{"failback by a person", failover.Failback, recoveryConfig(func(c *failover.Config) { c.Routers[0].VRRP.Preempt = false }), forever, "a person decides"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := recoveryOf(t, tt.cfg, tt.failure)
			total := float64(forever)
			if got.TotalMS != nil {
				total = *got.TotalMS / 1000
			}
			if math.Abs(total-tt.want) > 1e-9 || !strings.Contains(got.Note, tt.note) {
				t.Errorf("%v s, want %v s, with %q:\n%s", total, tt.want, tt.note, failover.RecoveryText([]failover.RecoveryStatus{got}))
			}
		})
	}
}

// recoveryOf returns one failure of the first router.
func recoveryOf(t *testing.T, cfg *failover.Config, failure string) failover.RecoveryStatus {
	t.Helper()
	for _, s := range failover.RTO(cfg) {
		if s.Router == cfg.Routers[0].Name && s.Failure == failure {
			return s
		}
	}
	t.Fatalf("%s is not reckoned", failure)
	return failover.RecoveryStatus{}
}

// TestRTOAddsUp: every total is the sum of its terms, and every term says where it comes from.
func TestRTOAddsUp(t *testing.T) {
	for _, cfg := range []*failover.Config{
		recoveryConfig(), recoveryConfig(guarded), recoveryConfig(watching), recoveryConfig(guarded, alone), recoveryConfig(trackBGP(-1)), {},
	} {
		list := failover.RTO(cfg)
		if len(list) != 7*len(cfg.Routers) {
			t.Errorf("%d results for %d routers", len(list), len(cfg.Routers))
		}
		for _, s := range list {
			sum := 0.0
			for _, x := range s.Terms {
				if sum += x.MS; x.MS <= 0 || x.Why == "" || x.Name == "" {
					t.Errorf("%s: term %+v", s.Failure, x)
				}
			}
			if s.TotalMS != nil && math.Abs(*s.TotalMS-sum) > 1e-6 {
				t.Errorf("%s: total %v, sum %v", s.Failure, *s.TotalMS, sum)
			}
			if s.TotalMS == nil && s.Note == "" {
				t.Errorf("%s has no bound, and no reason", s.Failure)
			}
		}
	}
}

// TestSnapshotHasTheRecovery: status has the numbers of rto.
func TestSnapshotHasTheRecovery(t *testing.T) {
	cfg := recoveryConfig()
	c, err := failover.New(cfg, 0)
	if err != nil {
		t.Fatal(err)
	}
	s := c.Snapshot(0, func(vrrp.Instant) time.Time { return time.Time{} })
	if got, want := failover.RecoveryText(s.Recovery), failover.RecoveryText(failover.RTO(cfg)); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

// TestRecoveryOfServices: an anycast service is led to until its route is gone; nobody takes over.
func TestRecoveryOfServices(t *testing.T) {
	cfg := failovertest.MustParseConfig("check_group g any check web check far\nspeaker EDGE allow 192.0.2.0/24 neighbor 203.0.113.1\nservice W lo drain_time 5s\naddress 192.0.2.1/32 lo lease 3s\nannounce 192.0.2.0/24 EDGE\ntrack check g\nservice X lo\naddress 192.0.2.2/32 lo\n")
	cfg.Speakers[0].Neighbors[0].HoldTime = 9 * time.Second
	cfg.Checks = []failover.CheckConfig{
		{Name: "web", Interval: time.Second, FallInterval: time.Second / 2, Timeout: time.Second / 2, Fall: 3},
		{Name: "far", Interval: 2 * time.Second, Timeout: time.Second, Fall: 2},
	}
	want := map[string]float64{ // seconds; -1: no bound
		"W " + failover.ServiceFailure: 2 + 2 + 1 + failover.WithdrawTime.Seconds(), // far: it looks, looks again, and waits
		"W " + failover.NodeCrash:      3 + failover.KernelSlop.Seconds(),
		"W " + failover.NodePower:      9 + failover.WithdrawTime.Seconds(),
		"W " + failover.UplinkLoss:     9 + failover.WithdrawTime.Seconds(),
		"W " + failover.OrderlyStop:    failover.DefaultWithdrawGrace.Seconds(),
		"X " + failover.ServiceFailure: -1,
		"X " + failover.NodeCrash:      -1,
		"X " + failover.NodePower:      0,
		"X " + failover.UplinkLoss:     0,
		"X " + failover.OrderlyStop:    0,
	}
	list := failover.RTO(cfg)
	for i := range list {
		r := &list[i]
		got := -1.0
		if r.TotalMS != nil {
			got = *r.TotalMS / 1000
		}
		if w, ok := want[r.Router+" "+r.Failure]; !ok || math.Abs(got-w) > 0.001 || r.Kind != "anycast_service" {
			t.Errorf("%s %s: %v s, want %v: %+v", r.Router, r.Failure, got, w, *r)
		}
	}
	if len(list) != len(want) {
		t.Errorf("%d failures, want %d", len(list), len(want))
	}
	if text := failover.RecoveryText(list); !strings.HasPrefix(text, "anycast_service W: at most\n") || strings.Contains(text, "Active") {
		t.Errorf("it reads\n%s", text)
	}
}
