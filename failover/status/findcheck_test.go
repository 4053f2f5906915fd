package status

import (
	"strings"
	"testing"
	"time"

	"failoverd/failover"
)

func checked() *failover.Snapshot {
	s := sample()
	since := s.TakenAt.Add(-90 * time.Second)
	s.Checks = []failover.CheckStatus{
		{Name: "web", Probe: "http http://198.18.0.1/", Known: true, OK: true, Since: &since},
		{Name: "WEB", Probe: "tcp 198.18.0.1:80"}, // as a router
		{Name: "far", Probe: "tcp 198.18.0.2:80", Known: true, Reason: "refused", Since: &since},
	}
	s.CheckGroups = []failover.CheckGroupStatus{{
		Name: "service", Rule: "all", Need: 2, Known: true, Verdict: "down", Since: &since, Members: []failover.GroupMemberStatus{
			{Kind: "track_check", Name: "far", Verdict: "down", Reason: "refused"}, {Kind: "track_script", Name: "web", Verdict: "up"},
		},
	}}
	return s
}

func TestFind(t *testing.T) {
	s := checked()
	for name, want := range map[string]string{"WEB": "router", "web": "check", "service": "group", "nobody": "nothing"} {
		got := "nothing"
		switch find(s, name).(type) {
		case *failover.RouterStatus:
			got = "router"
		case *failover.CheckStatus:
			got = "check"
		case *failover.CheckGroupStatus:
			got = "group"
		}
		if got != want {
			t.Errorf("%s is a %s, want a %s", name, got, want)
		}
	}
}

func TestCheckGroupDetail(t *testing.T) {
	s := checked()
	var b strings.Builder
	if err := CheckGroupDetail(&b, s, FindCheckGroup(s, "service"), TableOptions{}); err != nil {
		t.Fatal(err)
	}
	const want = `CHECK GROUP  VERDICT  SINCE  UP   RULE
service      down     1m30s  1/2  all
    track_check far is down: refused

CHECK  VERDICT  SINCE  RTT  LOSS  PROBE
far    failed   1m30s  -    -     tcp 198.18.0.2:80
    refused
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}
