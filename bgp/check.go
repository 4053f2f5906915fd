package bgp

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// MaxCommunication is the longest text of an administrative shutdown, in octets (RFC 8203; RFC 9003's 255 needs a peer
// that is known to take it).
const MaxCommunication = 128

// Check reports everything that is wrong with the configuration itself, joined. A speaker that passes can be started;
// whether it may announce a route is Validate's question.
func (c *SpeakerConfig) Check() error {
	var errs []error
	wrong := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("speaker %s: %w", c.Name, fmt.Errorf(format, args...)))
	}
	if c.LocalAS == 0 {
		wrong("local_as 0 is reserved (RFC 7607)")
	}
	if (!c.RouterID.Is4() || c.RouterID.IsUnspecified()) && (c.RouterID.IsValid() || !c.OperatorOwned()) {
		wrong("router_id %v is not an IPv4 address other than 0.0.0.0 (RFC 6286)", c.RouterID)
	}
	if c.MaxAnnouncements < 0 {
		wrong("max_announcements %d is negative", c.MaxAnnouncements)
	}
	if n := c.MaxChanges; n != 0 && n < MinChanges {
		wrong("max_changes %d: want at least %d, an announcement and its withdrawal", n, MinChanges)
	}
	if len(c.Allow) == 0 {
		wrong("allow_prefix is empty: nothing could ever be announced (RFC 8212)")
	}
	for _, p := range c.Allow {
		switch {
		case !p.IsValid() || p.Addr().Is4In6():
			wrong("allow_prefix %v is not a prefix", p)
		case p.Bits() == 0:
			wrong("allow_prefix %v is a default route", p)
		case p != p.Masked():
			wrong("allow_prefix %v has host bits set; did you mean %v?", p, p.Masked())
		}
	}
	if c.External != nil {
		if err := c.External.Check(); err != nil {
			wrong("backend gobgpd: %w", err)
		}
		if c.OperatorOwned() && c.ListenPort != 0 {
			wrong("listen_port %d: without a neighbor here, where gobgpd listens is its operator's business", c.ListenPort)
		}
	}
	seen := map[netip.Addr]bool{}
	for i := range c.Neighbors {
		n := &c.Neighbors[i]
		if seen[n.Address] {
			wrong("neighbor %v is there twice", n.Address)
		}
		seen[n.Address] = true
		if err := n.Check(c.LocalAS); err != nil {
			wrong("neighbor %v: %w", n.Address, err)
		}
	}
	return errors.Join(errs...)
}

// Check reports everything that is wrong with one neighbor of a speaker in AS localAS, joined.
func (n *Neighbor) Check(localAS uint32) error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	switch a := n.Address; {
	case !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || a.Is4In6():
		wrong("not the address of a neighbor")
	case a.Is6() && a.IsLinkLocalUnicast() && (a.Zone() == "" || !n.LocalAddress.IsValid()):
		// Without its own link-local address gobgp sends a zero next hop, which every peer refuses.
		wrong("a link-local neighbor needs its interface (%v%%eth0) and local_address", a)
	}
	if l := n.LocalAddress; l.IsValid() && (l.Is4() != n.Address.Is4() || l.Zone() != "") {
		wrong("local_address %v: want an address of the neighbor's family, without a zone", l)
	}
	if n.RemoteAS == 0 {
		wrong("remote_as 0 is reserved (RFC 7607); it would accept any AS")
	}
	if len(n.Password) > 80 {
		wrong("password of %d octets: the kernel takes 80 (RFC 2385)", len(n.Password))
	}
	if n.Multihop != 0 && n.TTLSecurity != 0 {
		wrong("multihop and ttl_security exclude each other (RFC 5082)")
	}
	if n.Multihop != 0 && n.RemoteAS == localAS {
		wrong("multihop is for eBGP; an iBGP session has no hop limit")
	}
	if g := n.GracefulRestart; g < 0 || g > 4095*time.Second || g%time.Second != 0 {
		wrong("graceful_restart %v: want 0 to 4095 whole seconds (RFC 4724)", g)
	}
	return errors.Join(append(errs, n.checkTimers())...)
}

// checkTimers applies RFC 4271 section 4.2 and 4.4, and leaves out what it allows but fail-over cannot live with: a
// hold time of zero, with which a dead peer is never noticed.
func (n *Neighbor) checkTimers() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	hold, keep, retry := n.HoldTime, n.Keepalive, n.ConnectRetry
	switch {
	case hold == 0:
		wrong("hold_time 0 would never notice a dead peer")
	case hold < 3*time.Second || hold > 65535*time.Second || hold%time.Second != 0:
		wrong("hold_time %v: want 3 to 65535 whole seconds (RFC 4271 section 4.2)", hold)
	case keep < time.Second || keep > hold/3 || keep%time.Second != 0:
		wrong("keepalive %v: want whole seconds, at least 1, at most a third of hold_time %v (RFC 4271 section 4.4)", keep, hold)
	}
	if retry < time.Second || retry > 65535*time.Second || retry%time.Second != 0 {
		wrong("connect_retry %v: want 1 to 65535 whole seconds", retry)
	}
	return errors.Join(errs...)
}

// Internal reports whether n is an iBGP neighbor.
func (c *SpeakerConfig) Internal(n *Neighbor) bool { return n.RemoteAS == c.LocalAS }

// Families says which address families the session with n carries: those of the allow list, each over the sessions
// of its own family where there is one, so that next-hop-self always is an address of the right family. A family
// without a session of its own goes over all the others, and then wants an explicit next hop.
func (c *SpeakerConfig) Families(n *Neighbor) (v4, v6 bool) {
	carries := func(is4 bool) bool {
		return c.allows(is4) && (n.Address.Is4() == is4 || !c.hasSession(is4))
	}
	return carries(true), carries(false)
}

// allows reports whether the allow list has a prefix of the family.
func (c *SpeakerConfig) allows(is4 bool) bool {
	for _, p := range c.Allow {
		if p.Addr().Is4() == is4 {
			return true
		}
	}
	return false
}

// hasSession reports whether a neighbor is spoken to over the family.
func (c *SpeakerConfig) hasSession(is4 bool) bool {
	for i := range c.Neighbors {
		if c.Neighbors[i].Address.Is4() == is4 {
			return true
		}
	}
	return false
}

// checkRoute reports what keeps r from being announced, apart from the limits on how many.
func (c *SpeakerConfig) checkRoute(r Route) error {
	is4, hop := r.Prefix.Addr().Is4(), r.NextHop
	switch {
	case !c.Allow.Permits(r.Prefix):
		return ErrNotAllowed
	case r.Prepend > 16:
		return fmt.Errorf("%w: prepend %d is more than 16", ErrAttribute, r.Prepend)
	case r.Prepend > 0 && c.hasInternal():
		// The own AS in AS_PATH is a loop to an iBGP peer (RFC 4271 section 9.1.2): it would get no route at all.
		return fmt.Errorf("%w: prepend is for eBGP, and the speaker has an iBGP neighbor", ErrAttribute)
	case !hop.IsValid() && len(c.Neighbors) > 0 && !c.hasSession(is4):
		return fmt.Errorf("%w: no session of the prefix's own family, so next_hop must be given", ErrNextHop)
	case !hop.IsValid():
		return nil
	case hop.Is4() != is4:
		return fmt.Errorf("%w: next_hop %v is of the other family", ErrNextHop, hop)
	case hop.IsUnspecified() || hop.IsMulticast() || hop.IsLoopback() || hop.Is4In6() || hop.Zone() != "":
		return fmt.Errorf("%w: next_hop %v cannot be one", ErrNextHop, hop)
	case r.Prefix.Contains(hop):
		return fmt.Errorf("%w: next_hop %v is inside the prefix itself", ErrNextHop, hop)
	case hop.Is6() && hop.IsLinkLocalUnicast():
		// RFC 2545 section 3: a global address, with a link-local one beside it where both are on one link.
		return fmt.Errorf("%w: next_hop %v is a link-local address, and a global one is wanted", ErrNextHop, hop)
	case c.hasNeighbor(hop):
		return fmt.Errorf("%w: next_hop %v is the neighbor itself, which refuses that (RFC 4271 section 5.1.3)", ErrNextHop, hop)
	}
	return nil
}

// hasNeighbor reports whether an address is a neighbor's.
func (c *SpeakerConfig) hasNeighbor(a netip.Addr) bool {
	return slices.ContainsFunc(c.Neighbors, func(n Neighbor) bool { return n.Address == a })
}

// hasInternal reports whether a neighbor is an iBGP one.
func (c *SpeakerConfig) hasInternal() bool {
	for i := range c.Neighbors {
		if c.Internal(&c.Neighbors[i]) {
			return true
		}
	}
	return false
}
