package gobgp

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"

	api "github.com/osrg/gobgp/v3/api"

	"failoverd/bgp"
)

// Rails are what a speaker process holds its own agent to.
type Rails struct {
	Allow bgp.AllowList `json:"allow"`
	// MaxAnnouncements is the most prefixes at once; 0: as many as Allow has.
	MaxAnnouncements int `json:"max_announcements"`
}

// Gate stands in front of a gobgp server and lets through only what can do no harm, whatever the agent that asks believes:
// it is the second, independent check of the allow list. What it does not know it refuses. It may be used from any
// goroutine.
//
//   - A path is added only for a prefix on the list, and only as many as may be.
//   - A policy accepts only paths that were made here, and what no policy names is rejected.
//   - A neighbor is added only when there is a policy in both directions (RFC 8212).
type Gate struct {
	rails func() (Rails, error)

	mu        sync.Mutex
	announced map[netip.Prefix]bool
	policed   map[api.PolicyDirection]bool // since the server's start
}

// NewGate returns a gate. rails is asked for every request that depends on it.
func NewGate(rails func() (Rails, error)) *Gate {
	g := &Gate{rails: rails}
	g.reset()
	return g
}

// reset forgets what belonged to the server's last start.
func (g *Gate) reset() {
	g.announced, g.policed = make(map[netip.Prefix]bool), make(map[api.PolicyDirection]bool)
}

// Withdrawn says that everything was withdrawn by another way than through the gate.
func (g *Gate) Withdrawn() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.announced = make(map[netip.Prefix]bool)
}

// harmless are the methods that neither announce anything nor touch a policy, besides those that only ask. A neighbor that
// goes away takes nothing with it that was held back.
var harmless = map[string]bool{
	"DeletePeer": true, "EnablePeer": true, "DisablePeer": true, "ResetPeer": true, "ShutdownPeer": true,
	// Less is allowed afterwards, and what a policy refers to cannot be deleted.
	"DeleteDefinedSet": true,
}

// Permit decides about one request of gobgp's API. The error says why it is refused. refused is called, if it is not nil,
// when the server did not take a request that was permitted.
func (g *Gate) Permit(method string, req any) (refused func(), err error) {
	name := method[strings.LastIndexByte(method, '/')+1:]
	g.mu.Lock()
	defer g.mu.Unlock()
	switch r := req.(type) {
	case *api.StartBgpRequest, *api.StopBgpRequest:
		g.reset()
		return nil, nil
	case *api.AddPathRequest:
		return g.addPath(r)
	case *api.DeletePathRequest:
		g.deletePath(r)
		return nil, nil
	case *api.AddDefinedSetRequest:
		return nil, g.addSet(r.GetDefinedSet())
	case *api.AddPolicyRequest:
		return nil, checkPolicy(r.GetPolicy())
	case *api.SetPolicyAssignmentRequest:
		return nil, g.assign(r.GetAssignment())
	case *api.AddPeerRequest:
		return nil, g.checkPeer(r.GetPeer())
	case *api.UpdatePeerRequest:
		return nil, g.checkPeer(r.GetPeer())
	}
	asks := strings.HasPrefix(name, "List") || strings.HasPrefix(name, "Get") || strings.HasPrefix(name, "Watch")
	if asks || harmless[name] {
		return nil, nil
	}
	return nil, fmt.Errorf("%s is not something that an agent asks for", name)
}

// addPath lets an announcement through, and counts it.
func (g *Gate) addPath(r *api.AddPathRequest) (refused func(), err error) {
	if r.GetPath().GetIsWithdraw() {
		return nil, errors.New("a withdrawal by AddPath")
	}
	p, err := pathPrefix(r.GetPath())
	if err != nil {
		return nil, err
	}
	rails, err := g.rails()
	switch {
	case err != nil:
		return nil, err
	case r.TableType != api.TableType_GLOBAL:
		return nil, fmt.Errorf("%v: not in the global table", p)
	case !rails.Allow.Permits(p):
		return nil, fmt.Errorf("%v: %w", p, bgp.ErrNotAllowed)
	case g.announced[p]:
		return nil, nil
	case len(g.announced) >= rails.limit():
		return nil, fmt.Errorf("%v: %w (%d)", p, bgp.ErrTooMany, rails.limit())
	}
	g.announced[p] = true
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.announced, p)
	}, nil
}

func (r *Rails) limit() int {
	if r.MaxAnnouncements == 0 {
		return len(r.Allow)
	}
	return r.MaxAnnouncements
}

// deletePath counts a withdrawal; one that names no path is about all of them.
func (g *Gate) deletePath(r *api.DeletePathRequest) {
	if r.GetPath() == nil && len(r.GetUuid()) == 0 {
		g.announced = make(map[netip.Prefix]bool)
		return
	}
	if p, err := pathPrefix(r.GetPath()); err == nil {
		delete(g.announced, p)
	}
}

// pathPrefix returns the prefix of a path to be added. Only what is encoded as ours are is understood.
func pathPrefix(p *api.Path) (netip.Prefix, error) {
	if p.GetNlri() == nil || len(p.GetNlriBinary()) > 0 || len(p.GetPattrsBinary()) > 0 {
		return netip.Prefix{}, errors.New("a path without a plain prefix")
	}
	var a api.IPAddressPrefix
	if err := p.GetNlri().UnmarshalTo(&a); err != nil {
		return netip.Prefix{}, fmt.Errorf("a path that is not for a prefix: %w", err)
	}
	addr, err := netip.ParseAddr(a.GetPrefix())
	if err != nil {
		return netip.Prefix{}, err
	}
	prefix := netip.PrefixFrom(addr, int(min(a.GetPrefixLen(), 1<<10)))
	f := p.GetFamily()
	if !prefix.IsValid() || f.GetSafi() != api.Family_SAFI_UNICAST || f.GetAfi() != familyOf(addr).GetAfi() {
		return netip.Prefix{}, fmt.Errorf("%s/%d is not a prefix of its family", a.GetPrefix(), a.GetPrefixLen())
	}
	return prefix, nil
}

// addSet lets a set of prefixes through that are on the list, each with its own length only.
func (g *Gate) addSet(s *api.DefinedSet) error {
	if s.GetDefinedType() != api.DefinedType_PREFIX || len(s.GetList()) > 0 {
		return fmt.Errorf("set %s: not of prefixes", s.GetName())
	}
	rails, err := g.rails()
	if err != nil {
		return err
	}
	for _, x := range s.GetPrefixes() {
		p, err := netip.ParsePrefix(x.GetIpPrefix())
		switch {
		case err != nil:
			return err
		case !rails.Allow.Permits(p):
			return fmt.Errorf("set %s: %v: %w", s.GetName(), p, bgp.ErrNotAllowed)
		case int(x.GetMaskLengthMin()) != p.Bits() || int(x.GetMaskLengthMax()) != p.Bits():
			return fmt.Errorf("set %s: %v with other lengths, %d to %d", s.GetName(), p, x.GetMaskLengthMin(), x.GetMaskLengthMax())
		}
	}
	return nil
}

// checkPolicy refuses a policy that lets anything pass that a neighbor sent.
func checkPolicy(p *api.Policy) error {
	for _, s := range p.GetStatements() {
		if s.GetActions().GetRouteAction() == api.RouteAction_ACCEPT &&
			s.GetConditions().GetRouteType() != api.Conditions_ROUTE_TYPE_LOCAL {
			return fmt.Errorf("policy %s accepts more than what was made here", p.GetName())
		}
	}
	return nil
}

func (g *Gate) assign(a *api.PolicyAssignment) error {
	if a.GetName() != globalTable || a.GetDefaultAction() != api.RouteAction_REJECT {
		return fmt.Errorf("the %v policy of %q does not reject what it does not name", a.GetDirection(), a.GetName())
	}
	for _, p := range a.GetPolicies() {
		if err := checkPolicy(p); err != nil {
			return err
		}
	}
	g.policed[a.GetDirection()] = true
	return nil
}

// checkPeer refuses a neighbor that would get, or give, anything without a policy.
func (g *Gate) checkPeer(p *api.Peer) error {
	switch name := p.GetConf().GetNeighborAddress(); {
	case !g.policed[api.PolicyDirection_EXPORT] || !g.policed[api.PolicyDirection_IMPORT]:
		return fmt.Errorf("neighbor %s before there is a policy in both directions (RFC 8212)", name)
	case p.GetRouteServer().GetRouteServerClient() || p.GetRouteReflector().GetRouteReflectorClient() || p.GetConf().GetVrf() != "" || p.GetConf().GetPeerGroup() != "":
		return fmt.Errorf("neighbor %s of a kind that the policy is not for", name)
	}
	return nil
}
