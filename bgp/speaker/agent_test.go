package speaker

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	packet "github.com/osrg/gobgp/v3/pkg/packet/bgp"

	"failoverd/bgp"
)

// The agent's loop stops: everything is withdrawn within the lease and a second, the session stays; when the loop is
// back, so is the route.
func TestSilentAgentLosesItsRoutes(t *testing.T) {
	t.Parallel()
	const lease = time.Second
	p := newRawPeer(t, "127.0.0.2", nil)
	a := startAgent(t, speakerOf(rawNeighbor(p)), func(c *Config) { c.Lease = lease })
	a.set(route4())
	a.until(sessionUp, "a session", established)
	_, n := p.wait(0, prompt, "announcement", is("+198.51.100.0/24"))
	a.freeze(true)
	start := time.Now()
	m, n := p.wait(n, lease+time.Second+slack, "withdrawal", is("-198.51.100.0/24"))
	if took := m.at.Sub(start); took < lease-100*time.Millisecond {
		t.Errorf("withdrawn after %v, before the lease ended", took)
	}
	r := a.until(prompt, "the reason", func(r bgp.Report) bool { return strings.Contains(r.Err, "silent") })
	if len(r.Announced) != 0 || !r.Established() {
		t.Errorf("report %+v", r)
	}
	// New wishes of a loop that does not run are not granted: they may be old.
	a.set(route4(func(r *bgp.Route) { r.MED = ptr(1) }))
	time.Sleep(300 * time.Millisecond) // the assertion is that nothing comes
	if c := len(p.all()) - n; c > 0 && strings.Contains(describeFrom(p, n+1), "UPDATE") {
		t.Errorf("after the withdrawal: %s", describeFrom(p, n+1))
	}
	a.freeze(false)
	p.wait(n+1, prompt, "announcement again", is("+198.51.100.0/24"))
	r = a.until(prompt, "no complaint", func(r bgp.Report) bool { return r.Err == "" })
	if len(r.Announced) != 1 || r.Restarts != 0 || r.Neighbors[0].Flaps != 0 {
		t.Errorf("report %+v", r)
	}
}

func describeFrom(p *rawPeer, n int) string {
	q := &rawPeer{messages: p.all()[n:]}
	return q.describe()
}

// Nothing is announced before the loop was alive for the first time.
func TestNothingBeforeTheFirstTouch(t *testing.T) {
	t.Parallel()
	p := newRawPeer(t, "127.0.0.2", nil)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{
		Speaker: speakerOf(rawNeighbor(p)), Command: []string{exe, "speaker"}, RunDir: shortDir(t),
		Lease: time.Second, Log: testLog(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	a := &agent{t: t, s: s, stop: stop, done: make(chan error, 1), changed: make(chan struct{}, 1)}
	a.set(route4())
	go func() { a.done <- s.Run(ctx, a.report) }()
	defer a.end()
	a.until(sessionUp, "a session", established)
	if c := count(p, "UPDATE"); c != 0 {
		t.Errorf("announced: %s", p.describe())
	}
	s.Touch()
	p.wait(0, prompt, "announcement", is("+198.51.100.0/24"))
}

// While the process hangs, neither Touch nor Set waits for it.
func TestTouchAndSetNeverBlock(t *testing.T) {
	t.Parallel()
	_, a := connect(t, nil, nil)
	if err := syscall.Kill(a.s.PID(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	// Fill the pipe as far as it goes: every write is one stamp of eight octets.
	start := time.Now()
	for i := range 20_000 {
		a.s.pipe.write(time.Duration(i))
	}
	for range 1000 {
		a.s.Touch()
		a.set(route4())
	}
	if took := time.Since(start); took > slack {
		t.Errorf("22000 calls took %v", took)
	}
	if err := syscall.Kill(a.s.PID(), syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
}

// The end of the lease pipe alone, as when the agent is gone in a way that no signal tells, ends the sessions in order.
func TestEndOfLeasePipeIsCease(t *testing.T) {
	t.Parallel()
	p, a := connect(t, nil, nil, route4())
	_, n := p.wait(0, prompt, "announcement", is("+198.51.100.0/24"))
	start := time.Now()
	a.s.pipe.close()
	m, _ := p.wait(n, prompt, "CEASE", kind(packet.BGP_MSG_NOTIFICATION))
	if m.body[0] != 6 {
		t.Errorf("NOTIFICATION %d/%d, want CEASE", m.body[0], m.body[1])
	}
	if took := m.at.Sub(start); took > 500*time.Millisecond+slack {
		t.Errorf("CEASE after %v", took)
	}
	a.until(prompt, "the process gone", func(r bgp.Report) bool { return r.Restarts == 1 })
}

// The agent is killed: its process dies with it, and leaves only a directory, which the next agent removes.
func TestKilledAgentTakesItsProcessAlong(t *testing.T) {
	t.Parallel()
	p := newRawPeer(t, "127.0.0.2", nil)
	dir := shortDir(t)
	cmd, pid := startAgentProcess(t, p, dir)
	_, n := p.wait(0, sessionUp, "announcement", is("+198.51.100.0/24"))
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	p.wait(n, prompt, "end of the connection", func(m rawMessage) bool { return m.eof })
	for start := time.Now(); running(pid); time.Sleep(5 * time.Millisecond) {
		if time.Since(start) > prompt {
			t.Fatalf("process %d survived its agent", pid)
		}
	}
	left, _ := filepath.Glob(filepath.Join(dir, dirPrefix+"*"))
	if len(left) != 1 {
		t.Fatalf("expected the directory of the dead agent, got %v", left)
	}
	// The first thread of a process may be gone before the last one, which holds the socket.
	for start := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		conn, err := net.Dial("unix", filepath.Join(left[0], "gobgp.sock"))
		if err != nil {
			break
		}
		_ = conn.Close()
		if time.Since(start) > prompt {
			t.Fatal("the socket of a dead process answers")
		}
	}
	past := time.Now().Add(-time.Minute)
	if err := os.Chtimes(left[0], past, past); err != nil {
		t.Fatal(err)
	}
	a := startAgent(t, speakerOf(rawNeighbor(p)), func(c *Config) { c.RunDir = dir })
	a.until(sessionUp, "the next agent's process", func(r bgp.Report) bool { return r.Connected })
	if _, err := os.Stat(left[0]); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", left[0], err)
	}
}

// running reports whether a process does anything; a zombie that nobody reaps does not.
func running(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(b), ") ")
	return !strings.HasPrefix(after, "Z")
}

// The whole agent process is frozen, with its end of every pipe: the speaker process withdraws by itself. When the
// agent goes on, the route comes back.
func TestFrozenAgentProcess(t *testing.T) {
	t.Parallel()
	p := newRawPeer(t, "127.0.0.2", nil)
	cmd, _ := startAgentProcess(t, p, shortDir(t))
	_, n := p.wait(0, sessionUp, "announcement", is("+198.51.100.0/24"))
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	m, n := p.wait(n, agentLease+time.Second+slack, "withdrawal", is("-198.51.100.0/24"))
	t.Logf("withdrawn %v after the agent froze, the lease is %v", m.at.Sub(start), agentLease)
	time.Sleep(time.Until(start.Add(hangs + 2*time.Second))) // time in which nobody asked the speaker anything
	if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	p.wait(n, prompt, "announcement again", is("+198.51.100.0/24"))
	time.Sleep(4 * checkEvery) // in which a wrong check would kill the speaker
	n = len(p.all())
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	for _, m := range p.all()[:n] {
		if m.eof {
			t.Errorf("the session was lost: %s", p.describe())
		}
	}
}

// startAgentProcess starts agentProcess and returns the process id of its speaker, too.
func startAgentProcess(t *testing.T, p *rawPeer, dir string) (cmd *exec.Cmd, speaker int) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd = exec.Command(exe, "agent", dir, p.addr.Addr().String(), strconv.Itoa(int(p.addr.Port())))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if _, err := fmt.Fscanln(out, &speaker); err != nil || speaker == 0 {
		t.Fatalf("no process: %v", err)
	}
	return cmd, speaker
}

const agentLease = time.Second

// agentProcess is an agent in a process of its own, for the tests that kill or freeze one.
func agentProcess() int {
	port, _ := strconv.Atoi(os.Args[4])
	n := neighborOf(netip.MustParseAddr(os.Args[3]), 64500)
	n.LocalAddress, n.Port = netip.MustParseAddr("127.0.0.1"), uint16(port)
	exe, _ := os.Executable()
	s, err := New(Config{
		Speaker: speakerOf(n), Command: []string{exe, "speaker"}, RunDir: os.Args[2], Lease: agentLease,
		Log: discard(),
	})
	if err != nil {
		return 1
	}
	s.Set(bgp.Desired{Generation: 1, Routes: []bgp.Route{route4()}})
	go func() {
		for range time.Tick(agentLease / 20) {
			s.Touch()
		}
	}()
	told := false
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	err = s.Run(ctx, func(bgp.Report) {
		if pid := s.PID(); pid != 0 && !told {
			told = true
			fmt.Println(pid)
		}
	})
	if err != nil {
		return 1
	}
	return 0
}
