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
		{Name: "web", Probe: "http https://198.18.0.1/healthz", Known: true, OK: true, Reason: "status 200", Since: &since},
		{Name: "ping", Probe: "icmp 198.18.0.1", Known: true, Reason: "timed out after 1s, 3 in a row", Since: &since},
		{Name: "far", Probe: "tcp far.example:80", Known: true, Unknown: true, Reason: "network is unreachable", Since: &since},
		{Name: "new", Probe: "bgp_route 198.51.100.0/24 speaker EDGE"},
	}
	var b strings.Builder
	if err := Table(&b, s, TableOptions{}); err != nil {
		t.Fatal(err)
	}
	_, got, _ := strings.Cut(b.String(), "no virtual routers\n\n")
	want := `CHECK  VERDICT        SINCE  PROBE
web    ok             1m30s  http https://198.18.0.1/healthz
ping   failed         1m30s  icmp 198.18.0.1
    timed out after 1s, 3 in a row
far    unknown        1m30s  tcp far.example:80
    network is unreachable
new    no result yet  -      bgp_route 198.51.100.0/24 speaker EDGE
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
