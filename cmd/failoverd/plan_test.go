package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"failoverd/failover"
	"failoverd/failover/status"
)

func TestPlan(t *testing.T) {
	good, bad := file(t, goodConf), file(t, "vrrp_instance V {\n    priority 999\n}\n")
	dir := t.TempDir()
	serve(t, dir, &source{})
	socket := filepath.Join(dir, "status.sock")
	status1, stdout, stderr := cli(t, nil, "plan", "-s", socket, "-f", good)
	if status1 != 0 || stdout != "running old, new new\nvrrp_instance "+good+": restarted\n    another interface\n" {
		t.Errorf("exit status %d, %q, %q", status1, stdout, stderr)
	}
	status1, stdout, _ = cli(t, nil, "plan", "--json", "-s", socket, "-f", good)
	var a status.PlanAnswer
	if err := json.Unmarshal([]byte(stdout), &a); err != nil || status1 != 0 || len(a.Entries) != 1 {
		t.Errorf("exit status %d, %q, %v", status1, stdout, err)
	}
	if status, _, stderr := cli(t, nil, "plan", "-s", socket, "-f", bad); status != exitCheck || !strings.Contains(stderr, bad+":2:") || !strings.Contains(stderr, "would be refused") {
		t.Errorf("a bad file: exit status %d, %q", status, stderr)
	}
	if status, _, stderr := cli(t, nil, "plan", "-s", socket+"x", "-f", good); status != exitFatal || !strings.Contains(stderr, "no agent is running") {
		t.Errorf("no agent: exit status %d, %q", status, stderr)
	}
	if status, _, stderr := cli(t, nil, "plan", "-s", socket, "-f", good+"x"); status != exitCheck || !strings.Contains(stderr, "no such file") {
		t.Errorf("no file: exit status %d, %q", status, stderr)
	}
}

// A file is read as what the running agent is, as a reload would read it.
func TestPlanReadsAsTheAgent(t *testing.T) {
	dir := t.TempDir()
	// Only as m1 does the file have the include, which the agent is sent along.
	inc := file(t, "# nothing\n")
	conf := file(t, goodConf+"@m1 include "+inc+"\n")
	for _, tt := range []struct {
		agent, flag string
		files       int
		err         string
	}{
		{"m1", "", 2, ""},
		{"m1", "m1", 2, ""},
		{"m2", "", 1, ""},
		{"m2", "m1", 0, "the agent runs with config-id m2, and a reload reads the file as that, not as m1"},
		{"", "m1", 2, ""}, // an older agent does not say
		{"", "", 1, ""},
	} {
		src := &planSource{id: tt.agent}
		name := filepath.Join(dir, tt.agent+"-"+tt.flag)
		if err := os.Mkdir(name, 0o755); err != nil {
			t.Fatal(err)
		}
		serve(t, name, src)
		args := []string{"plan", "-s", filepath.Join(name, "status.sock"), "-f", conf}
		if tt.flag != "" {
			args = append(args, "-i", tt.flag)
		}
		code, _, stderr := cli(t, nil, args...)
		want := 0
		if tt.err != "" {
			want = exitConfig
		}
		if code != want || !strings.Contains(stderr, tt.err) || len(src.asked) != tt.files {
			t.Errorf("agent %q, -i %q: exit status %d, %q, %d files sent, want %d", tt.agent, tt.flag, code, stderr, len(src.asked), tt.files)
		}
	}
	if status, _, stderr := cli(t, nil, "plan", "-f", conf, "--against", conf, "-i", "m3"); status != 0 {
		t.Errorf("two files as somebody else: exit status %d, %q", status, stderr)
	}
}

// planSource is an agent with a config-id that notes what it is asked about.
type planSource struct {
	source
	id    string
	asked []status.PlanFile
}

func (s *planSource) Snapshot() *failover.Snapshot {
	snap := s.source.Snapshot()
	snap.Config.ConfigID = s.id
	return snap
}

func (s *planSource) Plan(q *status.PlanRequest) (*status.PlanAnswer, error) {
	s.asked = q.Files
	return s.source.Plan(q)
}

// Two files are compared without an agent.
func TestPlanAgainst(t *testing.T) {
	old := file(t, goodConf)
	next := file(t, strings.Replace(goodConf, "virtual_router_id 51", "virtual_router_id 52", 1))
	if status, stdout, stderr := cli(t, nil, "plan", "-f", next, "--against", old); status != 0 || !strings.Contains(stdout, "restarted") {
		t.Errorf("exit status %d, %q, %q", status, stdout, stderr)
	}
	if status, stdout, _ := cli(t, nil, "plan", "-f", old, "--against", old); status != 0 || !strings.Contains(stdout, "nothing changes") {
		t.Errorf("the same file: exit status %d, %q", status, stdout)
	}
}
