package integration

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"failoverd/failover"
	"failoverd/integration/lab"
)

// anycastAddress is what the service of the lab has on lo, in both families.
var anycastAddress, anycastAddress6 = netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("2001:db8:77::1")

// anycast is one node with an anycast service behind BIRD, and what stands behind its address: a TCP port.
type anycast struct {
	*edge
	agent    *agent
	kernel   *lab.Watch
	listener net.Listener
}

// anycastConfig checks five times a second, so that the time that the check takes is not what the lab is about.
const anycastConfig = `health_check web {
    tcp 127.0.0.1:8080
    interval 0.2
    rise 1
    fall 2
}
anycast_service WEB {
    virtual_ipaddress {
        198.51.100.1
        2001:db8:77::1
    }
    track_check { web }
    bgp_announce {
        198.51.100.0/24 speaker EDGE med 10
    }
    drain_time 2
}
`

func newAnycast(t *testing.T) *anycast {
	t.Helper()
	a := &anycast{edge: newEdge(t, "")}
	a.kernel = watchOf(t, a.a)
	a.serve(true)
	a.agent = startAgent(t, a.lab, a.a, a.speaker("a", "")+anycastConfig)
	a.waitService(failover.ServiceAnnounced, 10*time.Second)
	a.agent.waitSession(15 * time.Second)
	a.waitRoute("192.0.2.1", true, 5*time.Second)
	return a
}

// serve makes the service work, or not.
func (a *anycast) serve(on bool) {
	a.t.Helper()
	if !on {
		must(a.t, a.listener.Close())
		return
	}
	must(a.t, a.a.Do(func() (err error) {
		a.listener, err = net.Listen("tcp", "127.0.0.1:8080")
		return err
	}))
}

func (a *anycast) waitService(state string, d time.Duration) {
	a.t.Helper()
	waitFor(a.t, d, "the service to be "+state, func() bool {
		s := a.agent.status()
		return s != nil && len(s.Services) == 1 && s.Services[0].State == state
	})
}

// gone waits until neither address is on the node.
func (a *anycast) gone(d time.Duration) {
	a.t.Helper()
	waitFor(a.t, d, "the addresses to be gone", func() bool {
		return !holds(a.t, a.a, anycastAddress) && !holds(a.t, a.a, anycastAddress6)
	})
}

// withdrawnFirst asserts the order of an end: the UPDATE that withdraws on the wire, then the address.
func (a *anycast) withdrawnFirst(since time.Time) {
	a.t.Helper()
	time.Sleep(slack)
	withdrawn := first(a.t, a.capture, since, "192.0.2.1 ", "withdraw "+service)
	removed := first(a.t, a.kernel, since, "address removed 198.51.100.1/32 dev lo")
	inOrder(a.t, withdrawn, removed, 0)
	a.t.Logf("withdrawn %v after the cause, address removed %v later", withdrawn.Sub(since), removed.Sub(withdrawn))
}

// updates are what the node has sent of the prefix since, as "announce" with its communities, or "withdraw".
func (a *anycast) updates(since time.Time) []string {
	return updatesOf(a.capture, "192.0.2.1", netip.MustParsePrefix(service), since)
}

// updatesOf are what a neighbor of an upstream has said of a prefix since, as "announce", "announce graceful-shutdown", or "withdraw";
// with a path of more than one AS, the AS numbers as well.
func updatesOf(c *lab.Capture, src string, prefix netip.Prefix, since time.Time) (list []string) {
	for _, m := range c.BGP() {
		if m.At.Before(since) || m.Src.String() != src {
			continue
		}
		if slices.Contains(m.Announced, prefix) {
			what := "announce"
			if slices.Contains(m.Communities, 0xFFFF0000) {
				what += " graceful-shutdown"
			}
			if len(m.ASPath) > 1 {
				what += fmt.Sprintf(" %v", m.ASPath)
			}
			list = append(list, what)
		}
		if slices.Contains(m.Withdrawn, prefix) {
			list = append(list, "withdraw")
		}
	}
	return list
}

// TestAnycastService: one node on a real kernel, behind a real BIRD. The order of start and end is proven with stamps of the
// wire and of the kernel's news.
func TestAnycastService(t *testing.T) {
	t.Parallel()
	begun := time.Now()
	a := newAnycast(t)
	added := first(t, a.kernel, begun, "address added 198.51.100.1/32 dev lo")
	announced := first(t, a.capture, begun, "192.0.2.1 ", "announce "+service)
	inOrder(t, added, announced, 5*time.Millisecond)
	if !holds(t, a.a, anycastAddress6) {
		t.Error("the IPv6 address is not there")
	}
	for _, p := range a.capture.Packets() {
		if strings.Contains(p.String(), "vrrp") || p.ARP != nil && p.ARP.Sender == anycastAddress {
			t.Fatalf("a service without a peer has sent %s", p.String())
		}
	}

	for round := range 3 {
		died := time.Now()
		a.serve(false)
		a.waitService(failover.ServiceFault, 5*time.Second)
		a.waitRoute("192.0.2.1", false, 2*time.Second)
		a.gone(2 * time.Second)
		a.withdrawnFirst(died)
		a.serve(true)
		a.waitService(failover.ServiceAnnounced, 5*time.Second)
		a.waitRoute("192.0.2.1", true, 2*time.Second)
		if !holds(t, a.a, anycastAddress) || !holds(t, a.a, anycastAddress6) {
			t.Errorf("round %d: an address is missing", round)
		}
	}

	// A lease is renewed: the addresses are there after more than vip_lease.
	time.Sleep(4 * time.Second)
	if !holds(t, a.a, anycastAddress) || !holds(t, a.a, anycastAddress6) {
		t.Error("the addresses are gone although the service is well")
	}
	quiet := time.Now()
	if out, code := a.agent.cli("reload"); code != 0 {
		t.Errorf("reload: exit code %d: %s", code, out)
	}
	time.Sleep(time.Second)
	if list := a.updates(quiet); len(list) > 0 {
		t.Errorf("a reload of the same file has sent %q", list)
	}
	if s, ok := lab.First(a.kernel.Sightings(), quiet, "address removed"); ok {
		t.Errorf("a reload of the same file: %s", s.What)
	}
}
