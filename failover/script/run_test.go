package script_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"failoverd/failover"
	"failoverd/failover/script"
)

func TestOutcome(t *testing.T) {
	for _, c := range []struct {
		name string
		cmd  failover.Command
		want string
		ok   bool
	}{
		{"success", sh("exit 0"), "exit status 0", true},
		{"failure", sh("exit 1"), "exit status 1", false},
		{"greatest status", sh("exit 255"), "exit status 255", false},
		{"ended by a signal", sh("kill -SEGV $$"), "ended by SIGSEGV", false},
		{"found in PATH", failover.Command{Args: []string{"true"}}, "exit status 0", true},
		{"relative to /", failover.Command{Args: []string{"./bin/false"}}, "exit status 1", false},
		{"shell operators are arguments", failover.Command{Args: []string{"echo", "x", "|", "/bin/false"}}, "exit status 0", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, _ := run(t, c.cmd, script.Exec{})
			if r.String() != c.want || r.OK() != c.ok {
				t.Errorf("%v, ok %v, want %v, %v", r, r.OK(), c.want, c.ok)
			}
		})
	}
}

func TestResultWords(t *testing.T) {
	for _, c := range []struct {
		r    script.Result
		want string
	}{
		{script.Result{Signal: syscall.SIGKILL, TimedOut: true, Killed: true, Limit: 2 * time.Second}, "timed out after 2s, killed"},
		{script.Result{Signal: syscall.SIGTERM, TimedOut: true, Limit: 1500 * time.Millisecond}, "timed out after 1.5s, terminated"},
		{script.Result{TimedOut: true, Limit: time.Second}, "timed out after 1s, terminated"},
		{script.Result{Stopped: true, Signal: syscall.SIGTERM}, "stopped, terminated"},
		{script.Result{Stopped: true, Killed: true, Signal: syscall.SIGKILL}, "stopped, killed"},
		{script.Result{Signal: syscall.SIGKILL}, "ended by SIGKILL"},
	} {
		if got := c.r.String(); got != c.want || c.r.OK() {
			t.Errorf("%q, ok %v, want %q, not ok", got, c.r.OK(), c.want)
		}
	}
}

func TestArguments(t *testing.T) {
	cmd := failover.Command{Args: []string{file(t, "#!/bin/sh\nfor a; do echo \"[$a]\"; done\n"), "two words", "", "$HOME;*"}}
	_, lines := run(t, cmd, script.Exec{Extra: []string{"INSTANCE", "a b"}})
	want := []string{"[two words]", "[]", "[$HOME;*]", "[INSTANCE]", "[a b]"}
	if !slices.Equal(lines, want) {
		t.Errorf("arguments %q, want %q", lines, want)
	}
	if len(cmd.Args) != 4 {
		t.Errorf("the command became %q", cmd.Args)
	}
}

// openFiles is a text for a shell that lists descriptors; its own are 10 and more.
const openFiles = "for n in 3 4 5 6 7 8 9; do [ -e /proc/$$/fd/$n ] && echo open $n; done; :"

// ignored returns the signals that this process was told to ignore, by nohup for example: that is passed on.
func ignored(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, "SigIgn:") {
			return strings.TrimSpace(line)
		}
	}
	t.Fatal("no SigIgn in /proc/self/status")
	return ""
}

// TestSurroundings looks at what a process is given.
func TestSurroundings(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"directory", "pwd -P", "/"},
		{"input", "readlink /proc/$$/fd/0", "/dev/null"},
		{"output and error output", "echo out; echo err >&2", "out err"},
		{"no other descriptor", openFiles, ""},
		{"group of its own", "set -- $(cut -d' ' -f1,5 /proc/$$/stat); [ $1 = $2 ] && echo yes", "yes"},
		{"nothing blocked", "grep SigBlk /proc/self/status", "SigBlk:\t0000000000000000"},
		{"nothing ignored but what we were started to ignore", "grep SigIgn /proc/self/status", ignored(t)},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, lines := run(t, sh(c.text), script.Exec{})
			if got := strings.Join(lines, " "); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func TestUmask(t *testing.T) {
	for _, mask := range []int{0o022, 0o177} {
		old := syscall.Umask(mask)
		_, lines := run(t, sh("umask"), script.Exec{})
		syscall.Umask(old)
		if want := fmt.Sprintf("%04o", mask); len(lines) != 1 || lines[0] != want {
			t.Errorf("umask %q, want %q", lines, want)
		}
	}
}

// TestThreadState starts a command from a thread with a real-time priority and a blocked signal.
func TestThreadState(t *testing.T) {
	needRoot(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocks, so that the thread ends here
		var mask unix.Sigset_t
		mask.Val[0] = 1 << (unix.SIGUSR1 - 1)
		if err := unix.PthreadSigmask(unix.SIG_BLOCK, &mask, nil); err != nil {
			t.Error(err)
			return
		}
		rr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: 1}
		if err := unix.SchedSetAttr(0, &rr, 0); err != nil {
			t.Errorf("NOT TESTED: no real-time priority to be had: %v", err)
			return
		}
		_, lines, err := try(t.Context(), sh("grep SigBlk /proc/self/status; cut -d' ' -f41 /proc/self/stat"), script.Policy{}, script.Exec{})
		if want := []string{"SigBlk:\t0000000000000000", "0"}; err != nil || !slices.Equal(lines, want) {
			t.Errorf("mask and policy %q, %v, want %q", lines, err, want)
		}
		var after unix.Sigset_t
		if err := unix.PthreadSigmask(unix.SIG_BLOCK, nil, &after); err != nil || after.Val[0]&mask.Val[0] == 0 {
			t.Errorf("the thread's own mask is %x, %v", after.Val[0], err)
		}
	}()
	<-done
}

// TestNiceValue starts a command from a thread with a negative nice value, which is for the agent alone.
func TestNiceValue(t *testing.T) {
	needRoot(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocks, so that the thread ends here
		if err := unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Nice: -5}, 0); err != nil {
			t.Errorf("NOT TESTED: no negative nice value to be had: %v", err)
			return
		}
		_, lines, err := try(t.Context(), sh("cut -d' ' -f19 /proc/self/stat"), script.Policy{}, script.Exec{})
		if err != nil || !slices.Equal(lines, []string{"0"}) {
			t.Errorf("nice value %q, %v, want 0", lines, err)
		}
		if a, err := unix.SchedGetAttr(0, 0); err != nil || a.Nice != -5 || a.Flags != 0 {
			t.Errorf("the thread has %+v, %v", a, err)
		}
	}()
	<-done
}

// TestAgentInheritance starts an agent with descriptors and variables that are meant for it alone.
func TestAgentInheritance(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	rep := asAgent(t, sh(openFiles+"; env"), func(c *exec.Cmd) {
		c.ExtraFiles = []*os.File{null, null}
		c.Env = append(c.Env, "NOTIFY_SOCKET=/x", "LISTEN_FDS=2", "LISTEN_PID=1", "WATCHDOG_USEC=1", "FAILOVERD_X=1", "KEPT=yes", "NOTIFY_SOCKETS=kept")
	})
	if rep.Err != "" {
		t.Fatal(rep.Err)
	}
	var seen []string
	for _, v := range rep.Lines {
		for _, prefix := range []string{"open ", "NOTIFY_", "LISTEN_", "WATCHDOG_", "FAILOVERD_", "KEPT"} {
			if strings.HasPrefix(v, prefix) {
				seen = append(seen, v)
			}
		}
	}
	slices.Sort(seen)
	if want := []string{"KEPT=yes", "NOTIFY_SOCKETS=kept"}; !slices.Equal(seen, want) {
		t.Errorf("variables %q, want %q", seen, want)
	}
}

func TestUnknownFormat(t *testing.T) {
	t.Run("no #!", func(t *testing.T) {
		cmd := failover.Command{Args: []string{file(t, "echo \"$0|$1\"\nexit 3\n"), "a b"}}
		if err := script.Check(cmd, script.Policy{}); err != nil {
			t.Fatal(err)
		}
		r, lines := run(t, cmd, script.Exec{})
		if want := cmd.Args[0] + "|a b"; r.Status != 3 || len(lines) != 1 || lines[0] != want {
			t.Errorf("%v, %q, want exit status 3, %q", r, lines, want)
		}
	})
	t.Run("not a text", func(t *testing.T) {
		cmd := failover.Command{Args: []string{file(t, "\x7fELF\x00\x01\x02 something\n")}}
		_, err := script.Run(t.Context(), cmd, script.Policy{}, script.Exec{})
		if err == nil || !strings.Contains(err.Error(), "exec format error") {
			t.Errorf("error %v", err)
		}
	})
}

// TestBusyFile runs a script that is being installed in this moment.
func TestBusyFile(t *testing.T) {
	path := file(t, "#!/bin/sh\nexit 0\n")
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(50*time.Millisecond, func() { _ = f.Close() })
	if r, _ := run(t, failover.Command{Args: []string{path}}, script.Exec{}); !r.OK() {
		t.Error(r)
	}
}

// TestLeaks runs many commands and counts what is left.
func TestLeaks(t *testing.T) {
	run(t, sh("exit 0"), script.Exec{})
	fds, goroutines := descriptors(t), runtime.NumGoroutine()
	missing := failover.Command{Args: []string{filepath.Join(t.TempDir(), "missing")}}
	broken := failover.Command{Args: []string{file(t, "\x7fELF\x00")}}
	for range 30 {
		run(t, sh("echo x; exit 1"), script.Exec{})
		run(t, sh("sleep 60 & sleep 60"), script.Exec{Timeout: 5 * time.Millisecond, Grace: -1})
		for _, cmd := range []failover.Command{missing, broken} {
			if _, _, err := try(t.Context(), cmd, script.Policy{}, script.Exec{}); err == nil {
				t.Fatalf("%q ran", cmd.Args)
			}
		}
	}
	if n := zombies(t); n != 0 {
		t.Errorf("%d zombies", n)
	}
	soon(t, "the end of all goroutines", func() bool { return runtime.NumGoroutine() <= goroutines })
	if n := descriptors(t); n > fds {
		t.Errorf("%d descriptors, were %d", n, fds)
	}
}

func TestContextIsOver(t *testing.T) {
	ctx, cancel := contextOver(t)
	defer cancel()
	if _, err := script.Run(ctx, sh("exit 0"), script.Policy{}, script.Exec{}); err == nil || !strings.Contains(err.Error(), "canceled") {
		t.Errorf("error %v", err)
	}
}
