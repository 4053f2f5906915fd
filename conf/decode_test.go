package conf_test

import (
	"slices"
	"strings"
	"testing"

	"failoverd/conf"
)

// row is a statement put into a template, the lines of the canonical text that it changes, and what is said about it.
type row struct {
	statement string
	format    string // lines of Format that only appear with the statement, joined by " | "
	diags     string // without file; "7:12: error: ..."
}

// The templates have the statement on line 7, from column 3 on.
const (
	inInstance = `vrrp_instance V {
  interface e0
  virtual_router_id 7
  virtual_ipaddress {
    10.0.0.1/24
  }
  STATEMENT
}
`
	inInstance6 = `vrrp_instance V {
  interface e0
  virtual_router_id 7
  virtual_ipaddress {
    fe80::7/64
  }
  STATEMENT
}
`
	inUnicast = `vrrp_instance V {
  interface e0
  virtual_router_id 7
  virtual_ipaddress { 10.0.0.1/24 }
  unicast_src_ip 192.0.2.1
  unicast_peer { 192.0.2.2 }
  STATEMENT
}
`
	inVersion3 = `vrrp_instance V {
  interface e0
  virtual_router_id 7
  version 3

  virtual_ipaddress { 10.0.0.1/24 }
  STATEMENT
}
`
	inGlobals = `vrrp_instance V {
  interface e0
  virtual_router_id 7
  virtual_ipaddress { 10.0.0.1/24 }
}
global_defs {
  STATEMENT
}
`
	inAddresses = `vrrp_instance V {
  interface e0
  virtual_router_id 7
  virtual_ipaddress { 10.0.0.1/24 }

  virtual_ipaddress_excluded {
  STATEMENT
  }
}
`
)

// parse reads a text that stands alone.
func parse(t *testing.T, text string, opts conf.Options) (format, diags string) {
	t.Helper()
	files := conf.FileMap{"main.conf": text, "secret": "s3cret\n", "empty": "\n", "lines": "a\nb\n", "long": strings.Repeat("x", 81)}
	cfg, list := conf.Parse("main.conf", files, conf.Env{HostName: "n1"}, opts)
	if cfg != nil {
		format = conf.Format(cfg)
	}
	return format, strings.ReplaceAll(lines(besidesUnsigned(list)), "main.conf:", "")
}

func checkRows(t *testing.T, template string, rows []row) {
	t.Helper()
	without, diags := parse(t, strings.Replace(template, "STATEMENT", "", 1), conf.Options{})
	if without == "" {
		t.Fatalf("the template is wrong: %s", diags)
	}
	base := strings.Split(without, "\n")
	for _, r := range rows {
		t.Run(r.statement, func(t *testing.T) {
			format, diags := parse(t, strings.Replace(template, "STATEMENT", r.statement, 1), conf.Options{})
			var changed []string
			for l := range strings.SplitSeq(format, "\n") {
				if !slices.Contains(base, l) {
					changed = append(changed, strings.TrimSpace(l))
				}
			}
			if got := strings.Join(changed, " | "); got != r.format {
				t.Errorf("makes %q, want %q", got, r.format)
			}
			if got := strings.TrimSuffix(diags, "\n"); got != r.diags {
				t.Errorf("says\n%s\nwant\n%s", got, r.diags)
			}
			if again, diags := parse(t, format, conf.Options{}); format != "" && again != format {
				t.Errorf("read back: %s\n%s", diags, again)
			}
			if wantError := strings.Contains(r.diags, ": error: "); wantError != (format == "") {
				t.Errorf("configuration %q with diagnostics %q", format, diags)
			}
		})
	}
}

func TestInstanceKeywords(t *testing.T) {
	checkRows(t, inInstance, []row{
		{"state BACKUP", "state BACKUP", ""},
		{"state MASTER", "state MASTER | priority 255", `7:9: warning: state MASTER without priority means priority 255, that of the node that owns the addresses; write a priority`},
		{"state SLAVE", "", `7:9: error: state "SLAVE": want MASTER or BACKUP`},
		{"state backup", "", `7:9: error: state "backup": want MASTER or BACKUP (did you mean "BACKUP"?)`},
		{"state", "", `7:3: error: state: its value is missing (want MASTER or BACKUP)`},

		{"interface bond0.100", "interface bond0.100", ""},
		{"interface lo", "interface lo", `7:13: warning: interface lo: nobody hears advertisements there; the role follows the checks alone`},
		{"interface 'e0'", "", `7:13: error: interface: single quotes do not quote here; use double quotes`},
		{"interface e0:1", "", `7:13: error: interface "e0:1": not the name of an interface`},
		{"interface sixteencharacter", "", `7:13: error: interface "sixteencharacter": the name of an interface has at most 15 characters`},
		{"interface", "", `7:3: error: interface: its value is missing (want the name of an interface)`},

		{"virtual_router_id 255", "virtual_router_id 255", ""},
		{"virtual_router_id 0", "", `7:21: error: virtual_router_id 0: out of range (want 1 to 255)`},
		{"virtual_router_id 256", "", `7:21: error: virtual_router_id 256: out of range (want 1 to 255)`},
		{"virtual_router_id 5x", "", `7:21: error: virtual_router_id "5x": not a whole number (want 1 to 255)`},
		{"virtual_router_id -5", "", `7:21: error: virtual_router_id "-5": not a whole number (want 1 to 255)`},
		{"virtual_router_id", "", `7:3: error: virtual_router_id: its value is missing (want 1 to 255)`},
		{`virtual_router_id ""`, "", `7:21: error: virtual_router_id: its value is empty (want 1 to 255)`},

		{"priority 254", "priority 254", ""},
		{"priority 0", "", `7:12: error: priority 0: out of range (want 1 to 255)`},
		{"priority 99999999999999999999", "", `7:12: error: priority 99999999999999999999: out of range (want 1 to 255)`},
		{"priority '200'", "", `7:12: error: priority: single quotes do not quote here; use double quotes`},
		{"priority ' 200 '", "", `7:12: error: priority: single quotes do not quote here; use double quotes`},
		{`priority "200"`, "priority 200", ""},
		{"priority # 100", "", `7:3: error: priority: its value is missing (want 1 to 255)`},

		{"advert_int 255", "advert_int 255", ""},
		{"advert_int 2.000", "advert_int 2", ""},
		{"advert_int 0", "", `7:14: error: advert_int 0: out of range (want 0.01 to 255 seconds)`},
		{"advert_int 1s", "", `7:14: error: advert_int "1s": not a number of seconds (want 0.01 to 255 seconds)`},
		{"advert_int .", "", `7:14: error: advert_int ".": not a number of seconds (want 0.01 to 255 seconds)`},
		{"advert_int 99999999999", "", `7:14: error: advert_int 99999999999: out of range (want 0.01 to 255 seconds)`},
		{"advert_int 1 xyz", "", `7:16: error: unexpected "xyz" after advert_int; each statement takes a line of its own`},

		{"version 3", "version 3", ""},
		{"version 4", "", `7:11: error: version "4": want 2 or 3`},
		{"native_ipv6", "", `7:3: warning: native_ipv6 is ignored: the family is that of the first virtual address`},

		{"authentication { auth_type PASS auth_pass x }", `authentication { | auth_type PASS | auth_pass "x"`, ""},
		{"authentication { auth_pass x auth_type PASS }", `authentication { | auth_type PASS | auth_pass "x"`, ""},
		{"authentication { auth_type AH auth_pass x }", "", `7:30: error: auth_type AH is refused: version 3 has no authentication header, and that of version 2 was withdrawn`},
		{"authentication { auth_type PASS }", "", `7:3: error: authentication without auth_pass`},
		{"authentication { auth_pass x }", "", `7:3: error: authentication without auth_type (want auth_type PASS)`},
		{"authentication { auth_type auth_pass x }", "", `7:20: error: auth_type: its value is missing (want PASS or AH)`},
		{"authentication PASS", "", "7:3: error: authentication: its block { ... } is missing\n7:18: error: unexpected \"PASS\" after authentication; each statement takes a line of its own"},

		{"mcast_src_ip 10.0.0.9/24", "mcast_src_ip 10.0.0.9", ""},
		{"mcast_src_ip 10.0.0.1", "", `7:16: error: source 10.0.0.1 is one of the virtual addresses`},
		{"mcast_src_ip fe80::1", "", `7:16: error: source fe80::1: the virtual addresses are IPv4`},
		{"mcast_src_ip 10.0.0.9/x", "", `7:16: error: mcast_src_ip "10.0.0.9/x": not an IP address`},
		{"mcast_src_ip 224.0.0.1", "", `7:16: error: mcast_src_ip 224.0.0.1: not the address of a host`},
		{"mcast_dst_ip 224.0.0.18", "", ""},
		{"mcast_dst_ip 224.0.0.19", "", `7:16: error: mcast_dst_ip 224.0.0.19 is not supported yet: all advertisements go to 224.0.0.18, which vrrp_mcast_group4 in global_defs sets`},
		{"mcast_dst_ip x", "", `7:16: error: mcast_dst_ip "x": not a multicast address`},

		{"nopreempt", "nopreempt", ""},
		{"nopreempt off", "", `7:13: error: unexpected "off" after nopreempt; each statement takes a line of its own`},
		{"preempt", "", ""},
		{"preempt_delay 60", "preempt_delay 60", ""},
		{"preempt_delay 0.5", "preempt_delay 0.5", ""},
		{"preempt_delay 0", "", ""},
		{"preempt_delay 1000.1", "", `7:17: error: preempt_delay 1000.1: out of range (want 0 to 1000 seconds)`},
		{"down_timer_adverts 5", "down_timer_adverts 5", ""},
		{"down_timer_adverts 101", "", `7:22: error: down_timer_adverts 101: out of range (want 1 to 100)`},
		{"lower_prio_no_advert", "lower_prio_no_advert", ""},
		{"lower_prio_no_advert off", "", ""},
		{"lower_prio_no_advert maybe", "", `7:24: error: lower_prio_no_advert "maybe": want on, off, true, false, yes or no`},
		{"higher_prio_send_advert yes", "higher_prio_send_advert", ""},
		{"v3_checksum_as_v2", "", ""},
		{"accept", "", ""},
		{"accept { x }", "", `7:10: error: accept takes no block; it is skipped`},
		{"skip_check_adv_addr off", "", ""},

		{"garp_master_delay 2.5", "garp_master_delay 2.5 | garp_lower_prio_delay 2.5", ""},
		{"garp_master_repeat 3", "garp_master_repeat 3 | garp_lower_prio_repeat 3", ""},
		{"garp_master_repeat 0", "", `7:22: error: garp_master_repeat 0: out of range (want 1 to 1000)`},
		{"garp_master_refresh 60", "garp_master_refresh 60", ""},
		{"garp_master_refresh_repeat 2", "garp_master_refresh_repeat 2", ""},
		{"garp_lower_prio_delay 0", "garp_lower_prio_delay 0", ""},
		{"garp_lower_prio_repeat 0", "garp_lower_prio_repeat 0", ""},

		{"bgp_wait 0", "bgp_wait 0", ""},
		{"bgp_wait 3601", "", `7:12: error: bgp_wait 3601: out of range (want 0 to 3600 seconds)`},
		{"withdraw_grace 0.35\nvirtual_routes { 198.51.100.0/24 via 192.0.2.253 }", "virtual_routes { | 198.51.100.0/24 via 192.0.2.253 | withdraw_grace 0.35", ""},
		{"withdraw_grace 0", "withdraw_grace 0", `7:18: warning: withdraw_grace has no effect: vrrp_instance V has no bgp_announce and no virtual_routes, so that nothing is withdrawn`},
		{"withdraw_grace 10.5", "", `7:18: error: withdraw_grace 10.5: out of range (want 0 to 10 seconds)`},
		{"withdraw_grace soon", "", `7:18: error: withdraw_grace "soon": not a number of seconds (want 0 to 10 seconds)`},
		{"handover_overlap 0", "", ""},
		{"watcher_peer { 203.0.113.2 min_ttl 240 }", "watcher_peer { | 203.0.113.2 min_ttl 240", ""},
		{"watcher_peer { 2001:db8::1 }", "", `7:18: error: watcher_peer 2001:db8::1: the virtual addresses are IPv4`},

		{"debug 4", "", `7:3: warning: debug is ignored: the log level is that of the command line`},
		{"smtp_alert on", "", `7:3: warning: smtp_alert is ignored: failoverd sends none (said once for mail)`},
		{"strict_mode off", "", `7:3: warning: strict_mode is ignored: it makes virtual addresses unreachable; what else it checks, failoverd always checks`},
		{"no_accept", "no_accept", ""},
		{"no_accept\n  accept", "", ""},
		{"use_vmac vrrp.7", "use_vmac vrrp.7 00:00:5e:00:01:07", ""},
		{"use_vmac\n  vmac_xmit_base", "use_vmac vrrp.7 00:00:5e:00:01:07 | vmac_xmit_base", ""},
		{"use_vmac\n  virtual_ipaddress_excluded { 10.0.0.3 dev e0 10.0.0.1/24 dev e0 }", "use_vmac vrrp.7 00:00:5e:00:01:07 | virtual_ipaddress_excluded { | 10.0.0.3/32 dev e0 | 10.0.0.1/24 dev e0", ""},
		{"virtual_routes { default via 10.0.0.254 }", "virtual_routes { | 0.0.0.0/0 via 10.0.0.254", ""},
		{"virtual_rules { from 10.0.0.0/24 table 7 priority 100 }", "virtual_rules { | from 10.0.0.0/24 table 7 priority 100", ""},
		{"no_virtual_ipaddress", "", `7:3: warning: no_virtual_ipaddress has no effect: virtual_ipaddress names an address`},
		{"dont_track_primary", "dont_track_primary", ""},
		{"track_src_ip", "", ""},
		{"promote_secondaries", "promote_secondaries", ""},
		{"owner_ignore_adverts", "", `7:3: warning: owner_ignore_adverts has no effect: only priority 255 owns its addresses`},
		{"owner_ignore_adverts off", "", ""},
		{"track_bfd { x }", "", `7:3: error: track_bfd is refused: ` + conf.NoBFD},
		{"use_ipvlan", "", `7:3: error: use_ipvlan is refused: an ipvlan has the link-layer address of its interface; leave the word out, or write use_vmac`},
		{"watch_site x", "", `7:14: error: watch_site x: there is no such watch_site at the top level`},
		{"garp_extra_if 5", "", `7:3: error: garp_extra_if is not supported yet: garp_master_refresh repeats gratuitous ARP for all virtual addresses; the rest works without it`},

		{"vrrp_garp_master_delay 3", "", `7:3: error: vrrp_garp_master_delay belongs in global_defs, not in vrrp_instance`},
		{"prioriti 3", "", `7:3: error: unknown keyword "prioriti" in vrrp_instance (did you mean "priority"?)`},
		{"Priority 3", "", `7:3: error: unknown keyword "Priority" in vrrp_instance (did you mean "priority"?)`},
		{"preempt-delay 3", "", `7:3: error: unknown keyword "preempt-delay" in vrrp_instance (did you mean "preempt_delay"?)`},
		{"completely_different", "", `7:3: error: unknown keyword "completely_different" in vrrp_instance`},
		{"some_block { a { b } }", "", `7:3: error: unknown block "some_block" in vrrp_instance; all of it is skipped`},
		{"priority { 100 }", "", "7:3: error: priority: its value is missing (want 1 to 255)\n7:12: error: priority takes no block; it is skipped"},
		{"x { include foo }", "", `7:3: error: unknown block "x" in vrrp_instance; all of it is skipped`},
		{"authentication { include foo }", "", "7:3: error: authentication without auth_type (want auth_type PASS)\n7:20: error: include must be the first word of its line"},
	})
}

func TestUnicastKeywords(t *testing.T) {
	checkRows(t, inUnicast, []row{
		{"unicast_src_ip 192.0.2.3/24", "unicast_src_ip 192.0.2.3", ""},
		{"unicast_src_ip # 192.0.2.3", "", `7:3: error: unicast_src_ip: its value is missing (want an IP address)`},
		{"unicast_src_ip 2001:db8::1", "", `7:18: error: source 2001:db8::1: the virtual addresses are IPv4`},
		{"unicast_peer { 192.0.2.3 192.0.2.4/24 }", "192.0.2.3 | 192.0.2.4", ""},
		{"unicast_peer { 192.0.2.3 min_ttl 254 max_ttl 255 192.0.2.4 }", "192.0.2.3 min_ttl 254 max_ttl 255 | 192.0.2.4", ""},
		{"unicast_peer { 192.0.2.3 min_ttl 255 max_ttl 254 }", "", `7:36: error: min_ttl 255 is above max_ttl 254`},
		{"unicast_peer { 192.0.2.3 min_ttl 256 }", "", `7:36: error: min_ttl 256: out of range (want 0 to 255)`},
		{"unicast_peer { 192.0.2.3 min_ttl }", "", `7:28: error: min_ttl: its value is missing (want 0 to 255)`},
		{"unicast_peer { 192.0.2.3 min_tll 3 }", "", `7:28: error: unexpected "min_tll 3" in unicast_peer (did you mean "min_ttl"?)`},
		{"unicast_peer { 192.0.2.3 min_ttl 192.0.2.4 }", "", `7:36: error: min_ttl "192.0.2.4": not a whole number (want 0 to 255)`},
		{"unicast_peer { 192.0.2.3 192.0.2.256 }", "", `7:28: error: unexpected "192.0.2.256" in unicast_peer`},
		{"unicast_peer { peer.example }", "", `7:18: error: unicast_peer "peer.example": not an IP address`},
		{"unicast_peer { 192.0.2.2 }", "", `7:18: warning: unicast_peer 192.0.2.2 is there twice`},
		{"unicast_peer { 192.0.2.1 }", "", `7:18: warning: unicast_peer 192.0.2.1 is this router's own address and left out`},
		{"unicast_peer { 2001:db8::2 }", "", `7:18: error: unicast_peer 2001:db8::2: the virtual addresses are IPv4`},
		{"unicast_ttl 64", "unicast_ttl 64", ""},
		{"unicast_ttl 0", "", `7:15: error: unicast_ttl 0: out of range (want 1 to 255)`},
		{"unicast_fault_no_peer", "", ""},
		{"check_unicast_src", "", ""},
		{"check_unicast_src off", "check_unicast_src off", ""},
		{"watcher_peer { 203.0.113.2 }", "", `7:3: error: watcher_peer goes with multicast; in unicast, name the watchers in unicast_peer`},
	})
}

func TestVersion3Keywords(t *testing.T) {
	checkRows(t, inVersion3, []row{
		{"advert_int 0.01", "advert_int 0.01", ""},
		{"advert_int .25", "advert_int 0.25", ""},
		{"advert_int 40.95", "advert_int 40.95", ""},
		{"advert_int 0.255", "", `7:14: error: advert_int 0.255: not a whole number of centiseconds (nearest: 0.25 or 0.26)`},
		{"v3_checksum_as_v2", "v3_checksum_as_v2", ""},
		{"v3_checksum_as_v2 off", "", ""},
		{"authentication { auth_type PASS auth_pass x }", "", `7:3: warning: authentication is ignored: VRRP version 3 has none`},
	})
}

const noWatchers6 = "watcher_peer is not supported yet over IPv6: the copies would leave from the link-local address; between regions use unicast (unicast_src_ip and unicast_peer)"

func TestIPv6Keywords(t *testing.T) {
	checkRows(t, inInstance6, []row{
		{"version 3", "", ""},
		{"mcast_src_ip fe80::9", "mcast_src_ip fe80::9", ""},
		{"mcast_src_ip 2001:db8::9", "", `7:16: error: source 2001:db8::9: IPv6 advertisements come from a link-local address (RFC 9568 section 5.1.2.1)`},
		{"virtual_ipaddress { 2001:db8::1/64 2001:db8::2 2001:db8::3/128 preferred_lft forever 2001:db8::4/64 preferred_lft 0 }", "2001:db8::1/64 | 2001:db8::2/128 | 2001:db8::3/128 preferred_lft forever | 2001:db8::4/64 preferred_lft 0", ""},
		{"virtual_ipaddress { 2001:db8::1/64 -nodad noprefixroute no_track dev e1 }", "2001:db8::1/64 dev e1 -nodad noprefixroute", "7:38: warning: -nodad turns duplicate address detection on, as in keepalived; leave it out unless that is meant"},
		{"virtual_ipaddress { 2001:db8::1/64 brd + }", "", `7:42: error: brd: IPv6 has no broadcast`},
		{"virtual_ipaddress { 2001:db8::1/64 scope link label x }", "2001:db8::1/64", "7:44: warning: scope is ignored: the kernel knows that of an IPv6 address\n7:55: warning: label is ignored: IPv6 addresses have none"},
		{"virtual_ipaddress { fe80::7/128 }", "", `7:23: error: virtual address fe80::7 on e0 is there twice, first at 5:5`},
		{"virtual_ipaddress { fe80::8%e0 }", "", `7:23: error: virtual address "fe80::8%e0": not an IP address`},
		{"virtual_ipaddress { ::ffff:10.0.0.1 }", "", `7:23: error: virtual address "::ffff:10.0.0.1": not an IP address`},
		{"unicast_peer { 2001:db8::2 }", "unicast_peer { | 2001:db8::2", ""},
		{"watcher_peer { 2001:db8::2 }", "", "7:3: error: " + noWatchers6},
		{"watcher_peer { fe80::2 }", "", "7:3: error: " + noWatchers6},
		{"unicast_peer { 2001:db8::2 }\n  watcher_peer { 2001:db8::3 }", "", `8:3: error: watcher_peer goes with multicast; in unicast, name the watchers in unicast_peer`},
		{"unicast_peer { fe80::2 }", "", `7:18: error: unicast_peer fe80::2: a link-local address is not reachable by unicast without an interface; use a global one`},
		{"unicast_src_ip fe80::9", "", "7:3: error: unicast_src_ip, but unicast_peer names nobody: this router would talk to no one (for multicast, remove every unicast word; the source is mcast_src_ip)\n7:18: error: source fe80::9: a link-local address is not reachable by unicast without an interface; use a global one"},
	})
}

func TestAddressOptions(t *testing.T) {
	checkRows(t, inAddresses, []row{
		{"10.0.0.2", "virtual_ipaddress_excluded { | 10.0.0.2/32", ""},
		{"2001:db8::1/64", "virtual_ipaddress_excluded { | 2001:db8::1/64", ""},
		{"10.0.0.2/24 dev lo brd + scope host label lo:1", `virtual_ipaddress_excluded { | 10.0.0.2/24 dev lo brd 10.0.0.255 scope 254 label "lo:1"`, ""},
		{"10.0.0.2/20 broadcast 10.0.0.9 scope 7", "virtual_ipaddress_excluded { | 10.0.0.2/20 brd 10.0.0.9 scope 7", ""},
		{"10.0.0.2/20 brd - scope global no_track noprefixroute", "virtual_ipaddress_excluded { | 10.0.0.2/20 noprefixroute", ""},
		{"10.0.0.2/0", "virtual_ipaddress_excluded { | 10.0.0.2/0", ""},
		{"10.0.0.2/33", "", `7:3: error: virtual address 10.0.0.2: prefix length "33" (want 0 to 32)`},
		{"2001:db8::1/129", "", `7:3: error: virtual address 2001:db8::1: prefix length "129" (want 0 to 128)`},
		{"10.0.0.2/", "", `7:3: error: virtual address 10.0.0.2: prefix length "" (want 0 to 32)`},
		{"10.0.0.2/32 brd +", "", `7:19: error: brd +: a /32 has no broadcast address`},
		{"10.0.0.2/24 brd 2001:db8::1", "", `7:19: error: brd "2001:db8::1": want an IPv4 address, + (all ones) or - (none)`},
		{"10.0.0.2/24 scope bogus", "", `7:21: error: scope "bogus": want global, site, link, host or 0 to 255`},
		{"10.0.0.2/24 scope lnik", "", `7:21: error: scope "lnik": want global, site, link, host or 0 to 255 (did you mean "link"?)`},
		{"10.0.0.2/24 scope 256", "", `7:21: error: scope "256": want global, site, link, host or 0 to 255`},
		{"10.0.0.2/24 label sixteencharacter", "", `7:21: error: label "sixteencharacter": has 16 characters, the kernel takes at most 15`},
		{"10.0.0.2/24 label", "", `7:15: error: label: its value is missing (want a label)`},
		{"10.0.0.2/24 label scope link", "", `7:15: error: label: its value is missing (want a label)`},
		{"10.0.0.2/24 -nodad", "virtual_ipaddress_excluded { | 10.0.0.2/24", `7:15: warning: -nodad has no effect on an IPv4 address`},
		{"10.0.0.2/24 preferred_lft 0", "", `7:29: error: preferred_lft is for IPv6 addresses`},
		{"2001:db8::1 preferred_lft 30", "", `7:29: error: preferred_lft 30 is refused: addresses are renewed, so that it would never run out (want 0, never a source, or forever)`},
		{"2001:db8::1 preferred_lft never", "", `7:29: error: preferred_lft "never": want forever or 0`},
		{"10.0.0.2/24 peer 10.0.0.3", "", `7:15: error: peer is not supported yet: write the address without it, and a route to the peer in virtual_routes`},
		{"10.0.0.2/24 use_vmac", "", `7:15: error: use_vmac is not supported yet: use_vmac of the instance moves all addresses that have no dev`},
		{"10.0.0.2/24 track_group x", "", `7:15: error: track_group is refused: only static entries have one`},
		{"10.0.0.2/24 foo bar dev e1", "", `7:15: error: unexpected "foo bar" in virtual_ipaddress_excluded`},
		{"10.0.0.2/24 no_trak", "", `7:15: error: unexpected "no_trak" in virtual_ipaddress_excluded (did you mean "no_track"?)`},
		{"10.0.0.2/24 no_track x", "", `7:24: error: unexpected "x" in virtual_ipaddress_excluded`},
		{"10.0.0.2/24 10.0.0.3/24", "", `7:15: error: unexpected "10.0.0.3/24" after 10.0.0.2/24; each entry takes a line of its own`},
		{"10.0.0.2/24, 10.0.0.3/24", "", "7:3: error: virtual address 10.0.0.2: prefix length \"24,\" (want 0 to 32)\n7:16: error: unexpected \"10.0.0.3/24\" after 10.0.0.2/24,; each entry takes a line of its own"},
		{"10.0.0.2/24 { x }", "", `7:15: error: 10.0.0.2/24 takes no block; it is skipped`},
		{"nonsense", "", `7:3: error: virtual address "nonsense": not an IP address`},
		{"10.0.0.256", "", `7:3: error: virtual address "10.0.0.256": not an IP address`},
		{"10.0.0.1.2/24", "", `7:3: error: virtual address "10.0.0.1.2/24": not an IP address`},
		{"fe80:::1/64", "", `7:3: error: virtual address "fe80:::1/64": not an IP address`},
		{"eth0:1 dev e1", "", `7:3: error: virtual address "eth0:1": not an IP address`},
		{"10.0.0.2/24 label 10.0.0.3", "", `7:21: error: label "10.0.0.3": is an address`},
		{"0.0.0.0/0", "", `7:3: error: virtual address 0.0.0.0/0: not the address of a host`},
		{"224.0.0.1", "", `7:3: error: virtual address 224.0.0.1: not the address of a host`},
		{"10.0.0.1/24", "", `7:3: error: virtual address 10.0.0.1 on e0 is there twice, first at 4:23`},
		{"10.0.0.1/24 dev lo", "virtual_ipaddress_excluded { | 10.0.0.1/24 dev lo", ""},
		{"10.0.0.1/32", "virtual_ipaddress_excluded { | 10.0.0.1/32", `7:3: warning: virtual address 10.0.0.1 on e0 is there twice, with another length at 4:23`},
	})
}

// TestAddressesOnOneLine: the word behind an option that takes a value is that value, whatever it looks like.
func TestAddressesOnOneLine(t *testing.T) {
	between := func(entries string) string {
		return strings.Replace(inInstance, "STATEMENT", "virtual_ipaddress_excluded { "+entries+" }", 1)
	}
	rows := []struct{ entries, want, diags string }{
		{"10.0.0.2/24 dev eth0 label eth0:1", `10.0.0.2/24 dev eth0 label "eth0:1"`, ""},
		{"10.0.0.2/24 dev eth0 label eth0:1 10.0.0.3/24 label a:b", `10.0.0.2/24 dev eth0 label "eth0:1" | 10.0.0.3/24 label "a:b"`, ""},
		{"10.0.0.2/24 label :::: 10.0.0.3", `10.0.0.2/24 label "::::" | 10.0.0.3/32`, ""},
		{"10.0.0.2/24 brd 10.0.0.255 10.0.0.3", "10.0.0.2/24 brd 10.0.0.255 | 10.0.0.3/32", ""},
		{"10.0.0.2/24 broadcast 10.0.0.9 scope 253 10.0.0.3", "10.0.0.2/24 brd 10.0.0.9 scope 253 | 10.0.0.3/32", ""},
		{"2001:db8::2 preferred_lft 0 fe80::1/64", "2001:db8::2/128 | fe80::1/64", ""},
		{"10.0.0.2/24 noprefixroute 10.0.0.3/24 no_track fe80::1/64 noprefixroute ::2", "10.0.0.2/24 noprefixroute | 10.0.0.3/24 | fe80::1/64 noprefixroute | ::2/128", ""},
		{"10.0.0.2/24 dev 10.0.0.3", "", `dev "10.0.0.3": not the name of an interface`},
		{"10.0.0.2/24 label 10.0.0.3", "", `label "10.0.0.3": is an address`},
		{"10.0.0.2/24 label 10.0.0.3/24", "", `label "10.0.0.3/24": is an address`},
		{"10.0.0.2/24 scope 10.0.0.3", "", `scope "10.0.0.3": want global, site, link, host or 0 to 255`},
		{"10.0.0.2/24 label dev eth0", "", "label: its value is missing (want a label)"},
		{"10.0.0.2/24 peer 10.0.0.2 10.0.0.3", "", "peer is not supported yet: write the address without it, and a route to the peer in virtual_routes"},
		{"10.0.0.2 10.0.0.3/33", "", `virtual address 10.0.0.3: prefix length "33" (want 0 to 32)`},
		{"10.0.0.2 10.0.0.300 dev eth0", "", `unexpected "10.0.0.300" in virtual_ipaddress_excluded`},
		{"10.0.0.2 eth0:1", "", `unexpected "eth0:1" in virtual_ipaddress_excluded`},
		{"eth0:1 10.0.0.2", "", `virtual address "eth0:1": not an IP address`},
		{"10.0.0.300 10.0.0.2", "", `virtual address "10.0.0.300": not an IP address`},
	}
	for _, r := range rows {
		t.Run(r.entries, func(t *testing.T) {
			format, diags := parse(t, between(r.entries), conf.Options{})
			_, got, _ := strings.Cut(format, "virtual_ipaddress_excluded {\n")
			got, _, _ = strings.Cut(got, "}")
			var made []string
			for l := range strings.Lines(strings.TrimSpace(got)) {
				made = append(made, strings.TrimSpace(l))
			}
			if got := strings.Join(made, " | "); got != r.want {
				t.Errorf("makes %q, want %q", got, r.want)
			}
			if _, got, _ := strings.Cut(diags, ": error: "); strings.TrimSuffix(got, "\n") != r.diags || r.diags == "" && diags != "" {
				t.Errorf("says\n%swant\n%s", diags, r.diags)
			}
		})
	}
}
