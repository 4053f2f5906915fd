package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const (
	// The comment mark in a word is legal, and a warning.
	warnConf = `vrrp_instance WEB {
    interface eth0
    virtual_router_id 51
    priority 100
    authentication {
        auth_type PASS
        auth_pass foo#bar
    }
    virtual_ipaddress {
        198.51.100.10/32
    }
}
`
	badConf = `vrrp_instance WEB {
    interface eth0
    virtual_router_id 51
    priority 300
    priorty 100
    virtual_ipaddress {
        198.51.100.10/32
    }
}
`
)

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(dir, "missing.conf")
	good, warn, bad := file(t, goodConf), file(t, warnConf), file(t, badConf)
	for _, c := range []struct {
		name           string
		args           []string
		status         int
		stdout, stderr []string // parts, none: nothing at all
	}{
		{"clean", []string{"-f", good}, 0, []string{good + ": 1 virtual routers, 0 BGP speakers, 0 warnings\n"}, nil},
		{"clean and strict", []string{"-f", good, "--strict"}, 0, []string{"0 warnings"}, nil},
		{"warnings", []string{"-f", warn}, 0, []string{"1 warnings"}, []string{warn + ":7:22: warning: "}},
		{"warnings and strict", []string{"-f", warn, "--strict"}, 1, []string{"1 warnings"}, []string{warn + ":7:22: warning: "}},
		{"errors, all of them", []string{"-f", bad}, 5, nil, []string{bad + ":4:14: error: ", bad + ":5:5: error: ", `did you mean "priority"?`, bad + ": 2 errors, 0 warnings\n"}},
		{"errors and strict", []string{"-f", bad, "--strict"}, 5, nil, []string{": error: "}},
		{"missing file", []string{"-f", missing}, 5, nil, []string{"read configuration " + missing + ": no such file or directory\n"}},
		{"directory", []string{"-f", dir}, 5, nil, []string{"read configuration " + dir + ": is a directory\n"}},
		{"FIFO that nobody writes to", []string{"-f", fifo}, 5, nil, []string{"read configuration " + fifo + ": is not a regular file\n"}},
		{"long name of -f", []string{"--use-file", good}, 0, []string{good}, nil},
	} {
		commands := [][]string{append([]string{"check"}, c.args...)}
		if !strings.Contains(c.name, "strict") {
			commands = append(commands, append([]string{"-t"}, c.args...), append([]string{"-n", "-l", "--config-test"}, c.args...))
		}
		for _, args := range commands {
			t.Run(c.name+" "+args[0], func(t *testing.T) {
				status, stdout, stderr := cli(t, nil, args...)
				if status != c.status || !holds(stdout, c.stdout) || !holds(stderr, c.stderr) {
					t.Errorf("%v: exit status %d, want %d\nstdout %q, want %q\nstderr %q, want %q", args, status, c.status, stdout, c.stdout, stderr, c.stderr)
				}
			})
		}
	}
}

// holds reports whether all parts are in text, and whether it is empty if there are none.
func holds(text string, parts []string) bool {
	for _, p := range parts {
		if !strings.Contains(text, p) {
			return false
		}
	}
	return len(parts) > 0 || text == ""
}

func TestCheckJSON(t *testing.T) {
	warn, bad := file(t, warnConf), file(t, badConf)
	missing := filepath.Join(t.TempDir(), "missing")
	for _, c := range []struct {
		name, file string
		args       []string
		status     int
		want       string // fields of the answer
		first      string // diagnostic
	}{
		{"warnings", warn, nil, 0, "ok=true errors=0 warnings=1 routers=1 unreadable=", fmt.Sprint(warn, " 7 22 warning")},
		{"strict", warn, []string{"--strict"}, 1, "ok=true errors=0 warnings=1 routers=1 unreadable=", fmt.Sprint(warn, " 7 22 warning")},
		{"errors", bad, nil, 5, "ok=false errors=2 warnings=0 routers=0 unreadable=", fmt.Sprint(bad, " 4 14 error")},
		{"missing", missing, nil, 5, "ok=false errors=1 warnings=0 routers=0 unreadable=read configuration " + missing + ": no such file or directory", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, stdout, stderr := cli(t, nil, append([]string{"check", "--json", "-f", c.file}, c.args...)...)
			var v checkVerdict
			if err := json.Unmarshal([]byte(stdout), &v); err != nil || status != c.status || stderr != "" {
				t.Fatalf("exit status %d, want %d; %v; stdout %q, stderr %q", status, c.status, err, stdout, stderr)
			}
			if got := fmt.Sprintf("ok=%v errors=%d warnings=%d routers=%d unreadable=%s", v.OK, v.Errors, v.Warnings, v.Routers, v.Unreadable); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if v.OK == (v.Hash == "") || v.File != c.file {
				t.Errorf("file %q, hash %q", v.File, v.Hash)
			}
			first := ""
			if len(v.Diagnostics) > 0 {
				d := v.Diagnostics[0]
				first = fmt.Sprintf("%s %d %d %s", d.File, d.Line, d.Column, d.Severity)
			}
			if first != c.first {
				t.Errorf("first diagnostic %q, want %q", first, c.first)
			}
		})
	}
}

func TestCheckHonoursConfigID(t *testing.T) {
	conf := file(t, strings.Replace(goodConf, "    priority 100\n", "    @tyo priority 100\n    @hkg priority 999\n", 1))
	if status, _, stderr := cli(t, nil, "check", "-f", conf, "-i", "tyo"); status != 0 {
		t.Errorf("-i tyo: exit status %d, %s", status, stderr)
	}
	if status, _, _ := cli(t, nil, "-t", "-f", conf, "--config-id=hkg"); status != exitCheck {
		t.Errorf("-i hkg: exit status %d, want %d", status, exitCheck)
	}
}

func TestConfigTestLog(t *testing.T) {
	bad := file(t, badConf)
	log := filepath.Join(t.TempDir(), "log")
	status, stdout, stderr := cli(t, nil, "--config-test="+log, "-f", bad)
	b, err := os.ReadFile(log)
	if status != exitCheck || stdout != "" || stderr != "" || err != nil || !strings.Contains(string(b), bad+":4:14: error: ") {
		t.Errorf("exit status %d, %q, %q; log %q, %v", status, stdout, stderr, b, err)
	}
	status, _, stderr = cli(t, nil, "--config-test="+filepath.Join(log, "x"), "-f", bad)
	if status != exitFatal || !strings.Contains(stderr, "option -t: ") {
		t.Errorf("log that cannot be written: exit status %d, %q", status, stderr)
	}
}

func TestDefaultFiles(t *testing.T) {
	old := defaultFiles
	defer func() { defaultFiles = old }()
	dir := t.TempDir()
	ours, keepaliveds := filepath.Join(dir, "failoverd.conf"), filepath.Join(dir, "keepalived.conf")
	defaultFiles = []string{ours, keepaliveds}
	status, _, stderr := cli(t, nil, "check")
	if status != exitCheck || stderr != fmt.Sprintf("read configuration %s: no such file or directory\n", ours) {
		t.Errorf("without a file: exit status %d, %q", status, stderr)
	}
	for _, name := range []string{keepaliveds, ours} {
		if err := os.WriteFile(name, []byte(goodConf), 0o644); err != nil {
			t.Fatal(err)
		}
		if status, stdout, _ := cli(t, nil, "check"); status != 0 || !strings.HasPrefix(stdout, name+": ") {
			t.Errorf("with %s: exit status %d, %q", name, status, stdout)
		}
	}
}
