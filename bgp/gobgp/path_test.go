package gobgp

import (
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	api "github.com/osrg/gobgp/v3/api"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/anypb"
	"pgregory.net/rapid"

	"failoverd/bgp"
)

// What is read back is what was announced, so that a table is never "put right" when nothing is wrong with it.
func TestPathRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawRoute(t)
		p := encodePath(r, 64501)
		p.NeighborIp = "<nil>" // as gobgp prints the source of a local path
		l, err := decodePath(p)
		if err != nil {
			t.Fatal(err)
		}
		if !l.local || l.Withdrawn {
			t.Fatalf("%+v: not a local announcement", l)
		}
		if got := l.route(); got.Prefix != r.Prefix || !got.Equal(r.Attributes) {
			t.Fatalf("got  %v\nwant %v", got, r)
		}
	})
}

func drawRoute(t *rapid.T) bgp.Route {
	number := rapid.Ptr(rapid.Uint32(), true)
	r := bgp.Route{Prefix: netip.MustParsePrefix("198.51.100.0/24")}
	if six := rapid.Bool().Draw(t, "IPv6"); six {
		r.Prefix = netip.MustParsePrefix("2001:db8:100::/48")
		r.NextHop = rapid.SampledFrom([]netip.Addr{{}, netip.MustParseAddr("2001:db8::1")}).Draw(t, "next hop")
	} else {
		r.NextHop = rapid.SampledFrom([]netip.Addr{{}, netip.MustParseAddr("203.0.113.1")}).Draw(t, "next hop")
	}
	r.MED, r.LocalPref = number.Draw(t, "med"), number.Draw(t, "local_pref")
	r.Prepend = uint8(rapid.IntRange(0, 16).Draw(t, "prepend"))
	for _, c := range rapid.SliceOfN(rapid.Uint32(), 0, 5).Draw(t, "communities") {
		r.Communities = append(r.Communities, bgp.Community(c))
	}
	for _, c := range rapid.SliceOfN(rapid.Uint32(), 0, 5).Draw(t, "large communities") {
		r.LargeCommunities = append(r.LargeCommunities, bgp.LargeCommunity{Global: c, Local1: c ^ 1, Local2: c ^ 2})
	}
	r.Normalize()
	return r
}

func TestWithdrawalNamesExactlyOnePrefix(t *testing.T) {
	for _, s := range []string{"198.51.100.0/24", "2001:db8:100::/48"} {
		r := withdrawal(netip.MustParsePrefix(s))
		if r.GetPath().GetNlri() == nil || !r.GetPath().GetIsWithdraw() || r.GetTableType() != api.TableType_GLOBAL {
			t.Errorf("%s: %v: without a path gobgp would delete everything", s, r)
		}
		r.Path.NeighborIp = "<nil>"
		l, err := decodePath(r.Path)
		if err != nil || l.Prefix.String() != s || !l.Withdrawn {
			t.Errorf("%s: %+v, %v", s, l, err)
		}
	}
}

func TestDecodePathOfOthers(t *testing.T) {
	p := encodePath(bgp.Route{Prefix: netip.MustParsePrefix("192.0.2.0/24")}, 1)
	p.NeighborIp = "203.0.113.1"
	if l, err := decodePath(p); err != nil || l.local || l.Neighbor != netip.MustParseAddr("203.0.113.1") {
		t.Errorf("learned path: %+v, %v", l, err)
	}
	for name, p := range map[string]*api.Path{
		"no prefix":       {},
		"another family":  {Nlri: pack(&api.LabeledIPAddressPrefix{})},
		"a bad address":   {Nlri: pack(&api.IPAddressPrefix{Prefix: "x"})},
		"a bad attribute": {Nlri: nlri(netip.MustParsePrefix("192.0.2.0/24")), Pattrs: []*anypb.Any{{TypeUrl: "nonsense"}}},
	} {
		if l, err := decodePath(p); err == nil {
			t.Errorf("%s: %+v", name, l)
		}
	}
}

// A server that sends nonsense is an error, never a crash.
func FuzzDecodePath(f *testing.F) {
	for _, s := range []string{"198.51.100.0/24", "2001:db8:100::/48"} {
		med := uint32(1)
		b, err := proto.Marshal(encodePath(bgp.Route{Prefix: netip.MustParsePrefix(s), Attributes: bgp.Attributes{
			MED: &med, Prepend: 3, Communities: []bgp.Community{1}, LargeCommunities: []bgp.LargeCommunity{{Global: 1}},
		}}, 64501))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p := &api.Path{}
		if proto.Unmarshal(b, p) != nil {
			return
		}
		if l, err := decodePath(p); err == nil {
			_ = l.route()
		}
	})
}

func TestExportPolicyIsTheAllowList(t *testing.T) {
	four, six := netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("2001:db8:100::/48")
	statements, sets := exportStatements(bgp.AllowList{six, four})
	want := []*api.DefinedSet{
		{DefinedType: api.DefinedType_PREFIX, Name: "failoverd-allow4", Prefixes: []*api.Prefix{
			{IpPrefix: "198.51.100.0/24", MaskLengthMin: 24, MaskLengthMax: 24},
		}},
		{DefinedType: api.DefinedType_PREFIX, Name: "failoverd-allow6", Prefixes: []*api.Prefix{
			{IpPrefix: "2001:db8:100::/48", MaskLengthMin: 48, MaskLengthMax: 48},
		}},
	}
	if d := cmp.Diff(want, sets, protocmp.Transform()); d != "" {
		t.Errorf("sets -want +got\n%s", d)
	}
	for i, s := range statements {
		c := s.GetConditions()
		if c.GetPrefixSet().GetName() != sets[i].Name || c.GetRouteType() != api.Conditions_ROUTE_TYPE_LOCAL ||
			s.GetActions().GetRouteAction() != api.RouteAction_ACCEPT {
			t.Errorf("statement %v", s)
		}
	}
	if a := assignment(api.PolicyDirection_EXPORT, exportPolicy, statements); a.DefaultAction != api.RouteAction_REJECT || len(a.Policies) != 1 {
		t.Errorf("assignment %v", a)
	}
	if s, sets := exportStatements(bgp.AllowList{four}); len(s) != 1 || len(sets) != 1 {
		t.Errorf("one family: %v %v", s, sets)
	}
	// BGP-POL-01: without an allow list there is no statement that accepts, and the rest is rejected.
	s, sets := exportStatements(nil)
	if a := assignment(api.PolicyDirection_EXPORT, exportPolicy, s); len(sets) != 0 || len(a.Policies) != 0 || a.DefaultAction != api.RouteAction_REJECT {
		t.Errorf("empty allow list: %v %v", sets, a)
	}
}

func TestPeer(t *testing.T) {
	n := bgp.Neighbor{
		Address: netip.MustParseAddr("203.0.113.1"), RemoteAS: 64500, LocalAddress: netip.MustParseAddr("203.0.113.2"),
		Description: "isp-a", Password: "secret", Port: 1179,
		HoldTime: 9 * time.Second, Keepalive: 3 * time.Second, ConnectRetry: 2 * time.Second,
	}
	plain := func() *api.Peer {
		return &api.Peer{
			Conf: &api.PeerConf{NeighborAddress: "203.0.113.1", PeerAsn: 64500, AuthPassword: "secret", Description: "isp-a"},
			Timers: &api.Timers{Config: &api.TimersConfig{
				ConnectRetry: 2, HoldTime: 9, KeepaliveInterval: 3, IdleHoldTimeAfterReset: 1,
			}},
			Transport: &api.Transport{LocalAddress: "203.0.113.2", RemotePort: 1179},
			AfiSafis: []*api.AfiSafi{{
				Config:       &api.AfiSafiConfig{Family: familyV4, Enabled: true},
				PrefixLimits: &api.PrefixLimit{Family: familyV4, MaxPrefixes: 10_000},
			}},
		}
	}
	for _, row := range []struct {
		name   string
		change func(*bgp.Neighbor)
		want   func(*api.Peer)
	}{
		{"plain", func(*bgp.Neighbor) {}, func(*api.Peer) {}},
		{
			"multihop", func(n *bgp.Neighbor) { n.Multihop = 5 },
			func(p *api.Peer) { p.EbgpMultihop = &api.EbgpMultihop{Enabled: true, MultihopTtl: 5} },
		},
		{
			"BGP_SEC_01_OneHop", func(n *bgp.Neighbor) { n.TTLSecurity = 1 },
			func(p *api.Peer) { p.TtlSecurity = &api.TtlSecurity{Enabled: true, TtlMin: 255} },
		},
		{
			"BGP_SEC_01_ThreeHops", func(n *bgp.Neighbor) { n.TTLSecurity = 3 },
			func(p *api.Peer) { p.TtlSecurity = &api.TtlSecurity{Enabled: true, TtlMin: 253} },
		},
		{"graceful restart", func(n *bgp.Neighbor) { n.GracefulRestart = 20 * time.Second }, func(p *api.Peer) {
			p.GracefulRestart = &api.GracefulRestart{Enabled: true, RestartTime: 20, DeferralTime: 5}
			p.AfiSafis[0].MpGracefulRestart = &api.MpGracefulRestart{Config: &api.MpGracefulRestartConfig{Enabled: true}}
		}},
		{"link-local", func(n *bgp.Neighbor) {
			n.Address, n.LocalAddress = netip.MustParseAddr("fe80::1%eth0"), netip.MustParseAddr("fe80::2")
		}, func(p *api.Peer) {
			p.Conf.NeighborAddress = "fe80::1%eth0"
			p.Transport = &api.Transport{LocalAddress: "fe80::2", RemotePort: 1179, BindInterface: "eth0"}
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			n := n
			row.change(&n)
			want := plain()
			row.want(want)
			if d := cmp.Diff(want, peer(&n, 64501, true, false), protocmp.Transform()); d != "" {
				t.Errorf("-want +got\n%s", d)
			}
		})
	}
}

func TestBGP_SHUT_01_Communication(t *testing.T) {
	for in, want := range map[string]string{
		"":                             "",
		"failoverd stops":              "failoverd stops",
		"a\x00b":                       "ab",
		"a\xffb":                       "a\uFFFDb",
		strings.Repeat("x", 200):       strings.Repeat("x", 128),
		strings.Repeat("x", 127) + "ä": strings.Repeat("x", 127), // never half a character
	} {
		if got := Communication(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		got := Communication(string(rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "octets")))
		if len(got) > 128 || !utf8.ValidString(got) || strings.ContainsRune(got, 0) {
			t.Fatalf("%q", got)
		}
	})
}

func TestObserve(t *testing.T) {
	cfg := bgp.SpeakerConfig{Neighbors: []bgp.Neighbor{{Address: netip.MustParseAddr("203.0.113.1"), RemoteAS: 64500}}}
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	n := &newNeighbors(&cfg, at(0))[0]
	for _, step := range []struct {
		second  int
		state   bgp.SessionState
		hold    time.Duration
		changed bool
		want    bgp.NeighborStatus
	}{
		{1, bgp.Idle, 9 * time.Second, true, bgp.NeighborStatus{State: bgp.Idle, Since: at(1)}},
		{2, bgp.Idle, 9 * time.Second, false, bgp.NeighborStatus{State: bgp.Idle, Since: at(1)}},
		{3, bgp.OpenSent, 0, true, bgp.NeighborStatus{State: bgp.OpenSent, Since: at(3)}},
		{4, bgp.Established, 9 * time.Second, true, bgp.NeighborStatus{State: bgp.Established, Since: at(4), HoldTime: 9 * time.Second}},
		{5, bgp.Established, 9 * time.Second, false, bgp.NeighborStatus{State: bgp.Established, Since: at(4), HoldTime: 9 * time.Second}},
		{6, bgp.Idle, 9 * time.Second, true, bgp.NeighborStatus{State: bgp.Idle, Since: at(6), Flaps: 1}},
		{7, bgp.ActiveState, 0, true, bgp.NeighborStatus{State: bgp.ActiveState, Since: at(7), Flaps: 1}},
	} {
		if got := n.observe(step.state, step.hold, at(step.second)); got != step.changed {
			t.Errorf("second %d: changed %v", step.second, got)
		}
		step.want.Address, step.want.RemoteAS = cfg.Neighbors[0].Address, 64500
		if n.status != step.want {
			t.Errorf("second %d:\ngot  %+v\nwant %+v", step.second, n.status, step.want)
		}
	}
	n.observe(bgp.Established, time.Second, at(8))
	n.lost(at(9))
	if n.status.State != bgp.Unknown || n.status.Flaps != 2 || n.status.HoldTime != 0 {
		t.Errorf("after the loss of the backend: %+v", n.status)
	}
}

// The first kick is at once, and those that follow a second later, so that a neighbor which is well again is back within three;
// when a dozen sessions did not last, the pause doubles, up to half a minute; one that does last resets it.
func TestBGP_FSM_05_KickBackOff(t *testing.T) {
	n := &neighbor{}
	now := time.Unix(1000, 0)
	lose := func(after time.Duration) time.Duration {
		n.up, now = now, now.Add(after)
		n.planKick(now)
		return n.kickAt.Sub(now)
	}
	for i, want := range []time.Duration{0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 4, 8, 16, 30, 30} {
		if got := lose(time.Second); got != want*time.Second {
			t.Errorf("loss %d: pause %v, want %v s", i, got, want)
		}
	}
	if got := lose(30 * time.Second); got != 0 {
		t.Errorf("after a session that lasted: pause %v", got)
	}
	if got := lose(time.Second); got != time.Second {
		t.Errorf("and then again: pause %v", got)
	}
}

// Five seconds without an answer to our OPEN are too many; any other state may last.
func TestMute(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	n := &neighbor{}
	n.observe(bgp.ActiveState, 0, at(0))
	if n.mute(at(100)) {
		t.Error("mute while connecting")
	}
	n.observe(bgp.OpenSent, 0, at(100))
	if n.mute(at(105)) || !n.mute(at(106)) {
		t.Error("mute at another moment than after five seconds")
	}
	n.planKick(at(111))
	if !n.kickAt.Equal(at(111)) {
		t.Errorf("first kick at %v", n.kickAt)
	}
	if n.planKick(at(122)); !n.kickAt.Equal(at(123)) {
		t.Errorf("second kick at %v: a session that never was up is not one that lasted", n.kickAt)
	}
}

func TestFind(t *testing.T) {
	a, b := netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("fe80::1%eth0")
	c := netip.MustParseAddr("fe80::1%eth1")
	ns := newNeighbors(&bgp.SpeakerConfig{Neighbors: []bgp.Neighbor{{Address: a}, {Address: b}, {Address: c}}}, time.Time{})
	for in, want := range map[string]*neighbor{
		"203.0.113.1": &ns[0], "fe80::1%eth0": &ns[1], "fe80::1%eth1": &ns[2], "fe80::1": &ns[1],
		"203.0.113.2": nil, "<nil>": nil, "": nil,
	} {
		if got := find(ns, in); got != want {
			t.Errorf("find %q: %v", in, got)
		}
	}
}

func TestSessionState(t *testing.T) {
	for v := range api.PeerState_SessionState_name {
		s := api.PeerState_SessionState(v)
		if s == api.PeerState_UNKNOWN {
			continue
		}
		if got := sessionState(s); !strings.EqualFold(got.String(), s.String()) {
			t.Errorf("%v is %v", s, got)
		}
	}
	if got := sessionState(99); got != bgp.Unknown {
		t.Errorf("99 is %v", got)
	}
}

// A neighbor that gobgp keeps in Idle is added again after connect_retry, not sooner, and not one that is to stay down.
func TestIdles(t *testing.T) {
	at := func(s float64) time.Time { return time.Unix(0, int64(s*1e9)) }
	up, down := &api.Peer{State: &api.PeerState{AdminState: api.PeerState_UP}}, &api.Peer{State: &api.PeerState{AdminState: api.PeerState_DOWN}}
	n := &neighbor{cfg: &bgp.Neighbor{ConnectRetry: 2 * time.Second}}
	n.observe(bgp.Idle, 0, at(100))
	for _, row := range []struct {
		name string
		peer *api.Peer
		now  float64
		want bool
	}{
		{"too soon", up, 101, false},
		{"in time", up, 102, true},
		{"by its operator's will", down, 102, false},
	} {
		if got := n.idles(row.peer, at(row.now)); got != row.want {
			t.Errorf("%s: %v", row.name, got)
		}
	}
	if n.added = at(101); n.idles(up, at(102)) {
		t.Error("added a moment ago, and Idle from before that")
	}
	n.kickAt = at(110)
	if n.idles(up, at(109)) {
		t.Error("not in gobgp, and added before its time")
	}
	n.kickAt = time.Time{}
	if n.observe(bgp.ActiveState, 0, at(105)); n.idles(up, at(200)) {
		t.Error("it is not Idle")
	}
}
