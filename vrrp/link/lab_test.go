package link

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The lab is two network namespaces, A and B, joined by a veth pair. A is where the code under test runs; B watches
// what comes out of the wire and puts frames on it.
const (
	ifA = "fo-va"
	ifB = "fo-vb"
)

var (
	macA = mac{2, 0, 0, 0, 0, 0x0a}
	macB = mac{2, 0, 0, 0, 0, 0x0b}

	addrA   = netip.MustParseAddr("192.0.2.1")
	addrB   = netip.MustParseAddr("192.0.2.2")
	addrB2  = netip.MustParseAddr("192.0.2.3")
	localA  = netip.MustParseAddr("fe80::a")
	localB  = netip.MustParseAddr("fe80::b")
	globalA = netip.MustParseAddr("2001:db8::a")
	globalB = netip.MustParseAddr("2001:db8::b")
	globB2  = netip.MustParseAddr("2001:db8::c")
)

// namespace is a network namespace known to ip(8) by its name.
type namespace string

type lab struct{ a, b namespace }

var labs atomic.Int64

// newLab builds a lab and removes it when the test ends. It skips the test without root.
func newLab(t testing.TB) *lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED, PROVES NOTHING: network namespaces and raw sockets need root")
	}
	name := fmt.Sprintf("fo-link-%d-%d", os.Getpid(), labs.Add(1))
	l := &lab{namespace(name + "-a"), namespace(name + "-b")}
	for _, n := range []namespace{l.a, l.b} {
		ip(t, "netns add "+string(n))
		t.Cleanup(func() { _ = exec.Command("/usr/sbin/ip", "netns", "del", string(n)).Run() })
	}
	l.plug(t)
	return l
}

// plug creates the veth pair, with addresses that are usable at once.
func (l *lab) plug(t testing.TB) {
	t.Helper()
	ip(t, fmt.Sprintf("link add %s netns %s type veth peer name %s netns %s", ifA, l.a, ifB, l.b))
	l.a.dress(t, ifA, macA, "192.0.2.1/24", "fe80::a/64", "2001:db8::a/64")
	l.b.dress(t, ifB, macB, "192.0.2.2/24", "192.0.2.3/24", "fe80::b/64", "2001:db8::b/64", "2001:db8::c/64")
	l.a.ready(t, ifA)
	l.b.ready(t, ifB)
}

func (n namespace) dress(t testing.TB, iface string, m mac, prefixes ...string) {
	t.Helper()
	n.ip(t, "link set lo up")
	n.ip(t, fmt.Sprintf("link set %s address %v addrgenmode none", iface, m))
	n.ip(t, "link set "+iface+" up")
	for _, p := range prefixes {
		if strings.Contains(p, ":") {
			p += " nodad"
		}
		n.ip(t, "addr add "+p+" dev "+iface)
	}
}

// ready waits until the interface carries packets: the kernel attaches its queue a moment after both ends are up.
func (n namespace) ready(t testing.TB, iface string) {
	t.Helper()
	running := func() (up bool) {
		n.do(t, func() error {
			s, err := newSocket("probe", unix.AF_UNIX, unix.SOCK_DGRAM, 0)
			if err != nil {
				return err
			}
			defer s.close()
			flags, err := s.flagsOf(iface)
			up = flags&unix.IFF_RUNNING != 0
			return err
		})
		return up
	}
	for end := time.Now().Add(10 * time.Second); !running(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s in %s does not come up", iface, n)
		}
	}
	n.ip(t, "link set "+iface+" alias ready") // takes the lock that the kernel holds while it attaches the queue
}

// ip runs ip(8) with the arguments in line.
func ip(t testing.TB, line string) string {
	t.Helper()
	out, err := exec.Command("/usr/sbin/ip", strings.Fields(line)...).CombinedOutput()
	if err != nil {
		t.Fatalf("ip %s: %v: %s", line, err, out)
	}
	return string(out)
}

func (n namespace) ip(t testing.TB, line string) string {
	t.Helper()
	return ip(t, "-n "+string(n)+" "+line)
}

// sysctl sets /proc/sys/net/KEY inside the namespace.
func (n namespace) sysctl(t testing.TB, key, value string) {
	t.Helper()
	n.do(t, func() error { return os.WriteFile("/proc/sys/net/"+key, []byte(value), 0) })
}

// do runs f on a thread inside the namespace. Sockets opened there stay there, whoever uses them later.
func (n namespace) do(t testing.TB, f func() error) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		err := errors.New("the function did not return")
		defer func() { done <- err }()
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		var file *os.File
		if file, err = os.Open("/run/netns/" + string(n)); err != nil {
			return
		}
		defer file.Close()
		if err = unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err == nil {
			err = f()
		}
	}()
	if err := <-done; err != nil {
		t.Fatalf("in %s: %v", n, err)
	}
}
