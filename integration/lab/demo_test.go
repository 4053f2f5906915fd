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
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	var last struct {
		Type     string `json:"type"`
		OK       bool   `json:"ok"`
		Verdicts []struct {
			Outage  float64 `json:"outage_ms"`
			Serving string  `json:"serving"`
		} `json:"verdicts"`
	}
	check(t, json.Unmarshal([]byte(lines[len(lines)-1]), &last))
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
	var out bytes.Buffer
	if code := lab.Demo(t.Context(), lab.DemoOptions{ShowConfig: true, Out: &out}); code != 0 {
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
	if n != 3 {
		t.Errorf("%d configuration files in\n%s", n, out.String())
	}
}

// oneFile is a configuration without includes.
type oneFile string

func (f oneFile) Read(string) ([]byte, error)   { return []byte(f), nil }
func (f oneFile) Glob(string) ([]string, error) { return nil, fs.ErrNotExist }
