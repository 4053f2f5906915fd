package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"failoverd/failover/status"
)

func TestDrainCommands(t *testing.T) {
	for _, c := range []struct {
		name   string
		args   []string
		source source
		status int
		want   *status.Command // but for By
		says   string
	}{
		{
			"drain",
			[]string{"drain", "WEB", "--reason", "new kernel", "--for", "2h"},
			source{},
			0,
			&status.Command{Verb: status.Drain, Router: "WEB", Reason: "new kernel", For: 2 * time.Hour}, "drained\n",
		},
		{"drain all", []string{"drain"}, source{}, 0, &status.Command{Verb: status.Drain}, "drained\n"},
		{"a warning", []string{"drain"}, source{warnings: []string{"disk full"}}, 0, &status.Command{Verb: status.Drain}, "warning: disk full"},
		{"undrain", []string{"undrain"}, source{}, 0, &status.Command{Verb: status.Undrain}, "undrained\n"},
		{
			"undrain of what is not drained",
			[]string{"undrain"},
			source{answer: &status.CommandAnswer{Nothing: true, Text: "no router was drained"}},
			0,
			&status.Command{Verb: status.Undrain}, "nothing to do: no router was drained\n",
		},
		{
			"switchover",
			[]string{"switchover", "--reason", "test"},
			source{},
			0,
			&status.Command{Verb: status.Switchover, Router: "WEB", Reason: "test"}, "handed over\n",
		},
		{
			"refused",
			[]string{"switchover"},
			source{refuse: errors.New("nobody came")},
			exitRefused,
			&status.Command{Verb: status.Switchover, Router: "WEB"}, "switchover refused: nobody came",
		},
		{"unknown router", []string{"drain", "WEP"}, source{}, exitFatal, nil, "there are: WEB"},
		{"no time at all", []string{"drain", "--for", "0s"}, source{}, exitUsage, nil, "want a duration"},
		{"no duration", []string{"drain", "--for", "soon"}, source{}, exitUsage, nil, "invalid argument"},
		{"two names", []string{"undrain", "A", "B"}, source{}, exitUsage, nil, "accepts at most 1 arg"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			src := c.source
			serve(t, dir, &src)
			code, stdout, stderr := cli(t, map[string]string{"FAILOVERD_STATE_DIR": dir, "SUDO_USER": "ann"}, c.args...)
			if code != c.status || !strings.Contains(stdout+stderr, c.says) {
				t.Errorf("exit status %d, %q, %q", code, stdout, stderr)
			}
			switch {
			case c.want == nil && len(src.commands) > 0, c.want != nil && len(src.commands) != 1:
				t.Errorf("the agent was asked for %+v", src.commands)
			case c.want != nil:
				got := src.commands[0]
				if !strings.HasPrefix(got.By, "ann") {
					t.Errorf("by %q", got.By)
				}
				got.By = ""
				if got != *c.want {
					t.Errorf("the agent was asked for %+v, want %+v", got, *c.want)
				}
			}
		})
	}
}

func TestDrainDir(t *testing.T) {
	for _, c := range []struct {
		env  map[string]string
		want string
	}{
		{map[string]string{"FAILOVERD_STATE_DIR": "/run/x", "STATE_DIRECTORY": "/var/lib/y"}, "/run/x"},
		{map[string]string{"STATE_DIRECTORY": "/tmp:/b"}, "/tmp"},
		{map[string]string{"STATE_DIRECTORY": "/proc/none"}, "/run/failoverd/ns"}, // it cannot be created
	} {
		p := &program{getenv: func(k string) string { return c.env[k] }}
		if got := p.drainDir("ns"); got != c.want {
			t.Errorf("%v: %s, want %s", c.env, got, c.want)
		}
	}
}
