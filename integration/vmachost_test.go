package integration

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"failoverd/integration/lab"
)

// forwarding is a LAN with another one behind both routers, on a switch that does not learn: every router gets every frame.
type forwarding struct {
	*lan
	far     *lab.Node
	farAddr netip.Addr
	arrived *lab.Process
}

func newForwarding(t *testing.T, v6 bool) *forwarding {
	t.Helper()
	need(t, "tcpdump")
	f := &forwarding{lan: newLAN(t, v6), farAddr: netip.MustParseAddr("203.0.113.9")}
	net, ip := "203.0.113.", "-4"
	if v6 {
		f.farAddr, net, ip = netip.MustParseAddr("2001:db8:3::9"), "2001:db8:3::", "-6"
	}
	sw, err := f.lab.Switch("lan2")
	must(t, err)
	f.far, err = f.lab.Node("far")
	must(t, err)
	for host, node := range map[string]*lab.Node{"1": f.a, "2": f.b, "9": f.far} {
		nic := "eth1"
		if node == f.far {
			nic = "eth0"
		}
		_, err := sw.Plug(node, nic)
		must(t, err)
		must(t, node.AddAddress(nic, net+host+map[bool]string{false: "/24", true: "/64"}[v6]))
		if node != f.far {
			must(t, node.Sysctl("ipv4/conf/all/forwarding", "1"))
			must(t, node.Sysctl("ipv6/conf/all/forwarding", "1"))
		}
	}
	fabric, err := f.lab.Node("switches")
	must(t, err)
	out, code := command(t, fabric, []string{"sh", "-c", `for p in $(ip -o link show master lan | cut -d: -f2 | cut -d@ -f1); do
		ip link set dev $p type bridge_slave learning off fdb_flush || exit 1; done`})
	if code != 0 {
		t.Fatalf("make the switch flood: %s", out)
	}
	f.arrived = f.listen(f.far, "in", "udp and dst host "+f.farAddr.String())
	gateway := f.vip.String()
	if v6 {
		gateway = "fe80::10"
	}
	if out, code := command(t, f.c, []string{"ip", ip, "route", "add", netip.PrefixFrom(f.farAddr, map[bool]int{false: 24, true: 64}[v6]).Masked().String(), "via", gateway, "dev", "eth0"}); code != 0 {
		t.Fatal(out)
	}
	return f
}

// forwardsBy waits until one router alone forwards. For a moment after it has taken the role the one that left it still serves,
// under the same virtual MAC (failover.HandoverGrace).
func (f *forwarding) forwardsBy(t *testing.T, name, mac string) {
	t.Helper()
	waitFor(t, 3*time.Second, "all packets to arrive by way of "+name+" alone, "+mac, func() bool {
		by := f.forwards()
		return by[mac] == 5 && len(by) == 1
	})
}

// forwards sends packets by way of the virtual router, and returns how often each one arrives, by the MAC of the forwarder.
func (f *forwarding) forwards() map[string]int {
	f.t.Helper()
	before := len(heard(f.arrived))
	for range 5 {
		poke(f.t, f.c, f.farAddr)
		time.Sleep(20 * time.Millisecond)
	}
	time.Sleep(slack)
	by := map[string]int{}
	for _, l := range heard(f.arrived)[before:] {
		by[strings.Fields(l)[1]]++
	}
	return by
}

// TestVMACForwarding: a frame to the virtual MAC that is for somebody else is forwarded by the Active router and by no
// Backup, although both have an interface with that MAC, and the frame reaches both.
func TestVMACForwarding_V3_HOST_04_V3_HOST_10(t *testing.T) {
	t.Parallel()
	for _, v6 := range []bool{false, true} {
		t.Run(map[bool]string{false: "IPv4", true: "IPv6"}[v6], func(t *testing.T) {
			t.Parallel()
			f := newForwarding(t, v6)
			f.lan.t = t
			a := startAgent(t, f.lab, f.a, f.instance(prioA, 3, "0.3", "use_vmac"))
			a.waitState("MASTER", 5*time.Second)
			b := startAgent(t, f.lab, f.b, f.instance(prioB, 3, "0.3", "use_vmac"))
			b.waitState("BACKUP", 5*time.Second)
			waitFor(t, 5*time.Second, "the address at the client", f.pings)
			macs := map[*lab.Node]string{}
			for _, n := range []*lab.Node{f.a, f.b} {
				mac, err := n.HardwareAddr("eth1")
				must(t, err)
				macs[n] = mac.String()
			}
			if by := f.forwards(); by[macs[f.a]] != 5 || len(by) != 1 {
				t.Errorf("5 packets arrived by way of %v; want 5 by a, %s", by, macs[f.a])
			}
			must(t, a.proc.Signal(syscall.SIGTERM))
			b.waitState("MASTER", 3*time.Second)
			waitFor(t, 3*time.Second, "the address at the client", f.pings)
			f.forwardsBy(t, "b", macs[f.b])
			// a returns: b, which has served, is Backup again.
			_, err := a.proc.Wait(5 * time.Second)
			must(t, err)
			a = startAgent(t, f.lab, f.a, f.instance(prioA, 3, "0.3", "use_vmac"))
			a.waitState("MASTER", 5*time.Second)
			b.waitState("BACKUP", 3*time.Second)
			waitFor(t, 3*time.Second, "the address at the client", f.pings)
			f.forwardsBy(t, "a", macs[f.a])
		})
	}
}

// TestVMACRedirect: a router's route to the LAN leads out by the interface below, so that a packet that enters by the
// virtual router and goes back into the LAN causes no ICMP redirect: hosts stay with the virtual router. Where the LAN's
// prefix is on the virtual address itself, and the routers have their own addresses elsewhere, redirects are sent; they
// come from the virtual router that was addressed, of two (RFC 9568 section 8.1.1).
func TestVMACRedirect_V3_HOST_11(t *testing.T) {
	t.Parallel()
	need(t, "tcpdump")
	n := newLAN(t, false)
	must(t, n.a.Sysctl("ipv4/conf/all/forwarding", "1"))
	for _, key := range []string{"all", "eth0"} { // or the next packet goes another way
		must(t, n.c.Sysctl("ipv4/conf/"+key+"/accept_redirects", "0"))
	}
	// V is for the LAN that the routers are on; W and X are for two others on the same wire.
	text := n.instance(prioA, 3, "0.3", "use_vmac")
	for _, r := range []struct{ name, vrid, vip string }{{"W", "52", "198.51.100.10/24"}, {"X", "53", "203.0.113.10/24"}} {
		text += strings.NewReplacer("instance V", "instance "+r.name, "id 51", "id "+r.vrid, "192.0.2.10/32", r.vip).Replace(n.instance(prioA, 3, "0.3", "use_vmac"))
	}
	a := startAgent(t, n.lab, n.a, text)
	waitFor(t, 5*time.Second, "a to serve", func() bool { return masters(a) == 3 && holds(t, n.a, netip.MustParseAddr("203.0.113.10")) })
	must(t, n.c.AddAddress("eth0", "198.51.100.3/24"))
	must(t, n.c.AddAddress("eth0", "203.0.113.3/24"))
	redirects, passed := n.listen(n.c, "in", "icmp[0] == 5"), n.listen(n.b, "in", "udp and dst net 10.0.0.0/8")
	for i, r := range []struct{ from, virtual, gateway string }{
		{"192.0.2.3", "192.0.2.10", "192.0.2.2"},
		{"198.51.100.3", "198.51.100.10", "198.51.100.2"},
		{"203.0.113.3", "203.0.113.10", "203.0.113.2"},
	} {
		must(t, n.b.AddAddress("eth0", r.gateway+"/24"))
		dst := netip.MustParsePrefix(fmt.Sprintf("10.%d.0.0/16", i))
		must(t, n.a.AddRoute(dst, netip.MustParseAddr(r.gateway)))
		if out, code := command(t, n.c, strings.Fields(fmt.Sprintf("ip route add %s via %s src %s", dst, r.virtual, r.from))); code != 0 {
			t.Fatal(out)
		}
		poke(t, n.c, netip.MustParseAddr(fmt.Sprintf("10.%d.0.9", i)))
	}
	waitFor(t, 3*time.Second, "three packets at b", func() bool { return len(heard(passed)) == 3 })
	time.Sleep(slack)
	got := strings.Join(heard(redirects), "\n")
	for _, want := range []string{
		"00:00:5e:00:01:34 > MAC, .*: 198.51.100.10 > 198.51.100.3: ICMP redirect 10.1.0.9 to host 198.51.100.2,",
		"00:00:5e:00:01:35 > MAC, .*: 203.0.113.10 > 203.0.113.3: ICMP redirect 10.2.0.9 to host 203.0.113.2,",
	} {
		mac, err := n.c.HardwareAddr("eth0")
		must(t, err)
		if ok, err := regexp.MatchString(strings.Replace(want, "MAC", mac.String(), 1), got); !ok {
			t.Errorf("no %q: %v; redirects:\n%s", want, err, got)
		}
	}
	if strings.Contains(got, "10.0.0.9") {
		t.Errorf("a redirect although the route leads out by another interface:\n%s", got)
	}
}

// family of addresses and MACs that TestVMACMany asks for.
var manyVirtual = []struct {
	addr netip.Addr
	mac  string // empty: that of the interface
}{
	{netip.MustParseAddr("192.0.2.10"), "00:00:5e:00:01:33"},
	{netip.MustParseAddr("192.0.2.11"), "00:00:5e:00:01:34"},
	{netip.MustParseAddr("2001:db8:2::11"), "00:00:5e:00:01:34"},
	{netip.MustParseAddr("2001:db8:2::53"), "00:00:5e:00:02:33"},
	{netip.MustParseAddr("fe80::53"), "00:00:5e:00:02:33"},
	{netip.MustParseAddr("192.0.2.14"), ""},
}

// TestVMACMany: several virtual routers on one interface, of both families and with the same VRID in both, one with
// excluded IPv6 addresses on its IPv4 MAC, one without a virtual MAC. Who asks for an address gets one answer, with the
// MAC of the right one, and keeps it when all move.
func TestVMACMany_V3_HOST_06(t *testing.T) {
	t.Parallel()
	n := newLAN(t, false)
	conf := func(priority int) string {
		four, six := *n, *n
		six.v6 = true
		w := strings.NewReplacer("vrrp_instance V", "vrrp_instance W", "router_id 51", "router_id 52", "2.10/", "2.11/").Replace(four.instance(priority, 3, "0.3",
			"use_vmac", "virtual_ipaddress_excluded {", "    2001:db8:2::11/64", "}"))
		x := strings.NewReplacer("vrrp_instance V", "vrrp_instance X", "::10/", "::53/").Replace(six.instance(priority, 3, "0.3", "use_vmac"))
		y := strings.NewReplacer("vrrp_instance V", "vrrp_instance Y", "router_id 51", "router_id 54", "2.10/", "2.14/").Replace(four.instance(priority, 3, "0.3"))
		return four.instance(priority, 3, "0.3", "use_vmac") + w + x + y
	}
	a := startAgent(t, n.lab, n.a, conf(prioA))
	waitFor(t, 5*time.Second, "a to serve all", func() bool { return masters(a) == 4 })
	b := startAgent(t, n.lab, n.b, conf(prioB))
	b.waitState("BACKUP", 3*time.Second)
	n.checkMany(n.a, true)
	moved := time.Now()
	must(t, a.proc.Signal(syscall.SIGTERM))
	waitFor(t, 5*time.Second, "b to serve all", func() bool { return masters(b) == 4 })
	time.Sleep(slack)
	for _, p := range n.capture.Packets() {
		if p.At.After(moved) && p.Src == netip.MustParseAddr("192.0.2.3") && p.ARP != nil {
			t.Errorf("the client had to ask: %s", p.String())
		}
	}
	n.checkMany(n.b, false)
}

// checkMany asks for every address on behalf of a host that does not know any.
func (n *lan) checkMany(active *lab.Node, ask bool) {
	t := n.t
	t.Helper()
	own, err := active.HardwareAddr("eth0")
	must(t, err)
	for _, v := range manyVirtual {
		if want := v.mac; want != "" || ask {
			if want == "" {
				want = own.String()
			}
			one := *n
			one.vip = v.addr
			if ask {
				if out, code := command(t, n.c, []string{"ip", "neigh", "flush", "to", v.addr.String(), "dev", "eth0"}); code != 0 {
					t.Fatal(out)
				}
			}
			begin := time.Now()
			if !one.pingsBy("eth0") {
				t.Errorf("%s does not answer", v.addr)
			}
			if out, _ := command(t, n.c, []string{"ip", "neigh", "show", v.addr.String(), "dev", "eth0"}); !strings.Contains(out, want) {
				t.Errorf("the client knows %s as %s, want %s", v.addr, out, want)
			}
			answers := one.answers(begin)
			if ask && len(answers) != 1 {
				t.Errorf("%d answers for %s, want 1", len(answers), v.addr)
			}
			for _, p := range answers {
				if p.SrcMAC.String() != want {
					t.Errorf("%s from %s, want %s", p.String(), p.SrcMAC, want)
				}
			}
		}
	}
}

// pingsBy reports whether the client reaches the virtual address, which may be link-local, over an interface.
func (n *lan) pingsBy(device string) bool {
	n.t.Helper()
	_, code := command(n.t, n.c, []string{"ping", "-c", "1", "-W", "0.5", "-I", device, n.vip.String()})
	return code == 0
}
