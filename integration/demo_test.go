package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
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

// demo starts the demo in a group of its own with a private folder for temporary files.
func demo(t *testing.T, credential *syscall.Credential, args ...string) (*exec.Cmd, *strings.Builder, string) {
	t.Helper()
	notShort(t)
	dir, err := os.MkdirTemp("", "fo-demo-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o777))
	must(t, os.Chmod(filepath.Dir(binary), 0o755))
	var out strings.Builder
	cmd := exec.Command(binary, append([]string{"demo"}, args...)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+dir, "HOME="+dir)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: credential}
	must(t, cmd.Start())
	return cmd, &out, dir
}

// checkNothingLeft asserts that the demo has left no file and no process of its group.
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
	names, _ := filepath.Glob(fmt.Sprintf("/run/netns/fo-%d-*", cmd.Process.Pid))
	for _, n := range names {
		t.Errorf("left behind: %s", n)
	}
}

// TestDemo plays the scenarios of the demo, as root and as an ordinary user: every verdict holds, and nothing is left.
func TestDemo(t *testing.T) {
	t.Parallel()
	nobody := &syscall.Credential{Uid: 65534, Gid: 65534}
	for _, tt := range []struct {
		scenario, user string
		credential     *syscall.Credential
		verdicts       int
	}{
		{"guarded", "root", nil, 4},
		{"local", "ordinary user", nobody, 5},
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
			err := cmd.Wait()
			lines := strings.Split(strings.TrimSpace(out.String()), "\n")
			var r demoResult
			if e := json.Unmarshal([]byte(lines[len(lines)-1]), &r); e != nil || r.Type != "result" {
				t.Fatalf("no result (%v, %v):\n%s", err, e, out)
			}
			for _, v := range r.Verdicts {
				t.Logf("%-45s outage %8.1f ms, bound %8.1f + %.0f ms, served by %s", v.Event, v.OutageMS, v.BoundMS, v.MarginMS, v.Serving)
			}
			if err != nil || !r.OK || len(r.Verdicts) < tt.verdicts {
				t.Errorf("exit %v, ok %t, %d verdicts, want %d:\n%s", err, r.OK, len(r.Verdicts), tt.verdicts, out)
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

// TestDemoInterrupted: Ctrl-C in the middle cleans up.
func TestDemoInterrupted(t *testing.T) {
	t.Parallel()
	cmd, out, dir := demo(t, nil)
	time.Sleep(5 * time.Second)
	must(t, syscall.Kill(-cmd.Process.Pid, syscall.SIGINT))
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case <-done:
	case <-time.After(15 * time.Second):
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		t.Fatalf("still running 15 s after SIGINT:\n%s", out)
	}
	if code := cmd.ProcessState.ExitCode(); code == 0 {
		t.Error("exit 0 although interrupted")
	}
	checkNothingLeft(t, cmd, dir)
}
