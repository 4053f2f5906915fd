package speaker

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"failoverd/bgp"
)

func TestPatience(t *testing.T) {
	const patient, confirmed = int(hangs / checkEvery), int(confirms / checkEvery)
	for _, row := range []struct {
		name string
		say  func(i int) (answers, debt uint64)
		want int // the check that gives up; 0: none
		why  string
	}{
		{"answers", func(i int) (uint64, uint64) { return uint64(i), 0 }, 0, ""},
		{"answers now and then", func(i int) (uint64, uint64) { return uint64(i/patient) + 1, 0 }, 0, ""},
		{"never answers", func(int) (uint64, uint64) { return 0, 0 }, patient + 1, "did not answer"},
		{"falls silent", func(i int) (uint64, uint64) { return uint64(min(i, 7)), 0 }, 7 + patient + 1, "did not answer"},
		{"pays every debt", func(i int) (uint64, uint64) { return uint64(i), uint64(i/confirmed) + 1 }, 0, ""},
		{"does not pay", func(i int) (uint64, uint64) {
			if i < 10 {
				return uint64(i), 0
			}
			return uint64(i), 1
		}, 10 + confirmed, "did not confirm a withdrawal"},
	} {
		var p patience
		got, why := 0, ""
		for i := 1; i <= 5*patient && got == 0; i++ {
			if why = p.check(row.say(i)); why != "" {
				got = i
			}
		}
		if got != row.want || !strings.Contains(why, row.why) {
			t.Errorf("%s: check %d: %q; want %d: %q", row.name, got, why, row.want, row.why)
		}
	}
}

// A frozen process does not keep a route that is not wanted: it is killed, and until then nobody says that the route is
// withdrawn - not even after the client has given up on its calls.
func TestFrozenProcessDoesNotKeepARoute(t *testing.T) {
	t.Parallel()
	p, a := connect(t, nil, nil, route4())
	_, n := p.wait(0, prompt, "announcement", is("+198.51.100.0/24"))
	pid := a.s.PID()
	a.until(prompt, "the route", func(r bgp.Report) bool { return len(r.Announced) == 1 })
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	time.Sleep(3 * time.Second) // calls fail after two, the process is killed after five
	if r := a.last(); a.s.PID() != pid || !r.Connected || len(r.Announced) != 1 {
		t.Fatalf("frozen, with the route out: process %d, had %d; report %+v", a.s.PID(), pid, r)
	}
	start := time.Now()
	g := a.set()
	a.until(prompt, "the withdrawal", func(r bgp.Report) bool {
		return !r.Connected || len(r.Announced) == 0 || r.Generation >= g
	})
	if running(pid) {
		t.Error("reported as withdrawn while the process with the session is there")
	}
	m, n := p.wait(n, prompt, "end of the connection", func(m rawMessage) bool { return m.eof })
	if took := m.at.Sub(start); took > 500*time.Millisecond+slack/2 {
		t.Errorf("the route was out for %v", took)
	}
	r := a.until(sessionUp, "another session", func(r bgp.Report) bool { return r.Established() && r.Generation == g })
	if r.Restarts != 1 || len(r.Announced) != 0 {
		t.Errorf("report %+v", r)
	}
	a.set(route4())
	p.wait(n, prompt, "announcement again", is("+198.51.100.0/24"))
}

// The directory of the socket is removed by a cleaner; the next process has one again.
func TestDirectoryRemoved(t *testing.T) {
	t.Parallel()
	p, a := connect(t, nil, nil, route4())
	_, n := p.wait(0, prompt, "announcement", is("+198.51.100.0/24"))
	if err := os.RemoveAll(a.s.cfg.RunDir); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(a.s.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	a.until(sessionUp, "another session", func(r bgp.Report) bool { return r.Established() && r.Restarts == 1 })
	p.wait(n+1, prompt, "announcement again", is("+198.51.100.0/24"))
}

// A run directory that cannot be used is replaced by the one for temporary files.
func TestUnusableRunDir(t *testing.T) {
	temp := shortDir(t)
	t.Setenv("TMPDIR", temp)
	file := filepath.Join(temp, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	a := startAgent(t, speakerOf(), func(c *Config) { c.RunDir = file })
	a.until(sessionUp, "a process", func(r bgp.Report) bool { return r.Connected })
	if filepath.Dir(a.s.dir) != temp {
		t.Errorf("the socket is in %s, want %s", a.s.dir, temp)
	}
}

// An ordinary start is not reported as trouble.
func TestStartIsQuiet(t *testing.T) {
	t.Parallel()
	start := time.Now()
	a := startAgent(t, speakerOf())
	a.until(sessionUp, "a process", func(r bgp.Report) bool { return r.Connected })
	if took := time.Since(start); took > settles {
		t.Skipf("SKIPPED: the machine is too busy, the process took %v to start", took)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range a.reports {
		if r.Err != "" {
			t.Errorf("reported %q", r.Err)
		}
	}
}
