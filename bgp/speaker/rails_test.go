package speaker

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	api "github.com/osrg/gobgp/v3/api"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"

	"failoverd/bgp"
)

// TestBGP_POL_03_TheSpeakerItselfRefuses: an agent that has lost its mind asks the process, by gobgp's own API, for a foreign
// prefix, for one more than may be, and for another policy. All is refused, nothing of it reaches the neighbor, and what is
// allowed goes on.
func TestBGP_POL_03_TheSpeakerItselfRefuses(t *testing.T) {
	t.Parallel()
	p := newRawPeer(t, "127.0.0.2", nil)
	cfg := speakerOf(rawNeighbor(p))
	cfg.MaxAnnouncements = 1
	a := startAgent(t, cfg)
	a.set(route4())
	a.until(sessionUp, "the session", allEstablished)
	p.wait(0, prompt, "our route", is("+198.51.100.0/24"))

	conn, err := grpc.NewClient("unix://"+a.s.socket(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := api.NewGobgpApiClient(conn)
	ctx, cancel := context.WithTimeout(context.Background(), prompt)
	defer cancel()
	refused := func(what string, err error) {
		t.Helper()
		if status.Code(err) != codes.PermissionDenied {
			t.Errorf("%s: %v", what, err)
		}
	}
	foreign := netip.MustParsePrefix("203.0.113.0/24")
	_, err = c.DeletePolicyAssignment(ctx, &api.DeletePolicyAssignmentRequest{
		Assignment: &api.PolicyAssignment{Name: "global", Direction: api.PolicyDirection_EXPORT}, All: true,
	})
	refused("no policy", err)
	_, err = c.SetPolicyAssignment(ctx, &api.SetPolicyAssignmentRequest{
		Assignment: &api.PolicyAssignment{Name: "global", Direction: api.PolicyDirection_EXPORT, DefaultAction: api.RouteAction_ACCEPT},
	})
	refused("a policy that accepts", err)
	_, err = c.AddDefinedSet(ctx, &api.AddDefinedSetRequest{DefinedSet: &api.DefinedSet{
		DefinedType: api.DefinedType_PREFIX, Name: "failoverd-allow4",
		Prefixes: []*api.Prefix{{IpPrefix: foreign.String(), MaskLengthMin: 24, MaskLengthMax: 24}},
	}})
	refused("a wider set", err)
	_, err = c.AddPath(ctx, &api.AddPathRequest{TableType: api.TableType_GLOBAL, Path: plainPath(foreign)})
	refused("a foreign prefix", err)
	_, err = c.AddPath(ctx, &api.AddPathRequest{TableType: api.TableType_GLOBAL, Path: plainPath(service6)})
	refused("one more than may be", err)
	stream, err := c.AddPathStream(ctx)
	if err == nil {
		_ = stream.Send(&api.AddPathStreamRequest{TableType: api.TableType_GLOBAL, Paths: []*api.Path{plainPath(foreign)}})
		_, err = stream.CloseAndRecv()
	}
	refused("a stream", err)

	time.Sleep(300 * time.Millisecond) // the assertion is that nothing comes
	if n := count(p, "UPDATE"); n != 1 {
		t.Errorf("%d UPDATEs, want 1: %s", n, p.describe())
	}
	// A reload widens what the process allows, without another process.
	pid := a.s.PID()
	cfg.MaxAnnouncements, cfg.Allow = 0, append(bgp.AllowList{foreign}, cfg.Allow...)
	if !a.s.Reconfigure(cfg) {
		t.Fatal("it takes another process")
	}
	a.set(bgp.Route{Prefix: foreign}, route4())
	p.wait(0, prompt, "the newly allowed prefix", is("+203.0.113.0/24"))
	if a.s.PID() != pid {
		t.Error("another process")
	}
}

// plainPath is a path as any client of gobgp would add it.
func plainPath(p netip.Prefix) *api.Path {
	dst, _ := anypb.New(&api.IPAddressPrefix{Prefix: p.Addr().String(), PrefixLen: uint32(p.Bits())})
	origin, _ := anypb.New(&api.OriginAttribute{})
	f := &api.Family{Afi: api.Family_AFI_IP, Safi: api.Family_SAFI_UNICAST}
	hop, _ := anypb.New(&api.NextHopAttribute{NextHop: "192.0.2.1"})
	if p.Addr().Is6() {
		f = &api.Family{Afi: api.Family_AFI_IP6, Safi: api.Family_SAFI_UNICAST}
		hop, _ = anypb.New(&api.MpReachNLRIAttribute{Family: f, NextHops: []string{"2001:db8::1"}, Nlris: []*anypb.Any{dst}})
	}
	return &api.Path{Family: f, Nlri: dst, Pattrs: []*anypb.Any{origin, hop}}
}

// A process that was started by an agent that has died keeps to its list: other rails need another process.
func TestRailsOfALifeBefore(t *testing.T) {
	var f railsFile
	t.Cleanup(f.close)
	cfg := bgp.SpeakerConfig{Allow: bgp.AllowList{netip.MustParsePrefix("198.51.100.0/24")}}
	if _, err := f.set(&cfg); err != nil {
		t.Fatal(err)
	}
	f.foreign = true
	if _, err := f.set(&cfg); err != nil {
		t.Errorf("the same rails: %v", err)
	}
	wider := bgp.SpeakerConfig{Allow: append(bgp.AllowList{netip.MustParsePrefix("203.0.113.0/24")}, cfg.Allow...)}
	if _, err := f.set(&wider); !errors.Is(err, errForeignRails) {
		t.Errorf("other rails: %v", err)
	}
	r, err := f.open() // for the next process
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := f.set(&wider); err != nil {
		t.Errorf("other rails for a process of this life: %v", err)
	}
}
