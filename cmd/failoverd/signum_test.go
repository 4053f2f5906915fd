package main

import (
	"log/syslog"
	"testing"
)

// The numbers are those that keepalived 2.2.7 prints on x86-64.
func TestSignum(t *testing.T) {
	for word, want := range map[string]string{"STOP": "15\n", "RELOAD": "1\n", "DATA": "10\n", "STATS": "12\n", "JSON": "36\n"} {
		if status, stdout, stderr := cli(t, nil, "--signum="+word); status != 0 || stdout != want {
			t.Errorf("%s: exit status %d, %q, %q; want %q", word, status, stdout, stderr, want)
		}
	}
	if status, _, stderr := cli(t, nil, "--signum=NONSENSE"); status == 0 || stderr != "failoverd: option --signum: \"NONSENSE\" is none of STOP, RELOAD, DATA, STATS, JSON\n" {
		t.Errorf("exit status %d, %q", status, stderr)
	}
}

func TestParseFacility(t *testing.T) {
	for s, want := range map[string]syslog.Priority{
		"": syslog.LOG_DAEMON, "0": syslog.LOG_LOCAL0, "7": syslog.LOG_LOCAL7, "local3": syslog.LOG_LOCAL3, "LOCAL3": syslog.LOG_LOCAL3, "user": syslog.LOG_USER,
	} {
		if got, err := parseFacility(s); err != nil || got != want {
			t.Errorf("%q: %v, %v; want %v", s, got, err, want)
		}
	}
	for _, s := range []string{"8", "-1", "local8", "kern"} {
		if _, err := parseFacility(s); err == nil {
			t.Errorf("%q is accepted", s)
		}
	}
}
