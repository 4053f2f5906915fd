package integration

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"failoverd/integration/lab"
)

// dumpConf is a configuration with most of what the dumps show, in keepalived's words. (keepalived drops the track_script
// of a member of a sync group, so there is none.)
func dumpConf(n *lan, global string) string {
	return lines("global_defs {", "    router_id dump", global, "}", "vrrp_script chk {", "    script \"/bin/true\"", "    interval 1", "    weight 5", "}") +
		n.instance(prioA, 2, "1", "authentication {", "    auth_type PASS", "    auth_pass s3cret", "}",
			"track_script {", "    chk", "}", "notify_master \"/bin/true m\"", "virtual_ipaddress_excluded {", "    192.0.2.11/32", "}",
			"virtual_routes {", "    203.0.113.0/24 via 192.0.2.3 dev eth0", "}")
}

// TestSignalDumps: SIGUSR1, SIGUSR2 and SIGRTMIN+2 write what keepalived writes: the JSON has the same names, the statistics
// the same lines, the data the lines that exporters look for. keepalived runs beside it, and says what is the same.
func TestSignalDumps(t *testing.T) {
	t.Parallel()
	need(t, "keepalived")
	n := newLAN(t, false)
	dir := n.lab.Dir()
	paths := lines("    state_dump_file "+dir+"/our.data", "    stats_dump_file "+dir+"/our.stats", "    json_dump_file "+dir+"/our.json")
	a := startAgent(t, n.lab, n.a, dumpConf(n, paths))
	a.waitState("MASTER", 10*time.Second)
	// keepalived writes into /tmp only: it gets one of its own.
	private := filepath.Join(dir, "tmp")
	must(t, os.MkdirAll(private, 0o755))
	text := strings.ReplaceAll(dumpConf(n, ""), "virtual_router_id 51", "virtual_router_id 52")
	text = strings.ReplaceAll(text, "192.0.2.10/32", "192.0.2.20/32")
	must(t, os.WriteFile(filepath.Join(private, "k.conf"), []byte(text), 0o600))
	k, err := n.b.Start(lab.Command{Name: "keepalived", Argv: []string{
		"unshare", "-m", "sh", "-c",
		"mount --bind " + private + " /tmp && cd /tmp && echo $$ >pid && exec keepalived -n -l -G -P -f /tmp/k.conf -p /tmp/p -r /tmp/r",
	}})
	must(t, err)
	waitFor(t, 10*time.Second, "keepalived to be MASTER", func() bool { return holds(t, n.b, netip.MustParseAddr("192.0.2.20")) })
	time.Sleep(time.Second)
	for _, s := range []syscall.Signal{syscall.SIGUSR1, syscall.SIGUSR2, 36} {
		must(t, a.proc.Signal(s))
		must(t, syscall.Kill(pidIn(t, filepath.Join(private, "pid")), s))
	}
	defer func() { must(t, k.Signal(syscall.SIGTERM)) }()
	for _, f := range []string{"our.data", "our.stats", "our.json", "tmp/keepalived.data", "tmp/keepalived.stats", "tmp/keepalived.json"} {
		path := filepath.Join(dir, f)
		waitFor(t, 5*time.Second, f, func() bool { i, err := os.Stat(path); return err == nil && i.Size() > 0 })
		if i, err := os.Stat(path); err != nil || i.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v", f, i.Mode(), err)
		}
	}
	time.Sleep(slack)
	sameJSON(t, filepath.Join(dir, "our.json"), filepath.Join(private, "keepalived.json"))
	ours, theirs := shape(t, filepath.Join(dir, "our.stats")), shape(t, filepath.Join(private, "keepalived.stats"))
	if !slices.Equal(ours, theirs) {
		t.Errorf("statistics:\n%q\nwant\n%q", ours, theirs)
	}
	data, err := os.ReadFile(filepath.Join(dir, "our.data"))
	must(t, err)
	for _, want := range []string{
		"------< VRRP Topology >------", " VRRP Instance = V", "   State = MASTER", "   Interface = eth0", "   Virtual Router ID = 51",
		"   Priority = 200", "   Effective priority = 205", "   Advert interval = 1 sec", "   Virtual IP (1):", "     192.0.2.10 dev eth0 scope global set",
		"------< VRRP Scripts >------", " VRRP Script = chk", "   Status = GOOD",
	} {
		if !strings.Contains(string(data), want+"\n") {
			t.Errorf("the data has no line %q:\n%s", want, data)
		}
	}
	if strings.Contains(string(data), "s3cret") {
		t.Error("the data shows the password")
	}
}

func pidIn(t *testing.T, file string) (pid int) {
	t.Helper()
	b, err := os.ReadFile(file)
	must(t, err)
	_, err = fmt.Sscan(string(b), &pid)
	must(t, err)
	return pid
}

// shape returns the lines of a file without the numbers.
func shape(t *testing.T, path string) []string {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	all := strings.Split(strings.TrimSpace(string(b)), "\n")
	for i := range all {
		all[i], _, _ = strings.Cut(all[i], ": ")
	}
	return all
}

// sameJSON holds our dump against keepalived's: every field that keepalived has is there, with a value of the same type.
func sameJSON(t *testing.T, ours, theirs string) {
	t.Helper()
	read := func(path string) []map[string]map[string]any {
		b, err := os.ReadFile(path)
		must(t, err)
		var v []map[string]map[string]any
		if err := json.Unmarshal(b, &v); err != nil || len(v) != 1 {
			t.Fatalf("%s: %v: %s", path, err, b)
		}
		return v
	}
	o, k := read(ours)[0], read(theirs)[0]
	for _, part := range []string{"data", "stats"} {
		for name, value := range k[part] {
			mine, ok := o[part][name]
			if !ok {
				t.Errorf("%s.%s is missing", part, name)
			} else if fmt.Sprintf("%T", mine) != fmt.Sprintf("%T", value) {
				t.Errorf("%s.%s is a %T, keepalived's a %T", part, name, mine, value)
			}
		}
		for name := range o[part] {
			if _, ok := k[part][name]; !ok {
				t.Logf("%s.%s is ours only", part, name)
			}
		}
	}
}

// TestBackground: keepalived's command line without -n returns when the agent works, which goes on behind it, writes its
// pid file and ends on SIGTERM.
func TestBackground(t *testing.T) {
	t.Parallel()
	n := newLAN(t, false)
	conf, err := n.lab.WriteFile("a.conf", n.instance(prioA, 3, "0.2"))
	must(t, err)
	pidFile := filepath.Join(n.lab.Dir(), "pid")
	env := "FAILOVERD_STATE_DIR=" + n.lab.Dir()
	if out, code := command(t, n.a, []string{binary, "-f", conf, "-p", pidFile}, env); code != 0 {
		t.Fatalf("exit %d: %s", code, out)
	}
	pid := pidIn(t, pidFile)
	defer func() { _ = syscall.Kill(pid, syscall.SIGKILL) }()
	waitFor(t, 5*time.Second, "the address", func() bool { return holds(t, n.a, n.vip) })
	out, code := command(t, n.a, []string{binary, "-f", conf, "-p", pidFile}, env)
	if code == 0 || !strings.Contains(out, "another failoverd") && !strings.Contains(out, "another agent") {
		t.Errorf("a second one: exit %d: %s", code, out)
	}
	bad, err := n.lab.WriteFile("bad.conf", "vrrp_instance V {\n")
	must(t, err)
	if out, code := command(t, n.b, []string{binary, "-f", bad, "-p", pidFile + "2"}, env); code != 2 || !strings.Contains(out, "bad.conf:1") {
		t.Errorf("a bad file: exit %d: %s", code, out)
	}
	must(t, syscall.Kill(pid, syscall.SIGTERM))
	waitFor(t, 5*time.Second, "the pid file to go", func() bool { return !exists(pidFile) })
	if holds(t, n.a, n.vip) {
		t.Error("the address is still there")
	}
}

// TestBackgroundPIDFiles: without -p and -r the numbers are where keepalived has them.
func TestBackgroundPIDFiles(t *testing.T) {
	t.Parallel()
	n := newLAN(t, false)
	conf, err := n.lab.WriteFile("a.conf", n.instance(prioA, 3, "0.2"))
	must(t, err)
	out, code := command(t, n.a, []string{
		"unshare", "-m", "sh", "-c", "mount -t tmpfs none /run && " + binary + " -f " + conf + " && cat /run/keepalived.pid /run/vrrp.pid",
	}, "FAILOVERD_STATE_DIR="+n.lab.Dir())
	var parent, vrrp int
	if _, err := fmt.Sscan(out, &parent, &vrrp); err != nil || code != 0 || parent != vrrp {
		t.Fatalf("exit %d: %s", code, out)
	}
	defer func() { _ = syscall.Kill(parent, syscall.SIGKILL) }()
	waitFor(t, 5*time.Second, "the address", func() bool { return holds(t, n.a, n.vip) })
	must(t, syscall.Kill(parent, syscall.SIGTERM))
	waitFor(t, 5*time.Second, "the address to go", func() bool { return !holds(t, n.a, n.vip) })
	waitFor(t, 5*time.Second, "the process to end", func() bool { return !exists(fmt.Sprintf("/proc/%d", parent)) })
}

// TestNetNamespace: net_namespace puts the whole agent into a network namespace, speakers and scripts too.
func TestNetNamespace(t *testing.T) {
	t.Parallel()
	n := newLAN(t, false)
	name := "fo-" + filepath.Base(n.lab.Dir())
	// Names of network namespaces are links to what a node is made of.
	must(t, os.MkdirAll("/run/netns", 0o755))
	path := "/run/netns/" + name
	must(t, os.WriteFile(path, nil, 0o444))
	defer os.Remove(path)
	must(t, syscall.Mount(n.a.Path(), path, "", syscall.MS_BIND, ""))
	defer func() { must(t, syscall.Unmount(path, syscall.MNT_DETACH)) }()
	seen := filepath.Join(n.lab.Dir(), "seen")
	script := n.script("notify.sh", fmt.Sprintf("#!/bin/sh\nip -4 -o addr show dev eth0 >>%s\n", seen))
	// Started on another node: only the configuration says where it belongs.
	a := startAgent(t, n.lab, n.c, "net_namespace "+name+"\n"+n.instance(prioA, 3, "0.2", "notify_backup "+script))
	a.waitState("MASTER", 8*time.Second)
	waitFor(t, 2*time.Second, "the address on a", func() bool { return holds(t, n.a, n.vip) })
	if holds(t, n.c, n.vip) {
		t.Error("the address is where the agent was started")
	}
	b, err := os.ReadFile(seen)
	must(t, err)
	if !strings.Contains(string(b), "192.0.2.1/24") {
		t.Errorf("the script did not run in the namespace: %s", b)
	}
}
