package integration

import (
	"slices"
	"strings"
	"testing"
	"time"

	"failoverd/failover"
	"failoverd/integration/lab"
)

// TestAnycastDrain: a drain changes attributes and withdraws nothing before its time; its end brings all back.
func TestAnycastDrain(t *testing.T) {
	t.Parallel()
	a := newAnycast(t)
	drained := time.Now()
	a.agent.ask("drain", "WEB", "--reason", "disk")
	a.waitService(failover.ServiceDraining, 2*time.Second)
	time.Sleep(time.Second)
	if list := a.updates(drained); !slices.Equal(list, []string{"announce graceful-shutdown"}) {
		t.Errorf("the drain has sent %q", list)
	}
	if !holds(t, a.a, anycastAddress) {
		t.Error("the address is gone before drain_time has passed")
	}
	a.waitService(failover.ServiceWithdrawn, 3*time.Second)
	a.gone(2 * time.Second)
	a.withdrawnFirst(drained)
	if list := a.updates(drained); !slices.Equal(list, []string{"announce graceful-shutdown", "withdraw"}) {
		t.Errorf("the drain has sent %q", list)
	}
	if out := a.agent.ask("status"); !strings.Contains(out, "WITHDRAWN") || !strings.Contains(out, "disk") || strings.Contains(out, "MASTER") {
		t.Errorf("status:\n%s", out)
	}
	if out, code := a.agent.cli("switchover", "WEB"); code == 0 || !strings.Contains(out, "is drained") {
		t.Errorf("switchover: exit code %d: %s", code, out)
	}
	a.agent.ask("undrain", "WEB")
	a.waitService(failover.ServiceAnnounced, 2*time.Second)
	a.waitRoute("192.0.2.1", true, 2*time.Second)
	// One that is taken back while it still serves: attributes there and back, and nothing else.
	again := time.Now()
	a.agent.ask("drain", "WEB")
	a.waitService(failover.ServiceDraining, 2*time.Second)
	a.agent.ask("undrain", "WEB")
	time.Sleep(3 * time.Second)
	if list := a.updates(again); !slices.Equal(list, []string{"announce graceful-shutdown", "announce"}) {
		t.Errorf("a drain that was taken back has sent %q", list)
	}
	if s, ok := lab.First(a.kernel.Sightings(), again, "address removed"); ok {
		t.Errorf("a drain that was taken back: %s", s.What)
	}
}

// TestAnycastKilled: nothing outlives the agent. Its speaker withdraws at once or within bgp_lease, the kernel removes the addresses
// within vip_lease.
func TestAnycastKilled(t *testing.T) {
	t.Parallel()
	a := newAnycast(t)
	killed := time.Now()
	must(t, a.agent.proc.Kill())
	a.waitRoute("192.0.2.1", false, 4*time.Second)
	route := time.Since(killed)
	a.gone(4*time.Second + slack)
	address := time.Since(killed)
	t.Logf("after SIGKILL the route was gone within %v, the addresses within %v", route.Round(time.Millisecond), address.Round(time.Millisecond))
	if address > 3*time.Second+failover.KernelSlop+slack {
		t.Errorf("the addresses stayed for %v, vip_lease is 3 s", address)
	}
}
