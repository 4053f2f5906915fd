package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"failoverd/integration/lab"
)

// demoResult is the last line of `demo --json`.
type demoResult struct {
	Type     string `json:"type"`
	OK       bool   `json:"ok"`
	Verdicts []struct {
		Event    string  `json:"event"`
		OutageMS float64 `json:"outage_ms"`
		BoundMS  float64 `json:"bound_ms"`
		MarginMS float64 `json:"margin_ms"`
		Serving  string  `json:"serving"`
		OK       bool    `json:"ok"`
	} `json:"verdicts"`
}

// demo prepares the demo as its users run it: a program of its own name, so that what is left of it can be told, in a group
// of its own, with a private folder for temporary files.
func demo(t *testing.T, credential *syscall.Credential, args ...string) (*exec.Cmd, *strings.Builder, string) {
	t.Helper()
	notShort(t)
	dir, err := os.MkdirTemp("", "fo-demo-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o777))
	must(t, os.Chmod(filepath.Dir(binary), 0o755))
	program := filepath.Join(filepath.Dir(binary), filepath.Base(dir))
	must(t, os.Link(binary, program))
	t.Cleanup(func() { os.Remove(program) })
	var out strings.Builder
	cmd := exec.Command(program, append([]string{"demo"}, args...)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+dir, "HOME="+dir)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: credential}
	return cmd, &out, dir
}

// checkNothingLeft asserts that the demo has left no file, no namespace and no process, in its group or outside.
func checkNothingLeft(t *testing.T, cmd *exec.Cmd, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range left {
		t.Errorf("left behind: %s", e.Name())
	}
	if err := syscall.Kill(-cmd.Process.Pid, 0); err == nil {
		t.Error("processes of the demo's group are still running")
	}
	exes, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, e := range exes {
		if target, err := os.Readlink(e); err == nil && strings.TrimSuffix(target, " (deleted)") == cmd.Path {
			t.Errorf("still running: %s", filepath.Dir(e))
		}
	}
	names, _ := filepath.Glob(fmt.Sprintf("/run/netns/fo-%d-*", cmd.Process.Pid))
	for _, n := range names {
		t.Errorf("left behind: %s", n)
	}
}

// TestDemo plays the scenarios of the demo, as root and as an ordinary user: every verdict holds, and nothing is left.
// Guarded: the path between the regions is cut and nobody loses a probe; the mainland dies and Hong Kong takes over within
// the bound that it prints; the mainland returns and nobody loses a probe.
func TestDemo(t *testing.T) {
	t.Parallel()
	nobody := &syscall.Credential{Uid: 65534, Gid: 65534}
	for _, tt := range []struct {
		scenario, user string
		credential     *syscall.Credential
		serving        string
		says           string
		outages        []int // the acts with an outage, of at least two advertisement intervals; in no other is a probe lost if exact
		exact          bool
	}{
		{"guarded", "root", nil, "m1 m1 hk m1", "witness sg says up", []int{2}, true},
		{"local", "ordinary user", nobody, "m1 m2 m1 hk m1", "", []int{1, 3}, false},
	} {
		t.Run(tt.scenario+", "+tt.user, func(t *testing.T) {
			t.Parallel()
			if os.Getuid() != 0 {
				t.Skip("SKIPPED, NOT PASSED: needs root to choose the user")
			}
			if tt.credential != nil {
				skipWithoutUserNamespaces(t, tt.credential)
			}
			cmd, out, dir := demo(t, tt.credential, "--json", "--scenario", tt.scenario)
			err := cmd.Run()
			lines := strings.Split(strings.TrimSpace(out.String()), "\n")
			var r demoResult
			if e := json.Unmarshal([]byte(lines[len(lines)-1]), &r); e != nil || r.Type != "result" {
				t.Fatalf("no result (%v, %v):\n%s", err, e, out)
			}
			var serving []string
			for i, v := range r.Verdicts {
				t.Logf("%-45s outage %8.1f ms, bound %8.1f + %.0f ms, served by %s", v.Event, v.OutageMS, v.BoundMS, v.MarginMS, v.Serving)
				serving = append(serving, v.Serving)
				// A probe that does not probe would make every verdict good.
				if slices.Contains(tt.outages, i) && v.OutageMS < 2000 {
					t.Errorf("act %d: an outage of %v ms, want at least two advertisement intervals", i+1, v.OutageMS)
				}
				if tt.exact && !slices.Contains(tt.outages, i) && v.OutageMS > 0 {
					t.Errorf("act %d: an outage of %v ms, want none", i+1, v.OutageMS)
				}
			}
			if got := strings.Join(serving, " "); err != nil || !r.OK || got != tt.serving || !strings.Contains(out.String(), tt.says) {
				t.Errorf("exit %v, ok %t, served by %s, want %s and %q:\n%s", err, r.OK, got, tt.serving, tt.says, out)
			}
			checkNothingLeft(t, cmd, dir)
		})
	}
}

// skipWithoutUserNamespaces skips loudly where the kernel gives ordinary users no namespaces.
func skipWithoutUserNamespaces(t *testing.T, c *syscall.Credential) {
	t.Helper()
	probe := exec.Command("unshare", "-Urn", "true")
	probe.SysProcAttr = &syscall.SysProcAttr{Credential: c}
	if out, err := probe.CombinedOutput(); err != nil {
		t.Skipf("SKIPPED, NOT PASSED: no user namespaces for ordinary users: %v %s", err, out)
	}
}

// TestDemoInterrupted: Ctrl-C at the start and in the middle cleans up.
func TestDemoInterrupted(t *testing.T) {
	t.Parallel()
	for _, after := range []string{"== start", "answers: m1"} {
		t.Run(after, func(t *testing.T) {
			t.Parallel()
			cmd, _, dir := demo(t, nil)
			file, err := os.Create(filepath.Join(t.TempDir(), "out"))
			must(t, err)
			defer file.Close()
			cmd.Stdout, cmd.Stderr = file, file
			must(t, cmd.Start())
			said := func() bool {
				b, err := os.ReadFile(file.Name())
				return err == nil && strings.Contains(string(b), after)
			}
			err = lab.WaitFor(t.Context(), 30*time.Second, after, said)
			must(t, syscall.Kill(-cmd.Process.Pid, syscall.SIGINT))
			done := make(chan struct{})
			go func() { _ = cmd.Wait(); close(done) }()
			select {
			case <-done:
			case <-time.After(15 * time.Second):
				_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
				<-done
				t.Error("still running 15 s after SIGINT")
			}
			if code := cmd.ProcessState.ExitCode(); code != 130 || err != nil {
				b, _ := os.ReadFile(file.Name())
				t.Errorf("%v (%v), want exit status 130\n%s", cmd.ProcessState, err, b)
			}
			checkNothingLeft(t, cmd, dir)
		})
	}
}
