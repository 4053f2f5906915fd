package integration

import (
	"os"
	"strings"
	"testing"
	"time"

	"failoverd/integration/lab"
)

// TestAddressRestored: a virtual address deleted by hand is back within a second, and said once.
func TestAddressRestored(t *testing.T) {
	t.Parallel()
	n := newLAN(t, false)
	a := startAgent(t, n.lab, n.a, n.instance(prioA, 3, "0.2"))
	a.waitState("MASTER", 5*time.Second)
	waitFor(t, 2*time.Second, "the address", func() bool { return holds(t, n.a, n.vip) })
	w := watchOf(t, n.a)
	deleted := time.Now()
	must(t, n.a.DeleteAddress("eth0", "192.0.2.10/32"))
	waitFor(t, time.Second, "the address to be back", func() bool { return holds(t, n.a, n.vip) })
	waitFor(t, time.Second, "the news of it to be read", func() bool {
		_, ok := lab.First(w.Sightings(), deleted, "address added 192.0.2.10/32")
		return ok
	})
	back := first(t, w, deleted, "address added 192.0.2.10/32")
	t.Logf("back after %v", back.Sub(deleted))
	time.Sleep(time.Second)
	if text := logOf(t, a.proc); strings.Count(text, "put back") != 1 {
		t.Errorf("the log speaks of it %d times, want once:\n%s", strings.Count(text, "put back"), text)
	}
	if r := a.router(); r.State != "MASTER" || r.Counters.BecameMaster != 1 {
		t.Errorf("the role was disturbed: %+v", r)
	}
}

func logOf(t *testing.T, p *lab.Process) string {
	t.Helper()
	return string(p.Log())
}

// TestStaleAddressAfterKill: an agent that is killed, or hangs, leaves no address beyond its lease.
func TestStaleAddressAfterKill_V3_HOST_13(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"SIGKILL", "SIGSTOP"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			n := newLAN(t, false)
			a := startAgent(t, n.lab, n.a, lines("global_defs {", "    vip_lease 3", "}")+n.instance(prioA, 3, "0.2"))
			b := startAgent(t, n.lab, n.b, n.instance(prioB, 3, "0.2"))
			a.waitState("MASTER", 5*time.Second)
			b.waitState("BACKUP", 5*time.Second)
			waitFor(t, 2*time.Second, "the address", func() bool { return holds(t, n.a, n.vip) })
			gone := time.Now()
			if how == "SIGKILL" {
				must(t, a.proc.Kill())
			} else {
				must(t, a.proc.Pause())
			}
			waitFor(t, 3*time.Second+500*time.Millisecond+slack, "the kernel to end the lease", func() bool { return !holds(t, n.a, n.vip) })
			t.Logf("address gone after %v", time.Since(gone))
			b.waitState("MASTER", time.Second)
			if how == "SIGSTOP" {
				// Back from the pause it must not act on what it believed: b is MASTER, a has the higher priority.
				resumed := time.Now()
				must(t, a.proc.Resume())
				waitFor(t, 3*time.Second, "exactly one to hold the address", func() bool { return holds(t, n.a, n.vip) != holds(t, n.b, n.vip) })
				time.Sleep(time.Second)
				if holds(t, n.a, n.vip) == holds(t, n.b, n.vip) {
					t.Errorf("%v after the pause, a and b both have the address, or neither", time.Since(resumed))
				}
			}
		})
	}
}

// TestLeftoversSwept: what a killed predecessor left is gone as soon as the agent starts again, and foreign addresses stay.
func TestLeftoversSwept(t *testing.T) {
	t.Parallel()
	n := newLAN(t, false)
	conf := lines("global_defs {", "    vip_lease 0", "}") + n.instance(prioA, 3, "1")
	a := startAgent(t, n.lab, n.a, conf)
	a.waitState("MASTER", 8*time.Second)
	waitFor(t, 2*time.Second, "the address", func() bool { return holds(t, n.a, n.vip) })
	must(t, a.proc.Kill())
	time.Sleep(slack)
	if !holds(t, n.a, n.vip) {
		t.Fatal("vip_lease 0 means an address that stays")
	}
	must(t, n.a.AddAddress("eth0", "192.0.2.77/24"))
	again := startAgent(t, n.lab, n.a, conf)
	again.waitState("BACKUP", 2*time.Second)
	waitFor(t, time.Second, "the leftover to be swept", func() bool { return !holds(t, n.a, n.vip) })
	if r, err := n.a.Addresses("eth0"); err != nil || !strings.Contains(joinPrefixes(r), "192.0.2.77/24") {
		t.Errorf("the foreign address went too: %v %v", r, err)
	}
	again.waitState("MASTER", 8*time.Second)
}

// TestInterfaceAppearsLater: a router whose interface is missing waits in FAULT and says so, and starts when it comes.
func TestInterfaceAppearsLater_V3_FSM_25(t *testing.T) {
	t.Parallel()
	notShort(t)
	l := lab.ForTest(t)
	sw, err := l.Switch("lan")
	must(t, err)
	n := &lan{t: t, lab: l, sw: sw}
	n.a, err = l.Node("a")
	must(t, err)
	a := startAgent(t, l, n.a, n.instance(prioA, 3, "0.2"))
	a.waitState("FAULT", 3*time.Second)
	if r := a.router(); !strings.Contains(r.Waiting, "eth0") {
		t.Errorf("status does not name the interface: %+v", r)
	}
	port, err := sw.Plug(n.a, "eth0")
	must(t, err)
	waitFor(t, 2*time.Second, "the missing address to be named", func() bool {
		r := a.router()
		return r != nil && strings.Contains(r.Waiting, "address to send from")
	})
	must(t, n.a.AddAddress("eth0", addrA))
	a.waitState("MASTER", 3*time.Second)
	must(t, port.Unplug())
	a.waitState("FAULT", 2*time.Second)
	must(t, port.Replug())
	a.waitState("MASTER", 3*time.Second)
	must(t, n.a.DeleteLink("eth0"))
	a.waitState("FAULT", 2*time.Second)
	_, err = sw.Plug(n.a, "eth0")
	must(t, err)
	must(t, n.a.AddAddress("eth0", addrA))
	a.waitState("MASTER", 3*time.Second)
}

// TestFootprint reports the figures that the README names; it fails only when they are out of all proportion.
func TestFootprint(t *testing.T) {
	st, err := os.Stat(binary)
	must(t, err)
	t.Logf("stripped static binary: %.1f MB", float64(st.Size())/1e6)
	if st.Size() > 25e6 {
		t.Errorf("the binary has %d octets, 25 %% more than the target of 20 MB", st.Size())
	}
	e := newEdge(t, "")
	a := startAgent(t, e.lab, e.a, e.speaker("a", "")+e.instance(prioA, 3, "1", announce(service+" speaker EDGE")...))
	a.waitSession(15 * time.Second)
	time.Sleep(2 * time.Second)
	agentMem, speakerMem := memory(t, a.pid()), memory(t, childOf(t, a.pid()))
	t.Logf("resident: agent %.1f MB, speaker %.1f MB", float64(agentMem)/1e6, float64(speakerMem)/1e6)
	t.Logf("resident: supervisor %.1f MB, most of it the program, which it shares with the agent", float64(memory(t, a.proc.PID()))/1e6)
	if agentMem > 2*25e6 || speakerMem > 2*25e6 {
		t.Error("twice the target of 25 MB each")
	}
}
