package failover_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"failoverd/failover"
	"failoverd/failover/failovertest"
	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

const objectRouters = `static_route 203.0.113.0/24 via 192.0.2.254
router A eth0/4/1
 address 10.0.0.1/24 eth0
 route 198.51.100.0/24 via 192.0.2.251
 route 10.1.0.0/16 via 192.0.2.251
 rule from 10.0.0.1/32 table 5 priority 10
router B eth0/4/2
 address 10.0.0.2/24 eth0 lease 3s
 route 198.51.100.0/24 via 192.0.2.252
 rule from 10.0.0.1/32 table 5 priority 10
router C eth0/4/3
 address 10.0.0.3/24 eth0
 route 203.0.113.0/24 via 192.0.2.253
`

// TestObjectsFollowTheRoles: whatever happens, what is asked for of the kernel is what the roles entitle to, once each;
// nothing is asked for twice in a row.
func TestObjectsFollowTheRoles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := failovertest.MustParseConfig(objectRouters)
		n := &objectNode{cfg: cfg}
		var err error
		if n.core, err = failover.New(cfg, 0); err != nil {
			t.Fatal(err)
		}
		n.core.Step(0, failover.LinkChanged{Link: failover.LinkID{Interface: "eth0", Family: wire.IPv4}, Open: true}, &n.fx)
		n.core.Step(0, failover.InterfaceChanged{Interface: iface(0)}, &n.fx)
		n.check(t)
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			n.step(t)
			n.check(t)
		}
	})
}

// objectNode is a core with routes, and what it has asked for.
type objectNode struct {
	core    *failover.Core
	cfg     *failover.Config
	now     vrrp.Instant
	fx      failover.Effects
	asked   failover.DesiredAddresses
	objects failover.DesiredObjects
}

func (n *objectNode) step(t *rapid.T) {
	switch rapid.IntRange(0, 6).Draw(t, "what") {
	case 0:
		n.core.Receive(n.now, failover.LinkID{Interface: "eth0", Family: wire.IPv4}, &wire.Packet{
			Header: wire.Header{Src: addr("172.16.0.2"), Dst: wire.IPv4.Group(), TTL: wire.TTL},
			Advertisement: wire.Advertisement{
				Version: wire.V3, VRID: uint8(rapid.IntRange(1, 3).Draw(t, "vrid")), Interval: 100,
				Priority: uint8(rapid.SampledFrom([]int{0, 50, 200}).Draw(t, "priority")), Addresses: addrs("10.0.0.1"),
			},
		}, &n.fx)
	case 1, 2:
		rep := failover.AddressReport{Generation: n.asked.Generation}
		for i := range n.asked.Addresses {
			if rapid.IntRange(0, 4).Draw(t, "present") > 0 {
				rep.Present = append(rep.Present, n.asked.Addresses[i].Key())
			}
		}
		n.core.Step(n.now, failover.AddressesReported{Report: rep}, &n.fx)
	case 3:
		n.core.Step(n.now, failover.InterfaceChanged{Interface: failover.Interface{
			Name: "eth0", Index: 2, Up: rapid.IntRange(0, 3).Draw(t, "up") > 0, Addresses: []netip.Prefix{netip.MustParsePrefix("172.16.0.1/24")},
		}}, &n.fx)
	case 4:
		n.core.Step(n.now, failover.ObjectsReported{Report: failover.ObjectReport{
			Generation:     n.objects.Generation,
			RoutesFailed:   map[failover.RouteKey]string{n.cfg.Routers[0].Routes[0].Key(): "refused"},
			RulesRestored:  []failover.KernelRule{n.cfg.Routers[0].Rules[0], {Action: 7}},
			RoutesRestored: []failover.RouteKey{{}},
		}}, &n.fx)
	default:
		n.now = n.now.Add(time.Duration(rapid.IntRange(1, 4000).Draw(t, "ms")) * time.Millisecond)
	}
}

func (n *objectNode) check(t *rapid.T) {
	if n.core.Deadline() <= n.now {
		n.core.Expire(n.now, &n.fx)
	}
	n.core.Flush(n.now, &n.fx)
	if n.fx.Addresses != nil {
		n.asked = *n.fx.Addresses
	}
	if d := n.fx.Objects; d != nil {
		if d.Generation != n.objects.Generation+1 || fmt.Sprint(d.Routes, d.Rules) == fmt.Sprint(n.objects.Routes, n.objects.Rules) {
			t.Fatalf("after %+v comes %+v", n.objects, *d)
		}
		n.objects = *d
	}
	n.fx.Reset()
	routes, rules := slices.Clone(n.cfg.StaticRoutes), []failover.KernelRule(nil)
	snapshot := n.core.Snapshot(n.now, wallClock)
	for i := range snapshot.Routers {
		s := &snapshot.Routers[i]
		// Addresses are known to be in when nothing is waited for any more. Who hands its role over keeps everything.
		if (s.State != "MASTER" || s.Waiting != "") && !strings.HasPrefix(s.Waiting, "for its successor") {
			continue
		}
		for _, r := range n.cfg.Routers[i].Routes {
			if !slices.ContainsFunc(routes, func(o failover.KernelRoute) bool { return o.Key() == r.Key() }) {
				routes = append(routes, r)
			}
		}
		for _, r := range n.cfg.Routers[i].Rules {
			if !slices.Contains(rules, r) {
				rules = append(rules, r)
			}
		}
	}
	if got, want := fmt.Sprint(n.objects.Routes, n.objects.Rules), fmt.Sprint(routes, rules); got != want {
		t.Fatalf("asked for\n%s\nwant\n%s", got, want)
	}
}

func TestObjectWords(t *testing.T) {
	prefix, gateway := netip.MustParsePrefix("198.51.100.0/24"), addr("192.0.2.1")
	for _, tt := range []struct {
		route failover.KernelRoute
		want  string
	}{
		{failover.KernelRoute{Type: 1, Destination: prefix, Table: 254, Gateway: gateway, Interface: "eth0"}, "198.51.100.0/24 via 192.0.2.1 dev eth0"},
		{failover.KernelRoute{Type: 6, Destination: prefix, Table: 100, Metric: 5, TOS: 8}, "blackhole 198.51.100.0/24 table 100 metric 5 tos 8"},
		{failover.KernelRoute{Type: 1, Destination: prefix, Table: 254, Interface: "lo", Scope: 254, Source: gateway, Protocol: 4, OnLink: true, Untracked: true}, "198.51.100.0/24 dev lo src 192.0.2.1 scope host protocol 4 onlink no_track"},
		{failover.KernelRoute{Type: 1, Destination: prefix, Table: 254, Scope: 7, MTU: 1400, MTULock: true, AdvMSS: 1360, HopLimit: 3, InitCwnd: 10, InitRwnd: 20}, "198.51.100.0/24 scope 7 mtu lock 1400 advmss 1360 hoplimit 3 initcwnd 10 initrwnd 20"},
		{failover.KernelRoute{Type: 1, Destination: prefix, Table: 254, MTU: 1400, NextHops: []failover.NextHop{{Gateway: gateway, Weight: 2}, {Interface: "eth1", OnLink: true}}}, "198.51.100.0/24 mtu 1400 nexthop via 192.0.2.1 weight 2 nexthop dev eth1 onlink"},
	} {
		if got := tt.route.String(); got != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
	}
	for _, tt := range []struct {
		rule failover.KernelRule
		want string
	}{
		{failover.KernelRule{Action: 1, Table: 254, From: prefix, Priority: 5}, "from 198.51.100.0/24 lookup main preference 5"},
		{failover.KernelRule{IPv6: true, Not: true, To: prefix, InInterface: "eth0", OutInterface: "eth1", TOS: 4, Mark: 1, Mask: 255, Action: 2, Goto: 9}, "inet6 not to 198.51.100.0/24 iif eth0 oif eth1 tos 4 fwmark 0x1/0xff goto 9"},
		{failover.KernelRule{Action: 3, IPProto: 6, SourcePortFirst: 1, SourcePortLast: 9, DestPortFirst: 80, DestPortLast: 80, HasUID: true, UIDLast: 9}, "ipproto 6 sport 1-9 dport 80 uidrange 0-9 nop"},
		{failover.KernelRule{Action: 8, SuppressPrefixLength: 1, Untracked: true}, "prohibit suppress_prefixlength 0 no_track"},
	} {
		if got := tt.rule.String(); got != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
	}
}
