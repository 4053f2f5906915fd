package speaker

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"failoverd/bgp"
)

// agent plays the agent's side of one speaker: it runs it, touches the lease as the loop would, and keeps the reports.
type agent struct {
	t testing.TB
	s *Supervised

	mu         sync.Mutex
	reports    []bgp.Report
	frozen     bool
	generation uint64
	stopped    bool
	stop       context.CancelFunc
	done       chan error
	changed    chan struct{}
}

// startAgent runs a speaker with one touch every 20 ms until the test ends.
func startAgent(t testing.TB, cfg bgp.SpeakerConfig, options ...func(*Config)) *agent {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := Config{
		Speaker: cfg, Command: []string{exe, "speaker"}, RunDir: shortDir(t), Lease: 3 * time.Second, Log: testLog(t),
	}
	for _, o := range options {
		o(&c)
	}
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	a := &agent{t: t, s: s, stop: stop, done: make(chan error, 1), changed: make(chan struct{}, 1)}
	s.Touch()
	go func() { a.done <- s.Run(ctx, a.report) }()
	go func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				a.mu.Lock()
				frozen := a.frozen
				a.mu.Unlock()
				if !frozen {
					s.Touch()
				}
			}
		}
	}()
	t.Cleanup(func() {
		if !a.stopped {
			a.end()
		}
	})
	return a
}

// end stops the speaker in order and returns how long that took.
func (a *agent) end() time.Duration {
	a.t.Helper()
	a.stopped = true
	start := time.Now()
	a.stop()
	select {
	case err := <-a.done:
		if err != nil {
			a.t.Errorf("Run: %v", err)
		}
	case <-time.After(10 * time.Second):
		a.t.Error("Run did not return within 10 s")
	}
	return time.Since(start)
}

func (a *agent) freeze(v bool) {
	a.mu.Lock()
	a.frozen = v
	a.mu.Unlock()
}

func (a *agent) report(r bgp.Report) {
	a.mu.Lock()
	a.reports = append(a.reports, r)
	a.mu.Unlock()
	select {
	case a.changed <- struct{}{}:
	default:
	}
}

// set announces exactly these routes and returns the generation.
func (a *agent) set(routes ...bgp.Route) uint64 {
	a.generation++
	for i := range routes {
		routes[i].Normalize()
	}
	slices.SortFunc(routes, func(x, y bgp.Route) int { return x.Prefix.Compare(y.Prefix) })
	a.s.Set(bgp.Desired{Generation: a.generation, Routes: routes})
	return a.generation
}

func (a *agent) last() bgp.Report {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.reports) == 0 {
		return bgp.Report{}
	}
	return a.reports[len(a.reports)-1]
}

// until waits for a report that ok accepts; before the first one there is none.
func (a *agent) until(within time.Duration, what string, ok func(bgp.Report) bool) bgp.Report {
	a.t.Helper()
	deadline := time.After(within)
	for {
		if r := a.last(); r.Speaker != "" && ok(r) {
			return r
		}
		select {
		case <-a.changed:
		case <-deadline:
			a.t.Fatalf("no report with %s within %v; last: %+v", what, within, a.last())
		}
	}
}

func established(r bgp.Report) bool { return r.Established() }

// allEstablished wants every neighbor up.
func allEstablished(r bgp.Report) bool {
	for _, n := range r.Neighbors {
		if n.State != bgp.Established {
			return false
		}
	}
	return len(r.Neighbors) > 0
}

// shortDir is a temporary directory whose path leaves room for a socket.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "fo-bgp-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		left, _ := filepath.Glob(filepath.Join(dir, dirPrefix+"*"))
		if len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// testLog writes to the test's own log.
func testLog(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

const (
	// sessionUp is how long a session may take: gobgp dials after one to two seconds, and the machine is shared.
	sessionUp = 20 * time.Second
	// prompt is for what takes milliseconds when the machine is idle.
	prompt = 5 * time.Second
	// slack is what a busy machine may add to a time that is asserted.
	slack = 2 * time.Second
)

// neighborOf is a neighbor with the timers of the tests: hold 9, keepalive 3, retry 1.
func neighborOf(addr netip.Addr, as uint32) bgp.Neighbor {
	return bgp.Neighbor{
		Address: addr, RemoteAS: as,
		HoldTime: 9 * time.Second, Keepalive: 3 * time.Second, ConnectRetry: time.Second,
	}
}

// rawNeighbor is the neighbor that a rawPeer plays.
func rawNeighbor(p *rawPeer) bgp.Neighbor {
	n := neighborOf(p.addr.Addr(), 64500)
	n.LocalAddress, n.Port = netip.MustParseAddr("127.0.0.1"), p.addr.Port()
	return n
}

var (
	service4 = netip.MustParsePrefix("198.51.100.0/24")
	service6 = netip.MustParsePrefix("2001:db8:100::/48")
)

// speakerOf is AS 64501 with both service prefixes allowed, next hops included.
func speakerOf(neighbors ...bgp.Neighbor) bgp.SpeakerConfig {
	return bgp.SpeakerConfig{
		Name: "EDGE", LocalAS: 64501, RouterID: netip.MustParseAddr("192.0.2.1"),
		Allow: bgp.AllowList{service4, service6}, Neighbors: neighbors,
	}
}

func route4(f ...func(*bgp.Route)) bgp.Route {
	r := bgp.Route{Prefix: service4}
	for _, g := range f {
		g(&r)
	}
	return r
}

func ptr(v uint32) *uint32 { return &v }
