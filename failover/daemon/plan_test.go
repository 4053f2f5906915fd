package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"failoverd/conf"
	"failoverd/failover"
	"failoverd/failover/status"
)

// What is gathered here is read there as it is, without a look at the files.
func TestPlan(t *testing.T) {
	dir := t.TempDir()
	inc := filepath.Join(dir, "a.inc")
	write(t, inc, "priority 150\n", 0o644)
	text := strings.Replace(loadConf, "    priority 100\n", "include "+dir+"/*.inc\n", 1)
	file := write(t, filepath.Join(dir, "new.conf"), text, 0o644)
	q, cfg, diagnostics, err := Gather(LoadOptions{File: file})
	if err != nil || cfg == nil || len(diagnostics) != 0 {
		t.Fatalf("%v, %v, %v", cfg, diagnostics, err)
	}
	old, _, err := Load(LoadOptions{File: write(t, filepath.Join(dir, "old.conf"), loadConf, 0o644)})
	if err != nil || old == nil {
		t.Fatal(err)
	}
	for _, f := range []string{inc, file} {
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
	}
	a := &Agent{}
	if _, err := a.Plan(q); err == nil {
		t.Error("a plan before anything is in force")
	}
	a.published.Store(&published{&failover.Snapshot{}, old})
	answer, err := a.Plan(q)
	if err != nil || answer.Refused || answer.Running != old.Hash || answer.New != cfg.Hash {
		t.Fatalf("%+v, %v", answer, err)
	}
	if words := failover.PlanText(answer.Entries); !strings.Contains(words, "priority 100 -> 150") {
		t.Errorf("plan: %s", words)
	}
	if host, err := os.Hostname(); err != nil || a.configID() != strings.Split(host, ".")[0] {
		t.Errorf("config-id %q of host %q, %v", a.configID(), host, err)
	}
	if a := (&Agent{opts: Options{ConfigID: "m1"}}); a.configID() != "m1" {
		t.Errorf("config-id %q, want m1", a.configID())
	}
	q.Files = q.Files[:1]
	answer, err = a.Plan(q)
	if err != nil || !answer.Refused || len(answer.Diagnostics) == 0 || !strings.Contains(answer.Diagnostics[0], "config-id") {
		t.Errorf("a request without an included file: %+v, %v", answer, err)
	}
	if answer, err := a.Plan(&status.PlanRequest{File: "/etc/shadow"}); err != nil || !answer.Refused {
		t.Errorf("a file that is not in the request: %+v, %v", answer, err)
	}
}

// A command that cannot run is found when the configuration is loaded: an error for a check where nothing is lost by it.
func TestLoadCommands(t *testing.T) {
	dir := t.TempDir()
	text := "vrrp_script chk {\n    script \"" + dir + "/none.sh\"\n}\n" +
		strings.Replace(loadConf, "    priority 100\n", "    track_script {\n        chk\n    }\n    notify_master "+dir+"/none-either.sh\n", 1)
	file := write(t, filepath.Join(dir, "x.conf"), text, 0o644)
	for _, strict := range []bool{false, true} {
		cfg, diagnostics, err := Load(LoadOptions{File: file, Strict: strict})
		if err != nil || (cfg == nil) != strict || len(diagnostics) != 2 {
			t.Fatalf("strict %t: %v, %v, %v", strict, cfg, diagnostics, err)
		}
		check, notify := diagnostics[0], diagnostics[1]
		if check.Pos.Line != 2 || (check.Severity == conf.Error) != strict || !strings.Contains(check.Message, "as failed") {
			t.Errorf("strict %t: %v", strict, check)
		}
		if notify.Severity != conf.Warning || !strings.Contains(notify.Message, "notify_master") || strings.Contains(notify.Message, "as failed") {
			t.Errorf("strict %t: %v", strict, notify)
		}
	}
}

func TestLoadNamespace(t *testing.T) {
	dir := t.TempDir()
	inc := write(t, filepath.Join(dir, "ns.inc"), "\n  net_namespace fo-never-there\n", 0o644)
	file := write(t, filepath.Join(dir, "x.conf"), "include "+inc+"\n"+loadConf, 0o644)
	cfg, diagnostics, err := Load(LoadOptions{File: file})
	if err != nil || cfg != nil || len(diagnostics) != 1 {
		t.Fatalf("%v, %v, %v", cfg, diagnostics, err)
	}
	if d := diagnostics[0]; d.Severity != conf.Error || d.Pos != (conf.Pos{File: inc, Line: 2, Column: 3}) || !strings.Contains(d.Message, "ip netns add fo-never-there") {
		t.Errorf("%v", d)
	}
}
