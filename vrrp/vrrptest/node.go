package vrrptest

import (
	"fmt"
	"net/netip"
	"time"

	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// Node is a router on a Network. It is down until Start.
type Node struct {
	Name    string
	Config  vrrp.Config
	Address netip.Addr
	Quirks  Quirks
	// Offset is what the node's clock shows more than the network's. It may be set while the node is down.
	Offset time.Duration
	// Lateness is how much later than asked for the node may wake up.
	Lateness time.Duration
	// Machine is nil while the node is down.
	Machine Machine

	index       int
	decode      Decoder
	wake        vrrp.Instant // when its timer is looked at, in network time; Never: not by itself
	armed       vrrp.Instant // the deadline that wake was computed from
	suspended   bool
	paused      bool
	stoppedAt   vrrp.Instant
	inbox       []delivery
	lastSent    vrrp.Instant
	activeSince vrrp.Instant
}

// Quirks are what an implementation may do in its adverts and receivers must cope with.
type Quirks struct {
	ReserveNibble   uint8             // sent in the reserve field of version 3
	ReleaseInterval wire.Centiseconds // sent with priority 0; zero: the configured interval
}

// StepKind says what happened to a node.
type StepKind uint8

// Kinds of steps.
const (
	Started StepKind = iota
	Stopped
	Expired
	Received
	Changed // by who owns the node: it was promoted or demoted
)

// Step is one call into a node's machine, and what came of it.
type Step struct {
	At            vrrp.Instant // network time
	Node          *Node
	Kind          StepKind
	Packet        *wire.Packet    // of Received; valid during the observer's call
	Why           wire.DropReason // of Received
	Before, After Snapshot
	Effect        vrrp.Effect
}

// local returns what the node's clock shows at a time of the network.
func (node *Node) local(at vrrp.Instant) vrrp.Instant { return at.Add(node.Offset) }

// global returns when the node's clock shows at.
func (node *Node) global(at vrrp.Instant) vrrp.Instant { return at.Add(-node.Offset) }

// advertised returns the interval in the node's adverts of a priority.
func (node *Node) advertised(priority uint8) wire.Centiseconds {
	if priority == wire.PriorityRelease && node.Quirks.ReleaseInterval != 0 {
		return node.Quirks.ReleaseInterval
	}
	var a wire.Advertisement
	node.Machine.Advertisement(&a, priority)
	return a.Interval
}

// Running reports whether the node is up and being scheduled.
func (node *Node) Running() bool { return node.Machine != nil && !node.suspended && !node.paused }

// Active reports whether the node is running and in state Active.
func (node *Node) Active() bool { return node.Running() && node.Machine.State() == vrrp.Active }

// Outranks reports whether other has to yield to the node when both are Active (RFC 9568 section 6.4.3).
func (node *Node) Outranks(other *Node) bool {
	p, q := node.Machine.Priority(), other.Machine.Priority()
	return p > q || p == q && node.Address.Compare(other.Address) > 0
}

// arm computes when the node's timer is to be looked at.
func (node *Node) arm(n *Network) {
	if !node.Running() {
		node.wake = vrrp.Never
		return
	}
	d := node.Machine.Deadline()
	if d == vrrp.Never {
		node.wake, node.armed = vrrp.Never, d
		return
	}
	if node.wake != vrrp.Never && node.armed == d {
		return // as it was, lateness included
	}
	node.armed, node.wake = d, d.Add(-node.Offset)
	if node.Lateness > 0 {
		node.wake = node.wake.Add(time.Duration(n.rand.Int64N(int64(node.Lateness))))
	}
}

// Start brings a node up with a new machine and enables it. It panics when the node's configuration is not valid.
func (n *Network) Start(node *Node) {
	if node.Machine != nil {
		return
	}
	var err error
	if node.Machine, node.decode, err = n.make(node.index, node.Config, node.Address); err != nil {
		panic(fmt.Sprintf("%s: %v", node.Name, err))
	}
	s := n.begin(node, Started)
	s.Effect = node.Machine.Startup(node.local(n.now))
	n.finish(s)
}

// Stop shuts a node down in order.
func (n *Network) Stop(node *Node) {
	if !node.Running() {
		return
	}
	s := n.begin(node, Stopped)
	s.Effect = node.Machine.Shutdown(node.local(n.now))
	n.finish(s)
	node.Machine, node.wake = nil, vrrp.Never
}

// Crash takes a node down without a word. All its state is lost.
func (n *Network) Crash(node *Node) {
	node.Machine, node.wake, node.inbox = nil, vrrp.Never, nil
	node.suspended, node.paused = false, false
}

// Suspend stops a node's process (SIGSTOP): its clock runs on and its socket keeps what arrives.
func (n *Network) Suspend(node *Node) {
	if node.Running() {
		node.suspended, node.wake = true, vrrp.Never
	}
}

// Pause stops a node with its clock, as a hypervisor does: what arrives is lost, and no time has passed for it.
func (n *Network) Pause(node *Node) {
	if node.Running() {
		node.paused, node.wake, node.stoppedAt = true, vrrp.Never, n.now
	}
}

// Resume ends Suspend and Pause. What is in the socket is read before timers are looked at.
func (n *Network) Resume(node *Node) {
	if node.paused {
		node.Offset -= n.now.Sub(node.stoppedAt)
	}
	inbox := node.inbox
	node.suspended, node.paused, node.inbox = false, false, nil
	for _, d := range inbox {
		n.receive(d)
	}
	if node.Machine != nil {
		node.arm(n)
	}
}
