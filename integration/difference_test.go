package integration

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"failoverd/integration/lab"
)

// many is a file with 255 instances on eth0, and more on eth1.
func many(more int) string {
	var b strings.Builder
	one := func(dev string, vrid int, vip string) {
		fmt.Fprintf(&b, "vrrp_instance %s-%d {\n    interface %s\n    virtual_router_id %d\n    version 3\n    advert_int 1\n    priority 100\n    virtual_ipaddress {\n        %s/32\n    }\n}\n",
			dev, vrid, dev, vrid, vip)
	}
	for i := 1; i <= 255; i++ {
		one("eth0", i, fmt.Sprintf("198.18.0.%d", i))
	}
	for i := 1; i <= more; i++ {
		one("eth1", i, fmt.Sprintf("198.18.1.%d", i))
	}
	return b.String()
}

// TestReloadOneMore: one more instance beside 255 that are MASTER. For these nothing is sent but what is due anyway, and
// nothing changes in the kernel.
func TestReloadOneMore(t *testing.T) {
	t.Parallel()
	g := newTwoLANs(t)
	a := startAgent(t, g.lab, g.a, many(0))
	waitFor(t, 15*time.Second, "255 instances to be MASTER", func() bool { return masters(a) == 255 })
	waitFor(t, 10*time.Second, "255 addresses", func() bool {
		p, err := g.a.Addresses("eth0")
		must(t, err)
		return len(p) >= 256
	})
	time.Sleep(6 * time.Second) // the second batch of gratuitous ARP, garp_master_delay after the first, is over
	w := watchOf(t, g.a)
	begin := time.Now()
	if out, code := a.rewrite(many(1)); code != 0 {
		t.Fatalf("reload: exit %d: %s", code, out)
	}
	took := time.Since(begin)
	waitFor(t, 8*time.Second, "the new instance to be MASTER", func() bool { return masters(a) == 256 })
	end := begin.Add(3 * time.Second)
	time.Sleep(time.Until(end))
	for _, s := range w.Sightings() {
		if s.At.After(begin) && !strings.Contains(s.What, "renewed") && !strings.Contains(s.What, "198.18.1.1") {
			t.Errorf("the kernel: %s", s.What)
		}
	}
	sent := map[uint8]int{}
	for _, p := range g.capture.Packets() {
		switch {
		case p.At.Before(begin) || p.At.After(end):
		case p.VRRP != nil:
			sent[p.VRRP.VRID]++
			if p.VRRP.Priority != 100 {
				t.Errorf("VRID %d: priority %d", p.VRRP.VRID, p.VRRP.Priority)
			}
		case p.ARP != nil && p.ARP.Gratuitous():
			t.Errorf("%v after the reload: %s", p.At.Sub(begin), p.String())
		}
	}
	for vrid := 1; vrid <= 255; vrid++ {
		if k := sent[uint8(vrid)]; k < 2 || k > 4 {
			t.Errorf("VRID %d sent %d advertisements in 3 s at an interval of 1 s", vrid, k)
		}
	}
	t.Logf("the reload of 256 instances took %v", took.Round(time.Millisecond))
}

func masters(a *agent) (n int) {
	s := a.status()
	if s == nil {
		return 0
	}
	for i := range s.Routers {
		if s.Routers[i].State == "MASTER" {
			n++
		}
	}
	return n
}

// effect is what a reload may cause: everything else is an error.
type effect struct {
	name    string
	change  func(string) string
	allowed []string // parts of sightings
	wanted  []string
	plan    string // what plan says about it
}

// TestReloadByDifference: each kind of change has its minimal effect, which plan has told before. The session and the role
// stay in every case but the last.
func TestReloadByDifference(t *testing.T) {
	t.Parallel()
	e := newEdge(t, "")
	ok := e.script("ok.sh", "#!/bin/sh\nexit 0\n")
	text := lines("vrrp_script chk {", "    script \""+ok+"\"", "    interval 1", "}") + e.speaker("a", "") +
		e.instance(prioA, 3, "0.2", append(announce(service+" speaker EDGE"), "track_script {", "    chk", "}", "garp_master_delay 0")...)
	a := startAgent(t, e.lab, e.a, text)
	a.waitState("MASTER", 8*time.Second)
	a.waitSession(15 * time.Second)
	e.waitRoute("192.0.2.1", true, 5*time.Second)
	child := speakerOf(t, a)
	replace := func(from, to string) func(string) string {
		return func(s string) string {
			if !strings.Contains(s, from) {
				t.Fatalf("no %q in the text", from)
			}
			return strings.Replace(s, from, to, 1)
		}
	}
	for _, c := range []effect{
		{"a comment", func(s string) string { return "# a comment\n" + s }, nil, nil, "nothing"},
		{"another instance's router_id", func(s string) string { return "global_defs {\n    router_id other\n}\n" + s }, nil, nil, ""},
		{"priority", replace("priority 200", "priority 199"), nil, []string{"priority 199"}, "priority"},
		{"interval", replace("advert_int 0.2", "advert_int 0.3"), nil, nil, "advert_int"},
		{"one more address", replace("192.0.2.10/32", "192.0.2.10/32\n        192.0.2.11/32"), []string{"192.0.2.11"}, []string{"address added 192.0.2.11/32", "announces 192.0.2.11"}, "192.0.2.11"},
		{"one address less", replace("192.0.2.10/32\n        192.0.2.11/32", "192.0.2.10/32"), []string{"192.0.2.11"}, []string{"address removed 192.0.2.11/32"}, "192.0.2.11"},
		{"script timing", replace("interval 1", "interval 2"), nil, nil, "chk"},
		{"name", replace("vrrp_instance V", "vrrp_instance W"), nil, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			text = c.change(text)
			must(t, os.WriteFile(a.conf, []byte(text), 0o600))
			out, code := a.cli("plan", "-f", a.conf)
			if code != 0 || !strings.Contains(out, c.plan) {
				t.Errorf("plan: exit %d, want %q in: %s", code, c.plan, out)
			}
			w := watchOf(t, e.a)
			defer w.Close()
			begin := time.Now()
			if out, code := a.cli("reload"); code != 0 {
				t.Fatalf("reload: exit %d: %s", code, out)
			}
			time.Sleep(1200 * time.Millisecond)
			seen := lab.Merge(e.capture.Sightings(), w.Sightings())
			c.check(t, seen, begin)
			if r := a.router(); r.State != "MASTER" || r.Counters.BecameMaster != 1 {
				t.Errorf("the role was disturbed: %s, MASTER %d times", r.State, r.Counters.BecameMaster)
			}
			if speakerOf(t, a) != child {
				t.Error("the speaker was started again")
			}
		})
	}
	t.Run("another VRID", func(t *testing.T) {
		text = strings.Replace(text, "virtual_router_id 51", "virtual_router_id 52", 1)
		must(t, os.WriteFile(a.conf, []byte(text), 0o600))
		if out, code := a.cli("plan", "-f", a.conf); code != 0 || !strings.Contains(out, "virtual_router_id") && !strings.Contains(out, "VRID") {
			t.Errorf("plan: exit %d: %s", code, out)
		}
		begin := time.Now()
		if out, code := a.cli("reload"); code != 0 {
			t.Fatalf("reload: exit %d: %s", code, out)
		}
		a.waitState("MASTER", 5*time.Second)
		first(t, e.capture, begin, "vrid 51", "priority 0")
		if speakerOf(t, a) != child {
			t.Error("the speaker was started again")
		}
	})
}

// check holds what was seen after a reload against what is allowed and wanted.
func (c *effect) check(t *testing.T, seen []lab.Sighting, begin time.Time) {
	t.Helper()
	for _, s := range seen {
		if s.At.Before(begin) || contains(s.What, c.allowed) {
			continue
		}
		if contains(s.What, []string{"priority 0 ", "address added", "address removed", "announces", "withdraw", "NOTIFICATION", "OPEN", "UPDATE"}) {
			t.Errorf("%v after the reload: %s", s.At.Sub(begin), s.What)
		}
	}
	for _, want := range c.wanted {
		if _, ok := lab.First(seen, begin, want); !ok {
			t.Errorf("not seen: %s", want)
		}
	}
}

// speakerOf returns the process id of an agent's speaker; scripts are children, too.
func speakerOf(t *testing.T, a *agent) string {
	t.Helper()
	for _, kid := range childrenByScan(t, a.pid()) {
		if b, err := os.ReadFile("/proc/" + kid + "/cmdline"); err == nil && strings.Contains(string(b), "speaker\x00") {
			return kid
		}
	}
	t.Fatal("the agent has no speaker")
	return ""
}

func contains(s string, parts []string) bool {
	for _, p := range parts {
		if strings.Contains(s, p) {
			return true
		}
	}
	return false
}

// TestPlanOfBadFile: plan changes nothing, also when a reload would be refused.
func TestPlanOfBadFile(t *testing.T) {
	t.Parallel()
	n := newLAN(t, false)
	text := n.instance(prioA, 3, "0.2")
	a := startAgent(t, n.lab, n.a, text)
	a.waitState("MASTER", 5*time.Second)
	path, err := n.lab.WriteFile("new.conf", strings.Replace(text, "priority 200", "priority 999", 1))
	must(t, err)
	out, code := a.cli("plan", "-f", path)
	if code != 5 || !strings.Contains(out, path+":6:") {
		t.Errorf("plan of a bad file: exit %d: %s", code, out)
	}
	if s := a.status(); s.Config.LastError != "" || s.Routers[0].State != "MASTER" {
		t.Errorf("plan changed something: %+v", s.Config)
	}
}
