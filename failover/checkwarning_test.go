package failover_test

import (
	"testing"
	"time"

	"failoverd/failover"
	"failoverd/failover/failovertest"
	"failoverd/vrrp"
)

// TestCheckWarning: what a check warns of, such as a certificate that ends soon, is in status and told once each time that it is
// news, whatever the verdict.
func TestCheckWarning(t *testing.T) {
	cfg := failovertest.MustParseConfig("router A eth0/4/1 priority 100\naddress 192.0.2.1/24 eth0\ntrack check web\n")
	cfg.Checks = []failover.CheckConfig{{Name: "web", Probe: failover.Probe{Kind: failover.ProbeHTTP, Target: "https://192.0.2.9/", CertExpiry: 30}}}
	core, err := failover.New(cfg, 0)
	if err != nil {
		t.Fatal(err)
	}
	now := vrrp.Instant(time.Second)
	for i, tt := range []struct {
		ok      bool
		warning string
		events  int // warnings
	}{
		{true, "", 0},
		{true, "the certificate ends on 2027-01-02", 1},
		{true, "the certificate ends on 2027-01-02", 0},
		{false, "the certificate ends on 2027-01-02", 0},
		{true, "the certificate ends on 2027-01-02", 0},
		{true, "the certificate ends on 2027-03-04", 1},
		{true, "", 0},
		{true, "the certificate ends on 2027-03-04", 1},
	} {
		var fx failover.Effects
		now = now.Add(time.Second)
		core.Step(now, failover.TrackerReported{Report: failover.TrackerReport{
			Tracker: failover.Tracker{Kind: failover.TrackCheck, Name: "web"}, OK: tt.ok, Reason: "status", Warning: tt.warning,
		}}, &fx)
		warnings := 0
		for _, e := range fx.Events {
			if e.Kind == failover.EventTracker && e.To == "warning" {
				warnings++
				if e.Reason != tt.warning || e.Object != "track_check web" {
					t.Errorf("report %d: event %+v", i, e)
				}
			}
		}
		s := core.Snapshot(now, func(i vrrp.Instant) time.Time { return time.Unix(0, int64(i)) })
		if warnings != tt.events || len(s.Checks) != 1 || s.Checks[0].Warning != tt.warning || s.Checks[0].OK != tt.ok {
			t.Errorf("report %d: %d warnings, status %+v; want %d of %q", i, warnings, s.Checks, tt.events, tt.warning)
		}
	}
}
