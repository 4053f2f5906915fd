package gobgp_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	api "github.com/osrg/gobgp/v3/api"

	"failoverd/bgp"
	"failoverd/bgp/gobgp"
)

// gobgpd is a real one, Debian's, that a test starts, kills and starts again.
type gobgpd struct {
	t       *testing.T
	socket  string
	argv    []string
	process *exec.Cmd
}

// skip leaves a test out that cannot run here. With FAILOVERD_LABS=required, as in CI, everything is there, and that is a failure.
func skip(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("FAILOVERD_LABS") == "required" {
		t.Fatalf("%s, and this run is to skip nothing", why)
	}
	t.Skip("SKIPPED, NOT PASSED: " + why)
}

// startGobgpd starts gobgpd; file is its configuration, empty: none. It listens on a Unix socket and on the hosts, as --api-hosts
// has them.
func startGobgpd(t *testing.T, file string, hosts ...string) *gobgpd {
	t.Helper()
	program, err := exec.LookPath("gobgpd")
	if err != nil {
		skip(t, "gobgpd is not installed")
	}
	dir := shortDir(t)
	d := &gobgpd{t: t, socket: filepath.Join(dir, "gobgp.sock")}
	d.argv = []string{program, "--api-hosts", strings.Join(append([]string{"unix://" + d.socket}, hosts...), ","), "--pprof-disable", "-l", "warn"}
	if file != "" {
		name := filepath.Join(dir, "gobgpd.toml")
		if err := os.WriteFile(name, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		d.argv = append(d.argv, "-f", name)
	}
	d.start()
	return d
}

func (d *gobgpd) start() {
	d.t.Helper()
	d.process = start(d.t, d.socket, d.argv...)
}

// kill ends it without a word, as kill -9 does. What it leaves is a socket that nobody listens on.
func (d *gobgpd) kill() {
	d.t.Helper()
	_ = d.process.Process.Kill()
	_ = d.process.Wait()
}

// again starts it once more. A socket left behind would keep it from that.
func (d *gobgpd) again() {
	d.t.Helper()
	if err := os.Remove(d.socket); err != nil {
		d.t.Fatal(err)
	}
	d.start()
}

// operators is the configuration of a gobgpd with a session from 127.0.0.x to the upstream.
func operators(u *upstream, from netip.Addr) string {
	return fmt.Sprintf(`
[global.config]
as = 64501
router-id = "192.0.2.1"
port = -1
[[neighbors]]
[neighbors.config]
neighbor-address = "127.0.0.1"
peer-as = 64500
[neighbors.timers.config]
connect-retry = 1
[neighbors.transport.config]
local-address = %q
remote-port = %d
`, from, u.port)
}

// externalAt is AS 64501 on a gobgpd, which is its operator's.
func externalAt(d *gobgpd, from netip.Addr) bgp.SpeakerConfig {
	return bgp.SpeakerConfig{
		Name: "EDGE", LocalAS: 64501, Allow: bgp.AllowList{serviceOf(from)}, External: &bgp.External{Target: "unix:" + d.socket},
	}
}

// A gobgpd that its operator configured: we add and remove our prefixes, sweep what a dead predecessor left, show the
// sessions, and touch nothing else. Killed and started again, it has everything within two seconds.
func TestExternalGobgpdOfItsOperator(t *testing.T) {
	t.Parallel()
	u, from := getUpstream(t), netip.MustParseAddr("127.0.0.33")
	service := serviceOf(from)
	d := startGobgpd(t, operators(u, from))
	other := connect(t, d.socket)
	waitStarted(t, other)
	add(t, other, "198.51.33.0", 24) // the predecessor's
	add(t, other, "203.0.113.0", 24) // the operator's
	u.has(t, service, from, true)
	policies := assignments(t, other)

	c := run(t, externalAt(d, from), "", gobgp.Options{})
	u.has(t, service, from, false)
	r := c.until("a session", established)
	if n := r.Neighbors; len(n) != 1 || n[0].Address.String() != "127.0.0.1" || n[0].RemoteAS != 64500 || n[0].HoldTime == 0 {
		t.Errorf("neighbors %+v", n)
	}
	c.announce(bgp.Route{Prefix: service})
	u.has(t, service, from, true)

	// It restarts without our routes: they are there again as soon as it is.
	d.kill()
	r = c.until("the loss", func(r bgp.Report) bool { return !r.Connected })
	if len(r.Announced) != 0 || !strings.Contains(r.Err, "refused") {
		t.Errorf("of a dead gobgpd it says %+v", r)
	}
	u.has(t, service, from, false)
	d.again()
	back := time.Now()
	c.until("the route", func(r bgp.Report) bool { return r.Connected && len(r.Announced) == 1 })
	if took := time.Since(back); took > 2*time.Second {
		t.Errorf("the route was in gobgpd's table %v after its return, want 2 s at most", took)
	} else {
		t.Logf("the route was in gobgpd's table %v after its return", took)
	}
	u.has(t, service, from, true)
	add(t, other, "203.0.113.0", 24)
	sessions := u.sessions(from)

	c.stop()
	u.has(t, service, from, false)
	u.has(t, netip.MustParsePrefix("203.0.113.0/24"), from, true)
	if after := u.sessions(from); after != sessions {
		t.Errorf("the operator's session came up again: %d, had %d", after, sessions)
	}
	if now := assignments(t, other); now != policies {
		t.Errorf("policies %s, were %s", now, policies)
	}
}

// assignments are the policies of a server, as text.
func assignments(t *testing.T, c api.GobgpApiClient) (all string) {
	t.Helper()
	stream, err := c.ListPolicyAssignment(context.Background(), &api.ListPolicyAssignmentRequest{})
	for err == nil {
		var m *api.ListPolicyAssignmentResponse
		if m, err = stream.Recv(); err == nil {
			all += m.String() + "\n"
		}
	}
	return all
}

// A gobgpd that nobody configured is configured by us, policies first, and left without anything; killed and started again,
// it gets everything again.
func TestExternalGobgpdOfOurs(t *testing.T) {
	t.Parallel()
	u, from := getUpstream(t), netip.MustParseAddr("127.0.0.37")
	service := serviceOf(from)
	d := startGobgpd(t, "")
	other := connect(t, d.socket)
	p := newProxy(t, d.socket)
	cfg := speakerAt(u, from)
	cfg.External = &bgp.External{Target: "unix:" + p.socket}
	dead := run(t, cfg, "", gobgp.Options{})
	dead.announce(bgp.Route{Prefix: service})
	dead.until("a session", established)
	u.has(t, service, from, true)
	add(t, other, "198.51.137.0", 24) // somebody else's: the export policy is ours
	if text := assignments(t, other); !strings.Contains(text, "failoverd-export") {
		t.Errorf("policies %s", text)
	}

	// An agent that is gone without a word leaves everything; its successor's configuration counts.
	p.cut()
	next := netip.MustParsePrefix("198.51.237.0/24")
	cfg.Allow = append(bgp.AllowList{next}, cfg.Allow...)
	cfg.External = &bgp.External{Target: "unix:" + d.socket}
	c := run(t, cfg, "", gobgp.Options{Communication: "maintenance"})
	c.announce(bgp.Route{Prefix: next})
	u.has(t, next, from, true)
	u.has(t, service, from, false)

	d.kill()
	c.until("the loss", func(r bgp.Report) bool { return !r.Connected })
	u.has(t, next, from, false)
	d.again()
	u.has(t, next, from, true)
	c.stop()
	u.has(t, next, from, false)
	u.mu.Lock()
	b, seen := u.best[netip.MustParsePrefix("198.51.137.0/24")]
	u.mu.Unlock()
	if seen {
		t.Errorf("a foreign prefix left: %+v", b)
	}
	g, err := other.GetBgp(context.Background(), &api.GetBgpRequest{})
	if err != nil || g.GetGlobal().GetAsn() != 0 {
		t.Errorf("left behind: %v, %v", g, err)
	}
}

// Whose gobgpd it is has to be clear.
func TestExternalGobgpdMistaken(t *testing.T) {
	t.Parallel()
	u, from := getUpstream(t), netip.MustParseAddr("127.0.0.38")
	theirs, empty := startGobgpd(t, operators(u, from)), startGobgpd(t, "")
	waitStarted(t, connect(t, theirs.socket))
	ours := speakerAt(u, from)
	ours.External = &bgp.External{Target: "unix:" + theirs.socket}
	identified := externalAt(theirs, from)
	identified.RouterID = netip.MustParseAddr("192.0.2.99")
	for _, row := range []struct {
		name, want string
		cfg        bgp.SpeakerConfig
	}{
		{"neighbors for a gobgpd with its own", "has a configuration of its own", ours},
		{"no neighbors for one without", "has no BGP configuration", externalAt(empty, from)},
		{"another router id", "has router id 192.0.2.1, the configuration says 192.0.2.99", identified},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := run(t, row.cfg, "", gobgp.Options{})
			c.announce(bgp.Route{Prefix: serviceOf(from)})
			c.until(row.want, func(r bgp.Report) bool { return !r.Connected && strings.Contains(r.Err, row.want) })
		})
	}
}

// A gobgpd that does not answer may go on announcing: the report says that it is there, with the route, until the route is
// known to be gone.
func TestExternalGobgpdFrozen(t *testing.T) {
	t.Parallel()
	u, from := getUpstream(t), netip.MustParseAddr("127.0.0.39")
	service := serviceOf(from)
	d := startGobgpd(t, operators(u, from))
	waitStarted(t, connect(t, d.socket))
	c := run(t, externalAt(d, from), "", gobgp.Options{Timeout: 300 * time.Millisecond, Resync: 100 * time.Millisecond})
	c.announce(bgp.Route{Prefix: service})
	u.has(t, service, from, true)
	c.until("a session", established)

	signal := func(s os.Signal) {
		if err := d.process.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	signal(syscall.SIGSTOP)
	r := c.until("the trouble", func(r bgp.Report) bool { return strings.Contains(r.Err, "DeadlineExceeded") })
	c.announce()
	time.Sleep(200 * time.Millisecond)
	if r = c.until("a report", func(bgp.Report) bool { return true }); !r.Connected || len(r.Announced) != 1 || r.Generation == c.n {
		t.Errorf("of a frozen gobgpd that is to withdraw it says %+v", r)
	}
	signal(syscall.SIGCONT)
	u.has(t, service, from, false)
	c.until("the withdrawal", func(r bgp.Report) bool { return r.Connected && len(r.Announced) == 0 && r.Generation == c.n })
}

// insideLab tells the test binary that it has a network namespace of its own.
const insideLab = "FAILOVERD_GOBGP_LAB"

// enterLab runs the test that calls it in a network namespace of its own, and returns false in the process that has done so.
func enterLab(t *testing.T) (inside bool) {
	if os.Getenv(insideLab) != "" {
		return true
	}
	if os.Geteuid() != 0 {
		skip(t, "network namespaces need root")
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

// A refused connection says that a gobgpd of this host is dead. That of another host may only be behind a packet filter: what
// it has may still be announced.
func TestExternalGobgpdRefuses(t *testing.T) {
	if _, err := exec.LookPath("gobgpd"); err != nil {
		skip(t, "gobgpd is not installed")
	}
	if !enterLab(t) {
		return
	}
	for _, argv := range [][]string{{"ip", "link", "set", "lo", "up"}, {"ip", "address", "add", "203.0.113.9/32", "dev", "lo"}} {
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", argv, err, out)
		}
	}
	prefix := netip.MustParsePrefix("198.51.100.0/24")
	for _, row := range []struct {
		address string
		dead    bool // is known by the refusal
	}{{"127.0.0.1:50051", true}, {"203.0.113.9:50051", false}} {
		t.Run(row.address, func(t *testing.T) {
			d := startGobgpd(t, "[global.config]\nas = 64501\nrouter-id = \"192.0.2.1\"\nport = -1\n", row.address)
			waitStarted(t, connect(t, d.socket))
			cfg := bgp.SpeakerConfig{Name: "EDGE", LocalAS: 64501, Allow: bgp.AllowList{prefix}, External: &bgp.External{Target: row.address}}
			c := run(t, cfg, "", gobgp.Options{})
			c.announce(bgp.Route{Prefix: prefix})
			c.until("the route", func(r bgp.Report) bool { return r.Connected && len(r.Announced) == 1 })
			d.kill()
			c.announce()
			r := c.until("the refusal", func(r bgp.Report) bool { return strings.Contains(r.Err, "refused") })
			if doubt := strings.Contains(r.Err, "may still announce"); doubt == row.dead || r.Connected == row.dead || (len(r.Announced) == 0) != row.dead || (c.Debt() == 0) != row.dead {
				t.Errorf("it says %+v, debt %d", r, c.Debt())
			}
			d.again()
			c.until("the answer", func(r bgp.Report) bool {
				return r.Connected && r.Err == "" && len(r.Announced) == 0 && r.Generation == c.n
			})
			if debt := c.Debt(); debt != 0 {
				t.Errorf("of an empty gobgpd, debt %d", debt)
			}
		})
	}
}

// A program that takes the place of another one finds a gobgpd that works: it resets no session, and takes no route away before it
// is told what is wanted.
func TestExternalGobgpdGoesOn(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		from netip.Addr
		ours bool
	}{
		{"ours", netip.MustParseAddr("127.0.0.41"), true},
		{"its operator's", netip.MustParseAddr("127.0.0.42"), false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			u, service, file := getUpstream(t), serviceOf(row.from), ""
			if !row.ours {
				file = operators(u, row.from)
			}
			d := startGobgpd(t, file)
			p := newProxy(t, d.socket)
			cfg := externalAt(d, row.from)
			if row.ours {
				cfg = speakerAt(u, row.from)
			}
			cfg.External = &bgp.External{Target: "unix:" + p.socket}
			before := run(t, cfg, "", gobgp.Options{})
			before.announce(bgp.Route{Prefix: service})
			before.until("a session", established)
			u.has(t, service, row.from, true)
			sessions, changes := u.sessions(row.from), u.changesOf(service)
			p.cut() // it says nothing any more

			cfg.External = &bgp.External{Target: "unix:" + d.socket}
			c := run(t, cfg, "", gobgp.Options{Adopted: true})
			c.until("the route", func(r bgp.Report) bool { return r.Connected && len(r.Announced) == 1 })
			time.Sleep(gobgp.AdoptedGrace / 4) // what the kernel may take to say that the addresses are in
			c.announce(bgp.Route{Prefix: service})
			c.until("the answer", func(r bgp.Report) bool { return r.Generation == 1 && len(r.Announced) == 1 })
			if now := u.changesOf(service); now != changes || u.sessions(row.from) != sessions {
				t.Errorf("the route has changed %d times, %d before; %d sessions, had %d", now, changes, u.sessions(row.from), sessions)
			}
		})
	}
}
