package integration

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"failoverd/integration/lab"
)

// TestOneNodeAnycast: a local web server, its address on the loopback interface, and an external gobgpd with MD5. The server
// is killed and started again twenty times; each time the route is withdrawn, then the address goes, and both return with
// it, the address first.
func TestOneNodeAnycast(t *testing.T) {
	t.Parallel()
	notShort(t)
	need(t, "bird", "gobgpd")
	l := lab.ForTest(t)
	node, err := l.Node("node")
	must(t, err)
	up, err := l.Node("up")
	must(t, err)
	must(t, l.Connect(up, "node", node, "eth0"))
	must(t, up.AddAddress("node", "203.0.113.1/30"))
	must(t, node.AddAddress("eth0", "203.0.113.2/30"))
	b := startBirdText(t, l, up, exampleFile(t, "anycast/upstream.bird"))
	g := startGobgpdText(t, l, node, exampleFile(t, "anycast/gobgpd.toml"))
	wire, err := node.Capture("eth0")
	must(t, err)
	kernel := watchOf(t, node)
	service := startService(t, node)
	startExample(t, l, node, "anycast/node.conf", "", "/run/gobgp/gobgp.sock", g.socket)

	vip := netip.MustParseAddr("192.0.2.1")
	follows := func(there bool, d time.Duration) {
		t.Helper()
		waitFor(t, d, fmt.Sprintf("the route and the address to be there=%t", there), func() bool {
			return holds(t, node, vip) == there && strings.Contains(b.ask("show", "route", "192.0.2.1/32"), "via 203.0.113.2") == there
		})
	}
	waitFetch(t, up, "node", 15*time.Second, vip) // gobgpd's session takes 5 to 6 s
	follows(true, time.Second)
	// Two checks 0.2 s apart that take 0.2 s at most, and what BGP needs.
	const bound = 2*200*time.Millisecond + 200*time.Millisecond + 500*time.Millisecond + slack
	var down, back []time.Duration
	for i := range 20 {
		killed := time.Now()
		must(t, service.Kill())
		follows(false, bound)
		down = append(down, time.Since(killed))
		started := time.Now()
		service = startService(t, node)
		follows(true, bound+time.Second) // the server takes a moment to start
		back = append(back, time.Since(started))
		if got := fetch(up, vip); got != "node" {
			t.Errorf("round %d: the client is answered by %q", i+1, got)
		}
		first(t, wire, started, "203.0.113.2", "announce 192.0.2.1/32")
		// gobgpd confirms a withdrawal before it has sent it.
		inOrder(t, first(t, wire, killed, "203.0.113.2", "withdraw 192.0.2.1/32"), first(t, kernel, killed, "address removed 192.0.2.1/32"), 5*time.Millisecond)
		seen := lab.Merge(wire.Sightings(), kernel.Sightings())
		if err := lab.InOrder(seen, started, lab.Step{Parts: []string{"address added 192.0.2.1/32"}}, lab.Step{Parts: []string{"203.0.113.2", "announce 192.0.2.1/32"}}); err != nil {
			t.Errorf("round %d: %v", i+1, err)
		}
	}
	t.Logf("killed: gone after %v on the average; started: back after %v", average(down), average(back))
}

// average returns the mean of some durations.
func average(list []time.Duration) time.Duration {
	var sum time.Duration
	for _, d := range list {
		sum += d
	}
	return (sum / time.Duration(len(list))).Round(time.Millisecond)
}
