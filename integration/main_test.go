package integration

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"failoverd/failover"
	"failoverd/integration/lab"
)

// binary is the program under test, built once for all labs as it is shipped: static.
var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if spec := os.Getenv(serviceEnv); spec != "" {
		return serveHTTP(spec)
	}
	if os.Getenv(hogEnv) != "" {
		return hog()
	}
	if group := os.Getenv(machineEnv); group != "" {
		return becomeSystemd(group)
	}
	dir, err := os.MkdirTemp("", "fo-bin-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "failoverd")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-tags", "grpcnotrace,nethttpomithttp2", "-ldflags", "-s -w", "-o", binary, "../cmd/failoverd")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build failoverd: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// slack is what a noisy two-core machine may add to anything that is timed here.
const slack = 300 * time.Millisecond

// agent is a running failoverd.
type agent struct {
	t    *testing.T
	node *lab.Node
	proc *lab.Process
	conf string
	api  *lab.StatusClient
	dir  string
}

// startAgent writes a configuration and runs failoverd with it, and with further arguments, on a node.
func startAgent(t *testing.T, l *lab.Lab, node *lab.Node, conf string, args ...string) *agent {
	t.Helper()
	path, err := l.WriteFile(node.Name()+".conf", conf)
	must(t, err)
	dir := filepath.Join(l.Dir(), node.Name()+".state")
	must(t, os.MkdirAll(dir, 0o755))
	p, err := node.Start(lab.Command{
		Name: "failoverd-" + node.Name(), Argv: append([]string{binary, "run", "-f", path}, args...), Env: []string{"FAILOVERD_STATE_DIR=" + dir},
	})
	must(t, err)
	return &agent{t: t, node: node, proc: p, conf: path, dir: dir, api: lab.Status(filepath.Join(dir, "status.sock"))}
}

// status returns the agent's snapshot, or nil while there is none.
func (a *agent) status() *failover.Snapshot {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	s, err := a.api.Get(ctx)
	if err != nil {
		return nil
	}
	return s
}

// router returns the state of the agent's only, or first, virtual router.
func (a *agent) router() *failover.RouterStatus {
	if s := a.status(); s != nil && len(s.Routers) > 0 {
		return &s.Routers[0]
	}
	return nil
}

// waitState waits until the first router is in a state.
func (a *agent) waitState(state string, d time.Duration) {
	a.t.Helper()
	waitFor(a.t, d, a.node.Name()+" to be "+state, func() bool {
		r := a.router()
		return r != nil && r.State == state
	})
}

// cli runs a subcommand of the program on the agent's node and returns its output and exit code.
func (a *agent) cli(args ...string) (string, int) {
	a.t.Helper()
	return command(a.t, a.node, append([]string{binary}, args...), "FAILOVERD_STATE_DIR="+a.dir)
}

// command runs a program on a node to its end.
func command(t *testing.T, node *lab.Node, argv []string, env ...string) (string, int) {
	t.Helper()
	p, err := node.Start(lab.Command{Name: "cmd", Argv: argv, Env: env})
	must(t, err)
	st, err := p.Wait(30 * time.Second)
	must(t, err)
	return string(p.Log()), st.ExitCode()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func waitFor(t *testing.T, d time.Duration, what string, cond func() bool) {
	t.Helper()
	must(t, lab.WaitFor(t.Context(), d, what, cond))
}

// holds reports whether a node has an address.
func holds(t *testing.T, n *lab.Node, a netip.Addr) bool {
	t.Helper()
	ok, err := n.HasAddress(a)
	must(t, err)
	return ok
}

// need skips a lab loudly when a program it is about is missing.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil && !exists(p) {
			if os.Getenv("FAILOVERD_LABS") == "required" {
				t.Fatalf("%s is not installed, and this run is to skip nothing", p)
			}
			t.Skipf("SKIPPED, NOT PASSED: %s is not installed", p)
		}
	}
}

// notShort skips labs where only quick tests are wanted.
func notShort(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("SKIPPED, NOT PASSED: labs take their time; run without -short")
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// lines puts statements into one text, a line each.
func lines(s ...string) string { return strings.Join(s, "\n") + "\n" }

// lan is the standard topology: routers a and b and a client on one switch, the service running on both routers.
type lan struct {
	t       *testing.T
	lab     *lab.Lab
	sw      *lab.Switch
	a, b, c *lab.Node
	pa, pb  *lab.Port
	capture *lab.Capture // at the client: what the LAN sees
	v6      bool
	vip     netip.Addr
}

// Addresses of the standard topology.
const (
	addrA, addrB, addrC = "192.0.2.1/24", "192.0.2.2/24", "192.0.2.3/24"
	addr6A, addr6B      = "2001:db8:2::1/64", "2001:db8:2::2/64"
)

func newLAN(t *testing.T, v6 bool) *lan {
	t.Helper()
	notShort(t)
	l := lab.ForTest(t)
	n := &lan{t: t, lab: l, v6: v6, vip: netip.MustParseAddr("192.0.2.10")}
	if v6 {
		n.vip = netip.MustParseAddr("2001:db8:2::10")
	}
	var err error
	n.sw, err = l.Switch("lan")
	must(t, err)
	n.a, n.pa = n.host("a", addrA, addr6A, "fe80::a/64")
	n.b, n.pb = n.host("b", addrB, addr6B, "fe80::b/64")
	n.c, _ = n.host("c", addrC, "2001:db8:2::3/64", "fe80::c/64")
	n.capture, err = n.c.Capture("eth0")
	must(t, err)
	for _, h := range []*lab.Node{n.a, n.b} {
		_, err := h.Respond()
		must(t, err)
	}
	return n
}

// host plugs a node into the LAN.
func (n *lan) host(name string, addrs ...string) (*lab.Node, *lab.Port) {
	n.t.Helper()
	h, err := n.lab.Node(name)
	must(n.t, err)
	p, err := n.sw.Plug(h, "eth0")
	must(n.t, err)
	for _, a := range addrs {
		must(n.t, h.AddAddress("eth0", a))
	}
	return h, p
}

// adverts returns the advertisements that the LAN saw from an address since a time.
func (n *lan) adverts(src string, since time.Time) []lab.Packet {
	var out []lab.Packet
	for _, p := range n.capture.Packets() {
		if p.VRRP != nil && p.Src == netip.MustParseAddr(src) && !p.At.Before(since) {
			out = append(out, p)
		}
	}
	return out
}

// firstAdvert waits for an advertisement from an address since a time, of which others have told already, and returns when it
// was sent.
func (n *lan) firstAdvert(src string, since time.Time) time.Time {
	n.t.Helper()
	var list []lab.Packet
	waitFor(n.t, sightPatience, "an advertisement from "+src+" to be read", func() bool {
		list = n.adverts(src, since)
		return len(list) > 0
	})
	return list[0].At
}

// source returns the address that a host of this LAN sends multicast advertisements from.
func (n *lan) source(host string) string {
	if n.v6 {
		return "fe80::" + host
	}
	return map[string]string{"a": "192.0.2.1", "b": "192.0.2.2"}[host]
}

// instance is the vrrp_instance of a host, in words that keepalived knows too.
func (n *lan) instance(priority int, version int, interval string, extra ...string) string {
	vips := []string{"        192.0.2.10/32"}
	if n.v6 {
		vips = []string{"        fe80::10/64", "        2001:db8:2::10/64"}
	}
	s := []string{
		"vrrp_instance V {", "    state BACKUP", "    interface eth0", "    virtual_router_id 51",
		fmt.Sprintf("    version %d", version), fmt.Sprintf("    priority %d", priority), "    advert_int " + interval,
	}
	for _, x := range extra {
		s = append(s, "    "+x)
	}
	s = append(s, "    virtual_ipaddress {")
	s = append(append(s, vips...), "    }", "}")
	return lines(s...)
}
