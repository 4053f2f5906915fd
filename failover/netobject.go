package failover

import (
	"net/netip"
	"strconv"
)

// KernelRoute is a route that the agent adds to the kernel: a line of virtual_routes or static_routes. Two entries
// with equal Key are the same kernel object.
type KernelRoute struct {
	// Type is the kernel's RTN_*: 1 unicast, 2 local, 3 broadcast, 5 multicast, 6 blackhole, 7 unreachable,
	// 8 prohibit, 9 throw.
	Type uint8
	// Destination is masked; 0.0.0.0/0 and ::/0 are the default route.
	Destination netip.Prefix
	// Source is the preferred source; zero: none.
	Source    netip.Addr
	Gateway   netip.Addr
	Interface string
	// Scope is the kernel's RT_SCOPE_*, already derived from the rest if it was not given.
	Scope uint8
	// Table is never 0; 254 is main.
	Table    uint32
	Metric   uint32
	TOS      uint8
	Protocol uint8 // RTPROT_*; 0: the agent's own number
	OnLink   bool
	// MTU, AdvMSS, HopLimit, InitCwnd and InitRwnd are metrics; 0: not set. MTULock makes MTU final.
	MTU, AdvMSS, HopLimit, InitCwnd, InitRwnd uint32
	MTULock                                   bool
	// NextHops are those of a multipath route; then Gateway and Interface are not set.
	NextHops []NextHop
	// Untracked: no_track. The route is put back when it vanishes in any case.
	Untracked bool
}

// NextHop is one of several next hops.
type NextHop struct {
	Gateway   netip.Addr
	Interface string
	Weight    int // 1 to 256
	OnLink    bool
}

// RouteKey identifies a route in the kernel.
type RouteKey struct {
	Destination netip.Prefix
	Table       uint32
	Metric      uint32
	TOS         uint8
}

// Key returns the identity of r. Over IPv6 a metric of 0 is 1024 to the kernel.
func (r *KernelRoute) Key() RouteKey {
	k := RouteKey{r.Destination, r.Table, r.Metric, r.TOS}
	if k.Metric == 0 && r.Destination.Addr().Is6() {
		k.Metric = 1024
	}
	return k
}

// String returns "PREFIX", with table, metric and tos where they are not the default.
func (k RouteKey) String() string {
	s := k.Destination.String()
	if k.Table != 254 {
		s += " table " + strconv.FormatUint(uint64(k.Table), 10)
	}
	if k.Metric != 0 {
		s += " metric " + strconv.FormatUint(uint64(k.Metric), 10)
	}
	if k.TOS != 0 {
		s += " tos " + strconv.Itoa(int(k.TOS))
	}
	return s
}

// KernelRule is a policy rule that the agent adds: a line of virtual_rules or static_rules. It is comparable; two
// equal ones are the same kernel object.
type KernelRule struct {
	IPv6     bool
	Not      bool
	From, To netip.Prefix // zero: any
	// InInterface and OutInterface are iif and oif.
	InInterface, OutInterface string
	TOS                       uint8
	Mark, Mask                uint32 // Mask 0: no fwmark
	// Action is the kernel's FR_ACT_*: 1 to table, 2 goto, 3 nop, 6 blackhole, 7 unreachable, 8 prohibit.
	Action uint8
	Table  uint32 // for action 1
	Goto   uint32 // for action 2
	// Priority is the preference; never 0.
	Priority uint32
	// SuppressPrefixLength is that plus one; 0: not set.
	SuppressPrefixLength uint8
	// Protocol is the kernel's FRA_IP_PROTO; 0: any. Port ranges are 0-0 where they do not matter.
	IPProto                         uint8
	SourcePortFirst, SourcePortLast uint16
	DestPortFirst, DestPortLast     uint16
	UIDFirst, UIDLast               uint32
	HasUID                          bool
	Untracked                       bool
}

// DesiredObjects is the complete set of routes and rules that the agent wants in the kernel now. A newer one replaces
// an older one, also one not looked at yet.
type DesiredObjects struct {
	Generation uint64
	Routes     []KernelRoute
	Rules      []KernelRule
}

// ObjectReport is what is really there after the kernel worker has done what it could.
type ObjectReport struct {
	Generation uint64
	// RoutesFailed and RulesFailed say why a wanted object is not there.
	RoutesFailed map[RouteKey]string
	RulesFailed  map[KernelRule]string
	// RoutesRestored and RulesRestored counts objects that somebody else had removed and that were added again.
	RoutesRestored []RouteKey
	RulesRestored  []KernelRule
	// Swept is the number of leftovers of a dead predecessor that were removed at start.
	Swept int
}

// ObjectsReported is the kernel worker's answer to a DesiredObjects, and its news when somebody else changed ours.
type ObjectsReported struct{ Report ObjectReport }

func (ObjectsReported) input() {}

// DevicesReported is the kernel worker's news on the macvlan interfaces and the packet filter of no_accept: why
// something is not as wanted. That a device exists is told by InterfaceChanged.
type DevicesReported struct {
	// Failed is by the name of the device.
	Failed map[string]string
	// Filter says why no_accept cannot be had; empty: it can, or nobody wants it.
	Filter string
}

func (DevicesReported) input() {}
