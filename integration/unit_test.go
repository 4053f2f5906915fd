package integration

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"failoverd/integration/lab"
	"failoverd/vrrp/wire"
)

// unitLab is an edge whose router a is the shipped unit under a systemd of its own; b runs without one.
type unitLab struct {
	*edge
	m     *booted
	a, mb *agent
	conf  string
	probe *lab.Probe
	every time.Duration // advert_int
}

// newUnitLab starts the service with an advert_int in seconds and further words for the unit's [Service], and waits until it
// serves.
func newUnitLab(t *testing.T, interval string, words ...string) *unitLab {
	t.Helper()
	seconds, err := strconv.ParseFloat(interval, 64)
	must(t, err)
	u := &unitLab{edge: newEdge(t, ""), every: time.Duration(seconds * float64(time.Second))}
	u.m = boot(t, u.edge.a)
	route := announce(service + " speaker EDGE")
	u.conf = u.speaker("a", "") + u.instance(prioA, 3, interval, route...)
	u.m.install(u.conf)
	u.m.dropIn("lab", words...)
	u.a = u.m.agent()
	u.m.must("systemctl", "start", "failoverd") // it returns when the agent has said that it is ready
	u.mb = startAgent(t, u.lab, u.b, u.speaker("b", "")+u.instance(prioB, 3, interval, route...))
	u.serving()
	u.mb.waitState("BACKUP", 5*time.Second)
	u.mb.waitSession(15 * time.Second)
	u.probe, err = u.c.Probe(u.vip)
	must(t, err)
	return u
}

// serving waits until the service has its role, and all that belongs to it.
func (u *unitLab) serving() {
	u.t.Helper()
	u.a.waitState("MASTER", 25*time.Second)
	u.a.waitSession(15 * time.Second)
	u.waitRoute("192.0.2.1", true, 5*time.Second)
	waitFor(u.t, 3*time.Second, "the address", func() bool { return holds(u.t, u.edge.a, u.vip) })
}

// answering waits until a node answers the probe.
func (u *unitLab) answering(name string) {
	u.t.Helper()
	since := time.Now()
	waitFor(u.t, 8*time.Second, name+" to answer", func() bool {
		_, _, ok := u.probe.FirstAnswer(since, name)
		return ok
	})
}

// unharmed checks that since a time no probe has been lost, a has released nothing, and b has stayed a Backup. It returns
// the longest time between two advertisements of a.
func (u *unitLab) unharmed(what string, since time.Time) (gap time.Duration) {
	t := u.t
	t.Helper()
	end := time.Now()
	waitFor(t, 8*time.Second, "two more advertisements in the capture", func() bool { return len(u.adverts("192.0.2.1", end)) >= 2 })
	last := time.Time{}
	for _, p := range u.adverts("192.0.2.1", since.Add(-2*u.every)) {
		if !last.IsZero() {
			gap = max(gap, p.At.Sub(last))
		}
		if last = p.At; p.VRRP.Priority == wire.PriorityRelease {
			t.Errorf("%s: an advertisement of priority 0", what)
		}
	}
	if list := u.adverts("192.0.2.2", since); len(list) != 0 {
		t.Errorf("%s: b has sent %d advertisements", what, len(list))
	}
	if o := u.probe.Longest(since, end); o.Lost != 0 {
		t.Errorf("%s: an outage of %v", what, o)
	}
	t.Logf("%s: longest gap %v", what, gap.Round(100*time.Microsecond))
	return gap
}

// TestUnitService: the shipped unit under a real systemd. It becomes active when the agent is ready, as another user with
// three capabilities; does its work under the filter and the limits; a reload is a reload, also when it is refused; a stop
// loses no packet and leaves nothing.
func TestUnitService(t *testing.T) {
	t.Parallel()
	u := newUnitLab(t, "0.5")
	u.confined()
	u.reloads()

	// Nobody notices that it stops.
	u.answering("a")
	since := time.Now()
	u.m.must("systemctl", "stop", "failoverd")
	took := time.Since(since)
	u.mb.waitState("MASTER", 5*time.Second)
	u.answering("b")
	end := time.Now()
	time.Sleep(slack) // for what is on its way
	if o := u.probe.Longest(since, end); o.Lost != 0 {
		t.Errorf("stop: an outage of %v", o)
	}
	if state, result := u.m.show("ActiveState"), u.m.show("Result"); state != "inactive" || result != "success" {
		t.Errorf("after the stop the service is %s, result %s", state, result)
	}
	u.waitRoute("192.0.2.1", false, 3*time.Second)
	if holds(t, u.edge.a, u.vip) {
		t.Error("the address is still there")
	}
	if exists(u.m.path("/run/failoverd")) {
		t.Error("/run/failoverd is still there")
	}
	t.Logf("stopped in %v", took.Round(time.Millisecond))
	u.clean()
}

// confined checks who runs, and with what.
func (u *unitLab) confined() {
	t := u.t
	t.Helper()
	if got := u.m.show("ActiveState") + " " + u.m.show("SubState") + " " + u.m.show("StatusText"); !strings.HasPrefix(got, "active running") {
		t.Errorf("the service is %s", got)
	}
	user := strings.TrimSpace(u.m.must("id", "-u", "failoverd"))
	supervisor, agent := u.m.supervisor(), u.m.agentPID()
	const granted, none = "0000000000003400", "0000000000000000" // CAP_NET_BIND_SERVICE, CAP_NET_ADMIN, CAP_NET_RAW
	for _, p := range []struct {
		name string
		pid  int
		caps string
	}{
		{"supervisor", supervisor, granted}, {"agent", agent, granted}, {"speaker", childOf(t, agent), none},
	} {
		for field, want := range map[string]string{
			"Uid": user, "CapPrm": p.caps, "CapEff": p.caps, "CapAmb": p.caps, "CapBnd": granted, "NoNewPrivs": "1", "Seccomp": "2",
		} {
			if got := procField(t, p.pid, field); got != want {
				t.Errorf("%s of the %s is %s, want %s", field, p.name, got, want)
			}
		}
	}
	// Where it may write, as it sees the file systems.
	try := func(path string) error {
		return unix.Faccessat2(unix.AT_FDCWD, fmt.Sprintf("/proc/%d/root%s", agent, path), unix.W_OK, 0)
	}
	for _, path := range []string{"/run/failoverd", "/var/lib/failoverd", "/tmp", "/proc/sys/net/ipv4/ip_forward"} {
		if err := try(path); err != nil {
			t.Errorf("%s cannot be written: %v", path, err)
		}
	}
	for _, path := range []string{"/usr", "/etc", "/etc/passwd", "/var", "/proc/sys/kernel/hostname", "/sys/fs/cgroup", "/home"} {
		if err := try(path); err == nil {
			t.Errorf("%s can be written", path)
		}
	}
}

// reloads has systemd reload the service: with a configuration that is in force afterwards, and with one that is not.
func (u *unitLab) reloads() {
	t := u.t
	t.Helper()
	u.answering("a")
	pids := [2]int{u.m.supervisor(), u.m.agentPID()}
	since := time.Now()
	u.m.configure(strings.Replace(u.conf, fmt.Sprintf("priority %d", prioA), fmt.Sprintf("priority %d", prioA-1), 1))
	u.m.must("systemctl", "reload", "failoverd")
	if r := u.a.router(); r == nil || r.PriorityEffective != prioA-1 {
		t.Errorf("after the reload the router is %+v", r)
	}
	u.m.configure(u.conf + "nonsense\n")
	if out, code := u.m.do("systemctl", "reload", "failoverd"); code == 0 {
		t.Errorf("systemctl reload says nothing of a configuration that is refused: %s", out)
	}
	if got := u.m.show("ActiveState"); got != "active" {
		t.Errorf("after a reload that was refused the service is %s", got)
	}
	u.unharmed("reload", since)
	if got := [2]int{u.m.supervisor(), u.m.agentPID()}; got != pids {
		t.Errorf("after reloads the processes are %v, were %v", got, pids)
	}
	u.m.configure(u.conf)
	u.m.must("systemctl", "reload", "failoverd")
}

// clean checks that the service did not complain of what it may not do.
func (u *unitLab) clean() {
	u.t.Helper()
	for l := range strings.Lines(u.m.log()) {
		if strings.Contains(l, "not permitted") || strings.Contains(l, "permission denied") || strings.Contains(l, "read-only") {
			u.t.Errorf("log: %s", l)
		}
	}
}

// TestUnitRestart: systemd starts the service again when the supervisor is killed, and when the agent hangs; each time the
// other router serves meanwhile, and the service takes its role back.
func TestUnitRestart(t *testing.T) {
	t.Parallel()
	u := newUnitLab(t, "0.5", "WatchdogSec=4")
	for _, row := range []struct {
		name  string
		fault func()
	}{
		{"supervisor killed", func() { must(t, syscall.Kill(u.m.supervisor(), syscall.SIGKILL)) }},
		{"agent stopped", func() { must(t, syscall.Kill(u.m.agentPID(), syscall.SIGSTOP)) }},
	} {
		before, restarts, times := u.m.supervisor(), u.m.show("NRestarts"), u.mb.router().Counters.BecameMaster
		u.answering("a")
		since := time.Now()
		row.fault()
		waitFor(t, 25*time.Second, row.name+": another start", func() bool { return u.m.show("NRestarts") != restarts && u.m.show("ActiveState") == "active" })
		again := time.Since(since)
		u.serving()
		u.answering("a")
		if u.m.supervisor() == before {
			t.Errorf("%s: the same process is there", row.name)
		}
		if u.mb.router().Counters.BecameMaster == times {
			t.Errorf("%s: b has not been MASTER meanwhile", row.name)
		}
		if holds(t, u.b, u.vip) {
			waitFor(t, 3*time.Second, row.name+": b to let the address go", func() bool { return !holds(t, u.b, u.vip) })
		}
		t.Logf("%s: started again after %v; longest outage %v", row.name, again.Round(time.Millisecond), u.probe.Longest(since, time.Now()))
		if o := u.probe.Longest(since, time.Now()); o.Open || o.Duration() > 4*time.Second {
			t.Errorf("%s: an outage of %v", row.name, o)
		}
	}
	u.clean()
}
