package failover_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"failoverd/bgp"
	"failoverd/failover"
	"failoverd/failover/failovertest"
	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// sizes are the numbers of routers that a cost must not depend on, or must not depend on too much.
var sizes = []int{1, 4096}

// leased are the usual options of an address.
const leased = "lease 3s"

// perInterface is how many virtual routers one interface has at most.
const perInterface = 255

// node is a core with many routers, each with an address and a route of its own, fed like a daemon feeds it.
type node struct {
	core  *failover.Core
	fx    failover.Effects
	now   vrrp.Instant
	asked failover.DesiredAddresses
	want  bgp.Desired
}

// The options go with every address.
func newNode(tb testing.TB, routers int, options string) *node {
	tb.Helper()
	var b strings.Builder
	b.WriteString("speaker EDGE allow 198.51.100.0/24\n")
	for i := range routers {
		fmt.Fprintf(&b, "router R%d eth%d/4/%d\n  address 10.%d.%d.100/24 eth%d %s\n", i, i/perInterface, i%perInterface+1,
			i/perInterface, i%perInterface, i/perInterface, options)
	}
	b.WriteString("  announce 198.51.100.0/24 EDGE\n")
	cfg, err := failovertest.ParseConfig(b.String())
	if err != nil {
		tb.Fatal(err)
	}
	n := &node{}
	if n.core, err = failover.New(cfg, 0); err != nil {
		tb.Fatal(err)
	}
	for _, id := range cfg.Links() {
		n.core.Step(0, failover.LinkChanged{Link: id, Open: true}, &n.fx)
	}
	for i := range (routers + perInterface - 1) / perInterface {
		n.core.Step(0, failover.InterfaceChanged{Interface: iface(i)}, &n.fx)
	}
	n.core.Step(0, failover.SpeakerReported{Report: report(0, nil)}, &n.fx)
	n.flush()
	return n
}

func iface(i int) failover.Interface {
	return failover.Interface{Name: fmt.Sprintf("eth%d", i), Index: i + 2, Up: true, Addresses: prefixes(fmt.Sprintf("172.16.%d.1/24", i))}
}

func report(generation uint64, routes []bgp.Route) bgp.Report {
	return bgp.Report{
		Speaker: "EDGE", Connected: true, Generation: generation, Announced: routes,
		Neighbors: []bgp.NeighborStatus{{Address: addr("203.0.113.1"), State: bgp.Established}},
	}
}

// flush ends a batch, and has the kernel and the speaker answer at once.
func (n *node) flush() {
	for {
		if n.core.Deadline() <= n.now {
			n.core.Expire(n.now, &n.fx)
		}
		n.core.Flush(n.now, &n.fx)
		addresses, routes := n.fx.Addresses, n.fx.Routes
		if addresses != nil {
			n.asked = *addresses
		}
		for _, r := range routes {
			n.want = r.Desired
		}
		n.fx.Reset()
		if addresses == nil && len(routes) == 0 {
			return
		}
		n.core.Step(n.now, n.present(), &n.fx)
		n.core.Step(n.now, failover.SpeakerReported{Report: report(n.want.Generation, n.want.Routes)}, &n.fx)
	}
}

func (n *node) present() failover.AddressesReported {
	rep := failover.AddressReport{Generation: n.asked.Generation}
	for i := range n.asked.Addresses {
		rep.Present = append(rep.Present, n.asked.Addresses[i].Key())
	}
	return failover.AddressesReported{Report: rep}
}

// until lets time pass, deadline by deadline.
func (n *node) until(t vrrp.Instant) {
	for n.core.Deadline() <= t {
		n.now = max(n.now, n.core.Deadline())
		n.flush()
	}
	n.now = t
}

// packet is an advertisement for a router of a node, as read from the socket.
func packet(tb testing.TB, router int, priority uint8) (failover.LinkID, *wire.Packet) {
	tb.Helper()
	a := wire.Advertisement{
		Version: wire.V3, VRID: uint8(router%perInterface + 1), Priority: priority, Interval: 100,
		Addresses: addrs(fmt.Sprintf("10.%d.%d.100", router/perInterface, router%perInterface)),
	}
	src := addr(fmt.Sprintf("172.16.%d.2", router/perInterface))
	b, err := a.Append(nil, src, wire.IPv4.Group(), wire.ChecksumPseudo)
	if err != nil {
		tb.Fatal(err)
	}
	p := new(wire.Packet)
	if why := wire.Parse(b, wire.Header{Src: src, Dst: wire.IPv4.Group(), TTL: 255}, p); why != wire.Accepted {
		tb.Fatal(why)
	}
	return failover.LinkID{Interface: fmt.Sprintf("eth%d", router/perInterface), Family: wire.IPv4}, p
}

func perSize(b *testing.B, f func(b *testing.B, routers int)) {
	b.Helper()
	for _, n := range sizes {
		b.Run(fmt.Sprintf("routers=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			f(b, n)
		})
	}
}

// BenchmarkReceive is the cost of one advertisement of the Active router for a Backup, with the end of the batch.
func BenchmarkReceive(b *testing.B) {
	perSize(b, func(b *testing.B, routers int) {
		n := newNode(b, routers, leased)
		link, p := packet(b, routers/2, 200)
		for b.Loop() {
			n.now += 1000
			n.core.Receive(n.now, link, p, &n.fx)
			n.core.Flush(n.now, &n.fx)
			n.fx.Reset()
		}
	})
}

// BenchmarkReceiveRival is the cost of one advertisement of a lower priority for an Active router: a flood of them.
func BenchmarkReceiveRival(b *testing.B) {
	perSize(b, func(b *testing.B, routers int) {
		n := newNode(b, routers, leased)
		n.until(vrrp.Instant(4 * time.Second))
		link, p := packet(b, routers/2, 50)
		for b.Loop() {
			n.core.Receive(n.now, link, p, &n.fx)
			if n.core.Deadline() <= n.now {
				n.core.Expire(n.now, &n.fx)
			}
			n.core.Flush(n.now, &n.fx)
			n.fx.Reset()
		}
	})
}

// BenchmarkExpire is the cost of one advertisement of an Active router: the deadline, the packet, the end of the batch.
// Renewals of leases are left out: they are asked for once a second, whatever the number of routers.
func BenchmarkExpire(b *testing.B) {
	perSize(b, func(b *testing.B, routers int) {
		n := newNode(b, routers, leased)
		n.until(vrrp.Instant(4 * time.Second))
		for adverts := 0; b.Loop(); {
			if adverts == 0 {
				n.now = n.core.Deadline()
				n.core.Expire(n.now, &n.fx)
				adverts = len(n.fx.Adverts)
				b.StopTimer()
				n.core.Flush(n.now, &n.fx)
				n.fx.Reset()
				b.StartTimer()
				continue
			}
			adverts--
		}
	})
}

// BenchmarkFlush is the cost of a report on all addresses that changes nothing, with the end of the batch: what is
// wanted is computed anew.
func BenchmarkFlush(b *testing.B) {
	perSize(b, func(b *testing.B, routers int) {
		n := newNode(b, routers, leased)
		n.until(vrrp.Instant(4 * time.Second))
		rep := n.present()
		for b.Loop() {
			n.core.Step(n.now, rep, &n.fx)
			n.core.Flush(n.now, &n.fx)
			n.fx.Reset()
		}
	})
}

// BenchmarkStepInterface is the cost of a change on one interface that concerns no router's ability to run.
func BenchmarkStepInterface(b *testing.B) {
	perSize(b, func(b *testing.B, routers int) {
		n := newNode(b, routers, leased)
		i := iface(0)
		for b.Loop() {
			i.MTU++
			n.core.Step(n.now, failover.InterfaceChanged{Interface: i}, &n.fx)
			n.core.Flush(n.now, &n.fx)
			n.fx.Reset()
		}
	})
}

// BenchmarkSnapshot is the cost of describing everything.
func BenchmarkSnapshot(b *testing.B) {
	wall := func(i vrrp.Instant) time.Time { return time.Unix(0, int64(i)) }
	perSize(b, func(b *testing.B, routers int) {
		n := newNode(b, routers, leased)
		n.until(vrrp.Instant(4 * time.Second))
		for b.Loop() {
			n.core.Snapshot(n.now, wall)
		}
	})
}

// BenchmarkTakeover is the cost of all routers becoming Active one after the other, each in a batch of its own, with the
// answers of the kernel and the speaker: the worst case, divided by the number of routers.
func BenchmarkTakeover(b *testing.B) {
	perSize(b, func(b *testing.B, routers int) {
		for b.Loop() {
			b.StopTimer()
			n := newNode(b, routers, leased)
			for i := range routers {
				link, p := packet(b, i, 200)
				n.core.Receive(vrrp.Instant(i)*10_000, link, p, &n.fx)
			}
			n.fx.Reset()
			b.StartTimer()
			n.until(vrrp.Instant(3700 * time.Millisecond))
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(routers), "ns/router")
	})
}
