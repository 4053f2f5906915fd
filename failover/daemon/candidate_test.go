package daemon

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
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

// TestExamine: what others may have written is not run with the rights of the agent.
func TestExamine(t *testing.T) {
	for _, tt := range []struct {
		name  string
		mode  os.FileMode
		owner int    // -1: whoever runs the test
		want  string // of the error; empty: none
	}{
		{"a program", 0o755, -1, ""},
		{"no program", 0o644, -1, "is not executable"},
		{"its group may write", 0o775, -1, "may be written by others than its owner"},
		{"anybody may write", 0o757, -1, "may be written by others than its owner"},
		{"somebody else's", 0o755, 61234, "belongs to user 61234"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "program")
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, tt.mode); err != nil {
				t.Fatal(err)
			}
			if tt.owner >= 0 {
				if os.Geteuid() != 0 {
					t.Skip("SKIPPED, NOT PASSED: only root can give files away")
				}
				if err := os.Chown(path, tt.owner, -1); err != nil {
					t.Fatal(err)
				}
			}
			_, err := examine(path)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
	if _, err := examine("program"); err == nil || !strings.Contains(err.Error(), "is not an absolute path") {
		t.Errorf("a relative path: %v", err)
	}
	if _, err := examine(t.TempDir()); err == nil || !strings.Contains(err.Error(), "is not a file") {
		t.Errorf("a folder: %v", err)
	}
}
