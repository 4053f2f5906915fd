package speaker

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"failoverd/bgp"
)

// The process dies: the neighbor sees the connection close at once, and the route comes back with the next process.
func TestBGP_GR_02_KilledProcessEndsTheSessionAtOnce(t *testing.T) {
	t.Parallel()
	p, a := connect(t, nil, nil, route4())
	_, n := p.wait(0, prompt, "announcement", is("+198.51.100.0/24"))
	pid := a.s.PID()
	start := time.Now()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	m, _ := p.wait(n, prompt, "end of the connection", func(m rawMessage) bool { return m.eof })
	if took := m.at.Sub(start); took > 200*time.Millisecond+slack { // the hold time is 9 s
		t.Errorf("connection closed after %v, want under 200 ms", took)
	}
	// The next process may be there before anybody has asked why the last one went.
	down := a.until(prompt, "the death", func(r bgp.Report) bool { return !r.Connected })
	if len(down.Announced) != 0 || down.Established() {
		t.Errorf("report after the death: %+v", down)
	}
	r := a.until(sessionUp, "another session", established)
	if r.Restarts != 1 || !r.Connected || r.Err != "" || len(r.Announced) != 1 {
		t.Errorf("report %+v", r)
	}
	if r.Neighbors[0].Flaps != 1 {
		t.Errorf("%d flaps, want 1", r.Neighbors[0].Flaps)
	}
	p.wait(n+1, prompt, "announcement again", is("+198.51.100.0/24"))
	if a.s.PID() == pid {
		t.Error("the same process")
	}
}

// A packet that crashes gobgp (an unknown message type, before OPEN) costs the process, never the agent: Run goes on,
// with back-off, and is back as soon as the neighbor behaves.
func TestHostilePacketKillsOnlyTheProcess(t *testing.T) {
	t.Parallel()
	hostile := true
	p := newRawPeer(t, "127.0.0.2", nil)
	p.answer(func() []byte {
		p.mu.Lock()
		defer p.mu.Unlock()
		if hostile {
			return message(99, []byte{1, 2, 3})
		}
		return openMessage(64500, 90, nil)
	})
	a := startAgent(t, speakerOf(rawNeighbor(p)))
	a.set(route4())
	r := a.until(sessionUp, "a crash", func(r bgp.Report) bool { return !r.Connected && strings.Contains(r.Err, "panic: ") })
	t.Log("reported:", r.Err)
	a.until(sessionUp, "a second crash", func(r bgp.Report) bool { return r.Restarts >= 2 })
	p.mu.Lock()
	hostile = false
	p.mu.Unlock()
	a.until(sessionUp, "a session", established)
	p.wait(0, prompt, "announcement", is("+198.51.100.0/24"))
}

// The process hangs: it is killed and replaced.
func TestHangingProcessIsReplaced(t *testing.T) {
	t.Parallel()
	p, a := connect(t, nil, nil, route4())
	pid := a.s.PID()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	// Two seconds until a call fails, five of patience, and a check every second.
	a.until(sessionUp, "a restart", func(r bgp.Report) bool { return r.Restarts == 1 })
	a.until(sessionUp, "a session", established)
	if running(pid) {
		t.Errorf("process %d is still there", pid)
	}
	p.wait(0, prompt, "announcement", is("+198.51.100.0/24"))
}

// A process that hangs does not hold up the end.
func TestStopWhileHanging(t *testing.T) {
	t.Parallel()
	p, a := connect(t, nil, nil, route4())
	_, n := p.wait(0, prompt, "announcement", is("+198.51.100.0/24"))
	if err := syscall.Kill(a.s.PID(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond)
	start := time.Now()
	if took := a.end(); took > 2*time.Second+slack {
		t.Errorf("stopping took %v", took)
	}
	m, _ := p.wait(n, prompt, "end of the connection", func(m rawMessage) bool { return m.eof })
	if took := m.at.Sub(start); took > 500*time.Millisecond+slack/2 {
		t.Errorf("the route was out for %v", took)
	}
	if r := a.last(); r.Restarts != 0 || r.Connected || len(r.Announced) != 0 {
		t.Errorf("last report %+v", r)
	}
}

// The process has no capability and cannot get one, and only its own user can reach its socket; one that listens on a
// low port keeps the right to, and nothing else. The agent's own threads keep what they have.
func TestProcessHasNoPrivileges(t *testing.T) {
	if os.Geteuid() != 0 {
		skip(t, "needs root, to have privileges that can be dropped")
	}
	t.Parallel()
	before := procStatus(t, os.Getpid())
	for _, row := range []struct {
		name   string
		port   uint16
		capEff string
	}{
		{"connecting only", 0, "0000000000000000"},
		{"listening on a high port", freePort(t), "0000000000000000"},
		{"listening on a low port", 1017, "0000000000000400"}, // CAP_NET_BIND_SERVICE
	} {
		t.Run(row.name, func(t *testing.T) {
			p := newRawPeer(t, "127.0.0.2", nil)
			cfg := speakerOf(rawNeighbor(p))
			cfg.ListenPort = row.port
			a := startAgent(t, cfg)
			r := a.until(sessionUp, "a process", func(r bgp.Report) bool { return r.Connected })
			if r.Err != "" {
				t.Errorf("report: %s", r.Err)
			}
			got := procStatus(t, a.s.PID())
			for _, set := range []string{"CapEff", "CapPrm", "CapBnd", "CapAmb"} {
				if got[set] != row.capEff && (row.port != 1017 || set != "CapAmb") {
					t.Errorf("%s is %s, want %s", set, got[set], row.capEff)
				}
			}
			if got["NoNewPrivs"] != "1" {
				t.Errorf("NoNewPrivs is %s", got["NoNewPrivs"])
			}
			for path, want := range map[string]os.FileMode{a.s.dir: 0o700 | os.ModeDir, a.s.socket(): 0o700 | os.ModeSocket} {
				info, err := os.Lstat(path)
				if err != nil || info.Mode()&^0o077 != want&^0o077 || info.Mode()&0o077 != 0 {
					t.Errorf("%s: %v, %v; want %v", path, info.Mode(), err, want)
				}
			}
		})
	}
	if after := procStatus(t, os.Getpid()); after["CapEff"] != before["CapEff"] || after["NoNewPrivs"] != before["NoNewPrivs"] {
		t.Errorf("this process lost privileges: %v, had %v", after, before)
	}
}

// procStatus reads /proc/PID/status.
func procStatus(t *testing.T, pid int) map[string]string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]string{}
	for line := range strings.Lines(string(b)) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), ":")
		m[k] = strings.TrimSpace(v)
	}
	return m
}

// A thread that has given up its privileges can still get memory in an agent that has locked its own, and what it executes
// cannot lock any.
func TestThreadMayLockMemory(t *testing.T) {
	before := procStatus(t, os.Getpid())
	const lock = 1 << unix.CAP_IPC_LOCK
	if caps, err := strconv.ParseUint(before["CapEff"], 16, 64); err != nil || caps&lock == 0 {
		t.Skipf("SKIPPED, NOT PASSED: no CAP_IPC_LOCK to begin with (%v)", err)
	}
	done := make(chan string, 3)
	onFreshThread(func() {
		defer close(done)
		if err := dropPrivileges(false); err != nil {
			done <- err.Error()
		}
		const size = 1 << 30 // far above any usual limit; nothing of it is used
		b, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
		if err == nil {
			_, _, e := unix.Syscall(unix.SYS_MLOCK2, uintptr(unsafe.Pointer(&b[0])), size, unix.MLOCK_ONFAULT)
			if e != 0 {
				done <- "lock memory: " + e.Error()
			}
			err = unix.Munmap(b)
		}
		if err != nil {
			done <- err.Error()
		}
		out, err := exec.Command("grep", "^Cap", "/proc/self/status").CombinedOutput()
		if want := "CapInh: 0 CapPrm: 0 CapEff: 0 CapBnd: 0 CapAmb: 0"; err != nil || strings.Join(strings.Fields(strings.ReplaceAll(string(out), "0000000000000000", "0")), " ") != want {
			done <- string(out)
		}
	})
	for e := range done {
		t.Error(e)
	}
}

// A tainted thread is never the main one, whatever thread the goroutine starts on.
func TestFreshThreadIsNotTheMainOne(t *testing.T) {
	for range 50 {
		tid := make(chan int, 1)
		onFreshThread(func() { tid <- unix.Gettid() })
		if got := <-tid; got == unix.Getpid() {
			t.Fatal("ran on the main thread")
		}
	}
}

// Starting and stopping leaves neither goroutines nor descriptors behind.
func TestRunEndsCompletely(t *testing.T) {
	p := newRawPeer(t, "127.0.0.2", nil)
	cycle := func() {
		a := startAgent(t, speakerOf(rawNeighbor(p)))
		a.until(sessionUp, "a process", func(r bgp.Report) bool { return r.Connected })
		if took := a.end(); took > 2*time.Second+slack {
			t.Errorf("stopping took %v", took)
		}
	}
	cycle() // whatever is made once is made now
	time.Sleep(200 * time.Millisecond)
	goroutines, files := runtime.NumGoroutine(), openFiles(t)
	for range 3 {
		cycle()
	}
	for start := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		g, f := runtime.NumGoroutine(), openFiles(t)
		if g <= goroutines && f <= files {
			return
		}
		if time.Since(start) > 8*time.Second {
			buf := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, had %d; %d files, had %d\n%s", g, goroutines, f, files, buf[:runtime.Stack(buf, true)])
		}
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

func TestParseOptions(t *testing.T) {
	o := Options{Socket: "/run/x/gobgp.sock", LeaseTime: 3 * time.Second}
	got, err := ParseOptions(o.arguments(0))
	if err != nil || got != o {
		t.Errorf("got %+v, %v; want %+v", got, err, o)
	}
	for _, args := range [][]string{
		nil,
		{"--socket"},
		{"--socket", "/x", "more"},
		{"--socket", "/x", "--lease", "three"},
		{"--socket", "/x", "--lease", "-1s"},
		{"--unknown"},
		{"-h"},
	} {
		if got, err := ParseOptions(args); err == nil {
			t.Errorf("ParseOptions(%q) = %+v, want an error", args, got)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	good := Config{Speaker: speakerOf(), Command: []string{"x"}, RunDir: "/run/failoverd", Log: testLog(t)}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Config){
		"no command":           func(c *Config) { c.Command = nil },
		"a bad speaker":        func(c *Config) { c.Speaker.LocalAS = 0 },
		"a path without room":  func(c *Config) { c.RunDir = "/" + strings.Repeat("x", 90) },
		"BGP_POL_01_NoAllowed": func(c *Config) { c.Speaker.Allow = nil },
	} {
		c := good
		change(&c)
		if _, err := New(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// A command that cannot be started is reported and tried again; so is one that ends by itself.
func TestCommandThatDoesNotStart(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		command []string
		want    string
	}{
		{[]string{"/nonexistent/failoverd"}, "no such file"},
		{[]string{"/bin/true"}, "ended by itself"},
		{[]string{"/bin/false"}, "exit status 1"},
		{[]string{"/bin/sh", "-c", "echo cannot do it >&2; exit 3"}, "cannot do it (exit status 3)"},
	} {
		a := startAgent(t, speakerOf(), func(c *Config) { c.Command = row.command })
		a.until(prompt, row.want, func(r bgp.Report) bool {
			return !r.Connected && strings.Contains(r.Err, row.want) && r.Restarts >= 1
		})
	}
}
