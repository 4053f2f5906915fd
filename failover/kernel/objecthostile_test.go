package kernel

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"failoverd/failover"
)

func TestNewObjectsUsesTheNamespaceOfItsThread(t *testing.T) {
	w := newObjectWorld(t)
	var o *Objects
	var err error
	w.ns.do(func() { o, err = NewObjects(slog.New(slog.DiscardHandler), ObjectOptions{}) })
	w.check(err)
	r := startObjects(t, o.host, ObjectOptions{})
	r.clean(routes(unicast("10.8.0.0/16", "10.0.0.2", "")), toTable("10.8.0.0/16", 100))
	if list, rules := w.ours(); len(list) != 1 || rules != 1 {
		t.Errorf("%q, %d rules", list, rules)
	}
}

// A rule that refers to a missing goto target or interface is added all the same; one that cannot be is explained.
func TestRuleThatIsRefused(t *testing.T) {
	w := newObjectWorld(t)
	r := startObjects(t, w.openObjects(), ObjectOptions{})
	back := failover.KernelRule{Action: 2, Goto: 5, Priority: 9}
	rep := r.set(nil, back)
	if why := rep.RulesFailed[back]; why != "goto leads backwards" {
		t.Errorf("%q", why)
	}
	r.clean(nil)
}

func TestRoutesAndRulesPutBack(t *testing.T) {
	w := newObjectWorld(t)
	r := startObjects(t, w.openObjects(), ObjectOptions{Resync: time.Hour})
	v4, v6 := unicast("10.8.0.0/16", "10.0.0.2", ""), unicast("2001:db8:8::/48", "2001:db8::2", "")
	rule := toTable("10.8.0.0/16", 100)
	r.clean(routes(v4, v6), rule)
	for _, words := range []string{"route flush proto 112", "-6 route del 2001:db8:8::/48", "rule del pref 100"} {
		w.ip(words)
	}
	took := within(t, soon, "put back", func() bool {
		list, rules := w.ours()
		return len(list) == 2 && rules == 1
	})
	t.Logf("put back after %v", took)
	within(t, soon, "reported", func() bool {
		n := 0
		for _, rep := range r.all() {
			n += len(rep.RulesRestored)
		}
		return r.routesRestored(v4.Key()) == 1 && r.routesRestored(v6.Key()) == 1 && n == 1
	})
}

// Somebody who takes a route away again and again wins more and more time, and the report says what goes on.
func TestFightIsHeldBack(t *testing.T) {
	w := newObjectWorld(t)
	r := startObjects(t, w.openObjects(), ObjectOptions{})
	route, rule := unicast("10.8.0.0/16", "10.0.0.2", ""), toTable("10.8.0.0/16", 100)
	r.clean(routes(route), rule)
	for range freeRestores {
		w.ip("route del 10.8.0.0/16")
		w.ip("rule del pref 100")
		within(t, soon, "put back", func() bool {
			list, rules := w.ours()
			return len(list) == 1 && rules == 1
		})
	}
	// What goes before it was seen to be there is put back and not counted, so it may take more than one time.
	var removed time.Time
	within(t, soon, "held back", func() bool {
		const held = "removed by somebody else "
		list, rules := w.ours()
		if route := strings.HasPrefix(r.failure(&route), held); route && strings.HasPrefix(r.last().RulesFailed[rule], held) {
			return true
		} else if !route && len(list) == 1 {
			removed = time.Now()
			w.ip("route del 10.8.0.0/16")
		}
		if !strings.HasPrefix(r.last().RulesFailed[rule], held) && rules == 1 {
			w.ip("rule del pref 100")
		}
		return false
	})
	w.soonShows("put back in the end", 1)
	if took := time.Since(removed); took < firstHoldback {
		t.Errorf("put back after %v only", took)
	}
	within(t, soon, "all well", func() bool { return len(r.last().RoutesFailed)+len(r.last().RulesFailed) == 0 })
}

// A route of somebody else that has our key and leads elsewhere stays, whatever happens.
func TestRouteOfSomebodyElseInOurPlace(t *testing.T) {
	for _, row := range []struct{ family, dst, words, gateway string }{
		{"-4", "10.8.0.0/16", "via 10.0.0.77 proto static", "10.0.0.2"},
		{"-4", "10.8.0.0/16", "via 10.0.0.2 src 10.0.1.1", "10.0.0.2"},
		{"-4", "10.8.0.0/16", "via 10.0.0.2 mtu 1280", "10.0.0.2"},
		{"-6", "2001:db8:8::/48", "via 2001:db8::77", "2001:db8::2"},
	} {
		t.Run(row.dst+" "+row.words, func(t *testing.T) {
			w := newObjectWorld(t)
			r := startObjects(t, w.openObjects(), ObjectOptions{Resync: time.Hour})
			route := unicast(row.dst, row.gateway, "")
			w.ip(row.family + " route add " + row.dst + " " + row.words)
			theirs := fmt.Sprint(w.routeLines(route.Destination))
			want := "somebody else has a route with the same key: " + route.Key().String() + " via "
			if rep := r.set(routes(route)); !strings.HasPrefix(rep.RoutesFailed[route.Key()], want) {
				t.Errorf("failed: %q, want %q", rep.RoutesFailed, want)
			}
			r.set(nil)
			if now := fmt.Sprint(w.routeLines(route.Destination)); now != theirs {
				t.Errorf("changed: %s\nfrom %s", now, theirs)
			}
			r.set(routes(route))
			w.ip(row.family + " route del " + row.dst)
			within(t, soon, "added when there is room", func() bool { return r.failure(&route) == "" })
			w.soonShows("added", 1)

			w.ip(row.family + " route replace " + row.dst + " " + row.words)
			within(t, soon, "replaced", func() bool { return strings.HasPrefix(r.failure(&route), want) })
			if now := fmt.Sprint(w.routeLines(route.Destination)); now != theirs {
				t.Errorf("fought for: %s\nnot %s", now, theirs)
			}
		})
	}
}

// What somebody adds beside ours with the same key survives our changes.
func TestRouteBesideOurs(t *testing.T) {
	for _, row := range []struct{ name, words string }{
		{"behind", "route append 10.8.0.0/16 via 10.0.0.77"},
		{"before", "route prepend 10.8.0.0/16 via 10.0.0.77"},
		{"next hop", "-6 route append 2001:db8:8::/48 via 2001:db8::77"},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newObjectWorld(t)
			r := startObjects(t, w.openObjects(), ObjectOptions{Resync: time.Hour})
			one, two := unicast("10.8.0.0/16", "10.0.0.2", ""), unicast("10.8.0.0/16", "10.0.0.3", "")
			if row.name == "next hop" {
				one, two = unicast("2001:db8:8::/48", "2001:db8::2", ""), unicast("2001:db8:8::/48", "2001:db8::3", "")
			}
			theirs := func() int {
				return strings.Count(fmt.Sprint(w.routeLines(one.Destination)), "::77") +
					strings.Count(fmt.Sprint(w.routeLines(one.Destination)), "0.77")
			}
			r.clean(routes(one))
			w.ip(row.words)
			for range 3 {
				r.clean(routes(one))
				r.set(routes(two))
				if theirs() != 1 {
					t.Fatalf("after a change: %q", w.routeLines(one.Destination))
				}
				r.set(nil)
				if list := w.routeLines(one.Destination); theirs() != 1 || len(list) != 1 || strings.Contains(list[0], "nexthops") {
					t.Fatalf("after the end: %q", list)
				}
				family := familyOf(one.Destination)
				w.ip(family + " route del " + one.Destination.String())
				r.clean(routes(one))
				w.ip(row.words)
			}
		})
	}
}

// Routes and rules that carry our number at the first Set are a dead predecessor's; later ones are not our business.
func TestLeftoversAreSwept(t *testing.T) {
	w := newObjectWorld(t)
	for _, words := range []string{
		"route add 10.8.0.0/16 via 10.0.0.2 proto 112", "route add 10.9.0.0/16 via 10.0.0.2 proto 112 table 4711 metric 3",
		"route add 10.9.0.0/16 via 10.0.0.3 proto 112 table 4711 metric 4", "route append 10.9.0.0/16 via 10.0.0.4 proto static table 4711 metric 4",
		"route add blackhole 10.10.0.0/16 proto 112", "route add 10.11.0.0/16 via 10.0.0.2 proto static",
		"-6 route add 2001:db8:8::/48 proto 112 nexthop via 2001:db8::2 nexthop via 2001:db8:1::2",
		"-6 route add unreachable 2001:db8:9::/48 proto 112",
		"rule add from 10.8.0.0/16 table 100 pref 100 protocol 112", "rule add from 10.9.0.0/16 table 100 pref 101 protocol 112",
		"rule add from 10.9.0.0/16 table 100 pref 102 protocol static", "-6 rule add to 2001:db8::/32 goto 32766 pref 5 protocol 112",
	} {
		w.ip(words)
	}
	r := startObjects(t, w.openObjects(), ObjectOptions{Resync: time.Hour})
	kept, keptRule := unicast("10.8.0.0/16", "10.0.0.2", ""), toTable("10.8.0.0/16", 100)
	rep := r.clean(routes(kept), keptRule)
	if list, rules := w.ours(); len(list) != 1 || rules != 1 || rep.Swept != 7 {
		t.Errorf("left: %q and %d rules, swept %d", list, rules, rep.Swept)
	}
	for _, theirs := range []string{"10.11.0.0/16", "10.9.0.0/16"} {
		if list := w.routeLines(prefix(theirs)); len(list) != 1 || !strings.Contains(list[0], "static") {
			t.Errorf("the administrator's route to %s: %q", theirs, list)
		}
	}
	if list := w.ruleLines("-4"); len(list) != 2 {
		t.Errorf("rules: %q", list)
	}
	w.ip("route add 10.12.0.0/16 via 10.0.0.2 proto 112")
	rep = r.clean(nil)
	if list, rules := w.ours(); len(list) != 1 || rules != 0 || rep.Swept != 0 {
		t.Errorf("in the end: %q and %d rules, swept %d", list, rules, rep.Swept)
	}
}

// A route with a configured protocol is ours as long as it is what we wrote.
func TestConfiguredProtocol(t *testing.T) {
	w := newObjectWorld(t)
	r := startObjects(t, w.openObjects(), ObjectOptions{Resync: time.Hour})
	route := unicast("10.8.0.0/16", "10.0.0.2", "")
	route.Protocol = 4
	six := unicast("2001:db8:8::/48", "2001:db8::2", "")
	six.Protocol, six.Source = 4, addr("2001:db8::55")
	w.addAddress("2001:db8::55/64", "eth0")
	there := func() int { return len(w.routeLines(route.Destination)) + len(w.routeLines(six.Destination)) }
	r.clean(routes(route, six))
	if list := w.routeLines(route.Destination); len(list) != 1 || !strings.Contains(list[0], `"protocol":"static"`) {
		t.Fatalf("added: %q", list)
	}
	w.removeAddress("2001:db8::55/64", "eth0")
	within(t, soon, "failed", func() bool { return r.failure(&six) == "source address 2001:db8::55 is not on this host" })
	r.set(nil)
	if there() != 0 {
		t.Fatalf("left: %q %q", w.routeLines(route.Destination), w.routeLines(six.Destination))
	}
	w.addAddress("2001:db8::55/64", "eth0")
	r.clean(routes(route))
	other := route
	other.Protocol = 0
	r.clean(routes(other))
	if list := w.routeLines(route.Destination); len(list) != 1 || !strings.Contains(list[0], `"protocol":"112"`) {
		t.Fatalf("changed: %q", list)
	}
	r.clean(routes(route))
	w.ip("route replace 10.8.0.0/16 via 10.0.0.77 proto static")
	within(t, soon, "replaced", func() bool { return r.failure(&route) != "" })
	r.set(nil)
	if there() != 1 {
		t.Error("somebody else's route was deleted")
	}
}

// The kernel drops routes with their interface, IPv4 ones without a word. They are put back, and nobody is accused.
func TestRoutesOfInterfaceThatGoesDown(t *testing.T) {
	w := newObjectWorld(t)
	r := startObjects(t, w.openObjects(), ObjectOptions{Resync: time.Hour})
	list := routes(
		unicast("10.8.0.0/16", "", "eth0"), unicast("10.9.0.0/16", "10.0.0.2", ""), unicast("2001:db8:8::/48", "fe80::9", "eth0"),
		unicast("2001:db8:9::/48", "", "eth0"), unicast("10.10.0.0/16", "", "eth1"),
	)
	r.clean(list)
	for range 2 * freeRestores {
		w.setUp("eth0", false)
		w.soonShows("gone", 1)
		within(t, soon, "reported", func() bool { return r.failure(&list[0]) == "interface eth0 is down" && len(r.last().RoutesFailed) == 4 })
		w.setUp("eth0", true)
		took := w.soonShows("put back", 5)
		within(t, soon, "reported", func() bool { return len(r.last().RoutesFailed) == 0 })
		if took > time.Second {
			t.Errorf("put back after %v", took)
		}
	}
	for i := range list {
		if n := r.routesRestored(list[i].Key()); n != 0 {
			t.Errorf("%s: %d restored: nobody removed a route", list[i].Key(), n)
		}
	}
}

func TestRoutesOfInterfaceMadeAgain(t *testing.T) {
	w := newObjectWorld(t)
	r := startObjects(t, w.openObjects(), ObjectOptions{Resync: time.Hour})
	multipath := unicast("10.9.0.0/16", "", "")
	multipath.NextHops = []failover.NextHop{{Interface: "eth0", Weight: 1}, {Interface: "eth7", Weight: 2}}
	list := routes(unicast("10.8.0.0/16", "", "eth7"), multipath, unicast("2001:db8:8::/48", "fe80::9", "eth7"))
	rep := r.set(list)
	for i := range list {
		if why := rep.RoutesFailed[list[i].Key()]; why != "interface eth7 does not exist" {
			t.Errorf("%s: %q", list[i].Key(), why)
		}
	}
	for range 3 {
		w.addLink("eth7")
		w.soonShows("added", 3)
		w.removeLink("eth7")
		within(t, soon, "reported", func() bool { return len(r.last().RoutesFailed) == 3 })
		w.soonShows("gone", 0)
	}
}

// A route waits for its gateway, its source address and its interface, and needs no retry timer for that.
func TestRouteWaitsForWhatItNeeds(t *testing.T) {
	w := newObjectWorld(t)
	r := startObjects(t, w.openObjects(), ObjectOptions{Resync: time.Hour})
	far, far6 := unicast("10.8.0.0/16", "172.16.0.2", ""), unicast("2001:db8:8::/48", "2001:db8:77::2", "")
	from := unicast("10.9.0.0/16", "10.0.0.2", "")
	from.Source = addr("10.0.0.99")
	rep := r.set(routes(far, far6, from))
	for _, row := range []struct {
		route failover.KernelRoute
		want  string
	}{
		{far, "gateway 172.16.0.2 cannot be reached directly"},
		{far6, "gateway 2001:db8:77::2 cannot be reached directly"},
		{from, "source address 10.0.0.99 is not on this host"},
	} {
		if why := rep.RoutesFailed[row.route.Key()]; !strings.HasPrefix(why, row.want) {
			t.Errorf("%q, want %q", why, row.want)
		}
	}
	w.addAddress("10.0.0.99/32", "eth0")
	w.addAddress("172.16.0.1/24", "eth1")
	w.ip("-6 route add 2001:db8:77::/64 dev eth1")
	if took := w.soonShows("added", 3); took > firstObjectRetry/2 {
		t.Errorf("only after %v: that was a timer", took)
	}
	w.removeAddress("10.0.0.99/32", "eth0")
	within(t, soon, "gone with its source", func() bool { return r.failure(&from) == "source address 10.0.0.99 is not on this host" })
	w.addAddress("10.0.0.99/32", "eth0")
	w.soonShows("back with its source", 3)
}

// The source address of a route may be on an interface that the route does not use. IPv4 routes go with it, IPv6 ones
// only lose it.
func TestSourceAddressGoesAndComesBack(t *testing.T) {
	w := newObjectWorld(t)
	r := startObjects(t, w.openObjects(), ObjectOptions{Resync: time.Hour})
	v4, v6 := unicast("10.8.0.0/16", "10.0.0.2", ""), unicast("2001:db8:8::/48", "2001:db8::2", "")
	v4.Source, v6.Source = addr("192.0.2.99"), addr("2001:db8:99::1")
	for range 3 {
		w.addAddress("192.0.2.99/32", "eth1")
		w.addAddress("2001:db8:99::1/128", "eth1")
		r.clean(routes(v4, v6))
		w.removeAddress("192.0.2.99/32", "eth1")
		w.removeAddress("2001:db8:99::1/128", "eth1")
		within(t, soon, "failed", func() bool {
			return r.failure(&v4) == "source address 192.0.2.99 is not on this host" &&
				r.failure(&v6) == "source address 2001:db8:99::1 is not on this host"
		})
		w.addAddress("192.0.2.99/32", "eth1")
		w.addAddress("2001:db8:99::1/128", "eth1")
		within(t, soon, "back", func() bool { return len(r.last().RoutesFailed) == 0 })
		list := append(w.routeLines(v4.Destination), w.routeLines(v6.Destination)...)
		if len(list) != 2 || !strings.Contains(list[0], "192.0.2.99") || !strings.Contains(list[1], "2001:db8:99::1") {
			t.Errorf("there: %q", list)
		}
		r.clean(nil)
		w.removeAddress("192.0.2.99/32", "eth1")
		w.removeAddress("2001:db8:99::1/128", "eth1")
	}
}

// A route that another one needs to reach its gateway may be wanted after it.
func TestRoutesThatNeedEachOther(t *testing.T) {
	w := newObjectWorld(t)
	r := startObjects(t, w.openObjects(), ObjectOptions{})
	list := routes(
		unicast("10.8.0.0/16", "172.16.0.2", ""), unicast("2001:db8:8::/48", "2001:db8:77::2", ""),
		unicast("172.16.0.0/24", "", "eth1"), unicast("2001:db8:77::/64", "", "eth1"),
	)
	r.clean(list)
	if shown, _ := w.ours(); len(shown) != 4 {
		t.Errorf("there: %q", shown)
	}
	// The route that is needed goes, and comes back in a moment.
	w.ip("route flush root 172.16.0.0/24")
	w.ip("-6 route del 2001:db8:77::/64")
	w.soonShows("back", 4)
	r.clean(nil)
}

// Rules that the kernel cannot tell apart take turns.
func TestRuleThatDiffersInNotOnly(t *testing.T) {
	w := newObjectWorld(t)
	r := startObjects(t, w.openObjects(), ObjectOptions{})
	plain, not := toTable("10.8.0.0/16", 100), toTable("10.8.0.0/16", 100)
	not.Not = true
	for range 3 {
		r.clean(nil, plain)
		r.clean(nil, not)
	}
	r.clean(nil)
	// A rule with fewer selectors must not take a more special one with it.
	special := toTable("10.8.0.0/16", 100)
	special.InInterface = "eth0"
	r.clean(nil, special, plain)
	r.clean(nil, special)
	if list := w.ruleLines("-4"); len(list) != 1 || !strings.Contains(list[0], "eth0") {
		t.Errorf("left: %q", list)
	}
	for _, rep := range r.all() {
		if len(rep.RulesRestored) > 0 {
			t.Errorf("accused somebody: %v", rep.RulesRestored)
		}
	}
}

// A rule that somebody else has as well is not added a second time, but is there when the other one goes.
func TestRuleOfSomebodyElse(t *testing.T) {
	w := newObjectWorld(t)
	r := startObjects(t, w.openObjects(), ObjectOptions{Resync: time.Hour})
	rule := toTable("10.8.0.0/16", 100)
	r.clean(nil)
	for range 3 {
		w.ip("rule add from 10.8.0.0/16 table 100 pref 100 protocol 4")
		r.clean(nil, rule)
		if list := w.ruleLines("-4"); len(list) != 1 {
			t.Errorf("added a second time: %q", list)
		}
		w.ip("rule del pref 100")
		within(t, soon, "added", func() bool { _, n := w.ours(); return n == 1 })
		r.clean(nil)
		if list := w.ruleLines("-4"); len(list) != 0 {
			t.Errorf("left: %q", list)
		}
	}
}

func TestObjectsSurviveOverrun(t *testing.T) {
	w := newObjectWorld(t)
	h := &smallObjectHost{objectHost: w.openObjects()}
	r := startObjects(t, h, ObjectOptions{Resync: time.Hour})
	route, rule := unicast("10.8.0.0/16", "10.0.0.2", ""), toTable("10.8.0.0/16", 100)
	r.clean(routes(route), rule)
	h.feed.mu.Lock() // nobody reads
	for i := range 100 {
		w.ip(fmt.Sprintf("route add 10.9.%d.0/24 dev eth1", i))
	}
	w.ip("route del 10.8.0.0/16")
	w.ip("rule del pref 100")
	h.feed.mu.Unlock()
	within(t, soon, "restored", func() bool { return r.routesRestored(route.Key()) == 1 })
	h.feed.mu.Lock()
	defer h.feed.mu.Unlock()
	if h.feed.overruns == 0 {
		t.Error("no overrun: the test shows nothing")
	}
}

// smallObjectHost gives its subscription a tiny receive buffer.
type smallObjectHost struct {
	objectHost
	feed *netlinkObjectFeed
}

func (h *smallObjectHost) subscribe() (objectFeed, error) {
	f, err := h.objectHost.subscribe()
	if err != nil {
		return nil, err
	}
	h.feed = f.(*netlinkObjectFeed)
	return f, h.feed.sock.raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 1) })
}
