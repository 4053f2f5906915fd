package gobgp

import (
	"net/netip"
	"time"

	"failoverd/bgp"
)

// owing is what a server may still announce, and whether it should. It is kept apart from the table because Run may be
// waiting for a server that does not answer while Set already wants something else. Client.mu guards it.
type owing struct {
	life    uint64 // counts servers: how many are gone
	held    map[netip.Prefix]bool
	nothing bool         // nothing is wanted any more, whatever was Set
	limit   time.Time    // of the orderly end; zero: it has not begun
	prefix  netip.Prefix // one that is held and not wanted; zero: there is none
	number  uint64       // counts debts
}

// Debt numbers the withdrawal that the server has not confirmed yet; 0: there is none. As long as the number stays the
// same, a route that is not wanted may be out.
func (c *Client) Debt() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lapsed() {
		c.reckon() // nobody says so, and Run may be waiting for an answer
	}
	if !c.owing.prefix.IsValid() {
		return 0
	}
	return c.owing.number
}

// Gone says that the server's process has ended, and all its sessions with it: nothing is announced any more.
func (c *Client) Gone() {
	c.mu.Lock()
	c.owing.life++
	c.owing.held = nil
	c.reckon()
	c.mu.Unlock()
	c.Wake()
}

// wantNothing is the end of all wishes. From the first call on, the orderly end has StopWithin.
func (c *Client) wantNothing() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.owing.nothing {
		c.owing.nothing, c.owing.limit = true, time.Now().Add(c.opts.StopWithin)
	}
	c.reckon()
}

// reckon looks for a debt after something changed. c.mu is held.
func (c *Client) reckon() {
	o := &c.owing
	wanted := c.wanted()
	if o.held[o.prefix] && !wanted[o.prefix] {
		return // still the same
	}
	o.prefix = netip.Prefix{}
	for p := range o.held {
		if !wanted[p] {
			o.prefix = p
			o.number++
			return
		}
	}
}

// wanted returns which of the prefixes that are held are to stay. c.mu is held.
func (c *Client) wanted() map[netip.Prefix]bool {
	o := &c.owing
	wanted := map[netip.Prefix]bool{}
	if d := c.desired.Load(); d != nil && !o.nothing && len(o.held) > 0 && !over(d) {
		for _, r := range d.Routes {
			wanted[r.Prefix] = c.next == nil || c.next.Allow.Permits(r.Prefix)
		}
	}
	return wanted
}

// hold notes that the server may announce routes, from the moment before they are announced. Those of a server that is
// gone are not noted.
func (s *session) hold(routes []bgp.Route) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(routes)
}

// add is hold with c.mu held.
func (s *session) add(routes []bgp.Route) {
	if s.life != s.owing.life {
		return
	}
	if s.owing.held == nil {
		s.owing.held = map[netip.Prefix]bool{}
	}
	for _, r := range routes {
		s.owing.held[r.Prefix] = true
	}
	s.reckon()
}

// release notes that the server does not announce a prefix any more.
func (s *session) release(p netip.Prefix) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life == s.owing.life {
		delete(s.owing.held, p)
		s.reckon()
	}
}

// confirm notes what the server's table has, and nothing else.
func (s *session) confirm(table []bgp.Route) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life == s.owing.life {
		clear(s.owing.held)
	}
	s.add(table)
}
