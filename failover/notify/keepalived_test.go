package notify

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"failoverd/failover"
)

// sequence is what both are to tell. The order of an instance and its group is keepalived's.
var sequence = []struct {
	group    bool
	state    string
	priority uint8
}{
	{true, "BACKUP", 0},
	{false, "BACKUP", 100},
	{false, "MASTER", 100},
	{true, "MASTER", 0},
	{false, "FAULT", 100},
	{true, "FAULT", 0},
	{false, "STOP", 100},
	{true, "STOP", 0},
}

const keepalivedConf = `global_defs {
  script_user root
  vrrp_version 3
  vrrp_notify_fifo DIR/fifo
}
vrrp_sync_group G {
  group {
    A
  }
  notify "DIR/record group-any"
  notify_master DIR/record
  notify_fault "DIR/record group-fault"
}
vrrp_instance A {
  interface fo0
  virtual_router_id 7
  priority 100
  advert_int 0.3
  virtual_ipaddress {
    192.0.2.7/24
  }
  notify "DIR/record any 'two words'"
  notify_master "DIR/record master"
  notify_backup "DIR/record backup"
  notify_fault "DIR/record fault"
  notify_stop "DIR/record stop"
}
`

// TestAsKeepalived runs keepalived through BACKUP, MASTER, FAULT and STOP, tells the same here, and compares the
// arguments of all scripts and the octets in the FIFO.
func TestAsKeepalived(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: keepalived and network namespaces need root")
	}
	if _, err := exec.LookPath("keepalived"); err != nil {
		if os.Getenv("FAILOVERD_LABS") == "required" {
			t.Fatal("keepalived is not installed, and this run is to skip nothing")
		}
		t.Skipf("NOT TESTED: %v", err)
	}
	theirs, theirFIFO := runKeepalived(t, recordDir(t))
	ours, ourFIFO := runOurs(t, recordDir(t))
	if ourFIFO != theirFIFO {
		t.Errorf("FIFO\n%s\nkeepalived's\n%s", ourFIFO, theirFIFO)
	}
	if !slices.Equal(ours, theirs) {
		t.Errorf("scripts\n%s\nkeepalived's\n%s", strings.Join(ours, "\n"), strings.Join(theirs, "\n"))
	}
	if len(theirs) != 14 || strings.Count(theirFIFO, "\n") != len(sequence) {
		t.Errorf("keepalived ran %d scripts and wrote %q", len(theirs), theirFIFO)
	}
}

// recordDir returns a directory with a script that appends its arguments, in brackets, to a file.
func recordDir(t *testing.T) string {
	t.Helper()
	dir := openDir(t)
	text := fmt.Sprintf("#!/bin/sh\nline=\"${0##*/}\"\nfor a; do line=\"$line [$a]\"; done\necho \"$line\" >> %s/argv\n", dir)
	if err := os.WriteFile(filepath.Join(dir, "record"), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// recorded returns what the scripts have recorded, sorted, when there are that many.
func recorded(t *testing.T, dir string, n int) []string {
	t.Helper()
	var lines []string
	soon(t, fmt.Sprintf("the end of %d scripts", n), func() bool {
		text, err := os.ReadFile(filepath.Join(dir, "argv"))
		if err != nil {
			return false
		}
		lines = strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
		return len(lines) >= n
	})
	slices.Sort(lines)
	return lines
}

func runKeepalived(t *testing.T, dir string) (argv []string, fifo string) {
	t.Helper()
	ns := fmt.Sprintf("fo-notify-%d", os.Getpid())
	ip := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %v: %v\n%s", args, err, out)
		}
	}
	ip("netns", "add", ns)
	t.Cleanup(func() { ip("netns", "del", ns) })
	ip("-n", ns, "link", "add", "fo0", "type", "veth", "peer", "name", "fo1")
	ip("-n", ns, "address", "add", "192.0.2.1/24", "dev", "fo0")
	ip("-n", ns, "link", "set", "fo1", "up")
	ip("-n", ns, "link", "set", "fo0", "up")
	conf := filepath.Join(dir, "conf")
	if err := os.WriteFile(conf, []byte(strings.ReplaceAll(keepalivedConf, "DIR", dir)), 0o600); err != nil {
		t.Fatal(err)
	}
	keepalived := exec.Command("ip", "netns", "exec", ns, "keepalived", "--dont-fork", "--log-console", "--use-file", conf,
		"--pid", filepath.Join(dir, "pid"), "--vrrp_pid", filepath.Join(dir, "vrrp-pid"))
	var log logText
	keepalived.Stdout, keepalived.Stderr = &log, &log
	if err := keepalived.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = keepalived.Wait()
	}()
	defer func() {
		_ = keepalived.Process.Signal(unix.SIGTERM)
		<-ended
		if t.Failed() {
			t.Logf("keepalived says:\n%s", &log)
		}
	}()
	l := listen(t, filepath.Join(dir, "fifo"))
	read := func(n int) {
		t.Helper()
		for range n {
			fifo += l.next(t) + "\n"
		}
	}
	read(4)
	ip("-n", ns, "link", "set", "fo0", "down")
	read(2)
	if err := keepalived.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	read(2)
	rest, err := io.ReadAll(l.file)
	if err != nil {
		t.Fatal(err)
	}
	return recorded(t, dir, 14), fifo + string(rest)
}

func runOurs(t *testing.T, dir string) (argv []string, fifo string) {
	t.Helper()
	record := func(args ...string) *failover.Command {
		return &failover.Command{Args: append([]string{filepath.Join(dir, "record")}, args...), User: "root"}
	}
	instance := &failover.NotifyConfig{
		Any: record("any", "two words"), Master: record("master"), Backup: record("backup"), Fault: record("fault"), Stop: record("stop"),
	}
	group := &failover.NotifyConfig{Any: record("group-any"), Master: record(), Fault: record("group-fault")}
	path := filepath.Join(dir, "fifo")
	w := start(t, quick(), oneFIFO(path))
	l := listen(t, path)
	for _, s := range sequence {
		n := failover.Notification{Name: "A", State: s.state, Priority: s.priority, Commands: instance}
		if s.group {
			n.Group, n.Name, n.Commands = true, "G", group
		}
		w.Tell([]failover.Notification{n})
	}
	argv = recorded(t, dir, 14)
	w.stop()
	if err := l.file.SetReadDeadline(time.Now().Add(slack)); err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(l.file)
	if err != nil {
		t.Fatal(err)
	}
	return argv, string(text)
}
