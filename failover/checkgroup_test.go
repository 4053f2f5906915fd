package failover_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"failoverd/failover"
	"failoverd/failover/failovertest"
	"failoverd/vrrp"
)

// TestGroupVerdicts tries every combination of what four members may say under every rule. A group is up only when it would
// be up whatever those turn out to be that are not known, and down only when it would be down; and it has no verdict while
// a first result may still decide.
func TestGroupVerdicts(t *testing.T) {
	const members = 4
	kinds := []string{"up", "down", "unknown", "none"}
	rules := []string{"all", "any", "at_least 1", "at_least 2", "at_least 3", "at_least 4"}
	need := []int{members, 1, 1, 2, 3, 4}
	for r, rule := range rules {
		for n := range 256 {
			cfg := failovertest.MustParseConfig("check_group g " + rule + " check m0 check m1 check m2 check m3\nrouter A eth0/4/1\naddress 192.0.2.1/24 eth0\ntrack check g\n")
			core, err := failover.New(cfg, 0)
			if err != nil {
				t.Fatal(err)
			}
			said, count := "", map[string]int{}
			for i := range members {
				kind := kinds[n>>(2*i)&3]
				said += kind + " "
				count[kind]++
				if kind == "none" {
					continue
				}
				core.Step(vrrp.Instant(time.Second), failover.TrackerReported{Report: failover.TrackerReport{
					Tracker: failover.Tracker{Kind: failover.TrackCheck, Name: fmt.Sprint("m", i)}, OK: kind == "up", Unknown: kind == "unknown",
				}}, new(failover.Effects))
			}
			want := "unknown"
			switch {
			case count["up"] >= need[r]:
				want = "up"
			case count["up"]+count["unknown"]+count["none"] < need[r]:
				want = "down"
			case count["up"]+count["none"] >= need[r], count["up"]+count["unknown"] < need[r]:
				want = "none" // a first result may make it up, or down
			}
			g := core.Snapshot(vrrp.Instant(time.Second), func(i vrrp.Instant) time.Time { return time.Unix(0, int64(i)) }).CheckGroups[0]
			got := g.Verdict
			if !g.Known {
				got = "none"
			}
			if got != want {
				t.Fatalf("%s of %s: %s (%s), want %s", rule, said, got, g.Reason, want)
			}
		}
	}
}

// TestGroupEvidence: the evidence for a verdict begins with that of the last member that it takes, so that who waits for it
// to have lasted for long enough does not count from the first failure of many.
func TestGroupEvidence(t *testing.T) {
	for _, tt := range []struct {
		rule string
		up   bool
		want time.Duration
	}{
		{"all", true, 3 * time.Second},
		{"any", true, time.Second},
		{"at_least 2", true, 2 * time.Second},
		{"all", false, time.Second},
		{"any", false, 3 * time.Second},
		{"at_least 2", false, 2 * time.Second},
	} {
		cfg := failovertest.MustParseConfig("check_group g " + tt.rule + " check m1 check m2 check m3\nrouter A eth0/4/1\naddress 192.0.2.1/24 eth0\ntrack check g\n")
		core, err := failover.New(cfg, 0)
		if err != nil {
			t.Fatal(err)
		}
		now := vrrp.Instant(10 * time.Second)
		for i := 1; i <= 3; i++ { // the verdict of m1 is the oldest one
			core.Step(now, failover.TrackerReported{Report: failover.TrackerReport{
				Tracker: failover.Tracker{Kind: failover.TrackCheck, Name: fmt.Sprint("m", i)}, OK: tt.up, Since: now.Sub(vrrp.Instant(i) * vrrp.Instant(time.Second)),
			}}, new(failover.Effects))
		}
		g := core.Snapshot(now, func(i vrrp.Instant) time.Time { return time.Unix(0, int64(i)) }).CheckGroups[0]
		if g.Since == nil || g.Since.UnixNano() != int64(tt.want) {
			t.Errorf("%s, all up %v: since %v, want %v", tt.rule, tt.up, g.Since, tt.want)
		}
	}
}

// TestGroupReasonStartsWithWhatIsDown: whoever reads the first words of a group's reason reads what is down, however many members
// are only unknown, and how many are up is never cut off.
func TestGroupReasonStartsWithWhatIsDown(t *testing.T) {
	cfg := failovertest.MustParseConfig("check_group g all check m1 check m2 check m3\nrouter A eth0/4/1\naddress 192.0.2.1/24 eth0\ntrack check g\n")
	for _, tt := range []struct{ name, unknown, want string }{
		{"short", "no route", "track_check m2: refused; track_check m1: no route (1 of 3 up, 3 needed)"},
		{"long", strings.Repeat("x", 1000), "track_check m2: refused; track_check m1: " + strings.Repeat("x", 459) + "... (1 of 3 up, 3 needed)"},
	} {
		core, err := failover.New(cfg, 0)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range []failover.TrackerReport{{Unknown: true, Reason: tt.unknown}, {Reason: "refused"}, {OK: true}} {
			r.Tracker = failover.Tracker{Kind: failover.TrackCheck, Name: fmt.Sprint("m", i+1)}
			core.Step(0, failover.TrackerReported{Report: r}, new(failover.Effects))
		}
		g := core.Snapshot(0, func(vrrp.Instant) time.Time { return time.Time{} }).CheckGroups[0]
		if g.Reason != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, g.Reason, tt.want)
		}
	}
}
