package integration

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestBackgroundPlace: an agent in the background holds no directory, and finds its files again all the same; a second
// one in its network namespace fails for whoever starts it to see, whatever its pid file is.
func TestBackgroundPlace(t *testing.T) {
	t.Parallel()
	n := newLAN(t, false)
	_, err := n.lab.WriteFile("a.conf", n.instance(prioA, 3, "0.2"))
	must(t, err)
	dir := n.lab.Dir()
	start := func(pidFile string) (string, int) {
		return command(t, n.a, []string{"sh", "-c", "cd " + dir + " && exec " + binary + " -f a.conf -p " + pidFile}, "FAILOVERD_STATE_DIR=state")
	}
	if out, code := start("pid"); code != 0 {
		t.Fatalf("exit %d: %s", code, out)
	}
	pid := pidIn(t, filepath.Join(dir, "pid"))
	defer func() { _ = syscall.Kill(pid, syscall.SIGKILL) }()
	if at, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/cwd"); err != nil || at != "/" {
		t.Errorf("its directory is %s, %v", at, err)
	}
	waitFor(t, 5*time.Second, "the address", func() bool { return holds(t, n.a, n.vip) })

	if out, code := start("pid2"); code == 0 || !strings.Contains(out, "another agent") {
		t.Errorf("a second one: exit %d: %s", code, out)
	}
	if exists(filepath.Join(dir, "pid2")) || !exists(filepath.Join(dir, "pid")) {
		t.Error("the second one left its pid file, or took the first one's away")
	}

	_, err = n.lab.WriteFile("a.conf", n.instance(prioA-1, 3, "0.2"))
	must(t, err)
	if out, code := command(t, n.a, []string{binary, "reload"}, "FAILOVERD_STATE_DIR="+dir+"/state"); code != 0 {
		t.Errorf("reload: exit %d: %s", code, out)
	}
	must(t, syscall.Kill(pid, syscall.SIGTERM))
	waitFor(t, 5*time.Second, "the pid file to go", func() bool { return !exists(filepath.Join(dir, "pid")) })
}

// TestNamespaceVariable: what the environment says of the network namespace is not believed.
func TestNamespaceVariable(t *testing.T) {
	t.Parallel()
	n := newLAN(t, false)
	name := "fo-" + filepath.Base(n.lab.Dir())
	must(t, os.MkdirAll("/run/netns", 0o755))
	path := "/run/netns/" + name
	must(t, os.WriteFile(path, nil, 0o444))
	defer os.Remove(path)
	must(t, syscall.Mount(n.a.Path(), path, "", syscall.MS_BIND, ""))
	defer func() { must(t, syscall.Unmount(path, syscall.MNT_DETACH)) }()
	conf, err := n.lab.WriteFile("a.conf", "net_namespace "+name+"\n"+n.instance(prioA, 3, "0.2"))
	must(t, err)
	out, code := command(t, n.c, []string{binary, "run", "-f", conf}, "FAILOVERD_STATE_DIR="+n.lab.Dir()+"/state", "FAILOVERD_NETNS="+name)
	if code != 1 || !strings.Contains(out, "says that this process is in it, and it is not") {
		t.Errorf("exit %d: %s", code, out)
	}
}
