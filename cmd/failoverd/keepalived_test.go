package main

import (
	"strings"
	"testing"
)

// keepalivedCommandLine is what keepalived 2.2.7 and 2.4 accept, and what becomes of it here: "ok", "warn" or "refuse".
// An option with a value has one.
var keepalivedCommandLine = []struct{ short, long, want string }{
	{"-f FILE", "--use-file=FILE", "ok"},
	{"-P", "--vrrp", "ok"},
	{"-C", "--check", "refuse"},
	{"-B", "--no_bfd", "ok"},
	{"", "--all", "warn"},
	{"-l", "--log-console", "ok"},
	{"-D", "--log-detail", "ok"},
	{"-S 7", "--log-facility=local0", "ok"},
	{"-g", "--log-file=/x", "warn"},
	{"", "--flush-log-file", "warn"},
	{"-G", "--no-syslog", "ok"},
	{"-u 022", "--umask=022", "ok"},
	{"-X", "--release-vips", "ok"},
	{"-V", "--dont-release-vrrp", "refuse"},
	{"-I", "--dont-release-ipvs", "warn"},
	{"-R", "--dont-respawn", "warn"},
	{"-n", "--dont-fork", "ok"},
	{"-d", "--dump-conf", "warn"},
	{"-p /x", "--pid=/x", "ok"},
	{"-r /x", "--vrrp_pid=/x", "ok"},
	{"-T", "--genhash", "refuse"},
	{"-c /x", "--checkers_pid=/x", "warn"},
	{"-a", "--address-monitoring", "warn"},
	{"-b /x", "--bfd_pid=/x", "warn"},
	{"-x", "--snmp", "warn"},
	{"-A x", "--snmp-agent-socket=x", "warn"},
	{"-s x", "--namespace=x", "ok"},
	{"-m", "--core-dump", "warn"},
	{"-M x", "--core-dump-pattern=x", "warn"},
	{"-e", "--all-config", "ok"},
	{"-i x", "--config-id=x", "ok"},
	{"", "--signum=RELOAD", "ok"},
	{"", "--debug=x", "warn"},
	{"", "--debug", "warn"},
	{"", "--perf=run", "warn"},
	{"", "--no-mem-check", "ok"},
	{"-L", "--mem-check-log", "warn"},
	{"", "--config-fd=3", "refuse"},
	{"", "--ignore-sigint", "ok"},
	{"-v", "--version", "ok"},
	{"-h", "--help", "ok"},
}

// Every option of keepalived is known, in both forms; ignored ones are named in one warning.
func TestKeepalivedOptions(t *testing.T) {
	conf := file(t, goodConf)
	for _, o := range keepalivedCommandLine {
		for _, form := range []string{o.short, o.long} {
			if form == "" {
				continue
			}
			t.Run(form, func(t *testing.T) {
				args := append(strings.Fields(strings.ReplaceAll(form, "FILE", conf)), "-t", "--file", conf)
				status, _, stderr := cli(t, nil, args...)
				name, _, _ := strings.Cut(strings.Fields(form)[0], "=")
				switch o.want {
				case "ok":
					if status != 0 || stderr != "" {
						t.Errorf("exit status %d, %q; want 0 without a word", status, stderr)
					}
				case "warn":
					if status != 0 || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, "warning: ignored options: ") ||
						!strings.Contains(stderr, name) {
						t.Errorf("exit status %d, %q; want 0 and one warning", status, stderr)
					}
				case "refuse":
					if status != exitUsage || !strings.HasPrefix(stderr, "failoverd: option ") || !strings.Contains(stderr, name) {
						t.Errorf("exit status %d, %q; want %d and why", status, stderr, exitUsage)
					}
				}
			})
		}
	}
}

// Command lines as they stand in unit files, containers and scripts.
func TestKeepalivedCommandLines(t *testing.T) {
	conf := file(t, goodConf)
	for _, c := range []struct {
		line   string
		status int
		stderr string // the whole of it
	}{
		{"-t -f CONF", 0, ""},
		{"-tf CONF", 0, ""},
		{"--config-test -f CONF", 0, ""},
		{"--config-test --use-file=CONF", 0, ""},
		{"-n -l -G -P -t -f CONF -p /x -r /y", 0, ""},
		{"-nlDP -t -f CONF", 0, ""},
		{"-nldDt -f CONF", 0, "failoverd: warning: ignored options: -d/--dump-conf (failoverd check says how a file is read)\n"},
		{"--dont-fork --log-console --log-detail -t -f CONF", 0, ""},
		{"-x -a -t -f CONF", 0, "failoverd: warning: ignored options: -a/--address-monitoring (changes of virtual addresses are always logged), " +
			"-x/--snmp (there is no SNMP; the status socket has the same figures)\n"},
		{"-V -C -t -f CONF", exitUsage, "failoverd: option -C/--check: failoverd has no virtual servers, so there is nothing to run without VRRP\n" +
			"failoverd: option -V/--dont-release-vrrp: an address never outlives the agent that holds it\n"},
		{"run -n -l -f CONF -V", exitUsage, "failoverd: option -V/--dont-release-vrrp: an address never outlives the agent that holds it\n"},
	} {
		t.Run(c.line, func(t *testing.T) {
			status, _, stderr := cli(t, nil, strings.Fields(strings.ReplaceAll(c.line, "CONF", conf))...)
			if status != c.status || stderr != c.stderr {
				t.Errorf("exit status %d, want %d\n got %q\nwant %q", status, c.status, stderr, c.stderr)
			}
		})
	}
}

// No option means one thing to keepalived's users and another here.
func TestKeepalivedOptionTable(t *testing.T) {
	seen := map[string]bool{}
	for _, o := range keepalivedOptions {
		for _, n := range []string{o.short, o.long} {
			if n != "" && seen[n] {
				t.Errorf("option %s twice", n)
			}
			seen[n] = true
		}
		if (o.why == "") != (o.verdict == needless) {
			t.Errorf("option %s: verdict %d with the reason %q", o.long, o.verdict, o.why)
		}
	}
}
