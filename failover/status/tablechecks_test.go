package status

import (
	"strings"
	"testing"
	"time"

	"failoverd/failover"
)

func TestChecksTable(t *testing.T) {
	s := sample()
	s.Routers, s.Speakers, s.Links = nil, nil, nil
	since := s.TakenAt.Add(-90 * time.Second)
	s.Checks = []failover.CheckStatus{
		{Name: "web", Probe: "http https://198.18.0.1/healthz", Known: true, OK: true, Reason: "status 200", Since: &since, Probes: 20, RTTMS: 0.41, LossPercent: 5, Warning: "the certificate ends on 2026-12-05"},
		{Name: "ping", Probe: "icmp 198.18.0.1", Known: true, Reason: "timed out after 1s, 3 in a row", Since: &since, Probes: 7, LossPercent: 100},
		{Name: "far", Probe: "tcp far.example:80", Known: true, Unknown: true, Reason: "network is unreachable", Since: &since},
		{Name: "new", Probe: "bgp_route 198.51.100.0/24 speaker EDGE"},
	}
	var b strings.Builder
	if err := Table(&b, s, TableOptions{}); err != nil {
		t.Fatal(err)
	}
	_, got, _ := strings.Cut(b.String(), "no virtual routers\n\n")
	want := `CHECK  VERDICT        SINCE  RTT    LOSS  PROBE
web    ok             1m30s  0.4ms  5%    http https://198.18.0.1/healthz
    warning: the certificate ends on 2026-12-05
ping   failed         1m30s  -      100%  icmp 198.18.0.1
    timed out after 1s, 3 in a row
far    unknown        1m30s  -      -     tcp far.example:80
    network is unreachable
new    no result yet  -      -      -     bgp_route 198.51.100.0/24 speaker EDGE
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestCheckGroupsTable(t *testing.T) {
	s := sample()
	s.Routers, s.Speakers, s.Links = nil, nil, nil
	since := s.TakenAt.Add(-90 * time.Second)
	s.CheckGroups = []failover.CheckGroupStatus{
		{Name: "upstreams", Rule: "any", Need: 1, Known: true, Verdict: "up", Since: &since, Members: []failover.GroupMemberStatus{
			{Kind: "track_check", Name: "a", Verdict: "up"}, {Kind: "track_script", Name: "b", Verdict: "down", Reason: "exit status 1"},
		}},
		{Name: "service", Rule: "at_least 2", Need: 2, Known: true, Verdict: "down", Since: &since, Members: []failover.GroupMemberStatus{
			{Kind: "track_check", Name: "web", Verdict: "down", Reason: "connection\x1b refused"}, {Kind: "track_check", Name: "far", Verdict: "unknown", Reason: "no route"},
		}},
		{Name: "new", Rule: "all", Need: 1, Verdict: "unknown", Members: []failover.GroupMemberStatus{{Kind: "track_process", Name: "p", Verdict: "unknown", Reason: "no result yet"}}},
	}
	var b strings.Builder
	if err := Table(&b, s, TableOptions{}); err != nil {
		t.Fatal(err)
	}
	_, got, _ := strings.Cut(b.String(), "no virtual routers\n\n")
	want := `CHECK GROUP  VERDICT        SINCE  UP   RULE
upstreams    up             1m30s  1/2  any
    track_script b is down: exit status 1
service      down           1m30s  0/2  at_least 2
    track_check web is down: connection\x1b refused
    track_check far is unknown: no route
new          no result yet  -      0/1  all
    track_process p is unknown: no result yet
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
