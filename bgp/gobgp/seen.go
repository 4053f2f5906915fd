package gobgp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"

	api "github.com/osrg/gobgp/v3/api"

	"failoverd/bgp"
)

// view is what questions from other goroutines are answered from: a copy, made whenever Run has news.
type view struct {
	api       api.GobgpApiClient // nil: no server answers
	localAS   uint32
	allow     bgp.AllowList
	neighbors []viewedNeighbor // those with an established session
	announced []netip.Prefix
}

type viewedNeighbor struct {
	address, local netip.Addr
	as             uint32
}

// show publishes what is true now. It is called from Run's goroutine.
func (c *Client) show(r *bgp.Report) {
	v := &view{localAS: c.cfg.LocalAS, allow: c.cfg.Allow}
	if c.connected {
		v.api = c.live
	}
	for i := range c.neighbors {
		if n := &c.neighbors[i]; n.status.State == bgp.Established {
			v.neighbors = append(v.neighbors, viewedNeighbor{n.cfg.Address, n.cfg.LocalAddress, n.cfg.RemoteAS})
		}
	}
	for i := range r.Announced {
		v.announced = append(v.announced, r.Announced[i].Prefix)
	}
	c.view.Store(v)
}

// Seen returns the paths that neighbors have sent for exactly this prefix, whatever import policies make of them. What may
// be an announcement of this speaker that came back is not among them. It waits for the server for as long as
// Options.Timeout at most. No path and no error says that the sessions are up and none of them brings the prefix;
// otherwise the error says why nobody can tell, and wraps bgp.ErrNoSession when no session is established.
func (c *Client) Seen(ctx context.Context, prefix netip.Prefix) (seen bgp.Sighting, err error) {
	v := c.view.Load()
	switch {
	case v == nil || v.api == nil:
		return seen, errors.New("the BGP speaker does not answer")
	case len(v.neighbors) == 0:
		return seen, bgp.ErrNoSession
	case !slices.ContainsFunc(v.allow, func(p netip.Prefix) bool { return p.Addr().Is4() == prefix.Addr().Is4() }):
		return seen, fmt.Errorf("no session carries the address family of %v: allow_prefix has none of it", prefix)
	}
	ctx, cancel := context.WithTimeout(ctx, c.opts.Timeout)
	defer cancel()
	for i := range v.neighbors {
		more, err := v.seen(ctx, &v.neighbors[i], prefix)
		if err != nil {
			return bgp.Sighting{}, fmt.Errorf("read what neighbor %v has sent: %w", v.neighbors[i].address, err)
		}
		seen.Neighbors = append(seen.Neighbors, v.neighbors[i].address)
		seen.Paths = append(seen.Paths, more...)
	}
	return seen, nil
}

// seen asks for the Adj-RIB-In of one neighbor.
func (v *view) seen(ctx context.Context, n *viewedNeighbor, prefix netip.Prefix) (paths []bgp.SeenPath, err error) {
	stream, err := v.api.ListPath(ctx, &api.ListPathRequest{
		TableType: api.TableType_ADJ_IN, Name: n.address.String(), Family: familyOf(prefix.Addr()),
		Prefixes: []*api.TableLookupPrefix{{Prefix: prefix.String()}},
	})
	if err != nil {
		return nil, err
	}
	ours := slices.Contains(v.announced, prefix)
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return paths, nil
		}
		if err != nil {
			return nil, err
		}
		for _, p := range m.GetDestination().GetPaths() {
			l, err := decodePath(p)
			if err != nil {
				return nil, err
			}
			s := bgp.SeenPath{Neighbor: n.address, NeighborAS: n.as, NextHop: l.NextHop, ASPath: l.ASPath}
			// A path whose next hop is this end of the session leads back here.
			if l.Prefix == prefix && l.NextHop != n.local && !(ours && s.MayBeOurs(v.localAS)) {
				paths = append(paths, s)
			}
		}
	}
}
