package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The test binary is failoverd itself when this variable is set.
const beMain = "FAILOVERD_TEST_BE_MAIN"

// With this one, too, it is failoverd run by somebody without privileges.
const beNobody = "FAILOVERD_TEST_BE_NOBODY"

// With this one instead, it creates the pid file named and waits to be killed.
const holdPIDFile = "FAILOVERD_TEST_HOLD_PID_FILE"

func TestMain(m *testing.M) {
	if path := os.Getenv(holdPIDFile); path != "" {
		_, err := createPIDFile(path)
		fmt.Println(err)
		time.Sleep(time.Hour) // without cgo, to wait for nothing at all is a deadlock
	}
	if os.Getenv(beMain) != "" {
		// It stays set: what a supervisor starts by its own name is failoverd as well.
		if os.Getenv(beNobody) != "" && os.Getuid() == 0 {
			if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(65534), syscall.Setuid(65534)); err != nil {
				panic(err)
			}
		}
		main()
	}
	os.Exit(m.Run())
}

// cli runs a command line in this process, with the given environment and no other.
func cli(t *testing.T, env map[string]string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	return cliContext(t.Context(), env, args...)
}

func cliContext(ctx context.Context, env map[string]string, args ...string) (status int, stdout, stderr string) {
	var out, errs bytes.Buffer
	p := &program{stdout: &out, stderr: &errs, getenv: func(k string) string { return env[k] }}
	status = p.execute(ctx, args)
	return status, out.String(), errs.String()
}

// process prepares failoverd as a process of its own.
func process(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(os.Environ(), beMain+"=1")
	return cmd
}

// file writes a configuration and returns its name.
func file(t *testing.T, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "failoverd.conf")
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

const goodConf = `vrrp_instance WEB {
    interface eth0
    virtual_router_id 51
    priority 100
    virtual_ipaddress {
        198.51.100.10/32
    }
}
`

func TestRootCommandLine(t *testing.T) {
	for _, c := range []struct {
		name           string
		args           []string
		status         int
		stdout, stderr string // parts
	}{
		{"nothing", nil, exitUsage, "", "failoverd: nothing to do"},
		{"-h", []string{"-h"}, 0, "Usage:", ""},
		{"--help", []string{"--help"}, 0, "failoverd run -f FILE", ""},
		{"-v", []string{"-v"}, 0, "failoverd ", ""},
		{"--version", []string{"--version"}, 0, "failoverd ", ""},
		{"unknown command", []string{"frobnicate"}, 64, "", "unknown command \"frobnicate\" for \"failoverd\"\ntry: failoverd --help\n"},
		{"misspelt command", []string{"stauts"}, 64, "", `unknown command "stauts" for "failoverd" (did you mean status?)`},
		{"unknown option", []string{"--nosuch"}, 64, "", "unknown flag: --nosuch\ntry: failoverd --help\n"},
		{"unknown letter", []string{"-Z"}, 64, "", "unknown shorthand flag: 'Z'"},
		{"option without its value", []string{"-f"}, 64, "", "flag needs an argument: 'f'"},
		{"argument to run", []string{"run", "x"}, 64, "", "run takes no argument such as \"x\"; the configuration is named by -f FILE\ntry: failoverd run --help\n"},
		{"argument to version", []string{"version", "x"}, 64, "", "version takes no argument such as \"x\"\ntry: failoverd version --help\n"},
		{"unknown option of a command", []string{"status", "--nosuch"}, 64, "", "unknown flag: --nosuch\ntry: failoverd status --help\n"},
		{"two names", []string{"status", "a", "b"}, 64, "", "at most 1 arg"},
		{"bad umask", []string{"run", "-u", "8"}, 64, "", `"8" is not an octal number`},
		{"umask too large", []string{"run", "-u", "1000"}, 64, "", `"1000" is not an octal number`},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, stdout, stderr := cli(t, nil, c.args...)
			if status != c.status || !strings.Contains(stdout, c.stdout) || !strings.Contains(stderr, c.stderr) {
				t.Errorf("exit status %d, want %d\n%s\n%s", status, c.status, stdout, stderr)
			}
			if (c.stderr == "") != (stderr == "") {
				t.Errorf("standard error: %q", stderr)
			}
		})
	}
}

// What people see of the command line: keepalived's options are understood, but do not fill the help.
func TestHelpListsCommands(t *testing.T) {
	_, out, _ := cli(t, nil, "--help")
	for _, want := range []string{"run ", "check ", "status ", "reload ", "plan ", "version ", "demo ", "--file FILE", "--config-id ID"} {
		if !strings.Contains(out, want) {
			t.Errorf("help without %q:\n%s", want, out)
		}
	}
	for _, hidden := range []string{"speaker", "snmp", "completion", "no-mem-check"} {
		if strings.Contains(out, hidden) {
			t.Errorf("help with %q:\n%s", hidden, out)
		}
	}
}

// A process bears the name of its program, whatever it was executed as.
func TestNameProcess(t *testing.T) {
	for was, want := range map[string]string{"exe\n": "failoverd", "7\n": "failoverd", "failoverd\n": "failoverd\n"} {
		comm := file(t, was)
		nameProcess(comm, "/usr/sbin/failoverd")
		if b, err := os.ReadFile(comm); err != nil || strings.TrimSpace(string(b)) != strings.TrimSpace(want) {
			t.Errorf("%q became %q, %v", was, b, err)
		}
	}
	nameProcess("/nonexistent", "/usr/sbin/failoverd")
}
