package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Switch is an Ethernet switch: a bridge without spanning tree, snooping or delay. All switches of a lab share one
// namespace of their own, in which nothing has an address.
type Switch struct {
	lab  *Lab
	name string
}

// Port is where a node's cable ends in a switch.
type Port struct {
	sw    *Switch
	name  string // of the interface on the switch's side
	index int
	node  *Node
	nic   string // interface on the node's side
}

// fabricNode returns the node that holds the switches.
func (l *Lab) fabricNode() (*Node, error) {
	n, err := l.Node("switches")
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	fresh := l.fabric == nil
	l.fabric = n
	l.mu.Unlock()
	if fresh {
		// A port that is cut off the bridge must not answer by itself.
		if err := n.Sysctl("ipv6/conf/default/disable_ipv6", "1"); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
	}
	return n, nil
}

// Switch creates a switch. The name is at most 15 octets long and unique in the lab.
func (l *Lab) Switch(name string) (*Switch, error) {
	n, err := l.fabricNode()
	if err != nil {
		return nil, err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr = name, l.nextMAC()
	off := false
	if err := n.nl.LinkAdd(&netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &off}); err != nil {
		return nil, fmt.Errorf("create switch %s: %w", name, err)
	}
	sw := &Switch{lab: l, name: name}
	if err := n.setForwardDelay(name); err != nil {
		return nil, fmt.Errorf("create switch %s: %w", name, err)
	}
	return sw, n.SetUp(name, true)
}

// Fabric returns the node that the switch is on, for packet filters.
func (sw *Switch) Fabric() *Node { return sw.lab.fabric }

// setForwardDelay makes ports forward as soon as they have a carrier. Spanning tree is off by default.
func (n *Node) setForwardDelay(bridge string) error {
	link, err := n.link(bridge)
	if err != nil {
		return err
	}
	req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_ACK)
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(link.Attrs().Index)
	req.AddData(msg)
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("bridge"))
	info.AddRtAttr(nl.IFLA_INFO_DATA, nil).AddRtAttr(nl.IFLA_BR_FORWARD_DELAY, nl.Uint32Attr(0))
	req.AddData(info)
	return n.execute(req)
}

// execute sends a request in the node's namespace and waits for the acknowledgement.
func (n *Node) execute(req *nl.NetlinkRequest) error {
	return n.Do(func() error {
		_, err := req.Execute(unix.NETLINK_ROUTE, 0)
		return err
	})
}

// Plug connects an interface that it creates on the node to a port that it creates on the switch; both come up.
func (sw *Switch) Plug(node *Node, ifname string) (*Port, error) {
	l := sw.lab
	l.mu.Lock()
	l.ports++
	p := &Port{sw: sw, name: fmt.Sprintf("port%d", l.ports), node: node, nic: ifname}
	l.mu.Unlock()
	if err := l.veth(l.fabric, p.name, node, ifname); err != nil {
		return nil, err
	}
	link, err := l.fabric.link(p.name)
	if err != nil {
		return nil, err
	}
	p.index = link.Attrs().Index
	bridge, err := l.fabric.link(sw.name)
	if err != nil {
		return nil, err
	}
	if err := l.fabric.nl.LinkSetMaster(link, bridge); err != nil {
		return nil, fmt.Errorf("plug %s %s into %s: %w", node, ifname, sw.name, err)
	}
	if err := l.fabric.SetUp(p.name, true); err != nil {
		return nil, err
	}
	if err := node.SetUp(ifname, true); err != nil {
		return nil, err
	}
	return p, errors.Join(node.waitForCarrier(ifname), p.waitForwarding())
}

// waitForwarding waits until the port is operational, and makes it forward then.
func (p *Port) waitForwarding() error {
	var last error
	err := WaitFor(context.Background(), 5*time.Second, p.String(), func() bool {
		last = p.Mend()
		return !errors.Is(last, unix.ENETDOWN)
	})
	if err != nil {
		return err
	}
	return last
}

// Node returns the node at the other end of the cable.
func (p *Port) Node() *Node { return p.node }

// Interface returns the name of the interface at the other end of the cable.
func (p *Port) Interface() string { return p.nic }

// SwitchSide returns the name of the interface on the switch's side, for rules there.
func (p *Port) SwitchSide() string { return p.name }

// String names the port by what is plugged into it.
func (p *Port) String() string { return fmt.Sprintf("%s port of %s %s", p.sw.name, p.node, p.nic) }

// States of a bridge port (BR_STATE_*).
const (
	portDisabled   = 0
	portForwarding = 3
)

// Cut makes the switch swallow everything that passes the port, in both directions and from one instruction to the
// next. The carrier stays: neither side is told.
func (p *Port) Cut() error { return p.setState("cut", portDisabled) }

// Mend ends a Cut.
func (p *Port) Mend() error { return p.setState("mend", portForwarding) }

func (p *Port) setState(verb string, state uint8) error {
	req := nl.NewNetlinkRequest(unix.RTM_SETLINK, unix.NLM_F_ACK)
	msg := nl.NewIfInfomsg(unix.AF_BRIDGE)
	msg.Index = int32(p.index)
	req.AddData(msg)
	info := nl.NewRtAttr(unix.IFLA_PROTINFO|unix.NLA_F_NESTED, nil)
	info.AddRtAttr(nl.IFLA_BRPORT_STATE, []byte{state})
	req.AddData(info)
	if err := p.sw.lab.fabric.execute(req); err != nil {
		return fmt.Errorf("%s %s: %w", verb, p, err)
	}
	return nil
}

// Unplug takes the carrier away on the node's side; Replug gives it back.
func (p *Port) Unplug() error { return p.sw.lab.fabric.SetUp(p.name, false) }

// Replug ends an Unplug, and returns when the port forwards again.
func (p *Port) Replug() error {
	if err := p.sw.lab.fabric.SetUp(p.name, true); err != nil {
		return err
	}
	return p.waitForwarding()
}

// Cut cuts several ports, as close together as this machine can.
func Cut(ports ...*Port) error { return each(ports, (*Port).Cut) }

// Mend mends several ports.
func Mend(ports ...*Port) error { return each(ports, (*Port).Mend) }

// each applies do to all, and returns what went wrong.
func each(ports []*Port, do func(*Port) error) error {
	var errs []error
	for _, p := range ports {
		errs = append(errs, do(p))
	}
	return errors.Join(errs...)
}
