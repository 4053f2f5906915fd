package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"failoverd/failover"
	"failoverd/failover/status"
	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// source is an agent that only shows itself.
type source struct {
	refuse   error
	warnings []string
	answer   *status.CommandAnswer // nil: done as asked for
	commands []status.Command      // as they came
}

func (s *source) Command(_ context.Context, c *status.Command) (*status.CommandAnswer, error) {
	s.commands = append(s.commands, *c)
	if s.refuse != nil {
		return nil, &status.AnswerError{Code: status.Refused, Text: s.refuse.Error()}
	}
	if s.answer != nil {
		return s.answer, nil
	}
	return &status.CommandAnswer{Warnings: s.warnings}, nil
}

func (s *source) Reload(context.Context) ([]string, error) { return s.warnings, s.refuse }

func (s *source) Plan(q *status.PlanRequest) (*status.PlanAnswer, error) {
	return &status.PlanAnswer{Running: "old", New: "new", Entries: []failover.PlanEntry{
		{Kind: "vrrp_instance", Name: q.File, Effect: failover.PlanRestarted, Notes: []string{"another interface"}},
	}}, nil
}

func (s *source) Events(int) []json.RawMessage { return nil }

func (s *source) Snapshot() *failover.Snapshot {
	now := time.Now()
	return &failover.Snapshot{
		Version: "0.1.0", PID: 4711, RouterID: "mainland-a", StartedAt: now.Add(-time.Hour), TakenAt: now,
		Config: failover.ConfigStatus{File: "/etc/failoverd/failoverd.conf", Hash: "3f9a0b12c4d5e6f7", LoadedAt: now.Add(-time.Hour)},
		Routers: []failover.RouterStatus{{
			Name: "WEB", Key: vrrp.Key{Interface: "eth0", Family: wire.IPv4, VRID: 51}, VRID: 51,
			State: "MASTER", Since: now.Add(-30 * time.Minute), Why: "no advertisement for 3.609s",
			Interface: "eth0", PriorityBase: 150, PriorityEffective: 150,
		}},
	}
}

// serve runs a status server in dir/status.sock, as an agent with that state directory does.
func serve(t *testing.T, dir string, src status.Source) {
	t.Helper()
	s, err := status.New(filepath.Join(dir, "status.sock"), src, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
}

func TestStatusCommand(t *testing.T) {
	dir := t.TempDir()
	serve(t, dir, &source{})
	env := map[string]string{"FAILOVERD_STATE_DIR": dir}
	for _, c := range []struct {
		name           string
		args           []string
		status         int
		stdout, stderr string // parts
	}{
		{"table", nil, 0, "WEB     MASTER  30m00s  150", ""},
		{"one router", []string{"WEB"}, 0, "WEB  MASTER  eth0/4/51\n    since       30m00s ago", ""},
		{"by key", []string{"eth0/4/51"}, 0, "WEB  MASTER  eth0/4/51\n", ""},
		{"JSON", []string{"--json"}, 0, "{\n  \"version\": \"0.1.0\",\n", ""},
		{"JSON of one router", []string{"--json", "WEB"}, 0, "{\n  \"name\": \"WEB\",\n", ""},
		{"unknown router", []string{"WAB"}, 1, "", "failoverd: no virtual router \"WAB\"; there are: WEB\n"},
		{"unknown router, JSON", []string{"WAB", "--json"}, 1, "", "failoverd: no virtual router \"WAB\"; there are: WEB\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, stdout, stderr := cli(t, env, append([]string{"status"}, c.args...)...)
			if code != c.status || !strings.Contains(stdout, c.stdout) || stderr != c.stderr || strings.Contains(stdout, "\x1b") {
				t.Errorf("exit status %d, want %d\n%s\n%s", code, c.status, stdout, stderr)
			}
		})
	}
}

func TestStatusWithoutAgent(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	for _, command := range []string{"status", "reload"} {
		code, stdout, stderr := cli(t, nil, command, "--socket", socket)
		if code != exitFatal || stdout != "" || stderr != "failoverd: no agent is running there: "+socket+
			" does not exist; is failoverd started, and does it use another status_socket?\n" {
			t.Errorf("%s: exit status %d, %q, %q", command, code, stdout, stderr)
		}
	}
}

// The socket is found where the agent puts it.
func TestStatusFindsTheSocket(t *testing.T) {
	old := defaultFiles
	defer func() { defaultFiles = old }()
	defaultFiles = []string{filepath.Join(t.TempDir(), "none")}

	agent, empty := t.TempDir(), t.TempDir()
	serve(t, agent, &source{})
	socket := filepath.Join(agent, "status.sock")
	conf := file(t, "global_defs {\n    status_socket "+socket+"\n}\n"+goodConf)
	for _, c := range []struct {
		name string
		env  map[string]string
		args []string
	}{
		{"FAILOVERD_STATE_DIR", map[string]string{"FAILOVERD_STATE_DIR": agent, "RUNTIME_DIRECTORY": empty}, nil},
		{"RUNTIME_DIRECTORY of systemd", map[string]string{"RUNTIME_DIRECTORY": agent + ":" + empty}, nil},
		{"--socket", map[string]string{"FAILOVERD_STATE_DIR": empty}, []string{"--socket", socket}},
		{"the file in -f", map[string]string{"FAILOVERD_STATE_DIR": empty}, []string{"-f", conf}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if code, _, stderr := cli(t, c.env, append([]string{"status"}, c.args...)...); code != 0 {
				t.Errorf("exit status %d, %s", code, stderr)
			}
		})
	}
	t.Run("the default file", func(t *testing.T) {
		defaultFiles = []string{conf}
		if code, _, stderr := cli(t, map[string]string{"FAILOVERD_STATE_DIR": empty}, "status"); code != 0 {
			t.Errorf("exit status %d, %s", code, stderr)
		}
	})
}

func TestReloadCommand(t *testing.T) {
	dir := t.TempDir()
	src := &source{}
	serve(t, dir, src)
	env := map[string]string{"FAILOVERD_STATE_DIR": dir}
	if code, stdout, stderr := cli(t, env, "reload"); code != 0 || stdout != "reloaded\n" || stderr != "" {
		t.Errorf("good: exit status %d, %q, %q", code, stdout, stderr)
	}
	src.warnings = []string{"f.conf:4:5: warning: odd word", "f.conf:7:5: warning: odd number"}
	if code, stdout, stderr := cli(t, env, "reload"); code != 0 || stdout != "reloaded\n" || stderr != strings.Join(src.warnings, "\n")+"\n" {
		t.Errorf("good with warnings: exit status %d, %q, %q", code, stdout, stderr)
	}
	src.refuse = errors.New("f.conf:3:5: error: unknown keyword\nf.conf:9:1: error: missing }")
	code, stdout, stderr := cli(t, env, "reload")
	if code != exitConfig || stdout != "" ||
		stderr != "failoverd: reload refused, the running configuration stays: f.conf:3:5: error: unknown keyword\nf.conf:9:1: error: missing }\n" {
		t.Errorf("refused: exit status %d, %q, %q", code, stdout, stderr)
	}
}

// lines hands every line that is written to a test.
type lines chan string

func (l lines) Write(b []byte) (int, error) {
	l <- string(b)
	return len(b), nil
}

func TestStatusWatch(t *testing.T) {
	dir := t.TempDir()
	serve(t, dir, &source{})
	for _, c := range []struct {
		name  string
		args  []string
		check func(out string) bool
	}{
		{"table", nil, func(out string) bool {
			return strings.HasPrefix(out, "failoverd 0.1.0") && strings.HasSuffix(out, "\n\n")
		}},
		{"one JSON object a line", []string{"--json"}, func(out string) bool {
			return strings.Count(out, "\n") == 1 && strings.HasSuffix(out, "}\n") && json.Valid([]byte(out))
		}},
		{"one router", []string{"WEB"}, func(out string) bool { return strings.HasPrefix(out, "WEB  MASTER") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			out, end := make(lines), make(chan int, 1)
			p := &program{stdout: out, stderr: os.Stderr, getenv: func(k string) string { return map[string]string{"FAILOVERD_STATE_DIR": dir}[k] }}
			go func() { end <- p.execute(ctx, append([]string{"status", "--watch"}, c.args...)) }()
			for range 2 {
				if got := <-out; !c.check(got) {
					t.Errorf("printed %q", got)
				}
			}
			cancel()
			if code := <-end; code != 0 {
				t.Errorf("exit status %d after an interrupt", code)
			}
		})
	}
}

// An agent that is not there is waited for.
func TestStatusWatchWithoutAgent(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, end := make(lines), make(chan int, 1)
	p := &program{stdout: out, stderr: os.Stderr, getenv: func(string) string { return "" }}
	go func() {
		end <- p.execute(ctx, []string{"status", "--watch", "--socket", filepath.Join(dir, "status.sock")})
	}()
	if got := <-out; !strings.HasPrefix(got, "no agent is running there") {
		t.Errorf("printed %q", got)
	}
	serve(t, dir, &source{})
	if got := <-out; !strings.HasPrefix(got, "failoverd 0.1.0") {
		t.Errorf("once the agent runs: %q", got)
	}
	cancel()
	<-end
}

func TestRepaint(t *testing.T) {
	if got, want := string(repaint([]byte("a\nb\n"))), "\x1b[Ha\x1b[K\nb\x1b[K\n\x1b[J"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
