package script_test

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"failoverd/failover/script"
)

func contextOver(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx, cancel
}

const (
	short = 100 * time.Millisecond
	slack = 10 * time.Second // what a busy machine may add
)

// TestEnd lets commands run into their timeout. All say the numbers of their processes first.
func TestEnd(t *testing.T) {
	for _, c := range []struct {
		name, text string
		killed     bool
	}{
		{"polite", "echo $$; sleep 600", false},
		{"polite with a child", "sleep 600 & echo $! $$; wait", false},
		{"cleans up", "trap 'exit 0' TERM; echo $$; sleep 600 & wait", false},
		{"ignores SIGTERM", "trap '' TERM; echo $$; while :; do sleep 600; done", true},
		{"with a child that ignores it", "(trap '' TERM; sleep 600) & echo $! $$; wait", true},
		{"all ignore it", "trap '' TERM; sleep 600 & (sleep 600; :) & echo $! $$; wait", true},
		{"stopped", "echo $$; kill -STOP $$", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			x := script.Exec{Timeout: short, Grace: short}
			if !c.killed { // by its timeout it has to be as far as its text goes
				x.Timeout, x.Grace = 10*short, slack
			}
			r, lines := run(t, sh(c.text), x)
			if !r.TimedOut || r.OK() || r.Killed != c.killed {
				t.Errorf("%+v: %v, want killed %v", r, r, c.killed)
			}
			if r.Took < short || r.Took > slack {
				t.Errorf("took %v", r.Took)
			}
			for _, pid := range strings.Fields(strings.Join(lines, " ")) {
				if alive(t, pid) {
					t.Errorf("process %s is alive", pid)
				}
			}
		})
	}
}

// TestInit ends a group whose orphans become children of this process, as those of an init process do.
func TestInit(t *testing.T) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0); err != nil {
			t.Error(err)
		}
	}()
	for _, text := range []string{"sleep 600 & wait", "(trap '' TERM; sleep 600) & wait"} {
		r, _ := run(t, sh(text), script.Exec{Timeout: short, Grace: short})
		if !r.TimedOut || zombies(t) != 0 {
			t.Errorf("%s: %v, %d zombies", text, r, zombies(t))
		}
	}
}

func TestStop(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	started := make(chan string, 1)
	x := script.Exec{Timeout: time.Hour, Grace: short, Output: func(line string) { started <- line; cancel() }}
	r, err := script.Run(ctx, sh("trap '' TERM; echo $$; while :; do sleep 600; done"), script.Policy{}, x)
	if err != nil {
		t.Fatal(err)
	}
	if r.String() != "stopped, killed" || r.OK() {
		t.Errorf("%v, want stopped, killed", r)
	}
	if pid := <-started; alive(t, pid) {
		t.Errorf("process %s is alive", pid)
	}
}

func TestNoGrace(t *testing.T) {
	r, _ := run(t, sh("trap 'exit 0' TERM; sleep 600 & wait"), script.Exec{Timeout: short, Grace: -1})
	if !r.Killed || r.Signal != unix.SIGKILL {
		t.Errorf("%+v", r)
	}
}

// TestKill ends a command that has been told to end, and takes its time.
func TestKill(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	kill := make(chan struct{})
	x := script.Exec{Grace: time.Hour, Kill: kill}
	x.Output = func(line string) {
		switch line {
		case "started":
			cancel()
		case "told": // the shell may say more
			close(kill)
		}
	}
	r, err := script.Run(ctx, sh("trap 'echo told' TERM; echo started; while :; do sleep 0.01; done"), script.Policy{}, x)
	if err != nil || r.String() != "stopped, killed" || r.Took > slack {
		t.Errorf("%v after %v, %v", r, r.Took, err)
	}
	r, err = script.Run(t.Context(), sh("sleep 600"), script.Policy{}, script.Exec{Kill: kill})
	if err != nil || !r.Stopped || r.Took > slack {
		t.Errorf("%v after %v, %v", r, r.Took, err)
	}
}

// TestBackground leaves a process in the background: it is no business of Run, although it has the output open.
func TestBackground(t *testing.T) {
	dir := openDir(t)
	goOn, told := filepath.Join(dir, "go"), filepath.Join(dir, "told")
	for _, f := range []string{goOn, told} {
		if err := unix.Mkfifo(f, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// Once told to, it writes more than a pipe holds.
	text := `(read x < "$1"; head -c 200000 /dev/zero && echo "wrote $x" > "$2") & echo first; printf last`
	r, lines := run(t, sh(text, goOn, told), script.Exec{Timeout: time.Hour})
	if !r.OK() || r.Took > slack || strings.Join(lines, " ") != "first last" {
		t.Fatalf("%v after %v, %q", r, r.Took, lines)
	}
	if err := os.WriteFile(goOn, []byte("all\n"), 0); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(told); err != nil || string(got) != "wrote all\n" {
		t.Errorf("the process in the background says %q, %v", got, err)
	}
}

// TestEscaped bounds how long a Run takes if a process has left the group with the output in its hands.
func TestEscaped(t *testing.T) {
	r, lines := run(t, sh("setsid sleep 600 & echo $!; exec sleep 600"), script.Exec{Timeout: short, Grace: short})
	if !r.TimedOut || r.Took > slack || len(lines) != 1 {
		t.Fatalf("%v after %v, %q", r, r.Took, lines)
	}
	pid, err := strconv.Atoi(lines[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Errorf("the process that escaped: %v", err)
	}
}
