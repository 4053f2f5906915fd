package integration

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"failoverd/integration/lab"
	"failoverd/vrrp/wire"
)

// crashLab is a LAN with a, which is MASTER, and b, which is BACKUP, and a client that asks for the service every
// millisecond.
type crashLab struct {
	*lan
	ma, mb *agent
	probe  *lab.Probe
}

// crashTime is the advertisement interval of these labs in seconds, and as a duration.
const (
	crashInterval = "1"
	crashSecond   = time.Second
)

func newCrashLab(t *testing.T, globals string, extra ...string) *crashLab {
	t.Helper()
	c := &crashLab{lan: newLAN(t, false)}
	c.ma = startAgent(t, c.lab, c.a, globals+c.instance(prioA, 3, crashInterval, extra...))
	c.ma.waitState("MASTER", 8*time.Second)
	c.mb = startAgent(t, c.lab, c.b, c.instance(prioB, 3, crashInterval, extra...))
	c.mb.waitState("BACKUP", 5*time.Second)
	var err error
	c.probe, err = c.c.Probe(c.vip)
	must(t, err)
	_, who, err := c.probe.WaitForAnswer(time.Now(), 5*time.Second)
	must(t, err)
	if who != "a" {
		t.Fatalf("%s answers, want a", who)
	}
	time.Sleep(200 * time.Millisecond) // the last will is there 20 ms after the role
	return c
}

// released returns how many advertisements of priority 0 came from a since a time, and when the first one did.
func (c *crashLab) released(since time.Time) (n int, first time.Time) {
	for _, p := range c.adverts("192.0.2.1", since) {
		if p.VRRP.Priority == wire.PriorityRelease {
			if n++; n == 1 {
				first = p.At
			}
		}
	}
	return n, first
}

// again waits for another life of a.
func (c *crashLab) again(old int) (pid int) {
	c.t.Helper()
	waitFor(c.t, 8*time.Second, "another life of a", func() bool {
		s := c.ma.status()
		if s != nil {
			pid = s.PID
		}
		return s != nil && pid != old
	})
	return pid
}

// kill sends a signal to the agent of a alone, and returns when and to whom.
func (c *crashLab) kill(s syscall.Signal) (at time.Time, pid int) {
	c.t.Helper()
	pid = c.ma.pid()
	at = time.Now()
	must(c.t, syscall.Kill(pid, s))
	return at, pid
}

// resumed checks that nobody has noticed anything of a death.
func (c *crashLab) resumed(at time.Time, pid int) {
	t := c.t
	t.Helper()
	c.again(pid)
	back := time.Since(at)
	c.ma.waitState("MASTER", 3*time.Second)
	time.Sleep(5 * crashSecond)
	gap, last := time.Duration(0), time.Time{}
	for _, p := range c.adverts("192.0.2.1", at.Add(-2*crashSecond)) {
		if !last.IsZero() {
			gap = max(gap, p.At.Sub(last))
		}
		last = p.At
	}
	o := c.probe.Longest(at.Add(-50*time.Millisecond), time.Now())
	n, _ := c.released(at)
	t.Logf("back after %v; longest gap between advertisements %v; longest outage %v", back.Round(time.Millisecond), gap.Round(time.Millisecond), o)
	if n != 0 {
		t.Errorf("%d advertisements of priority 0", n)
	}
	if o.Duration() != 0 {
		t.Errorf("an outage of %v", o)
	}
	if r := c.mb.router(); r.State != "BACKUP" || r.Counters.BecameMaster != 0 {
		t.Errorf("b: %s, %d times MASTER", r.State, r.Counters.BecameMaster)
	}
	if !holds(t, c.a, c.vip) {
		t.Error("a has lost the address")
	}
}

// TestAgentKilledResumes: an agent that dies and is back in time has lost nothing.
func TestAgentKilledResumes(t *testing.T) {
	t.Parallel()
	for _, how := range []syscall.Signal{syscall.SIGKILL, syscall.SIGABRT} { // the latter ends it as a panic does
		t.Run(how.String(), func(t *testing.T) {
			t.Parallel()
			c := newCrashLab(t, "")
			at, pid := c.kill(how)
			c.resumed(at, pid)
			if text := logOf(t, c.ma.proc); !strings.Contains(text, "the agent has died") || !strings.Contains(text, `"resume":true`) {
				t.Errorf("the log does not say so:\n%s", text)
			}
		})
	}
}

// resigned checks that b has the role Skew_Time after a death, that the client has waited no longer, and that a has let go.
func (c *crashLab) resigned(at time.Time, pid int) {
	t := c.t
	t.Helper()
	waitFor(t, 3*crashSecond, "b to be MASTER", func() bool { r := c.mb.router(); return r != nil && r.State == "MASTER" })
	n, first := c.released(at)
	took := c.firstAdvert("192.0.2.2", at)
	waitFor(t, 3*crashSecond, "a to let go of the address", func() bool { return !holds(t, c.a, c.vip) })
	let := time.Since(at)
	time.Sleep(crashSecond / 2)
	o := c.probe.Longest(at.Add(-50*time.Millisecond), time.Now())
	t.Logf("priority 0 after %v; b advertises after %v; address of a gone after %v; longest outage %v",
		first.Sub(at).Round(time.Millisecond), took.Sub(at).Round(time.Millisecond), let.Round(time.Millisecond), o)
	if n != 1 {
		t.Errorf("%d advertisements of priority 0, want one", n)
	}
	const skew = (256 - prioB) * crashSecond / 256
	if d := took.Sub(at); took.IsZero() || d > skew+2*slack {
		t.Errorf("b takes over after %v, want about Skew_Time, %v", d, skew)
	}
	if o.Duration() > skew+2*slack {
		t.Errorf("an outage of %v", o)
	}
	c.again(pid)
}

// TestAgentKilledResigns: with on_crash resign, the supervisor releases the role of an agent that has died.
func TestAgentKilledResigns(t *testing.T) {
	t.Parallel()
	c := newCrashLab(t, lines("global_defs {", "    on_crash resign", "}"))
	c.resigned(c.kill(syscall.SIGKILL))
}

// TestCrashForms: the same with virtual link-layer addresses and with signed advertisements, whose last words have to be
// believed.
func TestCrashForms(t *testing.T) {
	t.Parallel()
	for name, extra := range map[string][]string{
		"use_vmac":  {"use_vmac"},
		"auth_hmac": {"auth_hmac {", `    key 1 "a key that is long enough for auth_hmac"`, "    active_key 1", "}"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCrashLab(t, "", extra...)
			at, pid := c.kill(syscall.SIGKILL)
			c.resumed(at, pid)
			c.resigned(c.kill(syscall.SIGKILL))
		})
	}
}

// TestAgentKilledTwice: the second death within a minute is one too many to be trusted with a role.
func TestAgentKilledTwice(t *testing.T) {
	t.Parallel()
	c := newCrashLab(t, "")
	at, pid := c.kill(syscall.SIGKILL)
	c.resumed(at, pid)
	c.resigned(c.kill(syscall.SIGKILL))
}

// TestSupervisorKilled: an agent without a supervisor stops in order.
func TestSupervisorKilled(t *testing.T) {
	t.Parallel()
	c := newCrashLab(t, "")
	pid := c.ma.pid()
	at := time.Now()
	must(t, c.ma.proc.Signal(syscall.SIGKILL))
	waitFor(t, 3*crashSecond, "b to be MASTER", func() bool { r := c.mb.router(); return r != nil && r.State == "MASTER" })
	waitFor(t, 5*time.Second, "the agent to end", func() bool { return !exists(fmt.Sprintf("/proc/%d", pid)) })
	ended := time.Since(at)
	n, first := c.released(at)
	o := c.probe.Longest(at.Add(-50*time.Millisecond), time.Now())
	t.Logf("priority 0 after %v, the agent has ended after %v, longest outage %v", first.Sub(at).Round(time.Millisecond), ended.Round(time.Millisecond), o)
	if n != 1 || holds(t, c.a, c.vip) {
		t.Errorf("%d advertisements of priority 0, want one; the address is there: %t", n, holds(t, c.a, c.vip))
	}
	if text := logOf(t, c.ma.proc); !strings.Contains(text, "the supervisor has died") {
		t.Errorf("the log does not say why:\n%s", text)
	}
}

// TestAllKilled: when nobody is left to release the role, leases end what is left.
func TestAllKilled(t *testing.T) {
	t.Parallel()
	c := newCrashLab(t, lines("global_defs {", "    vip_lease 3", "}"))
	at := time.Now()
	must(t, c.ma.proc.Kill())
	waitFor(t, 4*time.Second+slack, "the lease to end", func() bool { return !holds(t, c.a, c.vip) })
	gone := time.Since(at)
	waitFor(t, 3*time.Second, "b to be MASTER", func() bool { r := c.mb.router(); return r != nil && r.State == "MASTER" })
	n, _ := c.released(at)
	t.Logf("address gone after %v; longest outage %v", gone.Round(time.Millisecond), c.probe.Longest(at.Add(-50*time.Millisecond), time.Now()))
	if n != 0 {
		t.Errorf("%d advertisements of priority 0 from the dead", n)
	}
}

// TestAgentFrozenThenKilled: an agent that had been silent for too long is not believed to be back in time.
func TestAgentFrozenThenKilled(t *testing.T) {
	t.Parallel()
	c := newCrashLab(t, "")
	_, pid := c.kill(syscall.SIGSTOP)
	c.mb.waitState("MASTER", 8*time.Second)
	at := time.Now()
	must(t, syscall.Kill(pid, syscall.SIGKILL))
	c.again(pid)
	if text := logOf(t, c.ma.proc); !strings.Contains(text, "it had been silent for") || strings.Contains(text, `"resume":true`) {
		t.Errorf("the log:\n%s", text)
	}
	c.ma.waitState("MASTER", 8*time.Second) // it preempts, as any router of a higher priority that comes
	o := c.probe.Longest(at, time.Now())
	t.Logf("longest outage after the kill: %v", o)
}

// TestWillOfLostInterface: a will that names an interface that is gone is refused, and the agent starts afresh.
func TestWillOfLostInterface(t *testing.T) {
	t.Parallel()
	c := newCrashLab(t, lines("global_defs {", "    on_crash resign", "}"))
	pid := c.ma.pid()
	must(t, syscall.Kill(pid, syscall.SIGSTOP))
	must(t, c.a.DeleteLink("eth0"))
	must(t, syscall.Kill(pid, syscall.SIGKILL))
	c.again(pid)
	waitFor(t, 3*time.Second, "the refusal in the log", func() bool {
		return strings.Contains(logOf(t, c.ma.proc), "the agent's last will is not carried out in full")
	})
	c.ma.waitState("FAULT", 3*time.Second)
	c.mb.waitState("MASTER", 8*time.Second)
}

// TestSessionSurvivesAgent: the BGP session of an agent that dies and is back in time is the same afterwards, and the
// upstream hears nothing of it but keepalives. The process of the session has another parent then, and is looked after all
// the same: killed, it is replaced; and it ends with the agent.
func TestSessionSurvivesAgent(t *testing.T) {
	t.Parallel()
	e := newEdge(t, "")
	a := startAgent(t, e.lab, e.a, e.speaker("a", "")+e.instance(prioA, 3, "1", announce(service+" speaker EDGE")...))
	a.waitState("MASTER", 8*time.Second)
	a.waitSession(15 * time.Second)
	e.waitRoute("192.0.2.1", true, 5*time.Second)
	time.Sleep(500 * time.Millisecond)
	child, pid := childOf(t, a.pid()), a.pid()
	at := time.Now()
	must(t, syscall.Kill(pid, syscall.SIGKILL))
	waitFor(t, 5*time.Second, "another life of a", func() bool { s := a.status(); return s != nil && s.PID != pid })
	a.waitState("MASTER", 3*time.Second)
	a.waitSession(3 * time.Second)
	time.Sleep(6 * time.Second) // longer than any lease or hold-back
	alive := 0
	for _, s := range e.capture.Sightings() {
		switch {
		case !s.At.After(at) || !strings.Contains(s.What, "bgp 192.0.2.1"):
		case strings.Contains(s.What, "KEEPALIVE"):
			alive++
		default:
			t.Errorf("%v after the kill the upstream hears: %s", s.At.Sub(at).Round(time.Millisecond), s.What)
		}
	}
	if t.Logf("%d keepalives since the kill", alive); alive == 0 {
		t.Error("the upstream hears nothing at all")
	}
	e.waitRoute("192.0.2.1", true, time.Second)
	if !exists(fmt.Sprintf("/proc/%d", child)) {
		t.Error("the speaker's process is another one")
	}
	if sp := a.status().Speakers[0]; !sp.Connected || len(sp.Announced) != 1 || sp.Restarts != 0 {
		t.Errorf("speaker %+v", sp)
	}

	must(t, syscall.Kill(child, syscall.SIGKILL))
	e.waitRoute("192.0.2.1", false, 3*time.Second)
	e.waitRoute("192.0.2.1", true, 15*time.Second)
	child = childOf(t, a.pid())

	// The second death within a minute: the session goes with the role.
	at, pid = time.Now(), a.pid()
	must(t, syscall.Kill(pid, syscall.SIGKILL))
	e.waitRoute("192.0.2.1", false, 2*time.Second)
	t.Logf("withdrawn %v after the second kill", time.Since(at).Round(time.Millisecond))
	waitFor(t, 2*time.Second, "the speaker to end", func() bool { return !exists(fmt.Sprintf("/proc/%d", child)) })
}

// TestAgentBackTooLate: an agent that takes longer than two intervals to come back finds its role released, and serves
// until its successor does.
func TestAgentBackTooLate(t *testing.T) {
	t.Parallel()
	c := newCrashLab(t, lines("global_defs {", "    vip_lease 9", "    script_user root", `    startup_script "/bin/sleep 2.2"`, "}"))
	at, pid := c.kill(syscall.SIGKILL)
	waitFor(t, 5*crashSecond, "b to be MASTER", func() bool { r := c.mb.router(); return r != nil && r.State == "MASTER" })
	c.again(pid)
	waitFor(t, 3*crashSecond, "a to let go of the address", func() bool { return !holds(t, c.a, c.vip) })
	let := time.Since(at)
	time.Sleep(crashSecond / 2)
	n, first := c.released(at)
	o := c.probe.Longest(at.Add(-50*time.Millisecond), time.Now())
	t.Logf("priority 0 after %v; address of a gone after %v; longest outage %v", first.Sub(at).Round(time.Millisecond), let.Round(time.Millisecond), o)
	if d := first.Sub(at); n != 1 || d < crashSecond-slack || d > 2*crashSecond+slack {
		t.Errorf("%d advertisements of priority 0, the first after %v; want one, within two intervals of the last sign of life", n, d)
	}
	if o.Duration() > slack {
		t.Errorf("an outage of %v", o)
	}
	if text := logOf(t, c.ma.proc); !strings.Contains(text, "it is not back in time") {
		t.Errorf("the log does not say so:\n%s", text)
	}
}
