package health

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"failoverd/failover"
)

// A check looks in the namespace that it is told, leaves nothing behind there, and follows its name.
func TestNamespaceLab(t *testing.T) {
	if !enterLab(t) {
		return
	}
	inside := fmt.Sprintf("fo-health-in-%d", os.Getpid())
	gone := false
	ip(t, "netns add "+inside)
	t.Cleanup(func() {
		if !gone {
			ip(t, "netns del "+inside)
		}
	})
	ip(t, `link set lo up
		link add one type veth peer name two
		link set one up
		link set two up
		-n `+inside+` link add v7 type veth peer name v8`)
	check := func(kind failover.ProbeKind, target string) string {
		t.Helper()
		return probeOnce(t, failover.CheckConfig{NetNamespace: inside, Probe: failover.Probe{Kind: kind, Target: target}})
	}
	expect := func(name, got, want string) {
		t.Helper()
		if !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	expect("the loopback is down there", check(failover.ProbeLink, "lo"), "failed: it is down")
	expect("nothing can be sent there", check(failover.ProbeICMP, "127.0.0.1"), "unknown: network is unreachable")
	here := failover.CheckConfig{Probe: failover.Probe{Kind: failover.ProbeLink, Target: "one"}}
	expect("an interface of here, seen from here", probeOnce(t, here), "ok: it is up")
	expect("an interface that is only here", check(failover.ProbeLink, "one"), "failed: it does not exist")
	ip(t, `-n `+inside+` link set lo up
		-n `+inside+` link set v7 up`)
	expect("an interface whose other end is down", check(failover.ProbeLink, "v7"), "failed: it has no carrier")
	ip(t, "-n "+inside+" link set v8 up")
	up := check(failover.ProbeLink, "v7")
	for end := time.Now().Add(3 * time.Second); strings.HasSuffix(up, "it has no carrier") && time.Now().Before(end); up = check(failover.ProbeLink, "v7") {
		time.Sleep(20 * time.Millisecond) // the kernel tells of a carrier a moment later
	}
	expect("an interface that is only there", up, "ok: it is up")
	expect("the loopback there", check(failover.ProbeICMP, "127.0.0.1"), "ok: replies")

	port := listenWithin(t, inside)
	address := "127.0.0.1:" + strconv.Itoa(port)
	expect("a service there", check(failover.ProbeTCP, address), "ok: connected")
	expect("which is not here", probeOnce(t, tcp(address)), "failed: connection refused")
	expect("a name without a resolver", check(failover.ProbeTCP, "www.nobody.example:4"), "unknown: the resolver ")

	own, err := os.Readlink("/proc/self/ns/net")
	do(t, err)
	tasks, err := filepath.Glob("/proc/self/task/*/ns/net")
	do(t, err)
	for _, task := range tasks {
		if is, err := os.Readlink(task); err == nil && is != own {
			t.Errorf("%s is in %s and not in %s", task, is, own)
		}
	}
	ip(t, "netns del "+inside)
	gone = true
	expect("none any more", check(failover.ProbeTCP, address), "unknown: network namespace "+inside+" does not exist")
}

// listenWithin returns a port of 127.0.0.1 that is listened on in a namespace.
func listenWithin(t *testing.T, name string) (port int) {
	t.Helper()
	fd, err := way{namespace: name}.socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	do(t, err)
	t.Cleanup(func() { _ = unix.Close(fd) })
	to, err := socketAddress(fd, netip.MustParseAddrPort("127.0.0.1:0"))
	do(t, err)
	do(t, unix.Bind(fd, to))
	do(t, unix.Listen(fd, 8))
	at, err := unix.Getsockname(fd)
	do(t, err)
	return at.(*unix.SockaddrInet4).Port
}
