package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// exeOf returns the program that a process runs.
func exeOf(pid int) string {
	path, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	return path
}

// want checks what a command says and how it ends.
func (a *agent) want(code int, says string, args ...string) {
	a.t.Helper()
	if out, got := a.cli(args...); got != code || !strings.Contains(out, says) {
		a.t.Fatalf("%s: exit status %d, want %d and %q:\n%s", strings.Join(args, " "), got, code, says, out)
	}
}

// TestUpgradeReload is what a service manager calls after a package or a configuration was installed: one command reloads, and
// upgrades if the program is another one.
func TestUpgradeReload(t *testing.T) {
	t.Parallel()
	n := newLAN(t, false)
	next := buildNext(t)
	ma := startAgent(t, n.lab, n.a, n.instance(prioA, 3, "0.2"))
	ma.waitState("MASTER", 5*time.Second)
	mb := startAgent(t, n.lab, n.b, n.instance(prioB, 3, "0.2"))
	mb.waitState("BACKUP", 5*time.Second)
	begun, pid, main := time.Now(), ma.pid(), ma.proc.PID()
	priority := func() int { return int(ma.router().PriorityEffective) }
	write := func(text string) {
		t.Helper()
		must(t, os.WriteFile(ma.conf, []byte(text), 0o644))
	}

	ma.want(0, "nothing to do: "+binary, "upgrade", "--if-changed")
	write(n.instance(prioA+1, 3, "0.2"))
	ma.want(0, "reloaded; "+binary, "upgrade", "--if-changed", "--reload")
	if got := priority(); got != prioA+1 || ma.pid() != pid {
		t.Errorf("priority %d, process %d; want %d, %d", got, ma.pid(), prioA+1, pid)
	}
	ma.want(0, "version "+nextVersion+" can take over", "upgrade", "--check", "--binary", next)
	write(n.instance(prioA+2, 3, "0.2") + "nonsense\n")
	ma.want(2, ":", "upgrade", "--if-changed", "--reload")
	ma.want(2, "cannot use the configuration", "upgrade", "--if-changed", "--reload", "--binary", next)
	if got := priority(); got != prioA+1 || ma.pid() != pid {
		t.Errorf("after what was refused: priority %d, process %d; want %d, %d", got, ma.pid(), prioA+1, pid)
	}
	write(n.instance(prioA+2, 3, "0.2"))
	ma.want(3, "reloaded, but upgrade refused", "upgrade", "--if-changed", "--reload", "--binary", "/bin/true")
	if got := priority(); got != prioA+2 || ma.pid() != pid {
		t.Errorf("after half of it: priority %d, process %d; want %d, %d", got, ma.pid(), prioA+2, pid)
	}
	// What only the other program understands is for it to read, once it works; one that does not take over leaves all as it is.
	write(lines("global_defs {", "    "+nextWord, "}") + n.instance(prioA+3, 3, "0.2"))
	ma.want(2, "unknown keyword", "reload")
	ma.want(2, "reload refused", "upgrade", "--if-changed", "--reload", "--binary", "/bin/true")
	ma.want(2, "the configuration file has changed", "upgrade", "--binary", next)
	if got := priority(); got != prioA+2 || ma.pid() != pid {
		t.Errorf("after what this program cannot read: priority %d, process %d; want %d, %d", got, ma.pid(), prioA+2, pid)
	}
	ma.want(0, "; reloaded", "upgrade", "--if-changed", "--reload", "--binary", next)
	if s := ma.status(); s == nil || s.Version != nextVersion || s.PID == pid || s.Routers[0].PriorityEffective != prioA+3 || s.Routers[0].State != "MASTER" {
		t.Errorf("after the upgrade: %+v", s)
	}
	if exists(filepath.Join(ma.dir, "upgrade.json")) {
		t.Error("the text of the configuration is left")
	}
	waitFor(t, 5*time.Second, "the supervisor to be the new program", func() bool { return exeOf(main) == next })
	// Without --binary, the program is now where the supervisor is from.
	ma.want(0, "nothing to do: "+next, "upgrade", "--if-changed")
	if list := n.adverts("192.0.2.2", begun); len(list) != 0 {
		t.Errorf("b has sent %d advertisements", len(list))
	}
}

// TestUpgradeAfresh is an upgrade between programs that cannot hand over: the role goes to the other node and comes back.
func TestUpgradeAfresh(t *testing.T) {
	t.Parallel()
	n := newLAN(t, false)
	next := buildNext(t)
	ma := startAgent(t, n.lab, n.a, n.instance(prioA, 3, "0.2"))
	ma.waitState("MASTER", 5*time.Second)
	mb := startAgent(t, n.lab, n.b, n.instance(prioB, 3, "0.2"))
	mb.waitState("BACKUP", 5*time.Second)
	begun, pid, main := time.Now(), ma.pid(), ma.proc.PID()
	ma.want(0, "can be started in place of", "upgrade", "--drain", "--check", "--binary", next)
	if ma.pid() != pid {
		t.Fatal("--check has done something")
	}
	ma.want(0, "upgraded from", "upgrade", "--drain", "--binary", next)
	if s := ma.status(); s == nil || s.Version != nextVersion || s.PID == pid {
		t.Errorf("afterwards: %+v", s)
	}
	ma.waitState("MASTER", 5*time.Second)
	if got := exeOf(main); got != next {
		t.Errorf("the supervisor is %s", got)
	}
	if ma.proc.PID() != main || !exists(fmt.Sprintf("/proc/%d", main)) {
		t.Error("the supervisor is another process")
	}
	released, taken := false, len(n.adverts("192.0.2.2", begun)) > 0
	for _, p := range n.adverts("192.0.2.1", begun) {
		released = released || p.VRRP.Priority == 0
	}
	if !released || !taken {
		t.Errorf("role released %v, taken by b %v", released, taken)
	}
	ma.want(2, "is not a failoverd", "upgrade", "--drain", "--binary", "/bin/true")
	if s := ma.status(); s == nil || s.Routers[0].State != "MASTER" {
		t.Errorf("after what was refused: %+v", s)
	}
}

// TestUpgradeBackground: an agent that was started with keepalived's command line, in the background, is upgraded as any other; what
// its files of process numbers say stays true.
func TestUpgradeBackground(t *testing.T) {
	t.Parallel()
	n := newLAN(t, false)
	next := buildNext(t)
	_, err := n.lab.WriteFile("a.conf", n.instance(prioA, 3, "0.2"))
	must(t, err)
	dir := n.lab.Dir()
	must(t, os.Mkdir(filepath.Join(dir, "state"), 0o755))
	start := "cd " + dir + " && exec " + binary + " -D -f a.conf -p pid -r vrrp.pid"
	if out, code := command(t, n.a, []string{"sh", "-c", start}, "FAILOVERD_STATE_DIR=state"); code != 0 {
		t.Fatalf("exit status %d: %s", code, out)
	}
	pid := pidIn(t, filepath.Join(dir, "pid"))
	defer func() { _ = syscall.Kill(pid, syscall.SIGKILL) }()
	waitFor(t, 5*time.Second, "the address", func() bool { return holds(t, n.a, n.vip) })
	ask := func(args ...string) string {
		t.Helper()
		out, code := command(t, n.a, append([]string{binary}, args...), "FAILOVERD_STATE_DIR="+dir+"/state")
		if code != 0 {
			t.Fatalf("%s: exit status %d: %s", strings.Join(args, " "), code, out)
		}
		return out
	}
	for range 2 { // the second time, the supervisor is one that has replaced another
		if out := ask("upgrade", "--binary", next); !strings.Contains(out, "to "+nextVersion) {
			t.Errorf("it says %q", out)
		}
		waitFor(t, 5*time.Second, "the process to be the new program", func() bool { return exeOf(pid) == next })
		for _, name := range []string{"pid", "vrrp.pid"} {
			if got := pidIn(t, filepath.Join(dir, name)); got != pid {
				t.Errorf("%s has %d, want %d", name, got, pid)
			}
		}
		if !holds(t, n.a, n.vip) {
			t.Error("the address is gone")
		}
	}
	if at, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/cwd"); err != nil || at != "/" {
		t.Errorf("its directory is %s, %v", at, err)
	}
	_, err = n.lab.WriteFile("a.conf", n.instance(prioA-1, 3, "0.2"))
	must(t, err)
	ask("reload")
	must(t, syscall.Kill(pid, syscall.SIGTERM))
	waitFor(t, 8*time.Second, "the files of process numbers to go", func() bool {
		return !exists(filepath.Join(dir, "pid")) && !exists(filepath.Join(dir, "vrrp.pid"))
	})
	waitFor(t, 5*time.Second, "the address to go", func() bool { return !holds(t, n.a, n.vip) })
}
