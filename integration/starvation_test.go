package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"failoverd/integration/lab"
)

// hogEnv makes this program a process that only computes, until whoever started it ends.
const hogEnv = "FAILOVERD_LAB_HOG"

func hog() int {
	for n := uint64(1); n != 0; n++ { // some hundred years
	}
	return 0
}

// hogs is how many processes want the CPUs all the time.
const hogs = 20

func startHogs(t *testing.T) {
	t.Helper()
	for range hogs {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), hogEnv+"=1", "GOMAXPROCS=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		must(t, cmd.Start())
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait() // it was killed
		})
	}
}

// starved is a pair of nodes that advertise every 10 ms, and how often the address came or went.
type starved struct {
	*lan
	name    string
	watches []*lab.Watch
	before  int
}

func newStarved(t *testing.T, name string, d daemon, globals string) *starved {
	t.Helper()
	s := &starved{lan: newLAN(t, false), name: name}
	for node, priority := range map[*lab.Node]int{s.a: prioA, s.b: prioB} {
		s.watches = append(s.watches, watchOf(t, node))
		d.start(s.lan, node, globals+s.instance(priority, 3, "0.01"))
	}
	return s
}

// settle waits until a has had the address, alone, for a while.
func (s *starved) settle() {
	s.t.Helper()
	since := time.Now()
	waitFor(s.t, 15*time.Second, s.name+": a to have the address", func() bool {
		if !holds(s.t, s.a, s.vip) || holds(s.t, s.b, s.vip) {
			since = time.Now()
		}
		return time.Since(since) > time.Second
	})
	s.before = s.moves()
}

// moves returns how often the address came or went, on both nodes.
func (s *starved) moves() (n int) {
	for _, w := range s.watches {
		for _, c := range w.Changes() {
			if c.Prefix.Addr() == s.vip && (c.Kind == lab.AddressAdded || c.Kind == lab.AddressRemoved) {
				n++
			}
		}
	}
	return n
}

// TestStarvedCPU lets 20 processes compute on this machine. Three pairs of routers share what is left: with a real-time
// priority no address moves at an interval of 10 ms; without one they move no more often than with keepalived, in two of
// three rounds at least. It does not run beside other labs.
func TestStarvedCPU(t *testing.T) {
	need(t, "keepalived")
	if os.Getenv("FAILOVERD_LABS") != "required" && !realTimeAllowed() {
		t.Skip("SKIPPED, NOT PASSED: no real-time priority to be had")
	}
	span := 10 * time.Second
	if os.Getenv("FAILOVERD_NIGHTLY") == "1" {
		span = time.Minute
	}
	rt := newStarved(t, "real time", ours{}, lines("global_defs {", "    vrrp_rt_priority 50", "}"))
	plain := newStarved(t, "ordinary", ours{}, "")
	other := newStarved(t, "keepalived", keepalived{}, "")
	pairs := []*starved{rt, plain, other}
	for _, p := range pairs {
		p.settle()
	}
	began, used := time.Now(), cpuTime(t)
	startHogs(t)
	better, worse := 0, 0
	for better < 2 && worse < 2 && (better == 0 || worse > 0) { // one good round is enough, after a bad one it takes two
		for _, p := range pairs {
			p.before = p.moves()
		}
		round := time.Now()
		time.Sleep(span)
		moves := make(map[*starved]int)
		for _, p := range pairs {
			moves[p] = p.moves() - p.before
			t.Logf("%-10s %4d times an address came or went in %.1f s", p.name, moves[p], time.Since(round).Seconds())
		}
		if moves[rt] != 0 {
			t.Errorf("with a real-time priority an address came or went %d times, want 0", moves[rt])
		}
		if moves[plain] <= moves[other] {
			better++
		} else {
			worse++
		}
	}
	if took := time.Since(began); (cpuTime(t)-used).Seconds()/took.Seconds() < 0.5 {
		t.Errorf("NOT TESTED: the machine was not busy (%v of CPU time in %v)", cpuTime(t)-used, took)
	}
	if worse > better {
		t.Errorf("without a real-time priority the addresses moved more often than with keepalived, in %d rounds of %d", worse, worse+better)
	}
}

// TestRealTimeProcesses looks at who has a real-time priority: every thread of the agent, with its memory locked; not its
// speaker, not its checks.
func TestRealTimeProcesses(t *testing.T) {
	t.Parallel()
	e := newEdge(t, "")
	if os.Getenv("FAILOVERD_LABS") != "required" && !realTimeAllowed() {
		t.Skip("SKIPPED, NOT PASSED: no real-time priority to be had")
	}
	n := &lan{t: t, lab: e.lab}
	seen := filepath.Join(e.lab.Dir(), "policy")
	check := n.script("check.sh", "#!/bin/sh\ncut -d' ' -f41 /proc/self/stat >>"+seen+"\n")
	a := startAgent(t, e.lab, e.a, lines("global_defs {", "    vrrp_rt_priority 50", "    script_user root", "}", "vrrp_script chk {",
		"    script "+check, "    interval 1", "}")+
		e.speaker("a", "")+e.instance(prioA, 3, "1", append([]string{"track_script {", "    chk", "}"}, announce(service+" speaker EDGE")...)...))
	a.waitSession(15 * time.Second)
	time.Sleep(2500 * time.Millisecond) // two more checks
	for tid, p := range policies(t, a.pid()) {
		if p != unix.SCHED_RR {
			t.Errorf("thread %d of the agent has the policy %d, want SCHED_RR", tid, p)
		}
	}
	for tid, p := range policies(t, childOf(t, a.pid())) {
		if p != unix.SCHED_NORMAL {
			t.Errorf("thread %d of the speaker has the policy %d, want SCHED_NORMAL", tid, p)
		}
	}
	b, err := os.ReadFile(seen)
	must(t, err)
	if got := strings.Fields(string(b)); len(got) < 2 || strings.Trim(strings.Join(got, ""), "0") != "" {
		t.Errorf("the check ran with the policies %v, want 0, twice at least", got)
	}
	b, err = os.ReadFile(fmt.Sprintf("/proc/%d/status", a.pid()))
	must(t, err)
	if text := string(b); !strings.Contains(text, "VmLck:") || strings.Contains(text, "VmLck:\t       0 kB") {
		t.Error("no memory of the agent is locked")
	}
}

// realTimeAllowed reports whether this process could have a real-time priority.
func realTimeAllowed() bool {
	ok := make(chan bool)
	go func() {
		runtime.LockOSThread() // and never unlocks, so that the thread ends here
		ok <- unix.SchedSetAttr(0, &unix.SchedAttr{
			Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Flags: unix.SCHED_FLAG_RESET_ON_FORK, Priority: 1,
		}, 0) == nil
	}()
	return <-ok
}

// policies returns the scheduling policy of each thread of a process.
func policies(t *testing.T, pid int) map[int]uint32 {
	t.Helper()
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	must(t, err)
	out := make(map[int]uint32)
	for _, e := range tasks {
		tid, err := strconv.Atoi(e.Name())
		must(t, err)
		if a, err := unix.SchedGetAttr(tid, 0); err == nil {
			out[tid] = a.Policy
		}
	}
	return out
}

// cpuTime is the time that all processes of this machine have computed.
func cpuTime(t *testing.T) (d time.Duration) {
	t.Helper()
	b, err := os.ReadFile("/proc/stat")
	must(t, err)
	first, _, _ := strings.Cut(string(b), "\n")
	for i, f := range strings.Fields(first)[1:] {
		if i < 3 { // user, nice, system
			n, err := strconv.Atoi(f)
			must(t, err)
			d += time.Duration(n) * 10 * time.Millisecond
		}
	}
	return d
}
