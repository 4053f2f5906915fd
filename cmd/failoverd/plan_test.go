package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

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
