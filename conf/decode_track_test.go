package conf_test

import (
	"strings"
	"testing"

	"failoverd/conf"
)

// The templates have the statement on line 7, from column 3 on.
const (
	inScript = `vrrp_instance V { interface e0 virtual_router_id 7

  virtual_ipaddress { 10.0.0.1/24 }
  track_script { c }
}
vrrp_script c { script "/bin/c -a" weight 7
  STATEMENT
}
`
	inFile = `vrrp_instance V { interface e0 virtual_router_id 7

  virtual_ipaddress { 10.0.0.1/24 }
  track_file { c }
}
track_file c { file /run/c
  STATEMENT
}
`
	inProcess = `vrrp_instance V { interface e0 virtual_router_id 7

  virtual_ipaddress { 10.0.0.1/24 }
  track_process { c }
}
vrrp_track_process c { process nginx
  STATEMENT
}
`
	inTracks = `vrrp_instance V { interface e0
virtual_router_id 7 virtual_ipaddress { 10.0.0.1/24 } }
vrrp_script "a b" { script /bin/c }
vrrp_script c { script /bin/c weight 5 reverse }
track_file f { file /run/f }
vrrp_track_process p { process p weight -3 }
  STATEMENT
`
	inDelays = `vrrp_instance V { interface e0 virtual_router_id 7

  virtual_ipaddress { 10.0.0.1/24 }

}
interface_up_down_delays { e9 1
  STATEMENT
}
`
)

func TestScriptKeywords(t *testing.T) {
	checkRows(t, inScript, []row{
		{"script true", `script "true"`, ""},
		{`script "/bin/x 'a b' c\\ d"`, `script "/bin/x 'a b' 'c d'"`, ""},
		{`script "/bin/x c\ d"`, `script "/bin/x c d"`, ""}, // as keepalived: escapes in quotes are read twice
		{`script "/bin/x 'a\\\\.b'"`, `script "/bin/x 'a\\\\.b'"`, ""},
		{`script '/bin/x a\ b'`, `script "/bin/x a b"`, ""},
		{`script "/bin/x it\'s"`, "", `7:10: error: script: a quote is not closed`},
		{`script /bin/sh -c "exit 0"`, `script "/bin/sh -c 'exit 0'"`, ""},
		{`script /bin/sh -c 'exit  0' x`, `script "/bin/sh -c 'exit  0' x"`, ""},
		{`script '/bin/a b' --c="d e"f`, `script "/bin/a b '--c=d ef'"`, ""},
		{`script "/bin/x a" b "c d"`, `script "/bin/x a b 'c d'"`, ""},
		{`script "</run/x"`, `script "</run/x"`, ""},
		{`script </run/x`, `script "</run/x"`, ""},
		{`script "< '/run/a b'"`, `script "<'/run/a b'"`, ""},
		{`script "<x"`, "", `7:10: error: script "<x": want < and the absolute path of one file`},
		{`script "</a /b"`, "", `7:10: error: script "</a /b": want < and the absolute path of one file`},
		{`script`, "", `7:3: error: script: its value is missing (want a command)`},
		{`script ""`, "", `7:10: error: script: the command is empty`},
		{`script "/bin/x 'a"`, "", `7:10: error: script: a quote is not closed`},
		{`script /bin/x 'a`, "", `7:10: error: script: a quote is not closed`},
		{`script "/bin/x | /bin/false"`, `script "/bin/x '|' /bin/false"`, `7:10: warning: script: no shell runs it, so "|" is an argument; write sh -c '...' around what a shell is to do`},
		{`script "/bin/x && /bin/y"`, `script "/bin/x '&&' /bin/y"`, `7:10: warning: script: no shell runs it, so "&&" is an argument; write sh -c '...' around what a shell is to do`},
		{`script "/bin/x; /bin/y"`, `script "'/bin/x;' /bin/y"`, `7:10: warning: script: no shell runs it, so ";" is an argument; write sh -c '...' around what a shell is to do`},
		{`script "/bin/x >/dev/null"`, `script "/bin/x '>/dev/null'"`, `7:10: warning: script: no shell runs it, so ">" is an argument; write sh -c '...' around what a shell is to do`},
		{`script "/bin/x $(date)"`, `script "/bin/x '${_DOLLAR}(date)'"`, `7:10: warning: script: no shell runs it, so "$(" is an argument; write sh -c '...' around what a shell is to do`},
		{`script "/bin/sh -c '/bin/x | /bin/y > $(z)'"`, `script "/bin/sh -c '/bin/x | /bin/y > ${_DOLLAR}(z)'"`, ""},
		{`script "/bin/x a\\|b \">\""`, `script "/bin/x 'a|b' '>'"`, ""},

		{"interval 2", "interval 2 | timeout 2", ""},
		{"interval 0.5", "interval 0.5 | timeout 0.5", ""},
		{"interval 0", "", `7:12: error: interval 0: out of range (want 0.01 to 86400 seconds)`},
		{"timeout 3", "timeout 3", ""},
		{"timeout 0.001", "", `7:11: error: timeout 0.001: out of range (want 0.01 to 86400 seconds)`},
		{"rise 3", "rise 3", ""},
		{"rise 0", "", `7:8: error: rise 0: out of range (want 1 to 1000000)`},
		{"fall 3", "fall 3", ""},
		{"fall '3'", "", `7:8: error: fall: single quotes do not quote here; use double quotes`},
		{"weight 0", "c weight 0 noreverse", ""},
		{"weight -253", "c weight -253 noreverse", ""},
		{"weight 253 reverse", "c weight 253 reverse", ""},
		{"weight +5", "c weight 5 noreverse", ""},
		{"weight 254", "", `7:10: error: weight 254: out of range (want -253 to 253)`},
		{"weight x", "", `7:10: error: weight "x": not a whole number (want -253 to 253)`},
		{"weight -", "", `7:10: error: weight "-": not a whole number (want -253 to 253)`},
		{"weight 5 backwards", "", `7:12: error: unexpected "backwards" after weight; each statement takes a line of its own`},
		{"user nobody", "user nobody", ""},
		{"user nobody nogroup", "user nobody nogroup", ""},
		{"user 65534 65534", "user 65534 65534", ""},
		{"user a/b", "", `7:8: error: user "a/b": not the name of a user; a command with arguments stands in double quotes`},
		{"user", "", `7:3: error: user: its value is missing (want the name of a user)`},
		{"init_fail", "init_fail", ""},
		{"priority 3", "", `7:3: error: priority belongs in vrrp_instance, not in vrrp_script`},
		{"intervall 3", "", `7:3: error: unknown keyword "intervall" in vrrp_script (did you mean "interval"?)`},
	})
}

func TestFileKeywords(t *testing.T) {
	checkRows(t, inFile, []row{
		{"file /run/d", `file "/run/d"`, ""},
		{"file d", "", `7:8: error: file "d": want an absolute path`},
		{"weight -254", "c weight -254 noreverse", ""},
		{"weight 0", "c weight 0 noreverse", ""},
		{"weight 2 reverse", "c weight 2 reverse", ""},
		{"weight 255", "", `7:10: error: weight 255: out of range (want -254 to 254)`},
		{"init_file", "init_file 0", ""},
		{"init_file 5", "init_file 5", ""},
		{"init_file -5 overwrite", "init_file -5 overwrite", ""},
		{"init_file overwrite", "init_file 0 overwrite", ""},
		{"init_file x", "", `7:13: error: init_file "x": want a whole number, or overwrite`},
		{"init_file 1 append", "", `7:15: error: unexpected "append" after init_file; each statement takes a line of its own`},
	})
}

func TestProcessKeywords(t *testing.T) {
	checkRows(t, inProcess, []row{
		{"process /usr/sbin/nginx", `process "/usr/sbin/nginx"`, ""},
		{"process nginx -g 'a b'", `process "nginx -g 'a b'" | param_match`, ""},
		{`process "nginx -g"`, `process "nginx -g" | param_match`, ""},
		{"process", "", `7:3: error: process: its value is missing (want the name of a program)`},
		{`process ""`, "", `7:11: error: process: it is empty`},
		{"process nginx -g\n param_match initial", `process "nginx -g" | param_match initial`, ""},
		{"process nginx -g\n param_match partial", `process "nginx -g" | param_match partial`, ""},
		{"param_match", "param_match", ""},
		{"param_match initial", "", `7:15: warning: param_match initial has no effect: process gives no arguments to compare`},
		{"param_match exact", "", `7:15: error: param_match "exact": want initial or partial`},
		{"weight 10", "c weight 10 noreverse", ""},
		{"quorum 2", "quorum 2", ""},
		{"quorum 0", "", `7:10: error: quorum 0: out of range (want 1 to 65535)`},
		{"quorum_max 3", "quorum_max 3", ""},
		{"quorum 4\n quorum_max 3", "", `8:13: error: quorum_max 3 is below quorum 4`},
		{"delay 2", "fork_delay 2 | terminate_delay 2", ""},
		{"fork_delay 0.5", "fork_delay 0.5", ""},
		{"terminate_delay 0.5", "terminate_delay 0.5", ""},
		{"full_command", "full_command", ""},
	})
}

// TestTrackLines: what may stand in a track_* block of an instance.
func TestTrackLines(t *testing.T) {
	in := func(block string) string {
		return strings.Replace(strings.Replace(inTracks, "STATEMENT", "", 1), "virtual_ipaddress {", block+" virtual_ipaddress {", 1)
	}
	rows := []struct{ block, want, diags string }{
		{`track_script { "a b" c }`, `track_script { | "a b" weight 0 noreverse | c weight 5 reverse | }`, ""},
		{"track_script {\n c\n \"a b\" weight -253\n}", `track_script { | c weight 5 reverse | "a b" weight -253 noreverse | }`, ""},
		{`track_script { c weight 0 "a b" weight 2 reverse }`, `track_script { | c weight 0 reverse | "a b" weight 2 reverse | }`, ""},
		{`track_script { c weight 9 }`, `track_script { | c weight 9 reverse | }`, ""},
		{`track_script { c weight 9 noreverse }`, `track_script { | c weight 9 noreverse | }`, ""},
		{`track_script { c } track_file { f } track_interface { e1 } track_process { p } track_script { "a b" }`, `track_interface { | e1 weight 0 noreverse | } | track_script { | c weight 5 reverse | "a b" weight 0 noreverse | } | track_file { | f weight 1 noreverse | } | track_process { | p weight -3 noreverse | }`, ""},
		{"track_script { }", "", ""},
		{"track_script { c weight 254 }", "", "error: weight 254: out of range (want -253 to 253)"},
		{"track_file { f weight -254 }", "track_file { | f weight -254 noreverse | }", ""},
		{"track_file { f weight 300 }", "", "error: weight 300: out of range (want -254 to 254)"},
		{"track_script { c weight }", "", "error: weight: its value is missing (want -253 to 253)"},
		{"track_script {\n c wieght 5\n}", "", `error: unexpected "wieght 5" in track_script (did you mean "weight"?)`},
		{"track_script { cc }", "", `error: track_script cc: there is no such vrrp_script`},
		{"track_script { cd }", "", `error: track_script cd: there is no such vrrp_script`},
		{"track_file { c }", "", "error: track_file c: there is no such track_file"},
		{"track_process { c }", "", "error: track_process c: there is no such vrrp_track_process"},
		{"track_interface { e1 weight 7 e2 }", "track_interface { | e1 weight 7 noreverse | e2 weight 0 noreverse | }", ""},
		{"track_interface { e/1 }", "", `error: track_interface "e/1": not the name of an interface`},
		{"track_interface { e0 }", "", "warning: track_interface e0 is ignored: an instance always depends on its own interface (but for dont_track_primary)"},
		{"dont_track_primary track_interface { e0 }", "dont_track_primary | track_interface { | e0 weight 0 noreverse | }", ""},
		{"track_interface { e1 e1 weight 5 }", "track_interface { | e1 weight 0 noreverse | }", "warning: track_interface e1 is there twice; the first one, at 2:39, counts"},
		{"track_script {\n c {\n x\n }\n}", "", "error: c takes no block; it is skipped"},
	}
	base, _ := parse(t, strings.Replace(inTracks, "STATEMENT", "", 1), conf.Options{})
	for _, r := range rows {
		t.Run(r.block, func(t *testing.T) {
			format, diags := parse(t, in(r.block), conf.Options{})
			_, got, _ := strings.Cut(format, "bgp_wait 30\n")
			got, _, _ = strings.Cut("\n"+got, "\n}\n")
			var made []string
			for l := range strings.Lines(got) {
				if l = strings.TrimSpace(l); l != "" {
					made = append(made, l)
				}
			}
			if got := strings.Join(made, " | "); got != r.want {
				t.Errorf("makes %q, want %q", got, r.want)
			}
			said := ""
			for l := range strings.Lines(diags) {
				if !strings.Contains(l, "no instance or group tracks it") {
					_, m, _ := strings.Cut(l, ": ")
					said += strings.TrimSuffix(m, "\n")
				}
			}
			if said != r.diags {
				t.Errorf("says %q, want %q", said, r.diags)
			}
			if (format == "") != strings.HasPrefix(r.diags, "error") {
				t.Errorf("configuration %q with %q", format, diags)
			}
			if again, diags := parse(t, format, conf.Options{}); format != "" && again != format {
				t.Errorf("read back: %s\n%s", diags, again)
			}
		})
	}
	if base == "" {
		t.Error("the template is wrong")
	}
}

func TestNotifyKeywords(t *testing.T) {
	checkRows(t, inInstance, []row{
		{`notify_master "/bin/x 'a b'" root`, `notify_master "/bin/x 'a b'" root`, ""},
		{`notify_backup /bin/x nobody nogroup`, `notify_backup "/bin/x" nobody nogroup`, ""},
		{`notify_fault '/bin/x a' nobody`, `notify_fault "/bin/x a" nobody`, ""},
		{`notify_stop "/bin/x"`, `notify_stop "/bin/x"`, ""},
		{`notify "/bin/x y"`, `notify "/bin/x y"`, ""},
		{`notify "/bin/x \x41\\n\"q\" #!{}"`, `notify "/bin/x 'A\\012q' '#!{}'"`, ""},
		{`notify /bin/x --arg`, "", `7:17: error: notify "--arg": not the name of a user; a command with arguments stands in double quotes`},
		{`notify /bin/x /etc/y`, "", `7:17: error: notify "/etc/y": not the name of a user; a command with arguments stands in double quotes`},
		{`notify /bin/x u g more`, "", `7:21: error: unexpected "more" after notify; each statement takes a line of its own`},
		{`notify "</etc/x"`, "", `7:10: error: notify: "</etc/x" is a test for a vrrp_script and no command`},
		{`notify`, "", `7:3: error: notify: its value is missing (want a command)`},
		{"notify /bin/x\n  notify /bin/y", `notify "/bin/x"`, `8:3: warning: notify is there twice; the first one, at 7:10, counts`},
		{`notify "/bin/x | logger"`, `notify "/bin/x '|' logger"`, `7:10: warning: notify: no shell runs it, so "|" is an argument; write sh -c '...' around what a shell is to do`},
		{"notify_deleted", "notify_deleted on", ""},
		{"notify_deleted off", "", ""},
		{"notify_deleted /bin/x", `notify_deleted "/bin/x"`, ""},
		{"notify_deleted \"/bin/x a\" u\n  notify_deleted no", `notify_deleted "/bin/x a" u | notify_deleted off`, ""},
		{"notify_master_rx_lower_pri /bin/x", `notify_master_rx_lower_pri "/bin/x"`, ""},
		{"notify_priority_changes", "notify_priority_changes", ""},
		{"notify_priority_changes off", "", ""},
	})
}

func TestLinkDelays(t *testing.T) {
	checkRows(t, inDelays, []row{
		{"e1 2 3", "e1 2 3", ""},
		{"e1 0.5", "e1 0.5 0", ""},
		{"e1", "", `7:3: error: e1: its value is missing (want 0 to 255 seconds)`},
		{"e1 256", "", `7:6: error: e1 256: out of range (want 0 to 255 seconds)`},
		{"e1 1 2 3", "", `7:10: error: unexpected "3" after e1; each statement takes a line of its own`},
		{"e9 2", "", `7:3: error: interface_up_down_delays e9 is defined twice, first at 6:28`},
		{"e/1 2", "", `7:3: error: interface_up_down_delays "e/1": not the name of an interface`},
	})
	format, diags := parse(t, "interface_up_down_delays { e9 1 e8 2 3 e7 4 }\n"+minimal("A", 1, "virtual_ipaddress { 10.0.0.1 }"), conf.Options{})
	if want := "interface_up_down_delays {\n    e7 4 0\n    e8 2 3\n    e9 1 0\n}\n"; !strings.Contains(format, want) || diags != "" {
		t.Errorf("%s\n%s", diags, format)
	}
}
