package integration

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"failoverd/integration/lab"
)

// balancer is the topology of the recipe ecmp: a LAN of two routers and a client, and behind each router two networks with
// a server each. The servers have the service's addresses on their loopback interface.
type balancer struct {
	*lan
	first []*lab.Port // of the routers on the first server's network
}

// services are the addresses that the servers share.
var services = []netip.Addr{netip.MustParseAddr("198.51.100.10"), netip.MustParseAddr("2001:db8:100::10")}

// flowCount is how many flows the client sends: enough for the share of a server to be near its weight.
const flowCount = 240

func newBalancer(t *testing.T) *balancer {
	t.Helper()
	b := &balancer{lan: newLAN(t, false)}
	for _, r := range []*lab.Node{b.a, b.b} {
		for key, value := range map[string]string{
			"ipv4/ip_forward": "1", "ipv6/conf/all/forwarding": "1",
			"ipv4/fib_multipath_hash_policy": "1", "ipv6/fib_multipath_hash_policy": "1",
		} {
			must(t, r.Sysctl(key, value))
		}
	}
	b.network("1", &b.first)
	var second []*lab.Port
	b.network("2", &second)
	for dst, via := range map[string]string{"198.51.100.10/32": "192.0.2.10", "2001:db8:100::10/128": "2001:db8:2::10"} {
		must(t, b.c.AddRoute(netip.MustParsePrefix(dst), netip.MustParseAddr(via)))
	}
	return b
}

// network makes the network of a server, s1 or s2, and the routers' ports in it.
func (b *balancer) network(number string, ports *[]*lab.Port) {
	b.t.Helper()
	sw, err := b.lab.Switch("net" + number)
	must(b.t, err)
	nic := "eth" + number
	for r, host := range map[*lab.Node]string{b.a: "1", b.b: "2"} {
		p, err := sw.Plug(r, nic)
		must(b.t, err)
		*ports = append(*ports, p)
		must(b.t, r.AddAddress(nic, "10.1."+number+"."+host+"/24"))
		must(b.t, r.AddAddress(nic, "2001:db8:1:"+number+"::"+host+"/64"))
		for _, family := range []string{"ipv4", "ipv6"} {
			must(b.t, r.Sysctl(family+"/conf/"+nic+"/ignore_routes_with_linkdown", "1"))
		}
	}
	s, err := b.lab.Node("s" + number)
	must(b.t, err)
	_, err = sw.Plug(s, "eth0")
	must(b.t, err)
	must(b.t, s.AddAddress("eth0", "10.1."+number+".11/24"))
	must(b.t, s.AddAddress("eth0", "2001:db8:1:"+number+"::11/64"))
	for _, a := range services {
		must(b.t, s.AddAddress("lo", netip.PrefixFrom(a, a.BitLen()).String()))
	}
	must(b.t, s.AddRoute(netip.MustParsePrefix("192.0.2.0/24"), netip.MustParseAddr("10.1."+number+".10")))
	must(b.t, s.AddRoute(netip.MustParsePrefix("2001:db8:2::/64"), netip.MustParseAddr("2001:db8:1:"+number+"::10")))
	_, err = s.Respond()
	must(b.t, err)
}

// spread sends the flows to a service and returns who answered each, and how many each of the servers has; "" is nobody.
func (b *balancer) spread(service netip.Addr) (names []string, count map[string]int) {
	b.t.Helper()
	names, err := b.c.Spread(service, flowCount)
	must(b.t, err)
	count = make(map[string]int)
	for _, n := range names {
		count[n]++
	}
	return names, count
}

// shares waits until all flows to a service are answered, s1 having the share that it should, in percent and within nine
// points: three times the deviation that the choice by lot would have.
func (b *balancer) shares(service netip.Addr, s1 int, d time.Duration) []string {
	b.t.Helper()
	var names []string
	var count map[string]int
	began := time.Now()
	for {
		names, count = b.spread(service)
		share := 100 * float64(count["s1"]) / flowCount
		if count["s1"]+count["s2"] == flowCount && share >= float64(s1)-9 && share <= float64(s1)+9 && (s1 > 0 || share == 0) {
			b.t.Logf("%s: %v after %v", service, count, time.Since(began).Round(time.Millisecond))
			return names
		}
		if time.Since(began) > d {
			b.t.Errorf("%s: answers %v, want all %d, and %d %% of them from s1", service, count, flowCount, s1)
			return names
		}
	}
}

// TestLocalBalancing: the flows behind the virtual address are spread over two next hops; those of one whose link is gone
// go to the other at once, and nobody else's are moved by its return; weights count; and the next MASTER does the same.
func TestLocalBalancing(t *testing.T) {
	t.Parallel()
	b := newBalancer(t)
	r1 := startExample(t, b.lab, b.a, "ecmp/router.conf", "r1")
	r1.waitState("MASTER", 5*time.Second)
	r2 := startExample(t, b.lab, b.b, "ecmp/router.conf", "r2")
	r2.waitState("BACKUP", 3*time.Second)
	before := make(map[netip.Addr][]string)
	for _, s := range services {
		before[s] = b.shares(s, 50, 3*time.Second)
	}

	must(t, b.first[0].Unplug())
	must(t, b.first[1].Unplug())
	for _, s := range services {
		b.shares(s, 0, 2*time.Second)
	}
	must(t, b.first[0].Replug())
	must(t, b.first[1].Replug())
	for _, s := range services {
		after := b.shares(s, 50, 5*time.Second)
		moved := 0
		for i := range after {
			if after[i] != before[s][i] {
				moved++
			}
		}
		if moved > 0 {
			t.Errorf("%s: %d of %d flows are at another server than before", s, moved, flowCount)
		}
	}
	if r := r1.router(); r.State != "MASTER" || r.Counters.BecameMaster != 1 {
		t.Errorf("the role was disturbed: %s, MASTER %d times", r.State, r.Counters.BecameMaster)
	}

	heavier := strings.NewReplacer("dev eth1 nexthop", "dev eth1 weight 3 nexthop").Replace(exampleFile(t, "ecmp/router.conf"))
	if out, code := r1.rewrite(heavier); code != 0 {
		t.Fatalf("reload: exit %d: %s", code, out)
	}
	for _, s := range services {
		b.shares(s, 75, 2*time.Second)
	}

	must(t, r1.proc.Kill())
	must(t, b.pa.Cut()) // with the power: what is left in its kernel must not answer
	r2.waitState("MASTER", 3*time.Second)
	for _, s := range services {
		b.shares(s, 50, 3*time.Second)
	}
}
