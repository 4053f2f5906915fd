package gobgp

import (
	"fmt"
	"math"
	"net/netip"
	"slices"

	api "github.com/osrg/gobgp/v3/api"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"failoverd/bgp"
)

var (
	familyV4 = &api.Family{Afi: api.Family_AFI_IP, Safi: api.Family_SAFI_UNICAST}
	familyV6 = &api.Family{Afi: api.Family_AFI_IP6, Safi: api.Family_SAFI_UNICAST}
)

// familyOf returns the unicast family of an address.
func familyOf(a netip.Addr) *api.Family {
	if a.Is4() {
		return familyV4
	}
	return familyV6
}

// pack wraps a message; the only error anypb.New has is a message without a name, which none of ours is.
func pack(m proto.Message) *anypb.Any {
	a, err := anypb.New(m)
	if err != nil {
		panic(fmt.Sprintf("pack %T: %v", m, err))
	}
	return a
}

// nlri is the prefix as gobgp takes it.
func nlri(p netip.Prefix) *anypb.Any {
	return pack(&api.IPAddressPrefix{Prefix: p.Addr().String(), PrefixLen: uint32(p.Bits())})
}

// encodePath turns a route into what AddPath takes. as is the AS that Prepend repeats.
func encodePath(r bgp.Route, as uint32) *api.Path {
	hop := r.NextHop
	if !hop.IsValid() { // unspecified: gobgp puts the session's own address, one session at a time
		hop = netip.IPv6Unspecified()
		if r.Prefix.Addr().Is4() {
			hop = netip.IPv4Unspecified()
		}
	}
	family, dst := familyOf(r.Prefix.Addr()), nlri(r.Prefix)
	attrs := []*anypb.Any{pack(&api.OriginAttribute{Origin: 0})} // IGP
	if r.Prepend > 0 {
		attrs = append(attrs, pack(&api.AsPathAttribute{Segments: []*api.AsSegment{{
			Type: api.AsSegment_AS_SEQUENCE, Numbers: slices.Repeat([]uint32{as}, int(r.Prepend)),
		}}}))
	}
	if r.Prefix.Addr().Is4() {
		attrs = append(attrs, pack(&api.NextHopAttribute{NextHop: hop.String()}))
	} else {
		attrs = append(attrs, pack(&api.MpReachNLRIAttribute{
			Family: family, NextHops: []string{hop.String()}, Nlris: []*anypb.Any{dst},
		}))
	}
	if r.MED != nil {
		attrs = append(attrs, pack(&api.MultiExitDiscAttribute{Med: *r.MED}))
	}
	if r.LocalPref != nil {
		attrs = append(attrs, pack(&api.LocalPrefAttribute{LocalPref: *r.LocalPref}))
	}
	if len(r.Communities) > 0 {
		m := &api.CommunitiesAttribute{}
		for _, c := range r.Communities {
			m.Communities = append(m.Communities, uint32(c))
		}
		attrs = append(attrs, pack(m))
	}
	if len(r.LargeCommunities) > 0 {
		m := &api.LargeCommunitiesAttribute{}
		for _, c := range r.LargeCommunities {
			m.Communities = append(m.Communities, &api.LargeCommunity{
				GlobalAdmin: c.Global, LocalData1: c.Local1, LocalData2: c.Local2,
			})
		}
		attrs = append(attrs, pack(m))
	}
	return &api.Path{Family: family, Nlri: dst, Pattrs: attrs}
}

// withdrawal is what DeletePath takes for one prefix. IsWithdraw spares the attributes; a request with no path at all
// would delete every local route.
func withdrawal(p netip.Prefix) *api.DeletePathRequest {
	return &api.DeletePathRequest{
		TableType: api.TableType_GLOBAL,
		Family:    familyOf(p.Addr()),
		Path:      &api.Path{Family: familyOf(p.Addr()), Nlri: nlri(p), IsWithdraw: true},
	}
}

// learned is a path with everything that we read from one.
type learned struct {
	bgp.BestPath
	local bool  // originated here, not received
	stamp int64 // when the server took it, in seconds since 1970 by its clock
}

// decodePath reads a path of gobgp. Attributes that we do not use are passed over.
func decodePath(p *api.Path) (learned, error) {
	var l learned
	m, err := p.GetNlri().UnmarshalNew()
	if err != nil {
		return l, fmt.Errorf("decode prefix: %w", err)
	}
	n, ok := m.(*api.IPAddressPrefix)
	if !ok {
		return l, fmt.Errorf("decode prefix: %T is not a unicast prefix", m)
	}
	addr, err := netip.ParseAddr(n.Prefix)
	if err != nil {
		return l, fmt.Errorf("decode prefix: %w", err)
	}
	l.Prefix = netip.PrefixFrom(addr, int(n.PrefixLen))
	l.Withdrawn = p.GetIsWithdraw()
	l.stamp = p.GetAge().GetSeconds()
	// A path of our own has no source, which gobgp prints as "<nil>".
	from, err := netip.ParseAddr(p.GetNeighborIp())
	l.Neighbor, l.local = from, err != nil
	for _, a := range p.GetPattrs() {
		m, err := a.UnmarshalNew()
		if err != nil {
			return l, fmt.Errorf("decode attribute of %v: %w", l.Prefix, err)
		}
		l.attribute(m)
	}
	return l, nil
}

// attribute takes one path attribute over.
func (l *learned) attribute(m proto.Message) {
	switch a := m.(type) {
	case *api.AsPathAttribute:
		for _, s := range a.Segments {
			l.ASPath = append(l.ASPath, s.Numbers...)
		}
	case *api.NextHopAttribute:
		l.NextHop, _ = netip.ParseAddr(a.NextHop)
	case *api.MpReachNLRIAttribute:
		if len(a.NextHops) > 0 {
			l.NextHop, _ = netip.ParseAddr(a.NextHops[0])
		}
	case *api.MultiExitDiscAttribute:
		l.MED = &a.Med
	case *api.LocalPrefAttribute:
		l.LocalPref = &a.LocalPref
	case *api.CommunitiesAttribute:
		for _, c := range a.Communities {
			l.Communities = append(l.Communities, bgp.Community(c))
		}
	case *api.LargeCommunitiesAttribute:
		for _, c := range a.Communities {
			l.LargeCommunities = append(l.LargeCommunities,
				bgp.LargeCommunity{Global: c.GlobalAdmin, Local1: c.LocalData1, Local2: c.LocalData2})
		}
	}
}

// route is the path as the route that encodePath made it from.
func (l *learned) route() bgp.Route {
	r := bgp.Route{Prefix: l.Prefix, Attributes: bgp.Attributes{
		MED: l.MED, LocalPref: l.LocalPref, Prepend: uint8(min(len(l.ASPath), math.MaxUint8)),
		Communities: l.Communities, LargeCommunities: l.LargeCommunities,
	}}
	if !l.NextHop.IsUnspecified() {
		r.NextHop = l.NextHop
	}
	r.Normalize()
	return r
}
