package gobgp

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	api "github.com/osrg/gobgp/v3/api"
	"google.golang.org/protobuf/types/known/anypb"

	"failoverd/bgp"
)

var (
	gated4 = netip.MustParsePrefix("198.51.100.0/24")
	gated6 = netip.MustParsePrefix("2001:db8:100::/48")
)

func newGate(most int) *Gate {
	return NewGate(func() (Rails, error) {
		return Rails{Allow: bgp.AllowList{gated4, gated6}, MaxAnnouncements: most}, nil
	})
}

func addition(p netip.Prefix) *api.AddPathRequest {
	return &api.AddPathRequest{TableType: api.TableType_GLOBAL, Path: encodePath(bgp.Route{Prefix: p}, 64501)}
}

// asksOf returns what configure asks of a server for an allow list, in its order.
func asksOf(allow bgp.AllowList) []any {
	export, sets := exportStatements(allow)
	asks := []any{&api.StartBgpRequest{}}
	for _, s := range sets {
		asks = append(asks, &api.AddDefinedSetRequest{DefinedSet: s})
	}
	for _, a := range []*api.PolicyAssignment{
		assignment(api.PolicyDirection_EXPORT, exportPolicy, export),
		assignment(api.PolicyDirection_IMPORT, importPolicy, []*api.Statement{localStatement("failoverd-local", nil)}),
	} {
		asks = append(asks, &api.AddPolicyRequest{Policy: a.Policies[0]}, &api.SetPolicyAssignmentRequest{Assignment: a})
	}
	return asks
}

// TestGateLetsThroughWhatWeAskFor: everything that Client asks a server for.
func TestGateLetsThroughWhatWeAskFor(t *testing.T) {
	g := newGate(0)
	n := bgp.Neighbor{Address: netip.MustParseAddr("192.0.2.1"), RemoteAS: 64500}
	asks := append(asksOf(bgp.AllowList{gated4, gated6}), &api.AddPeerRequest{Peer: peer(&n, 64501, true, true)}, addition(gated4), addition(gated6),
		&api.DeletePathRequest{Path: &api.Path{Nlri: nlri(gated4), Family: familyV4, IsWithdraw: true}}, addition(gated4))
	for _, r := range asks {
		if _, err := g.Permit("/apipb.GobgpApi/X", r); err != nil {
			t.Errorf("%T: %v", r, err)
		}
	}
	for _, m := range []string{
		"GetBgp", "ListPath", "ListPeer", "ListPolicyAssignment", "WatchEvent", "DeletePeer", "DisablePeer", "DeleteDefinedSet", "ResetPeer",
	} {
		if _, err := g.Permit("/apipb.GobgpApi/"+m, nil); err != nil {
			t.Errorf("%s: %v", m, err)
		}
	}
}

// TestGateRefuses: what an agent that has lost its mind could ask for.
func TestGateRefuses(t *testing.T) {
	path := func(change func(*api.Path)) *api.AddPathRequest {
		r := addition(gated4)
		change(r.Path)
		return r
	}
	set := func(prefix string, least, most uint32) *api.AddDefinedSetRequest {
		return &api.AddDefinedSetRequest{DefinedSet: &api.DefinedSet{
			DefinedType: api.DefinedType_PREFIX, Name: "failoverd-allow4",
			Prefixes: []*api.Prefix{{IpPrefix: prefix, MaskLengthMin: least, MaskLengthMax: most}},
		}}
	}
	accept := &api.Policy{Name: "x", Statements: []*api.Statement{{Actions: &api.Actions{RouteAction: api.RouteAction_ACCEPT}}}}
	for _, c := range []struct {
		name   string
		method string
		req    any
		why    string
	}{
		{"another prefix", "AddPath", addition(netip.MustParsePrefix("203.0.113.0/24")), "not on the speaker's allow_prefix list"},
		{"a part of ours", "AddPath", addition(netip.MustParsePrefix("198.51.100.0/25")), "not on the speaker's allow_prefix list"},
		{"the default route", "AddPath", addition(netip.MustParsePrefix("0.0.0.0/0")), "not on the speaker's allow_prefix list"},
		{"host bits", "AddPath", addition(netip.MustParsePrefix("198.51.100.1/24")), "not on the speaker's allow_prefix list"},
		{"a length beyond the family", "AddPath", path(func(p *api.Path) {
			p.Nlri, _ = anypb.New(&api.IPAddressPrefix{Prefix: "198.51.100.0", PrefixLen: 4294967295})
		}), "not a prefix"},
		{"octets", "AddPath", path(func(p *api.Path) { p.NlriBinary = []byte{24, 203, 0, 113} }), "plain prefix"},
		{"attributes in octets", "AddPath", path(func(p *api.Path) { p.PattrsBinary = [][]byte{{1}} }), "plain prefix"},
		{"another kind of route", "AddPath", path(func(p *api.Path) { p.Nlri, _ = anypb.New(&api.LabeledIPAddressPrefix{}) }), "not for a prefix"},
		{"another family", "AddPath", path(func(p *api.Path) { p.Family = &api.Family{Afi: api.Family_AFI_IP, Safi: api.Family_SAFI_MPLS_VPN} }), "not a prefix of its family"},
		{"nothing", "AddPath", &api.AddPathRequest{}, "plain prefix"},
		{"a stream of paths", "AddPathStream", nil, "not something"},
		{"a wider set", "AddDefinedSet", set("203.0.113.0/24", 24, 24), "allow_prefix"},
		{"a set with longer prefixes", "AddDefinedSet", set("198.51.100.0/24", 24, 32), "other lengths"},
		{"a set of neighbors", "AddDefinedSet", &api.AddDefinedSetRequest{DefinedSet: &api.DefinedSet{DefinedType: api.DefinedType_NEIGHBOR}}, "not of prefixes"},
		{"a policy that accepts everything", "AddPolicy", &api.AddPolicyRequest{Policy: accept}, "accepts more"},
		{"a default of accepting", "SetPolicyAssignment", &api.SetPolicyAssignmentRequest{Assignment: &api.PolicyAssignment{
			Name: globalTable, Direction: api.PolicyDirection_EXPORT, DefaultAction: api.RouteAction_ACCEPT,
		}}, "does not reject"},
		{"no default", "SetPolicyAssignment", &api.SetPolicyAssignmentRequest{Assignment: &api.PolicyAssignment{Name: globalTable}}, "does not reject"},
		{"the end of the policy", "DeletePolicyAssignment", &api.DeletePolicyAssignmentRequest{}, "not something"},
		{"the end of a policy", "DeletePolicy", &api.DeletePolicyRequest{}, "not something"},
		{"all policies anew", "SetPolicies", &api.SetPoliciesRequest{}, "not something"},
		{"one more policy", "AddPolicyAssignment", &api.AddPolicyAssignmentRequest{}, "not something"},
		{"a statement", "AddStatement", &api.AddStatementRequest{}, "not something"},
		{"dynamic neighbors", "AddDynamicNeighbor", &api.AddDynamicNeighborRequest{}, "not something"},
		{"a method of the future", "AnnounceEverything", nil, "not something"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newGate(0)
			for _, r := range asksOf(bgp.AllowList{gated4, gated6}) {
				if _, err := g.Permit("/apipb.GobgpApi/X", r); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := g.Permit("/apipb.GobgpApi/"+c.method, c.req); err == nil || !strings.Contains(err.Error(), c.why) {
				t.Errorf("%v, want %q", err, c.why)
			}
		})
	}
}

// TestBGP_POL_01_NoNeighborWithoutPolicy: RFC 8212, in the process that speaks.
func TestBGP_POL_01_NoNeighborWithoutPolicy(t *testing.T) {
	asks := asksOf(bgp.AllowList{gated4})
	add := &api.AddPeerRequest{Peer: &api.Peer{Conf: &api.PeerConf{NeighborAddress: "192.0.2.1"}}}
	g := newGate(0)
	for i, r := range asks {
		if _, err := g.Permit("", add); err == nil || !strings.Contains(err.Error(), "RFC 8212") {
			t.Errorf("before request %d: %v", i, err)
		}
		if _, err := g.Permit("", r); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := g.Permit("", add); err != nil {
		t.Error(err)
	}
	server := &api.AddPeerRequest{Peer: &api.Peer{RouteServer: &api.RouteServer{RouteServerClient: true}}}
	if _, err := g.Permit("", server); err == nil {
		t.Error("a route server's client is added, which no policy is for")
	}
	if _, err := g.Permit("", &api.StartBgpRequest{}); err != nil {
		t.Error(err)
	}
	if _, err := g.Permit("", add); err == nil {
		t.Error("the policy of the last start counts")
	}
}

func TestGateCounts(t *testing.T) {
	g := newGate(1)
	permit := func(r any, want error) (refused func()) {
		t.Helper()
		refused, err := g.Permit("", r)
		if !errors.Is(err, want) {
			t.Fatalf("%v, want %v", err, want)
		}
		return refused
	}
	permit(addition(gated4), nil)
	permit(addition(gated4), nil) // other attributes
	permit(addition(gated6), bgp.ErrTooMany)
	permit(&api.DeletePathRequest{Path: &api.Path{Nlri: nlri(gated4), Family: familyV4, IsWithdraw: true}}, nil)
	undo := permit(addition(gated6), nil)
	permit(addition(gated4), bgp.ErrTooMany)
	undo() // the server did not take it
	permit(addition(gated4), nil)
	permit(&api.DeletePathRequest{}, nil) // everything
	permit(addition(gated6), nil)
	g.Withdrawn()
	permit(addition(gated4), nil)
	broken := errors.New("no list")
	g = NewGate(func() (Rails, error) { return Rails{}, broken })
	permit(addition(gated4), broken)
	permit(&api.AddDefinedSetRequest{DefinedSet: &api.DefinedSet{DefinedType: api.DefinedType_PREFIX}}, broken)
}
