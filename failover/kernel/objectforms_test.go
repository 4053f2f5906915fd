package kernel

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"failoverd/failover"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// routeForms are routes, and how iproute2 is told to add the same.
func routeForms() []struct {
	words string
	route failover.KernelRoute
} {
	with := func(r failover.KernelRoute, change func(*failover.KernelRoute)) failover.KernelRoute {
		change(&r)
		return r
	}
	discarding := func(kind uint8, dst string) failover.KernelRoute {
		return failover.KernelRoute{Type: kind, Destination: prefix(dst), Table: 254}
	}
	return []struct {
		words string
		route failover.KernelRoute
	}{
		{"10.8.0.0/16 via 10.0.0.2", unicast("10.8.0.0/16", "10.0.0.2", "")},
		{"default via 10.0.0.2", unicast("0.0.0.0/0", "10.0.0.2", "")},
		{"10.8.0.9/32 via 10.0.0.2 dev eth0", unicast("10.8.0.9/32", "10.0.0.2", "eth0")},
		{"10.8.0.0/16 dev eth1", unicast("10.8.0.0/16", "", "eth1")},
		{"10.8.0.0/16 dev eth1 scope global", with(unicast("10.8.0.0/16", "", "eth1"), func(r *failover.KernelRoute) { r.Scope = 0 })},
		{"10.8.0.0/16 dev eth1 scope 70", with(unicast("10.8.0.0/16", "", "eth1"), func(r *failover.KernelRoute) { r.Scope = 70 })},
		{"10.8.0.0/16 via 10.0.0.2 src 10.0.1.1", with(unicast("10.8.0.0/16", "10.0.0.2", ""), func(r *failover.KernelRoute) { r.Source = addr("10.0.1.1") })},
		{"10.8.0.0/16 via 10.0.0.2 table 100 metric 50", with(unicast("10.8.0.0/16", "10.0.0.2", ""), func(r *failover.KernelRoute) { r.Table, r.Metric = 100, 50 })},
		{"10.8.0.0/16 via 10.0.0.2 table 4000000000", with(unicast("10.8.0.0/16", "10.0.0.2", ""), func(r *failover.KernelRoute) { r.Table = 4000000000 })},
		{"10.8.0.0/16 tos 0x10 via 10.0.0.2", with(unicast("10.8.0.0/16", "10.0.0.2", ""), func(r *failover.KernelRoute) { r.TOS = 0x10 })},
		{
			"10.8.0.0/16 via 10.0.0.2 mtu lock 1400 advmss 1300 hoplimit 9 initcwnd 12 initrwnd 13",
			with(unicast("10.8.0.0/16", "10.0.0.2", ""), func(r *failover.KernelRoute) {
				r.MTU, r.MTULock, r.AdvMSS, r.HopLimit, r.InitCwnd, r.InitRwnd = 1400, true, 1300, 9, 12, 13
			}),
		},
		{"10.8.0.0/16 via 10.0.0.2 mtu 1400", with(unicast("10.8.0.0/16", "10.0.0.2", ""), func(r *failover.KernelRoute) { r.MTU = 1400 })},
		{"10.8.0.0/16 via 192.0.2.1 dev eth0 onlink", with(unicast("10.8.0.0/16", "192.0.2.1", "eth0"), func(r *failover.KernelRoute) { r.OnLink = true })},
		{"10.8.0.0/16 via inet6 fe80::9 dev eth0", unicast("10.8.0.0/16", "fe80::9", "eth0")},
		{
			"10.8.0.0/16 nexthop via 10.0.1.2 dev eth1 weight 256 nexthop via 10.0.0.2 weight 2",
			with(unicast("10.8.0.0/16", "10.0.0.2", ""), func(r *failover.KernelRoute) {
				r.Gateway = netip.Addr{}
				r.NextHops = []failover.NextHop{{Gateway: addr("10.0.1.2"), Interface: "eth1", Weight: 256}, {Gateway: addr("10.0.0.2"), Weight: 2}}
			}),
		},
		{
			"10.8.0.0/16 scope link nexthop dev eth0 nexthop dev eth1",
			with(unicast("10.8.0.0/16", "", ""), func(r *failover.KernelRoute) {
				r.NextHops = []failover.NextHop{{Interface: "eth0", Weight: 1}, {Interface: "eth1", Weight: 1}}
			}),
		},
		{
			"10.8.0.0/16 via 10.0.0.2",
			with(unicast("10.8.0.0/16", "10.0.0.2", ""), func(r *failover.KernelRoute) {
				r.Gateway, r.NextHops = netip.Addr{}, []failover.NextHop{{Gateway: addr("10.0.0.2"), Weight: 7}}
			}),
		},
		{"blackhole 10.8.0.0/16", discarding(6, "10.8.0.0/16")},
		{"unreachable 10.8.0.0/16 metric 9", with(discarding(7, "10.8.0.0/16"), func(r *failover.KernelRoute) { r.Metric = 9 })},
		{"prohibit 10.8.0.0/16", discarding(8, "10.8.0.0/16")},
		{"throw 10.8.0.0/16 table 100", with(discarding(9, "10.8.0.0/16"), func(r *failover.KernelRoute) { r.Table = 100 })},
		{"local 10.8.0.0/16 dev lo", failover.KernelRoute{Type: 2, Destination: prefix("10.8.0.0/16"), Interface: "lo", Scope: 254, Table: 255}},
		{"broadcast 10.8.0.9 dev eth0", failover.KernelRoute{Type: 3, Destination: prefix("10.8.0.9/32"), Interface: "eth0", Scope: 253, Table: 255}},
		{"multicast 239.1.0.0/16 dev eth0 scope link", failover.KernelRoute{Type: 5, Destination: prefix("239.1.0.0/16"), Interface: "eth0", Scope: 253, Table: 254}},

		{"2001:db8:8::/48 via 2001:db8::2", unicast("2001:db8:8::/48", "2001:db8::2", "")},
		{"default via fe80::9 dev eth0", unicast("::/0", "fe80::9", "eth0")},
		{"2001:db8:8::9/128 dev eth1", unicast("2001:db8:8::9/128", "", "eth1")},
		{"2001:db8:8::/48 via 2001:db8::2 metric 7 table 300", with(unicast("2001:db8:8::/48", "2001:db8::2", ""), func(r *failover.KernelRoute) { r.Metric, r.Table = 7, 300 })},
		{"2001:db8:8::/48 via 2001:db8::2 src 2001:db8::1", with(unicast("2001:db8:8::/48", "2001:db8::2", ""), func(r *failover.KernelRoute) { r.Source = addr("2001:db8::1") })},
		{
			"2001:db8:8::/48 via 2001:db8::2 mtu lock 1400 advmss 1300 hoplimit 9 initcwnd 12 initrwnd 13",
			with(unicast("2001:db8:8::/48", "2001:db8::2", ""), func(r *failover.KernelRoute) {
				r.MTU, r.MTULock, r.AdvMSS, r.HopLimit, r.InitCwnd, r.InitRwnd = 1400, true, 1300, 9, 12, 13
			}),
		},
		{"2001:db8:8::/48 via 2001:db8:77::1 dev eth0 onlink", with(unicast("2001:db8:8::/48", "2001:db8:77::1", "eth0"), func(r *failover.KernelRoute) { r.OnLink = true })},
		{
			"2001:db8:8::/48 nexthop via 2001:db8:1::2 weight 3 nexthop via fe80::9 dev eth0",
			with(unicast("2001:db8:8::/48", "2001:db8::2", ""), func(r *failover.KernelRoute) {
				r.Gateway = netip.Addr{}
				r.NextHops = []failover.NextHop{{Gateway: addr("2001:db8:1::2"), Weight: 3}, {Gateway: addr("fe80::9"), Interface: "eth0", Weight: 1}}
			}),
		},
		{"blackhole 2001:db8:8::/48", discarding(6, "2001:db8:8::/48")},
		{"unreachable 2001:db8:8::/48", discarding(7, "2001:db8:8::/48")},
		{"prohibit 2001:db8:8::/48", discarding(8, "2001:db8:8::/48")},
		{"throw 2001:db8:8::/48", discarding(9, "2001:db8:8::/48")},
		{"local 2001:db8:8::/48 dev lo", failover.KernelRoute{Type: 2, Destination: prefix("2001:db8:8::/48"), Interface: "lo", Table: 255}},
		{"multicast ff05::/16 dev eth0", failover.KernelRoute{Type: 5, Destination: prefix("ff05::/16"), Interface: "eth0", Table: 254}},
	}
}

func familyOf(p netip.Prefix) string {
	if p.Addr().Is6() {
		return "-6"
	}
	return "-4"
}

// Every form of a route is to the kernel what iproute2 makes of the same words; and when somebody else has it already,
// it is there, and stays.
func TestRouteForms(t *testing.T) {
	w := newObjectWorld(t)
	r := startObjects(t, w.openObjects(), ObjectOptions{})
	for _, row := range routeForms() {
		t.Run(row.words, func(t *testing.T) {
			family := familyOf(row.route.Destination)
			dst := row.route.Destination
			w.ip(family + " route add proto 112 " + row.words)
			want := w.routeLines(dst)
			w.ip(family + " route del proto 112 " + row.words)
			if len(want) != 1 || len(w.routeLines(dst)) != 0 {
				t.Fatalf("the test is wrong: %q, then %q", want, w.routeLines(dst))
			}

			r.clean(routes(row.route))
			if diff := cmp.Diff(want, w.routeLines(dst)); diff != "" {
				t.Errorf("added (-iproute2 +ours):\n%s", diff)
			}
			r.clean(nil)
			if left := w.routeLines(dst); len(left) != 0 {
				t.Fatalf("left: %q", left)
			}

			w.ip(family + " route add proto 4 " + row.words)
			theirs := w.routeLines(dst)
			r.clean(routes(row.route))
			r.clean(nil)
			if diff := cmp.Diff(theirs, w.routeLines(dst)); diff != "" {
				t.Errorf("somebody else's (-before +after):\n%s", diff)
			}
			w.ip(family + " route del " + row.words)
		})
	}
}

// Each form replaces each other one of the same key, without a moment without a route.
func TestRouteFormsReplaceEachOther(t *testing.T) {
	w := newObjectWorld(t)
	h := w.openObjects()
	r := startObjects(t, h, ObjectOptions{})
	forms := routeForms()
	watch := w.openObjects()
	feed, err := watch.subscribe()
	w.check(err)
	t.Cleanup(func() { feed.close(); w.check(watch.close()) })
	for i := range forms {
		for j := range forms {
			from, to := &forms[i].route, &forms[j].route
			if from.Key() != to.Key() || i == j {
				continue
			}
			r.clean(routes(*from))
			feed.take()
			r.clean(routes(*to))
			changes, _ := feed.take()
			for k := range changes {
				if c := &changes[k]; c.kind == objectRoute && c.gone {
					t.Errorf("%s -> %s: deleted on the way", forms[i].words, forms[j].words)
				}
			}
			got := w.routeLines(to.Destination)
			r.clean(nil)
			r.clean(routes(*to))
			if want := w.routeLines(to.Destination); !slices.Equal(got, want) {
				t.Errorf("%s -> %s:\nreplaced: %q\nadded:    %q", forms[i].words, forms[j].words, got, want)
			}
			r.clean(nil)
			if left := w.routeLines(to.Destination); len(left) != 0 {
				t.Fatalf("%s -> %s: left %q", forms[i].words, forms[j].words, left)
			}
		}
	}
}

// What is there is not written again, however often it is compared, also where the kernel keeps another value.
func TestRoutesAreWrittenOnce(t *testing.T) {
	w := newObjectWorld(t)
	const resync = 10 * time.Millisecond
	r := startObjects(t, w.openObjects(), ObjectOptions{Resync: resync})
	watch := w.openObjects()
	feed, err := watch.subscribe()
	w.check(err)
	t.Cleanup(func() { feed.close(); w.check(watch.close()) })
	clamped := unicast("10.8.0.0/16", "10.0.0.2", "")
	clamped.MTU, clamped.HopLimit = 70000, 300
	forms := append(routeForms(), struct {
		words string
		route failover.KernelRoute
	}{"mtu and hoplimit that the kernel clamps", clamped})
	for i := range forms {
		r.clean(routes(forms[i].route))
		feed.take()
		staysFor(t, 5*resync, "written once: "+forms[i].words, func() bool {
			changes, _ := feed.take()
			return !slices.ContainsFunc(changes, func(c objectChange) bool {
				return c.kind == objectRoute && c.route.key == forms[i].route.Key()
			})
		})
	}
}

func TestRuleForms(t *testing.T) {
	w := newObjectWorld(t)
	r := startObjects(t, w.openObjects(), ObjectOptions{})
	base := failover.KernelRule{Action: 1, Table: 100, Priority: 50}
	with := func(change func(*failover.KernelRule)) failover.KernelRule {
		rule := base
		change(&rule)
		return rule
	}
	for _, row := range []struct {
		words string
		rule  failover.KernelRule
	}{
		{"from all table 100", base},
		{"from 10.1.0.0/16 table 100", with(func(r *failover.KernelRule) { r.From = prefix("10.1.0.0/16") })},
		{"from 10.1.0.9 to 10.2.0.0/16 table 4000000000", with(func(r *failover.KernelRule) {
			r.From, r.To, r.Table = prefix("10.1.0.9/32"), prefix("10.2.0.0/16"), 4000000000
		})},
		{"not from 10.1.0.0/16 table 100", with(func(r *failover.KernelRule) { r.Not, r.From = true, prefix("10.1.0.0/16") })},
		{"from all iif eth0 oif eth1 table 100", with(func(r *failover.KernelRule) { r.InInterface, r.OutInterface = "eth0", "eth1" })},
		{"from all iif nowhere table 100", with(func(r *failover.KernelRule) { r.InInterface = "nowhere" })},
		{"from all tos 0x10 table 100", with(func(r *failover.KernelRule) { r.TOS = 0x10 })},
		{"from all fwmark 7 table 100", with(func(r *failover.KernelRule) { r.Mark, r.Mask = 7, 0xffffffff })},
		{"from all fwmark 0x10/0xf0 table 100", with(func(r *failover.KernelRule) { r.Mark, r.Mask = 0x10, 0xf0 })},
		{"from all fwmark 0/0xf0 table 100", with(func(r *failover.KernelRule) { r.Mask = 0xf0 })},
		{"from 10.1.0.0/16 goto 200", with(func(r *failover.KernelRule) { r.From, r.Action, r.Table, r.Goto = prefix("10.1.0.0/16"), 2, 0, 200 })},
		{"from all nop", with(func(r *failover.KernelRule) { r.Action, r.Table = 3, 0 })},
		{"from all type blackhole", with(func(r *failover.KernelRule) { r.Action, r.Table = 6, 0 })},
		{"from all type unreachable", with(func(r *failover.KernelRule) { r.Action, r.Table = 7, 0 })},
		{"from all type prohibit", with(func(r *failover.KernelRule) { r.Action, r.Table = 8, 0 })},
		{"from all table 100 suppress_prefixlength 0", with(func(r *failover.KernelRule) { r.SuppressPrefixLength = 1 })},
		{"from all table 100 suppress_prefixlength 24", with(func(r *failover.KernelRule) { r.SuppressPrefixLength = 25 })},
		{"from all ipproto tcp sport 1000-2000 dport 22 table 100", with(func(r *failover.KernelRule) {
			r.IPProto, r.SourcePortFirst, r.SourcePortLast, r.DestPortFirst, r.DestPortLast = 6, 1000, 2000, 22, 22
		})},
		{"from all uidrange 0-1000 table 100", with(func(r *failover.KernelRule) { r.HasUID, r.UIDLast = true, 1000 })},
		{"from 2001:db8:1::/48 table 100", with(func(r *failover.KernelRule) { r.IPv6, r.From = true, prefix("2001:db8:1::/48") })},
		{"not to 2001:db8::9 iif eth0 tos 0x10 fwmark 1 table 254", with(func(r *failover.KernelRule) {
			r.IPv6, r.Not, r.To, r.InInterface, r.TOS = true, true, prefix("2001:db8::9/128"), "eth0", 0x10
			r.Mark, r.Mask, r.Table = 1, 0xffffffff, 254
		})},
	} {
		t.Run(row.words, func(t *testing.T) {
			family := "-4"
			if row.rule.IPv6 {
				family = "-6"
			}
			w.ip(family + " rule add " + row.words + " pref 50 protocol 112")
			want := w.ruleLines(family)
			w.ip(family + " rule del pref 50")
			if len(want) != 1 {
				t.Fatalf("the test is wrong: %q", want)
			}
			r.clean(nil, row.rule)
			if diff := cmp.Diff(want, w.ruleLines(family)); diff != "" {
				t.Errorf("added (-iproute2 +ours):\n%s", diff)
			}
			r.clean(nil)
			if left := w.ruleLines(family); len(left) != 0 {
				t.Fatalf("left: %q", left)
			}

			w.ip(family + " rule add " + row.words + " pref 50 protocol 4")
			theirs := w.ruleLines(family)
			r.clean(nil, row.rule)
			r.clean(nil)
			if diff := cmp.Diff(theirs, w.ruleLines(family)); diff != "" {
				t.Errorf("somebody else's (-before +after):\n%s", diff)
			}
			w.ip(family + " rule del pref 50")
		})
	}
}
