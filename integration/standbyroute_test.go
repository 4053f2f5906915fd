package integration

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"failoverd/integration/lab"
)

// standbyRoutes are what a router announces in each of its roles: always the same prefix, with other attributes.
var standbyRoutes = []string{
	"bgp_announce {",
	"    " + service + " speaker EDGE med 10",
	"    " + service + " speaker EDGE when backup med 10 prepend 3",
	"    " + service + " speaker EDGE when draining med 10 community graceful-shutdown",
	"}",
}

// What the upstream hears in each role.
const (
	asActive   = "announce"
	asDraining = "announce graceful-shutdown"
	asBackup   = "announce [64501 64501 64501 64501]"
)

// guardRoute looks every few milliseconds whether the upstream has a route to the service, until the end of what it returns.
func (e *edge) guardRoute() (end func() (looks, none int)) {
	ctx, cancel := context.WithCancel(e.t.Context())
	done := make(chan struct{})
	looks, none := 0, 0
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			looks++
			if !strings.Contains(e.up.ask("show", "route", service), "via 192.0.2.") {
				none++
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	return func() (int, int) {
		cancel()
		<-done
		return looks, none
	}
}

// best waits until the upstream prefers the route by way of an address.
func (e *edge) best(via string, d time.Duration) {
	e.t.Helper()
	waitFor(e.t, d, "the upstream to prefer "+via, func() bool {
		return strings.Contains(e.up.ask("show", "route", service, "primary"), "via "+via+" ")
	})
}

// announcers replays what the LAN has seen of two neighbors, and returns how few of them had the service announced at any
// moment after begin.
func announcers(c *lab.Capture, begin time.Time) (fewest int) {
	prefix, has := netip.MustParsePrefix(service), map[string]bool{}
	fewest = 2
	for _, m := range c.BGP() {
		src := m.Src.String()
		switch {
		case slices.Contains(m.Announced, prefix):
			has[src] = true
		case slices.Contains(m.Withdrawn, prefix), m.Type == lab.BGPNotification:
			delete(has, src)
			delete(has, m.Dst.String())
		}
		if m.At.After(begin) {
			fewest = min(fewest, len(has))
		}
	}
	return fewest
}

// TestStandbyRouteAcrossTakeovers: two routers announce one prefix in every role, the standby with a longer path. A change of
// role is one UPDATE with other attributes and no withdrawal, so that the upstream has a route at every moment: of a drain
// and its end, of a crash of the active agent, and of its return.
func TestStandbyRouteAcrossTakeovers(t *testing.T) {
	t.Parallel()
	e := newEdge(t, "")
	conf := func(host string, priority int) string {
		return e.speaker(host, "") + e.instance(priority, 3, "0.2", standbyRoutes...)
	}
	a := startAgent(t, e.lab, e.a, conf("a", prioA))
	a.waitState("MASTER", 8*time.Second)
	a.waitSession(15 * time.Second)
	b := startAgent(t, e.lab, e.b, conf("b", prioB))
	b.waitSession(15 * time.Second)
	e.waitRoute("192.0.2.2", true, 5*time.Second)
	e.best("192.0.2.1", 5*time.Second)
	begin := time.Now()
	end := e.guardRoute()

	sent := func(what string, since time.Time, ofA, ofB []string) {
		t.Helper()
		time.Sleep(time.Second) // the assertion is that nothing more comes
		prefix := netip.MustParsePrefix(service)
		if list := updatesOf(e.capture, "192.0.2.1", prefix, since); !slices.Equal(list, ofA) {
			t.Errorf("%s: a has sent %q, want %q", what, list, ofA)
		}
		if list := updatesOf(e.capture, "192.0.2.2", prefix, since); !slices.Equal(list, ofB) {
			t.Errorf("%s: b has sent %q, want %q", what, list, ofB)
		}
	}
	drained := time.Now()
	a.ask("drain", "V")
	takesOver(t, b, a, e.vip)
	e.best("192.0.2.2", 3*time.Second)
	sent("drain", drained, []string{asDraining, asBackup}, []string{asActive})

	back := time.Now()
	a.ask("undrain", "V")
	takesOver(t, a, b, e.vip)
	e.best("192.0.2.1", 3*time.Second)
	sent("undrain", back, []string{asActive}, []string{asDraining, asBackup})

	crashed := time.Now()
	must(t, a.proc.Kill()) // and its speaker, whose session ends with it
	b.waitState("MASTER", 3*time.Second)
	e.best("192.0.2.2", 6*time.Second)
	e.waitRoute("192.0.2.1", false, 6*time.Second)
	sent("crash", crashed, nil, []string{asActive})

	returned := time.Now()
	a = startAgent(t, e.lab, e.a, conf("a", prioA))
	a.waitState("MASTER", 20*time.Second)
	e.best("192.0.2.1", 5*time.Second)
	takesOver(t, a, b, e.vip)
	time.Sleep(time.Second)
	if list := updatesOf(e.capture, "192.0.2.2", netip.MustParsePrefix(service), returned); !slices.Equal(list, []string{asDraining, asBackup}) {
		t.Errorf("return: b has sent %q", list)
	}
	looks, none := end()
	if fewest := announcers(e.capture, begin); none > 0 || fewest < 1 {
		t.Errorf("%d of %d times the upstream had no route; at one moment %d routers announced one", none, looks, fewest)
	}
	t.Logf("the upstream had a route in all of %d looks", looks)
}
