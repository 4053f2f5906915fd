package integration

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// TestUnitUpgrade: after another program was installed, systemctl reload-or-restart has it take over together with a new
// configuration, and nobody notices: not the neighbors, not the clients, not systemd. A program that is none does no harm.
func TestUnitUpgrade(t *testing.T) {
	t.Parallel()
	u := newUnitLab(t, "1", "WatchdogSec=4")
	u.answering("a")
	supervisor, restarts := u.m.supervisor(), u.m.show("NRestarts")
	speaker := childOf(t, u.m.agentPID())
	begin := time.Now()
	// Another process may keep the CPUs from the agent at the wrong moment, but hardly three times.
	most := u.every * 12 / 10
	for try := 1; ; try++ {
		gap := u.replace(try)
		if u.m.supervisor() != supervisor {
			t.Error("the main process is another one")
		}
		if !exists(fmt.Sprintf("/proc/%d", speaker)) {
			t.Error("the speaker is another process")
		}
		if gap <= most {
			break
		}
		if try == 3 {
			t.Errorf("a gap of %v between advertisements, want %v at most", gap, most)
			break
		}
	}

	// The supervisor that came goes on telling systemd that all is well, and is believed.
	for range 2 {
		last := u.m.show("WatchdogTimestampMonotonic")
		waitFor(t, 8*time.Second, "the watchdog to be told", func() bool { return u.m.show("WatchdogTimestampMonotonic") != last })
	}
	agent := u.m.agentPID()
	u.m.script("/usr/sbin/failoverd", "exit 1")
	if out, code := u.m.do("systemctl", "reload-or-restart", "failoverd"); code == 0 {
		t.Errorf("systemctl says nothing of a program that does not run: %s", out)
	}
	u.unharmed("a program that is none", begin)
	if u.m.agentPID() != agent {
		t.Error("the agent is another process")
	}
	if u.m.supervisor() != supervisor || u.m.show("NRestarts") != restarts {
		t.Error("systemd has started the service again")
	}
	for _, s := range u.capture.Sightings() {
		if s.At.After(begin) && strings.Contains(s.What, "bgp 192.0.2.") && !strings.Contains(s.What, "KEEPALIVE") {
			t.Errorf("%v after the beginning: %s", s.At.Sub(begin).Round(time.Millisecond), s.What)
		}
	}
	u.m.must("systemctl", "stop", "failoverd")
	u.mb.waitState("MASTER", 5*time.Second)
	if got := u.m.show("Result"); got != "success" {
		t.Errorf("the service ended with the result %s", got)
	}
	u.clean()
}

// replace installs another program and another configuration and has systemd reload the service. It returns the longest gap
// between advertisements meanwhile.
func (u *unitLab) replace(try int) time.Duration {
	t := u.t
	t.Helper()
	agent, supervisor := u.m.agentPID(), u.m.supervisor()
	b, err := os.ReadFile(binary)
	must(t, err)
	u.m.replace("/usr/sbin/failoverd", append(b, "what a linker may leave at the end"...), 0o755)
	u.m.configure(strings.Replace(u.conf, fmt.Sprintf("priority %d", prioA), fmt.Sprintf("priority %d", prioA-try), 1))
	since := time.Now()
	u.m.must("systemctl", "reload-or-restart", "failoverd")
	took := time.Since(since)
	if r := u.a.router(); r == nil || int(r.PriorityEffective) != prioA-try || r.State != "MASTER" {
		t.Errorf("after the reload the router is %+v", r)
	}
	second := u.m.agentPID()
	if second == agent || !u.runs(second) {
		t.Error("the agent is not the program that was installed")
	}
	waitFor(t, 3*time.Second, "the supervisor to be the program that was installed", func() bool { return u.runs(supervisor) })
	gap := u.unharmed("upgrade", since)
	t.Logf("reloaded in %v", took.Round(time.Millisecond))
	return gap
}

// runs reports whether a process runs the program that is installed.
func (u *unitLab) runs(pid int) bool {
	is, err := os.Stat(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		return false
	}
	want, err := os.Stat(u.m.path("/usr/sbin/failoverd"))
	return err == nil && os.SameFile(is, want)
}
