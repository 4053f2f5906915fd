package conf_test

import (
	"strings"
	"testing"

	"failoverd/conf"
)

// Templates for blocks about other sites; the statement is on line 7. K stands for a key.
const (
	inSite = `vrrp_instance V {
  interface e0
  virtual_router_id 7
  virtual_ipaddress { 10.0.0.1/24 }
  watcher_peer { 203.0.113.2 } }
site m {
  STATEMENT
  witness sg 203.0.113.200
  key K
}
`
	inWatch = `vrrp_instance V { interface e0
  virtual_router_id 7
  priority 50
  virtual_ipaddress { 10.0.0.1/24 }
  unicast_src_ip 10.3.0.1
  unicast_peer { 10.1.0.1 }
  watch_site m site h }
watch_site m {
  key K
  listen 0.0.0.0
  witness sg 203.0.113.200
  STATEMENT
}
site h { witness sg 203.0.113.200
  key K }
`
	inGuarded = `bgp_speaker S { local_as 64500 router_id 192.0.2.9 allow_prefix { 198.51.100.0/24 } neighbor 192.0.2.1 { remote_as 64501 hold_time 6 } }
site m { watcher 203.0.113.2
  key K }
vrrp_instance V { interface e0
  virtual_router_id 7
  virtual_ipaddress { 10.0.0.1/24 }
  STATEMENT
  bgp_announce { 198.51.100.0/24 speaker S }
}
`
	key  = "0123456789abcdef0123456789abcdef"
	key2 = "0123456789abcdef0123456789abcdeF"
)

func hexOf(key string) string {
	const digits = "0123456789abcdef"
	var b strings.Builder
	for i := range len(key) {
		b.WriteByte(digits[key[i]>>4])
		b.WriteByte(digits[key[i]&15])
	}
	return "key hex:" + b.String()
}

func TestSiteKeywords(t *testing.T) {
	checkRows(t, strings.ReplaceAll(inSite, "key K", "key "+key), []row{
		{"watcher 203.0.113.2", "watcher 203.0.113.2:7112 {", ""},
		{"watcher 203.0.113.2:99 { key " + key2 + " }", "watcher 203.0.113.2:99 { | " + hexOf(key2), ""},
		{"watcher 2001:db8::2", "watcher [2001:db8::2]:7112 {", ""},
		{"watcher [2001:db8::2]:9", "watcher [2001:db8::2]:9 {", ""},
		{"watcher 203.0.113.2:0", "", `7:11: error: watcher 203.0.113.2:0: port 0 is none`},
		{"watcher hk", "", `7:11: error: watcher "hk": want ADDRESS or ADDRESS:PORT ([ADDRESS]:PORT over IPv6)`},
		{"watcher 224.0.0.1", "", `7:11: error: watcher 224.0.0.1: not the address of a host`},
		{"watcher 203.0.113.2 { key short }", "", `7:29: error: key: a key of 5 octets is too short, it could be guessed (want 32 to 64)`},
		{"witness jp 203.0.113.201", "witness jp 203.0.113.201:7112 {", ""},
		{"witness jp", "", `7:3: error: witness: its value is missing (want ADDRESS or ADDRESS:PORT)`},
		{"witness sg 203.0.113.201", "", `8:11: error: witness sg is there twice, first at 7:11`},
		{"witness jp 203.0.113.200", "", `8:14: error: witness sg: witness jp has this address, too; one of them counts twice`},
		{
			"witness " + strings.Repeat("x", 33) + " 203.0.113.201", "",
			`7:11: error: witness ` + strings.Repeat("x", 33) + `: a name has at most 32 octets here, so that it fits into every message`,
		},
		{"fence_after 6.5", "fence_after 6.5", ""},
		{"fence_after 2.9", "", `7:15: error: site m would be isolated by every lost heartbeat: fence_after 2.9 >= 3 x heartbeat 1 = 3 does not hold`},
		{"heartbeat 0.5", "heartbeat 0.5", ""},
		{"heartbeat 3", "", `7:13: error: site m would be isolated by every lost heartbeat: fence_after 7 >= 3 x heartbeat 3 = 9 does not hold`},
		{"isolated fence", "", ""},
		{"isolated hold", "", `7:12: error: isolated hold needs a health_check in this site: without one an isolated site would serve whatever happens`},
		{"isolated maybe", "", `7:12: error: isolated "maybe": want fence or hold`},
		{"health_check nothing", "", "7:16: error: health_check nothing: there is no such health_check\n7:16: warning: health_check has no effect in a site without isolated hold"},
		{"key " + key2, hexOf(key2), ""},
		{"key_file none", "", `7:12: error: key_file: open none: no such file`},
	})
}

func TestWatchKeywords(t *testing.T) {
	// The statement is on line 12 here.
	checkRows(t, strings.ReplaceAll(inWatch, "key K", "key "+key), []row{
		{"witness jp 203.0.113.201:9", "witness jp 203.0.113.201:9 { | down_quorum 2", ""},
		{"down_quorum 1", "", ""},
		{
			"witness jp 203.0.113.201:9\ndown_quorum 1", "witness jp 203.0.113.201:9 {",
			`13:13: warning: down_quorum 1 is no majority of 2 votes: while some of these are cut off from the site and others are not, both sites may serve (want 2 or more)`,
		},
		{"witness jp 203.0.113.201:9\ndown_quorum 2", "witness jp 203.0.113.201:9 { | down_quorum 2", ""},
		{"down_quorum 2", "", `12:15: error: down_quorum 2: only 1 can vote here (health checks and witnesses), so nobody would ever take over`},
		{"takeover_after 18", "", ""},
		{"takeover_after 20.5", "takeover_after 20.5", ""},
		{
			"takeover_after 17", "takeover_after 17",
			`12:18: warning: watch_site m: both sites may announce for 1 s if site m is isolated and then hangs: takeover_after 17 >= fence_after 7 + hold_time 9 + 1 + heartbeat 1 = 18 does not hold`,
		},
		{
			"takeover_after 11", "",
			`12:18: error: watch_site m would take over while site m may still serve: takeover_after 11 >= max(fence_after 7, hold_time 9, vip_lease 3 + 1) + 1 + 2 x heartbeat 1 = 12 does not hold`,
		},
		{"takeover_after x", "", `12:18: error: takeover_after "x": not a number of seconds (want 0 to 3600 seconds)`},
		{"takeover_on_site_down", "takeover_on_site_down", ""},
		{"takeover_on_site_down off", "", ""},
		{"heartbeat 0.5", "takeover_after 17.5 | heartbeat 0.5", ""},
		{"fence_after 10", "takeover_after 21 | fence_after 10", ""},
		{"hold_time 3", "takeover_after 12 | hold_time 3", ""},
		{
			"hold_time 90", "takeover_after 99 | hold_time 90",
			`12:13: warning: hold_time 90: the upstream of site m keeps a dead route for that long, and takeover_after has to wait for it; 9 or less is better, or BFD`,
		},
		{"hold_time 2", "", `12:13: error: hold_time 2: out of range (want 3 to 65535): no BGP speaker accepts it`},
		{"vip_lease 30", "takeover_after 34 | vip_lease 30", ""},
		{"vip_lease 0", "", `12:13: error: vip_lease 0: out of range (want 1 to 86400)`},
		{"hold_down 0", "hold_down 0", ""},
		{"damping 600 3000 500", "damping 600 3000 500", ""},
		{"damping 600 500 3000", "", `12:19: error: damping: REUSE 3000 is above SUPPRESS 500, so a latch would never be set`},
		{"damping 600 500", "", `12:3: error: damping: its value is missing (want 1 to 1000000)`},
		{"listen [::]:9", "listen [::]:9", ""},
		{"health_check", "", `12:3: error: health_check: its value is missing (want the name of a health_check)`},
		{"health_check nothing", "", `12:16: error: health_check nothing: there is no such health_check`},
		{"takeover_afetr 18", "", `12:3: error: unknown keyword "takeover_afetr" in watch_site (did you mean "takeover_after"?)`},
	})
}

func TestGuardedInstance(t *testing.T) {
	checkRows(t, strings.ReplaceAll(inGuarded, "key K", "key "+key), []row{
		{"watcher_peer { 203.0.113.2 }", "watcher_peer { | 203.0.113.2 | site m | failback_clean 60", ""},
		{"watcher_peer { 203.0.113.2 }\nsite none", "watcher_peer { | 203.0.113.2", "2:6: warning: site m is not used: no instance lives by it (one with site m, with a watcher_peer, or with a unicast_peer that is a watcher here would)"},
		{"unicast_peer { 203.0.113.2 }", "unicast_peer { | 203.0.113.2 | site m | failback_clean 60", ""},
		{"site m", "site m | failback_clean 60", ""},
		{"site x", "", "2:6: warning: site m is not used: no instance lives by it (one with site m, with a watcher_peer, or with a unicast_peer that is a watcher here would)\n7:8: error: site x: there is no such site at the top level"},
		{"site m\nfailback_clean 30", "site m | failback_clean 30", ""},
		{"site m\nunicast_peer { 203.0.113.2 }\nhandover_overlap 2.5", "unicast_peer { | 203.0.113.2 | site m | handover_overlap 2.5 | failback_clean 60", ""},
		{"site m\nhandover_overlap 2", "site m | handover_overlap 2 | failback_clean 60", "8:18: warning: handover_overlap has no effect: vrrp_instance V has no partner on another site"},
		{
			"watcher_peer { 203.0.113.2 }\nhandover_overlap 7", "",
			`8:18: error: handover_overlap 7 is longer than the hold_time 6 of speaker S: a node that dies in between would leave a route for longer than the other site reckons with`,
		},
		{"site m\nhandover_overlap 1 until", "", "8:18: warning: handover_overlap has no effect: vrrp_instance V has no partner on another site\n8:20: error: until: its value is missing (want the name of a health_check)"},
	})
}

// TestRegionTraps: what goes wrong between blocks, each with a text of its own. KEY stands for a key.
func TestRegionTraps(t *testing.T) {
	instance := func(more string) string {
		return "vrrp_instance V { interface e0\n virtual_router_id 7\n priority 50\n virtual_ipaddress { 10.0.0.1/24 }\n unicast_src_ip 10.3.0.1\n unicast_peer { 10.1.0.1 }\n" + more + " }\n"
	}
	const watch = "watch_site m { witness sg 203.0.113.9\n key KEY\n listen 0.0.0.0 }\n"
	for _, tt := range []struct{ name, text, want string }{
		{"two sites", "site a { watcher 10.0.0.2\n key KEY }\nsite b { watcher 10.0.0.2\n key KEY }\n" + instance("site a"), "error: site b: this node belongs to site a already"},
		{"no partner", "site a { key KEY }\n" + instance("site a"), "error: site a has no watcher and no witness: nobody could acknowledge that it is not isolated"},
		{"no key", "site a { watcher 10.0.0.2 }\n" + instance("site a"), "error: watcher 10.0.0.2: key_file is missing: nobody could tell its messages from forged ones"},
		{"nobody votes", "watch_site m { listen ::\n key KEY }\n" + instance("watch_site m"), "error: watch_site m has no health_check and no witness: nothing could ever say that the site is down"},
		{"nobody watches", watch, "warning: watch_site m is not used: no instance names it, and there is no witness_server"},
		{"no listener", strings.Replace(watch, "listen 0.0.0.0", "", 1) + instance("watch_site m"), "warning: watch_site m does not listen: the site's nodes cannot be acknowledged here, and fence themselves when they lose the witnesses (want listen and key_file)"},
		{"listener without key", "watch_site m { witness sg 203.0.113.9 { key KEY }\n listen :: }\n" + instance("watch_site m"), "error: watch_site m listens and has no key_file: it would have to believe anybody"},
		{"witness without checks", "watch_site m { }\nwitness_server { listen ::\n key KEY }\n", "error: watch_site m has no health_check and no witness: nothing could ever say that the site is down"},
		{"server without listen", "witness_server { key KEY }\n", "error: witness_server: listen is missing (want an address of this node, or 0.0.0.0)"},
		{"server without key", "witness_server { listen :: }\n", "error: witness_server: key_file is missing: it would answer anybody"},
		{"server twice", "witness_server { listen ::\n key KEY }\nwitness_server { listen ::\n key KEY }\n", "error: witness_server is there twice, first at 1:1"},
		{"watches its own site", "site m { watcher 10.0.0.2\n key KEY }\n" + watch + instance("watch_site m\nsite m"), "error: vrrp_instance V watches site m, and this node claims roles under the same name (its site, or else its router_id): nobody could tell the two apart"},
		{"watches its own name", "global_defs { router_id m }\n" + watch + instance("watch_site m"), "error: vrrp_instance V watches site m, and this node claims roles under the same name (its site, or else its router_id): nobody could tell the two apart"},
		{"owner that watches", watch + strings.Replace(instance("watch_site m"), "priority 50", "priority 255", 1), "error: priority 255 takes over at once, so there is nothing that watch_site m could hold back"},
		{"default priority", watch + strings.Replace(instance("watch_site m"), "priority 50", "", 1), "warning: vrrp_instance V has no priority, which means 100 on every node: write one that is below all those at site m, with their weights, or they tie across regions"},
		{"high priority", watch + strings.Replace(instance("watch_site m"), "priority 50", "priority 200", 1), "warning: priority 200 is high for a watcher: it must be below those of all nodes of site m, with their weights, which this file does not know"},
		{"a watcher that nothing ends", watch + instance("watch_site m"), "warning: vrrp_instance V lives by no site: once it has taken over, nothing ends its role if it is cut off from site m and the witnesses; give it a site block of its own with a witness, and site NAME here"},
		{"the verdict alone, in a group", strings.Replace(watch, "listen", "takeover_on_site_down\n listen", 1) + "vrrp_sync_group G { group { V } }\n" + instance("watch_site m"), "warning: takeover_on_site_down of watch_site m has no effect on vrrp_instance V: the site must be able to learn of the newer term here (want listen and key_file), and members of a vrrp_sync_group are left out"},
		{"hears nobody", watch + "vrrp_instance V { interface e0\n virtual_router_id 7\n priority 50\n virtual_ipaddress { 10.0.0.1/24 }\n watch_site m }\n", "warning: vrrp_instance V watches site m and has no unicast_peer there: it would never hear the site's advertisements"},
		{"site without witness", "site hk { watcher 10.0.0.2\n key KEY }\n" + watch + instance("watch_site m\nsite hk"), "warning: vrrp_instance V takes over for site m only while somebody acknowledges site hk, which has no witness: those who are watched may be the only ones that could"},
		{"no lease", "global_defs { vip_lease 0 }\nsite a { watcher 10.0.0.2\n key KEY }\n" + instance("site a"), "error: vip_lease 0: vrrp_instance V belongs to site a, whose addresses must end by themselves when the agent does"},
		{"long name", "global_defs { router_id " + strings.Repeat("n", 33) + " }\n" + watch + instance("watch_site m"), "error: the name of this node, " + strings.Repeat("n", 33) + ", has more than the 32 octets that fit into a message between sites: write a shorter router_id in global_defs"},
		{"hold with a check", "health_check c { tcp 192.0.2.1:1 }\nsite a { watcher 10.0.0.2\n isolated hold\n health_check c\n key KEY }\n" + instance("site a"), "warning: isolated hold: while the sites do not hear each other, both may announce"},
		{"check without hold", "health_check c { tcp 192.0.2.1:1 }\nsite a { watcher 10.0.0.2\n health_check c c\n key KEY }\n" + instance("site a"), "warning: health_check has no effect in a site without isolated hold"},
		{"a script does not vote", "vrrp_script s { script /bin/true }\nwatch_site m { health_check s }\n", "error: health_check s: there is no such health_check"},
		{"none is no name", "site none { watcher 10.0.0.2\n key KEY }\n", "error: site none: the word means that there is none"},
		{"a brace is missing", "vrrp_instance V { interface e0\n virtual_router_id 7\n virtual_ipaddress { 10.0.0.1/24 }\nsite a { watcher 10.0.0.2\n key KEY }\n}\n", "error: site inside vrrp_instance: is a } missing before it?"},
		{"one number for two services", watch + instance("watch_site m") + strings.NewReplacer("instance V", "instance W", "e0", "e1", "10.3.0.1", "10.4.0.1", "10.0.0.1/24", "10.9.0.1/24").Replace(instance("watch_site m")), "error: virtual_router_id 7 is used twice over IPv4 for services of site m, first in vrrp_instance V: between sites only the number tells them apart"},
		{"useless words", instance("handover_overlap 2\nfailback_clean 3"), "warning: failback_clean has no effect: vrrp_instance V knows no other site (watch_site, site)"},
		{"slow upstream", "site a { watcher 10.0.0.2\n key KEY }\nbgp_speaker S { local_as 1\n router_id 1.1.1.1\n allow_prefix { 198.51.100.0/24 }\n neighbor 10.0.0.9 { remote_as 2\n hold_time 90\n graceful_restart 30 i_understand_stale_routes } }\n" + instance("site a\n bgp_announce { 198.51.100.0/24 speaker S }"), "warning: hold_time 90: after a crash the route of a guarded instance stays for that long, and takeover_after of all watchers has to cover it; 9 or less is better"},
		{"graceful restart", "site a { watcher 10.0.0.2\n key KEY }\nbgp_speaker S { local_as 1\n router_id 1.1.1.1\n allow_prefix { 198.51.100.0/24 }\n neighbor 10.0.0.9 { remote_as 2\n graceful_restart 30 i_understand_stale_routes } }\n" + instance("site a\n bgp_announce { 198.51.100.0/24 speaker S }"), "warning: graceful_restart 30: another site takes over while the route of a dead node stays; guarded instances want 0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, diags := parse(t, strings.ReplaceAll(tt.text, "KEY", key), conf.Options{})
			if !strings.Contains(diags, tt.want) {
				t.Errorf("says\n%swant\n%s", diags, tt.want)
			}
		})
	}
}
