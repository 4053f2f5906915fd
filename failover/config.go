// Package failover decides. It holds the virtual routers of a node, what each may program into the kernel and announce
// in BGP, and in which order. It is pure: inputs and the time come in as arguments, and what should happen comes out
// as values (Effects); package failover/daemon connects it to sockets, netlink and gobgp.
//
// Read Config (what is wanted), Core (the single owner of all state), Effects (what comes out) and Snapshot (what
// people see), in that order.
package failover

import (
	"net/netip"
	"slices"
	"time"

	"failoverd/bgp"
	"failoverd/vrrp"
)

// Config is a whole configuration, validated and resolved: what conf makes of a file. It is immutable once built.
type Config struct {
	// Hash identifies the text that the configuration came from: hex, 16 digits.
	Hash string
	// RouterID is the node's name in logs and status.
	RouterID string
	// StatusSocket is the path of the status socket; empty: the default of the command line.
	StatusSocket string
	// StartupDelay keeps every router in Initialize for that long after the agent's start.
	StartupDelay time.Duration
	// BGPLease is how long the speaker keeps announcing when the agent is silent; at least 1 s.
	BGPLease time.Duration
	// GARPInterval and NAInterval are the least time between two gratuitous ARPs or unsolicited neighbor
	// advertisements on one interface; zero: no limit.
	GARPInterval, NAInterval time.Duration
	Speakers                 []bgp.SpeakerConfig
	Routers                  []RouterConfig
}

// RouterConfig is one vrrp_instance.
type RouterConfig struct {
	Name string
	VRRP vrrp.Config
	// Source is the address that advertisements are sent from. Zero: the first address of the interface that is
	// not a virtual one; over IPv6 its link-local address (unicast: its first global one).
	Source netip.Addr
	// TTL is that of unicast advertisements; 0: 255.
	TTL uint8
	// Addresses are virtual_ipaddress and virtual_ipaddress_excluded, in this order: all that the Active router
	// programs. The advertised ones are in VRRP.Addresses.
	Addresses []Address
	Announce  []Announcement
	// BGPWait is how long this router, when it returns, leaves a live Active router alone until the speakers it
	// announces through have an established session.
	BGPWait time.Duration
	GARP    GARP
}

// Lease bounds of an address: the kernel counts valid_lft in whole seconds.
const (
	MinLease = time.Second
	NoLease  = 0
)

// Address is an address that the agent adds to the kernel. Two entries with equal Key are the same kernel object.
type Address struct {
	// Prefix is the address with its length, not masked.
	Prefix    netip.Prefix
	Interface string
	// Broadcast is the broadcast address; zero: none.
	Broadcast netip.Addr
	// Scope is the kernel's RT_SCOPE value: 0 global, 200 site, 253 link, 254 host.
	Scope uint8
	// Label is the IPv4 label, at most 15 octets and starting with the interface's name when the kernel asks for it.
	Label string
	// Lease is the kernel lifetime, whole seconds, renewed at a third; NoLease: for ever.
	Lease time.Duration
	// DAD turns duplicate address detection on for IPv6; normally an address must be usable at once.
	DAD bool
	// Deprecated gives an IPv6 address a preferred lifetime of 0, so that it is not chosen as a source.
	Deprecated bool
	// NoPrefixRoute keeps the kernel from adding the route of the prefix.
	NoPrefixRoute bool
	// Excluded: not in the advertisement (virtual_ipaddress_excluded).
	Excluded bool
}

// AddressKey identifies an address in the kernel.
type AddressKey struct {
	Interface string
	Prefix    netip.Prefix
}

// Key returns the identity of a.
func (a Address) Key() AddressKey { return AddressKey{a.Interface, a.Prefix} }

// String returns "ADDRESS/LENGTH dev INTERFACE".
func (k AddressKey) String() string { return k.Prefix.String() + " dev " + k.Interface }

// GARP is the schedule of gratuitous ARP and unsolicited neighbor advertisements of a router (keepalived's
// garp_master_*). Repeats count per address.
type GARP struct {
	Repeat  int           // at once when the address is in; at least 1
	Delay   time.Duration // a second batch of Repeat that much later; 0: none
	Refresh time.Duration // period of refreshes while Active; 0: none
	// RefreshRepeat is the number per refresh, at least 1.
	RefreshRepeat int
	// RivalRepeat are sent when another router that believed to be Active is heard, and again RivalDelay later.
	RivalRepeat int
	RivalDelay  time.Duration
}

// Role is a role of a router as far as announcements depend on it.
type Role uint8

// Roles for Announcement.When.
const (
	RoleActive Role = iota
	RoleBackup
	RoleDraining
)

// String returns the configuration word.
func (r Role) String() string { return [...]string{"active", "backup", "draining"}[r] }

// Announcement is one line of bgp_announce: a route that is announced through a speaker in a role.
type Announcement struct {
	Speaker string
	When    Role
	Route   bgp.Route
}

// Links returns the sockets that the configuration needs, without duplicates.
func (c *Config) Links() []LinkID {
	var ids []LinkID
	seen := make(map[LinkID]bool)
	for i := range c.Routers {
		for _, id := range c.Routers[i].links() {
			if !seen[id] {
				seen[id] = true
				ids = append(ids, id)
			}
		}
	}
	return ids
}

// links returns the sockets that a router needs.
func (c *RouterConfig) links() (ids []LinkID) {
	v := &c.VRRP
	if !v.Unicast {
		ids = append(ids, LinkID{v.Key.Interface, v.Key.Family})
	}
	if v.Unicast || len(v.Watchers) > 0 {
		ids = append(ids, LinkID{"", v.Key.Family})
	}
	return ids
}

// Announces reports whether the router announces anything in the role.
func (c *RouterConfig) Announces(role Role) bool {
	return slices.ContainsFunc(c.Announce, func(a Announcement) bool { return a.When == role })
}

// Speaker returns the speaker of that name, or nil.
func (c *Config) Speaker(name string) *bgp.SpeakerConfig {
	for i := range c.Speakers {
		if c.Speakers[i].Name == name {
			return &c.Speakers[i]
		}
	}
	return nil
}

// carriers returns the interfaces besides its own that the router's addresses belong to, without duplicates.
func (c *RouterConfig) carriers() []string {
	var names []string
	for i := range c.Addresses {
		if n := c.Addresses[i].Interface; n != c.VRRP.Key.Interface && !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	return names
}
