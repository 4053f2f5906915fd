package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"failoverd/conf"
	"failoverd/failover/daemon"
)

func TestStartError(t *testing.T) {
	lack := errors.New("missing capability CAP_NET_RAW")
	for _, c := range []struct {
		name         string
		err          error
		capabilities error
		status       int
		text         string
	}{
		{"configuration", &daemon.ConfigError{File: "f"}, nil, 2, "the configuration has errors"},
		{"configuration, for somebody without privileges", &daemon.ConfigError{File: "f"}, lack, 2, "the configuration has errors"},
		{"no file", &daemon.LoadError{File: "f", Err: fs.ErrNotExist}, nil, 6, "read configuration f"},
		{"unreadable file", &daemon.LoadError{File: "f", Err: syscall.EACCES}, nil, 4, "permission denied"},
		{"directory", &daemon.LoadError{File: "f", Err: errors.New("is a directory")}, nil, 2, "is a directory"},
		{"no capabilities", fmt.Errorf("open socket: %w", syscall.EPERM), lack, 4, "missing capability CAP_NET_RAW"},
		{"no capabilities, seen elsewhere", errors.New("whatever"), lack, 4, "missing capability CAP_NET_RAW"},
		{"no permission", fmt.Errorf("make directory: %w", syscall.EACCES), nil, 4, "make directory"},
		{"anything else", errors.New("no memory"), nil, 1, "no memory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := startError(c.err, c.capabilities)
			var e *exitError
			if !errors.As(err, &e) || e.status != c.status || !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v with exit status %d, want %d and %q", err, e.status, c.status, c.text)
			}
		})
	}
}

func TestRunRefusesToStart(t *testing.T) {
	bad := file(t, strings.Replace(goodConf, "priority 100", "priority 300", 1))
	missing := bad + ".none"
	env := map[string]string{"FAILOVERD_STATE_DIR": t.TempDir()}
	ended, end := context.WithCancel(t.Context())
	end() // should it start after all
	for _, args := range [][]string{{"run", "-f"}, {"-n", "-l", "-f"}} {
		status, stdout, stderr := cliContext(ended, env, append(args, bad)...)
		if status != exitConfig || stdout != "" || !strings.Contains(stderr, "\n"+bad+":4:14: error: ") {
			t.Errorf("%v, errors: exit status %d, %q, %q", args, status, stdout, stderr)
		}
		status, _, stderr = cliContext(ended, env, append(args, missing)...)
		if status != exitNoConfig || stderr != fmt.Sprintf("failoverd: read configuration %s: no such file or directory\n", missing) {
			t.Errorf("%v, no file: exit status %d, %q", args, status, stderr)
		}
	}
}

// A word that is not known is no reason not to start, but one not to reload: it may be a typo in what decides the role.
func TestStrictReload(t *testing.T) {
	typo := strings.Replace(goodConf, "priority 100", "priorty 200", 1)
	name := file(t, typo)
	load := (&program{}).strictReload(daemon.LoadOptions{File: name}, new(daemon.Sources), "", false)
	cfg, diags, err := load()
	if cfg == nil || err != nil || len(diags) != 1 || diags[0].Severity != conf.Warning {
		t.Fatalf("at start: %v, %v, %v; want a configuration with a warning", cfg, diags, err)
	}
	for range 2 {
		cfg, diags, err = load()
		want := name + `:4:5: error: unknown keyword "priorty" in vrrp_instance (did you mean "priority"?)`
		if cfg != nil || err != nil || len(diags) != 1 || diags[0].String() != want {
			t.Errorf("reload: %v, %v, %v; want no configuration and %q", cfg, diags, err, want)
		}
	}
	rewrite(t, name, "priorty 200", "priority 200")
	cfg, diags, err = load()
	if err != nil || len(diags) != 0 || cfg == nil || cfg.Routers[0].VRRP.Priority != 200 {
		t.Errorf("reload of the corrected file: %v, %v, %v", cfg, diags, err)
	}
}

func TestSetUmask(t *testing.T) {
	old := syscall.Umask(0o022)
	defer syscall.Umask(old)
	if err := setUmask("027"); err != nil {
		t.Fatal(err)
	}
	if got := syscall.Umask(0o022); got != 0o027 {
		t.Errorf("umask %04o, want 0027", got)
	}
}

// Whoever may not do it is told in one line which capability is missing, and that is all that happens.
func TestRunWithoutPrivileges(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: must be root to give up privileges")
	}
	conf := file(t, goodConf)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// The supervisor executes the program again, as nobody.
	for _, dir := range []string{filepath.Dir(conf), filepath.Dir(filepath.Dir(conf)), filepath.Dir(exe), filepath.Dir(filepath.Dir(exe))} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := process(t, "run", "-f", conf)
	cmd.Env = append(cmd.Env, beNobody+"=1", "FAILOVERD_STATE_DIR=/nonexistent")
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != exitPermission {
		t.Fatalf("%v, want exit status %d:\n%s", err, exitPermission, out)
	}
	if text := string(out); !strings.HasPrefix(text, "failoverd: missing capability CAP_NET_RAW") || strings.Count(text, "\n") != 1 {
		t.Errorf("said %q, want one line", text)
	}
}

// A relative state directory begins where the process in the background was started, also for an agent that is started later.
func TestStateDirInBackground(t *testing.T) {
	for _, c := range []struct{ dir, start, want string }{
		{"/run/x", "/home/u", "/run/x"},
		{"x", "/home/u", "/home/u/x"},
		{"../x", "/home/u", "/home/x"},
	} {
		env := map[string]string{"FAILOVERD_STATE_DIR": c.dir, startDirectory: c.start}
		p := &program{getenv: func(k string) string { return env[k] }}
		if got := p.stateDir(""); got != c.want {
			t.Errorf("%s from %s: %s, want %s", c.dir, c.start, got, c.want)
		}
	}
}
