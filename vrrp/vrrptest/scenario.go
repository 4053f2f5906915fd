package vrrptest

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"time"

	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// Bounds of a network on which nothing is wrong. Whatever the rules demand "at once" may take that long.
const (
	maxDelay    = 2 * time.Millisecond
	maxLateness = 2 * time.Millisecond
)

// Scenario is a course of faults drawn from a seed, for three routers. The same Scenario runs the same way every time.
type Scenario struct {
	Seed   uint64
	Nodes  []NodeSpec
	Faults []Fault
	// FaultsEnd is when the last fault has ended.
	FaultsEnd vrrp.Instant
	// Ignore names rules that Run does not look at.
	Ignore []string
}

// NodeSpec is a node of a Scenario.
type NodeSpec struct {
	Config  vrrp.Config
	Address netip.Addr
	Quirks  Quirks
	Offset  time.Duration
}

// FaultKind is a kind of fault.
type FaultKind uint8

// The kinds of faults. Those of a path go from one node to another, in this direction only.
const (
	FaultCut FaultKind = iota
	FaultLoss
	FaultDelay // and reordering
	FaultDuplicate
	FaultCorrupt
	FaultLoop // the node hears itself
	FaultCrash
	FaultStop
	FaultSuspend
	FaultPause

	numFaultKinds
)

var faultNames = [numFaultKinds]string{
	"cut", "loss", "delay", "duplicate", "corrupt", "loop", "crash", "stop", "suspend", "pause",
}

// Fault is something that goes wrong at an instant and is all right again at another.
type Fault struct {
	Kind        FaultKind
	From, To    int // nodes; To only for faults of a path
	Begin, End  vrrp.Instant
	Probability float64
}

// String returns for example "0.120s-0.480s loss a->b 0.30".
func (f Fault) String() string {
	s := fmt.Sprintf("%v-%v %s %c", time.Duration(f.Begin), time.Duration(f.End), faultNames[f.Kind], 'a'+rune(f.From))
	if f.Kind < FaultLoop {
		s += fmt.Sprintf("->%c %.2f", 'a'+rune(f.To), f.Probability)
	}
	return s
}

// String returns the scenario for people.
func (s *Scenario) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d\n", s.Seed)
	for i, n := range s.Nodes {
		c := n.Config
		fmt.Fprintf(&b, "router %c: %v version %d priority %d interval %d cs preempt %v unicast %v quirks %+v\n", 'a'+rune(i),
			n.Address, c.Version, c.Priority, c.Interval, c.Preempt, c.Unicast, n.Quirks)
	}
	for _, f := range s.Faults {
		fmt.Fprintln(&b, f)
	}
	return b.String()
}

const numNodes = 3

// NewScenario draws a scenario from a seed.
func NewScenario(seed uint64) *Scenario {
	r := rand.New(rand.NewPCG(seed, 0))
	s := &Scenario{Seed: seed}
	s.drawNodes(r)
	length := 20 * s.maxInterval()
	s.FaultsEnd = vrrp.Instant(length)
	for range r.IntN(10) {
		f := Fault{Kind: FaultKind(r.IntN(int(numFaultKinds))), From: r.IntN(numNodes), Probability: 0.1 + 0.8*r.Float64()}
		f.To = (f.From + 1 + r.IntN(numNodes-1)) % numNodes
		if f.Kind == FaultLoop {
			f.To = f.From
		}
		f.Begin = vrrp.Instant(r.Int64N(int64(length)))
		f.End = f.Begin + 1 + vrrp.Instant(r.Int64N(int64(s.FaultsEnd-f.Begin)))
		s.Faults = append(s.Faults, f)
	}
	return s
}

// Sources with and without their first bit set, so that a tie tells signed from unsigned.
var sources = map[wire.Family][]string{
	wire.IPv4: {"10.0.0.1", "127.255.255.1", "128.0.0.1", "192.0.2.1", "223.255.0.1"},
	wire.IPv6: {"fe80::1", "fe80::7fff:ffff:ffff:1", "fe80::8000:0:0:1", "fe80::ffff:0:0:1"},
}

func (s *Scenario) drawNodes(r *rand.Rand) {
	family, version := wire.IPv4, wire.V3
	switch r.IntN(8) {
	case 0:
		family = wire.IPv6
	case 1:
		version = wire.V2
	}
	vips := []netip.Addr{netip.MustParseAddr("198.51.100.10"), netip.MustParseAddr("198.51.100.11")}
	if family == wire.IPv6 {
		vips = []netip.Addr{netip.MustParseAddr("fe80::51"), netip.MustParseAddr("2001:db8:51::10")}
	}
	unicast, preempt := r.IntN(4) == 0, r.IntN(5) != 0
	priorities := drawPriorities(r)
	intervals := []wire.Centiseconds{10, 20, 50, 100}
	same := r.IntN(2) == 0
	interval := intervals[r.IntN(len(intervals))]
	if version == wire.V2 {
		same, interval = true, 100
	}
	pick := r.Perm(len(sources[family]))
	for i := range numNodes {
		if !same {
			interval = intervals[r.IntN(len(intervals))]
		}
		s.Nodes = append(s.Nodes, NodeSpec{
			Config: vrrp.Config{
				Key: vrrp.Key{Interface: "lan", Family: family, VRID: 51}, Version: version, Priority: priorities[i],
				Interval: interval, Preempt: preempt, Addresses: vips, Unicast: unicast,
				Checksum: wire.ChecksumForm(r.IntN(2)),
			},
			Address: netip.MustParseAddr(sources[family][pick[i]]),
			Quirks:  drawQuirks(r, version),
			Offset:  time.Duration(r.Int64N(int64(2*time.Hour))) - time.Hour,
		})
	}
	if unicast {
		for i := range s.Nodes {
			for j := range s.Nodes {
				if i != j {
					s.Nodes[i].Config.Peers = append(s.Nodes[i].Config.Peers, vrrp.Peer{Address: s.Nodes[j].Address})
				}
			}
		}
	}
}

// drawPriorities draws three different ones, or a pair or three of a kind, or one or two owners.
func drawPriorities(r *rand.Rand) [numNodes]uint8 {
	any := func() uint8 { return uint8(1 + r.IntN(254)) }
	p := [numNodes]uint8{any(), any(), any()}
	switch r.IntN(6) {
	case 0:
		p[1] = p[0]
	case 1:
		p[1], p[2] = p[0], p[0]
	case 2:
		p[0] = wire.PriorityOwner
	case 3:
		p[0], p[1] = wire.PriorityOwner, wire.PriorityOwner
	}
	r.Shuffle(numNodes, func(i, j int) { p[i], p[j] = p[j], p[i] })
	return p
}

func drawQuirks(r *rand.Rand, v wire.Version) (q Quirks) {
	if v == wire.V3 && r.IntN(4) == 0 {
		q.ReserveNibble = uint8(1 + r.IntN(15))
	}
	if v == wire.V3 && r.IntN(4) == 0 {
		q.ReleaseInterval = wire.Centiseconds(1 + r.IntN(4095))
	}
	return q
}

func (s *Scenario) maxInterval() time.Duration {
	var m time.Duration
	for i := range s.Nodes {
		m = max(m, s.Nodes[i].Config.Interval.Duration())
	}
	return m
}

// stabilization is T_stab: how long the election may take when nothing disturbs it. That is the longest
// Active_Down_Interval (its skew is at most an interval, in version 2 a second), the one more interval that a node
// listens which found itself late, with another skew, and two intervals.
func (s *Scenario) stabilization() time.Duration {
	skew := max(s.maxInterval(), time.Second)
	if s.Nodes[0].Config.Version == wire.V3 {
		skew = s.maxInterval()
	}
	return 3*s.maxInterval() + skew + s.maxInterval() + skew + 2*s.maxInterval()
}
