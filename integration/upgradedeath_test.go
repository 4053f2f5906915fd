package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"failoverd/integration/lab"
)

// TestUpgradeDeaths: one of those that take part in an upgrade dies, or stands still, while the other program starts or takes over.
// The role stays, or, when the supervisor dies, is given away in order; nobody is left behind.
func TestUpgradeDeaths(t *testing.T) {
	t.Parallel()
	notShort(t)
	next := buildNext(t)
	for _, c := range []struct {
		name string
		late bool // when the other program is ready
		do   func(u *dyingUpgrade)
	}{
		{"the other program dies while it starts", false, func(u *dyingUpgrade) {
			u.end(u.next, syscall.SIGKILL)
			u.refused("has died: killed")
		}},
		{"the other program dies when it is to take over", true, func(u *dyingUpgrade) {
			u.end(u.next, syscall.SIGKILL)
			u.refused("has died: killed")
		}},
		{"the other program stands still when it is to take over", true, func(u *dyingUpgrade) {
			// It is stopped by now. The kernel takes the address away a second after it was renewed last.
			u.refused("has not taken over in time")
			if o := u.probe.Longest(u.at, time.Now()); o.Duration() != 0 {
				u.t.Errorf("an outage of %v", o)
			}
		}},
		{"the agent dies while the other one starts", false, (*dyingUpgrade).agentDies},
		{"the supervisor dies while the other one starts", false, (*dyingUpgrade).supervisorDies},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			u := newDyingUpgrade(t)
			for try := 1; !u.begin(next, c.late); try++ {
				if try == 5 {
					t.Skip("SKIPPED, NOT PASSED: five times this machine was too slow to stop a switch in time")
				}
			}
			c.do(u)
		})
	}
}

// dyingUpgrade is an upgrade of a MASTER that is held up: the other program waits for a check.
type dyingUpgrade struct {
	*lan
	ma, mb  *agent
	probe   *lab.Probe
	hold    string // while there is such a file, the check does not end
	agent   int    // process numbers
	next    int
	command *lab.Process
	at      time.Time // since when the LAN may notice nothing
}

func newDyingUpgrade(t *testing.T) *dyingUpgrade {
	n := newLAN(t, false)
	u := &dyingUpgrade{lan: n, hold: filepath.Join(n.lab.Dir(), "hold")}
	check := filepath.Join(n.lab.Dir(), "check.sh")
	must(t, os.WriteFile(check, []byte("#!/bin/sh\nwhile [ -e "+u.hold+" ]; do sleep 0.02; done\n"), 0o755))
	script := lines("vrrp_script held {", "    script "+check, "    interval 300", "    timeout 60", "}")
	script += lines("global_defs {", "    vip_lease 1", "}")
	u.ma = startAgent(t, n.lab, n.a, script+n.instance(prioA, 3, "1", "track_script {", "    held", "}"))
	u.ma.waitState("MASTER", 8*time.Second)
	u.mb = startAgent(t, n.lab, n.b, n.instance(prioB, 3, "1"))
	u.mb.waitState("BACKUP", 5*time.Second)
	var err error
	u.probe, err = n.c.Probe(n.vip)
	must(t, err)
	_, _, err = u.probe.WaitForAnswer(time.Now(), 5*time.Second)
	must(t, err)
	u.agent, u.at = u.ma.pid(), time.Now()
	return u
}

// begun finds the process numbers of successors in the supervisor's log.
var begun = regexp.MustCompile(`"msg":"upgrade begins",[^}]*"pid":(\d+)`)

// begin starts an upgrade, which then waits for the check, or, late, for the next advertisement. It reports whether that is so:
// late, the upgrade may be over.
func (u *dyingUpgrade) begin(next string, late bool) bool {
	t := u.t
	t.Helper()
	must(t, os.WriteFile(u.hold, nil, 0o644))
	before := len(begun.FindAllString(logOf(t, u.ma.proc), -1))
	var err error
	u.command, err = u.a.Start(lab.Command{
		Name: "upgrade", Argv: []string{binary, "upgrade", "--binary", next}, Env: []string{"FAILOVERD_STATE_DIR=" + u.ma.dir},
	})
	must(t, err)
	waitFor(t, 15*time.Second, "the other program to be started", func() bool {
		found := begun.FindAllStringSubmatch(logOf(t, u.ma.proc), -1)
		if len(found) == before {
			return false
		}
		u.next, err = strconv.Atoi(found[before][1])
		must(t, err)
		return true
	})
	if !late {
		return true
	}
	// The switch waits for a moment after which nothing is due for half an interval: here, for the next advertisement.
	seen := len(u.adverts("192.0.2.1", u.at))
	waitFor(t, 5*time.Second, "an advertisement", func() bool { return len(u.adverts("192.0.2.1", u.at)) > seen })
	time.Sleep(600 * time.Millisecond)
	ready := strings.Count(logOf(t, u.ma.proc), "ready to take over")
	must(t, os.Remove(u.hold))
	waitFor(t, 5*time.Second, "the other program to be ready", func() bool {
		return strings.Count(logOf(t, u.ma.proc), "ready to take over") > ready
	})
	must(t, syscall.Kill(u.next, syscall.SIGSTOP))
	if strings.Contains(logOf(t, u.ma.proc), "the roles are handed over") || u.ma.pid() != u.agent {
		must(t, syscall.Kill(u.next, syscall.SIGCONT))
		_, err := u.command.Wait(10 * time.Second)
		must(t, err)
		t.Log("the switch was faster than this lab")
		waitFor(t, 5*time.Second, "the new agent", func() bool { return u.ma.pid() == u.next })
		u.agent = u.next
		return false
	}
	waitFor(t, 5*time.Second, "the last word", func() bool { return strings.Contains(logOf(t, u.ma.proc), "upgrade: handing over") })
	return true
}

// end sends a signal that ends a process, or keeps it from going on.
func (u *dyingUpgrade) end(pid int, s syscall.Signal) {
	u.t.Helper()
	must(u.t, syscall.Kill(pid, s))
}

// refused checks that the upgrade has failed because of why, that the agent goes on, and that the LAN has not noticed.
func (u *dyingUpgrade) refused(why string) {
	t := u.t
	t.Helper()
	st, err := u.command.Wait(30 * time.Second)
	must(t, err)
	if out := logOf(t, u.command); st.ExitCode() != 2 || !strings.Contains(out, why) {
		t.Errorf("exit status %d, want 2 and %q:\n%s", st.ExitCode(), why, out)
	}
	if pid := u.ma.pid(); pid != u.agent {
		t.Errorf("the agent is process %d, was %d", pid, u.agent)
	}
	u.nothingLeft()
	u.unnoticed()
}

// unnoticed checks that the next advertisements come from a, that it has never given its role away, and that b has not taken it.
func (u *dyingUpgrade) unnoticed() {
	t := u.t
	t.Helper()
	now := time.Now()
	waitFor(t, 5*time.Second, "more advertisements", func() bool { return len(u.adverts("192.0.2.1", now)) >= 2 })
	last := u.at
	for _, p := range u.adverts("192.0.2.1", u.at) {
		if p.VRRP.Priority == 0 {
			t.Error("an advertisement of priority 0")
		}
		if gap := p.At.Sub(last); gap > 3*time.Second+slack {
			t.Errorf("a gap of %v between advertisements", gap)
		}
		last = p.At
	}
	if list := u.adverts("192.0.2.2", u.at); len(list) > 0 {
		t.Errorf("b has sent %d advertisements", len(list))
	}
	if r := u.ma.router(); r == nil || r.State != "MASTER" {
		t.Errorf("a is %+v", r)
	}
	if !holds(t, u.a, u.vip) {
		t.Error("a does not have the address")
	}
}

// nothingLeft waits for the end of the other program.
func (u *dyingUpgrade) nothingLeft() {
	u.t.Helper()
	waitFor(u.t, 5*time.Second, "the end of the other program", func() bool { return !exists(fmt.Sprintf("/proc/%d", u.next)) })
}

// agentDies: another agent of the same program resumes the role, and the upgrade is over.
func (u *dyingUpgrade) agentDies() {
	t := u.t
	t.Helper()
	u.end(u.agent, syscall.SIGKILL)
	must(t, os.Remove(u.hold))
	waitFor(t, 10*time.Second, "another agent", func() bool { s := u.ma.status(); return s != nil && s.PID != u.agent })
	s := u.ma.status()
	if s == nil || s.PID == u.next || s.Version == nextVersion {
		t.Errorf("the agent: %+v", s)
	}
	if st, err := u.command.Wait(30 * time.Second); err != nil || st.ExitCode() != 1 && st.ExitCode() != 0 {
		t.Errorf("the command: %v, %v:\n%s", st, err, logOf(t, u.command))
	}
	u.nothingLeft()
	u.unnoticed()
}

// supervisorDies: the agent stops in order, and so does the other program.
func (u *dyingUpgrade) supervisorDies() {
	t := u.t
	t.Helper()
	must(t, u.ma.proc.Signal(syscall.SIGKILL))
	u.mb.waitState("MASTER", 5*time.Second)
	waitFor(t, 8*time.Second, "the end of the agent", func() bool { return !exists(fmt.Sprintf("/proc/%d", u.agent)) })
	u.nothingLeft()
	if holds(t, u.a, u.vip) {
		t.Error("a has the address")
	}
	released := false
	for _, p := range u.adverts("192.0.2.1", u.at) {
		released = released || p.VRRP.Priority == 0
	}
	if !released {
		t.Error("no advertisement of priority 0")
	}
}
