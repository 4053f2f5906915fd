package failover

import (
	"net/netip"
	"testing"

	"failoverd/bgp"
)

// What went wrong before is no reason to be up, neither of a session nor of a speaker; why one is down is.
func TestSessionEventReason(t *testing.T) {
	a := netip.MustParseAddr("192.0.2.3")
	for _, c := range []struct {
		name     string
		was, is  bgp.SessionState
		reason   string
		expected string
	}{
		{"up", bgp.Idle, bgp.Established, "EOF", ""},
		{"down", bgp.Established, bgp.Idle, "EOF", "EOF"},
		{"does not come up", bgp.Idle, bgp.Connect, "EOF", "EOF"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &speaker{troubles: map[netip.Addr]*limiter{}}
			s.cfg = &bgp.SpeakerConfig{Name: "EDGE"}
			s.report.Neighbors = []bgp.NeighborStatus{{Address: a, State: c.is, LastError: c.reason}}
			var fx Effects
			s.sessionEvents(0, []bgp.NeighborStatus{{Address: a, State: c.was}}, &fx)
			if len(fx.Events) != 1 || fx.Events[0].Reason != c.expected {
				t.Errorf("events %+v, want one with the reason %q", fx.Events, c.expected)
			}
		})
	}
}

func TestSpeakerEventReason(t *testing.T) {
	s := &speaker{troubles: map[netip.Addr]*limiter{}}
	s.cfg = &bgp.SpeakerConfig{Name: "EDGE"}
	c := &Core{speakers: map[string]*speaker{"EDGE": s}}
	for _, step := range []struct {
		connected     bool
		err, to, want string
	}{
		{true, "EOF", "up", ""},
		{false, "EOF", "down", "EOF"},
		{true, "EOF", "up", ""},
		{true, "DeadlineExceeded", "trouble", "DeadlineExceeded"}, // it was up all the time
	} {
		var fx Effects
		c.speakerReported(0, &bgp.Report{Speaker: "EDGE", Connected: step.connected, Err: step.err}, &fx)
		if len(fx.Events) != 1 || fx.Events[0].To != step.to || fx.Events[0].Reason != step.want {
			t.Errorf("events %+v, want %q with the reason %q", fx.Events, step.to, step.want)
		}
	}
}
