package gobgp

import (
	"net/netip"
	"slices"

	"failoverd/bgp"
)

// Placed is a path that a Client has put into a gobgpd's table, with what tells it from a path that somebody else has put
// there for the same prefix: gobgp's API has no owner of a path.
type Placed struct {
	Route bgp.Route `json:"route"`
	// Stamp is when the server took it, by the server's clock, in seconds since 1970; 0: that has not been read back.
	Stamp int64 `json:"stamp,omitempty"`
}

// matches reports whether l is that path, and not another one for its prefix.
func (p *Placed) matches(l *learned) bool {
	return l.local && l.Prefix == p.Route.Prefix && (p.Stamp == 0 || p.Stamp == l.stamp) && l.route().Attributes.Equal(p.Route.Attributes)
}

// Equal reports whether both are the same path.
func (p *Placed) Equal(q *Placed) bool {
	return p.Stamp == q.Stamp && p.Route.Prefix == q.Route.Prefix && p.Route.Attributes.Equal(q.Route.Attributes)
}

// place notes what is about to be added. What it replaces is kept: the server may not come to it.
func (s *session) place(routes []bgp.Route) {
	if s.opts.Placed == nil || len(routes) == 0 {
		return
	}
	next := slices.Clone(s.placed)
	for _, r := range routes {
		next = append(next, Placed{Route: r})
	}
	s.keepPlaced(next)
}

// recognize notes which paths of the table are ours, now that it was read.
func (s *session) recognize(table []learned) {
	if s.opts.Placed == nil {
		return
	}
	var next []Placed
	for i := range table {
		l := &table[i]
		if slices.ContainsFunc(s.placed, func(p Placed) bool { return p.matches(l) }) {
			next = append(next, Placed{Route: l.route(), Stamp: l.stamp})
		}
	}
	s.keepPlaced(next)
}

func (s *session) keepPlaced(next []Placed) {
	if slices.EqualFunc(s.placed, next, func(a, b Placed) bool { return a.Equal(&b) }) {
		return
	}
	s.placed = next
	s.opts.Placed(slices.Clone(next))
}

// Left returns what the server may still announce when Run has ended, sorted: what it has not confirmed the withdrawal of, and
// what it may have of a life before, if it has never answered.
func (c *Client) Left() []netip.Prefix {
	left := c.Owed()
	if c.dead.Load() {
		return left
	}
	for i := range c.placed {
		if p := c.placed[i].Route.Prefix; !slices.Contains(left, p) {
			left = append(left, p)
		}
	}
	slices.SortFunc(left, netip.Prefix.Compare)
	return left
}

// Owed returns what the server may still announce although it is not wanted, sorted.
func (c *Client) Owed() (prefixes []netip.Prefix) {
	c.mu.Lock()
	defer c.mu.Unlock()
	wanted := c.wanted()
	for p := range c.owing.held {
		if !wanted[p] {
			prefixes = append(prefixes, p)
		}
	}
	slices.SortFunc(prefixes, netip.Prefix.Compare)
	return prefixes
}
