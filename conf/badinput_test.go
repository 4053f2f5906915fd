package conf_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"failoverd/conf"

	"github.com/google/go-cmp/cmp"
)

// TestBadInput: what users get wrong, each with its place, and none with another meaning.
func TestBadInput(t *testing.T) {
	const vip = "virtual_ipaddress { 10.0.0.1 }\n"
	long := strings.Repeat("x", 1<<20)
	rows := []struct {
		name, text string
		want       string // the diagnostics
		keeps      string // a line of the canonical text; empty: there is none
	}{
		{"a value out of range", minimal("A", 1, "priority 256\n"+vip), "f:2:10: error: priority 256: out of range (want 1 to 255)", ""},
		{"a number that no integer holds", minimal("A", 1, "priority 18446744073709551617\n"+vip), "f:2:10: error: priority 18446744073709551617: out of range (want 1 to 255)", ""},
		{"a number in single quotes", minimal("A", 1, "priority '200'\n"+vip), "f:2:10: error: priority: single quotes do not quote here; use double quotes", ""},
		{
			"a comment mark glued to a password", minimal("A", 1, "authentication {\nauth_type PASS\nauth_pass foo#bar\n}\n"+vip),
			`f:4:14: warning: comment starts inside a word; write \# for the character itself, or put the word in double quotes`, `auth_pass "foo"`,
		},
		{
			"a variable that is not defined", minimal("A", 1, "priority $PRIO\n"+vip),
			"f:2:10: warning: $PRIO is not defined and stays as it is\nf:2:10: error: priority \"$PRIO\": not a whole number (want 1 to 255)", "",
		},
		{"a variable that is not defined in a name", minimal("A${N}", 1, vip), "f:1:16: warning: ${N} is not defined and stays as it is", `vrrp_instance "A${_DOLLAR}{N}" {`},
		{"a missing include", minimal("A", 1, vip) + "include gone.conf\n", "f:5:1: error: include gone.conf: open DIR/gone.conf: no such file or directory", ""},
		{"a missing include inside a block", minimal("A", 1, "include gone.conf\n"+vip), "f:2:1: error: include gone.conf: open DIR/gone.conf: no such file or directory", ""},
		{"a file that includes itself", "include f\n" + minimal("A", 1, vip), "f:1:1: error: include: f includes itself: f -> f", ""},
		{"two files that include each other", "include other\n" + minimal("A", 1, vip), "other:1:1: error: include: f includes itself: f -> other -> f", ""},
		{"a directory as an included file", "include dir\n" + minimal("A", 1, vip), "f:1:1: error: include dir: read DIR/dir: is a directory", ""},
		{"an unknown keyword of 1 MB", minimal("A", 1, vip+long), "f:3:1: error: unknown keyword \"" + long[:233] + "... (1048236 octets) ..." + long[:107] + "\" in vrrp_instance", ""},
		{"a value of 1 MB", minimal("A", 1, "notify \"/bin/x "+long+"\"\n"+vip), "", `notify "/bin/x ` + long + `"`},
		{"a comment of 1 MB", minimal("A", 1, "# "+long+"\n"+vip), "", "vrrp_instance A {"},
		{"a NUL character", minimal("A", 1, "priority 1\x0000\n"+vip), "f:2:10: error: priority \"1\\x0000\": not a whole number (want 1 to 255)\nf:2:11: error: the file contains a NUL character", ""},
		{"a NUL character in a name", minimal("A\x00", 1, vip), "f:1:16: error: the file contains a NUL character", ""},
		{"a brace too few", "vrrp_instance A {\ninterface e0\nvirtual_router_id 1\n" + vip, "f:1:17: error: { is never closed: a } is missing somewhere after it", ""},
		{"a quote too few", minimal("A", 1, "notify \"/bin/x\nnotify_stop /bin/y\n"+vip), "f:2:8: error: \" without a closing one on the line", ""},
		{"no text at all", "", "", "global_defs {"},
		{"something else altogether", "\xff\xd8\xff\xe0JFIF\n<html>\n", "f:1:1: error: unknown keyword \"\\xff\\xd8\\xff\\xe0JFIF\" at the top level\nf:2:1: error: unknown keyword \"<html>\" at the top level", ""},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.Mkdir(filepath.Join(dir, "dir"), 0o755); err != nil {
				t.Fatal(err)
			}
			for name, text := range map[string]string{"f": r.text, "other": "include f\n"} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			start := time.Now()
			cfg, diags := conf.Parse("f", dirSource(dir), conf.Env{HostName: "n"}, conf.Options{})
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("took %v", took)
			}
			got := strings.TrimSuffix(strings.ReplaceAll(lines(diags), dir, "DIR"), "\n")
			if diff := cmp.Diff(r.want, got); diff != "" {
				t.Errorf("diagnostics (-want +got):\n%s", diff)
			}
			if (cfg != nil) != (r.keeps != "") {
				t.Fatalf("configuration %v, want one: %v", cfg != nil, r.keeps != "")
			}
			if cfg != nil && !strings.Contains(conf.Format(cfg), r.keeps) {
				t.Errorf("the canonical text does not contain %.100q", r.keeps)
			}
		})
	}
}

// TestTheFileItself: one that is not there, and one that is a directory, are errors about the file as a whole.
func TestTheFileItself(t *testing.T) {
	dir := t.TempDir()
	for name, want := range map[string]string{
		"gone": "gone: error: read configuration gone: open " + dir + "/gone: no such file or directory\n",
		".":    ".: error: read configuration .: read " + dir + ": is a directory\n",
	} {
		cfg, diags := conf.Parse(name, dirSource(dir), conf.Env{}, conf.Options{Lenient: true})
		if got := lines(diags); got != want || cfg != nil {
			t.Errorf("%s: configuration %v, says %q, want %q", name, cfg != nil, got, want)
		}
	}
}

// TestAllBadInputAtOnce: no mistake of one kind hides another one, in one file or in included ones.
func TestAllBadInputAtOnce(t *testing.T) {
	files := conf.FileMap{"f": `include part
vrrp_script c {
  script "/bin/c
  interval '3'
  weight 300
}
vrrp_sync_group G { group { A B } }
vrrp_instance A {
  interface e0
  virtual_router_id 1
  prioritty 3
  track_script { cc }
  virtual_ipaddress { 10.0.0.1/33 }
  notify_master
  virtual_routes { 10.0.0.0/8 gateway 10.0.0.9 }
  use_ipvlan
}
`, "part": "static_routes {\n  10.0.0.0/33 dev e0\n}\n$A=${A}\nrouter_id $A\n"}
	_, diags := conf.Parse("f", files, conf.Env{}, conf.Options{Lenient: true})
	var places []string
	for _, d := range diags {
		places = append(places, d.Pos.String())
	}
	want := []string{
		"f:2:13", "f:3:10", "f:4:12", "f:5:10", "f:7:31", "f:11:3", "f:12:18", "f:13:23", "f:14:3", "f:15:31", "f:16:3",
		"part:2:3", "part:4:4", "part:5:1",
	}
	if diff := cmp.Diff(want, places); diff != "" {
		t.Errorf("places (-want +got):\n%s\n%s", diff, lines(diags))
	}
}
