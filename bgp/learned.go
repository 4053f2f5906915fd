package bgp

import "net/netip"

// BestPath is the best path that a router knows for one prefix, or that it knows none any more. Only the upstream
// router of the demo and of the labs learns routes; a speaker of ours never accepts one.
type BestPath struct {
	Prefix    netip.Prefix
	Withdrawn bool // no path is left; everything below is zero
	NextHop   netip.Addr
	Neighbor  netip.Addr // whom it was learned from
	ASPath    []uint32   // nearest first
	MED       *uint32
	LocalPref *uint32
	// Communities and LargeCommunities are in the order of the wire.
	Communities      []Community
	LargeCommunities []LargeCommunity
}
