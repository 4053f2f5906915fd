package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"failoverd/failover/status"
)

// inContainer prepares failoverd as a container has it: in namespaces of its own, with a new PID namespace if it is to be
// the first process.
func inContainer(t *testing.T, pids uintptr, args ...string) (cmd *exec.Cmd, client *status.Client) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: must be root to make namespaces")
	}
	dir := t.TempDir()
	var log bytes.Buffer
	cmd = process(t, args...)
	cmd.Env = append(cmd.Env, "FAILOVERD_STATE_DIR="+dir)
	cmd.Stderr = &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | pids, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("log:\n%s", log.String())
		}
	})
	client = status.Dial(filepath.Join(dir, "status.sock"))
	eventually(t, "the agent works", func() bool {
		s, err := client.Status(t.Context())
		return err == nil && len(s.Routers) == 1
	})
	return cmd, client
}

func TestRunIgnoresSIGINT(t *testing.T) {
	cmd, client := inContainer(t, 0, "run", "--ignore-sigint", "-f", file(t, goodConf))
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGHUP} {
		if err := cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the reload after SIGINT", func() bool {
		s, err := client.Status(t.Context())
		return err == nil && s.Config.Reloads == 1
	})
}

// As the first process of a container failoverd inherits what its scripts leave behind.
func TestInit(t *testing.T) {
	runs := filepath.Join(t.TempDir(), "runs")
	script := filepath.Join(t.TempDir(), "leaves-orphans")
	text := "#!/bin/sh\nsetsid true &\nsleep 0.01 &\necho >>" + runs + "\n"
	if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	conf := "vrrp_script leaves-orphans {\n    script " + script + "\n    interval 0.1\n    user root\n}\n" +
		strings.Replace(goodConf, "    priority 100\n", "    priority 100\n    track_script {\n        leaves-orphans\n    }\n", 1)
	cmd, client := inContainer(t, syscall.CLONE_NEWPID, "run", "-f", file(t, conf))
	const enough = 20
	eventually(t, "runs of the script", func() bool {
		b, _ := os.ReadFile(runs)
		return len(b) >= enough
	})
	eventually(t, "the end of zombies", func() bool { return zombies(t, cmd.Process.Pid) < enough/2 })

	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the reload after SIGHUP", func() bool {
		s, err := client.Status(t.Context())
		return err == nil && s.Config.Reloads == 1
	})
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
}

// The end of the agent is that of the first process.
func TestInitStatus(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: must be root to make namespaces")
	}
	cmd := process(t, "run", "-f", file(t, "vrrp_instance V {\n"))
	cmd.Env = append(cmd.Env, "FAILOVERD_STATE_DIR="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWPID}
	out, _ := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != exitConfig || !bytes.Contains(out, []byte("failoverd.conf:1")) {
		t.Errorf("exit status %d: %s", cmd.ProcessState.ExitCode(), out)
	}
}

// zombies counts dead processes that a process, or one of its children, has not waited for.
func zombies(t *testing.T, parent int) (n int) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(stats) == 0 {
		t.Fatalf("no process file system: %v", err)
	}
	parents, dead := make(map[string]string), make(map[string]bool)
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		pid := filepath.Base(filepath.Dir(path))
		var state, of string
		if _, err := fmt.Sscan(string(b[bytes.LastIndexByte(b, ')')+1:]), &state, &of); err != nil {
			t.Fatal(err)
		}
		parents[pid], dead[pid] = of, state == "Z"
	}
	top := strconv.Itoa(parent)
	for pid := range dead {
		if dead[pid] && (parents[pid] == top || parents[parents[pid]] == top) {
			n++
		}
	}
	return n
}
