package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"failoverd/failover"
	"failoverd/failover/status"
)

// eventually asks until ok, for as long as a busy machine may take.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 30 s", what)
		}
	}
}

// The whole life of a process with keepalived's command line, in a network of its own: its interface does not exist, so
// that its router waits.
func TestRunLifecycle(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: must be root to make a network namespace")
	}
	dir := t.TempDir()
	conf, pid, vrrpPID := file(t, goodConf), filepath.Join(dir, "pid"), filepath.Join(dir, "vrrp.pid")
	socket := filepath.Join(dir, "status.sock")
	env := map[string]string{"FAILOVERD_STATE_DIR": dir}
	var log bytes.Buffer
	cmd := process(t, "-n", "-l", "-D", "-P", "-f", conf, "-p", pid, "-r", vrrpPID)
	cmd.Env = append(cmd.Env, "FAILOVERD_STATE_DIR="+dir)
	cmd.Stderr = &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("log:\n%s", log.String())
		}
	}()

	client := status.Dial(socket)
	snapshot := func() *failover.Snapshot {
		s, err := client.Status(t.Context())
		if err != nil {
			return nil
		}
		return s
	}
	eventually(t, "router in FAULT", func() bool {
		s := snapshot()
		return s != nil && len(s.Routers) == 1 && s.Routers[0].State == "FAULT"
	})
	for _, name := range []string{pid, vrrpPID} {
		if b, err := os.ReadFile(name); err != nil || string(b) != fmt.Sprintln(cmd.Process.Pid) {
			t.Errorf("%s: %q, %v; want %d", name, b, err, cmd.Process.Pid)
		}
	}

	second := process(t, "run", "-f", conf, "-p", pid)
	second.Env = append(second.Env, "FAILOVERD_STATE_DIR="+t.TempDir())
	second.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	out, _ := second.CombinedOutput()
	if want := fmt.Sprintf("another failoverd is running, pid %d", cmd.Process.Pid); second.ProcessState.ExitCode() != exitFatal || !strings.Contains(string(out), want) {
		t.Errorf("second agent with the same pid file: exit status %d, %s", second.ProcessState.ExitCode(), out)
	}

	hash := snapshot().Config.Hash
	rewrite(t, conf, "priority 100", "priority 300")
	code, _, stderr := cli(t, env, "reload")
	if code != exitConfig || !strings.Contains(stderr, conf+":4:14: error: ") {
		t.Errorf("reload of a bad file: exit status %d, %s", code, stderr)
	}
	eventually(t, "the failure in status", func() bool { return strings.Contains(snapshot().Config.LastError, conf+":4:14: error: ") })
	if s := snapshot(); s.Config.Hash != hash {
		t.Errorf("hash %s after a refused reload, want %s", s.Config.Hash, hash)
	}
	if _, table, _ := cli(t, env, "status"); !strings.Contains(table, "RELOAD REFUSED") {
		t.Errorf("table:\n%s", table)
	}

	rewrite(t, conf, "priority 300", "priorty 200")
	code, _, stderr = cli(t, env, "reload")
	if code != exitConfig || !strings.Contains(stderr, conf+":4:5: error: ") || !strings.Contains(stderr, `did you mean "priority"?`) {
		t.Errorf("reload with a typo: exit status %d, %s", code, stderr)
	}
	if s := snapshot(); s.Config.Hash != hash || s.Routers[0].PriorityBase != 100 {
		t.Errorf("after a reload with a typo: hash %s, priority %d", s.Config.Hash, s.Routers[0].PriorityBase)
	}

	rewrite(t, conf, "priorty 200", "priority 99")
	cmd.Process.Signal(syscall.SIGHUP)
	eventually(t, "the new configuration in force", func() bool {
		s := snapshot()
		return s.Config.Hash != hash && s.Config.LastError == "" && s.Routers[0].PriorityBase == 99
	})

	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
	for _, name := range []string{pid, vrrpPID, socket} {
		if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s left behind: %v", name, err)
		}
	}
}

func rewrite(t *testing.T, name, old, new string) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(b), old) {
		t.Fatalf("no %q in %s", old, name)
	}
	if err := os.WriteFile(name, bytes.ReplaceAll(b, []byte(old), []byte(new)), 0o644); err != nil {
		t.Fatal(err)
	}
}
