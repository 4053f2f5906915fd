package vrrptest

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// Network is a LAN with its nodes and its own time, which starts at zero and moves only in Run. Packets are delivered
// in the order of (time, sequence); at one instant packets go before timers, as in the daemon's loop.
type Network struct {
	// Observe, if set, is told of every step of every node after it happened.
	Observe func(*Step)

	now   vrrp.Instant
	nodes []*Node
	paths [][]Path // from, to
	queue queue
	make  Factory
	rand  *rand.Rand
	halt  bool        // nothing happens any more
	p     wire.Packet // storage for the packet being delivered
}

// Path is what happens to packets from one node to another. The zero value delivers at once.
type Path struct {
	Cut       bool
	Delay     time.Duration // least time on the way
	Jitter    time.Duration // up to this much more
	Reorder   bool          // packets may overtake each other
	Loss      float64       // chance that a packet is lost
	Duplicate float64       // chance that it comes twice
	Corrupt   float64       // chance that one bit is flipped

	last vrrp.Instant // when the last packet sent arrives
}

// NewNetwork returns a network without nodes, on which make turns configurations into machines and chance has the last
// word; chance may be nil if no Path leaves anything to it.
func NewNetwork(make Factory, chance *rand.Rand) *Network { return &Network{make: make, rand: chance} }

// Now returns the network's time.
func (n *Network) Now() vrrp.Instant { return n.now }

// Nodes returns the nodes in the order in which they were added.
func (n *Network) Nodes() []*Node { return n.nodes }

// Path returns the path from one node to another, to be changed in place. A node's path to itself is cut: multicast
// is not looped back.
func (n *Network) Path(from, to *Node) *Path { return &n.paths[from.index][to.index] }

// Add adds a node that is down.
func (n *Network) Add(name string, cfg vrrp.Config, address netip.Addr) *Node {
	node := &Node{Name: name, Config: cfg, Address: address, index: len(n.nodes), wake: vrrp.Never}
	n.nodes = append(n.nodes, node)
	for i := range n.paths {
		n.paths[i] = append(n.paths[i], Path{})
	}
	n.paths = append(n.paths, make([]Path, len(n.nodes)))
	n.paths[node.index][node.index].Cut = true
	return node
}

// Halt ends Run at once, for good.
func (n *Network) Halt() { n.halt = true }

// Run lets time pass until the given instant; events due then still happen.
func (n *Network) Run(until vrrp.Instant) {
	for !n.halt {
		at, sleeper := n.nextWake()
		if len(n.queue) > 0 && n.queue[0].at <= at {
			if n.queue[0].at > until {
				break
			}
			d := n.queue.pop()
			n.now = d.at
			n.receive(d)
			continue
		}
		if sleeper == nil || at > until {
			break
		}
		n.now = max(n.now, at)
		n.expire(sleeper)
	}
	n.now = max(n.now, until)
}

// nextWake returns the node whose timer is to be looked at first.
func (n *Network) nextWake() (vrrp.Instant, *Node) {
	var first *Node
	at := vrrp.Never
	for _, node := range n.nodes {
		if node.wake < at {
			at, first = node.wake, node
		}
	}
	return at, first
}

func (n *Network) expire(node *Node) {
	before := node.Machine.Deadline()
	s := n.begin(node, Expired)
	s.Effect = node.Machine.Expire(node.local(n.now))
	n.finish(s)
	if node.Machine.Deadline() == before {
		panic(fmt.Sprintf("%s did not move its deadline %v when that was due", node.Name, before))
	}
}

func (n *Network) receive(d delivery) {
	node := n.nodes[d.to]
	switch {
	case node.Machine == nil || node.paused:
		return
	case node.suspended:
		const backlog = 64 // a socket buffer is finite; what comes later is lost
		if len(node.inbox) < backlog {
			node.inbox = append(node.inbox, d)
		}
		return
	}
	why := node.decode(d.payload, d.header, &n.p)
	s := n.begin(node, Received)
	s.Packet, s.Why = &n.p, why
	s.Effect = vrrp.Effect{From: s.Before.State, To: s.Before.State}
	if why == wire.Accepted {
		s.Effect, s.Why = node.Machine.Receive(node.local(n.now), &n.p)
	}
	n.finish(s)
}

// change makes a node's machine do something of its own accord.
func (n *Network) change(node *Node, f func(vrrp.Instant) vrrp.Effect) {
	s := n.begin(node, Changed)
	s.Effect = f(node.local(n.now))
	n.finish(s)
}

// begin and finish are the two halves of every step of a machine.
func (n *Network) begin(node *Node, k StepKind) Step {
	return Step{At: n.now, Node: node, Kind: k, Before: snapshot(node.Machine)}
}

func (n *Network) finish(s Step) {
	s.After = snapshot(s.Node.Machine)
	s.Node.arm(n)
	if s.Effect.Advert {
		n.send(s.Node, s.Effect.Priority)
	}
	n.tell(&s)
	if s.Effect.Advert {
		s.Node.lastSent = n.now
	}
}

func (n *Network) tell(s *Step) {
	if n.Observe != nil {
		n.Observe(s)
	}
}

// send encodes and sends one advertisement of a node, the way its quirks and its mode want it.
func (n *Network) send(node *Node, priority uint8) {
	var a wire.Advertisement
	node.Machine.Advertisement(&a, priority)
	a.Interval = node.advertised(priority)
	if !node.Config.Unicast {
		n.Inject(node, &a, node.Config.Key.Family.Group())
		return
	}
	for _, p := range node.Config.Peers {
		n.Inject(node, &a, p.Address)
	}
}

// Inject sends an advertisement from a node's address, whatever its machine thinks of it.
func (n *Network) Inject(from *Node, a *wire.Advertisement, dst netip.Addr) {
	b, err := a.Append(nil, from.Address, dst, from.Config.Checksum)
	if err != nil {
		panic(fmt.Sprintf("%s cannot send: %v", from.Name, err))
	}
	if a.Version == wire.V3 {
		setReserveNibble(b, from.Quirks.ReserveNibble)
	}
	h := wire.Header{Src: from.Address, Dst: dst, TTL: wire.TTL}
	for _, to := range n.nodes {
		if dst.IsMulticast() || to.Address == dst {
			n.carry(from, to, delivery{to: to.index, payload: b, header: h})
		}
	}
}

// setReserveNibble sets the reserve nibble of a version 3 message and keeps its checksum right (RFC 1624).
func setReserveNibble(b []byte, nibble uint8) {
	sum := uint32(^(uint16(b[6])<<8 | uint16(b[7]))) + uint32(nibble)<<12
	sum = sum&0xffff + sum>>16
	b[4] |= nibble << 4
	b[6], b[7] = byte(^sum>>8), byte(^sum)
}

// carry puts a packet on its way, as the path has it.
func (n *Network) carry(from, to *Node, d delivery) {
	p := n.Path(from, to)
	if p.Cut || n.happens(p.Loss) {
		return
	}
	copies := 1
	if n.happens(p.Duplicate) {
		copies = 2
	}
	for range copies {
		c := d
		c.at = n.now.Add(p.Delay)
		if p.Jitter > 0 {
			c.at = c.at.Add(time.Duration(n.rand.Int64N(int64(p.Jitter))))
		}
		if !p.Reorder {
			c.at = max(c.at, p.last)
		}
		p.last = max(c.at, p.last)
		if n.happens(p.Corrupt) {
			c.payload = append([]byte(nil), d.payload...)
			c.payload[n.rand.IntN(len(c.payload))] ^= 1 << n.rand.IntN(8)
		}
		n.queue.push(c)
	}
}

func (n *Network) happens(chance float64) bool { return chance > 0 && n.rand.Float64() < chance }
