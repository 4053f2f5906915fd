package status

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"failoverd/bgp"
	"failoverd/failover"
	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// fakeSource is an agent whose answers the test decides.
type fakeSource struct {
	snapshot atomic.Pointer[failover.Snapshot]
	reload   func(context.Context) error
	warnings []string
	events   []json.RawMessage
	reloads  atomic.Int32
	plan     func(*PlanRequest) (*PlanAnswer, error)
	command  func(*Command) (*CommandAnswer, error)
}

func (f *fakeSource) Command(_ context.Context, c *Command) (*CommandAnswer, error) {
	return f.command(c)
}

func (f *fakeSource) Plan(q *PlanRequest) (*PlanAnswer, error) { return f.plan(q) }

func (f *fakeSource) Events(last int) []json.RawMessage { return f.events[max(0, len(f.events)-last):] }

func (f *fakeSource) Snapshot() *failover.Snapshot { return f.snapshot.Load() }

func (f *fakeSource) Reload(ctx context.Context) ([]string, error) {
	f.reloads.Add(1)
	if f.reload == nil {
		return f.warnings, nil
	}
	return f.warnings, f.reload(ctx)
}

// serve runs a server of src on a socket of its own until the test ends.
func serve(t *testing.T, src Source) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "status.sock")
	s, err := New(path, src, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return path
}

// request sends one request and returns the answer's code, header and body.
func request(t *testing.T, path, method, url string, body io.Reader) (int, http.Header, string) {
	t.Helper()
	c := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			return net.Dial("unix", path)
		},
	}}
	req, err := http.NewRequest(method, "http://x"+url, body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(b)
}

var errRefused = errors.New("f.conf:3:5: error: unknown keyword \"priorty\" (did you mean \"priority\"?)\nf.conf:9:1: error: missing }")

func date(s string) time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return t
}

// sample is an agent that is well: one MASTER that announces, one BACKUP.
func sample() *failover.Snapshot {
	taken := date("2026-05-04T12:00:00Z")
	next := 612.5
	return &failover.Snapshot{
		Version: "0.1.0", BootID: "8c1f2f8e-7a0e-4e0a-9d53-6b1e6f1f2f11", PID: 4711, RouterID: "mainland-a",
		StartedAt: taken.Add(-3*time.Hour - 12*time.Minute), TakenAt: taken, AgeSeconds: 0.25,
		Config: failover.ConfigStatus{
			File: "/etc/failoverd/failoverd.conf", Hash: "3f9a0b12c4d5e6f7",
			LoadedAt: taken.Add(-26 * time.Hour), Reloads: 2,
		},
		Routers: []failover.RouterStatus{{
			Name: "WEB", Key: vrrp.Key{Interface: "eth0", Family: wire.IPv4, VRID: 51}, VRID: 51,
			State: "MASTER", Since: taken.Add(-3 * time.Hour), Why: "no advertisement for 3.609s",
			Interface: "eth0", Version: 3, Source: "198.18.0.1",
			PriorityBase: 150, PriorityEffective: 150, Preempt: true,
			Master:           &failover.MasterStatus{Address: netip.MustParseAddr("198.18.0.1"), Priority: 150, Self: true},
			AdvertIntervalMS: 1000, LearnedIntervalMS: 1000, SkewMS: 414.0625, ActiveDownMS: 3414.0625, NextTimerMS: &next,
			Addresses: []failover.AddressStatus{{
				Address: netip.MustParsePrefix("198.51.100.10/32"), Interface: "lo", Wanted: true, Present: true,
			}},
			Routes: []failover.RouteStatus{{
				Prefix: netip.MustParsePrefix("198.51.100.0/24"), Speaker: "EDGE", When: "active",
				Route: "198.51.100.0/24 med 50", Wanted: true, Announced: true, Sessions: 1,
			}},
			Counters: failover.RouterCounters{AdvertsSent: 10800, BecameMaster: 1, Announcements: 10},
		}, {
			Name: "a/b:c", Key: vrrp.Key{Interface: "eth1", Family: wire.IPv6, VRID: 7}, VRID: 7,
			State: "BACKUP", Since: taken.Add(-72 * time.Second), Why: "heard a higher priority",
			Interface: "eth1", Version: 3, Source: "fe80::1", PriorityBase: 100, PriorityEffective: 60,
			Tracks: []failover.TrackStatus{{
				Kind: "track_script", Name: "chk_web", Weight: -40, Known: true, Reason: "exit status 7, 3 in a row", Effect: -40,
			}},
			Master:    &failover.MasterStatus{Address: netip.MustParseAddr("fe80::2"), Priority: 200, HeardMSAgo: 312},
			Addresses: []failover.AddressStatus{{Address: netip.MustParsePrefix("fe80::100/64"), Interface: "eth1"}},
			Counters:  failover.RouterCounters{AdvertsReceived: 72, Drops: map[string]uint64{"checksum": 3, "ttl": 12}},
		}},
		Speakers: []failover.SpeakerStatus{{
			Name: "EDGE", LocalAS: 64501, Connected: true, Announced: []string{"198.51.100.0/24 med 50"},
			Neighbors: []bgp.NeighborStatus{{
				Address: netip.MustParseAddr("203.0.113.1"), RemoteAS: 64500, State: bgp.Established,
				Since: taken.Add(-3 * time.Hour), HoldTime: 9 * time.Second,
			}},
		}},
		Links: []failover.LinkStatus{
			{Link: "eth0/4", Open: true, Sent: 10800, Received: 15, Drops: map[string]uint64{"vrid_unknown": 15}},
			{Link: "eth1/6", Open: true, Received: 72},
		},
	}
}

// alone is an agent whose second router may take over, and does not know of any MASTER.
func alone() *failover.Snapshot {
	s, next := sample(), 414.1
	s.Routers[0].State, s.Routers[0].Why = "BACKUP", "higher priority heard"
	s.Routers[0].Master = &failover.MasterStatus{Address: netip.MustParseAddr("198.18.0.2"), Priority: 200, HeardMSAgo: 3000}
	s.Routers[0].NextTimerMS, s.Routers[0].TakesOver = &next, true
	r := &s.Routers[1]
	r.Tracks, r.PriorityEffective, r.Watch, r.Mode, r.NextTimerMS = nil, 100, "mainland", "guarded", &next
	r.LastMaster, r.Master = r.Master, nil
	r.Now, r.Waiting = "no MASTER is heard; fe80::2 was the last one, 0.3 s ago", "site mainland looks down, observed for 4.0 s of 18.0 s"
	return s
}

// trouble is an agent on which everything that can be wrong is.
func trouble() *failover.Snapshot {
	s := sample()
	failed := s.TakenAt.Add(-2 * time.Minute)
	s.AgeSeconds = 75
	s.Config.LastError, s.Config.LastErrorAt, s.Config.LastFailed = errRefused.Error(), "f.conf:3:5", &failed
	s.Agent = failover.AgentStatus{LoopLateMillis: 812.4, PacketsDropped: 9, Stopping: true}
	s.Routers[0].Addresses[0].Present = false
	s.Routers[0].Addresses[0].Error = "file exists"
	s.Routers[0].Routes[0].Announced, s.Routers[0].Routes[0].Sessions = false, 0
	s.Routers[1].State, s.Routers[1].Why, s.Routers[1].Master = "FAULT", "interface eth1 does not exist", nil
	s.Routers[1].Waiting = "for interface eth1 to appear, which somebody has to plug in before anything else can go on"
	s.Routers[1].Addresses[0].Present = true
	s.Speakers[0].Connected, s.Speakers[0].Error, s.Speakers[0].Restarts = false, "exit status 2", 4
	s.Speakers[0].Announced = nil
	n := &s.Speakers[0].Neighbors[0]
	n.State, n.Flaps, n.LastError = bgp.Idle, 7, "notification: cease/administrative shutdown: \"\x1b]0;owned\a\xff\""
	s.Links[1].Open, s.Links[1].Error, s.Links[1].SendErrors = false, "no such device", 3
	return s
}
