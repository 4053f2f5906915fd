package daemon

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// TestCandidateIsOrdinary asks a program from a thread with a real-time priority: the program has none, or it would read its
// configuration before the advertisements leave.
func TestCandidateIsOrdinary(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED, NOT PASSED: needs root")
	}
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, []byte("#!/bin/sh\nexec cut -d' ' -f41 /proc/self/stat\n"), 0o700); err != nil {
		t.Fatal(err)
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
		c := &candidate{path: path}
		if out, err := c.output(t.Context(), "handover-version"); err != nil || string(out) != "0\n" {
			t.Errorf("policy of the program: %q, %v, want 0", out, err)
		}
	}()
	<-done
}
