package integration

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"failoverd/failover"
	"failoverd/integration/lab"
)

// eui64 is the interface identifier that the kernel makes of a virtual MAC by itself (RFC 4291 appendix A), of VRID 51.
const eui64 = "::200:5eff:fe00:233"

// vmacPair is a pair of routers with use_vmac, a leading.
type vmacPair struct {
	*lan
	mac    string // of the virtual router
	device string
	ra, rb *agent
	spoken *lab.Process // what b says with the virtual MAC
	global bool         // advertisements are unicast between global IPv6 addresses
}

// sourceOf returns the address that a host sends advertisements from.
func (p *vmacPair) sourceOf(host string) string {
	if p.global {
		return map[string]string{"a": "2001:db8:2::1", "b": "2001:db8:2::2"}[host]
	}
	return p.source(host)
}

func newVMACPair(t *testing.T, v6 bool, device string, mode string) *vmacPair {
	t.Helper()
	need(t, "tcpdump")
	p := &vmacPair{lan: newLAN(t, v6), mac: "00:00:5e:00:01:33", device: device}
	if v6 {
		p.mac = "00:00:5e:00:02:33"
	}
	p.spoken = p.listen(p.b, "out", "ether src "+p.mac)
	conf := func(priority int, own, peer string) string {
		extra := []string{"use_vmac", "vmac_xmit_base"}
		if device != "vrrp.51" && device != "vrrp6.51" {
			extra[0] += " " + device
		}
		switch mode {
		case "":
			extra = extra[:1]
		case "unicast":
			extra = append(extra[:1], "unicast_src_ip "+own, "unicast_peer {", "    "+peer, "}")
		}
		return p.instance(priority, 3, "0.3", extra...)
	}
	p.global = mode == "unicast" && v6
	addrs := map[bool][2]string{false: {"192.0.2.1", "192.0.2.2"}, true: {"2001:db8:2::1", "2001:db8:2::2"}}[v6]
	p.ra = startAgent(t, p.lab, p.a, conf(prioA, addrs[0], addrs[1]))
	p.ra.waitState("MASTER", 5*time.Second)
	p.rb = startAgent(t, p.lab, p.b, conf(prioB, addrs[1], addrs[0]))
	p.rb.waitState("BACKUP", 5*time.Second)
	waitFor(t, 5*time.Second, "the address at the client", p.pings)
	return p
}

// listen runs tcpdump on a node until the test ends; direction is in or out.
func (n *lan) listen(node *lab.Node, direction, filter string) *lab.Process {
	n.t.Helper()
	p, err := node.Start(lab.Command{Name: "tcpdump", Argv: []string{"tcpdump", "-l", "-e", "-nn", "-Q", direction, "-i", "eth0", filter}})
	must(n.t, err)
	waitFor(n.t, 5*time.Second, "tcpdump to listen", func() bool { return strings.Contains(string(p.Log()), "listening on") })
	return p
}

// heard returns what tcpdump has printed of packets.
func heard(p *lab.Process) []string {
	var out []string
	for l := range strings.Lines(p.Log()) {
		if strings.Contains(l, " > ") {
			out = append(out, strings.TrimSpace(l))
		}
	}
	return out
}

// TestVMAC: a pair of failoverds with a virtual MAC, in every form of use_vmac. Advertisements come from that MAC unless
// vmac_xmit_base or unicast says otherwise (V3-TX-01); over IPv6 from a link-local address that is neither virtual nor made
// of the virtual MAC (V3-TX-05). The Backup's interface is silent. When the role moves, the client's cache entry is right
// as it is: it asks nobody, and what it misses is the takeover time.
func TestVMAC_V3_TX_01_V3_TX_05(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		v6     bool
		device string
		mode   string
	}{
		{"IPv4", false, "vrrp.51", ""},
		{"IPv4 with a name", false, "gate0", ""},
		{"IPv4 vmac_xmit_base", false, "vrrp.51", "xmit_base"},
		{"IPv4 unicast", false, "vrrp.51", "unicast"},
		{"IPv6", true, "vrrp6.51", ""},
		{"IPv6 vmac_xmit_base", true, "vrrp6.51", "xmit_base"},
		{"IPv6 unicast", true, "vrrp6.51", "unicast"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newVMACPair(t, c.v6, c.device, c.mode)
			p.lan.t = t
			p.checkDevice(p.a)
			before := p.neighbour()
			if before != p.mac {
				t.Fatalf("the client knows %s as %s, want %s", p.vip, before, p.mac)
			}
			if c.mode == "unicast" {
				c, err := p.b.Capture("eth0") // the client's port does not see what is sent to one router
				must(t, err)
				p.capture = c
			}
			probe, err := p.c.Probe(p.vip)
			must(t, err)
			time.Sleep(time.Second) // what a kernel says of a new interface comes with a delay of up to that
			if said := heard(p.spoken); len(said) > 0 {
				t.Errorf("while Backup, b's interface said:\n%s", strings.Join(said, "\n"))
			}
			wb := watchOf(t, p.b)
			begin := time.Now()
			must(t, p.ra.proc.Signal(syscall.SIGTERM))
			at, _, err := probe.WaitForAnswer(begin.Add(5*time.Millisecond), 5*time.Second)
			must(t, err)
			p.rb.waitState("MASTER", 3*time.Second)
			time.Sleep(slack)
			if after := p.neighbour(); after != p.mac {
				t.Errorf("after the move the client knows %s as %s, want %s", p.vip, after, p.mac)
			}
			o := probe.Longest(begin, time.Now())
			t.Logf("outage %v, Skew_Time %v, answered again after %v", o, 106*300*time.Millisecond/256, at.Sub(begin))
			if by := probe.Answers(time.Now().Add(-slack), time.Now()); by["b"] == 0 {
				t.Errorf("answers come from %v", by)
			}
			p.checkAdverts(c.mode != "")
			p.checkOrder(wb, begin, c.mode == "")
			// Over IPv6 the packet filter of a Backup opens some milliseconds after the address is in.
			if o.Lost > 0 && !c.v6 && c.mode == "" && p.quick() {
				t.Errorf("in an orderly move, %v", o)
			}
			if len(heard(p.spoken)) == 0 {
				t.Error("nobody would have heard b speak")
			}
			p.checkEnd()
		})
	}
}

// checkDevice asserts that a node's address is on the macvlan interface, which has the virtual MAC.
func (p *vmacPair) checkDevice(n *lab.Node) {
	p.t.Helper()
	mac, err := n.HardwareAddr(p.device)
	must(p.t, err)
	list, err := n.Addresses(p.device)
	must(p.t, err)
	if mac.String() != p.mac || !strings.Contains(joinPrefixes(list), p.vip.String()) {
		p.t.Errorf("%s has MAC %s and addresses %v; want %s and %s", p.device, mac, list, p.mac, p.vip)
	}
}

// checkAdverts looks at every advertisement that was seen.
func (p *vmacPair) checkAdverts(base bool) {
	p.t.Helper()
	from := map[string]int{}
	for _, ad := range p.capture.Packets() {
		if ad.VRRP == nil {
			continue
		}
		if virtual := ad.SrcMAC.String() == p.mac; virtual == base {
			p.t.Errorf("an advertisement of %s came from %s", ad.Src, ad.SrcMAC)
			return
		}
		if strings.HasSuffix(ad.Src.String(), eui64) || ad.Src == p.vip || p.v6 && ad.Src.IsLinkLocalUnicast() == p.global {
			p.t.Errorf("an advertisement came from %s", ad.Src)
			return
		}
		from[ad.Src.String()]++
	}
	if from[p.sourceOf("a")] == 0 || from[p.sourceOf("b")] == 0 {
		p.t.Errorf("advertisements by source: %v; want both routers'", from)
	}
}

// quick reports whether b's kernel took the addresses before the first advertisement stopped waiting for them.
func (p *vmacPair) quick() bool {
	for _, f := range p.rb.router().Takeover {
		if f.Name == failover.PhaseAddress {
			return f.MS < 8
		}
	}
	return false
}

// checkOrder: advertisement, gratuitous ARP or neighbor advertisement with the virtual MAC; nothing from the client in
// between. The address comes after the advertisement, or before it if that is what the switches learn from.
func (p *vmacPair) checkOrder(wb *lab.Watch, since time.Time, learned bool) {
	t := p.t
	t.Helper()
	wire := p.capture
	ad := first(t, wire, since, "vrrp "+p.sourceOf("b")+" >", "vrid 51")
	added := first(t, wb, since, "address added "+p.vip.String()+"/", "dev "+p.device)
	said := first(t, wire, since, "announces "+p.vip.String()+" at "+p.mac)
	// The news of an address is stamped when it is read, which on a busy machine is after the fact.
	switch {
	case !learned:
		inOrder(t, ad, added, 0)
	case p.quick():
		inOrder(t, added, ad, 5*time.Millisecond)
	}
	inOrder(t, ad, said, 0)
	inOrder(t, added, said, 5*time.Millisecond)
	t.Logf("advertisement +0, address %v, gratuitous %v", added.Sub(ad), said.Sub(ad))
	for _, k := range p.capture.Packets() {
		asks := k.ARP != nil && !k.ARP.Reply && !k.ARP.Gratuitous() && k.ARP.Target == p.vip ||
			k.Neighbor != nil && !k.Neighbor.Advertisement && k.Neighbor.Target == p.vip && k.DstMAC[0] == 0x33
		if asks && !k.At.Before(since) {
			t.Errorf("the client had to ask anew: %s", k.String())
		}
		if k.ARP != nil && k.ARP.Sender == p.vip && k.SrcMAC.String() != p.mac && !k.At.Before(since) {
			t.Errorf("%s left from %s", k.String(), k.SrcMAC)
		}
	}
}

// checkEnd asserts that the one that stopped left nothing: no interface, no packet filter, settings as before.
func (p *vmacPair) checkEnd() {
	p.t.Helper()
	_, err := p.ra.proc.Wait(5 * time.Second)
	must(p.t, err)
	if _, err := p.a.HardwareAddr(p.device); err == nil {
		p.t.Errorf("%s is still there", p.device)
	}
	p.checkParent(p.a, "0", "0")
	if out, _ := command(p.t, p.a, []string{"nft", "list", "tables"}); strings.Contains(out, "failoverd") {
		p.t.Errorf("the packet filter is still there: %s", out)
	}
}

// checkParent asserts what the settings of a node's eth0 are.
func (n *lan) checkParent(node *lab.Node, ignore, announce string) {
	n.t.Helper()
	for key, want := range map[string]string{"arp_ignore": ignore, "arp_announce": announce} {
		got, err := node.ReadSysctl("ipv4/conf/eth0/" + key)
		must(n.t, err)
		if strings.TrimSpace(got) != want {
			n.t.Errorf("%s of eth0 on %s is %s, want %s", key, node, strings.TrimSpace(got), want)
		}
	}
}

// TestVMACLives: what may happen to the macvlan interface and to the one below it, and to the agent.
func TestVMACLives(t *testing.T) {
	t.Parallel()
	p := newVMACPair(t, false, "vrrp.51", "")
	p.lan.t = t
	index := func() string {
		out, _ := command(t, p.a, []string{"ip", "-o", "link", "show", "vrrp.51"})
		i, _, _ := strings.Cut(out, ":")
		return i
	}
	// Deleted by hand.
	probe, err := p.c.Probe(p.vip)
	must(t, err)
	begin := time.Now()
	must(t, p.a.DeleteLink("vrrp.51"))
	waitFor(t, 5*time.Second, "the address to be back", func() bool { return holds(t, p.a, p.vip) })
	time.Sleep(2 * slack)
	o := probe.Longest(begin, time.Now())
	t.Logf("deleted by hand: outage %v", o)
	if n := p.rb.router().Counters.BecameMaster; n != 0 || p.ra.router().State != "MASTER" {
		t.Errorf("the role moved %d times because an interface was deleted that was made again", n)
	}
	if o.Open || o.Duration() > slack {
		t.Errorf("outage %v", o)
	}
	must(t, probe.Close())
	p.checkDevice(p.a)

	// The interface below is deleted and made again.
	p.checkParent(p.a, "1", "2")
	must(t, p.a.DeleteLink("eth0"))
	p.rb.waitState("MASTER", 5*time.Second)
	p.ra.waitState("FAULT", 2*time.Second)
	_, err = p.sw.Plug(p.a, "eth0")
	must(t, err)
	must(t, p.a.AddAddress("eth0", addrA))
	p.ra.waitState("MASTER", 8*time.Second)
	waitFor(t, 3*time.Second, "a to serve again", func() bool { return holds(t, p.a, p.vip) && p.pings() })
	p.checkDevice(p.a)
	p.checkParent(p.a, "1", "2")

	// Killed and started again: the interface is the same, and nobody has forgotten what the one below it had.
	was := index()
	must(t, p.ra.proc.Kill())
	p.rb.waitState("MASTER", 5*time.Second)
	p.ra = startAgent(t, p.lab, p.a, string(fileOf(t, p.ra.conf)))
	p.ra.waitState("MASTER", 8*time.Second)
	waitFor(t, 3*time.Second, "a to serve again", func() bool { return holds(t, p.a, p.vip) && p.pings() })
	if now := index(); now != was {
		t.Errorf("the interface was made anew: index %s, before %s", now, was)
	}
	must(t, p.ra.proc.Kill())
	// A successor that has no use for it removes it.
	p.ra = startAgent(t, p.lab, p.a, p.instance(prioA, 3, "0.3"))
	waitFor(t, 3*time.Second, "the interface to be gone", func() bool { _, err := p.a.HardwareAddr("vrrp.51"); return err != nil })
	waitFor(t, time.Second, "the settings of eth0", func() bool {
		v, err := p.a.ReadSysctl("ipv4/conf/eth0/arp_announce")
		return err == nil && strings.TrimSpace(v) == "0"
	})
	p.checkParent(p.a, "0", "0")
}

func fileOf(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return b
}

// TestVMACTakeoverTime: a router crashes, with and without a virtual MAC, at the same time on two LANs. The virtual MAC
// costs the client nothing.
func TestVMACTakeoverTime(t *testing.T) {
	t.Parallel()
	const down = 900*time.Millisecond + (256-prioB)*300*time.Millisecond/256
	modes := []string{"", "use_vmac", "use_vmac\n    vmac_xmit_base"}
	var lans []*lan
	for _, mode := range modes {
		n := newLAN(t, false)
		startAgent(t, n.lab, n.a, n.instance(prioA, 3, "0.3", mode)).waitState("MASTER", 5*time.Second)
		startAgent(t, n.lab, n.b, n.instance(prioB, 3, "0.3", mode)).waitState("BACKUP", 5*time.Second)
		lans = append(lans, n)
	}
	var probes []*lab.Probe
	for _, n := range lans {
		waitFor(t, 3*time.Second, "the address at the client", n.pings)
		p, err := n.c.Probe(n.vip)
		must(t, err)
		probes = append(probes, p)
	}
	time.Sleep(slack)
	var took []time.Duration
	begin := time.Now()
	for _, n := range lans {
		must(t, n.pa.Cut())
	}
	time.Sleep(down + 2*slack)
	for i, n := range lans {
		o := probes[i].Longest(begin, time.Now())
		last := n.adverts("192.0.2.1", time.Time{})
		theory := last[len(last)-1].At.Add(down).Sub(o.From)
		if o.Open || o.After != "b" {
			t.Fatalf("%q: %v", modes[i], o)
		}
		took = append(took, o.Duration()-theory)
		t.Logf("%-10q outage %v, theory %v, more by %v", modes[i], o.Duration(), theory, o.Duration()-theory)
	}
	for i := range modes[1:] {
		if took[i+1] > took[0]+slack/3 {
			t.Errorf("%q takes %v longer than without", modes[i+1], took[i+1]-took[0])
		}
	}
}

// TestVMACModesWithKeepalived: a pair of one program each. The client keeps the virtual MAC when the role goes to keepalived
// and when it returns.
func TestVMACModesWithKeepalived(t *testing.T) {
	t.Parallel()
	need(t, "keepalived")
	for _, c := range []struct {
		name  string
		v6    bool
		extra []string
	}{
		{"IPv4 vmac_xmit_base", false, []string{"use_vmac", "vmac_xmit_base"}},
		{"IPv6", true, []string{"use_vmac"}},
		{"IPv6 vmac_xmit_base", true, []string{"use_vmac", "vmac_xmit_base"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := newLAN(t, c.v6)
			mac := map[bool]string{false: "00:00:5e:00:01:33", true: "00:00:5e:00:02:33"}[c.v6]
			a := startAgent(t, n.lab, n.a, n.instance(prioA, 3, "0.3", c.extra...))
			a.waitState("MASTER", 5*time.Second)
			keepalived{}.start(n, n.b, n.instance(prioB, 3, "0.3", c.extra...))
			waitFor(t, 5*time.Second, "the address at the client", n.pings)
			time.Sleep(1500 * time.Millisecond)
			if holds(t, n.b, n.vip) || n.neighbour() != mac {
				t.Fatalf("b has the address: %t; the client knows it as %s", holds(t, n.b, n.vip), n.neighbour())
			}
			must(t, a.proc.Signal(syscall.SIGTERM))
			waitFor(t, 5*time.Second, "keepalived to serve", func() bool { return holds(t, n.b, n.vip) && n.pings() })
			_, err := a.proc.Wait(5 * time.Second)
			must(t, err)
			a = startAgent(t, n.lab, n.a, n.instance(prioA, 3, "0.3", c.extra...))
			a.waitState("MASTER", 5*time.Second)
			waitFor(t, 5*time.Second, "a to serve alone", func() bool { return holds(t, n.a, n.vip) && !holds(t, n.b, n.vip) && n.pings() })
			if got := n.neighbour(); got != mac {
				t.Errorf("the client knows %s as %s, want %s", n.vip, got, mac)
			}
			for _, p := range n.capture.Packets() {
				if p.VRRP != nil && p.VRRP.Drop != 0 {
					t.Errorf("on the wire: %s", p.String())
				}
			}
		})
	}
}
