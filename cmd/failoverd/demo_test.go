package main

import (
	"os"
	"strings"
	"testing"

	"failoverd/integration/lab"
)

// The configuration files of the demo are examples that people copy: check accepts them.
func TestDemoConfigurationIsClean(t *testing.T) {
	for _, s := range lab.Scenarios() {
		t.Run(s.Name, func(t *testing.T) { demoConfigurationIsClean(t, s.Name) })
	}
}

func demoConfigurationIsClean(t *testing.T, scenario string) {
	status, stdout, stderr := cli(t, nil, "demo", "--show-config", "--scenario", scenario)
	if status != 0 || stderr != "" {
		t.Fatalf("exit status %d, %s", status, stderr)
	}
	checked := 0
	for _, part := range strings.Split(stdout, "\n# ") {
		head, text, _ := strings.Cut(strings.TrimPrefix(part, "# "), "\n")
		if !strings.Contains(head, "failoverd run -f") {
			continue
		}
		checked++
		name := file(t, text)
		if err := os.Chmod(name, 0o600); err != nil { // there is a key in it
			t.Fatal(err)
		}
		if status, _, stderr := cli(t, nil, "check", "--strict", "-f", name); status != 0 {
			t.Errorf("%s: exit status %d\n%s", head, status, stderr)
		}
	}
	if want := map[string]int{"local": 3, "guarded": 4}[scenario]; checked != want {
		t.Errorf("%d configuration files, want those of %d nodes:\n%s", checked, want, stdout)
	}
}

// A scenario that does not exist is refused with those that do.
func TestDemoUnknownScenario(t *testing.T) {
	status, _, stderr := cli(t, nil, "demo", "--show-config", "--scenario", "apocalypse")
	if status != 1 || !strings.Contains(stderr, `scenario "apocalypse": want one of local, guarded`) {
		t.Errorf("exit status %d, %q", status, stderr)
	}
}

// Hidden commands that this program starts itself say what they are when somebody tries them.
func TestHiddenCommands(t *testing.T) {
	for _, c := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"speaker"}, exitUsage, "failoverd: speaker: --socket is missing"},
		{[]string{"speaker", "--nosuch"}, exitUsage, "failoverd: speaker: flag provided but not defined"},
		{[]string{"demo-upstream"}, exitFatal, "failoverd: upstream: "},
		{[]string{"demo-upstream", "--config", "/nonexistent"}, exitFatal, "failoverd: upstream: open /nonexistent"},
	} {
		if status, _, stderr := cli(t, nil, c.args...); status != c.status || !strings.HasPrefix(stderr, c.want) {
			t.Errorf("%v: exit status %d, %q; want %d, %q", c.args, status, stderr, c.status, c.want)
		}
	}
}
