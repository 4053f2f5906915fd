package status

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"failoverd/failover"
)

// sampleServices are anycast services in every state.
func sampleServices(s *failover.Snapshot) []failover.AnycastStatus {
	address := func(in bool) []failover.AddressStatus {
		return []failover.AddressStatus{{Address: netip.MustParsePrefix("192.0.2.1/32"), Interface: "lo", Wanted: in, Present: in}}
	}
	route := func(when string, out bool) failover.RouteStatus {
		p := netip.MustParsePrefix("192.0.2.0/24")
		return failover.RouteStatus{Prefix: p, Speaker: "EDGE", When: when, Route: p.String(), Wanted: out, Announced: out, Sessions: 2}
	}
	since := s.TakenAt.Add(-90 * time.Second)
	down := failover.TrackStatus{Kind: "track_check", Name: "web", Known: true, Reason: "connection refused", Fault: true}
	return []failover.AnycastStatus{
		{
			Name: "web", State: failover.ServiceAnnounced, Since: since, Why: "everything that it needs is all right", Interface: "lo", DrainTimeMS: 5000, WithdrawGraceMS: 200,
			KeepLast:  &failover.KeepLastStatus{Check: "others", SettleMS: 6000, Known: true, Reason: "not seen from 203.0.113.1"},
			Tracks:    []failover.TrackStatus{{Kind: "track_check", Name: "web", Known: true, OK: true}},
			Addresses: address(true), Routes: []failover.RouteStatus{route("active", true), route("draining", false)}, TimesAnnounced: 2, TimesWithdrawn: 1,
		},
		{
			Name: "dns", State: failover.ServiceDraining, Since: since, Why: "drained by ann", Waiting: "for drain_time 5s to pass; until then it goes on serving",
			Addresses: address(true), Routes: []failover.RouteStatus{route("active", true)}, Drained: &failover.DrainStatus{By: "ann", Since: since},
		},
		{
			Name: "ntp", State: failover.ServiceFault, Since: since, Why: "track_check web: connection refused", Waiting: "track_check web: connection refused",
			Tracks: []failover.TrackStatus{down}, Addresses: address(false), Routes: []failover.RouteStatus{{
				Prefix: netip.MustParsePrefix("192.0.2.0/24"), Speaker: "EDGE", When: "active", Announced: true, Sessions: 1,
			}},
		},
	}
}

func TestServicesTable(t *testing.T) {
	s := sample()
	s.Routers, s.Speakers, s.Links, s.Groups = nil, nil, nil, nil
	s.Services = sampleServices(s)
	var b strings.Builder
	if err := Table(&b, s, TableOptions{}); err != nil {
		t.Fatal(err)
	}
	_, got, _ := strings.Cut(b.String(), "SERVICE")
	want := `  STATE      SINCE  ADDRESSES  ROUTES  BGP  WHY
web      ANNOUNCED  1m30s  1/1        -       1/1  everything that it needs is all right
dns      DRAINING   1m30s  1/1        -       1/1  drained by ann
    drained by ann 1m30s ago, until undrain
    waiting: for drain_time 5s to pass; until then it goes on serving
ntp      FAULT      1m30s  -          -       1/0  track_check web: connection refused
    BGP route 192.0.2.0/24 speaker EDGE: still announced, not wanted
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if strings.Contains(b.String(), "no virtual routers") {
		t.Error("it says that there are no virtual routers, which nobody wants who has services")
	}
	for _, word := range []string{"MASTER", "BACKUP", "VRRP", "priority", "vrid"} {
		if strings.Contains(strings.ToUpper(got), strings.ToUpper(word)) {
			t.Errorf("the table speaks of %s:\n%s", word, got)
		}
	}
}

func TestServiceDetail(t *testing.T) {
	s := sample()
	s.Services = sampleServices(s)
	var b strings.Builder
	if err := ServiceDetail(&b, s, FindService(s, "web"), TableOptions{}); err != nil {
		t.Fatal(err)
	}
	head, got, _ := strings.Cut(b.String(), "since")
	if want := "web  ANNOUNCED  anycast_service on lo\n    "; head != want {
		t.Errorf("head %q, want %q", head, want)
	}
	_, got, _ = strings.Cut(got, "\n")
	want := `    why         everything that it needs is all right
    drain time  5000ms
    settles     withdraw_grace 200ms: in an orderly move the addresses stay that long after the routes are withdrawn
    keep last   track_check others for 6000ms: no other announcement is seen (not seen from 203.0.113.1)
    tracks      track_check web: ok
    address     192.0.2.1/32 dev lo: present
    BGP route   192.0.2.0/24 speaker EDGE when active: announced to 2 neighbors
    BGP route   192.0.2.0/24 speaker EDGE when draining: absent
    counts      announced 2 times, withdrawn once
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if FindService(s, "A") != nil {
		t.Error("a router is found among the services")
	}
}

// TestCommandsForServices: the names of services are as good as those of routers.
func TestCommandsForServices(t *testing.T) {
	s := sample()
	s.Routers = nil
	s.Services = sampleServices(s)
	for _, tt := range []struct {
		verb   Verb
		router string
		want   string // of the command, or of the error
	}{
		{Drain, "web", "web"},
		{Undrain, "", ""},
		{Switchover, "", "there are several virtual routers and anycast services: name the one to hand over"},
		{Drain, "wbe", `no virtual router or anycast service "wbe"`},
	} {
		c, e := (&CommandRequest{Router: tt.router}).understand(tt.verb, s)
		switch {
		case e != nil && e.Text != tt.want:
			t.Errorf("%s %q: %s, want %s", tt.verb, tt.router, e.Text, tt.want)
		case e == nil && c.Router != tt.want:
			t.Errorf("%s %q goes to %q, want %q", tt.verb, tt.router, c.Router, tt.want)
		}
	}
	s.Services = s.Services[:1]
	if c, e := (&CommandRequest{}).understand(Switchover, s); e != nil || c.Router != "web" {
		t.Errorf("switchover of the only service: %v, %v", c, e)
	}
}
