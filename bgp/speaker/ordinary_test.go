package speaker

import (
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"failoverd/bgp"
)

// TestStartOrdinary starts a process from a thread with a real-time priority: the process has none, the thread keeps it.
func TestStartOrdinary(t *testing.T) {
	if os.Geteuid() != 0 {
		skip(t, "needs root")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocks, so that the thread ends here
		rr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: 1}
		if err := unix.SchedSetAttr(0, &rr, 0); err != nil {
			t.Errorf("NOT TESTED: no real-time priority to be had: %v", err)
			return
		}
		var out strings.Builder
		cmd := exec.Command("cut", "-d ", "-f41", "/proc/self/stat")
		cmd.Stdout = &out
		if err := StartOrdinary(cmd); err != nil {
			t.Error(err)
			return
		}
		if err := cmd.Wait(); err != nil || out.String() != "0\n" {
			t.Errorf("policy of the process: %q, %v, want 0", out.String(), err)
		}
		if a, err := unix.SchedGetAttr(0, 0); err != nil || a.Policy != unix.SCHED_RR || a.Flags != 0 {
			t.Errorf("the thread has %+v, %v", a, err)
		}
	}()
	<-done
}

// TestStartOrdinaryNice does the same with a nice value.
func TestStartOrdinaryNice(t *testing.T) {
	if os.Geteuid() != 0 || !mayRestore() {
		t.Skip("SKIPPED, NOT PASSED: needs root, and CAP_SYS_NICE")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocks, so that the thread ends here
		if err := unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Nice: -5}, 0); err != nil {
			t.Error(err)
			return
		}
		var out strings.Builder
		cmd := exec.Command("cut", "-d ", "-f19", "/proc/self/stat")
		cmd.Stdout = &out
		if err := StartOrdinary(cmd); err != nil {
			t.Error(err)
			return
		}
		if err := cmd.Wait(); err != nil || out.String() != "0\n" {
			t.Errorf("nice value of the process: %q, %v, want 0", out.String(), err)
		}
		if a, err := unix.SchedGetAttr(0, 0); err != nil || a.Nice != -5 || a.Flags != 0 {
			t.Errorf("the thread has %+v, %v", a, err)
		}
	}()
	<-done
}

// TestProcessIsOrdinary: the process of a speaker does not have the nice value of the agent's threads, although the thread that
// starts it has given up its capabilities by then.
func TestProcessIsOrdinary(t *testing.T) {
	if os.Geteuid() != 0 || !mayRestore() {
		t.Skip("SKIPPED, NOT PASSED: needs root, and CAP_SYS_NICE")
	}
	t.Parallel()
	a := startAgent(t, speakerOf(neighborOf(netip.MustParseAddr("127.0.0.2"), 64500)), func(c *Config) {
		c.Setup = func() error {
			return unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Nice: -5}, 0)
		}
	})
	a.until(10*time.Second, "the process", func(r bgp.Report) bool { return r.Connected })
	attr, err := unix.SchedGetAttr(a.s.PID(), 0)
	if err != nil || attr.Nice != 0 {
		t.Errorf("the process has %+v, %v; want a nice value of 0", attr, err)
	}
}
