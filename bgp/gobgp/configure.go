package gobgp

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	api "github.com/osrg/gobgp/v3/api"

	"failoverd/bgp"
)

// Names of what we put into a server's policy. The export policy also tells a server that we configured from one that
// belongs to its operator.
const (
	exportPolicy = "failoverd-export"
	importPolicy = "failoverd-import"
	globalTable  = "global" // the only policy assignment that works without route server clients
)

// maxPrefixes bounds what a neighbor can make the speaker keep: gobgp stores refused routes as well. Above it the
// session ends with CEASE 6/1 (RFC 4486) and is tried again with back-off.
const maxPrefixes = 10_000

// startRequest is the start of a server. A listen port of 0 would mean 179 to gobgp.
func startRequest(as uint32, id netip.Addr, listen uint16) *api.StartBgpRequest {
	port := int32(listen)
	if listen == 0 {
		port = -1
	}
	return &api.StartBgpRequest{Global: &api.Global{Asn: as, RouterId: id.String(), ListenPort: port}}
}

// configure brings a fresh server up, in the only order that never lets anything out or in that should not be there:
// the policies are set between the start and the first neighbor. Neighbors are added by the caller.
func configure(ctx context.Context, c api.GobgpApiClient, cfg *bgp.SpeakerConfig) error {
	if _, err := c.StartBgp(ctx, startRequest(cfg.LocalAS, cfg.RouterID, cfg.ListenPort)); err != nil {
		return fmt.Errorf("start AS %d: %w", cfg.LocalAS, err)
	}
	export, sets := exportStatements(cfg.Allow)
	for _, s := range sets {
		if _, err := c.AddDefinedSet(ctx, &api.AddDefinedSetRequest{DefinedSet: s}); err != nil {
			return fmt.Errorf("add prefix set %s: %w", s.Name, err)
		}
	}
	for _, a := range []*api.PolicyAssignment{
		assignment(api.PolicyDirection_EXPORT, exportPolicy, export),
		// Our own paths pass the import policy too: without this statement gobgp drops them silently.
		assignment(api.PolicyDirection_IMPORT, importPolicy, []*api.Statement{localStatement("failoverd-local", nil)}),
	} {
		for _, p := range a.Policies {
			if _, err := c.AddPolicy(ctx, &api.AddPolicyRequest{Policy: p}); err != nil {
				return fmt.Errorf("add policy %s: %w", p.Name, err)
			}
		}
		if _, err := c.SetPolicyAssignment(ctx, &api.SetPolicyAssignmentRequest{Assignment: a}); err != nil {
			return fmt.Errorf("assign %v policy: %w", a.Direction, err)
		}
	}
	return nil
}

// assignment replaces the policy of one direction: one policy (none when it has no statements), the rest is rejected.
func assignment(d api.PolicyDirection, name string, s []*api.Statement) *api.PolicyAssignment {
	a := &api.PolicyAssignment{Name: globalTable, Direction: d, DefaultAction: api.RouteAction_REJECT}
	if len(s) > 0 {
		a.Policies = []*api.Policy{{Name: name, Statements: s}}
	}
	return a
}

// exportStatements is the allow list as gobgp's policy: each prefix with exactly its own length, and only when the
// path was made here. One set for each family: gobgp does not take a mixed one.
func exportStatements(allow bgp.AllowList) ([]*api.Statement, []*api.DefinedSet) {
	byFamily := map[bool][]*api.Prefix{}
	for _, p := range allow {
		bits := uint32(p.Bits())
		byFamily[p.Addr().Is4()] = append(byFamily[p.Addr().Is4()],
			&api.Prefix{IpPrefix: p.String(), MaskLengthMin: bits, MaskLengthMax: bits})
	}
	var (
		statements []*api.Statement
		sets       []*api.DefinedSet
	)
	for _, f := range []struct {
		is4  bool
		name string
	}{{true, "failoverd-allow4"}, {false, "failoverd-allow6"}} {
		if len(byFamily[f.is4]) == 0 {
			continue
		}
		sets = append(sets, &api.DefinedSet{
			DefinedType: api.DefinedType_PREFIX, Name: f.name, Prefixes: byFamily[f.is4],
		})
		statements = append(statements, localStatement(f.name, &api.MatchSet{Type: api.MatchSet_ANY, Name: f.name}))
	}
	return statements, sets
}

// localStatement accepts paths that were made here; prefixes narrows that down when it is not nil.
func localStatement(name string, prefixes *api.MatchSet) *api.Statement {
	return &api.Statement{
		Name:       name,
		Conditions: &api.Conditions{PrefixSet: prefixes, RouteType: api.Conditions_ROUTE_TYPE_LOCAL},
		Actions:    &api.Actions{RouteAction: api.RouteAction_ACCEPT},
	}
}

// peer is one neighbor as gobgp takes it.
func peer(n *bgp.Neighbor, localAS uint32, v4, v6 bool) *api.Peer {
	seconds := func(d time.Duration) uint64 { return uint64(d / time.Second) }
	p := &api.Peer{
		Conf: &api.PeerConf{
			NeighborAddress: n.Address.String(), PeerAsn: n.RemoteAS,
			AuthPassword: n.Password, Description: n.Description,
		},
		Timers: &api.Timers{Config: &api.TimersConfig{
			ConnectRetry: seconds(n.ConnectRetry), HoldTime: seconds(n.HoldTime),
			KeepaliveInterval: seconds(n.Keepalive), IdleHoldTimeAfterReset: 1,
		}},
		Transport: &api.Transport{RemotePort: uint32(n.Port), BindInterface: n.Address.Zone()},
	}
	if n.LocalAddress.IsValid() {
		p.Transport.LocalAddress = n.LocalAddress.String()
	}
	if n.Multihop > 0 && n.RemoteAS != localAS {
		p.EbgpMultihop = &api.EbgpMultihop{Enabled: true, MultihopTtl: uint32(n.Multihop)}
	}
	if n.TTLSecurity > 0 {
		p.TtlSecurity = &api.TtlSecurity{Enabled: true, TtlMin: 256 - uint32(n.TTLSecurity)}
	}
	restart := n.GracefulRestart > 0
	if restart {
		p.GracefulRestart = &api.GracefulRestart{
			Enabled: true, RestartTime: uint32(seconds(n.GracefulRestart)),
			DeferralTime: 5, // gobgp's own default of six minutes would hold announcements back
		}
	}
	for _, f := range []struct {
		on     bool
		family *api.Family
	}{{v4, familyV4}, {v6, familyV6}} {
		if !f.on {
			continue
		}
		a := &api.AfiSafi{
			Config:       &api.AfiSafiConfig{Family: f.family, Enabled: true},
			PrefixLimits: &api.PrefixLimit{Family: f.family, MaxPrefixes: maxPrefixes},
		}
		if restart {
			a.MpGracefulRestart = &api.MpGracefulRestart{Config: &api.MpGracefulRestartConfig{Enabled: true}}
		}
		p.AfiSafis = append(p.AfiSafis, a)
	}
	return p
}
