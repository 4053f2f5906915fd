package daemon

import (
	"errors"
	"math"
	"os"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMayLock(t *testing.T) {
	for _, c := range []struct {
		name    string
		limit   uint64
		capable bool
		ok      bool
	}{
		{"systemd's limit", 8 << 20, false, false},
		{"a limit below what the runtime reserves later", 4 << 30, false, false},
		{"no limit", math.MaxUint64, false, true},
		{"CAP_IPC_LOCK", 0, true, true},
	} {
		if err := mayLock(c.limit, c.capable); (err == nil) != c.ok || err != nil && !errors.Is(err, unix.EPERM) {
			t.Errorf("%s: %v, want ok %t", c.name, err, c.ok)
		}
	}
}

// TestRealTimeThreads makes this process a real-time one and back: also threads that come later have the priority.
func TestRealTimeThreads(t *testing.T) {
	testThreads(t, rank{realTime: 3}, func(a *unix.SchedAttr) bool { return a.Policy == unix.SCHED_RR && a.Priority == 3 })
}

// TestNiceThreads gives this process a nice value and takes it back: also threads that come later have it, and one of another
// class is left alone.
func TestNiceThreads(t *testing.T) {
	r := rank{nice: -3}
	testThreads(t, r, func(a *unix.SchedAttr) bool { return a.Policy == unix.SCHED_NORMAL && a.Nice == -3 })
	if !r.on(&unix.SchedAttr{Policy: unix.SCHED_BATCH}) {
		t.Error("a thread of another class would be changed")
	}
}

// testThreads gives all threads of this process a rank, and has more of them made, which must have it, too.
func testThreads(t *testing.T, r rank, has func(*unix.SchedAttr) bool) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED, NOT PASSED: needs root")
	}
	if err := raiseThreads(r); errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		t.Skipf("SKIPPED, NOT PASSED: %v", err)
	} else if err != nil {
		t.Fatal(err)
	}
	defer eachThread(t, func(tid int) {
		_ = unix.SchedSetAttr(tid, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_NORMAL}, 0)
	})
	before := eachThread(t, func(int) {})
	makeThreads(before + 10)
	after := eachThread(t, func(tid int) {
		if a, err := unix.SchedGetAttr(tid, 0); err == nil && (!has(a) || a.Flags != 0) {
			t.Errorf("thread %d: %+v", tid, a)
		}
	})
	if after <= before {
		t.Errorf("%d threads, %d before: none came later", after, before)
	}
}

// eachThread calls f with each thread of this process and returns their number.
func eachThread(t *testing.T, f func(tid int)) int {
	t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range tasks {
		if tid, err := strconv.Atoi(e.Name()); err == nil {
			f(tid)
		}
	}
	return len(tasks)
}
