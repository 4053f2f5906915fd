// Package failover decides. It holds the virtual routers of a node, what each may program into the kernel and announce
// in BGP, and in which order. It is pure: inputs and the time come in as arguments, and what should happen comes out
// as values (Effects); package failover/daemon connects it to sockets, netlink and gobgp.
//
// Read Config (what is wanted), Core (the single owner of all state), Effects (what comes out) and Snapshot (what
// people see), in that order. What one site knows of another begins in region.go and regionstate.go: terms (term.go), the
// authority of the own site (authority.go), the life of a watched one (watch.go), and who may take a role (election.go).
package failover

import (
	"net/netip"
	"slices"
	"time"

	"failoverd/bgp"
	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// Config is a whole configuration, validated and resolved: what conf makes of a file. It is immutable once built.
type Config struct {
	// Hash identifies the text that the configuration came from: hex, 16 digits.
	Hash string
	// RouterID is the node's name in logs and status.
	RouterID string
	// StatusSocket is the path of the status socket; empty: the default of the command line.
	StatusSocket string
	// Metrics is where metrics are served; zero: nowhere.
	Metrics netip.AddrPort
	// StartupDelay keeps every router in Initialize for that long after the agent's start.
	StartupDelay time.Duration
	// BootDelay keeps every router in Initialize until the kernel has run for that long (vrrp_delay_after_boot).
	BootDelay time.Duration
	// BGPLease is how long the speaker keeps announcing when the agent is silent; at least 1 s.
	BGPLease time.Duration
	// ResignOnCrash: an agent that has died and is started again does not go on with its roles (on_crash resign).
	ResignOnCrash bool
	// GARPInterval and NAInterval are the least time between two gratuitous ARPs or unsolicited neighbor
	// advertisements on one interface; zero: no limit.
	GARPInterval, NAInterval time.Duration
	Speakers                 []bgp.SpeakerConfig
	Routers                  []RouterConfig
	// Groups are the sync groups; a router is a member of one at most.
	Groups []GroupConfig
	// Scripts, Files and Processes are the tracked things that at least one router uses.
	Scripts   []ScriptConfig
	Files     []FileConfig
	Processes []ProcessConfig
	// LinkDelays are by the name of the interface.
	LinkDelays map[string]LinkDelay
	// Static addresses, routes and rules are there for as long as the agent runs, whatever the roles.
	StaticAddresses []Address
	StaticRoutes    []KernelRoute
	StaticRules     []KernelRule
	// LongLeases are the interfaces whose IPv6 addresses have a longer lease than usual, which is in the addresses; by name.
	LongLeases []LongLease
	// Multicast are the groups that advertisements go to.
	Multicast MulticastGroups
	// NoAcceptCounters: the packet filter counts what it drops (nftables_counters).
	NoAcceptCounters bool
	// LogUnknownVRIDs logs advertisements of virtual routers that are not configured.
	LogUnknownVRIDs bool

	// FIFOs are told of every transition.
	FIFOs []FIFOConfig
	// StatesOnReload tells the FIFOs all states after a reload (fifo_write_vrrp_states_on_reload).
	StatesOnReload bool
	// ScriptSecurity: a command that root would run is refused if anybody else can change it (enable_script_security).
	ScriptSecurity bool
	// SupplementaryGroups gives commands all groups of their user instead of one.
	SupplementaryGroups bool
	// StartupScript is run before anything else, ShutdownScript after everything else; nil: none. Their timeouts are
	// how long the agent waits for them.
	StartupScript, ShutdownScript   *Command
	StartupTimeout, ShutdownTimeout time.Duration
	// Uses are all commands with their places.
	Uses []CommandUse
	// Interfaces are those that routers name, each with its first place.
	Interfaces []InterfaceUse
	// Authorities are the ca files of checks, with their places.
	Authorities []FileUse

	// Sites holds the site block, Watches the watch_site blocks, WitnessServer the witness_server block; none: nil.
	Sites         []SiteConfig
	Watches       []WatchConfig
	WitnessServer *WitnessServerConfig
	// Checks are the health checks that at least one router or site uses.
	Checks []CheckConfig
	// CheckGroups are the check groups that at least one router, site or other group uses.
	CheckGroups []CheckGroupConfig
	// EventLog is the file that events are appended to; empty: the default of the command line.
	EventLog string
	// Record says where the inputs of the agent are recorded.
	Record RecordConfig

	Process ProcessSettings
	Dump    DumpFiles
}

// ProcessSettings are about the agent's own process. A reload does not change them.
type ProcessSettings struct {
	// NetNamespace is the network namespace that the agent works in (net_namespace): a name in /run/netns; empty: its
	// own.
	NetNamespace string
	// Nice is the nice value of the agent's threads (vrrp_priority), -20 to 19, if HasNice; otherwise the agent chooses.
	Nice    int
	HasNice bool
	// RealTime is the SCHED_RR priority of the agent's threads (vrrp_rt_priority), 1 to 99; 0: not real time.
	RealTime int
	// NoSwap locks the agent's memory (vrrp_no_swap).
	NoSwap bool
}

// RecordConfig is record in global_defs. A reload does not change it.
type RecordConfig struct {
	// File is the recording; empty: there is none.
	File string
	// LimitMB is the largest size of File in MB, at least 1; 0 without a File.
	LimitMB int
}

// DumpFiles are what the signals write that keepalived users know; empty: keepalived's names in /tmp.
type DumpFiles struct {
	Data, Stats, JSON string
	// JSONVersion is 1 or 2; 0 is 1.
	JSONVersion int
}

// RouterConfig is one vrrp_instance, or one anycast_service.
type RouterConfig struct {
	Name string
	// Anycast: nil, or it is an anycast_service. VRRP is what NewAnycastVRRP returns then.
	Anycast *AnycastConfig
	VRRP    vrrp.Config
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
	// WithdrawGrace is how long this router keeps its addresses, and what makes it forward, in an orderly move after its
	// routes are withdrawn (withdraw_grace): a neighbor's forwarding table follows a withdrawal late. Zero: not at all. It
	// has no effect where no route leads here.
	WithdrawGrace time.Duration
	GARP          GARP

	// Tracks are the things that this router's priority and health depend on, those of its sync group among them.
	Tracks []Track
	// IgnoreLink: the state of its own interface does not matter, as long as the interface exists (dont_track_primary).
	IgnoreLink bool
	// VMAC: nil, or the virtual link-layer address. Then Addresses without an interface of their own are on it.
	VMAC *VMAC
	// NoAccept: unless the router is the address owner, packets to its virtual addresses are dropped, except neighbor
	// discovery (RFC 9568 section 6.4.3, Accept_Mode false).
	NoAccept bool
	// PromoteSecondaries is promote_secondaries as it is written. Deleting an address must not delete the others of its
	// subnet, so package kernel switches that on wherever it is needed; the word is only shown to those who look for it.
	PromoteSecondaries bool
	// Routes and Rules are there while the router is Active: after its addresses, and gone before them.
	Routes []KernelRoute
	Rules  []KernelRule
	Notify NotifyConfig
	Region RegionConfig
	// WantedState is state MASTER as it is written; it decides nothing.
	WantedState string
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
	// Guarded: it lives no longer than the authority of its site (DesiredAddresses.Until).
	Guarded bool
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

// loopback is the name of the interface where nobody else is.
const loopback = "lo"

// links returns the sockets that a router needs. On the loopback interface there is nobody to hear or to be heard by, and an
// anycast service talks to nobody.
func (c *RouterConfig) links() (ids []LinkID) {
	v := &c.VRRP
	if c.Anycast != nil {
		return nil
	}
	if !v.Unicast && v.Key.Interface != loopback {
		ids = append(ids, LinkID{v.Key.Interface, v.Key.Family})
	}
	if v.Unicast || len(v.Watchers) > 0 {
		ids = append(ids, LinkID{"", v.Key.Family})
	}
	return ids
}

// multicastGroup returns the group of a family that advertisements go to.
func (c *Config) multicastGroup(f wire.Family) netip.Addr {
	g := c.Multicast.IPv4
	if f == wire.IPv6 {
		g = c.Multicast.IPv6
	}
	if !g.IsValid() {
		return f.Group()
	}
	return g
}

// Announces reports whether the router announces anything in the role.
func (c *RouterConfig) Announces(role Role) bool {
	return slices.ContainsFunc(c.Announce, func(a Announcement) bool { return a.When == role })
}

// Devices returns the macvlan interfaces that the configuration needs, in its order.
func (c *Config) Devices() []Device {
	six := make(map[string]bool) // interfaces with IPv6 addresses
	for i := range c.Routers {
		for j := range c.Routers[i].Addresses {
			if a := &c.Routers[i].Addresses[j]; a.Prefix.Addr().Is6() {
				six[a.Interface] = true
			}
		}
	}
	var devices []Device
	for i := range c.Routers {
		if m := c.Routers[i].VMAC; m != nil {
			devices = append(devices, Device{
				Name: m.Name, Parent: c.Routers[i].VRRP.Key.Interface, MAC: m.MAC, IPv6: six[m.Name],
			})
		}
	}
	return devices
}

// NotAccepted returns the addresses whose packets are to be dropped (no_accept), in the configuration's order.
func (c *Config) NotAccepted() []AddressKey {
	var keys []AddressKey
	for i := range c.Routers {
		r := &c.Routers[i]
		if !r.refuses() {
			continue
		}
		for j := range r.Addresses {
			keys = append(keys, r.Addresses[j].Key())
		}
	}
	return keys
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

// carriers returns the interfaces besides its own that the router's addresses belong to, and the macvlan interface that it
// sends from, without duplicates.
func (c *RouterConfig) carriers() []string {
	var names []string
	if c.VMAC != nil {
		names = append(names, c.VMAC.Name)
	}
	for i := range c.Addresses {
		if n := c.Addresses[i].Interface; n != c.VRRP.Key.Interface && !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	return names
}
