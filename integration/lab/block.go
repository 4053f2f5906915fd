package lab

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Flow is the traffic from one prefix to another, in that direction only.
type Flow struct{ From, To netip.Prefix }

// String returns the flow in a form for people.
func (f Flow) String() string { return fmt.Sprintf("%s to %s", f.From, f.To) }

// blockPriority puts the rules of Block after the local table, so that a router stays reachable itself, and before
// everything else.
const blockPriority = 100

// Block makes the node, a router, swallow flows: each begins to be dropped from one packet to the next, without an ICMP
// error. A flow that is blocked already is an error. It needs nothing but the kernel's rules of policy routing.
func (n *Node) Block(flows ...Flow) error { return n.eachFlow("block", n.nl.RuleAdd, flows) }

// Unblock ends a Block.
func (n *Node) Unblock(flows ...Flow) error { return n.eachFlow("unblock", n.nl.RuleDel, flows) }

func (n *Node) eachFlow(verb string, do func(*netlink.Rule) error, flows []Flow) error {
	var errs []error
	for _, f := range flows {
		r := netlink.NewRule()
		r.Priority, r.Type, r.Src, r.Dst = blockPriority, unix.RTN_BLACKHOLE, ipNet(f.From), ipNet(f.To)
		if err := do(r); err != nil {
			errs = append(errs, fmt.Errorf("%s: %s %s: %w", n, verb, f, err))
		}
	}
	return errors.Join(errs...)
}
