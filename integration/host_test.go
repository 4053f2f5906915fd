package integration

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"failoverd/integration/lab"
)

// poke sends a datagram from a node to the service port of an address; the kernel resolves the neighbor first.
func poke(t *testing.T, n *lab.Node, to netip.Addr) {
	t.Helper()
	must(t, n.Do(func() error {
		c, err := net.Dial("udp", netip.AddrPortFrom(to, lab.ServicePort).String())
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Write([]byte("poke"))
		return err
	}))
}

// answers returns the neighbor replies for the virtual address since a time: ARP replies, or solicited advertisements.
func (n *lan) answers(since time.Time) []lab.Packet {
	var out []lab.Packet
	for _, p := range n.capture.Packets() {
		switch {
		case p.At.Before(since):
		case p.ARP != nil && p.ARP.Reply && p.ARP.Sender == n.vip,
			p.Neighbor != nil && p.Neighbor.Advertisement && p.Neighbor.Solicited && p.Neighbor.Target == n.vip:
			out = append(out, p)
		}
	}
	return out
}

// TestBackupIsSilent: a Backup does not answer for the virtual address in any way, and accepts nothing for it.
func TestBackupIsSilent_V3_HOST_01_V3_HOST_02_V3_HOST_03_V3_HOST_05(t *testing.T) {
	t.Parallel()
	for _, v6 := range []bool{false, true} {
		t.Run(map[bool]string{false: "IPv4", true: "IPv6"}[v6], func(t *testing.T) {
			t.Parallel()
			n := newLAN(t, v6)
			a := startAgent(t, n.lab, n.a, n.instance(prioA, 3, "0.3"))
			a.waitState("MASTER", 5*time.Second)
			b := startAgent(t, n.lab, n.b, n.instance(prioB, 3, "0.3"))
			b.waitState("BACKUP", 5*time.Second)
			mac, err := n.a.HardwareAddr("eth0")
			must(t, err)
			begin := time.Now()
			radv := listenRouterAdvertisements(t, n.c)
			for range 5 {
				poke(t, n.c, n.vip)
				time.Sleep(100 * time.Millisecond)
			}
			if r := radv(); r > 0 {
				t.Errorf("%d router advertisements, want none", r)
			}
			got := n.answers(begin)
			if len(got) == 0 {
				t.Error("nobody answers for the virtual address")
			}
			for _, p := range got {
				if p.SrcMAC.String() != mac.String() {
					t.Errorf("%s from %s, which is not the Active router's", p.String(), p.SrcMAC)
				}
			}
			if v6 {
				checkSolicitedNode(t, n)
			}
			// A packet for the virtual address that is sent to b's own hardware address is not accepted.
			macB, err := n.b.HardwareAddr("eth0")
			must(t, err)
			if _, code := command(t, n.c, []string{"ip", "neigh", "replace", n.vip.String(), "lladdr", macB.String(), "dev", "eth0"}); code != 0 {
				t.Fatal("cannot set a neighbor entry")
			}
			probe, err := n.c.Probe(n.vip)
			must(t, err)
			time.Sleep(time.Second)
			if by := probe.Answers(begin, time.Now()); by["b"] > 0 {
				t.Errorf("the Backup answered %d probes", by["b"])
			}
		})
	}
}

// listenRouterAdvertisements returns a function that counts the router advertisements a node has received since.
func listenRouterAdvertisements(t *testing.T, n *lab.Node) func() int {
	t.Helper()
	fd := -1
	must(t, n.Do(func() (err error) {
		fd, err = unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMPV6)
		return err
	}))
	t.Cleanup(func() { unix.Close(fd) })
	return func() (count int) {
		const routerAdvertisement = 134
		b := make([]byte, 2048)
		heard := false
		for {
			n, _, err := unix.Recvfrom(fd, b, 0)
			if err != nil {
				break
			}
			heard = true
			if n > 0 && b[0] == routerAdvertisement {
				count++
			}
		}
		if !heard {
			t.Log("no ICMPv6 at all was heard")
		}
		return count
	}
}

// checkSolicitedNode asserts that only the Active router is in the solicited-node group of the virtual address.
func checkSolicitedNode(t *testing.T, n *lan) {
	t.Helper()
	group := "ff02::1:ff00:10"
	for node, want := range map[*lab.Node]bool{n.a: true, n.b: false} {
		out, _ := command(t, node, []string{"ip", "-6", "maddr", "show", "dev", "eth0"})
		if strings.Contains(out, group) != want {
			t.Errorf("%s in %s: %t, want %t", node, group, !want, want)
		}
	}
}

// TestActiveAnswers: the Active router answers for the virtual address once and with one hardware address, its packets
// are accepted (Accept_Mode is on by default here), and a Backup's virtual MAC attracts nothing.
func TestActiveAnswers_V3_HOST_04_V3_HOST_06_V3_HOST_07_V3_HOST_09(t *testing.T) {
	t.Parallel()
	for _, v6 := range []bool{false, true} {
		t.Run(map[bool]string{false: "IPv4", true: "IPv6"}[v6], func(t *testing.T) {
			t.Parallel()
			n := newLAN(t, v6)
			must(t, n.a.Sysctl("ipv6/conf/eth0/forwarding", "1"))
			a := startAgent(t, n.lab, n.a, n.instance(prioA, 3, "0.3"))
			a.waitState("MASTER", 5*time.Second)
			waitFor(t, 2*time.Second, "the address", func() bool { return holds(t, n.a, n.vip) })
			time.Sleep(slack)
			begin := time.Now()
			poke(t, n.c, n.vip)
			time.Sleep(slack)
			mac, err := n.a.HardwareAddr("eth0")
			must(t, err)
			got := n.answers(begin)
			if len(got) != 1 {
				t.Fatalf("%d answers to one question, want 1", len(got))
			}
			if got[0].SrcMAC.String() != mac.String() {
				t.Errorf("answered by %s, want %s", got[0].SrcMAC, mac)
			}
			if p := got[0]; p.Neighbor != nil && !p.Neighbor.Router {
				t.Error("the neighbor advertisement of a forwarding router has no R flag")
			}
			probe, err := n.c.Probe(n.vip)
			must(t, err)
			time.Sleep(slack)
			if by := probe.Answers(begin, time.Now()); by["a"] == 0 {
				t.Error("the Active router does not accept packets for its address")
			}
			must(t, probe.Close())
			// Nobody listens on the virtual MAC: without use_vmac a frame to it is dropped.
			vmac := "00:00:5e:00:01:33"
			if v6 {
				vmac = "00:00:5e:00:02:33"
			}
			if _, code := command(t, n.c, []string{"ip", "neigh", "replace", n.vip.String(), "lladdr", vmac, "dev", "eth0"}); code != 0 {
				t.Fatal("cannot set a neighbor entry")
			}
			stray := time.Now()
			probe, err = n.c.Probe(n.vip)
			must(t, err)
			time.Sleep(slack)
			if by := probe.Answers(stray, time.Now()); len(by) > 0 {
				t.Errorf("frames to the virtual MAC were accepted: %v", by)
			}
		})
	}
}

// TestGroupIsNotForwarded: advertisements never cross a router, also one that forwards multicast to nobody.
func TestGroupIsNotForwarded_V3_HOST_12(t *testing.T) {
	t.Parallel()
	n := newLAN(t, false)
	far, err := n.lab.Node("far")
	must(t, err)
	must(t, n.lab.Connect(n.a, "eth1", far, "eth0"))
	must(t, n.a.AddAddress("eth1", "203.0.113.1/24"))
	must(t, far.AddAddress("eth0", "203.0.113.2/24"))
	must(t, n.a.Sysctl("ipv4/ip_forward", "1"))
	capture, err := far.Capture("eth0")
	must(t, err)
	a := startAgent(t, n.lab, n.a, n.instance(prioA, 3, "0.2"))
	b := startAgent(t, n.lab, n.b, n.instance(prioB, 3, "0.2"))
	a.waitState("MASTER", 5*time.Second)
	b.waitState("BACKUP", 5*time.Second)
	inject(t, n.c, 255, advert(t, 3, 51, 1))
	time.Sleep(time.Second)
	for _, p := range capture.Packets() {
		if p.VRRP != nil {
			t.Errorf("crossed the router: %s", p.String())
		}
	}
}

// TestGratuitousSchedule: one gratuitous ARP per address and repeat at once, the second batch after garp_master_delay,
// then refreshes (V3-ND-06); nothing of it before both the role and the address are there (V3-ND-07).
func TestGratuitousSchedule_V3_ND_06_V3_ND_07(t *testing.T) {
	t.Parallel()
	n := newLAN(t, false)
	conf := lines("global_defs {", "    vrrp_garp_master_delay 1", "    vrrp_garp_master_repeat 3",
		"    vrrp_garp_master_refresh 2", "    vrrp_garp_master_refresh_repeat 2", "}") + n.instance(prioA, 3, "0.2")
	a := startAgent(t, n.lab, n.a, conf)
	a.waitState("MASTER", 5*time.Second)
	time.Sleep(4*time.Second + 2*slack)
	var at []time.Time
	for _, p := range n.capture.Packets() {
		if p.ARP != nil && p.ARP.Gratuitous() && p.ARP.Sender == n.vip {
			if p.ARP.Reply || p.SrcMAC.String() == "00:00:00:00:00:00" {
				t.Errorf("%s: want a request (V3-ND-02)", p.String())
			}
			at = append(at, p.At)
		}
	}
	if len(at) < 8 {
		t.Fatalf("%d gratuitous ARPs in 4 s, want 3 at once, 3 after 1 s, then 2 every 2 s", len(at))
	}
	adverts := n.adverts("192.0.2.1", time.Time{})
	if at[0].Before(adverts[0].At) {
		t.Error("a gratuitous ARP before the role")
	}
	for i, want := range []time.Duration{0, 0, 0, time.Second, time.Second, time.Second, 2 * time.Second, 2 * time.Second} {
		if d := at[i].Sub(at[0]); d < want-10*time.Millisecond || d > want+slack {
			t.Errorf("gratuitous ARP %d after %v, want %v", i+1, d, want)
		}
	}
}

// TestClockSteps: a step of the wall clock is nothing to the timers, which are monotonic. The clock of a namespace
// cannot be stepped alone, so the proof is in what the agent uses: no timer of its sockets or descriptors is on
// CLOCK_REALTIME.
func TestClockSteps_V3_FSM_24(t *testing.T) {
	t.Parallel()
	n := newLAN(t, false)
	a := startAgent(t, n.lab, n.a, n.instance(prioA, 3, "0.2"))
	a.waitState("MASTER", 5*time.Second)
	out, _ := command(t, n.a, []string{"sh", "-c", "cat /proc/$0/fdinfo/*", strconvPID(a)})
	if !strings.Contains(out, "clockid: ") {
		t.Fatalf("no timer descriptor found in:\n%s", out)
	}
	for l := range strings.Lines(out) {
		if id, ok := strings.CutPrefix(strings.TrimSpace(l), "clockid: "); ok && id != "1" {
			t.Errorf("a timer on clock %s, want 1 (CLOCK_MONOTONIC; %d is CLOCK_REALTIME)", id, unix.CLOCK_REALTIME)
		}
	}
}

// TestForeignAdvertisement: an unsolicited neighbor advertisement of another host moves this host's cache entry, in
// Backup as in Active: nothing that the agent sets keeps the kernel from it.
func TestForeignAdvertisement_V3_ND_09(t *testing.T) {
	t.Parallel()
	n := newLAN(t, true)
	a := startAgent(t, n.lab, n.a, n.instance(prioA, 3, "0.3"))
	a.waitState("MASTER", 5*time.Second)
	b := startAgent(t, n.lab, n.b, n.instance(prioB, 3, "0.3"))
	b.waitState("BACKUP", 5*time.Second)
	target := netip.MustParseAddr("2001:db8:2::3")
	entry := func(node *lab.Node) string {
		out, _ := command(t, node, []string{"ip", "-6", "neigh", "show", target.String(), "dev", "eth0"})
		return out
	}
	for _, node := range []*lab.Node{n.a, n.b} {
		poke(t, node, target)
		waitFor(t, 3*time.Second, "an entry for the client", func() bool { return strings.Contains(entry(node), "lladdr 02:") })
	}
	const moved = "02:00:5e:10:20:30"
	mac, err := net.ParseMAC(moved)
	must(t, err)
	na := append([]byte{136, 0, 0, 0, 0x20, 0, 0, 0}, target.AsSlice()...) // Override
	na = append(append(na, 2, 1), mac...)
	must(t, n.c.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMPV6)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		eth0, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, 255); err != nil {
			return err
		}
		all := netip.MustParseAddr("ff02::1").As16()
		return unix.Sendto(fd, na, 0, &unix.SockaddrInet6{Addr: all, ZoneId: uint32(eth0.Index)})
	}))
	for _, node := range []*lab.Node{n.a, n.b} {
		waitFor(t, 2*time.Second, node.Name()+" to believe the advertisement", func() bool { return strings.Contains(entry(node), moved) })
	}
}
