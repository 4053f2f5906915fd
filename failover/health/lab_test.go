package health

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"failoverd/failover"
)

// insideLab tells the test binary that it has a network namespace of its own.
const insideLab = "FAILOVERD_HEALTH_LAB"

// enterLab runs the test that calls it in a network namespace of its own, and returns false in the process that has done so.
func enterLab(t *testing.T) (inside bool) {
	if os.Getenv(insideLab) != "" {
		return true
	}
	if os.Geteuid() != 0 {
		if os.Getenv("FAILOVERD_LABS") == "required" {
			t.Fatal("network namespaces need root")
		}
		t.Skip("network namespaces need root")
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), insideLab+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("in a namespace: %v\n%s", err, out)
	}
	return false
}

func ip(t *testing.T, lines string) {
	t.Helper()
	for line := range strings.Lines(lines) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", line, err, out)
		}
	}
}

func sysctl(t *testing.T, name, value string) {
	t.Helper()
	if err := os.WriteFile("/proc/sys/"+name, []byte(value), 0o644); err != nil {
		t.Fatal(err)
	}
}

// sent returns how many packets have left by an interface.
func sent(t *testing.T, device string) (n int) {
	t.Helper()
	b, err := os.ReadFile("/proc/thread-self/net/dev")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), device+":")
	f := strings.Fields(rest)
	if _, err := fmt.Sscan(f[9-1], &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// This node has two links to a router, which knows no more than the two.
func TestWayLab(t *testing.T) {
	if !enterLab(t) {
		return
	}
	router := fmt.Sprintf("fo-health-%d", os.Getpid())
	ip(t, "netns add "+router)
	t.Cleanup(func() { ip(t, "netns del "+router) })
	ip(t, `link set lo up
		link add one type veth peer name one netns `+router+`
		link add two type veth peer name two netns `+router+`
		addr add 192.0.2.1/24 dev one
		addr add 198.51.100.1/24 dev two
		addr add 2001:db8::1/64 dev one nodad
		link set one up
		link set two up
		-n `+router+` link set lo up
		-n `+router+` addr add 192.0.2.2/24 dev one
		-n `+router+` addr add 198.51.100.2/24 dev two
		-n `+router+` addr add 2001:db8::2/64 dev one nodad
		-n `+router+` link set one up
		-n `+router+` link set two up
		route add 10.9.0.0/16 via 192.0.2.2
		route add prohibit 10.8.0.1
		route add unreachable 10.8.0.2
		route add blackhole 10.8.0.3`)
	if out, err := exec.Command("ip", "netns", "exec", router, "sysctl", "-w", "net.ipv4.ip_forward=1", "net.ipv4.icmp_ratelimit=0").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	// The kernel takes its time over a new link before it sends anything over IPv6.
	six := &pinger{host: "2001:db8::2"}
	for range 50 {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		o := six.probe(ctx)
		cancel()
		if o.ok {
			break
		}
	}
	// What the unprivileged way needs is off unless somebody has allowed it.
	sysctl(t, "net/ipv4/ping_group_range", "1 0")

	for _, tt := range []struct{ name, target, source, device, icmp, tcp string }{
		{"a neighbor", "192.0.2.2", "", "", "ok: replies", "failed: connection refused"},
		{"over IPv6", "2001:db8::2", "", "", "ok: replies", "failed: connection refused"},
		{"from the address of another link", "192.0.2.2", "198.51.100.1", "", "ok: replies", "failed: connection refused"},
		{"by its interface", "198.51.100.2", "", "two", "ok: replies", "failed: connection refused"},
		{"nobody there", "192.0.2.9", "", "", "failed: timed out after 300ms", "failed: timed out after 300ms"},
		{"the router has no route", "10.9.0.1", "", "", "failed: timed out after 300ms", "failed: network is unreachable"},
		{"no route", "203.0.113.1", "", "", "unknown: network is unreachable", "unknown: network is unreachable"},
		{"no route over IPv6", "2001:db8:1::1", "", "", "unknown: network is unreachable", "unknown: network is unreachable"},
		{"prohibited", "10.8.0.1", "", "", "unknown: permission denied", "unknown: permission denied"},
		{"unreachable", "10.8.0.2", "", "", "unknown: no route to host", "unknown: no route to host"},
		{"a black hole", "10.8.0.3", "", "", "unknown: invalid argument", "unknown: invalid argument"},
		{"a broadcast address", "192.0.2.255", "", "", "failed: timed out after 300ms", "failed: network is unreachable"},
		{"from an address of nobody", "192.0.2.2", "192.0.2.77", "", "unknown: source 192.0.2.77 is not an address of this node", "unknown: source 192.0.2.77 is not an address of this node"},
		{"from no interface", "192.0.2.2", "", "three", "unknown: interface three does not exist", "unknown: interface three does not exist"},
	} {
		c := failover.CheckConfig{Interface: tt.device}
		if tt.source != "" {
			c.Source = netip.MustParseAddr(tt.source)
		}
		c.Probe = failover.Probe{Kind: failover.ProbeICMP, Target: tt.target}
		if got := probeOnce(t, c); got != tt.icmp {
			t.Errorf("%s: icmp: %s, want %s", tt.name, got, tt.icmp)
		}
		if tt.tcp == "failed: network is unreachable" {
			// What the router says is lost when it comes while connect still holds the socket; it says so again to the next SYN,
			// a second later.
			c.Timeout = 1500 * time.Millisecond
		}
		c.Probe = failover.Probe{Kind: failover.ProbeTCP, Target: netip.AddrPortFrom(netip.MustParseAddr(tt.target), 4).String()}
		if got := probeOnce(t, c); got != tt.tcp {
			t.Errorf("%s: tcp: %s, want %s", tt.name, got, tt.tcp)
		}
	}

	// The interface decides, not the route.
	one, two := sent(t, "one"), sent(t, "two")
	probeOnce(t, failover.CheckConfig{Interface: "two", Probe: failover.Probe{Kind: failover.ProbeICMP, Target: "192.0.2.2"}})
	probeOnce(t, failover.CheckConfig{Interface: "two", Probe: failover.Probe{Kind: failover.ProbeTCP, Target: "192.0.2.2:4"}})
	if sent(t, "two") < two+2 || sent(t, "one") != one {
		t.Errorf("%d packets by the interface that was named, %d by the other one", sent(t, "two")-two, sent(t, "one")-one)
	}

	p := &pinger{host: "192.0.2.2", humble: true}
	if o := p.probe(t.Context()); !o.blind || !strings.Contains(o.cause, "ping_group_range") {
		t.Errorf("without a permission: %+v", o)
	}
	sysctl(t, "net/ipv4/ping_group_range", "0 2147483647")
	if o := p.probe(t.Context()); !o.ok || o.rtt <= 0 {
		t.Errorf("without a raw socket: %+v", o)
	}
	ip(t, "link set one down")
	if got := probeOnce(t, tcp("192.0.2.2:4")); got != "unknown: network is unreachable" {
		t.Errorf("a link that is down: %s", got)
	}
	if got := probeOnce(t, tcp("www.nobody.example:4")); !strings.HasPrefix(got, "unknown: the resolver ") {
		t.Errorf("no resolver: %s", got)
	}
}
