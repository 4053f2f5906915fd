package rpki

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"failoverd/bgp"
)

// skip leaves a test out that cannot run here. With FAILOVERD_LABS=required, as in CI, everything is there, and that is a failure.
func skip(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("FAILOVERD_LABS") == "required" {
		t.Fatalf("%s, and this run is to skip nothing", why)
	}
	t.Skip("SKIPPED, NOT PASSED: " + why)
}

// TestBGP_RPKI_02_StayRTR: with a real cache in a network namespace, the origin is valid, becomes invalid and valid again
// as the cache's data changes, without another connection; the cache dies, and the data stays; it comes back, and counts.
func TestBGP_RPKI_02_StayRTR(t *testing.T) {
	const program = "/usr/bin/stayrtr"
	if os.Geteuid() != 0 {
		skip(t, "network namespaces need root")
	}
	if _, err := os.Stat(program); err != nil {
		skip(t, "stayrtr is not installed")
	}
	ns := fmt.Sprintf("fo-rpki-%d", os.Getpid())
	ip(t, "netns", "add", ns)
	t.Cleanup(func() { ip(t, "netns", "del", ns) })
	ip(t, "-n", ns, "link", "set", "lo", "up")
	file := filepath.Join(t.TempDir(), "vrps.json")
	say := func(as, serial int) {
		text := fmt.Sprintf(`{"metadata":{"buildmachine":"lab","buildtime":"2026-01-01T00:00:%02dZ","elapsedtime":1},"roas":[
			{"prefix":"198.51.100.0/24","maxLength":24,"asn":"AS%d","ta":"lab","expires":4000000000},
			{"prefix":"203.0.113.0/24","maxLength":24,"asn":"AS64500","ta":"lab","expires":4000000000}]}`, serial, as)
		next := file + ".next" // at once, as a validator does it
		if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, file); err != nil {
			t.Fatal(err)
		}
	}
	say(64501, 1)
	startCache := func() *exec.Cmd {
		cmd := exec.Command("/usr/sbin/ip", "netns", "exec", ns, program, "-cache", file, "-checktime=false",
			"-refresh", "1", "-bind", "127.0.0.1:8282", "-metrics.addr", "", "-rtr.refresh", "3600")
		cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	kill := func(cmd *exec.Cmd) {
		_ = cmd.Process.Kill() // ip has become stayrtr
		_ = cmd.Wait()
	}
	first := startCache()
	running := first
	t.Cleanup(func() { kill(running) })

	c := New(Config{Speaker: "EDGE", Caches: []string{"127.0.0.1:8282"}, Prefixes: own}, slog.Default(), Options{Dial: dialIn(ns)})
	reports := make(chan bgp.RPKIReport, 1000)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.Run(ctx, func(r bgp.RPKIReport) { reports <- r })
	}()
	defer func() { cancel(); <-ended }()
	await := func(what string, ok func(r *bgp.RPKIReport, v bgp.Validity) bool) bgp.RPKIReport {
		t.Helper()
		begin := time.Now()
		var last bgp.RPKIReport
		for timeout := time.After(30 * time.Second); ; {
			select {
			case last = <-reports:
				if v, why := last.Validate(own[0], 64501); ok(&last, v) {
					t.Logf("%s after %v: %v, %s; %+v", what, time.Since(begin).Round(time.Millisecond), v, why, last.Caches)
					return last
				}
			case <-timeout:
				t.Fatalf("not %s; the last: %+v", what, last)
			}
		}
	}
	is := func(want bgp.Validity) func(*bgp.RPKIReport, bgp.Validity) bool {
		return func(r *bgp.RPKIReport, v bgp.Validity) bool { return v == want && r.Caches[0].State == "up" }
	}
	r := await("valid at first", is(bgp.Valid))
	if r.Caches[0].Records != 2 || r.Caches[0].Kept != 1 {
		t.Errorf("status %+v", r.Caches[0])
	}
	say(64666, 2)
	await("invalid", is(bgp.Invalid))
	say(64501, 3)
	await("valid again", is(bgp.Valid))
	say(0, 4)
	await("invalid because of AS 0", is(bgp.Invalid))
	say(64501, 5)
	await("valid once more", is(bgp.Valid))
	kill(running)
	await("down and still valid", func(r *bgp.RPKIReport, v bgp.Validity) bool { return v == bgp.Valid && r.Caches[0].State == "down" })
	say(64666, 6)
	running = startCache()
	await("back with other data", is(bgp.Invalid))
}

func ip(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("/usr/sbin/ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// dialIn dials in a network namespace, on a thread that is used for nothing else.
func dialIn(ns string) func(context.Context, string) (net.Conn, error) {
	return func(_ context.Context, address string) (conn net.Conn, err error) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
			conn, err = connectIn(ns, address)
		}()
		<-done
		return conn, err
	}
}

func connectIn(ns, address string) (net.Conn, error) {
	f, err := os.Open("/run/netns/" + ns)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, err
	}
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(s), "rtr")
	defer file.Close()
	if err := unix.Connect(s, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}); err != nil {
		return nil, err
	}
	return net.FileConn(file)
}
