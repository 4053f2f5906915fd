package lab_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"failoverd/conf"
	"failoverd/integration/lab"
)

// buildFailoverd builds the program under test.
func buildFailoverd(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "failoverd")
	if out, err := exec.Command("go", "build", "-o", bin, "failoverd/cmd/failoverd").CombinedOutput(); err != nil {
		t.Fatalf("build failoverd: %v\n%s", err, out)
	}
	return bin
}

// demo prepares the demo in a process of its own, as its users run it, with an empty directory for what it writes.
func demo(t *testing.T, args ...string) (cmd *exec.Cmd, dir string) {
	t.Helper()
	if testing.Short() {
		t.Skip("SKIPPED, NOT PASSED: the demo takes half a minute")
	}
	if err := lab.Privileged(); err != nil {
		t.Skipf("SKIPPED, NOT PASSED: %v", err)
	}
	dir = t.TempDir()
	cmd = exec.Command(buildFailoverd(t), append([]string{"demo"}, args...)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	return cmd, dir
}

// checkNothingLeft looks for what a demo could have left behind.
func checkNothingLeft(t *testing.T, cmd *exec.Cmd, dir string) {
	t.Helper()
	for _, pattern := range []string{dir + "/*", "/run/netns/fo-*"} {
		left := must(filepath.Glob(pattern))(t)
		for _, l := range left {
			if strings.HasPrefix(l, dir) || strings.HasPrefix(filepath.Base(l), fmt.Sprintf("fo-%d-", cmd.Process.Pid)) {
				t.Errorf("left behind: %s", l)
			}
		}
	}
	exes := must(filepath.Glob("/proc/[0-9]*/exe"))(t)
	for _, e := range exes {
		if target, err := os.Readlink(e); err == nil && strings.TrimSuffix(target, " (deleted)") == cmd.Path {
			t.Errorf("still running: %s", filepath.Dir(e))
		}
	}
}

// demoResult is the last line of `demo --json`.
type demoResult struct {
	Type     string `json:"type"`
	OK       bool   `json:"ok"`
	Verdicts []struct {
		Outage  float64 `json:"outage_ms"`
		Serving string  `json:"serving"`
	} `json:"verdicts"`
}

func resultOf(t *testing.T, out string) (last demoResult) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(out), "\n")
	check(t, json.Unmarshal([]byte(lines[len(lines)-1]), &last))
	return last
}

func TestDemo(t *testing.T) {
	cmd, dir := demo(t, "--json")
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	start := time.Now()
	err := cmd.Run()
	t.Logf("took %v\n%s", time.Since(start), out.String())
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	checkNothingLeft(t, cmd, dir)
	last := resultOf(t, out.String())
	if last.Type != "result" || !last.OK || len(last.Verdicts) != 5 {
		t.Fatalf("result %+v", last)
	}
	for i, want := range []string{"m1", "m2", "m1", "hk", "m1"} {
		if got := last.Verdicts[i].Serving; got != want {
			t.Errorf("act %d: %s serves, want %s", i+1, got, want)
		}
	}
	// A probe that does not probe would make every verdict good.
	for _, i := range []int{1, 3} {
		if last.Verdicts[i].Outage < 2000 {
			t.Errorf("act %d: outage of %v ms, want at least two advertisement intervals", i+1, last.Verdicts[i].Outage)
		}
	}
}

// TestGuardedDemo: the path between the regions is cut and nobody loses a probe; the mainland dies and Hong Kong takes over
// within the bound that it prints; the mainland returns and nobody loses a probe.
func TestGuardedDemo(t *testing.T) {
	cmd, dir := demo(t, "--json", "--scenario", "guarded")
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	start := time.Now()
	err := cmd.Run()
	t.Logf("took %v\n%s", time.Since(start), out.String())
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	checkNothingLeft(t, cmd, dir)
	if !strings.Contains(out.String(), "witness sg says up") {
		t.Error("it does not say why nothing happens when the path is cut")
	}
	last := resultOf(t, out.String())
	if last.Type != "result" || !last.OK || len(last.Verdicts) != 4 {
		t.Fatalf("result %+v", last)
	}
	for i, want := range []string{"m1", "m1", "hk", "m1"} {
		v := last.Verdicts[i]
		if v.Serving != want || (v.Outage > 0) != (want == "hk") {
			t.Errorf("act %d: %s serves after %v ms, want %s", i+1, v.Serving, v.Outage, want)
		}
	}
}

func TestDemoInterrupted(t *testing.T) {
	for _, after := range []string{"== start", "answers: m1"} {
		t.Run(after, func(t *testing.T) {
			cmd, dir := demo(t)
			out := must(os.Create(filepath.Join(t.TempDir(), "out")))(t)
			defer out.Close()
			cmd.Stdout, cmd.Stderr = out, out
			check(t, cmd.Start())
			said := func() bool {
				b, err := os.ReadFile(out.Name())
				return err == nil && strings.Contains(string(b), after)
			}
			err := lab.WaitFor(t.Context(), 30*time.Second, after, said)
			if e := cmd.Process.Signal(syscall.SIGINT); e != nil && err == nil {
				err = e
			}
			_ = cmd.Wait()
			check(t, err)
			if code := cmd.ProcessState.ExitCode(); code != 130 {
				b, _ := os.ReadFile(out.Name())
				t.Errorf("%v, want exit status 130\n%s", cmd.ProcessState, b)
			}
			checkNothingLeft(t, cmd, dir)
		})
	}
}

func TestDemoConfigurationIsGood(t *testing.T) {
	for scenario, want := range map[string]int{"": 3, "local": 3, "guarded": 4} {
		t.Run("scenario "+scenario, func(t *testing.T) { demoConfigurationIsGood(t, scenario, want) })
	}
}

func demoConfigurationIsGood(t *testing.T, scenario string, want int) {
	var out bytes.Buffer
	if code := lab.Demo(t.Context(), lab.DemoOptions{ShowConfig: true, Scenario: scenario, Out: &out}); code != 0 {
		t.Fatalf("exit status %d", code)
	}
	files := strings.Split(out.String(), "# ")
	n := 0
	for _, f := range files {
		name, text, ok := strings.Cut(f, "\n")
		if !ok || !strings.Contains(name, ".conf") {
			continue
		}
		n++
		cfg, said := conf.Parse(name, oneFile(text), conf.Env{HostName: "demo"}, conf.Options{})
		if cfg == nil || len(said) != 0 {
			t.Errorf("%s: %v", name, said)
		}
	}
	if n != want {
		t.Errorf("%d configuration files, want %d, in\n%s", n, want, out.String())
	}
}

// oneFile is a configuration without includes.
type oneFile string

func (f oneFile) Read(string) ([]byte, error)   { return []byte(f), nil }
func (f oneFile) Glob(string) ([]string, error) { return nil, fs.ErrNotExist }
