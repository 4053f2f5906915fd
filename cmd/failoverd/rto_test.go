package main

import (
	"encoding/json"
	"strings"
	"testing"

	"failoverd/failover"
)

func TestRTO(t *testing.T) {
	good, bad := file(t, goodConf), file(t, "vrrp_instance V {\n    priority 999\n}\n")
	status, stdout, stderr := cli(t, nil, "rto", "-f", good)
	for _, want := range []string{"vrrp_instance ", "node crash", "site power", "failback", "Active_Down_Interval"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is missing in\n%s", want, stdout)
		}
	}
	if status != 0 || stderr != "" {
		t.Errorf("exit status %d, %q", status, stderr)
	}
	status, stdout, _ = cli(t, nil, "rto", "--json", "-f", good)
	var list []failover.RecoveryStatus
	if err := json.Unmarshal([]byte(stdout), &list); err != nil || status != 0 || len(list) != 7 {
		t.Errorf("exit status %d, %q, %v", status, stdout, err)
	}
	if status, stdout, stderr := cli(t, nil, "rto", "-f", bad); status != exitCheck || stdout != "" || !strings.Contains(stderr, bad+":2:") {
		t.Errorf("a bad file: exit status %d, %q, %q", status, stdout, stderr)
	}
	if status, _, stderr := cli(t, nil, "rto", "-f", good+"x"); status != exitCheck || !strings.Contains(stderr, "no such file") {
		t.Errorf("no file: exit status %d, %q", status, stderr)
	}
}
