package integration

import (
	"net/netip"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestUpgradeForms: an agent with macvlan interfaces, or with the packet filter of no_accept, is replaced twice, and neither the
// client nor whoever tries to reach what is refused notices. The recording goes on.
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
}
