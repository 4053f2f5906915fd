package integration

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestUpgradeForms: an agent with macvlan interfaces, or with the packet filter of no_accept, is replaced twice, and neither the
// client nor whoever tries to reach what is refused notices. The recording goes on. Nor does it matter what is missing meanwhile: an
// interface, or the gobgpd of an operator.
func TestUpgradeForms(t *testing.T) {
	t.Parallel()
	t.Run("use_vmac", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(t.TempDir(), "recording")
		c := newCrashLab(t, lines("global_defs {", "    record "+file, "}"), "use_vmac")
		index := func() string {
			out, code := command(t, c.a, []string{"ip", "-o", "link", "show", "vrrp.51"})
			number, _, found := strings.Cut(out, ":")
			if code != 0 || !found {
				t.Fatal(out)
			}
			return number
		}
		was, start := index(), time.Now()
		replace(t, c.ma)
		replace(t, c.ma)
		time.Sleep(2 * crashSecond) // longer than the process before lives, and than an advertisement is away
		if is := index(); is != was {
			t.Errorf("vrrp.51 has index %s, had %s", is, was)
		}
		if o := c.probe.Longest(start.Add(-50*time.Millisecond), time.Now()); o.Duration() != 0 {
			t.Errorf("an outage of %v", o)
		}
		if n, _ := c.released(start); n != 0 || c.mb.router().Counters.BecameMaster != 0 {
			t.Errorf("%d advertisements of priority 0, b has become MASTER %d times", n, c.mb.router().Counters.BecameMaster)
		}
		if s := c.ma.status().Agent.Recording; s == nil || s.Ended != "" || s.File != file {
			t.Errorf("the recording: %+v", s)
		}
		must(t, c.ma.proc.Signal(syscall.SIGTERM))
		waitFor(t, 10*time.Second, "the end of the recording", func() bool {
			out, code := local(t, binary, "replay", file)
			return code == 0 && strings.Contains(out, "the agent has ended")
		})
		for _, f := range []string{file, file + ".1"} {
			if out, code := local(t, binary, "replay", f); code != 0 || !strings.Contains(out, "all the same") || !strings.Contains(out, "upgrade") {
				t.Errorf("replay %s: exit status %d:\n%s", filepath.Base(f), code, out)
			}
		}
		if exists(file + ".next") {
			t.Error("a staged recording is left")
		}
	})
	t.Run("no_accept", func(t *testing.T) {
		t.Parallel()
		need(t, "nft")
		l := newLAN(t, false)
		a := startAgent(t, l.lab, l.a, l.instance(prioA, 3, "0.3", "no_accept"))
		a.waitState("MASTER", 5*time.Second)
		waitFor(t, 5*time.Second, "the address", func() bool { return holds(t, l.a, l.vip) })
		own, err := l.c.Probe(netip.MustParseAddr("192.0.2.1"))
		must(t, err)
		_, _, err = own.WaitForAnswer(time.Now(), 5*time.Second)
		must(t, err)
		l.closed("before", l.vip)
		start := time.Now()
		probe, err := l.c.Probe(l.vip)
		must(t, err)
		replace(t, a)
		replace(t, a)
		l.closed("after", l.vip)
		if n := probe.Answers(start, time.Now()); len(n) != 0 {
			t.Errorf("the address has answered: %v", n)
		}
		if out, _ := command(t, l.a, []string{"nft", "list", "tables"}); strings.Count(out, "failoverd") != 1 {
			t.Errorf("tables:\n%s", out)
		}
	})
	t.Run("missing interfaces", func(t *testing.T) {
		t.Parallel()
		l := newLAN(t, false)
		told := filepath.Join(l.lab.Dir(), "told")
		script := filepath.Join(l.lab.Dir(), "tell.sh")
		must(t, os.WriteFile(script, []byte("#!/bin/sh\necho $2 $3 >>"+told+"\n"), 0o755))
		other := func(name, iface string, vrid int, address ...string) string {
			return lines("vrrp_instance "+name+" {", "    state BACKUP", "    interface "+iface, fmt.Sprintf("    virtual_router_id %d", vrid), "    version 3",
				"    priority 100", "    advert_int 0.3", "    notify "+script, "    virtual_ipaddress {", "        "+strings.Join(address, " "), "    }", "}")
		}
		a := startAgent(t, l.lab, l.a, l.instance(prioA, 3, "0.3")+
			other("LATER", "later0", 52, "192.0.2.20/32")+other("ELSEWHERE", "eth0", 53, "198.51.100.10/32", "dev", "later1"))
		a.waitState("MASTER", 5*time.Second)
		states := func() string {
			s := a.status()
			if s == nil {
				return ""
			}
			words := make([]string, len(s.Routers))
			for i := range s.Routers {
				words[i] = s.Routers[i].State
			}
			return strings.Join(words, " ")
		}
		waitFor(t, 5*time.Second, "the interfaces to count as missing", func() bool { return states() == "MASTER FAULT FAULT" })
		for range 2 {
			begun := time.Now()
			replaceAny(t, a)
			if took := time.Since(begun); took > 10*time.Second {
				t.Errorf("an upgrade has taken %v", took)
			}
			waitFor(t, 5*time.Second, "the states to be as before", func() bool { return states() == "MASTER FAULT FAULT" })
		}
		for _, name := range []string{"later0", "later1"} {
			if out, code := command(t, l.a, []string{"ip", "link", "add", name, "type", "veth", "peer", "name", name + "p"}); code != 0 {
				t.Fatal(out)
			}
			for _, end := range []string{name, name + "p"} {
				if out, code := command(t, l.a, []string{"ip", "link", "set", end, "up"}); code != 0 {
					t.Fatal(out)
				}
			}
		}
		if out, code := command(t, l.a, []string{"ip", "address", "add", "203.0.113.1/24", "dev", "later0"}); code != 0 {
			t.Fatal(out)
		}
		waitFor(t, 8*time.Second, "the roles", func() bool { return states() == "MASTER MASTER MASTER" })
		waitFor(t, 5*time.Second, "the scripts", func() bool {
			b, _ := os.ReadFile(told)
			return strings.Count(string(b), "MASTER") == 2
		})
		if b, _ := os.ReadFile(told); strings.Count(string(b), "FAULT") != 2 {
			t.Errorf("told:\n%s", b)
		}
	})
	t.Run("gobgpd missing", func(t *testing.T) {
		t.Parallel()
		l := newLAN(t, false)
		g := startGobgpdText(t, l.lab, l.a, "[global.config]\nas = 64501\nrouter-id = \"192.0.2.1\"\nport = -1\n")
		a := startAgent(t, l.lab, l.a, lines("bgp_speaker EDGE {", "    local_as 64501", "    backend gobgpd unix:"+g.socket,
			"    allow_prefix {", "        "+service, "    }", "}")+l.instance(prioA, 3, "0.3", announce(service+" speaker EDGE")...))
		announced := func(want bool) func() bool {
			return func() bool {
				s := a.status()
				return s != nil && s.Speakers[0].Connected == want && (len(s.Speakers[0].Announced) == 1) == want
			}
		}
		a.waitState("MASTER", 8*time.Second)
		waitFor(t, 10*time.Second, "the route in gobgpd", announced(true))
		probe, err := l.c.Probe(l.vip)
		must(t, err)
		_, _, err = probe.WaitForAnswer(time.Now(), 5*time.Second)
		must(t, err)
		must(t, g.proc.Kill())
		waitFor(t, 5*time.Second, "the loss of gobgpd in status", announced(false))
		start := time.Now()
		replace(t, a)
		replace(t, a)
		g.start()
		waitFor(t, 10*time.Second, "the route in the gobgpd that is there again", announced(true))
		g.waitTable(service, true)
		must(t, g.proc.Kill())
		waitFor(t, 5*time.Second, "the loss of gobgpd in status", announced(false))
		g.start() // between the question and the switch, or after it
		replace(t, a)
		waitFor(t, 10*time.Second, "the route in the gobgpd that has come meanwhile", announced(true))
		g.waitTable(service, true)
		if o := probe.Longest(start, time.Now()); o.Duration() != 0 {
			t.Errorf("an outage of %v", o)
		}
	})
}
