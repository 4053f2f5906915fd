package conf_test

import (
	"net/netip"
	"strings"
	"testing"

	"failoverd/conf"
	"failoverd/failover"

	"github.com/google/go-cmp/cmp"
)

// entryRow is an entry put into a block at the beginning of line 2, what comes out in canonical words, joined by " | ",
// and what is said about it.
type entryRow struct{ entry, want, diags string }

// objects reads blocks of routes, rules and static addresses; e9 is the default interface where there is one.
func objects(text, device string, routers ...failover.RouterConfig) (conf.Objects, string) {
	out, diags := conf.ParseObjects(text, device, routers...)
	return out, strings.TrimSuffix(strings.ReplaceAll(lines(diags), "main.conf:", ""), "\n")
}

func checkEntries(t *testing.T, block, device string, rows []entryRow) {
	t.Helper()
	for _, r := range rows {
		t.Run(r.entry, func(t *testing.T) {
			got, diags := objects(block+" {\n"+r.entry+"\n}\n", device)
			if diags != r.diags {
				t.Errorf("says\n%s\nwant\n%s", diags, r.diags)
			}
			var words []string
			for _, v := range got.Routes {
				words = append(words, conf.FormatKernelRoute(v))
			}
			for _, v := range got.Rules {
				words = append(words, conf.FormatKernelRule(v))
			}
			if got := strings.Join(words, " | "); got != r.want {
				t.Errorf("makes %q, want %q", got, r.want)
			}
		})
	}
}

func TestRoutes(t *testing.T) {
	checkEntries(t, "virtual_routes", "", []entryRow{
		{"10.0.0.0/8 via 192.0.2.1", "10.0.0.0/8 via 192.0.2.1", ""},
		{"to 10.0.0.0/8 via 192.0.2.1 dev e0", "10.0.0.0/8 via 192.0.2.1 dev e0", ""},
		{"src 192.0.2.7 to 10.1.2.3 via 192.0.2.1 oif e0", "10.1.2.3/32 via 192.0.2.1 dev e0 src 192.0.2.7", ""},
		{"default via 192.0.2.1", "0.0.0.0/0 via 192.0.2.1", ""},
		{"any via inet 192.0.2.1", "0.0.0.0/0 via 192.0.2.1", ""},
		{"to all via 192.0.2.1", "0.0.0.0/0 via 192.0.2.1", ""},
		{"0.0.0.0/0 via 192.0.2.1 table 100", "0.0.0.0/0 via 192.0.2.1 table 100", ""},
		{"10.0.0.0/8 dev e0", "10.0.0.0/8 dev e0", ""},
		{"10.0.0.0/8 dev e0 scope link", "10.0.0.0/8 dev e0 scope link", ""},
		{"10.0.0.0/8 dev e0 scope global", "10.0.0.0/8 dev e0", ""},
		{"10.0.0.0/8 dev e0 scope 200", "10.0.0.0/8 dev e0 scope site", ""},
		{"10.0.0.0/8 dev e0 scope 7", "10.0.0.0/8 dev e0 scope 7", ""},
		{"unicast 10.0.0.0/8 dev e0 table main", "10.0.0.0/8 dev e0", ""},
		{"10.0.0.0/8 dev e0 table local metric 5 tos 0x10 protocol static", "10.0.0.0/8 dev e0 table 255 metric 5 tos 0x10 protocol 4", ""},
		{"10.0.0.0/8 dev e0 table default priority 5 dsfield 16 protocol 0x50", "10.0.0.0/8 dev e0 table 253 metric 5 tos 0x10 protocol 80", ""},
		{"10.0.0.0/8 dev e0 preference 4294967295 tos AF11", "10.0.0.0/8 dev e0 metric 4294967295 tos 0x28", ""},
		{"10.0.0.0/8 dev e0 mtu 1400 advmss 1360 hoplimit 64 initcwnd 10 initrwnd 20", "10.0.0.0/8 dev e0 mtu 1400 advmss 1360 hoplimit 64 initcwnd 10 initrwnd 20", ""},
		{"10.0.0.0/8 dev e0 mtu lock 1400 no_track", "10.0.0.0/8 dev e0 mtu lock 1400 no_track", ""},
		{"10.0.0.0/8 via 192.0.2.1 dev e0 onlink", "10.0.0.0/8 via 192.0.2.1 dev e0 onlink", ""},
		{`10.0.0.0/8 dev "table"`, `10.0.0.0/8 dev "table"`, ""},
		{"prepend 10.0.0.0/8 dev e0", "10.0.0.0/8 dev e0", ""},
		{"append 10.0.0.0/8 dev e0", "10.0.0.0/8 dev e0", `2:1: warning: append is ignored: a metric tells the order of routes to one destination`},
		{"blackhole add 10.0.0.0/8", "blackhole 10.0.0.0/8", `2:11: warning: add is ignored: a metric tells the order of routes to one destination`},
		{"10.0.0.0/8 gw 192.0.2.1", "10.0.0.0/8 via 192.0.2.1", `2:12: warning: gw is deprecated: write via`},

		{"blackhole 10.0.0.0/8", "blackhole 10.0.0.0/8", ""},
		{"unreachable 10.0.0.0/8 metric 3", "unreachable 10.0.0.0/8 metric 3", ""},
		{"prohibit default", "prohibit 0.0.0.0/0", ""},
		{"throw 10.0.0.0/8 table 5", "throw 10.0.0.0/8 table 5", ""},
		{"local 10.0.0.0/8 dev lo", "local 10.0.0.0/8 dev lo", ""},
		{"broadcast 10.255.255.255 dev e0", "broadcast 10.255.255.255/32 dev e0", ""},
		{"multicast 239.0.0.0/8 dev e0", "multicast 239.0.0.0/8 dev e0", ""},

		{"2001:db8::/32 via 2001:db8::1", "2001:db8::/32 via 2001:db8::1", ""},
		{"2001:db8::7 dev e0", "2001:db8::7/128 dev e0", ""},
		{"::/0 via fe80::1 dev e0", "::/0 via fe80::1 dev e0", ""},
		{"default via inet6 fe80::1 dev e0", "::/0 via fe80::1 dev e0", ""},
		{"default inet6 dev e0", "::/0 dev e0", ""},
		{"inet6 blackhole default", "blackhole ::/0", ""},
		{"inet default dev e0", "0.0.0.0/0 dev e0", ""},
		{"2001:db8::/32 dev e0 scope global", "2001:db8::/32 dev e0", ""},
		{"2001:db8::/32 dev e0 scope link", "2001:db8::/32 dev e0", `2:28: warning: scope is ignored: IPv6 routes have none`},

		{"default nexthop via 192.0.2.1 nexthop via 192.0.2.2 dev e1 weight 5 onlink", "0.0.0.0/0 nexthop via 192.0.2.1 nexthop via 192.0.2.2 dev e1 onlink weight 5", ""},
		{"default metric 5 { nexthop via 192.0.2.1 nexthop dev ppp0 weight 256 }", "0.0.0.0/0 metric 5 nexthop via 192.0.2.1 nexthop dev ppp0 weight 256", ""},
		{"default {\nnexthop gw 192.0.2.1\nnexthop via 192.0.2.2\n}", "0.0.0.0/0 nexthop via 192.0.2.1 nexthop via 192.0.2.2", `3:9: warning: gw is deprecated: write via`},
		{"default nexthop via 192.0.2.1 dev e0 weight 9", "0.0.0.0/0 via 192.0.2.1 dev e0", ""},
		{"default nexthop via 192.0.2.1 nexthop via 192.0.2.2 metric 3 no_track", "0.0.0.0/0 metric 3 no_track nexthop via 192.0.2.1 nexthop via 192.0.2.2", ""},
		{"10.0.0.0/8 dev e0\n10.1.0.0/16 dev e0", "10.0.0.0/8 dev e0 | 10.1.0.0/16 dev e0", ""},
	})
}

func TestRoutesThatAreWrong(t *testing.T) {
	checkEntries(t, "virtual_routes", "", []entryRow{
		{"10.0.0.1/24 dev e0", "", `2:1: error: virtual_routes 10.0.0.1/24: bits behind the prefix length are set (did you mean "10.0.0.0/24"?)`},
		{"2001:db8::1/64 dev e0", "", `2:1: error: virtual_routes 2001:db8::1/64: bits behind the prefix length are set (did you mean "2001:db8::/64"?)`},
		{"10.0.0.0/255.255.255.0 dev e0", "", `2:1: error: virtual_routes 10.0.0.0: prefix length "255.255.255.0" (want 0 to 32) (did you mean "10.0.0.0/24"?)`},
		{"10.0.0.0/33 dev e0", "", `2:1: error: virtual_routes 10.0.0.0: prefix length "33" (want 0 to 32)`},
		{"10.5/16 dev e0", "", `2:1: error: virtual_routes "10.5/16": want ADDRESS or ADDRESS/LENGTH`},
		{"to e0", "", `2:4: error: virtual_routes "e0": want ADDRESS or ADDRESS/LENGTH`},
		{"to", "", `2:1: error: to: its value is missing (want a prefix)`},
		{"dev e0 metric 3", "", `2:1: error: virtual_routes: a route without a destination`},
		{"no_track", "", `2:1: error: virtual_routes: a route without a destination`},
		{"10.0.0.0/8", "", `2:1: error: virtual_routes 10.0.0.0/8: neither via nor dev says where to`},
		{"10.0.0.0/8 dev e0 10.1.0.0/16 dev e1", "", "2:19: error: virtual_routes 10.1.0.0/16: the destination is 10.0.0.0/8 already; each route takes a line of its own\n2:31: error: dev is given twice, first at 2:16; each entry takes a line of its own"},
		{"10.0.0.0/8 metric 3 priority 3 dev e0", "", `2:21: error: priority is given twice, first at 2:19; each entry takes a line of its own`},
		{"blackhole 10.0.0.0/8 throw", "", `2:22: error: throw is given twice, first at 2:1; each entry takes a line of its own`},

		{"10.0.0.0/8 gateway 192.0.2.1 dev e0", "", `2:12: error: gateway is refused: write via; keepalived does not know the word and installs the route without a gateway`},
		{"10.0.0.0/8 via 192.0.2.1 or 192.0.2.2 dev e0", "", `2:26: error: or is refused: it is deprecated; give two routes with a metric each, or nexthop twice`},
		{"10.0.0.0/8 dev e0 track_group G no_track", "", `2:19: error: track_group is refused: only static entries have one`},
		{"nat 10.0.0.0/8", "", `2:1: error: nat is not supported yet`},
		{"10.0.0.0/8 dev e0 rtt 100", "", `2:19: error: rtt is not supported yet`},
		{"10.0.0.0/8 dev e0 ssthresh lock 100 metric x", "", "2:19: error: ssthresh is not supported yet\n2:44: error: metric \"x\": not a whole number (want 0 to 4294967295)"},
		{"10.0.0.0/8 dev e0 encap mpls 100", "", `2:19: error: encap is not supported yet`},
		{"10.0.0.0/8 vai 192.0.2.1 dev e0", "", "2:12: error: unexpected \"vai\" in virtual_routes (did you mean \"via\"?)\n2:16: error: virtual_routes 192.0.2.1: the destination is 10.0.0.0/8 already; each route takes a line of its own"},
		{"10.0.0.0/8 dev e0 bogus 3 no_track", "", `2:19: error: unexpected "bogus 3" in virtual_routes`},
		{"10.0.0.0/8 dev e0 sope link", "", `2:19: error: unexpected "sope link" in virtual_routes (did you mean "scope"?)`},
		{"10.0.0.0/8 dev metric 3", "", `2:12: error: dev: its value is missing (want the name of an interface)`},
		{"10.0.0.0/8 via dev e0", "", `2:12: error: via: its value is missing (want an IP address)`},
		{"10.0.0.0/8 via 192.0.2.1/24", "", `2:16: error: via "192.0.2.1/24": not an IP address`},
		{"10.0.0.0/8 via inet6 192.0.2.1", "", `2:22: error: via inet6 192.0.2.1: is IPv4`},
		{"10.0.0.0/8 dev e0 table small", "", `2:25: error: table "small": want main, local, default or 1 to 4294967295; the names of rt_tables are not read`},
		{"10.0.0.0/8 dev e0 table mian", "", `2:25: error: table "mian": want main, local, default or 1 to 4294967295; the names of rt_tables are not read (did you mean "main"?)`},
		{"10.0.0.0/8 dev e0 table 0", "", `2:25: error: table 0: out of range (want main, local, default or 1 to 4294967295; the names of rt_tables are not read)`},
		{"10.0.0.0/8 dev e0 tos 0x13", "", `2:23: error: tos 0x13: the last two bits must be 0 (did you mean "0x10"?)`},
		{"10.0.0.0/8 dev e0 tos 256", "", `2:23: error: tos 256: out of range (want 0 to 255, 0x10 for example, or a name like AF11)`},
		{"10.0.0.0/8 dev e0 protocol foo", "", `2:28: error: protocol "foo": want 1 to 255 or a name like static`},
		{"10.0.0.0/8 dev e0 mtu 65521", "", `2:23: error: mtu 65521: out of range (want 68 to 65520)`},
		{"10.0.0.0/8 dev e0 mtu lock", "", `2:19: error: mtu: its value is missing (want 68 to 65520)`},
		{"10.0.0.0/8 dev e0 hoplimit 256", "", `2:28: error: hoplimit 256: out of range (want 0 to 255)`},
		{"10.0.0.0/8 dev e0 scope near", "", `2:25: error: scope "near": want global, site, link, host or 0 to 255`},

		{"10.0.0.0/8 via 2001:db8::1", "", `2:16: error: 2001:db8::1 is IPv6 and 10.0.0.0/8 is IPv4: an entry has one family`},
		{"2001:db8::/32 via fe80::1 dev e0 src 10.0.0.1", "", `2:38: error: 10.0.0.1 is IPv4 and 2001:db8::/32 is IPv6: an entry has one family`},
		{"inet6 10.0.0.0/8 dev e0", "", `2:1: error: inet6 is IPv6 and 10.0.0.0/8 is IPv4: an entry has one family`},
		{"default nexthop via 10.0.0.1 nexthop via fe80::1 dev e0", "", `2:42: error: fe80::1 is IPv6 and 10.0.0.1 is IPv4: an entry has one family`},
		{"2001:db8::/32 dev e0 tos 0x10", "", `2:26: error: tos 0x10: the kernel has no IPv6 routes by TOS; use a rule`},
		{"broadcast 2001:db8::1 dev e0", "", `2:1: error: broadcast: IPv6 has none`},
		{"::/0 via fe80::1", "", `2:10: error: via fe80::1: dev is missing; only it says on which link that is`},
		{"10.0.0.0/8 via 192.0.2.1 onlink", "", `2:16: error: via 192.0.2.1: dev is missing; only it says on which link that is`},
		{"10.0.0.0/8 dev e0 onlink", "", `2:19: error: onlink says that a gateway is on the link, and there is no via`},
		{"blackhole 10.0.0.0/8 dev e0", "", `2:26: error: blackhole: a route of this type has neither via nor dev`},
		{"prohibit 10.0.0.0/8 nexthop via 192.0.2.1", "", `2:21: error: prohibit: a route of this type has no nexthop`},
		{"local 10.0.0.0/8", "", `2:7: error: virtual_routes 10.0.0.0/8: neither via nor dev says where to`},
		{"local 10.0.0.0/8 dev lo scope link", "", `2:31: error: scope link: a local route has at least scope host`},
		{"broadcast 10.0.0.255 dev e0 scope global", "", `2:35: error: scope global: a broadcast route has at least scope link`},
		{"local 10.0.0.0/8 via 192.0.2.1", "", `2:7: error: a local route has no via`},
		{"10.0.0.0/8 via 192.0.2.1 scope link", "", `2:32: error: scope link: a route with via reaches farther; the kernel wants scope global or site`},
		{"multicast 239.0.0.0/8 via 192.0.2.1 scope link", "", `2:43: error: scope link: a route with via reaches farther; the kernel wants scope global or site`},
		{"10.0.0.0/8 dev e0 scope nowhere", "", `2:25: error: scope nowhere: a route cannot have it`},

		{"default dev e0 nexthop via 192.0.2.1", "", `2:13: error: dev of a route with nexthop: it belongs behind the nexthop that it is for`},
		{"default nexthop via 192.0.2.1 metric 3 dev e0", "", `2:44: error: dev of a route with nexthop: it belongs behind the nexthop that it is for`},
		{"default nexthop weight 3 nexthop via 192.0.2.1", "", `2:9: error: virtual_routes nexthop: neither via nor dev says where to`},
		{"default nexthop via 192.0.2.1 weight 0", "", `2:38: error: weight 0: out of range (want 1 to 256)`},
		{"default nexthop via 192.0.2.1 weight 257", "", `2:38: error: weight 257: out of range (want 1 to 256)`},
		{"default nexthop via 192.0.2.1 nexthop via 192.0.2.1 weight 3", "", `2:31: error: nexthop: there is an equal one already; give it a greater weight`},
		{"::/0 nexthop via fe80::1 dev e0 nexthop dev e1", "", `2:33: error: nexthop: via is missing; the kernel takes none of several IPv6 next hops without it`},
		{"default nexthop via 192.0.2.1 encap mpls 3", "", `2:31: error: encap is not supported yet`},
		{"default {\nvia 192.0.2.1\n}", "", `3:1: error: unexpected "via" in the braces of a route: want nexthop`},
		{"default {\nfoo 192.0.2.1\n}", "", `3:1: error: unexpected "foo" in the braces of a route: want nexthop` + "\n" + `3:5: error: unexpected "192.0.2.1" in nexthop`},
		{"default {\nnexthop via 192.0.2.1 metric 3\n}", "", `3:23: error: unexpected "metric 3" in nexthop`},
		{"10.0.0.0/8 weight 3 dev e0", "", `2:12: error: unexpected "weight 3" in virtual_routes`},
	})
}

// TestStaticRoutes: static_routes has the same options, its own name in messages, and a default interface that serves
// only those that need one.
func TestStaticRoutes(t *testing.T) {
	checkEntries(t, "static_routes", "e9", []entryRow{
		{"10.0.0.0/8", "10.0.0.0/8 dev e9", ""},
		{"10.0.0.0/8 dev e0", "10.0.0.0/8 dev e0", ""},
		{"10.0.0.0/8 via 192.0.2.1", "10.0.0.0/8 via 192.0.2.1", ""},
		{"10.0.0.0/8 via 192.0.2.1 onlink", "10.0.0.0/8 via 192.0.2.1 dev e9 onlink", ""},
		{"::/0 via fe80::1", "::/0 via fe80::1 dev e9", ""},
		{"blackhole 10.0.0.0/8", "blackhole 10.0.0.0/8", ""},
		{"10.0.0.1/8 dev e0", "", `2:1: error: static_routes 10.0.0.1/8: bits behind the prefix length are set (did you mean "10.0.0.0/8"?)`},
		{"10.0.0.0/8 dev e0 track_group G", "", `2:19: error: track_group is refused: a route that vanishes is put back and costs no role`},
		{"vrrp_instance A {\ninterface e0\n}", "", `2:1: error: vrrp_instance inside static_routes: is a } missing before it?`},
		{"10.0.0.0/8 dev e0 {\nvia 10.0.0.1 {\n}\n}", "", "3:1: error: unexpected \"via\" in the braces of a route: want nexthop\n3:14: error: via takes no block; it is skipped"},
	})
}

// TestRoutesTwice: what one route is to the kernel may stand once, wherever.
func TestRoutesTwice(t *testing.T) {
	rows := []struct{ name, text, want string }{
		{"equal ones", "virtual_routes {\n10.0.0.0/8 dev e0\n}\nvirtual_routes {\n10.0.0.0/8 dev e0\n}", "5:1: error: virtual_routes 10.0.0.0/8: there is this route already at 2:1; another metric makes it another one"},
		{"one static", "static_routes {\n10.0.0.0/8 dev e0\n}\nvirtual_routes {\nto 10.0.0.0/8 via 192.0.2.1\n}", "5:4: error: virtual_routes 10.0.0.0/8: there is this route already at 2:1; another metric makes it another one"},
		{"other metrics", "virtual_routes {\n10.0.0.0/8 dev e0\n10.0.0.0/8 dev e0 metric 3\n10.0.0.0/8 dev e0 table 7\n10.0.0.0/8 dev e0 tos 16\n10.0.0.0/9 dev e0\n}", ""},
		{"IPv6 without and with its default metric", "virtual_routes {\n2001:db8::/32 dev e0\n2001:db8::/32 dev e1 metric 1024\n}", "3:1: error: virtual_routes 2001:db8::/32 metric 1024: there is this route already at 2:1; another metric makes it another one"},
		{"default in two words", "virtual_routes {\ndefault via 192.0.2.1 table 7\n0.0.0.0/0 via 192.0.2.1 table 7\n}", "3:1: error: virtual_routes 0.0.0.0/0 table 7: there is this route already at 2:1; another metric makes it another one"},
		{"one that is wrong", "virtual_routes {\n10.0.0.0/8\n10.0.0.0/8 dev e0\n}", "2:1: error: virtual_routes 10.0.0.0/8: neither via nor dev says where to"},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			if _, diags := objects(r.text, ""); diags != r.want {
				t.Errorf("says\n%s\nwant\n%s", diags, r.want)
			}
		})
	}
}

// TestRouteFields: the words reach the fields that they are for; the canonical words alone would not show it.
func TestRouteFields(t *testing.T) {
	got, diags := objects(`virtual_routes {
		src 192.0.2.7 to 10.0.0.0/8 via 192.0.2.1 dev e0 onlink scope site table 7 metric 8 tos 0x20 protocol bird mtu lock 1400 advmss 1300 hoplimit 9 initcwnd 11 initrwnd 12 no_track
		default { nexthop via 192.0.2.1 dev e0 onlink weight 2 nexthop dev e1 }
		local 10.1.0.0/16 dev lo
		multicast 239.0.0.0/8 dev e0
		2001:db8::/32 dev e0
	}`, "")
	if diags != "" {
		t.Fatal(diags)
	}
	want := []failover.KernelRoute{
		{
			Type: 1, Destination: netip.MustParsePrefix("10.0.0.0/8"), Source: netip.MustParseAddr("192.0.2.7"), Gateway: netip.MustParseAddr("192.0.2.1"), Interface: "e0",
			Scope: 200, Table: 7, Metric: 8, TOS: 0x20, Protocol: 12, OnLink: true, MTU: 1400, AdvMSS: 1300, HopLimit: 9,
			InitCwnd: 11, InitRwnd: 12, MTULock: true, Untracked: true,
		},
		{
			Type: 1, Destination: netip.MustParsePrefix("0.0.0.0/0"), Table: 254,
			NextHops: []failover.NextHop{{Gateway: netip.MustParseAddr("192.0.2.1"), Interface: "e0", Weight: 2, OnLink: true}, {Interface: "e1", Weight: 1}},
		},
		{Type: 2, Destination: netip.MustParsePrefix("10.1.0.0/16"), Interface: "lo", Scope: 254, Table: 254},
		{Type: 5, Destination: netip.MustParsePrefix("239.0.0.0/8"), Interface: "e0", Table: 254},
		{Type: 1, Destination: netip.MustParsePrefix("2001:db8::/32"), Interface: "e0", Table: 254},
	}
	if diff := cmp.Diff(want, got.Routes, netipValues); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
