package conf_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"failoverd/conf"
	"failoverd/failover"
	"failoverd/vrrp/wire"

	"github.com/google/go-cmp/cmp"
)

// TestWhatIsTracked: every rule about more than one block, with the place that is blamed.
func TestWhatIsTracked(t *testing.T) {
	inst := func(name string, vrid int, body string) string {
		return minimal(name, vrid, body+" virtual_ipaddress { 10.0.0."+string(rune('0'+vrid))+" }")
	}
	const script = "vrrp_script c { script /bin/c }\n"
	const weighted = "vrrp_script w { script /bin/w weight 5 }\n"
	rows := []struct{ name, text, want string }{
		{"a script that is defined later", inst("A", 1, "track_script { c }") + script, ""},
		{"a script that is not there", script + inst("A", 1, "track_script { chk }"), "1:13: warning: vrrp_script c never runs: no instance or group tracks it\n3:16: error: track_script chk: there is no such vrrp_script"},
		{"a script that is nearly there", "vrrp_script check { script /bin/c }\n" + inst("A", 1, "track_script { chek }"), "1:13: warning: vrrp_script check never runs: no instance or group tracks it\n3:16: error: track_script chek: there is no such vrrp_script (did you mean \"check\"?)"},
		{"a script without a command", "vrrp_script c { interval 3 }\n" + inst("A", 1, "track_script { c }"), `1:13: error: vrrp_script c: script is missing`},
		{"a file without a path", "track_file c { weight 3 }\n" + inst("A", 1, "track_file { c }"), `1:12: error: track_file c: file is missing`},
		{"the old name of track_file", "vrrp_track_file c { weight 3 }\n" + inst("A", 1, "track_file { c }"), `1:17: error: vrrp_track_file c: file is missing`},
		{"a process without a name", "vrrp_track_process c { quorum 2 }\n" + inst("A", 1, "track_process { c }"), `1:20: error: vrrp_track_process c: process is missing`},
		{"two scripts of one name", script + script + inst("A", 1, "track_script { c }"), `2:13: error: vrrp_script c is defined twice, first at 1:13`},
		{"one name for a script and a file", script + "track_file c { file /c }\n" + inst("A", 1, "track_script { c } track_file { c }"), ""},
		{"a script without a name", "vrrp_script { script /bin/c }\n" + inst("A", 1, ""), `1:1: error: vrrp_script: its value is missing (want a name)`},
		{"what nobody tracks", script + "track_file f { file /f }\nvrrp_track_process p { process p }\n" + inst("A", 1, ""), "1:13: warning: vrrp_script c never runs: no instance or group tracks it\n2:12: warning: track_file f is not watched: no instance or group tracks it\n3:20: warning: vrrp_track_process p is not watched: no instance or group tracks it"},
		{"one thing twice", script + inst("A", 1, "track_script { c c weight 3 }"), `3:18: warning: track_script c is there twice; the first one, at 3:16, counts`},
		{"a weight with priority 255", weighted + script + inst("A", 1, "priority 255 track_script { w c }"), "4:10: warning: priority 255 is for the node whose interface has the addresses as its own; it takes over at once and cannot be tracked\n4:29: warning: track_script w is ignored in vrrp_instance A: no weight changes priority 255"},

		{"a group", inst("A", 1, "") + inst("B", 2, "") + "vrrp_sync_group G { group { A B } }", ""},
		{"a group before its members", "vrrp_sync_group G { group {\nA\nB\n} }\n" + inst("A", 1, "") + inst("B", 2, ""), ""},
		{"a group of two blocks", inst("A", 1, "") + inst("B", 2, "") + "vrrp_sync_group G { group { A } group { B } }", ""},
		{"a group of one", inst("A", 1, "") + "vrrp_sync_group G { group { A } }", `4:17: warning: vrrp_sync_group G has one member only, A: it is in step with nobody`},
		{"an empty group", inst("A", 1, "") + "vrrp_sync_group G { group { } }", `4:17: error: vrrp_sync_group G: group names no vrrp_instance`},
		{"a group without group", inst("A", 1, "") + "vrrp_sync_group G { }", `4:17: error: vrrp_sync_group G: group { ... } is missing`},
		{"a member that is not there", inst("A1", 1, "") + "vrrp_sync_group G { group { A1 A11 } }", `4:32: error: vrrp_sync_group G: there is no vrrp_instance A11 (did you mean "A1"?)`},
		{"a member twice", inst("A", 1, "") + inst("B", 2, "") + "vrrp_sync_group G { group { A A B } }", `7:31: warning: vrrp_sync_group G: A is there twice`},
		{"a member of two groups", inst("A", 1, "") + inst("B", 2, "") + inst("C", 3, "") + "vrrp_sync_group G { group { A B } }\nvrrp_sync_group H { group { B C } }", `11:29: error: vrrp_sync_group H: vrrp_instance B is in vrrp_sync_group G already`},
		{"two groups of one name", inst("A", 1, "") + inst("B", 2, "") + "vrrp_sync_group G { group { A B } }\nvrrp_sync_group G { group { A B } }", `8:17: error: vrrp_sync_group G is defined twice, first at 7:17`},
		{"a weight in a group", weighted + inst("A", 1, "track_script { w }") + inst("B", 2, "") + "vrrp_sync_group G { group { A B } }", `3:16: warning: track_script w is ignored in vrrp_instance A: a weight in a member of a sync group needs sync_group_tracking_weight; one in the group does not`},
		{"a weight in a group that has them", weighted + inst("A", 1, "track_script { w }") + inst("B", 2, "") + "vrrp_sync_group G { group { A B } sync_group_tracking_weight }", ""},
		{"a weighted line of a group", weighted + inst("A", 1, "") + inst("B", 2, "") + "vrrp_sync_group G { group { A B } track_script { w } }", ""},
		{"a line of a group that a member has, too", script + inst("A", 1, "track_script { c }") + inst("B", 2, "") + "vrrp_sync_group G { group { A B } track_script { c } }", `3:16: warning: track_script c is in sync group G, too, at 8:50; that one counts, or the one without weight`},
		{"a group's interface that is a member's own", inst("A", 1, "") + inst("B", 2, "interface e1") + "vrrp_sync_group G { group { A B } track_interface { e0 } }", ""},
		{"a missing script of a group", inst("A", 1, "") + inst("B", 2, "") + "vrrp_sync_group G { group { A B } track_script { c } }", `7:50: error: track_script c: there is no such vrrp_script`},
		{"words of instances in a group", inst("A", 1, "") + inst("B", 2, "") + "vrrp_sync_group G { group { A B }\npriority 3\ntrack_bfd { x }\n}", "8:1: error: priority belongs in vrrp_instance, not in vrrp_sync_group\n9:1: error: track_bfd is refused: " + conf.NoBFD},

		{"bfd_instance", "bfd_instance x {\nneighbor_ip 10.0.0.1\n}\n" + inst("A", 1, ""), "1:1: error: bfd_instance is refused: " + conf.NoBFD},
		{"track_group", "track_group x {\ngroup { A }\n}\n" + inst("A", 1, ""), "1:1: error: track_group is refused: static entries depend on no instance; they are put back when they vanish"},
		{"unicast on lo", minimal("A", 1, "interface lo virtual_ipaddress { 10.0.0.1 } unicast_src_ip 10.9.0.1 unicast_peer { 10.9.0.2 }"), ""},
		{"an interface that is above itself", inst("A", 1, "use_vmac e0"), "2:10: error: use_vmac e0: the macvlan interface needs another name than the interface below it"},
		{"an interface above lo", minimal("A", 1, "interface lo use_vmac virtual_ipaddress { 10.0.0.1 }"), "2:11: warning: interface lo: nobody hears advertisements there; the role follows the checks alone\n2:14: error: use_vmac: there can be no macvlan interface on lo"},
		{"a static address that is a virtual one", inst("A", 1, "") + "static_ipaddress { 10.0.0.1 dev e0 }", "4:20: error: static_ipaddress 10.0.0.1 on e0: it is a virtual address of vrrp_instance A"},
		{"a route of two instances", inst("A", 1, "virtual_routes { 10.9.0.0/24 dev e0 }") + inst("B", 2, "virtual_routes { 10.9.0.0/24 dev e0 }"), "5:18: error: virtual_routes 10.9.0.0/24: there is this route already at 2:18; another metric makes it another one"},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			format, diags := parse(t, r.text, conf.Options{})
			if diff := cmp.Diff(r.want, strings.TrimSuffix(diags, "\n")); diff != "" {
				t.Errorf("says (-want +got):\n%s", diff)
			}
			if again, diags := parse(t, format, conf.Options{}); format != "" && again != format {
				t.Errorf("read back: %s\n%s", diags, again)
			}
		})
	}
}

// TestGroupsShareWhatTheyTrack: each member has the lines of its group, after its own, sorted by kind.
func TestGroupsShareWhatTheyTrack(t *testing.T) {
	cfg := mustParse(t, `vrrp_script own { script /bin/own }
vrrp_script all { script /bin/all weight -9 reverse }
track_file f { file /run/f weight 3 }
vrrp_script dropped { script /bin/dropped }
vrrp_sync_group G {
  group { B A }
  sync_group_tracking_weight
  track_script { all }
  track_interface { e0 weight 4 e7 }
  track_file { f weight 2 }
}
`+minimal("A", 1, "virtual_ipaddress { 10.0.0.1 } track_script { own }")+minimal("B", 2, "interface e1 virtual_ipaddress { 10.0.0.2 }"))
	track := func(k failover.TrackerKind, name string, weight int, reverse bool) failover.Track {
		return failover.Track{Tracker: failover.Tracker{Kind: k, Name: name}, Weight: weight, Reverse: reverse}
	}
	e0, e7 := track(failover.TrackInterface, "e0", 4, false), track(failover.TrackInterface, "e7", 0, false)
	all, f := track(failover.TrackScript, "all", -9, true), track(failover.TrackFile, "f", 2, false)
	want := [][]failover.Track{{e7, track(failover.TrackScript, "own", 0, false), all, f}, {e0, e7, all, f}}
	for i := range want {
		if diff := cmp.Diff(want[i], cfg.Routers[i].Tracks); diff != "" {
			t.Errorf("%s (-want +got):\n%s", cfg.Routers[i].Name, diff)
		}
	}
	if diff := cmp.Diff([]failover.GroupConfig{{Name: "G", Members: []string{"B", "A"}}}, cfg.Groups); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
	if len(cfg.Scripts) != 2 || cfg.Scripts[0].Name != "own" || cfg.Scripts[1].Name != "all" {
		t.Errorf("scripts %+v: want those that are tracked", cfg.Scripts)
	}
	checkRoundTrip(t, cfg)
}

// TestGroupLineBesideOwn: what counts where a member and its group track the same, as keepalived 2.2.7 does it.
func TestGroupLineBesideOwn(t *testing.T) {
	for _, row := range []struct {
		own, group, want int
		word             string
	}{
		{9, 5, 5, "sync_group_tracking_weight"},
		{5, 0, 0, "sync_group_tracking_weight"},
		{0, 5, 0, "sync_group_tracking_weight"},
		{9, 5, 5, ""},
		{5, 0, 0, ""},
		{0, 5, 0, ""},
	} {
		cfg := mustParse(t, fmt.Sprintf("vrrp_script c { script /bin/c }\nvrrp_sync_group G { group { A B } %s track_script { c weight %d } }\n", row.word, row.group)+
			minimal("A", 1, fmt.Sprintf("virtual_ipaddress { 10.0.0.1 } track_script { c weight %d }", row.own))+
			minimal("B", 2, "virtual_ipaddress { 10.0.0.2 }"))
		for i, want := range []int{row.want, row.group} {
			if got := cfg.Routers[i].Tracks; len(got) != 1 || got[0].Weight != want {
				t.Errorf("%+v: router %d tracks %+v, want weight %d", row, i, got, want)
			}
		}
	}
}

// TestEveryCommandHasItsPlace: Uses names all commands that may run, with the user that they get.
func TestEveryCommandHasItsPlace(t *testing.T) {
	cfg := mustParse(t, `global_defs {
  startup_script "/bin/up x" daemon
  shutdown_script /bin/down
  notify_fifo /run/f
  notify_fifo_script /bin/fifo
  script_user nobody nogroup
}
vrrp_script c {
  script "/bin/c -1"
}
vrrp_script own {
  script /bin/own
  user daemon
}
vrrp_script unused { script /bin/unused }
vrrp_script file { script "</run/x" }
vrrp_instance A {
  interface e0
  virtual_router_id 1
  virtual_ipaddress { 10.0.0.1 }
  track_script { c own file }
  notify /bin/any
  notify_master "/bin/m a" root root
}
vrrp_sync_group G {
  group { A }
  notify_fault /bin/fault
}
`)
	type use = failover.CommandUse
	command := func(user, group string, args ...string) failover.Command {
		return failover.Command{Args: args, User: user, Group: group}
	}
	want := []use{
		{Command: command("daemon", "", "/bin/up", "x"), What: "startup_script", File: "main.conf", Line: 2, Column: 18},
		{Command: command("nobody", "nogroup", "/bin/down"), What: "shutdown_script", File: "main.conf", Line: 3, Column: 19},
		{Command: command("nobody", "nogroup", "/bin/fifo"), What: "the script of FIFO /run/f", File: "main.conf", Line: 5, Column: 22},
		{Command: command("root", "root", "/bin/m", "a"), What: "notify_master of vrrp_instance A", File: "main.conf", Line: 23, Column: 17},
		{Command: command("nobody", "nogroup", "/bin/any"), What: "notify of vrrp_instance A", File: "main.conf", Line: 22, Column: 10},
		{Command: command("nobody", "nogroup", "/bin/fault"), What: "notify_fault of vrrp_sync_group G", File: "main.conf", Line: 27, Column: 16},
		{Command: command("nobody", "nogroup", "/bin/c", "-1"), What: "vrrp_script c", File: "main.conf", Line: 9, Column: 10, Check: true},
		{Command: command("daemon", "", "/bin/own"), What: "vrrp_script own", File: "main.conf", Line: 12, Column: 10, Check: true},
	}
	if diff := cmp.Diff(want, cfg.Uses); diff != "" {
		t.Errorf("uses (-want +got):\n%s", diff)
	}
	if s := cfg.Scripts[2]; s.Name != "file" || s.Open != "/run/x" || s.Command.Args != nil {
		t.Errorf("script %+v: want a test for /run/x", s)
	}
	checkRoundTrip(t, cfg)
}

// TestOwnerIgnoresAdverts: only the owner of its addresses can.
func TestOwnerIgnoresAdverts(t *testing.T) {
	for _, global := range []string{"", "global_defs { vrrp_owner_ignore_adverts }\n"} {
		own := "owner_ignore_adverts"
		if global != "" {
			own = ""
		}
		cfg := mustParse(t, global+minimal("A", 1, "priority 255 virtual_ipaddress { 10.0.0.1 }\n"+own)+minimal("B", 2, "virtual_ipaddress { 10.0.0.2 }"))
		if !cfg.Routers[0].VRRP.OwnerIgnoresAdverts || cfg.Routers[1].VRRP.OwnerIgnoresAdverts {
			t.Errorf("%q: want the owner alone to ignore them", global)
		}
		checkRoundTrip(t, cfg)
	}
}

// TestNoVirtualAddress: the word lets an instance be without addresses. Its family is that of its other words.
func TestNoVirtualAddress(t *testing.T) {
	for body, family := range map[string]wire.Family{
		"":            wire.IPv4,
		"native_ipv6": wire.IPv6,
		"unicast_src_ip 2001:db8::1\nunicast_peer { 2001:db8::2 }": wire.IPv6,
		"unicast_peer { 2001:db8::2 }":                             wire.IPv6,
		"unicast_peer { 10.0.0.2 }":                                wire.IPv4,
		"virtual_ipaddress_excluded { 2001:db8::1 }":               wire.IPv4,
	} {
		cfg := mustParse(t, minimal("A", 1, "no_virtual_ipaddress\n"+body))
		if v := &cfg.Routers[0].VRRP; v.Key.Family != family || len(v.Addresses) != 0 {
			t.Errorf("%q: family %v, addresses %v", body, v.Key.Family, v.Addresses)
		}
		checkRoundTrip(t, cfg)
	}
}

// TestMulticastGroups: a group of one's own is for all instances; the protocol's own one is no change.
func TestMulticastGroups(t *testing.T) {
	cfg := mustParse(t, "global_defs { vrrp_mcast_group4 239.1.2.3 vrrp_mcast_group6 ff02::12 }\n"+minimal("A", 1, "mcast_dst_ip 239.1.2.3 virtual_ipaddress { 10.0.0.1 }"))
	if got := cfg.Multicast; got.IPv4.String() != "239.1.2.3" || got.IPv6.IsValid() {
		t.Errorf("groups %v", got)
	}
	_, diags := parse(t, "global_defs { vrrp_mcast_group4 239.1.2.3 }\n"+minimal("A", 1, "mcast_dst_ip 224.0.0.18 virtual_ipaddress { 10.0.0.1 }"), conf.Options{})
	if want := "3:14: error: mcast_dst_ip 224.0.0.18 is not supported yet: all advertisements go to 239.1.2.3, which vrrp_mcast_group4 in global_defs sets\n"; diags != want {
		t.Errorf("says %q, want %q", diags, want)
	}
}

// TestTheRecipe: how people build the other region today is read as it is.
func TestTheRecipe(t *testing.T) {
	cfg, diags := conf.Parse("testdata/region/recipe-hk.conf", dirSource(""), conf.Env{HostName: "hk"}, conf.Options{})
	if want := "testdata/region/recipe-hk.conf:18:15: warning: interface lo: nobody hears advertisements there; the role follows the checks alone\n"; lines(diags) != want || cfg == nil {
		t.Fatalf("says %q, want %q", lines(diags), want)
	}
	run := func(args ...string) *failover.Command {
		return &failover.Command{Args: append([]string{"/etc/keepalived/route.sh"}, args...), User: "root"}
	}
	r := cfg.Routers[0]
	want := failover.NotifyConfig{Master: run("add", "198.51.100.0/24"), Backup: run("del", "198.51.100.0/24"), Fault: run("del", "198.51.100.0/24")}
	if diff := cmp.Diff(want, r.Notify); diff != "" {
		t.Errorf("notify (-want +got):\n%s", diff)
	}
	check := failover.ScriptConfig{
		Name: "mainland_dead", Command: failover.Command{Args: []string{"/etc/keepalived/mainland-dead.sh", "198.51.100.10"}, User: "root"},
		Interval: 5 * time.Second, Timeout: 2 * time.Second, Rise: 2, Fall: 3,
	}
	if diff := cmp.Diff([]failover.ScriptConfig{check}, cfg.Scripts); diff != "" {
		t.Errorf("scripts (-want +got):\n%s", diff)
	}
	if len(cfg.Links()) != 0 || r.VRRP.Preempt || r.WantedState != "BACKUP" || !cfg.ScriptSecurity || len(r.Tracks) != 1 || r.Tracks[0].Weight != 0 {
		t.Errorf("links %v, router %+v", cfg.Links(), r)
	}
	checkRoundTrip(t, cfg)
}
