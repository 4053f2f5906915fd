package integration

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestUnitRealTime: real-time priority and locked memory work under the unit, with its limits where this machine may raise
// limits, and else with the capabilities instead. So do checks, notify scripts, the recorder and a virtual MAC. A system call
// that the filter does not allow would kill the service here.
func TestUnitRealTime(t *testing.T) {
	t.Parallel()
	e := newEdge(t, "")
	m := boot(t, e.a)
	const told, recorded = "/var/lib/failoverd/told", "/var/lib/failoverd/recorded"
	m.script("/usr/local/bin/notify", "echo \"$3 $(id -un)\" >>"+told)
	extra := append(announce(service+" speaker EDGE"), "use_vmac", "notify /usr/local/bin/notify",
		"track_script {", "    script", "}", "track_check {", "    ping", "    page", "}")
	m.install(lines("global_defs {", "    vrrp_rt_priority 50", "    vrrp_no_swap", "    record "+recorded, "}",
		"vrrp_script script {", "    script /usr/bin/true", "    interval 1", "}",
		"health_check ping {", "    icmp 192.0.2.3", "    interval 1", "}",
		"health_check page {", "    http http://192.0.2.3:8080/", "    interval 1", "}") +
		e.speaker("a", "") + e.instance(prioA, 3, "0.5", extra...))
	startService(t, e.c)
	m.dropIn("filter", "SystemCallErrorNumber=kill")
	if !mayRaiseLimits(t) {
		t.Log("NOT TESTED: LimitRTPRIO= and LimitMEMLOCK=, because this machine lacks CAP_SYS_RESOURCE; CAP_SYS_NICE and CAP_IPC_LOCK do instead")
		const more = "CAP_SYS_NICE CAP_IPC_LOCK"
		m.dropIn("capabilities", "CapabilityBoundingSet="+more, "AmbientCapabilities="+more)
	}
	m.must("systemctl", "start", "failoverd")
	a := m.agent()
	a.waitState("MASTER", 8*time.Second)
	a.waitSession(15 * time.Second)
	e.waitRoute("192.0.2.1", true, 5*time.Second)
	waitFor(t, 3*time.Second, "the notify script", func() bool {
		b, err := os.ReadFile(m.path(told))
		return err == nil && strings.Contains(string(b), "MASTER failoverd\n")
	})
	pid := m.agentPID()
	for tid, p := range policies(t, pid) {
		if p != unix.SCHED_RR {
			t.Errorf("thread %d of the agent has the policy %d, want SCHED_RR", tid, p)
		}
	}
	if procField(t, pid, "VmLck") == "0" {
		t.Error("no memory of the agent is locked")
	}
	m.must("systemctl", "stop", "failoverd")
	if got := m.show("Result"); got != "success" {
		t.Errorf("the service ended with the result %s\n%s", got, m.log())
	}
	if st, err := os.Stat(m.path(recorded)); err != nil || st.Size() == 0 {
		t.Errorf("what was recorded: %v", err)
	}
	for l := range strings.Lines(m.log()) {
		if strings.Contains(l, `"level":"ERROR"`) || strings.Contains(l, "not locked") || strings.Contains(l, "no real-time") || strings.Contains(l, "not permitted") {
			t.Errorf("log: %s", l)
		}
	}
}

// mayRaiseLimits reports whether a service manager that this process starts can give more than it has.
func mayRaiseLimits(t *testing.T) bool {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	must(t, err)
	for l := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(l, "CapEff:"); ok {
			var caps uint64
			_, err := fmt.Sscanf(strings.TrimSpace(v), "%x", &caps)
			must(t, err)
			return caps&(1<<unix.CAP_SYS_RESOURCE) != 0
		}
	}
	return false
}
