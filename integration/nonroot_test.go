package integration

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"failoverd/integration/lab"
)

// nobodyUID is a user without a name.
const nobodyUID = 61234

// unitCapabilities are those of the unit (cmd/failoverd/systemd).
var unitCapabilities = []string{"net_admin", "net_raw", "net_bind_service"}

// unprivileged returns the words that run argv as systemd runs the unit: as another user, with three capabilities that can
// neither be added to nor come from files.
func unprivileged(argv ...string) []string {
	caps := "+" + strings.Join(unitCapabilities, ",+")
	return append([]string{
		"setpriv", fmt.Sprintf("--reuid=%d", nobodyUID), fmt.Sprintf("--regid=%d", nobodyUID), "--clear-groups",
		"--bounding-set=-all," + caps, "--inh-caps=" + caps, "--ambient-caps=" + caps, "--no-new-privs",
	}, argv...)
}

// TestUnprivileged: with what the unit grants, and no more, the agent does its work: role, address, session, route, a notify
// script, reload, what systemd is told, and an end that leaves nothing.
func TestUnprivileged(t *testing.T) {
	t.Parallel()
	need(t, "setpriv")
	e := newEdge(t, "")
	// The folder of the lab is root's alone.
	home, err := os.MkdirTemp("", "fo-unprivileged-")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	must(t, os.Chmod(home, 0o755))
	program, file, dir, told := filepath.Join(home, "failoverd"), filepath.Join(home, "failoverd.conf"), filepath.Join(home, "state"), filepath.Join(home, "state", "told")
	b, err := os.ReadFile(binary)
	must(t, err)
	must(t, os.WriteFile(program, b, 0o755))
	script := filepath.Join(home, "notify")
	must(t, os.WriteFile(script, []byte("#!/bin/sh\necho \"$3 $(id -u)\" >>"+told+"\n"), 0o755))
	text := e.speaker("a", "") + e.instance(prioA, 3, "0.3", append(announce(service+" speaker EDGE"), "notify "+script)...)
	must(t, os.WriteFile(file, []byte(text), 0o644))
	must(t, os.Mkdir(dir, 0o755))
	must(t, os.Chown(dir, nobodyUID, nobodyUID))
	systemd, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(home, "systemd"), Net: "unixgram"})
	must(t, err)
	defer systemd.Close()
	must(t, os.Chmod(filepath.Join(home, "systemd"), 0o666))

	p, err := e.a.Start(lab.Command{
		Name: "failoverd-a", Argv: unprivileged(program, "run", "-f", file),
		Env: []string{"FAILOVERD_STATE_DIR=" + dir, "NOTIFY_SOCKET=" + filepath.Join(home, "systemd"), "WATCHDOG_USEC=1500000"},
	})
	must(t, err)
	a := &agent{t: t, node: e.a, proc: p, conf: file, dir: dir, api: lab.Status(filepath.Join(dir, "status.sock"))}
	a.waitState("MASTER", 5*time.Second)
	a.waitSession(15 * time.Second)
	e.waitRoute("192.0.2.1", true, 5*time.Second)
	waitFor(t, 3*time.Second, "the address", func() bool { return holds(t, e.a, e.vip) })
	waitFor(t, 3*time.Second, "the notify script", func() bool {
		b, err := os.ReadFile(told)
		return err == nil && strings.Contains(string(b), fmt.Sprintf("MASTER %d\n", nobodyUID))
	})

	const granted = "0000000000003400" // CAP_NET_BIND_SERVICE, CAP_NET_ADMIN, CAP_NET_RAW
	for _, w := range []struct{ name, want string }{
		{"Uid", fmt.Sprint(nobodyUID)}, {"CapEff", granted}, {"CapBnd", granted}, {"NoNewPrivs", "1"},
	} {
		if got := procField(t, a.pid(), w.name); got != w.want {
			t.Errorf("%s of the agent is %s, want %s", w.name, got, w.want)
		}
	}
	if got := procField(t, childOf(t, a.pid()), "CapEff"); got != "0000000000000000" {
		t.Errorf("CapEff of the speaker is %s, want none", got)
	}
	for _, want := range []string{"READY=1", "WATCHDOG=1"} {
		if got := hear(systemd, want); !strings.Contains(got, want) {
			t.Errorf("systemd was told %q, want %s", got, want)
		}
	}

	must(t, os.WriteFile(file, []byte(strings.Replace(text, fmt.Sprintf("priority %d", prioA), fmt.Sprintf("priority %d", prioA-1), 1)), 0o644))
	if out, code := command(t, e.a, unprivileged(program, "reload"), "FAILOVERD_STATE_DIR="+dir); code != 0 {
		t.Errorf("reload: %d: %s", code, out)
	}
	waitFor(t, 3*time.Second, "the new priority", func() bool { r := a.router(); return r != nil && r.PriorityEffective == prioA-1 })

	_, err = p.Stop(5 * time.Second)
	must(t, err)
	e.waitRoute("192.0.2.1", false, 3*time.Second)
	if holds(t, e.a, e.vip) {
		t.Error("the address is still there")
	}
	for _, l := range strings.Split(p.Log(), "\n") {
		if strings.Contains(l, `"level":"ERROR"`) || strings.Contains(l, "not permitted") || strings.Contains(l, "permission denied") {
			t.Errorf("log: %s", l)
		}
	}
}

// procField returns the first word of a field of /proc/PID/status.
func procField(t *testing.T, pid int, name string) string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	must(t, err)
	for _, l := range strings.Split(string(b), "\n") {
		if v, ok := strings.CutPrefix(l, name+":"); ok {
			return strings.Fields(v)[0]
		}
	}
	t.Fatalf("no %s of process %d", name, pid)
	return ""
}

// hear returns what comes until it contains a word, or two seconds have passed.
func hear(c *net.UnixConn, word string) string {
	var all strings.Builder
	b := make([]byte, 4096)
	for _ = c.SetReadDeadline(time.Now().Add(2 * time.Second)); !strings.Contains(all.String(), word); {
		n, err := c.Read(b)
		if err != nil {
			break
		}
		all.WriteString(string(b[:n]) + "\n")
	}
	return all.String()
}
