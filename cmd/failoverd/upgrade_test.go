package main

import (
	"context"
	"errors"
	"strings"
	"testing"

	"failoverd/failover"
	"failoverd/failover/status"
)

// upgradable is an agent whose place another program takes, or does not.
type upgradable struct {
	source
	nothing bool   // the program is the one that works
	code    int    // of a refusal; 0: none
	pid     int    // of the program that works
	calls   string // r: a reload, u: an upgrade
	after   error  // the answer to a reload by the program that took over
}

func (u *upgradable) Upgrade(_ context.Context, q *status.UpgradeRequest) (*status.UpgradeAnswer, error) {
	u.calls += "u"
	if u.code != 0 {
		return nil, &status.AnswerError{Code: u.code, Text: "because"}
	}
	if !u.nothing && !q.Check {
		u.pid, u.refuse = u.pid+1, u.after
	}
	return &status.UpgradeAnswer{Binary: "/p", From: "0.1.0", To: "0.2.0", SwitchMS: 180, Nothing: u.nothing && q.IfChanged}, nil
}

func (u *upgradable) Reload(ctx context.Context) ([]string, error) {
	u.calls += "r"
	return u.source.Reload(ctx)
}

func (u *upgradable) Snapshot() *failover.Snapshot {
	s := u.source.Snapshot()
	s.PID += u.pid
	return s
}

// Every step of an upgrade has an exit status of its own, and says what was done and what was left.
func TestUpgradeCommand(t *testing.T) {
	bad := errors.New("f.conf:3:5: error: unknown keyword")
	for _, c := range []struct {
		name      string
		agent     upgradable
		args      string
		status    int
		out, errs string
		done      string
	}{
		{"another program", upgradable{}, "", 0, "upgraded from 0.1.0 to 0.1.0, pid 4712\n", "", "u"},
		{"could it", upgradable{}, "--check", 0, "version 0.2.0 can take over from 0.1.0; the switch is given up after 180 ms at the earliest, before a neighbor takes over\n", "", "u"},
		{"refused", upgradable{code: 409}, "", 2, "", "upgrade refused, version 0.1.0 goes on: because", "u"},
		{"the same program", upgradable{nothing: true}, "--if-changed", 0, "nothing to do: /p is the program that works, version 0.1.0\n", "", "u"},
		{"the same program, reload", upgradable{nothing: true}, "--if-changed --reload", 0, "reloaded; /p is the program that works, version 0.1.0\n", "", "ur"},
		{
			"the same program, reload refused",
			upgradable{nothing: true, source: source{refuse: bad}},
			"--if-changed --reload", 2, "",
			"reload refused, the running configuration stays, and so does the program: f.conf:3:5", "ur",
		},
		{"another program, reload", upgradable{}, "--if-changed --reload", 0, "upgraded from 0.1.0 to 0.1.0, pid 4712; reloaded\n", "", "ur"},
		{"another program, warnings", upgradable{source: source{warnings: []string{"odd"}}}, "--reload", 0, "pid 4712; reloaded\n", "odd\n", "ur"},
		{
			"another program, reload refused",
			upgradable{after: bad},
			"--if-changed --reload", 2, "",
			"reload refused, upgraded from 0.1.0 to 0.1.0, pid 4712, with the configuration that was in force before: f.conf:3:5", "ur",
		},
		{"upgrade refused, reload", upgradable{code: 409}, "--if-changed --reload", 3, "", "reloaded, but upgrade refused, version 0.1.0 goes on: because", "ur"},
		{
			"both refused",
			upgradable{code: 409, source: source{refuse: bad}},
			"--if-changed --reload", 2, "",
			"reload refused, the running configuration stays; upgrade refused, version 0.1.0 goes on: because: f.conf:3:5", "ur",
		},
		{"not for the other program", upgradable{code: 422}, "--if-changed --reload", 2, "", "upgrade refused, version 0.1.0 goes on: because", "u"},
		{"afresh", upgradable{}, "--drain --reload", 0, "upgraded from 0.1.0 to 0.1.0, pid 4712\n", "", "u"},
		{"another file", upgradable{}, "--reload -f /other.conf", 2, "", "the agent reads /etc/failoverd/failoverd.conf", ""},
		{"nonsense", upgradable{}, "--check --reload", exitUsage, "", "none of the others can be", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			serve(t, dir, &c.agent)
			args := append([]string{"upgrade"}, strings.Fields(c.args)...)
			code, out, errs := cli(t, map[string]string{"FAILOVERD_STATE_DIR": dir}, args...)
			if code != c.status || !strings.HasSuffix(out, c.out) || c.out == "" && out != "" || !strings.Contains(errs, c.errs) || c.errs == "" && errs != "" {
				t.Errorf("exit status %d, %q, %q", code, out, errs)
			}
			if c.agent.calls != c.done {
				t.Errorf("the agent was asked %q, want %q", c.agent.calls, c.done)
			}
		})
	}
}
