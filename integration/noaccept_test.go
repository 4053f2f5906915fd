package integration

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"failoverd/integration/lab"
)

// connects tries TCP from the client to a port where nobody listens, and returns what came of it: refused means that the
// packets are accepted, silence that they are dropped.
func (n *lan) connects(to netip.Addr) (refused, silent bool) {
	n.t.Helper()
	must(n.t, n.c.Do(func() error {
		zone := ""
		if to.Is6() && to.IsLinkLocalUnicast() {
			zone = "eth0"
		}
		c, err := net.DialTimeout("tcp", netip.AddrPortFrom(to.WithZone(zone), 4711).String(), 400*time.Millisecond)
		if err == nil {
			c.Close()
		}
		var timeout net.Error
		refused, silent = errors.Is(err, syscall.ECONNREFUSED), errors.As(err, &timeout) && timeout.Timeout()
		return nil
	}))
	return refused, silent
}

// closed asserts that nobody accepts packets for an address that the client nevertheless resolves.
func (n *lan) closed(when string, to netip.Addr) {
	n.t.Helper()
	one := *n
	one.vip = to
	if out, code := command(n.t, n.c, []string{"ip", "neigh", "flush", "to", to.String(), "dev", "eth0"}); code != 0 {
		n.t.Fatal(out)
	}
	if one.pingsBy("eth0") {
		n.t.Errorf("%s: %s answers to ping", when, to)
	}
	if refused, silent := n.connects(to); refused || !silent {
		n.t.Errorf("%s: TCP to %s is not dropped", when, to)
	}
	if !strings.Contains(one.neighbour(), ":") {
		n.t.Errorf("%s: the client cannot resolve %s: %q", when, to, one.neighbour())
	}
}

// open asserts that packets for an address are accepted.
func (n *lan) open(when string, to netip.Addr) {
	n.t.Helper()
	one := *n
	one.vip = to
	if !one.pingsBy("eth0") {
		n.t.Errorf("%s: %s does not answer to ping", when, to)
	}
	if refused, _ := n.connects(to); !refused {
		n.t.Errorf("%s: TCP to %s is not accepted", when, to)
	}
}

// someTable is a packet filter of somebody else, which hooks in at the same place.
const someTable = "table inet other {\n chain input {\n type filter hook input priority -1; policy accept;\n icmp type echo-reply drop\n }\n}\n"

// TestNoAccept: the Active router answers for its address and accepts nothing that is sent there, but forwards; its other
// addresses, and those that it owns, are as they were. A reload takes the filter away and puts it back without touching
// the role. Tables of others stay, and in the end ours is gone.
func TestNoAccept_V3_HOST_08(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		v6    bool
		extra []string
	}{
		{"IPv4", false, nil},
		{"IPv4 use_vmac", false, []string{"use_vmac"}},
		{"IPv6", true, nil},
		{"IPv6 use_vmac", true, []string{"use_vmac"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			need(t, "nft")
			f := newForwarding(t, c.v6)
			f.lan.t = t
			if out, code := command(t, f.a, []string{"nft", someTable}); code != 0 {
				t.Fatal(out)
			}
			before, _ := command(t, f.a, []string{"nft", "list", "ruleset"})
			own := netip.MustParseAddr(map[bool]string{false: "192.0.2.1", true: "2001:db8:2::1"}[c.v6])
			owner := strings.NewReplacer("instance V", "instance OWNER", "id 51", "id 52", "192.0.2.10/32", "192.0.2.1/24",
				"fe80::10/64", "fe80::a/64", "2001:db8:2::10/64", "2001:db8:2::1/64")
			conf := func(words ...string) string {
				return f.instance(prioA, 3, "0.3", append(words, c.extra...)...) + owner.Replace(f.instance(255, 3, "0.3", "no_accept"))
			}
			a := startAgent(t, f.lab, f.a, conf("no_accept"))
			waitFor(t, 5*time.Second, "the address", func() bool { return masters(a) == 2 && holds(t, f.a, f.vip) })
			all := []netip.Addr{f.vip}
			if c.v6 {
				all = append(all, netip.MustParseAddr("fe80::10"))
			}
			for _, vip := range all {
				f.closed("at start", vip)
			}
			f.open("its own address, with priority 255", own)
			if by := f.forwards(); len(by) != 1 {
				t.Errorf("packets forwarded by %v", by)
			}
			gained := moves(a)
			begin := time.Now()
			for _, step := range []struct {
				when string
				conf string
				open bool
			}{{"without no_accept", conf(), true}, {"with no_accept again", conf("no_accept"), false}} {
				if out, code := a.rewrite(step.conf); code != 0 {
					t.Fatalf("reload: %s", out)
				}
				// The configuration is in force; the kernel follows.
				waitFor(t, 2*time.Second, "the kernel to follow", func() bool { return f.pings() == step.open })
				for _, vip := range all {
					if step.open {
						f.open(step.when, vip)
					} else {
						f.closed(step.when, vip)
					}
				}
			}
			if moves(a) != gained {
				t.Error("a reload of no_accept moved a role")
			}
			for _, p := range f.adverts(f.source("a"), begin) {
				if p.VRRP.Priority == 0 {
					t.Error("a reload of no_accept released a role")
				}
			}
			must(t, a.proc.Signal(syscall.SIGTERM))
			_, err := a.proc.Wait(5 * time.Second)
			must(t, err)
			if after, _ := command(t, f.a, []string{"nft", "list", "ruleset"}); after != before {
				t.Errorf("packet filters afterwards:\n%s\nbefore:\n%s", after, before)
			}
		})
	}
}

// TestNoAcceptFlushed: somebody reloads a firewall, which begins with a flush, again and again. Not one packet gets in.
func TestNoAcceptFlushed(t *testing.T) {
	t.Parallel()
	need(t, "nft")
	n := newLAN(t, false)
	a := startAgent(t, n.lab, n.a, n.instance(prioA, 3, "0.3", "no_accept"))
	a.waitState("MASTER", 5*time.Second)
	waitFor(t, 2*time.Second, "the address", func() bool { return holds(t, n.a, n.vip) })
	n.closed("before", n.vip)
	probe, err := n.c.Probe(n.vip)
	must(t, err)
	begin := time.Now()
	path, err := n.lab.WriteFile("firewall.nft", "flush ruleset\n"+someTable+"\n")
	must(t, err)
	for range 20 {
		if out, code := command(t, n.a, []string{"nft", "-f", path}); code != 0 {
			t.Fatal(out)
		}
		for _, words := range []string{"delete table inet failoverd", "flush table inet failoverd"} {
			if out, code := command(t, n.a, append([]string{"nft"}, strings.Fields(words)...)); code == 0 {
				t.Errorf("somebody else could %s: %s", words, out)
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	time.Sleep(slack)
	if by := probe.Answers(begin, time.Now()); len(by) > 0 || probe.Sent() < 100 {
		t.Errorf("of %d probes, answered: %v", probe.Sent(), by)
	}
	n.closed("after", n.vip)
	if r := a.router(); r.State != "MASTER" || r.Counters.BecameMaster != 1 {
		t.Errorf("the role was disturbed: %+v", r)
	}
	if out, _ := command(t, n.a, []string{"nft", "list", "table", "inet", "other"}); !strings.Contains(out, "echo-reply drop") {
		t.Errorf("the table of somebody else: %s", out)
	}
}

// occupy makes a process own the table of our name, so that nobody else can have it.
func (n *lan) occupy(node *lab.Node) *lab.Process {
	n.t.Helper()
	p, err := node.Start(lab.Command{Name: "nft", Argv: []string{"sh", "-c", `(echo "add table inet failoverd { flags owner; }"; exec sleep 60) | nft -i`}})
	must(n.t, err)
	waitFor(n.t, 5*time.Second, "the table to be taken", func() bool {
		out, _ := command(n.t, node, []string{"nft", "list", "tables"})
		return strings.Contains(out, "failoverd")
	})
	return p
}

// TestNoAcceptImpossible: where the packet filter cannot be had, the router does not run without: it is in FAULT, says why,
// and another one serves - at start as after a reload. It recovers when the filter can be had.
func TestNoAcceptImpossible(t *testing.T) {
	t.Parallel()
	need(t, "nft")
	n := newLAN(t, false)
	holder := n.occupy(n.a)
	text := n.instance(prioA, 3, "0.3", "no_accept")
	a := startAgent(t, n.lab, n.a, text)
	b := startAgent(t, n.lab, n.b, n.instance(prioB, 3, "0.3", "no_accept"))
	b.waitState("MASTER", 5*time.Second)
	why := func() {
		t.Helper()
		a.waitState("FAULT", 3*time.Second)
		if r := a.router(); !strings.Contains(r.Waiting, "no_accept") || !strings.Contains(r.Waiting, "belongs to another process") {
			t.Errorf("the reason is %q", r.Waiting)
		}
		if out, _ := a.cli("status"); !strings.Contains(out, "no_accept") {
			t.Errorf("status does not say so:\n%s", out)
		}
	}
	why()
	time.Sleep(2 * time.Second)
	why()
	if ads := n.adverts("192.0.2.1", time.Time{}); len(ads) > 0 || holds(t, n.a, n.vip) {
		t.Errorf("%d advertisements of a router that cannot protect its addresses", len(ads))
	}
	n.closed("b", n.vip)
	must(t, holder.Kill())
	a.waitState("MASTER", 5*time.Second)
	waitFor(t, 2*time.Second, "the address", func() bool { return holds(t, n.a, n.vip) && !holds(t, n.b, n.vip) })
	n.closed("a", n.vip)

	// The same after a reload: it ran without, and is not to any more.
	if out, code := a.rewrite(n.instance(prioA, 3, "0.3")); code != 0 {
		t.Fatal(out)
	}
	waitFor(t, 3*time.Second, "the filter to be gone", n.pings)
	holder = n.occupy(n.a)
	begin := time.Now()
	if out, code := a.rewrite(text); code != 0 {
		t.Fatal(out)
	}
	b.waitState("MASTER", 3*time.Second)
	t.Logf("b serves %v after the reload", time.Since(begin))
	why()
	if holds(t, n.a, n.vip) {
		t.Error("the address is still there")
	}
	must(t, holder.Kill())
	a.waitState("MASTER", 5*time.Second)
}

// TestNoAcceptWithKeepalived: a pair of one program each; the client does not see who serves.
func TestNoAcceptWithKeepalived(t *testing.T) {
	t.Parallel()
	need(t, "keepalived", "nft")
	f := newForwarding(t, false)
	text := func(priority int) string {
		return lines("global_defs {", "    nftables keepalived", "}") + f.instance(priority, 3, "0.3", "no_accept")
	}
	a := keepalived{}.start(f.lan, f.a, text(prioA))
	waitFor(t, 8*time.Second, "a to serve", func() bool { return holds(t, f.a, f.vip) })
	b := startAgent(t, f.lab, f.b, text(prioB))
	b.waitState("BACKUP", 3*time.Second)
	f.closed("keepalived", f.vip)
	theirs := f.forwards()
	must(t, a.Signal(syscall.SIGTERM))
	b.waitState("MASTER", 3*time.Second)
	waitFor(t, 3*time.Second, "b to serve", func() bool { return holds(t, f.b, f.vip) })
	f.closed("failoverd", f.vip)
	time.Sleep(slack)
	if ours := f.forwards(); len(theirs) != 1 || len(ours) != 1 {
		t.Errorf("forwarded by %v, then %v", theirs, ours)
	}
}
