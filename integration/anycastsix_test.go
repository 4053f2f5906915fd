package integration

import (
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"failoverd/failover"
)

// service6 is the IPv6 prefix that the labs announce.
const service6 = "2001:db8:77::/48"

// anycastSixBird learns IPv6 routes over an IPv6 session, and forwards by them.
const anycastSixBird = `log stderr all;
router id 192.0.2.3;
protocol device { scan time 1; }
protocol kernel { ipv6 { import none; export all; }; }
protocol bgp p0 {
	local 2001:db8:2::3 as 64500; neighbor 2001:db8:2::1 as 64501;
	hold time 9; keepalive time 3; connect delay time 1; connect retry time 1; error wait time 1, 2;
	ipv6 { import all; export none; };
}
`

const anycastSixConfig = `bgp_speaker EDGE {
    local_as 64501
    router_id 192.0.2.1
    allow_prefix {
        2001:db8:77::/48
    }
    neighbor 2001:db8:2::3 {
        remote_as 64500
        local_address 2001:db8:2::1
        hold_time 9
        keepalive 3
        connect_retry 1
    }
}
health_check web {
    tcp 127.0.0.1:8080
    interval 0.2
    rise 1
    fall 2
}
anycast_service WEB {
    virtual_ipaddress {
        2001:db8:77::1
    }
    track_check { web }
    bgp_announce {
        2001:db8:77::/48 speaker EDGE med 10 community 64500:100 large_community 64500:1:2
    }
    drain_time 2
}
`

// route6 waits until BIRD has, or has not, the IPv6 route by way of the node, and returns what it says of it.
func (a *anycast) route6(want bool, d time.Duration) (out string) {
	a.t.Helper()
	waitFor(a.t, d, "the upstream to learn of the IPv6 route", func() bool {
		out = a.up.ask("show", "route", service6, "all")
		return strings.Contains(out, "via 2001:db8:2::1 ") == want
	})
	return out
}

// TestAnycastServiceIPv6: an IPv6 prefix over an IPv6 session with BIRD, in the order that IPv4 has: address, route; withdrawal,
// address. While there is a route, a client behind the upstream reaches the node by it.
func TestAnycastServiceIPv6(t *testing.T) {
	t.Parallel()
	need(t, "bird")
	a := &anycast{edge: &edge{lan: newLAN(t, false)}}
	a.up = startBirdText(t, a.lab, a.c, anycastSixBird)
	a.kernel = watchOf(t, a.a)
	a.serve(true)
	begun := time.Now()
	a.agent = startAgent(t, a.lab, a.a, anycastSixConfig)
	a.waitService(failover.ServiceAnnounced, 10*time.Second)
	a.agent.waitSession(15 * time.Second)
	out := a.route6(true, 5*time.Second)
	for _, want := range []string{"BGP.as_path: 64501\n", "BGP.next_hop: 2001:db8:2::1", "BGP.med: 10", "(64500,100)", "(64500, 1, 2)"} {
		if !strings.Contains(out, want) {
			t.Errorf("BIRD has no %q in:\n%s", want, out)
		}
	}
	added := first(t, a.kernel, begun, "address added 2001:db8:77::1/128 dev lo")
	inOrder(t, added, first(t, a.capture, begun, "announce "+service6), 5*time.Millisecond)
	client, err := a.c.Probe(anycastAddress6)
	must(t, err)
	if _, by, err := client.WaitForAnswer(time.Now(), 3*time.Second); err != nil || by != "a" {
		t.Errorf("a client by way of the route: an answer of %q, %v", by, err)
	}

	ended := func(since time.Time) {
		t.Helper()
		a.route6(false, 2*time.Second)
		waitFor(t, 2*time.Second, "the address to be gone", func() bool { return !holds(t, a.a, anycastAddress6) })
		time.Sleep(slack)
		withdrawn := first(t, a.capture, since, "withdraw "+service6)
		removed := first(t, a.kernel, since, "address removed 2001:db8:77::1/128 dev lo")
		inOrder(t, withdrawn, removed, 0)
		t.Logf("withdrawn %v after the cause, address removed %v later", withdrawn.Sub(since), removed.Sub(withdrawn))
	}
	died := time.Now()
	a.serve(false)
	a.waitService(failover.ServiceFault, 5*time.Second)
	ended(died)
	a.serve(true)
	a.waitService(failover.ServiceAnnounced, 5*time.Second)
	a.route6(true, 2*time.Second)

	drained := time.Now()
	a.agent.ask("drain", "WEB")
	a.waitService(failover.ServiceWithdrawn, 5*time.Second)
	ended(drained)
	list := updatesOf(a.capture, "2001:db8:2::1", netip.MustParsePrefix(service6), drained)
	if !slices.Equal(list, []string{"announce graceful-shutdown", "withdraw"}) {
		t.Errorf("the drain has sent %q", list)
	}
	a.agent.ask("undrain", "WEB")
	a.route6(true, 3*time.Second)

	stopped := time.Now()
	must(t, a.agent.proc.Signal(syscall.SIGTERM))
	if st, err := a.agent.proc.Wait(6 * time.Second); err != nil || st.ExitCode() != 0 {
		t.Errorf("an orderly end: %v, %v", st, err)
	}
	ended(stopped)
}
