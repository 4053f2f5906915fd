package integration

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestReload: an identical file causes nothing at all; a change reaches what it is about; a bad file changes nothing and
// says so in three places.
func TestReload(t *testing.T) {
	t.Parallel()
	e := newEdge(t, "")
	conf := func(prio int, extra string) string {
		return e.speaker("a", "") + e.instance(prio, 3, "0.2", append(announce(service+" speaker EDGE"), extra)...)
	}
	a := startAgent(t, e.lab, e.a, conf(prioA, ""))
	a.waitState("MASTER", 5*time.Second)
	a.waitSession(15 * time.Second)
	e.waitRoute("192.0.2.1", true, 5*time.Second)
	child := childOf(t, a.pid())
	w := watchOf(t, e.a)

	begin := time.Now()
	if out, code := a.cli("reload"); code != 0 {
		t.Fatalf("reload: exit %d: %s", code, out)
	}
	must(t, a.proc.Signal(syscall.SIGHUP))
	time.Sleep(time.Second)
	for _, s := range w.Sightings() {
		if s.At.After(begin) && !strings.Contains(s.What, "renewed") {
			t.Errorf("a reload of the same file: %s", s.What)
		}
	}
	for _, s := range e.capture.Sightings() {
		if s.At.After(begin) && (strings.Contains(s.What, "bgp 192.0.2.1") && strings.Contains(s.What, " UPDATE") || strings.Contains(s.What, "announces") || strings.Contains(s.What, "priority 0")) {
			t.Errorf("a reload of the same file: %s", s.What)
		}
	}
	if childOf(t, a.pid()) != child {
		t.Error("a reload of the same file restarted the speaker")
	}

	// Another priority and another address: the role and the session stay.
	text := strings.Replace(conf(210, ""), "192.0.2.10/32", "192.0.2.10/32\n        192.0.2.11/32", 1)
	must(t, os.WriteFile(a.conf, []byte(text), 0o600))
	changed := time.Now()
	if out, code := a.cli("reload"); code != 0 {
		t.Fatalf("reload: exit %d: %s", code, out)
	}
	waitFor(t, 2*time.Second, "the new address", func() bool {
		p, err := e.a.Addresses("eth0")
		must(t, err)
		return strings.Contains(joinPrefixes(p), "192.0.2.11/32")
	})
	waitFor(t, 2*time.Second, "the new priority on the wire", func() bool {
		ads := e.adverts("192.0.2.1", changed)
		return len(ads) > 0 && ads[len(ads)-1].VRRP.Priority == 210
	})
	for _, s := range e.capture.Sightings() {
		if s.At.After(changed) && (strings.Contains(s.What, "withdraw") || strings.Contains(s.What, "priority 0")) {
			t.Errorf("a changed priority and one more address: %s", s.What)
		}
	}

	// A bad file: refused, and everything goes on.
	must(t, os.WriteFile(a.conf, []byte(strings.Replace(text, "priority 210", "prioritty 210", 1)), 0o600))
	out, code := a.cli("check", "-f", a.conf)
	if code != 5 || !strings.Contains(out, `"priority"`) || !strings.Contains(out, a.conf+":") {
		t.Errorf("check: exit %d: %s", code, out)
	}
	must(t, os.WriteFile(a.conf, []byte(strings.Replace(text, "priority 210", "priority 999", 1)), 0o600))
	if out, code := a.cli("reload"); code == 0 || !strings.Contains(out, "priority") {
		t.Errorf("reload of a bad file: exit %d: %s", code, out)
	}
	s := a.status()
	if s.Config.LastError == "" || s.Routers[0].State != "MASTER" || s.Routers[0].PriorityBase != 210 {
		t.Errorf("after a refused reload: %+v %+v", s.Config, s.Routers[0])
	}
}

// TestSecondAgent: two agents in one network namespace would take each other's addresses for leftovers; the second one
// does not start, whatever directory it is given.
func TestSecondAgent(t *testing.T) {
	t.Parallel()
	n := newLAN(t, false)
	a := startAgent(t, n.lab, n.a, n.instance(prioA, 3, "0.2"))
	a.waitState("MASTER", 5*time.Second)
	waitFor(t, 2*time.Second, "the address", func() bool { return holds(t, n.a, n.vip) })
	w := watchOf(t, n.a)
	out, code := command(t, n.a, []string{binary, "run", "-f", a.conf}, "FAILOVERD_STATE_DIR="+t.TempDir())
	if code == 0 || !strings.Contains(out, "another agent") {
		t.Errorf("a second agent: exit %d: %s", code, out)
	}
	for _, s := range w.Sightings() {
		if strings.Contains(s.What, "removed") {
			t.Errorf("the second agent disturbed the first: %s", s.What)
		}
	}
}

// TestReloadOfNothing: a file that is empty, because it is not written yet, does not end the service.
func TestReloadOfNothing(t *testing.T) {
	t.Parallel()
	n := newLAN(t, false)
	a := startAgent(t, n.lab, n.a, n.instance(prioA, 3, "0.2"))
	a.waitState("MASTER", 5*time.Second)
	must(t, os.WriteFile(a.conf, nil, 0o600))
	if out, code := a.cli("reload"); code == 0 || !strings.Contains(out, "no vrrp_instance") {
		t.Errorf("reload of an empty file: exit %d: %s", code, out)
	}
	if r := a.router(); r == nil || r.State != "MASTER" {
		t.Errorf("after the refused reload: %+v", r)
	}
}

// TestAddressInterfaceMissing: a router whose address belongs to an interface that is not there leaves the role to one
// that can serve.
func TestAddressInterfaceMissing(t *testing.T) {
	t.Parallel()
	n := newLAN(t, false)
	conf := strings.Replace(n.instance(prioA, 3, "0.2"), "192.0.2.10/32", "192.0.2.10/32 dev eth9", 1)
	a := startAgent(t, n.lab, n.a, conf)
	b := startAgent(t, n.lab, n.b, n.instance(prioB, 3, "0.2"))
	a.waitState("FAULT", 3*time.Second)
	b.waitState("MASTER", 3*time.Second)
	if r := a.router(); !strings.Contains(r.Waiting, "eth9") {
		t.Errorf("status does not name the interface: %+v", r)
	}
}
