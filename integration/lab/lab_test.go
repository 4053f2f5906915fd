package lab_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"failoverd/integration/lab"
)

// pair is two nodes on a switch, 10.0.0.1 and 10.0.0.2.
type pair struct {
	a, b         *lab.Node
	portA, portB *lab.Port
}

func newPair(t *testing.T, l *lab.Lab) pair {
	t.Helper()
	sw := must(l.Switch("lan"))(t)
	p := pair{a: must(l.Node("a"))(t), b: must(l.Node("b"))(t)}
	p.portA, p.portB = must(sw.Plug(p.a, "eth0"))(t), must(sw.Plug(p.b, "eth0"))(t)
	check(t, p.a.AddAddress("eth0", "10.0.0.1/24"))
	check(t, p.b.AddAddress("eth0", "10.0.0.2/24"))
	check(t, p.a.AddAddress("eth0", "fd00::1/64"))
	check(t, p.b.AddAddress("eth0", "fd00::2/64"))
	return p
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		check(t, err)
		return v
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// threadNamespaces returns the network namespaces that the threads of this process live in.
func threadNamespaces(t *testing.T) map[string]int {
	t.Helper()
	out := make(map[string]int)
	dirs, err := filepath.Glob("/proc/self/task/*/ns/net")
	check(t, err)
	for _, d := range dirs {
		if ns, err := os.Readlink(d); err == nil {
			out[ns]++
		}
	}
	return out
}

// openNamespaces returns how many descriptors of this process are namespaces.
func openNamespaces(t *testing.T) (n int) {
	t.Helper()
	fds, err := filepath.Glob("/proc/self/fd/*")
	check(t, err)
	for _, fd := range fds {
		if l, err := os.Readlink(fd); err == nil && strings.HasPrefix(l, "net:[") {
			n++
		}
	}
	return n
}

func TestCloseLeavesNothing(t *testing.T) {
	before, fds := threadNamespaces(t), openNamespaces(t)
	l := lab.ForTest(t)
	named, err := lab.New(lab.Options{Name: "named", Named: true})
	check(t, err)
	defer named.Close()
	n := must(named.Node("node"))(t)
	if !strings.HasPrefix(n.Path(), "/run/netns/fo-") {
		t.Errorf("named node at %s", n.Path())
	}
	p := newPair(t, l)
	must(p.a.Watch(nil))(t)
	must(p.a.Capture("eth0"))(t)
	must(p.a.Respond())(t)
	must(p.b.Probe(netip.MustParseAddr("10.0.0.1")))(t)
	proc := must(p.b.Start(helper("parent")))(t)
	must(l.WriteFile("sub/file", "x"))(t)
	child := waitForChild(t, proc)

	check(t, named.Close())
	check(t, l.Close())
	check(t, l.Close())
	for what, path := range map[string]string{"private directory": l.Dir(), "name of the namespace": n.Path()} {
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the %s is still there: %s (%v)", what, path, err)
		}
	}
	if proc.Running() {
		t.Error("process still running")
	}
	if err := syscall.Kill(child, 0); !errors.Is(err, syscall.ESRCH) && !zombie(child) {
		t.Errorf("its child %d, in a session of its own, is still there: %v", child, err)
	}
	if after := threadNamespaces(t); len(after) != len(before) {
		t.Errorf("threads in namespaces: before %v, after %v", before, after)
	}
	if after := openNamespaces(t); after != fds {
		t.Errorf("open namespaces: before %d, after %d", fds, after)
	}
	if _, err := p.a.Start(helper("idle")); err == nil {
		t.Error("a process could be started in a closed lab")
	}
}

// waitForChild returns the pid that the helper "parent" prints.
func waitForChild(t *testing.T, p *lab.Process) (pid int) {
	t.Helper()
	check(t, lab.WaitFor(t.Context(), 10*time.Second, "the helper's child", func() bool {
		_, err := fmt.Sscanf(p.Log(), "child %d", &pid)
		return err == nil
	}))
	return pid
}

func zombie(pid int) bool {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return bytes.Contains(b, []byte(") Z "))
}

func TestSignalCleansUp(t *testing.T) {
	if err := lab.Privileged(); err != nil {
		t.Skipf("SKIPPED, NOT PASSED: %v", err)
	}
	for _, role := range []string{"interrupted", "panics"} {
		t.Run(role, func(t *testing.T) {
			var out bytes.Buffer
			cmd := exec.Command("/proc/self/exe")
			cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), helperEnv+"="+role, "TMPDIR="+t.TempDir()), &out, os.Stderr
			if role == "panics" {
				cmd.Stderr = nil
			}
			if err := cmd.Run(); err == nil {
				t.Error("the helper ended well")
			}
			var dir string
			var pid int
			if _, err := fmt.Sscanf(out.String(), "%s %d", &dir, &pid); err != nil {
				t.Fatalf("helper said %q: %v", out.String(), err)
			}
			if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s is still there: %v", dir, err)
			}
			if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) && !zombie(pid) {
				t.Errorf("process %d is still there", pid)
			}
			left, _ := filepath.Glob(fmt.Sprintf("/run/netns/fo-%d-*", cmd.Process.Pid))
			if len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// furnished makes a lab with a process and says where things are.
func furnished() (*lab.Lab, error) {
	l, err := lab.New(lab.Options{Named: true, Signals: true})
	if err != nil {
		return nil, err
	}
	n, err := l.Node("x")
	if err != nil {
		return nil, err
	}
	p, err := n.Start(helper("idle"))
	if err != nil {
		return nil, err
	}
	fmt.Println(l.Dir(), p.PID())
	return l, nil
}

func waitForSignal() int {
	if _, err := furnished(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		return 1
	}
	select {}
}

func panicsInLab() {
	l, err := furnished()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	defer l.Close()
	panic("on purpose")
}

func TestNodeNames(t *testing.T) {
	l := lab.ForTest(t)
	for _, name := range []string{"", "has space", "a/b", "much-too-long-a-name", "ü"} {
		if _, err := l.Node(name); err == nil {
			t.Errorf("node %q accepted", name)
		}
	}
	a, again := must(l.Node("a"))(t), must(l.Node("a"))(t)
	if a != again {
		t.Error("one name, two nodes")
	}
}

func TestNodesAreApart(t *testing.T) {
	l := lab.ForTest(t)
	p := newPair(t, l)
	// Settings and addresses of one node are not those of another, nor of the machine.
	check(t, p.a.Sysctl("ipv4/ip_forward", "1"))
	for n, want := range map[*lab.Node]string{p.a: "1\n", p.b: "0\n"} {
		if got := must(n.ReadSysctl("ipv4/ip_forward"))(t); got != want {
			t.Errorf("%s: ip_forward %q, want %q", n, got, want)
		}
	}
	if has := must(p.b.HasAddress(netip.MustParseAddr("10.0.0.1")))(t); has {
		t.Error("b has a's address")
	}
	// Do comes back to where it was, also when it is nested.
	home := must(os.Readlink("/proc/thread-self/ns/net"))(t)
	var inA, inB, inAAgain string
	check(t, p.a.Do(func() error {
		inA, _ = os.Readlink("/proc/thread-self/ns/net")
		err := p.b.Do(func() error { inB, _ = os.Readlink("/proc/thread-self/ns/net"); return nil })
		inAAgain, _ = os.Readlink("/proc/thread-self/ns/net")
		return err
	}))
	now := must(os.Readlink("/proc/thread-self/ns/net"))(t)
	if inA == home || inB == home || inA == inB || inAAgain != inA || now != home {
		t.Errorf("home %s, in a %s, in b %s, in a again %s, back %s", home, inA, inB, inAAgain, now)
	}
}

func TestRoutes(t *testing.T) {
	l := lab.ForTest(t)
	p := newPair(t, l)
	dst, via := netip.MustParsePrefix("198.51.100.0/24"), netip.MustParseAddr("10.0.0.2")
	if _, ok := must2(p.a.NextHop(dst))(t); ok {
		t.Error("a route before there is one")
	}
	check(t, p.a.AddRoute(dst, via))
	if got, ok := must2(p.a.NextHop(dst))(t); !ok || got != via {
		t.Errorf("next hop %v %v, want %v", got, ok, via)
	}
	check(t, p.a.DeleteRoute(dst))
	if _, ok := must2(p.a.NextHop(dst))(t); ok {
		t.Error("a route after its deletion")
	}
	if err := p.a.DeleteRoute(dst); err == nil || !strings.Contains(err.Error(), "a: delete route 198.51.100.0/24") {
		t.Errorf("deleting it again: %v", err)
	}
}

func must2[T, U any](v T, u U, err error) func(*testing.T) (T, U) {
	return func(t *testing.T) (T, U) {
		t.Helper()
		check(t, err)
		return v, u
	}
}
