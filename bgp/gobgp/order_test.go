package gobgp_test

import (
	"context"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	api "github.com/osrg/gobgp/v3/api"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"failoverd/bgp"
	"failoverd/bgp/gobgp"
)

// fake is a gobgp that writes down what it is asked, and refuses what the test says.
type fake struct {
	api.UnimplementedGobgpApiServer
	refuse func(call string) error
	forget bool              // take paths without keeping them, as an import policy does
	listed func(what string) // told of lists that are asked for; nil: nobody is

	mu    sync.Mutex
	calls []string
	as    uint32
	table map[string]*api.Path
	peers []*api.Peer

	clock    atomic.Int64 // stamps paths, in seconds
	requests atomic.Int64 // all of them, also those that calls does not have
	frozen   atomic.Pointer[chan struct{}]
}

// freeze makes f answer nothing, like a process that is stopped, until thaw.
func (f *fake) freeze() (thaw func()) {
	c := make(chan struct{})
	f.frozen.Store(&c)
	return sync.OnceFunc(func() {
		f.frozen.Store(nil)
		close(c)
	})
}

func (f *fake) wait() {
	f.requests.Add(1)
	if c := f.frozen.Load(); c != nil {
		<-*c
	}
}

// has reports whether a prefix is in f's table.
func (f *fake) has(p netip.Prefix) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for key := range f.table {
		if strings.Contains(key, p.Addr().String()) {
			return true
		}
	}
	return false
}

// serveFake runs f on a socket.
func serveFake(t *testing.T, f *fake) (target string) {
	t.Helper()
	f.table = map[string]*api.Path{}
	socket := filepath.Join(shortDir(t), "fake")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(
		grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
			f.wait()
			return h(ctx, req)
		}),
		grpc.StreamInterceptor(func(srv any, s grpc.ServerStream, _ *grpc.StreamServerInfo, h grpc.StreamHandler) error {
			f.wait()
			return h(srv, s)
		}))
	api.RegisterGobgpApiServer(s, f)
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	return "unix://" + socket
}

// called notes one call; the first error that the test wants for it is its answer.
func (f *fake) called(what ...string) error {
	call := strings.Join(what, " ")
	f.mu.Lock()
	f.calls = append(f.calls, call)
	f.mu.Unlock()
	if f.refuse == nil {
		return nil
	}
	return f.refuse(call)
}

func (f *fake) all() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

func (f *fake) GetBgp(context.Context, *api.GetBgpRequest) (*api.GetBgpResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return &api.GetBgpResponse{Global: &api.Global{Asn: f.as}}, nil
}

func (f *fake) StartBgp(_ context.Context, r *api.StartBgpRequest) (*emptypb.Empty, error) {
	if err := f.called("StartBgp"); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.as = r.GetGlobal().GetAsn()
	return &emptypb.Empty{}, nil
}

func (f *fake) StopBgp(context.Context, *api.StopBgpRequest) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, f.called("StopBgp")
}

func (f *fake) AddDefinedSet(_ context.Context, r *api.AddDefinedSetRequest) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, f.called("AddDefinedSet", r.GetDefinedSet().GetName())
}

func (f *fake) AddPolicy(_ context.Context, r *api.AddPolicyRequest) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, f.called("AddPolicy", r.GetPolicy().GetName())
}

func (f *fake) SetPolicyAssignment(_ context.Context, r *api.SetPolicyAssignmentRequest) (*emptypb.Empty, error) {
	a := r.GetAssignment()
	return &emptypb.Empty{}, f.called("SetPolicyAssignment", a.GetDirection().String(), a.GetDefaultAction().String())
}

// ListPolicyAssignment has no policies, as an operator's gobgpd.
func (f *fake) ListPolicyAssignment(*api.ListPolicyAssignmentRequest, api.GobgpApi_ListPolicyAssignmentServer) error {
	return nil
}

func (f *fake) AddPeer(_ context.Context, r *api.AddPeerRequest) (*emptypb.Empty, error) {
	if err := f.called("AddPeer", r.GetPeer().GetConf().GetNeighborAddress()); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.peers = append(f.peers, r.GetPeer())
	return &emptypb.Empty{}, nil
}

func (f *fake) DisablePeer(_ context.Context, r *api.DisablePeerRequest) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, f.called("DisablePeer", r.GetAddress())
}

func (f *fake) ListPeer(_ *api.ListPeerRequest, s api.GobgpApi_ListPeerServer) error {
	if f.listed != nil {
		f.listed("ListPeer")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.peers {
		if err := s.Send(&api.ListPeerResponse{Peer: p}); err != nil {
			return err
		}
	}
	return nil
}

func (f *fake) AddPath(_ context.Context, r *api.AddPathRequest) (*api.AddPathResponse, error) {
	if err := f.called("AddPath"); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.forget {
		p := r.GetPath()
		p.Age = timestamppb.New(time.Unix(f.clock.Load(), 0))
		f.table[p.GetNlri().String()] = p
	}
	return &api.AddPathResponse{}, nil
}

func (f *fake) DeletePath(_ context.Context, r *api.DeletePathRequest) (*emptypb.Empty, error) {
	if r.GetPath() == nil {
		return nil, f.called("DeletePath everything")
	}
	if err := f.called("DeletePath"); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.table, r.GetPath().GetNlri().String())
	return &emptypb.Empty{}, nil
}

func (f *fake) ListPath(r *api.ListPathRequest, s api.GobgpApi_ListPathServer) error {
	if f.listed != nil {
		f.listed("ListPath")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.table {
		if p.GetFamily().GetAfi() != r.GetFamily().GetAfi() {
			continue
		}
		if err := s.Send(&api.ListPathResponse{Destination: &api.Destination{Paths: []*api.Path{p}}}); err != nil {
			return err
		}
	}
	return nil
}

func (f *fake) WatchEvent(_ *api.WatchEventRequest, s api.GobgpApi_WatchEventServer) error {
	if err := f.called("WatchEvent"); err != nil {
		return err
	}
	<-s.Context().Done()
	return nil
}

var (
	someAllow = netip.MustParsePrefix("198.51.100.0/24")
	alsoAllow = netip.MustParsePrefix("2001:db8:100::/48")
)

func fakeSpeaker() bgp.SpeakerConfig {
	return bgp.SpeakerConfig{
		Name: "EDGE", LocalAS: 64501, RouterID: netip.MustParseAddr("192.0.2.1"),
		Allow: bgp.AllowList{someAllow, alsoAllow},
		Neighbors: []bgp.Neighbor{
			neighbor(netip.MustParseAddr("192.0.2.10"), 64500, 0), neighbor(netip.MustParseAddr("192.0.2.11"), 64500, 0),
		},
	}
}

// A fresh server is configured so that nothing can leave or enter before the policies stand, and so that a route that
// is wanted already is part of the first UPDATE.
func TestBGP_POL_01_OrderOfConfiguration(t *testing.T) {
	t.Parallel()
	f := &fake{}
	c, err := gobgp.New(fakeSpeaker(), serveFake(t, f), quiet(), gobgp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c.Set(bgp.Desired{Generation: 7, Routes: []bgp.Route{{Prefix: someAllow}}})
	ctx, stop := context.WithCancel(context.Background())
	connected, done := make(chan bgp.Report, 100), make(chan error, 1)
	go func() { done <- c.Run(ctx, func(r bgp.Report) { connected <- r }) }()
	for r := range connected {
		if r.Connected {
			if r.Generation != 7 || len(r.Announced) != 1 {
				t.Errorf("first report: %+v", r)
			}
			break
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	want := []string{
		"StartBgp",
		"AddDefinedSet failoverd-allow4", "AddDefinedSet failoverd-allow6",
		"AddPolicy failoverd-export", "SetPolicyAssignment EXPORT REJECT",
		"AddPolicy failoverd-import", "SetPolicyAssignment IMPORT REJECT",
		"AddPath",
		"WatchEvent", // concurrent with what follows, and checked apart
		"AddPeer 192.0.2.10", "AddPeer 192.0.2.11",
		"DeletePath", "StopBgp",
	}
	withoutWatch := func(calls []string) []string {
		return slices.DeleteFunc(slices.Clone(calls), func(s string) bool { return s == "WatchEvent" })
	}
	got := f.all()
	if !slices.Equal(withoutWatch(got), withoutWatch(want)) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if slices.Index(got, "WatchEvent") < slices.Index(got, "AddPath") {
		t.Errorf("events are watched before the routes are in: %q", got)
	}
}

// A neighbor that the server refuses is named and tried again; the others work.
func TestRefusedNeighbor(t *testing.T) {
	t.Parallel()
	f := &fake{refuse: func(call string) error {
		if call == "AddPeer 192.0.2.10" {
			return status.Error(codes.Unknown, "no such interface")
		}
		return nil
	}}
	c := run(t, fakeSpeaker(), serveFake(t, f), gobgp.Options{})
	r := c.until("the reason", func(r bgp.Report) bool { return r.Connected && r.Neighbors[0].LastError != "" })
	if want := "refused by gobgp: no such interface"; r.Neighbors[0].LastError != want || r.Neighbors[1].LastError != "" {
		t.Errorf("neighbors %+v", r.Neighbors)
	}
	tried := func() int {
		n := 0
		for _, call := range f.all() {
			if call == "AddPeer 192.0.2.10" {
				n++
			}
		}
		return n
	}
	for start := time.Now(); tried() < 2; time.Sleep(10 * time.Millisecond) {
		if time.Since(start) > soon {
			t.Fatalf("not tried again: %q", f.all())
		}
	}
	if !slices.Contains(f.all(), "AddPeer 192.0.2.11") {
		t.Errorf("the other neighbor is not there: %q", f.all())
	}
}

// A route that the server refuses is reported with its words, and tried again until it takes it.
func TestRefusedRoute(t *testing.T) {
	t.Parallel()
	n := 0
	f := &fake{refuse: func(call string) error {
		if call == "AddPath" {
			if n++; n <= 2 {
				return status.Error(codes.FailedPrecondition, "not now")
			}
		}
		return nil
	}}
	c := run(t, fakeSpeaker(), serveFake(t, f), gobgp.Options{})
	c.until("a connection", func(r bgp.Report) bool { return r.Connected })
	c.announce(bgp.Route{Prefix: someAllow})
	r := c.until("the refusal", func(r bgp.Report) bool { return strings.Contains(r.Err, "not now") })
	if r.Generation == c.n || len(r.Announced) > 0 {
		t.Errorf("report of a refusal: %+v", r)
	}
	c.until("the route", func(r bgp.Report) bool { return len(r.Announced) == 1 && r.Err == "" && r.Generation == c.n })
}

// A server that takes a route and does not keep it is found out.
func TestRouteNotKept(t *testing.T) {
	t.Parallel()
	f := &fake{forget: true}
	c := run(t, fakeSpeaker(), serveFake(t, f), gobgp.Options{})
	c.announce(bgp.Route{Prefix: someAllow})
	c.until("the suspicion", func(r bgp.Report) bool { return strings.Contains(r.Err, "import policy") && len(r.Announced) == 0 })
}

// A step of the configuration that fails leaves nothing half done: the server is stopped, and it all starts over.
func TestFailedConfigurationStartsOver(t *testing.T) {
	t.Parallel()
	failed := false
	f := &fake{refuse: func(call string) error {
		if call == "SetPolicyAssignment EXPORT REJECT" && !failed {
			failed = true
			return status.Error(codes.Unknown, "out of order")
		}
		return nil
	}}
	f.as = 0
	c := run(t, fakeSpeaker(), serveFake(t, f), gobgp.Options{})
	c.until("the reason", func(r bgp.Report) bool { return strings.Contains(r.Err, "out of order") })
	calls := f.all()
	if i := slices.Index(calls, "StopBgp"); i < 0 || slices.ContainsFunc(calls[:i], func(s string) bool { return strings.HasPrefix(s, "AddP") && s != "AddPolicy failoverd-export" }) {
		t.Errorf("calls %q", calls)
	}
}

// A route that is wanted while the server's sessions are looked at does not wait until its table has been looked at, too.
func TestWishDuringResync(t *testing.T) {
	t.Parallel()
	f := &fake{}
	var (
		mu    sync.Mutex
		c     *client
		order []string // since the wish
		wish  sync.Once
	)
	note := func(what string) {
		mu.Lock()
		defer mu.Unlock()
		order = append(order, what)
	}
	begin := make(chan struct{})
	f.refuse = func(call string) error {
		note(call)
		return nil
	}
	f.listed = func(what string) {
		select {
		case <-begin:
		default:
			return
		}
		note(what)
		if what == "ListPeer" {
			wish.Do(func() { c.Set(bgp.Desired{Generation: 1, Routes: []bgp.Route{{Prefix: someAllow}}}) })
		}
	}
	c = run(t, fakeSpeaker(), serveFake(t, f), gobgp.Options{Resync: 20 * time.Millisecond})
	c.until("the server", func(r bgp.Report) bool { return r.Connected })
	close(begin)
	c.until("the route", func(r bgp.Report) bool { return r.Generation == 1 && len(r.Announced) == 1 })
	mu.Lock()
	defer mu.Unlock()
	after := order[slices.Index(order, "ListPeer")+1:]
	if len(after) == 0 || after[0] != "AddPath" {
		t.Errorf("after the sessions came %q, want AddPath", after)
	}
}
