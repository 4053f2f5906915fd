package speaker

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// lab is a set of network namespaces named fo-bgp-PID-N-NAME, removed when the test ends.
type lab struct {
	t      *testing.T
	dir    string
	prefix string
}

var labs atomic.Int64

// skip leaves a test out that cannot run here. With FAILOVERD_LABS=required, as in CI, everything is there, and that is a failure.
func skip(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("FAILOVERD_LABS") == "required" {
		t.Fatalf("%s, and this run is to skip nothing", why)
	}
	t.Skip("SKIPPED, NOT PASSED: " + why)
}

// newLab skips the test where it cannot run: without root, ip or one of the programs.
func newLab(t *testing.T, programs ...string) *lab {
	t.Helper()
	if os.Geteuid() != 0 {
		skip(t, "network namespaces need root")
	}
	for _, p := range append(programs, "/usr/sbin/ip") {
		if _, err := os.Stat(p); err != nil {
			skip(t, p+" is not installed")
		}
	}
	dir, err := os.MkdirTemp("", "fo-bgp-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil { // FRR runs as a user of its own
		t.Fatal(err)
	}
	l := &lab{t: t, dir: dir, prefix: fmt.Sprintf("fo-bgp-%d-%d-", os.Getpid(), labs.Add(1))}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return l
}

// netns makes namespaces.
func (l *lab) netns(names ...string) {
	l.t.Helper()
	for _, n := range names {
		l.ip("netns", "add", l.prefix+n)
		l.t.Cleanup(func() { l.ip("netns", "del", l.prefix+n) })
		l.ip("-n", l.prefix+n, "link", "set", "lo", "up")
		// Link-local and global addresses are to be usable at once.
		l.in(n, "sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0", "net.ipv6.conf.all.accept_dad=0")
	}
}

// link joins two namespaces with a veth pair of the same interface name.
func (l *lab) link(a, b, dev string) {
	l.t.Helper()
	l.ip("link", "add", dev, "netns", l.prefix+a, "type", "veth", "peer", "name", dev, "netns", l.prefix+b)
	for _, n := range []string{a, b} {
		l.ip("-n", l.prefix+n, "link", "set", dev, "up")
	}
}

// addr adds addresses to an interface.
func (l *lab) addr(ns, dev string, addrs ...string) {
	l.t.Helper()
	for _, a := range addrs {
		args := []string{"-n", l.prefix + ns, "addr", "add", a, "dev", dev}
		if strings.Contains(a, ":") {
			args = append(args, "nodad")
		}
		l.ip(args...)
	}
}

func (l *lab) ip(args ...string) { l.t.Helper(); l.run("/usr/sbin/ip", args...) }

// in runs a command in a namespace and returns what it printed.
func (l *lab) in(ns string, args ...string) string {
	l.t.Helper()
	return l.run("/usr/sbin/ip", append([]string{"netns", "exec", l.prefix + ns}, args...)...)
}

func (l *lab) run(name string, args ...string) string {
	l.t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		l.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// enter makes the speaker process live in a namespace.
func (l *lab) enter(ns string) func(*Config) {
	path := "/var/run/netns/" + l.prefix + ns
	return func(c *Config) {
		c.Setup = func() error {
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			defer func() { _ = f.Close() }()
			return unix.Setns(int(f.Fd()), unix.CLONE_NEWNET)
		}
	}
}

// daemon runs a program in a namespace, in the foreground, until the test ends.
func (l *lab) daemon(ns string, args ...string) *exec.Cmd {
	l.t.Helper()
	cmd := exec.Command("/usr/sbin/ip", append([]string{"netns", "exec", l.prefix + ns}, args...)...)
	cmd.Stdout, cmd.Stderr = l.t.Output(), l.t.Output()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		timer := time.AfterFunc(2*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		timer.Stop()
	})
	return cmd
}

// bird runs BIRD with a configuration and returns how to ask it.
func (l *lab) bird(ns, config string) func(command string) string {
	l.t.Helper()
	file, socket := filepath.Join(l.dir, ns+".conf"), filepath.Join(l.dir, ns+".ctl")
	head := fmt.Sprintf("log %q all;\nprotocol device {}\n", filepath.Join(l.dir, ns+".log"))
	if err := os.WriteFile(file, []byte(head+config), 0o600); err != nil {
		l.t.Fatal(err)
	}
	l.run("/usr/sbin/bird", "-p", "-c", file)
	l.daemon(ns, "/usr/sbin/bird", "-f", "-c", file, "-s", socket, "-P", filepath.Join(l.dir, ns+".pid"))
	l.awaitFile(socket)
	return func(command string) string {
		l.t.Helper()
		out, err := exec.Command("/usr/sbin/birdc", "-s", socket, command).CombinedOutput()
		if err != nil && !strings.Contains(string(out), "Network not found") {
			l.t.Logf("birdc %s: %v", command, err)
		}
		return string(out)
	}
}

// frr runs zebra and bgpd with a configuration for bgpd and returns how to ask it.
func (l *lab) frr(ns, config string) func(command string) string {
	l.t.Helper()
	dir := filepath.Join(l.dir, ns+"-frr")
	file := func(name string) string { return filepath.Join(dir, name) }
	if err := os.Mkdir(dir, 0o755); err != nil {
		l.t.Fatal(err)
	}
	for name, text := range map[string]string{"zebra.conf": "hostname zebra\n", "bgpd.conf": config} {
		if err := os.WriteFile(file(name), []byte(text), 0o644); err != nil {
			l.t.Fatal(err)
		}
	}
	l.run("chown", "-R", "frr:frr", dir)
	for _, d := range []string{"zebra", "bgpd"} {
		args := []string{
			"/usr/lib/frr/" + d, "-f", file(d + ".conf"), "-i", file(d + ".pid"), "-z", file("zserv.api"),
			"--vty_socket", dir, "--log", "file:" + file(d+".log"), "--log-level", "informational", "-P", "0",
		}
		l.daemon(ns, args...)
		l.awaitFile(file(d + ".vty"))
	}
	return func(command string) string {
		l.t.Helper()
		out, err := exec.Command("vtysh", "--vty_socket", dir, "-c", command).CombinedOutput()
		if err != nil {
			l.t.Logf("vtysh %s: %v\n%s", command, err, out)
		}
		return string(out)
	}
}

func (l *lab) awaitFile(path string) {
	l.t.Helper()
	l.await(5*time.Second, path, func() bool { _, err := os.Stat(path); return err == nil })
}

// await polls until ok, and fails the test with what was waited for.
func (l *lab) await(within time.Duration, what string, ok func() bool) time.Duration {
	l.t.Helper()
	start := time.Now()
	for !ok() {
		if time.Since(start) > within {
			l.t.Fatalf("no %s within %v", what, within)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return time.Since(start)
}

// seen waits until an answer contains all of want, and returns it.
func (l *lab) seen(within time.Duration, ask func(string) string, command string, want ...string) string {
	l.t.Helper()
	deadline := time.Now().Add(within)
	for {
		got := ask(command)
		missing := ""
		for _, w := range want {
			if !strings.Contains(got, w) {
				missing = w
				break
			}
		}
		if missing == "" {
			return got
		}
		if time.Now().After(deadline) {
			l.t.Fatalf("%s: no %q within %v:\n%s", command, missing, within, got)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// capture records an interface until the returned function is called, which then counts the packets that match each
// of tshark's display filters.
func (l *lab) capture(ns, dev string) func(filters ...string) []int {
	l.t.Helper()
	file := filepath.Join(l.dir, ns+"-"+dev+".pcap")
	cmd := l.daemon(ns, "/usr/bin/tcpdump", "-q", "-U", "--immediate-mode", "-Z", "root", "-i", dev, "-w", file, "tcp port 179")
	l.awaitFile(file)
	return func(filters ...string) []int {
		l.t.Helper()
		time.Sleep(100 * time.Millisecond) // what is on its way into the file
		_ = cmd.Process.Signal(syscall.SIGINT)
		_ = cmd.Wait()
		counts := make([]int, len(filters))
		for i, f := range filters {
			out, err := exec.Command("tshark", "-r", file, "-Y", f, "-T", "fields", "-e", "frame.number").Output()
			if err != nil {
				l.t.Fatalf("tshark -Y %q: %v", f, err)
			}
			counts[i] = len(strings.Fields(string(out)))
		}
		return counts
	}
}
