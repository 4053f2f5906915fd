package gobgp_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	api "github.com/osrg/gobgp/v3/api"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/anypb"

	"failoverd/bgp"
	"failoverd/bgp/gobgp"
	"failoverd/bgp/speaker"
)

// TestMain makes the test binary a speaker process when it is started as one.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "speaker" {
		o, err := speaker.ParseOptions(os.Args[2:])
		if err == nil {
			err = speaker.Main(context.Background(), o)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	flag.Parse()
	// These tests wait for timers of the protocol, not for the processor.
	if err := flag.Set("test.parallel", "16"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

var v4 = &api.Family{Afi: api.Family_AFI_IP, Safi: api.Family_SAFI_UNICAST}

// serviceOf is the prefix that the speaker at 127.0.0.x may announce: 198.51.x.0/24.
func serviceOf(from netip.Addr) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 51, from.As4()[3], 0}), 24)
}

// Generous: gobgp dials after one to two seconds, Debian's 3.10 after five to ten, and the machine is shared.
const soon = 25 * time.Second

// upstream is the one router of this test binary (gobgp servers of one process share variables); every test speaks to
// it from an address of its own.
type upstream struct {
	port uint16

	mu   sync.Mutex
	best map[netip.Prefix]bgp.BestPath
	up   map[netip.Addr]uint64 // sessions by neighbor: how often they came up
	news map[netip.Prefix]int  // how often the best path changed
}

var theUpstream = sync.OnceValues(func() (*upstream, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	u := &upstream{best: map[netip.Prefix]bgp.BestPath{}, up: map[netip.Addr]uint64{}, news: map[netip.Prefix]int{}}
	u.port = uint16(l.Addr().(*net.TCPAddr).Port)
	if err := l.Close(); err != nil {
		return nil, err
	}
	cfg := gobgp.RouterConfig{
		LocalAS: 64500, RouterID: netip.MustParseAddr("192.0.2.100"), ListenPort: u.port,
		ListenAddresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")},
	}
	for i := range byte(20) {
		n := neighbor(netip.AddrFrom4([4]byte{127, 0, 0, 30 + i}), 64501, 0)
		cfg.Neighbors = append(cfg.Neighbors, gobgp.RouterNeighbor{Neighbor: n, Passive: true})
	}
	r, err := speaker.NewUpstream(cfg, quiet())
	if err != nil {
		return nil, err
	}
	go func() {
		err := r.Run(context.Background(), func(b bgp.BestPath) {
			u.mu.Lock()
			defer u.mu.Unlock()
			u.best[b.Prefix] = b
			u.news[b.Prefix]++
		}, func(s bgp.NeighborStatus) {
			u.mu.Lock()
			defer u.mu.Unlock()
			if s.State == bgp.Established {
				u.up[s.Address]++
			}
		})
		if err != nil {
			panic(err)
		}
	}()
	return u, nil
})

func getUpstream(t *testing.T) *upstream {
	t.Helper()
	u, err := theUpstream()
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func (u *upstream) sessions(from netip.Addr) uint64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.up[from]
}

// changesOf returns how often the best path to a prefix has changed.
func (u *upstream) changesOf(p netip.Prefix) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.news[p]
}

// has waits until the router knows, or does not know, the prefix from a neighbor.
func (u *upstream) has(t *testing.T, p netip.Prefix, from netip.Addr, want bool) bgp.BestPath {
	t.Helper()
	for start := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		u.mu.Lock()
		b, ok := u.best[p]
		u.mu.Unlock()
		if got := ok && !b.Withdrawn && b.Neighbor == from; got == want {
			return b
		}
		if time.Since(start) > soon {
			t.Fatalf("upstream: %v from %v: %+v, want it there: %v", p, from, b, want)
		}
	}
}

func neighbor(addr netip.Addr, as uint32, port uint16) bgp.Neighbor {
	return bgp.Neighbor{
		Address: addr, RemoteAS: as, Port: port,
		HoldTime: 9 * time.Second, Keepalive: 3 * time.Second, ConnectRetry: time.Second,
	}
}

// speakerAt is AS 64501 with a session to the upstream from 127.0.0.x.
func speakerAt(u *upstream, from netip.Addr) bgp.SpeakerConfig {
	n := neighbor(netip.MustParseAddr("127.0.0.1"), 64500, u.port)
	n.LocalAddress = from
	return bgp.SpeakerConfig{
		Name: "EDGE", LocalAS: 64501, RouterID: netip.MustParseAddr("192.0.2.1"),
		Allow: bgp.AllowList{serviceOf(from)}, Neighbors: []bgp.Neighbor{n},
	}
}

// foreign are prefixes that no speaker may announce. The rails of the process allow them, so that the policy is seen alone.
var foreign = bgp.AllowList{
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.51.30.0/25"), netip.MustParsePrefix("198.51.0.0/16"),
	netip.MustParsePrefix("0.0.0.0/0"),
}

// serve starts a bare speaker process, whose rails allow the services of all addresses, and returns its socket.
func serve(t *testing.T) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	rails := gobgp.Rails{Allow: slices.Clone(foreign)}
	for i := range byte(255) {
		rails.Allow = append(rails.Allow, serviceOf(netip.AddrFrom4([4]byte{127, 0, 0, i})))
	}
	content, err := json.Marshal(rails)
	if err != nil {
		t.Fatal(err)
	}
	dir := shortDir(t)
	path, socket := filepath.Join(dir, "rails"), filepath.Join(dir, "gobgp.sock")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cmd := exec.Command(exe, "speaker", "--socket", socket, "--rails-fd", "3")
	cmd.ExtraFiles = []*os.File{file}
	startCommand(t, socket, cmd)
	return socket
}

// start runs a program until the test ends, and waits for its socket.
func start(t *testing.T, socket string, argv ...string) *exec.Cmd {
	t.Helper()
	return startCommand(t, socket, exec.Command(argv[0], argv[1:]...))
}

func startCommand(t *testing.T, socket string, cmd *exec.Cmd) *exec.Cmd {
	t.Helper()
	cmd.Stderr, cmd.Stdout = t.Output(), t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for begin := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		if c, err := net.Dial("unix", socket); err == nil {
			_ = c.Close()
			return cmd
		}
		if time.Since(begin) > soon {
			t.Fatalf("%s does not listen", cmd.Path)
		}
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "fo-bgp-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// client is a running Client and its reports.
type client struct {
	*gobgp.Client
	t    *testing.T
	stop func()

	mu   sync.Mutex
	last bgp.Report
	n    uint64
}

func run(t *testing.T, cfg bgp.SpeakerConfig, target string, opts gobgp.Options) *client {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	c, err := gobgp.New(cfg, target, log, opts)
	if err != nil {
		t.Fatal(err)
	}
	k := &client{Client: c, t: t}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- c.Run(ctx, func(r bgp.Report) {
			k.mu.Lock()
			defer k.mu.Unlock()
			k.last = r
		})
	}()
	k.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(soon):
			t.Error("Run does not end")
		}
	})
	t.Cleanup(k.stop)
	return k
}

func (c *client) announce(routes ...bgp.Route) {
	c.n++
	c.Set(bgp.Desired{Generation: c.n, Routes: routes})
}

func (c *client) until(what string, ok func(bgp.Report) bool) bgp.Report {
	c.t.Helper()
	for start := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		c.mu.Lock()
		r := c.last
		c.mu.Unlock()
		if ok(r) {
			return r
		}
		if time.Since(start) > soon {
			c.t.Fatalf("no report with %s; last: %+v", what, r)
		}
	}
}

// connect is another user of the same server.
func connect(t *testing.T, socket string) api.GobgpApiClient {
	t.Helper()
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return api.NewGobgpApiClient(conn)
}

// add puts a local path into the table behind the Client's back.
func add(t *testing.T, c api.GobgpApiClient, prefix string, bits uint32) {
	t.Helper()
	pack := func(m any) *anypb.Any {
		var a *anypb.Any
		var err error
		switch m := m.(type) {
		case *api.IPAddressPrefix:
			a, err = anypb.New(m)
		case *api.OriginAttribute:
			a, err = anypb.New(m)
		case *api.NextHopAttribute:
			a, err = anypb.New(m)
		}
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	_, err := c.AddPath(context.Background(), &api.AddPathRequest{Path: &api.Path{
		Family: v4, Nlri: pack(&api.IPAddressPrefix{Prefix: prefix, PrefixLen: bits}),
		Pattrs: []*anypb.Any{pack(&api.OriginAttribute{}), pack(&api.NextHopAttribute{NextHop: "0.0.0.0"})},
	}})
	if err != nil {
		t.Fatal(err)
	}
}

func established(r bgp.Report) bool { return r.Established() }
