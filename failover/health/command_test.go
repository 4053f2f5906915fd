package health

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"failoverd/failover"
)

// shell makes an executable script.
func shell(t *testing.T, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "check")
	do(t, os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o755))
	return path
}

// real is a script that runs once; those of other times are up to the fake ones.
func real(args ...string) failover.ScriptConfig {
	return failover.ScriptConfig{
		Name: "s", Command: failover.Command{Args: args, User: "root"}, Interval: time.Hour, Timeout: time.Minute, Rise: 1, Fall: 1,
	}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("NOT ROOT, NOT TESTED: scripts of user root")
	}
}

// TestCommands: what programs do, and what they are, becomes a verdict with a reason. None is left out.
func TestCommands(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "plain"), "#!/bin/sh\n")
	for _, c := range []struct {
		name string
		s    failover.ScriptConfig
		ok   bool
		want string // in the reason
	}{
		{"success", real("true"), true, "exit status 0"},
		{"failure", real("false"), false, "exit status 1"},
		{"words go into the reason", real(shell(t, "echo one; echo; echo two >&2; echo; exit 3")), false, "exit status 3: two"},
		{"control characters do not", real(shell(t, `printf 'a\033[31mb\001\n'; exit 1`)), false, "exit status 1: a [31mb"},
		{"nor do long lines", real(shell(t, `head -c 100000 /dev/zero | tr '\0' x; exit 1`)), false, "..."},
		{"a missing program", real(filepath.Join(dir, "missing")), false, "no such file"},
		{"a program that is nowhere in PATH", real("no-such-program-anywhere"), false, "not found"},
		{"a program that may not be executed", real(filepath.Join(dir, "plain")), false, "not executable"},
		{"a user that does not exist", failover.ScriptConfig{Command: failover.Command{Args: []string{"true"}, User: "nobody-at-all"}}, false, "nobody-at-all"},
		{"no command", real(), false, "no command"},
		{"there is no shell: operators are arguments", real("echo", "x", "|", "false"), true, "exit status 0"},
		{"a file that can be opened", failover.ScriptConfig{Open: filepath.Join(dir, "plain")}, true, "can be opened"},
		{"a file that is missing", failover.ScriptConfig{Open: filepath.Join(dir, "missing")}, false, "cannot be opened: no such file or directory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.s.Name, c.s.Interval, c.s.Timeout = "s", time.Hour, time.Minute
			r := watch(t, scripts(c.s), nil).next()
			if r.OK != c.ok || !strings.Contains(r.Reason, c.want) || len(r.Reason) > 2*maxWords {
				t.Errorf("got %v %q, want %v %q", r.OK, r.Reason, c.ok, c.want)
			}
			if r.Tracker != (failover.Tracker{Kind: failover.TrackScript, Name: "s"}) {
				t.Errorf("tracker %v", r.Tracker)
			}
		})
	}
}

// TestScriptSecurityFailsClosed: a check that is refused has failed; keepalived would do without it.
func TestScriptSecurityFailsClosed(t *testing.T) {
	needRoot(t)
	path := shell(t, "exit 0")
	do(t, os.Chmod(path, 0o777)) // anybody could change what root runs
	cfg := scripts(real(path))
	w := watch(t, cfg, nil)
	w.expect(true, 0, "exit status 0")
	cfg = scripts(real(path))
	cfg.Scripts[0].Interval = 10 * time.Millisecond
	cfg.ScriptSecurity = true
	w.m.Configure(cfg)
	if r := w.next(); r.OK || !strings.Contains(r.Reason, "security") {
		t.Errorf("got %+v", r)
	}
}

// TestDeafScript: a script that ignores SIGTERM fails at its timeout, is never beside itself, and is gone at the end.
func TestDeafScript(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	body := `trap '' TERM
		echo $$ >>` + dir + `/pids
		while :; do read x <` + dir + `/fifo; done`
	do(t, unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600)) // nobody ever writes to it
	s := real(shell(t, body))
	s.Interval, s.Timeout = 300*time.Millisecond, 300*time.Millisecond
	begun := time.Now()
	w := watch(t, scripts(s), nil)
	if r := w.next(); r.OK || !strings.HasPrefix(r.Reason, "timed out after 300ms") {
		t.Errorf("got %+v", r)
	}
	if took := time.Since(begun); took > killGrace {
		t.Errorf("the failure was told after %v, not at the timeout", took)
	}
	w.stop()
	b, err := os.ReadFile(filepath.Join(dir, "pids"))
	do(t, err)
	pids := strings.Fields(string(b))
	for _, p := range pids {
		pid, err := strconv.Atoi(p)
		do(t, err)
		if err := unix.Kill(-pid, 0); err == nil {
			t.Errorf("process group %d is still there", pid)
		}
	}
	if len(pids) != 1 {
		t.Errorf("%d runs where there was time for one", len(pids))
	}
}
