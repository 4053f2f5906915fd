package conf_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"failoverd/bgp"
	"failoverd/conf"
	"failoverd/failover"
	"failoverd/vrrp/wire"

	"github.com/google/go-cmp/cmp"
)

// minimal is an instance with a body.
func minimal(name string, vrid int, body string) string {
	return fmt.Sprintf("vrrp_instance %s { interface e0 virtual_router_id %d\n%s\n}\n", name, vrid, body)
}

// TestWhatDoesNotGoTogether: every rule about more than one word, with the place that is blamed.
func TestWhatDoesNotGoTogether(t *testing.T) {
	speaker := "bgp_speaker S { local_as 64500 router_id 1.1.1.1 allow_prefix { 198.51.100.0/24 } neighbor 10.9.9.9 { remote_as 64501 } }\n"
	rows := []struct{ name, text, want string }{
		{"two instances of one name", minimal("A", 1, "virtual_ipaddress { 10.0.0.1 }") + minimal("A", 2, "virtual_ipaddress { 10.0.0.2 }"), `4:15: error: vrrp_instance A is defined twice, first at 1:15`},
		{"two routers of one VRID on an interface", minimal("A", 1, "virtual_ipaddress { 10.0.0.1 }") + minimal("B", 1, "virtual_ipaddress { 10.0.0.2 }"), `4:50: error: virtual_router_id 1 is used twice on interface e0 over IPv4: vrrp_instance A has it at 1:50`},
		{"one VRID in two families", minimal("A", 1, "virtual_ipaddress { 10.0.0.1 }") + minimal("B", 1, "virtual_ipaddress { fe80::1/64 }"), ""},
		{"one VRID on two interfaces", minimal("A", 1, "virtual_ipaddress { 10.0.0.1 }") + minimal("B", 1, "interface e1\nvirtual_ipaddress { 10.0.0.2 }"), ""},
		{
			"one VRID twice by unicast from one address",
			minimal("A", 1, "unicast_src_ip 10.9.0.1\nunicast_peer { 10.9.0.2 }\nvirtual_ipaddress { 10.0.0.1 }") + minimal("B", 1, "interface e1\nunicast_src_ip 10.9.0.1\nunicast_peer { 10.9.0.3 }\nvirtual_ipaddress { 10.0.0.2 }"),
			"6:50: error: virtual_router_id 1 is used twice by unicast from 10.9.0.1: vrrp_instance A has it at 1:50",
		},
		{"an instance without anything", "vrrp_instance A { }", "1:15: error: vrrp_instance A: interface is missing\n1:15: error: vrrp_instance A: virtual_router_id is missing\n1:15: error: vrrp_instance A: virtual_ipaddress names no address; if there is to be none, write no_virtual_ipaddress"},
		{"an instance without a name", "vrrp_instance { priority x }", "1:1: error: vrrp_instance: its value is missing (want a name)\n1:26: error: priority \"x\": not a whole number (want 1 to 255)"},
		{"an instance without a block", "vrrp_instance A", "1:1: error: vrrp_instance: its block { ... } is missing\n1:15: error: vrrp_instance A: interface is missing\n1:15: error: vrrp_instance A: virtual_router_id is missing\n1:15: error: vrrp_instance A: virtual_ipaddress names no address; if there is to be none, write no_virtual_ipaddress"},
		{"an instance with excluded addresses only", minimal("A", 1, "virtual_ipaddress_excluded { 10.0.0.1 }"), `1:15: error: vrrp_instance A: virtual_ipaddress names no address; if there is to be none, write no_virtual_ipaddress`},
		{"an address of two instances", minimal("A", 1, "virtual_ipaddress { 10.0.0.1 }") + minimal("B", 2, "virtual_ipaddress { 10.0.0.2 10.0.0.1 }"), `5:30: error: virtual address 10.0.0.1 on e0 is there twice, first at 2:21`},
		{"an address on two interfaces", minimal("A", 1, "virtual_ipaddress { 10.0.0.1 }") + minimal("B", 2, "virtual_ipaddress { 10.0.0.1 dev e1 }"), ""},
		{"excluded addresses of both families", minimal("A", 1, "virtual_ipaddress { 10.0.0.1 }\nvirtual_ipaddress_excluded { 2001:db8::1 10.0.0.2 }"), ""},

		{"unicast_src_ip without unicast_peer", minimal("A", 1, "unicast_src_ip 10.0.0.9\nvirtual_ipaddress { 10.0.0.1 }"), `2:1: error: unicast_src_ip, but unicast_peer names nobody: this router would talk to no one (for multicast, remove every unicast word; the source is mcast_src_ip)`},
		{"an empty unicast_peer", minimal("A", 1, "unicast_ttl 3\nunicast_peer {\n}\nvirtual_ipaddress { 10.0.0.1 }"), `3:1: error: unicast_peer, but unicast_peer names nobody: this router would talk to no one (for multicast, remove every unicast word; the source is mcast_src_ip)`},
		{"unicast_ttl without unicast_peer", minimal("A", 1, "unicast_ttl 3\nvirtual_ipaddress { 10.0.0.1 }"), `2:1: error: unicast_ttl, but unicast_peer names nobody: this router would talk to no one (for multicast, remove every unicast word; the source is mcast_src_ip)`},
		{"check_unicast_src without unicast_peer", minimal("A", 1, "check_unicast_src\nvirtual_ipaddress { 10.0.0.1 }"), `2:1: error: check_unicast_src, but unicast_peer names nobody: this router would talk to no one (for multicast, remove every unicast word; the source is mcast_src_ip)`},
		{"unicast_fault_no_peer without unicast_peer", minimal("A", 1, "unicast_fault_no_peer\nvirtual_ipaddress { 10.0.0.1 }"), `2:1: error: unicast_fault_no_peer, but unicast_peer names nobody: this router would talk to no one (for multicast, remove every unicast word; the source is mcast_src_ip)`},
		{"nobody but oneself", minimal("A", 1, "unicast_src_ip 10.0.0.9\nunicast_peer { 10.0.0.9 }\nvirtual_ipaddress { 10.0.0.1 }"), "3:1: error: unicast_peer, but unicast_peer names nobody: this router would talk to no one (for multicast, remove every unicast word; the source is mcast_src_ip)\n3:16: warning: unicast_peer 10.0.0.9 is this router's own address and left out"},
		{"a unicast_peer that is wrong is no empty one", minimal("A", 1, "unicast_peer { x.y }\nvirtual_ipaddress { 10.0.0.1 }"), `2:16: error: unicast_peer "x.y": not an IP address`},
		{"a range of TTLs turns the check of the source on", minimal("A", 1, "check_unicast_src off\nunicast_peer { 10.0.0.8 min_ttl 3 }\nvirtual_ipaddress { 10.0.0.1 }"), `3:16: warning: min_ttl and max_ttl turn the check of the source on again`},

		{"nopreempt with state MASTER", minimal("A", 1, "state MASTER\npriority 150\nnopreempt\nvirtual_ipaddress { 10.0.0.1 }"), `4:1: warning: nopreempt holds although state is MASTER; keepalived would ignore it`},
		{"preempt_delay with state MASTER", minimal("A", 1, "state MASTER\npriority 150\npreempt_delay 3\nvirtual_ipaddress { 10.0.0.1 }"), `4:15: warning: preempt_delay holds although state is MASTER; keepalived would ignore it`},
		{"preempt_delay with nopreempt", minimal("A", 1, "nopreempt\npreempt_delay 3\nvirtual_ipaddress { 10.0.0.1 }"), `3:15: warning: preempt_delay has no effect with nopreempt`},
		{"preempt_delay with priority 255", minimal("A", 1, "priority 255\npreempt_delay 3\nvirtual_ipaddress { 10.0.0.1 }"), "2:10: warning: priority 255 is for the node whose interface has the addresses as its own; it takes over at once and cannot be tracked\n3:15: warning: preempt_delay has no effect: priority 255 takes over at once"},

		{"a speaker without anything", "bgp_speaker S { }", "1:13: error: bgp_speaker S: local_as is missing\n1:13: error: bgp_speaker S: router_id is missing\n1:13: error: bgp_speaker S has no neighbor\n1:13: error: bgp_speaker S: allow_prefix is missing: nothing else may leave"},
		{"a speaker without a name", "bgp_speaker { }", `1:1: error: bgp_speaker: its value is missing (want a name)`},
		{"an empty allow_prefix", "bgp_speaker S { local_as 1 router_id 1.1.1.1 neighbor 10.0.0.1 { remote_as 2 } allow_prefix { } }", `1:80: error: allow_prefix is empty: nothing could ever be announced`},
		{"two speakers of one name", speaker + "bgp_speaker S { }", `2:13: error: bgp_speaker S is defined twice, first at 1:13`},
		{"a speaker that is defined later", minimal("A", 1, "virtual_ipaddress { 10.0.0.1 }\nbgp_announce { 198.51.100.0/24 speaker S }") + speaker, ""},
		{"a speaker that is not there", speaker + minimal("A", 1, "virtual_ipaddress { 10.0.0.1 }\nbgp_announce { 198.51.100.0/24 speaker EDGE }"), `4:40: error: speaker EDGE: there is no such bgp_speaker`},
		{"a route of two instances", speaker + minimal("A", 1, "virtual_ipaddress { 10.0.0.1 }\nbgp_announce { 198.51.100.0/24 speaker S }") + minimal("B", 2, "virtual_ipaddress { 10.0.0.2 }\nbgp_announce { 198.51.100.0/24 speaker S }"), `8:16: warning: bgp_announce 198.51.100.0/24 speaker S: vrrp_instance A announces it too`},
		{"words of one group are said once", "global_defs {\nsmtp_server x\nsmtp_alert on\nvrrp_cpu_affinity 1\nchecker_priority 3\n}\n" + minimal("A", 1, "smtp_alert on\nvirtual_ipaddress { 10.0.0.1 }"), "2:1: warning: smtp_server is ignored: failoverd sends none (said once for mail)\n4:1: warning: vrrp_cpu_affinity is ignored: use the service manager (said once for scheduling)"},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			_, diags := parse(t, r.text, conf.Options{})
			if got := strings.TrimSuffix(diags, "\n"); got != r.want {
				t.Errorf("says\n%s\nwant\n%s", got, r.want)
			}
		})
	}
}

// mustParse reads a text without errors.
func mustParse(t *testing.T, text string) *failover.Config {
	t.Helper()
	cfg, diags := conf.Parse("main.conf", conf.FileMap{"main.conf": text}, conf.Env{HostName: "n1"}, conf.Options{})
	if cfg == nil {
		t.Fatalf("%s\n%s", text, lines(diags))
	}
	return cfg
}

func TestGlobalDefaultsReachInstancesInAnyOrder(t *testing.T) {
	cfg := mustParse(t, minimal("A", 1, "garp_master_repeat 2\nlower_prio_no_advert off\nvirtual_ipaddress { 10.0.0.1 }")+
		"global_defs {\n vrrp_version 3\n vrrp_garp_master_repeat 7\n vrrp_garp_master_delay 1\n vrrp_lower_prio_no_advert\n vrrp_higher_prio_send_advert\n vrrp_down_timer_adverts 9\n v3_checksum_as_v2\n}\n")
	r := cfg.Routers[0]
	want := failover.GARP{Repeat: 2, Delay: time.Second, RefreshRepeat: 1, RivalRepeat: 2, RivalDelay: time.Second}
	if diff := cmp.Diff(want, r.GARP); diff != "" {
		t.Errorf("GARP (-want +got):\n%s", diff)
	}
	v := r.VRRP
	if v.Version != wire.V3 || v.SilentOnLowerPriority || !v.LastWord || v.DownTimerAdverts != 9 || v.Checksum != wire.ChecksumMessage {
		t.Errorf("parameters %+v", v)
	}
}

func TestUnicastSourceIsCheckedByDefault(t *testing.T) {
	rows := []struct {
		globals, instance string
		any               bool
	}{
		{"", "", false},
		{"vrrp_check_unicast_src", "", false},
		{"vrrp_check_unicast_src off", "", true},
		{"vrrp_check_unicast_src off", "check_unicast_src", false},
		{"", "check_unicast_src off", true},
	}
	for _, r := range rows {
		cfg := mustParse(t, "global_defs {\n"+r.globals+"\n}\n"+minimal("A", 1, r.instance+"\nunicast_peer { 10.0.0.2 }\nvirtual_ipaddress { 10.0.0.1 }"))
		if got := cfg.Routers[0].VRRP.AnySource; got != r.any {
			t.Errorf("%q, %q: AnySource %v", r.globals, r.instance, got)
		}
	}
}

func TestLeases(t *testing.T) {
	rows := []struct {
		globals, interval string
		want              time.Duration
	}{
		{"", "0.01", 3 * time.Second},
		{"", "1", 3 * time.Second},
		{"", "1.01", 4 * time.Second},
		{"", "10", 30 * time.Second},
		{"vip_lease 0", "1", failover.NoLease},
		{"vip_lease 1", "10", failover.MinLease},
		{"vip_lease 7", "0.1", 7 * time.Second},
	}
	for _, r := range rows {
		cfg := mustParse(t, "global_defs {\n vrrp_version 3\n"+r.globals+"\n}\n"+minimal("A", 1, "advert_int "+r.interval+"\nvirtual_ipaddress { 10.0.0.1 }"))
		if got := cfg.Routers[0].Addresses[0].Lease; got != r.want {
			t.Errorf("%q at %s s: %v, want %v", r.globals, r.interval, got, r.want)
		}
	}
}

func TestPriorityDefaults(t *testing.T) {
	for body, want := range map[string]uint8{
		"": 100, "state BACKUP": 100, "state MASTER": 255, "state MASTER\npriority 150": 150, "priority 1": 1, "priority 1\npriority 2": 2,
	} {
		cfg := mustParse(t, minimal("A", 1, body+"\nvirtual_ipaddress { 10.0.0.1 }"))
		if got := cfg.Routers[0].VRRP.Priority; got != want {
			t.Errorf("%q: priority %d, want %d", body, got, want)
		}
	}
}

func TestPreemptionIsIndependentOfState(t *testing.T) {
	rows := []struct {
		body    string
		preempt bool
		delay   time.Duration
	}{
		{"", true, 0},
		{"nopreempt", false, 0},
		{"state MASTER\npriority 150\nnopreempt", false, 0},
		{"state MASTER\npriority 150\npreempt_delay 3", true, 3 * time.Second},
		{"nopreempt\npreempt", true, 0},
		{"nopreempt\npreempt_delay 3", false, 0},
		{"priority 255\nnopreempt\npreempt_delay 3", true, 0},
	}
	for _, r := range rows {
		v := mustParse(t, minimal("A", 1, r.body+"\nvirtual_ipaddress { 10.0.0.1 }")).Routers[0].VRRP
		if v.Preempt != r.preempt || v.PreemptDelay != r.delay {
			t.Errorf("%q: %v %v, want %v %v", r.body, v.Preempt, v.PreemptDelay, r.preempt, r.delay)
		}
	}
}

// TestV3_TX_08_IntervalOutOfRange: RFC 9568 section 6.1 and erratum 8301.
func TestV3_TX_08_IntervalOutOfRange(t *testing.T) {
	for s, ok := range map[string]bool{"0": false, "0.009": false, "0.01": true, "40.95": true, "40.951": false, "40.96": false, "4096": false, "0.015": false} {
		_, diags := conf.Parse("f", conf.FileMap{"f": minimal("A", 1, "version 3\nadvert_int "+s+"\nvirtual_ipaddress { 10.0.0.1 }")}, conf.Env{}, conf.Options{})
		if conf.HasErrors(diags) == ok || !ok && (len(diags) != 1 || diags[0].Pos != conf.Pos{File: "f", Line: 3, Column: 12}) {
			t.Errorf("advert_int %s:\n%s", s, lines(diags))
		}
	}
}

func TestV3_TX_10_FirstIPv6AddressNotLinkLocal(t *testing.T) {
	_, diags := parse(t, minimal("A", 26, "virtual_ipaddress {\n2001:db8::1/64\nfe80::1/64\n}"), conf.Options{})
	if want := "3:1: error: virtual_ipaddress 2001:db8::1/64: the first IPv6 address must be link-local, for example fe80::1a/64 (RFC 9568 section 5.2.9)\n"; diags != want {
		t.Errorf("got %q, want %q", diags, want)
	}
	cfg := mustParse(t, minimal("A", 1, "virtual_ipaddress {\nfe80::1/64\n2001:db8::1/64\n}"))
	want := []netip.Addr{netip.MustParseAddr("fe80::1"), netip.MustParseAddr("2001:db8::1")}
	if diff := cmp.Diff(want, cfg.Routers[0].VRRP.Addresses, netipValues); diff != "" || cfg.Routers[0].VRRP.Version != wire.V3 {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
}

func TestV3_TX_11_MixedFamilies(t *testing.T) {
	for text, want := range map[string]string{
		"virtual_ipaddress {\n10.0.0.1\n2001:db8::1\n}": "4:1: error: virtual_ipaddress 2001:db8::1/128: the first address is IPv4, and an instance has one family (virtual_ipaddress_excluded takes both)\n",
		"virtual_ipaddress {\nfe80::1\n10.0.0.1\n}":     "4:1: error: virtual_ipaddress 10.0.0.1/32: the first address is IPv6, and an instance has one family (virtual_ipaddress_excluded takes both)\n",
	} {
		if _, diags := parse(t, minimal("A", 1, text), conf.Options{}); diags != want {
			t.Errorf("got %q, want %q", diags, want)
		}
	}
}

// TestV3_TX_19_MoreAddressesThanFit: 255 over IPv4 (the count field), 90 over IPv6 (a packet of 1500 octets).
func TestV3_TX_19_MoreAddressesThanFit(t *testing.T) {
	list := func(n int, first, format string) string {
		s := "virtual_ipaddress {\n" + first
		for i := 1; i <= n; i++ {
			s += fmt.Sprintf(format, i/250, i%250+1)
		}
		return minimal("A", 1, s+"}")
	}
	const v4, v6 = "10.0.%d.%d\n", "2001:db8:%x::%x\n"
	for name, text := range map[string]string{"IPv4": list(255, "", v4), "IPv6": list(89, "fe80::1\n", v6)} {
		if _, diags := parse(t, text, conf.Options{}); diags != "" {
			t.Errorf("%s, as many as fit: %s", name, diags)
		}
	}
	_, diags := parse(t, list(256, "", v4), conf.Options{})
	if want := "258:1: error: virtual_ipaddress 10.0.1.7/32: no more than 255 IPv4 addresses fit into an advertisement; put the rest into virtual_ipaddress_excluded\n"; diags != want {
		t.Errorf("IPv4: %s", diags)
	}
	_, diags = parse(t, list(90, "fe80::1\n", v6), conf.Options{})
	if want := "93:1: error: virtual_ipaddress 2001:db8:0::5b/128: no more than 90 IPv6 addresses fit into an advertisement; put the rest into virtual_ipaddress_excluded\n"; diags != strings.Replace(want, "db8:0::", "db8::", 1) {
		t.Errorf("IPv6: %s", diags)
	}
}

// TestV3_TX_21_PriorityOfTheOwner is the half of it that a configuration shows.
func TestV3_TX_21_PriorityOfTheOwner(t *testing.T) {
	_, diags := parse(t, minimal("A", 1, "priority 255\nvirtual_ipaddress { 10.0.0.1 }"), conf.Options{})
	if want := "2:10: warning: priority 255 is for the node whose interface has the addresses as its own; it takes over at once and cannot be tracked\n"; diags != want {
		t.Errorf("got %q", diags)
	}
	cfg := mustParse(t, minimal("A", 1, "priority 255\nmcast_src_ip 10.0.0.1\nvirtual_ipaddress { 10.0.0.1 }"))
	if r := cfg.Routers[0]; r.VRRP.Priority != 255 || r.Source != netip.MustParseAddr("10.0.0.1") {
		t.Errorf("an owner cannot send from its own address: %+v", r)
	}
}

func TestV2_TX_03_PasswordLongerThanEightOctets(t *testing.T) {
	text := minimal("A", 1, "authentication {\nauth_type PASS\nauth_pass 123456789\n}\nvirtual_ipaddress { 10.0.0.1 }")
	if _, diags := parse(t, text, conf.Options{}); diags != "4:11: warning: auth_pass is cut after 8 characters\n" {
		t.Errorf("got %q", diags)
	}
	for pass, want := range map[string]string{"123456789": "12345678", "s3cret": "s3cret\x00\x00"} {
		v := mustParse(t, strings.Replace(text, "123456789", pass, 1)).Routers[0].VRRP
		if v.AuthType != wire.AuthSimple || string(v.AuthData[:]) != want {
			t.Errorf("%s: type %d data %q", pass, v.AuthType, v.AuthData)
		}
	}
}

func TestV2_TX_04_FractionOfASecond(t *testing.T) {
	for s, want := range map[string]string{
		"0.5":   "2:12: error: advert_int 0.5: version 2 takes whole seconds (nearest: 1; version 3 takes fractions)\n",
		"1.4":   "2:12: error: advert_int 1.4: version 2 takes whole seconds (nearest: 1 or 2; version 3 takes fractions)\n",
		"254.9": "2:12: error: advert_int 254.9: version 2 takes whole seconds (nearest: 254 or 255; version 3 takes fractions)\n",
		"255":   "",
	} {
		if _, diags := parse(t, minimal("A", 1, "advert_int "+s+"\nvirtual_ipaddress { 10.0.0.1 }"), conf.Options{}); diags != want {
			t.Errorf("%s: got %q, want %q", s, diags, want)
		}
	}
}

// TestV2_TX_05_IPv6WithVersion2: the global version is only that of IPv4. accept is keepalived's word for what it and
// failoverd do anyway, in both versions.
func TestV2_TX_05_IPv6WithVersion2(t *testing.T) {
	if _, diags := parse(t, minimal("A", 1, "version 2\nvirtual_ipaddress { fe80::1 }"), conf.Options{}); diags != "2:9: error: version 2 exists over IPv4 only, and the first virtual address is IPv6\n" {
		t.Errorf("got %q", diags)
	}
	cfg := mustParse(t, "global_defs {\n vrrp_version 2\n}\n"+minimal("A", 1, "virtual_ipaddress { fe80::1 }"))
	if v := cfg.Routers[0].VRRP.Version; v != wire.V3 {
		t.Errorf("version %d", v)
	}
}

func TestBGP_POL_03_PrefixNotAllowed(t *testing.T) {
	speaker := "bgp_speaker S { local_as 64500 router_id 1.1.1.1 allow_prefix { 198.51.100.0/24 } neighbor 10.9.9.9 { remote_as 64501 } }\n"
	for _, p := range []string{"198.51.100.0/25", "198.51.0.0/16", "0.0.0.0/0", "2001:db8::/48"} {
		_, diags := parse(t, speaker+minimal("A", 1, "virtual_ipaddress { 10.0.0.1 }\nbgp_announce {\n"+p+" speaker S\n}"), conf.Options{})
		if want := "5:1: error: bgp_announce " + p + ": not in the allow_prefix of speaker S\n"; diags != want {
			t.Errorf("got %q, want %q", diags, want)
		}
	}
}

func TestBGP_POL_06_PrefixThatIsFiltered(t *testing.T) {
	text := "bgp_speaker S { local_as 64500 router_id 1.1.1.1\nneighbor 10.9.9.9 { remote_as %d }\nallow_prefix {\n198.51.100.0/24\n198.51.100.0/25\n2001:db8::/48\n2001:db8::/49\n} }\n"
	const want = "5:1: warning: allow_prefix 198.51.100.0/25: most networks accept nothing longer than /24\n7:1: warning: allow_prefix 2001:db8::/49: most networks accept nothing longer than /48\n"
	if _, diags := parse(t, fmt.Sprintf(text, 64501), conf.Options{}); diags != want {
		t.Errorf("got %q, want %q", diags, want)
	}
	for _, inside := range []uint32{64500, 64512, 65534, 4200000000} {
		if _, diags := parse(t, fmt.Sprintf(text, inside), conf.Options{}); diags != "" {
			t.Errorf("neighbor in AS %d: %q", inside, diags)
		}
	}
}

func TestBGP_OPEN_01_HoldTimeZero(t *testing.T) {
	checkRows(t, inNeighbor, []row{
		{"hold_time 0", "", `7:13: error: hold_time 0: out of range (want 3 to 65535): a dead peer would never be noticed`},
	})
}

func TestBGP_OPEN_02_HoldTimeOneOrTwo(t *testing.T) {
	checkRows(t, inNeighbor, []row{
		{"hold_time 1", "", `7:13: error: hold_time 1: out of range (want 3 to 65535): no BGP speaker accepts it`},
		{"hold_time 2", "", `7:13: error: hold_time 2: out of range (want 3 to 65535): no BGP speaker accepts it`},
	})
}

func TestBGP_OPEN_03_KeepaliveAboveAThird(t *testing.T) {
	checkRows(t, inNeighbor, []row{
		{"keepalive 4", "", `7:13: error: keepalive 4: more than a third of hold_time 9 (want 1 to 3)`},
		{"hold_time 10\nkeepalive 4", "", `8:11: error: keepalive 4: more than a third of hold_time 10 (want 1 to 3)`},
		{"hold_time 2\nkeepalive 4", "", `7:13: error: hold_time 2: out of range (want 3 to 65535): no BGP speaker accepts it`},
	})
}

// TestWhatIsAcceptedIsAnnounced: the rails of package bgp have nothing to object to in a configuration without errors.
func TestWhatIsAcceptedIsAnnounced(t *testing.T) {
	cfg := mustParse(t, "bgp_speaker S { local_as 64500 router_id 1.1.1.1 allow_prefix { 198.51.100.0/24 2001:db8::/48 } max_announcements 2 neighbor 10.9.9.9 { remote_as 64501 } }\n"+
		minimal("A", 1, "virtual_ipaddress { 10.0.0.1 }\nbgp_announce { 198.51.100.0/24 speaker S prepend 2 2001:db8::/48 speaker S next_hop 2001:db8:1::1 }"))
	var routes []bgp.Route
	for _, a := range cfg.Routers[0].Announce {
		routes = append(routes, a.Route)
	}
	if ok, err := cfg.Speaker("S").Validate(routes); err != nil || len(ok) != 2 {
		t.Errorf("%v %v", ok, err)
	}
}
