package integration

import (
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"failoverd/failover"
	"failoverd/integration/lab"
)

// unbroken asserts that a client has got an answer to each of its probes from begin until now, and that it is the node
// named that answers in the end.
func unbroken(t *testing.T, probe *lab.Probe, begin time.Time, what, by string) {
	t.Helper()
	time.Sleep(400 * time.Millisecond) // what is on its way counts only then
	end := time.Now()
	for _, o := range probe.Outages(begin, end) {
		t.Errorf("%s: an outage of %v", what, o)
	}
	answers := probe.Answers(begin, end)
	if last := probe.Answers(end.Add(-400*time.Millisecond), end); len(last) != 1 || last[by] == 0 {
		t.Errorf("%s: at the end, the answers come from %v; want them from %s", what, last, by)
	}
	t.Logf("%s: %d probes, none lost, answers %v", what, probe.Sent(), answers)
}

// takesOver waits until a is, and b is not, MASTER - or the other way around - and the one that is not has let its address go.
func takesOver(t *testing.T, to, from *agent, vip netip.Addr) {
	t.Helper()
	to.waitState("MASTER", 8*time.Second)
	waitFor(t, 3*time.Second, from.node.Name()+" to let the address go", func() bool { return !holds(t, from.node, vip) })
}

// ask runs a command that must succeed.
func (a *agent) ask(args ...string) string {
	a.t.Helper()
	out, code := a.cli(args...)
	if code != 0 {
		a.t.Errorf("failoverd %s: exit code %d: %s", strings.Join(args, " "), code, out)
	}
	return out
}

// TestNothingIsLostInOrder: with advertisements a second apart, a backup waits for up to a second after a priority-0
// advertisement. The router that leaves serves until then, so that an orderly stop, a drain and its end, and a
// switchover cost no packet. With use_vmac alone it may cost one: an advertisement from the virtual MAC address moves the
// switch's table a millisecond before the addresses are in, which vmac_xmit_base avoids.
func TestNothingIsLostInOrder(t *testing.T) {
	t.Parallel()
	for _, kind := range []struct {
		name  string
		extra []string
	}{{"plain", nil}, {"vmac", []string{"use_vmac", "vmac_xmit_base"}}, {"version 2", nil}} {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			version := 3
			if kind.name == "version 2" {
				version = 2
			}
			n := newLAN(t, false)
			confA := n.instance(prioA, version, "1", kind.extra...)
			a := startAgent(t, n.lab, n.a, confA)
			a.waitState("MASTER", 8*time.Second)
			b := startAgent(t, n.lab, n.b, n.instance(prioB, version, "1", kind.extra...))
			b.waitState("BACKUP", 3*time.Second)
			time.Sleep(time.Second)
			probe, err := n.c.Probe(n.vip)
			must(t, err)
			_, _, err = probe.WaitForAnswer(time.Now(), 3*time.Second)
			must(t, err)

			begin := time.Now()
			a.ask("drain", "--reason", "new kernel", "--for", "2h")
			takesOver(t, b, a, n.vip)
			unbroken(t, probe, begin, "drain", "b")
			if out := a.ask("status"); !strings.Contains(out, "drained by root") || !strings.Contains(out, "new kernel") {
				t.Errorf("status says\n%s", out)
			}
			if out := a.ask("status", "V"); !strings.Contains(out, "drained     by root") {
				t.Errorf("status V says\n%s", out)
			}

			begin = time.Now()
			a.ask("undrain", "V")
			takesOver(t, a, b, n.vip)
			unbroken(t, probe, begin, "undrain", "a")

			begin = time.Now()
			if out := a.ask("switchover"); !strings.Contains(out, "192.0.2.2 has taken the role") {
				t.Errorf("switchover says %q", out)
			}
			takesOver(t, b, a, n.vip)
			unbroken(t, probe, begin, "switchover", "b")
			time.Sleep(time.Second)
			if r := a.router(); r.State != "BACKUP" || r.Drained == nil || r.Drained.Reason != "switchover" {
				t.Errorf("after the switchover: %s, drained %+v", r.State, r.Drained)
			}
			a.ask("undrain")
			takesOver(t, a, b, n.vip)

			begin = time.Now()
			must(t, a.proc.Signal(syscall.SIGTERM))
			st, err := a.proc.Wait(6 * time.Second)
			must(t, err)
			if st.ExitCode() != 0 {
				t.Errorf("exit code %d", st.ExitCode())
			}
			takesOver(t, b, a, n.vip)
			unbroken(t, probe, begin, "stop", "b")
		})
	}
}

// TestSwitchoverWithoutSuccessor: who is alone keeps its role, and loses nothing by trying.
func TestSwitchoverWithoutSuccessor(t *testing.T) {
	t.Parallel()
	n := newLAN(t, false)
	a := startAgent(t, n.lab, n.a, n.instance(prioA, 3, "1"))
	a.waitState("MASTER", 8*time.Second)
	probe, err := n.c.Probe(n.vip)
	must(t, err)
	_, _, err = probe.WaitForAnswer(time.Now(), 3*time.Second)
	must(t, err)
	begin := time.Now()
	out, code := a.cli("switchover", "--reason", "try")
	if code != 2 || !strings.Contains(out, "no other router took the role within 1.2s") {
		t.Errorf("exit code %d: %s", code, out)
	}
	a.waitState("MASTER", time.Second)
	unbroken(t, probe, begin, "switchover", "a")
	if r := a.router(); r.Drained != nil {
		t.Errorf("it is drained: %+v", r.Drained)
	}
	if out, code := a.cli("switchover", "X"); code != 1 || !strings.Contains(out, "there are: V") {
		t.Errorf("switchover of another router: exit code %d: %s", code, out)
	}
	if out, code := a.cli("drain", "--for", "-1s"); code != 64 || !strings.Contains(out, "want a duration") {
		t.Errorf("drain for a negative time: exit code %d: %s", code, out)
	}
}

// TestDrainOutlivesTheAgent: a drained router does not become MASTER after a restart, although nobody else is there.
func TestDrainOutlivesTheAgent(t *testing.T) {
	t.Parallel()
	n := newLAN(t, false)
	conf := n.instance(prioA, 3, "0.2")
	a := startAgent(t, n.lab, n.a, conf)
	a.waitState("MASTER", 5*time.Second)
	a.ask("drain", "V", "--reason", "broken fan")
	waitFor(t, 3*time.Second, "the address to go", func() bool { return !holds(t, n.a, n.vip) })
	must(t, a.proc.Kill())
	a = startAgent(t, n.lab, n.a, conf)
	a.waitState("BACKUP", 3*time.Second)
	time.Sleep(3 * time.Second)
	r := a.router()
	if r.State != "BACKUP" || r.Counters.BecameMaster != 0 || r.Drained == nil || r.Drained.Reason != "broken fan" || r.Drained.By != "root" {
		t.Errorf("after the restart: %s, %d times MASTER, drained %+v", r.State, r.Counters.BecameMaster, r.Drained)
	}
	a.ask("undrain")
	a.waitState("MASTER", 3*time.Second)
}

// lastResort finds an UPDATE from src for the service with the community of RFC 8326.
func lastResort(c *lab.Capture, src string, since time.Time) (time.Time, bool) {
	for _, m := range c.BGP() {
		if m.Src == netip.MustParseAddr(src) && len(m.Announced) > 0 && len(m.Communities) == 1 && m.Communities[0] == 0xFFFF0000 && !m.At.Before(since) {
			return m.At, true
		}
	}
	return time.Time{}, false
}

// speakerLag is how much later than the speaker's acknowledgement an UPDATE leaves, at most, on a busy machine.
const speakerLag = 50 * time.Millisecond

// TestDrainBehindAnUpstream: the drained router announces its route as the last resort and goes on forwarding; only when
// its successor has announced the route is it withdrawn, and only when the upstream has had withdraw_grace to follow does
// the address go. A client behind the upstream loses nothing.
func TestDrainBehindAnUpstream(t *testing.T) {
	t.Parallel()
	e := newEdge(t, "")
	vip := netip.MustParseAddr("198.51.100.10")
	conf := func(host string, priority int) string {
		return e.speaker(host, "") + lines("vrrp_instance V {", "    interface eth0", "    virtual_router_id 51", "    version 3",
			fmt.Sprintf("    priority %d", priority), "    advert_int 1", "    virtual_ipaddress {", "        198.51.100.10/32 dev lo", "    }",
			"    bgp_announce {", "        "+service+" speaker EDGE", "    }", "}")
	}
	a := startAgent(t, e.lab, e.a, conf("a", prioA))
	a.waitState("MASTER", 8*time.Second)
	a.waitSession(15 * time.Second)
	e.waitRoute("192.0.2.1", true, 5*time.Second)
	b := startAgent(t, e.lab, e.b, conf("b", prioB))
	b.waitSession(15 * time.Second)
	probe, err := e.c.Probe(vip)
	must(t, err)
	_, _, err = probe.WaitForAnswer(time.Now(), 3*time.Second)
	must(t, err)
	w := watchOf(t, e.a)

	begin := time.Now()
	a.ask("drain")
	takesOver(t, b, a, vip)
	unbroken(t, probe, begin, "drain", "b")
	wire := e.capture
	zero := first(t, wire, begin, "vrrp 192.0.2.1 >", "priority 0")
	announced := first(t, wire, begin, "192.0.2.2 ", "announce")
	withdrawn := first(t, wire, begin, "192.0.2.1 ", "withdraw")
	resort, ok := lastResort(wire, "192.0.2.1", begin)
	if !ok {
		t.Fatalf("no UPDATE with graceful-shutdown:\n%s", lab.Describe(wire.Sightings(), begin))
	}
	removed := first(t, w, begin, "address removed 198.51.100.10/32")
	inOrder(t, zero, resort, 0)
	inOrder(t, resort, announced, 0)
	inOrder(t, announced, withdrawn, 0)
	// The grace counts from when the speaker's table has changed, and the UPDATE leaves a moment later.
	inOrder(t, withdrawn.Add(failover.DefaultWithdrawGrace), removed, speakerLag)
	t.Logf("priority 0, last resort +%v, successor's UPDATE +%v, withdrawal +%v, address removed %v after that",
		resort.Sub(zero), announced.Sub(zero), withdrawn.Sub(zero), removed.Sub(withdrawn))

	begin = time.Now()
	a.ask("undrain")
	takesOver(t, a, b, vip)
	unbroken(t, probe, begin, "undrain", "a")

	begin = time.Now()
	must(t, a.proc.Signal(syscall.SIGTERM))
	_, err = a.proc.Wait(6 * time.Second)
	must(t, err)
	takesOver(t, b, a, vip)
	unbroken(t, probe, begin, "stop", "b")
}

// TestRemovalSettles: a router that a reload removes keeps its address, and the macvlan interface that it is on, until the
// upstream has had withdraw_grace to follow the withdrawal. What the new file has in its place is there at once.
func TestRemovalSettles(t *testing.T) {
	t.Parallel()
	e := newEdge(t, "")
	text := e.speaker("a", "") + e.instance(prioA, 3, "0.2", append(announce(service+" speaker EDGE"), "use_vmac")...)
	a := startAgent(t, e.lab, e.a, text)
	a.waitState("MASTER", 8*time.Second)
	a.waitSession(15 * time.Second)
	e.waitRoute("192.0.2.1", true, 5*time.Second)
	w := watchOf(t, e.a)
	begin := time.Now()
	next := e.speaker("a", "") + strings.NewReplacer("virtual_router_id 51", "virtual_router_id 52", "192.0.2.10/32", "192.0.2.11/32").
		Replace(e.instance(prioA, 3, "0.2", "use_vmac"))
	if out, code := a.rewrite(next); code != 0 {
		t.Fatalf("reload: exit %d: %s", code, out)
	}
	first(t, w, begin, "link up vrrp.52")
	withdrawn := first(t, e.capture, begin, "192.0.2.1 ", "withdraw")
	removed := first(t, w, begin, "address removed 192.0.2.10/32 dev vrrp.51")
	inOrder(t, withdrawn.Add(failover.DefaultWithdrawGrace), removed, speakerLag)
	t.Logf("the address is removed %v after the withdrawal", removed.Sub(withdrawn))
	waitFor(t, 2*time.Second, "the interface to be gone", func() bool { _, err := e.a.HardwareAddr("vrrp.51"); return err != nil })
	waitFor(t, 5*time.Second, "the other address", func() bool { return holds(t, e.a, netip.MustParseAddr("192.0.2.11")) })
}
