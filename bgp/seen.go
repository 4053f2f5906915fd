package bgp

import (
	"errors"
	"net/netip"
	"slices"
)

// SeenPath is a path that a neighbor has sent, before any import policy (its Adj-RIB-In, RFC 4271 section 3.2).
type SeenPath struct {
	Neighbor   netip.Addr
	NeighborAS uint32
	NextHop    netip.Addr
	ASPath     []uint32 // nearest first; empty: the neighbor's own AS, which is ours, too
}

// Sighting is what the neighbors of a speaker have sent for one prefix.
type Sighting struct {
	// Neighbors are all that have an established session, whether or not they have sent a path.
	Neighbors []netip.Addr
	Paths     []SeenPath
}

// Origin returns the AS that the path says it comes from: the last one of AS_PATH, and local, the own AS, for an empty
// one, which only a neighbor in the own AS sends.
func (p *SeenPath) Origin(local uint32) uint32 {
	if n := len(p.ASPath); n > 0 {
		return p.ASPath[n-1]
	}
	return local
}

// ErrNoSession is wrapped by lookups that cannot say anything because no neighbor is there that could have sent a path.
var ErrNoSession = errors.New("no established session")

// MayBeOurs reports whether the path may be one that this speaker of AS local announces itself and that came back to it.
// Nobody sends a path back to whom it came from, so that one which a neighbor has from a router of the own AS is another
// one's; behind more than one AS it cannot be told apart any more.
func (p *SeenPath) MayBeOurs(local uint32) bool {
	first := slices.Index(p.ASPath, local)
	if first < 0 {
		return false
	}
	for _, as := range p.ASPath[:first] {
		if as != p.NeighborAS {
			return true
		}
	}
	return slices.ContainsFunc(p.ASPath[first:], func(as uint32) bool { return as != local })
}
