package witness

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"failoverd/failover/heartbeat"
)

// namespace is a network namespace that ends with the test.
type namespace struct {
	t    testing.TB
	file *os.File
}

func newNamespace(t testing.TB) *namespace {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED, PROVES NOTHING: network namespaces need root")
	}
	n := &namespace{t: t}
	n.onThread(func() (err error) {
		if err = unix.Unshare(unix.CLONE_NEWNET); err == nil {
			n.file, err = os.Open("/proc/thread-self/ns/net")
		}
		return err
	})
	t.Cleanup(func() { n.file.Close() })
	return n
}

// onThread runs f on a thread that nothing else will ever run on.
func (n *namespace) onThread(f func() error) {
	n.t.Helper()
	done := make(chan error, 1)
	go func() {
		err := errors.New("the function did not return")
		defer func() { done <- err }()
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		err = f()
	}()
	if err := <-done; err != nil {
		n.t.Fatal(err)
	}
}

// do runs f on a thread inside the namespace.
func (n *namespace) do(f func() error) {
	n.t.Helper()
	n.onThread(func() error {
		if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
			return err
		}
		return f()
	})
}

// ip runs ip(8) with the arguments in each line.
func (n *namespace) ip(lines ...string) {
	n.t.Helper()
	n.do(func() error {
		for _, line := range lines {
			if out, err := exec.Command("/usr/sbin/ip", strings.Fields(line)...).CombinedOutput(); err != nil {
				return errors.New(line + ": " + string(out))
			}
		}
		return nil
	})
}

// dress makes fo-a, one end of a veth pair, and gives it addresses. The kernel installs their local routes a moment later.
func (n *namespace) dress(prefixes ...string) {
	n.t.Helper()
	n.ip("link set lo up", "link add fo-a type veth peer name fo-b", "link set fo-a up", "link set fo-b up")
	for _, p := range prefixes {
		line := "addr add " + p + " dev fo-a"
		if strings.Contains(p, ":") {
			line += " nodad"
		}
		n.ip(line)
	}
	eventually(n.t, "local routes", func() (there bool) {
		n.do(func() error {
			out, err := exec.Command("/bin/sh", "-c", "/usr/sbin/ip -4 route show table local && /usr/sbin/ip -6 route show table local").Output()
			there = !slices.ContainsFunc(prefixes, func(p string) bool {
				addr, _, _ := strings.Cut(p, "/")
				return !strings.Contains(string(out), "local "+addr+" dev fo-a")
			})
			return err
		})
		return there
	})
}

// A host with several addresses answers from the one that was asked, in network control's traffic class; the sockets are
// in the namespace where they were asked for, and in no other one.
func TestAnswersFromWhereAsked(t *testing.T) {
	n := newNamespace(t)
	n.dress("192.0.2.1/24", "192.0.2.2/24", "2001:db8::1/64", "2001:db8::2/64", "fe80::a/64")
	for _, row := range []struct{ listen, ask string }{
		{"0.0.0.0:7112", "192.0.2.1:7112"},
		{"0.0.0.0:7112", "192.0.2.2:7112"},
		{"192.0.2.2:7112", "192.0.2.2:7112"},
		{"[::]:7112", "[2001:db8::1]:7112"},
		{"[::]:7112", "[2001:db8::2]:7112"},
		{"[::]:7112", "[fe80::a%fo-a]:7112"},
	} {
		ask := netip.MustParseAddrPort(row.ask)
		var w *node
		var c *net.UDPConn
		n.do(func() (err error) {
			w = start(t, server(netip.MustParseAddrPort(row.listen), keyA))
			c, err = net.ListenUDP("udp", nil)
			if err != nil {
				return err
			}
			_, err = c.WriteToUDPAddrPort(request(t), ask)
			return err
		})
		defer c.Close()
		raw, _ := c.SyscallConn()
		_ = raw.Control(func(fd uintptr) {
			err := errors.Join(unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_RECVTOS, 1),
				unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_RECVTCLASS, 1))
			if err != nil {
				t.Error(err)
			}
		})
		w.answerOne(false)
		b, oob := make([]byte, 2048), make([]byte, 128)
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		_, oobn, _, from, err := c.ReadMsgUDPAddrPort(b, oob)
		if err != nil {
			t.Fatalf("%s: %v", row.ask, err)
		}
		if from.Addr().Unmap().WithZone("") != ask.Addr().WithZone("") || from.Port() != ask.Port() {
			t.Errorf("asked %v, answered by %v", ask, from)
		}
		if !bytes.Contains(oob[:oobn], []byte{dscpCS6}) {
			t.Errorf("%s: traffic class not in %x", row.ask, oob[:oobn])
		}
		w.stop()
	}
}

// request returns the datagram of a first request.
func request(t testing.TB) []byte {
	t.Helper()
	b, err := heartbeat.NewClient(1, [][]byte{keyA}).Seal(&heartbeat.Request{Site: "mainland", Node: "m1", About: "mainland", ID: 1})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A partner may be a link-local address.
func TestLinkLocalPartner(t *testing.T) {
	n := newNamespace(t)
	n.dress("fe80::a/64")
	var a, w *node
	at := netip.MustParseAddrPort("[fe80::a%fo-a]:7112")
	n.do(func() error {
		w, a = start(t, server(at, keyA)), start(t, site(at, keyA))
		return nil
	})
	exchange(t, a, w, witnessID, false)
	exchange(t, a, w, witnessID, true)
}
