package conf_test

import (
	"strings"
	"testing"

	"failoverd/conf"
)

// Templates as those for routers.
const (
	inSpeaker = `bgp_speaker S {
  local_as 64500
  router_id 192.0.2.9
  neighbor 192.0.2.1 { remote_as 64501 }
  allow_prefix { 198.51.100.0/24 }

  STATEMENT
}
`
	inNeighbor = `bgp_speaker S {
  local_as 64500
  router_id 192.0.2.9
  allow_prefix { 198.51.100.0/24 }
  neighbor 192.0.2.1 {
    remote_as 64501
  STATEMENT
  }
}
`
	inAnnounce = `bgp_speaker S { local_as 64500 router_id 192.0.2.9 neighbor 192.0.2.1 { remote_as 64501 }
  allow_prefix { 198.51.100.0/24 2001:db8::/48 } max_announcements 1 }
vrrp_instance V {
  interface e0 virtual_router_id 7 virtual_ipaddress { 10.0.0.1/24 }
  virtual_router_id 7
  bgp_announce {
  STATEMENT
  }
}
`
)

// outlives is what is said of every gobgpd.
const outlives = `warning: backend gobgpd: a gobgpd goes on announcing when failoverd dies; have the service manager withdraw then (ExecStopPost=gobgp global rib del PREFIX) and start failoverd again, which sweeps what a dead one left`

func TestSpeakerKeywords(t *testing.T) {
	checkRows(t, inSpeaker, []row{
		{"local_as 4200000001", "local_as 4200000001", ""},
		{"local_as 0", "", `7:12: error: local_as 0: out of range (want 1 to 4294967295)`},
		{"local_as 23456", "", `7:12: error: local_as 23456: the number is reserved (RFC 6793, RFC 7300)`},
		{"local_as 1.1", "", `7:12: error: local_as "1.1": not a whole number (want 1 to 4294967295)`},
		{"router_id 192.0.2.8", "router_id 192.0.2.8", ""},
		{"router_id 0.0.0.0", "", `7:13: error: router_id "0.0.0.0": want an IPv4 address other than 0.0.0.0`},
		{"router_id fe80::1", "", `7:13: error: router_id "fe80::1": want an IPv4 address other than 0.0.0.0`},
		{"backend embedded", "", ""},
		{"backend gobgpd 127.0.0.1:50051", `backend gobgpd "127.0.0.1:50051"`, `7:18: ` + outlives},
		{"backend gobgpd [::1]:50051", `backend gobgpd "[::1]:50051"`, `7:18: ` + outlives},
		{"backend gobgpd unix:///run/gobgp/g.sock", `backend gobgpd "unix:/run/gobgp/g.sock"`, `7:18: ` + outlives},
		{"backend gobgpd 203.0.113.9:50051", `backend gobgpd "203.0.113.9:50051"`, "7:18: warning: backend gobgpd 203.0.113.9:50051: without tls, everybody on the way to it can change every route of it\n7:18: " + outlives},
		{"backend gobgpd", "", `7:3: error: backend: its value is missing (want ADDRESS:PORT or unix:/PATH)`},
		{"backend gobgpd localhost:50051", "", `7:18: error: backend gobgpd "localhost:50051": want ADDRESS:PORT ([ADDRESS]:PORT for IPv6) or unix: and an absolute path of at most 107 octets`},
		{"backend gobgpd 127.0.0.1", "", `7:18: error: backend gobgpd "127.0.0.1": want ADDRESS:PORT ([ADDRESS]:PORT for IPv6) or unix: and an absolute path of at most 107 octets`},
		{"backend gobgpd 127.0.0.1:0", "", `7:18: error: backend gobgpd "127.0.0.1:0": want ADDRESS:PORT ([ADDRESS]:PORT for IPv6) or unix: and an absolute path of at most 107 octets`},
		{"backend gobgpd unix:run/g.sock", "", `7:18: error: backend gobgpd "unix:run/g.sock": want ADDRESS:PORT ([ADDRESS]:PORT for IPv6) or unix: and an absolute path of at most 107 octets`},
		{"backend gobgpd unix:/x\ntls { }", "", "7:18: " + outlives + "\n8:1: error: tls is for backend gobgpd ADDRESS:PORT: a Unix socket is protected by the permissions of its directory"},
		{"tls { }", "", `7:3: error: tls is for backend gobgpd ADDRESS:PORT: the embedded speaker has a private socket`},
		{"backend bird", "", `7:11: error: backend "bird": want embedded or gobgpd`},
		{"listen_port 179", "listen_port 179", ""},
		{"listen_port 65536", "", `7:15: error: listen_port 65536: out of range (want 0 to 65535)`},
		{"allow_prefix {\n203.0.113.0/24\n2001:db8::/48\n}", "203.0.113.0/24 | 2001:db8::/48", ""},
		{"allow_prefix { 198.51.100.0/24 }", "", `7:18: warning: allow_prefix 198.51.100.0/24 is there twice`},
		{"allow_prefix { 203.0.113.7/24 }", "", `7:18: error: allow_prefix 203.0.113.7/24: bits behind the prefix length are set (did you mean "203.0.113.0/24"?)`},
		{"allow_prefix { 203.0.113.7 }", "", `7:18: error: allow_prefix "203.0.113.7": not a prefix (want ADDRESS/LENGTH)`},
		{"allow_prefix { 203.0.113.0/33 }", "", `7:18: error: allow_prefix "203.0.113.0/33": not a prefix (want ADDRESS/LENGTH)`},
		{"allow_prefix { 0.0.0.0/0 }", "", `7:18: error: allow_prefix 0.0.0.0/0: a default route is not ours to announce`},
		{"allow_prefix { 203.0.113.0/24 { x } }", "", `7:33: error: 203.0.113.0/24 takes no block; it is skipped`},
		{"max_announcements 3", "max_announcements 3", ""},
		{"max_announcements 0", "", `7:21: error: max_announcements 0: out of range (want 1 to 10000)`},
		{"max_changes 4", "max_changes 4", ""},
		{"avoid_flap_damping", "avoid_flap_damping", ""},
		{"avoid_flap_damping yes", "", `7:22: error: unexpected "yes" after avoid_flap_damping; each statement takes a line of its own`},
		{"max_changes 1", "", `7:15: error: max_changes 1: out of range (want 2 to 1000)`},
		{"max_changes 1001", "", `7:15: error: max_changes 1001: out of range (want 2 to 1000)`},
		{"rpki_cache 127.0.0.1:8282", "rpki_cache 127.0.0.1:8282", ""},
		{"rpki_cache [2001:db8::9]:323\nrpki_cache rpki.example:8282", "rpki_cache [2001:db8::9]:323 | rpki_cache rpki.example:8282", ""},
		{"rpki_cache 127.0.0.1", "", `7:14: error: rpki_cache "127.0.0.1": the port is missing (want HOST:PORT; caches listen on port 323 or 8282)`},
		{"rpki_cache 2001:db8::9:323", "", `7:14: error: rpki_cache "2001:db8::9:323": an IPv6 address stands in brackets (want HOST:PORT; caches listen on port 323 or 8282)`},
		{"rpki_cache a:1\nrpki_cache a:1", "rpki_cache a:1", `8:12: warning: rpki_cache a:1 is there twice`},
		{"rpki_cache a:1\nrpki_invalid warn", "rpki_cache a:1 | rpki_invalid warn", ""},
		{"rpki_cache a:1\nrpki_invalid refuse", "rpki_cache a:1", ""},
		{"rpki_invalid refuse", "", `7:16: warning: rpki_invalid without rpki_cache: nothing is validated`},
		{"rpki_cache a:1\nrpki_invalid drop", "", `8:14: error: rpki_invalid "drop": want refuse or warn`},
		{"neighbor 192.0.2.1 { remote_as 64502 }", "", `7:12: error: neighbor 192.0.2.1 is defined twice, first at 4:12`},
		{"neighbor 192.0.2.2 { }", "", `7:12: error: neighbor 192.0.2.2: remote_as is missing`},
		{"neighbor fe80::1%e0 { remote_as 64502 local_address fe80::2 }", "neighbor fe80::1%e0 { | remote_as 64502 | local_address fe80::2", ""},
		{"neighbor fe80::1%e0 { remote_as 64502 }", "", `7:12: error: neighbor fe80::1%e0: local_address is missing, the own link-local address: without it there would be no next hop`},
		{"neighbor fe80::1%e0 { remote_as 64502 local_address fe80::2%e0 }", "", `7:55: error: local_address "fe80::2%e0": not an IP address`},
		{"neighbor fe80::1 { remote_as 64502 }", "", `7:12: error: neighbor fe80::1: a link-local IPv6 address, and only that, has the interface with it (fe80::1%eth0)`},
		{"neighbor 192.0.2.2%e0 { remote_as 64502 }", "", `7:12: error: neighbor 192.0.2.2%e0: a link-local IPv6 address, and only that, has the interface with it (192.0.2.2%eth0)`},
		{"neighbor x { remote_as y }", "", "7:12: error: neighbor \"x\": not an IP address\n7:26: error: remote_as \"y\": not a whole number (want 1 to 4294967295)"},
		{"neighbor { remote_as 64502 }", "", `7:3: error: neighbor: its value is missing (want an IP address)`},
		{"remote_as 3", "", `7:3: error: remote_as belongs in neighbor, not in bgp_speaker`},
	})
}

func TestNeighborKeywords(t *testing.T) {
	checkRows(t, inNeighbor, []row{
		{"remote_as 64502", "remote_as 64502", ""},
		{"remote_as 0", "", `7:13: error: remote_as 0: out of range (want 1 to 4294967295)`},
		{"local_address 192.0.2.9", "local_address 192.0.2.9", ""},
		{"local_address 192.0.2.9/24", "", `7:17: error: local_address "192.0.2.9/24": not an IP address`},
		{"local_address 2001:db8::1", "", `7:17: error: local_address 2001:db8::1 and neighbor 192.0.2.1 are of different families`},
		{`description "isp a"`, `description "isp a"`, ""},
		{`password "a\"b$c\"`, `password "a\"b${_DOLLAR}c\"`, ""},
		{"password " + strings.Repeat("x", 81), "", `7:12: error: password: longer than the 80 characters that TCP MD5 takes`},
		{"password_file secret", `password "s3cret"`, ""},
		{"password_file none", "", `7:17: error: password_file: open none: no such file`},
		{"password_file empty", "", `7:17: error: password_file empty: want one line with the password`},
		{"password_file lines", "", `7:17: error: password_file lines: want one line with the password`},
		{"password_file long", "", `7:17: error: password_file long: longer than the 80 characters that TCP MD5 takes`},
		{"password x\npassword_file secret", "", `8:15: error: password_file and password exclude each other`},
		{"port 1179", "port 1179", ""},
		{"port 0", "", `7:8: error: port 0: out of range (want 1 to 65535)`},
		{"hold_time 90", "hold_time 90 | keepalive 30", ""},
		{"hold_time 3", "hold_time 3 | keepalive 1", ""},
		{"hold_time 10", "hold_time 10", ""},
		{"hold_time 65536", "", `7:13: error: hold_time 65536: out of range (want 0 to 65535)`},
		{"keepalive 2", "keepalive 2", ""},
		{"connect_retry 5", "connect_retry 5", ""},
		{"connect_retry 0", "", `7:17: error: connect_retry 0: out of range (want 1 to 65535)`},
		{"multihop 2", "multihop 2", ""},
		{"multihop 0", "", `7:12: error: multihop 0: out of range (want 1 to 255)`},
		{"remote_as 64500\nmultihop 2", "", `8:10: error: multihop is for eBGP: a session inside an AS may take any number of hops`},
		{"ttl_security 1", "ttl_security 1", ""},
		{"ttl_security 255", "", `7:16: error: ttl_security 255: out of range (want 1 to 254)`},
		{"multihop 2\nttl_security 1", "", `8:14: error: ttl_security and multihop exclude each other`},
		{"graceful_restart 0", "", ""},
		{"graceful_restart 4096", "", `7:20: error: graceful_restart 4096: out of range (want 0 to 4095)`},
		{"four_octet_as_required", "", ""},
		{"four_octet_as_required off", "", `7:26: error: four_octet_as_required off is not supported yet`},
		{"hold_tiem 9", "", `7:3: error: unknown keyword "hold_tiem" in neighbor (did you mean "hold_time"?)`},
	})
}

func TestAnnounceOptions(t *testing.T) {
	checkRows(t, inAnnounce, []row{
		{"198.51.100.0/24 speaker S", `bgp_announce { | 198.51.100.0/24 speaker "S"`, ""},
		{
			"198.51.100.0/24 speaker S med 50 community 64500:100 next_hop 203.0.113.2",
			`bgp_announce { | 198.51.100.0/24 next_hop 203.0.113.2 med 50 community 64500:100 speaker "S"`, "",
		},
		{
			"198.51.100.0/24 speaker S when backup prepend 3 med 0 local_pref 0",
			`bgp_announce { | 198.51.100.0/24 when backup med 0 local_pref 0 prepend 3 speaker "S"`, "",
		},
		{
			"198.51.100.0/24 speaker S when draining community graceful-shutdown 1:2 1:2 large_community 1:2:3 community 0:9",
			`bgp_announce { | 198.51.100.0/24 when draining community 0:9 community 1:2 community 65535:0 large_community 1:2:3 speaker "S"`, "",
		},
		{"198.51.100.0/24 when active speaker S", `bgp_announce { | 198.51.100.0/24 speaker "S"`, ""},
		{"198.51.100.0/24", "", `7:3: error: bgp_announce 198.51.100.0/24: speaker is missing`},
		{"198.51.100.0/24 speaker T", "", `7:27: error: speaker T: there is no such bgp_speaker`},
		{"198.51.100.0/24 speaker", "", `7:19: error: speaker: its value is missing (want the name of a bgp_speaker)`},
		{"198.51.100.7/24 speaker S", "", `7:3: error: bgp_announce 198.51.100.7/24: bits behind the prefix length are set (did you mean "198.51.100.0/24"?)`},
		{"198.51.100.0 speaker S", "", `7:3: error: bgp_announce "198.51.100.0": not a prefix (want ADDRESS/LENGTH)`},
		{"198.51.100.0/24 speaker S when master", "", `7:34: error: when "master": want active or backup or draining`},
		{"198.51.100.0/24 speaker S med -1", "", `7:33: error: med "-1": not a whole number (want 0 to 4294967295)`},
		{"198.51.100.0/24 speaker S prepend 17", "", `7:37: error: prepend 17: out of range (want 0 to 16)`},
		{"198.51.100.0/24 speaker S community 65536:1", "", `7:39: error: community: community "65536:1": want AS:VALUE with two numbers up to 65535, or a well-known name such as graceful-shutdown`},
		{"198.51.100.0/24 speaker S community med 3", "", `7:29: error: community: its value is missing (want AS:VALUE or a well-known name)`},
		{"198.51.100.0/24 speaker S large_community 1:2", "", `7:45: error: large_community: large community "1:2": want GLOBAL:LOCAL1:LOCAL2`},
		{"198.51.100.0/24 speaker S next_hop 2001:db8::1", "", `7:38: error: next_hop 2001:db8::1 and the prefix 198.51.100.0/24 are of different families`},
		{"198.51.100.0/24 speaker S next_hop 198.51.100.1", "", `7:3: error: bgp_announce: speaker S: 198.51.100.0/24: unusable next hop: next_hop 198.51.100.1 is inside the prefix itself`},
		{"2001:db8::/48 speaker S", "", `7:3: error: bgp_announce: speaker S: 2001:db8::/48: unusable next hop: no session of the prefix's own family, so next_hop must be given`},
		{"2001:db8::/48 speaker S next_hop 2001:db8:1::1", `bgp_announce { | 2001:db8::/48 next_hop 2001:db8:1::1 speaker "S"`, ""},
		{"198.51.100.0/24 speaker S next_hop 0.0.0.0", "", `7:38: error: next_hop 0.0.0.0: not the address of a host`},
		{"198.51.100.0/24 speaker S prepends 3", "", `7:29: error: unexpected "prepends 3" in bgp_announce (did you mean "prepend"?)`},
		{"198.51.100.0/24 speaker S\n198.51.100.0/24 speaker S med 3", "", `8:1: error: bgp_announce 198.51.100.0/24 speaker S when active is there twice, first at 7:3`},
		{"198.51.100.0/24 speaker S\n198.51.100.0/24 speaker S when backup", `bgp_announce { | 198.51.100.0/24 speaker "S" | 198.51.100.0/24 when backup speaker "S"`, ""},
		{"198.51.100.0/24 speaker S\n2001:db8::/48 speaker S next_hop 2001:db8:1::1", "", `8:1: error: bgp_announce 2001:db8::/48: more prefixes than the max_announcements 1 of speaker S`},
	})
}

// TestBGP_GR_03_OnlyForWhoKnows: graceful restart is refused without i_understand_stale_routes, and the trap is explained.
func TestBGP_GR_03_OnlyForWhoKnows(t *testing.T) {
	checkRows(t, inNeighbor, []row{
		{"graceful_restart 30", "", `7:20: error: graceful_restart 30: after a crash the neighbor keeps the route, which leads nowhere, for 30 more seconds, and the takeover of another node is not seen for as long; write i_understand_stale_routes beside it if that is meant`},
		{"graceful_restart 9\ni_understand_stale_routes", "graceful_restart 9 | i_understand_stale_routes", `7:20: warning: graceful_restart 9: after a crash the neighbor keeps the route, which leads nowhere, for 9 more seconds`},
		{"graceful_restart 30\ni_understand_stale_routes", "graceful_restart 30 | i_understand_stale_routes", `7:20: warning: graceful_restart 30 contradicts hold_time 9: a short hold_time is there to get rid of a dead node's route in 9 seconds, and with this the neighbor keeps it for 30 more`},
		{"i_understand_stale_routes", "", `7:3: warning: i_understand_stale_routes has no effect without graceful_restart`},
		{"graceful_restart 0\ni_understand_stale_routes", "", `8:1: warning: i_understand_stale_routes has no effect without graceful_restart`},
	})
}

// TestBGP_POL_06_LongPrefixes: what most networks refuse is warned about, when a neighbor is the Internet.
func TestBGP_POL_06_LongPrefixes(t *testing.T) {
	checkRows(t, inSpeaker, []row{
		{"neighbor 192.0.2.2 { remote_as 3356 } allow_prefix { 203.0.113.0/25 }", "203.0.113.0/25 | neighbor 192.0.2.2 { | remote_as 3356", `7:56: warning: allow_prefix 203.0.113.0/25: most networks accept nothing longer than /24`},
		{"neighbor 192.0.2.2 { remote_as 3356 } allow_prefix { 2001:db8::/49 }", "2001:db8::/49 | neighbor 192.0.2.2 { | remote_as 3356", `7:56: warning: allow_prefix 2001:db8::/49: most networks accept nothing longer than /48`},
		{"neighbor 192.0.2.2 { remote_as 3356 } allow_prefix { 203.0.113.0/24 2001:db8::/48 }", "203.0.113.0/24 | 2001:db8::/48 | neighbor 192.0.2.2 { | remote_as 3356", ""},
	})
}

// TestBGP_POL_01_NoAllowListNoConfiguration: a speaker that could announce everything does not exist (RFC 8212).
func TestBGP_POL_01_NoAllowListNoConfiguration(t *testing.T) {
	for allow, want := range map[string]string{
		"":                    "error: bgp_speaker S: allow_prefix is missing: nothing else may leave",
		"allow_prefix {\n}\n": "error: allow_prefix is empty: nothing could ever be announced",
	} {
		text := "bgp_speaker S {\nlocal_as 64500\nrouter_id 192.0.2.9\n" + allow + "neighbor 192.0.2.1 {\nremote_as 64501\n}\n}\n"
		format, said := parse(t, text, conf.Options{})
		if format != "" || !strings.Contains(said, want) {
			t.Errorf("%q: %s, want %s", allow, said, want)
		}
	}
}
