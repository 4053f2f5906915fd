package integration

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"failoverd/integration/lab"
)

// booted is a node that has been booted: a container whose first process is a real systemd, with the node's network, file
// systems of its own, and failoverd installed as failover/docs/service.md says.
type booted struct {
	t     *testing.T
	node  *lab.Node
	init  *lab.Process
	root  string // the machine's root, as seen from here
	group string // its cgroup
}

// boot boots a node. It skips the test, saying why, where this machine does not let a systemd run: that is then so
// by nature, because nothing of ours has run before.
func boot(t *testing.T, node *lab.Node) *booted {
	t.Helper()
	need(t, systemdPath, "systemd-sysusers", "nsenter")
	group, err := makeCgroup(node.Name())
	if err != nil {
		t.Skipf("SKIPPED, NOT PASSED: no cgroup for a systemd: %v", err)
	}
	t.Cleanup(func() { removeCgroup(t, group) })
	p, err := node.Start(lab.Command{
		Name: "systemd", Argv: []string{os.Args[0]}, Dir: "/", Env: []string{machineEnv + "=" + group},
		Namespaces: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
	})
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EINVAL) {
		t.Skipf("SKIPPED, NOT PASSED: no namespaces for a systemd: %v", err)
	}
	must(t, err)
	t.Cleanup(func() { _ = p.Kill() }) // what it leaves is found by removeCgroup
	m := &booted{t: t, node: node, init: p, root: fmt.Sprintf("/proc/%d/root", p.PID()), group: group}
	state := ""
	err = lab.WaitFor(t.Context(), 30*time.Second, "systemd to run", func() bool {
		if !p.Running() {
			return true
		}
		if exists(m.path("/run/systemd/private")) {
			out, _ := m.do("systemctl", "is-system-running")
			state = strings.TrimSpace(out)
		}
		return state == "running" || state == "degraded"
	})
	if err != nil || state != "running" {
		t.Skipf("SKIPPED, NOT PASSED: no systemd runs in a container of this machine: %v, %q\n%s", err, state, p.Log())
	}
	return m
}

// install puts the program and the two shipped files where they belong, and a configuration.
func (m *booted) install(conf string) {
	m.t.Helper()
	m.put("/usr/sbin/failoverd", binary, 0o755)
	m.put("/usr/lib/systemd/system/failoverd.service", "../cmd/failoverd/systemd/failoverd.service", 0o644)
	m.put("/usr/lib/sysusers.d/failoverd.conf", "../cmd/failoverd/systemd/failoverd.sysusers", 0o644)
	m.must("systemd-sysusers")
	m.configure(conf)
	m.dropIn("log", "StandardError=append:/var/log/failoverd.log")
	m.t.Cleanup(func() {
		if m.t.Failed() {
			m.t.Logf("--- %s/failoverd.service\n%s", m.node.Name(), m.log())
		}
	})
	m.must("systemctl", "enable", "failoverd") // which has it read its files again
}

// configure writes a configuration that nobody but root and the service can read.
func (m *booted) configure(conf string) {
	m.t.Helper()
	const path = "/etc/failoverd/failoverd.conf"
	m.replace(path+".tmp", []byte(conf), 0o640)
	m.must("chgrp", "failoverd", path+".tmp")
	m.must("mv", path+".tmp", path)
}

// script writes a program of the machine.
func (m *booted) script(path, text string) {
	m.t.Helper()
	m.replace(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755)
}

// dropIn adds lines to the unit's [Service]. The unit is read again.
func (m *booted) dropIn(name string, words ...string) {
	m.t.Helper()
	m.write("/etc/systemd/system/failoverd.service.d/"+name+".conf", "[Service]\n"+lines(words...))
	m.must("systemctl", "daemon-reload")
}

// path returns a path of the machine as seen from here.
func (m *booted) path(path string) string { return m.root + path }

// write writes a file of the machine; write and put replace it by another one, as an installation does.
func (m *booted) write(path, text string) {
	m.t.Helper()
	m.replace(path, []byte(text), 0o644)
}

// put copies a file of this machine.
func (m *booted) put(path, from string, mode os.FileMode) {
	m.t.Helper()
	b, err := os.ReadFile(from)
	must(m.t, err)
	m.replace(path, b, mode)
}

func (m *booted) replace(path string, b []byte, mode os.FileMode) {
	m.t.Helper()
	to := m.path(path)
	must(m.t, os.MkdirAll(filepath.Dir(to), 0o755))
	must(m.t, os.WriteFile(to+".new", b, mode))
	must(m.t, os.Rename(to+".new", to))
}

// do runs a program in the machine, as root, and returns its output and exit status.
func (m *booted) do(argv ...string) (string, int) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	defer cancel()
	enter := []string{"--target", strconv.Itoa(m.init.PID()), "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd=/", "--"}
	cmd := exec.CommandContext(ctx, "nsenter", append(enter, argv...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		m.t.Fatalf("%v: %v", argv, err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// must runs a program in the machine, which has to succeed.
func (m *booted) must(argv ...string) string {
	m.t.Helper()
	out, code := m.do(argv...)
	if code != 0 {
		m.t.Fatalf("%v: exit status %d:\n%s\n%s", argv, code, out, m.log())
	}
	return out
}

// show returns a property of the service.
func (m *booted) show(property string) string {
	m.t.Helper()
	return strings.TrimSpace(m.must("systemctl", "show", "--property", property, "--value", "failoverd"))
}

// outside returns the number that a process of the service has on this machine; inside is its number in the container.
func (m *booted) outside(inside int) int {
	m.t.Helper()
	b, err := os.ReadFile(filepath.Join(m.group, "system.slice/failoverd.service/cgroup.procs"))
	must(m.t, err)
	for f := range strings.FieldsSeq(string(b)) {
		pid, err := strconv.Atoi(f)
		must(m.t, err)
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err == nil && strings.Contains(string(status), fmt.Sprintf("NSpid:\t%d\t%d\n", pid, inside)) {
			return pid
		}
	}
	m.t.Fatalf("the service has no process %d; it has %q", inside, b)
	return 0
}

// supervisor returns the number on this machine of the process that systemd watches.
func (m *booted) supervisor() int {
	m.t.Helper()
	pid, err := strconv.Atoi(m.show("MainPID"))
	must(m.t, err)
	return m.outside(pid)
}

// agentPID returns the number of the agent on this machine.
func (m *booted) agentPID() int {
	m.t.Helper()
	return m.outside(m.agent().pid())
}

// log returns what the service has logged.
func (m *booted) log() string {
	b, _ := os.ReadFile(m.path("/var/log/failoverd.log")) // one that is not there reads as empty
	return string(b)
}

// agent returns the service as the agent that it is.
func (m *booted) agent() *agent {
	return &agent{
		t: m.t, node: m.node, proc: m.init, conf: m.path("/etc/failoverd/failoverd.conf"), dir: m.path("/run/failoverd"),
		api: lab.Status(m.path("/run/failoverd/status.sock")),
	}
}

// makeCgroup makes a cgroup (version 2) below that of this process, and returns its path.
func makeCgroup(name string) (string, error) {
	top, err := cgroupMount()
	if err != nil {
		return "", err
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	for l := range strings.Lines(string(own)) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(l), "0::"); ok {
			return os.MkdirTemp(filepath.Join(top, path), "fo-"+name+"-")
		}
	}
	return "", errors.New("this process is in no cgroup of version 2")
}

// cgroupMount returns where cgroups of version 2 are.
func cgroupMount() (string, error) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return "", err
	}
	for l := range strings.Lines(string(mounts)) {
		if f := strings.Fields(l); len(f) > 2 && f[2] == "cgroup2" {
			return f[1], nil
		}
	}
	return "", errors.New("no cgroup2 is mounted")
}

// removeCgroup removes a cgroup with those below it, once they are empty.
func removeCgroup(t *testing.T, group string) {
	if err := lab.WaitFor(context.Background(), 5*time.Second, "the end of "+group, func() bool {
		var dirs []string
		_ = filepath.WalkDir(group, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append([]string{path}, dirs...)
			}
			return nil // what has gone meanwhile is no fault
		})
		for _, d := range dirs {
			_ = unix.Rmdir(d) // tried again below
		}
		return !exists(group)
	}); err != nil {
		t.Error(err)
	}
}
