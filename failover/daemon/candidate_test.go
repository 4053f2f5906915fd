package daemon

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
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
	copyProgram(t, "cut", path)
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocks, so that the thread ends here
		rr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: 1}
		if err := unix.SchedSetAttr(0, &rr, 0); err != nil {
			t.Errorf("NOT TESTED: no real-time priority to be had: %v", err)
			return
		}
		c, err := examine(path)
		if err != nil {
			t.Error(err)
			return
		}
		defer c.close()
		if out, err := c.output(t.Context(), "-d ", "-f41", "/proc/self/stat"); err != nil || string(out) != "0\n" {
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
			c, err := examine(path)
			if err == nil {
				c.close()
			}
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

// TestExaminePlace: whoever may replace a program, or one of the directories that lead to it, may have the agent run his own.
func TestExaminePlace(t *testing.T) {
	for _, tt := range []struct {
		name    string
		mode    os.FileMode // of the directory
		link    os.FileMode // of the directory of a symbolic link that leads there; 0: there is none
		want    string      // of the error; empty: none
		private bool        // the directory's group is another one than root's
	}{
		{name: "a directory of its own", mode: 0o755},
		{name: "anybody may write", mode: 0o777, want: "and could replace the program: chmod go-w /"},
		{name: "anybody may write, sticky", mode: 0o777 | os.ModeSticky},
		{name: "a group may write", mode: 0o775, private: true, want: "/in (mode 0775, group 61234), and could replace the program: chmod go-w /"},
		{name: "root's group may write", mode: 0o775},
		{name: "through a link", mode: 0o755, link: 0o755},
		{name: "through a link that anybody may replace", mode: 0o755, link: 0o777, want: "and could replace the program: chmod go-w /"},
		{name: "through a good link to a bad place", mode: 0o777, link: 0o755, want: "and could replace the program: chmod go-w /"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if os.Geteuid() != 0 {
				t.Skip("SKIPPED, NOT PASSED: the groups of directories are root's to set")
			}
			place := func(mode os.FileMode) string {
				dir := filepath.Join(t.TempDir(), "in")
				group := 0
				if tt.private {
					group = 61234
				}
				if err := errors.Join(os.Mkdir(dir, 0o700), os.Chown(dir, 0, group), os.Chmod(dir, mode)); err != nil {
					t.Fatal(err)
				}
				return dir
			}
			path := filepath.Join(place(tt.mode), "program")
			if err := os.WriteFile(path, nil, 0o755); err != nil {
				t.Fatal(err)
			}
			if tt.link != 0 {
				name := filepath.Join(place(tt.link), "link")
				if err := os.Symlink(path, name); err != nil {
					t.Fatal(err)
				}
				path = name
			}
			c, err := examine(path)
			if err == nil {
				c.close()
			}
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

// TestExamineNamesEveryPlace: what stands in the way is named at once, and how to mend it.
func TestExamineNamesEveryPlace(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED, NOT PASSED: the groups of directories are root's to set")
	}
	group, err := user.LookupGroupId("50")
	name := "50"
	if err == nil {
		name = group.Name // staff, on Debian
	}
	local := filepath.Join(t.TempDir(), "local")
	bin := filepath.Join(local, "bin")
	for _, dir := range []string{local, bin} {
		if err := errors.Join(os.Mkdir(dir, 0o755), os.Chown(dir, 0, 50), os.Chmod(dir, 0o775|os.ModeSetgid)); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(bin, "program")
	if err := os.WriteFile(path, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	_, err = examine(path)
	want := fmt.Sprintf("others may write to %s (mode 0775, group %s) and %s (mode 0775, group %s), and could replace the program: chmod go-w %s %s, or install it in another place and name that with --binary",
		bin, name, local, name, bin, local)
	if err == nil || err.Error() != want {
		t.Errorf("%v, want %q", err, want)
	}
	if err := errors.Join(os.Chmod(bin, 0o755), os.Chmod(local, 0o755)); err != nil {
		t.Fatal(err)
	}
	c, err := examine(path)
	if err != nil {
		t.Fatalf("after what was advised: %v", err)
	}
	c.close()
}

// TestExaminedIsRun: what was examined is run, also when another file has got its name meanwhile.
func TestExaminedIsRun(t *testing.T) {
	path := filepath.Join(t.TempDir(), "program")
	copyProgram(t, "echo", path)
	c, err := examine(path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	copyProgram(t, "false", path)
	if out, err := c.output(t.Context(), "the first"); err != nil || string(out) != "the first\n" {
		t.Errorf("%q, %v", out, err)
	}
}

// copyProgram makes path a copy of a program of the system.
func copyProgram(t *testing.T, name, path string) {
	t.Helper()
	from, err := exec.LookPath(name)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(from)
	if err = errors.Join(err, os.WriteFile(path+".new", b, 0o700), os.Rename(path+".new", path)); err != nil {
		t.Fatal(err)
	}
}

// TestExamineScript: a script would be opened again by its interpreter.
func TestExamineScript(t *testing.T) {
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := examine(path); err == nil || !strings.Contains(err.Error(), "is a script") {
		t.Error(err)
	}
}
