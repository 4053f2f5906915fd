package conf_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"failoverd/conf"
	"failoverd/failover"
)

const groupMembers = `health_check a { tcp 192.0.2.1:1 }
health_check b { tcp 192.0.2.1:2 }
health_check c { tcp 192.0.2.1:3 }
vrrp_script s { script /bin/true }
vrrp_track_process p { process p }
vrrp_track_file f { file /run/f }
`

// TestCheckGroups: what a text means, and that whatever is named only by a group that counts is looked at.
func TestCheckGroups(t *testing.T) {
	text := groupMembers + `check_group outer { at_least 3 check_group inner vrrp_script s vrrp_track_process p vrrp_track_file f }
check_group inner { any
 health_check a b }
check_group idle { all health_check c }
` + minimal("A", 1, "virtual_ipaddress { 10.0.0.1 } track_check { outer weight -20 }")
	cfg, diags := conf.Parse("f", conf.FileMap{"f": text}, conf.Env{HostName: "n1"}, conf.Options{})
	if got := lines(diags); got != "f:10:13: warning: check_group idle decides nothing: no instance, group, site or watch_site names it\n" {
		t.Errorf("diagnostics: %s", got)
	}
	if cfg == nil {
		t.Fatal("no configuration")
	}
	check := func(name string) failover.Tracker { return failover.Tracker{Kind: failover.TrackCheck, Name: name} }
	want := []failover.CheckGroupConfig{
		{Name: "outer", Rule: failover.GroupAtLeast, AtLeast: 3, Members: []failover.Tracker{
			check("inner"), {Kind: failover.TrackScript, Name: "s"}, {Kind: failover.TrackProcess, Name: "p"}, {Kind: failover.TrackFile, Name: "f"},
		}},
		{Name: "inner", Rule: failover.GroupAny, Members: []failover.Tracker{check("a"), check("b")}},
	}
	if diff := cmp.Diff(want, cfg.CheckGroups); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
	var looks []string
	for i := range cfg.Checks {
		looks = append(looks, cfg.Checks[i].Name)
	}
	if got := strings.Join(looks, " "); got != "a b" || len(cfg.Scripts) != 1 || len(cfg.Processes) != 1 || len(cfg.Files) != 1 {
		t.Errorf("health checks %q, %d scripts, %d processes, %d files; want a and b, and one of each", got, len(cfg.Scripts), len(cfg.Processes), len(cfg.Files))
	}
	checkRoundTrip(t, cfg)
}

// TestWrongCheckGroups: each mistake with its place, which is in the second line.
func TestWrongCheckGroups(t *testing.T) {
	const used = "check_group g {\n%\n}\n"
	for _, tt := range []struct{ text, want string }{
		{"health_check a b", `1:13: error: check_group g has no rule: want all, any or at_least N`},
		{"all", `1:13: error: check_group g names no health_check, check_group, vrrp_script, vrrp_track_process or vrrp_track_file`},
		{"all health_check", `2:5: error: unexpected "health_check" after all; each statement takes a line of its own` + "\n" + `1:13: error: check_group g names no`},
		{"all\nhealth_check", `3:1: error: health_check: its value is missing (want the name of a health_check)`},
		{"all\nany\nhealth_check a", `3:1: error: any: the group has a rule already, all at 2:1`},
		{"at_least 0\nhealth_check a", `2:10: error: at_least 0: out of range (want 1 to 64)`},
		{"at_least 3\nhealth_check a b", `2:10: error: at_least 3: check_group g has 2 members, so it could never be up`},
		{"at_least 2\nhealth_check a a", `3:16: warning: check_group g: health_check a is there twice, and counts once` + "\n" + `2:10: error: at_least 2: check_group g has 1 member, so it could never be up`},
		{"all\nhealth_check a x", `3:16: error: check_group g: there is no health_check or check_group x`},
		{"all\nvrrp_script a", `3:13: error: check_group g: there is no vrrp_script a`},
		{"all\nvrrp_track_process pp", `3:20: error: check_group g: there is no vrrp_track_process pp`},
		{"all\ncheck_group g", `1:13: error: check_group g is a member of itself: g > g`},
		{"all\ncheck_group h", `1:13: error: check_group g is a member of itself: g > h > i > g`},
		{"all\nhealth_check a\nweight 3", `4:1: error: weight is refused: a group is as its members are; write the weight behind its name in track_check`},
		{"all\nhealth_check a\ntrack_interface e0", `4:1: error: track_interface belongs in vrrp_instance, not in check_group`},
	} {
		text := strings.Replace(used, "%", tt.text, 1) + groupMembers + "check_group h { any check_group i health_check b }\ncheck_group i { any check_group g health_check c }\n" +
			minimal("A", 1, "virtual_ipaddress { 10.0.0.1 } track_check { g h i a b c }\ntrack_script { s }\ntrack_process { p }\ntrack_file { f }")
		if !strings.Contains(tt.text, "check_group") {
			text = strings.Replace(text, "any check_group g health_check c", "any health_check c", 1)
		} else if strings.Contains(tt.text, "check_group g") {
			text = strings.Replace(text, "any check_group g health_check c", "any health_check c", 1)
		}
		_, diags := parse(t, text, conf.Options{})
		got := strings.TrimSpace(strings.ReplaceAll(diags, "main.conf:", ""))
		want := strings.Split(tt.want, "\n")
		for _, w := range want {
			if !strings.Contains(got, w) {
				t.Errorf("%s:\ngot  %s\nwant %s", tt.text, got, w)
			}
		}
		if n := strings.Count(got, "\n") + 1; n != len(want) {
			t.Errorf("%s: %d diagnostics, want %d:\n%s", tt.text, n, len(want), got)
		}
	}
}
