package failover

import (
	"net/netip"
	"slices"
	"time"

	"failoverd/bgp"
	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// LinkID names a socket of vrrp/link: an interface and a family. The empty interface stands for the unicast link of the
// family, which is bound to no interface.
type LinkID struct {
	Interface string
	Family    wire.Family
}

// String returns "eth0/4", or "unicast/4" for the unicast link.
func (l LinkID) String() string {
	name := l.Interface
	if name == "" {
		name = "unicast"
	}
	return name + "/" + string('0'+rune(l.Family))
}

// Interface is what the kernel says about one network interface. A missing interface is the value with only Name set.
type Interface struct {
	Name     string
	Index    int  // 0: there is no such interface
	Up       bool // IFF_UP and IFF_RUNNING
	Loopback bool
	MTU      int
	// Addresses are the usable ones (neither tentative nor failed duplicate detection), in the kernel's order.
	Addresses []netip.Prefix
}

// Equal compares two interfaces by value.
func (i *Interface) Equal(o *Interface) bool {
	return i.Name == o.Name && i.Index == o.Index && i.Up == o.Up && i.Loopback == o.Loopback && i.MTU == o.MTU &&
		slices.Equal(i.Addresses, o.Addresses)
}

// Input is something that happened. The set is closed: InterfaceChanged, LinkChanged, AddressesReported,
// AddressClaimed, SpeakerReported, RPKIReported, TrackerReported, ObjectsReported, DevicesReported, HeartbeatReplied, HeartbeatHeard, DrainCommand,
// UndrainCommand, SwitchoverCommand, Reconfigured and Stop. Packets have a way of their
// own (Core.Receive), because there are so many of them.
type Input interface{ input() }

// InterfaceChanged reports the state of an interface: at start for every one, then after each change.
type InterfaceChanged struct{ Interface Interface }

// LinkChanged reports that a socket was opened, or is closed with the reason why it cannot be opened.
type LinkChanged struct {
	Link LinkID
	Open bool
	Err  string
}

// AddressesReported is the kernel worker's answer to a DesiredAddresses, and its news when somebody else changed ours. It
// answers the newest one, and at the start, with generation 0, that it has looked for leftovers of a dead predecessor.
type AddressesReported struct{ Report AddressReport }

// SpeakerReported is news from a speaker.
type SpeakerReported struct{ Report bgp.Report }

// RPKIReported is news from the RPKI caches of a speaker.
type RPKIReported struct{ Report bgp.RPKIReport }

// Reconfigured replaces the configuration by another one that has been validated.
type Reconfigured struct{ Config *Config }

// Stop asks for an orderly end: release every role, withdraw, remove the addresses. Effects.Stopped says when it is done.
type Stop struct{ Reason string }

func (InterfaceChanged) input()  {}
func (LinkChanged) input()       {}
func (AddressesReported) input() {}
func (SpeakerReported) input()   {}
func (RPKIReported) input()      {}
func (Reconfigured) input()      {}
func (Stop) input()              {}

// DesiredAddresses is the complete set of addresses that the agent wants in the kernel now. A newer one replaces an
// older one, also one not looked at yet.
type DesiredAddresses struct {
	Generation uint64
	Addresses  []Address
	// Renewal grows each time the leases are to be extended; the kernel worker extends them then, and only then,
	// so that a lease ends when the loop behind it does.
	Renewal uint64
	// Until is when the authority for the guarded addresses ends: none of them gets a lifetime beyond it, and what is
	// written too late is undone. vrrp.Never, or 0: it does not end.
	Until vrrp.Instant
}

// AddressReport is what is really there after the kernel worker has done what it could.
type AddressReport struct {
	// Generation is that of the DesiredAddresses that the report answers.
	Generation uint64
	// Present are the wanted addresses that are in the kernel and usable.
	Present []AddressKey
	// Failed says why a wanted address is not there.
	Failed map[AddressKey]string
	// Restored are addresses that somebody else had removed and that were added again.
	Restored []AddressKey
	// Swept are leftovers of a dead predecessor that were removed at start.
	Swept []AddressKey
	// Leftover are addresses of ours that should be gone and are not.
	Leftover []AddressKey
	// Foreign are configured addresses that are in the kernel although nobody here wants them, and that are not ours
	// to remove: the host answers for them in every role. An address counts whatever length somebody gave it.
	Foreign []AddressKey
	Took    time.Duration
}
