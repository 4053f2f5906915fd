package failover

import (
	"testing"
	"time"

	"failoverd/vrrp"
)

// What a result adds to the priority: keepalived's arithmetic, where a positive weight rewards success, a negative one
// punishes failure, and reverse turns the sign of either around.
func TestTrackEffect(t *testing.T) {
	for _, tt := range []struct {
		weight      int
		reverse     bool
		ok, failure int
	}{
		{20, false, 20, 0},
		{-20, false, 0, -20},
		{20, true, -20, 0},
		{-20, true, 0, 20},
		{253, false, 253, 0},
	} {
		track := Track{Weight: tt.weight, Reverse: tt.reverse}
		if ok, failure := track.effect(true), track.effect(false); ok != tt.ok || failure != tt.failure {
			t.Errorf("weight %d, reverse %v: %d on success and %d on failure, want %d and %d", tt.weight, tt.reverse, ok, failure, tt.ok, tt.failure)
		}
	}
}

// A file's number times the weight, with a fault at -254 and nothing above 253; without a weight, any number is a fault.
func TestTrackFile(t *testing.T) {
	for _, tt := range []struct {
		weight, value int
		reverse, lost bool
		effect        int
		fault         bool
	}{
		{1, 0, false, false, 0, false},
		{1, 40, false, false, 40, false},
		{-2, 40, false, false, -80, false},
		{-2, 40, true, false, 80, false},
		{2, -126, false, false, -252, false},
		{2, -127, false, false, -254, true},
		{1, -253, false, false, -253, false},
		{254, -1, false, false, -254, true},
		{254, 1, false, false, 253, false},
		{-254, maxValue, false, false, -254, true},
		{254, maxValue, false, false, 253, false},
		{254, -maxValue, true, false, 253, false},
		{0, 0, false, false, 0, false},
		{0, 1, false, false, 0, true},
		{0, -1, false, false, 0, true},
		{0, 0, true, false, 0, true},
		{0, 5, true, false, 0, false},
		{0, 0, false, true, 0, true},
		{-10, 3, false, true, 0, false},
	} {
		track := Track{Tracker: Tracker{Kind: TrackFile, Name: "f"}, Weight: tt.weight, Reverse: tt.reverse}
		got := track.judgeFile(!tt.lost, tt.value, "no such file")
		if got.effect != tt.effect || (got.fault != "") != tt.fault || got.pending {
			t.Errorf("%d times %d, reverse %v, lost %v: %+v, want effect %d and fault %v", tt.value, tt.weight, tt.reverse, tt.lost, got, tt.effect, tt.fault)
		}
	}
}

func TestClampValue(t *testing.T) {
	for v, want := range map[int]int{0: 0, -7: -7, 1 << 62: maxValue, -1 << 62: -maxValue} {
		if got := clampValue(v); got != want {
			t.Errorf("%d becomes %d, want %d", v, got, want)
		}
	}
}

// What decides between sites is tracked, whether or not a router does so; and a report says when its evidence began.
func TestRegionChecksAreTracked(t *testing.T) {
	cfg := &Config{
		Watches: []WatchConfig{{Name: "far", Checks: []string{"a", "b"}}},
		Sites:   []SiteConfig{{Name: "near", HoldChecks: []string{"b", "c"}}},
	}
	c, err := New(cfg, 0)
	if err != nil {
		t.Fatal(err)
	}
	now, fx := vrrp.Instant(0).Add(time.Minute), new(Effects)
	report := func(r TrackerReport) (news int) {
		fx.Reset()
		r.Tracker = Tracker{TrackCheck, "b"}
		c.Step(now, TrackerReported{Report: r}, fx)
		return len(fx.Events)
	}
	for _, name := range []string{"a", "b", "c"} {
		if c.trackers[Tracker{TrackCheck, name}] == nil {
			t.Errorf("%s is not tracked", name)
		}
	}
	if n := report(TrackerReport{Reason: "refused", Since: 3 * time.Second}); n != 1 {
		t.Errorf("%d events for the first failure", n)
	}
	b := c.trackers[Tracker{TrackCheck, "b"}]
	if !b.known || b.ok || b.unknown || b.sinceAt != now.Add(-3*time.Second) {
		t.Errorf("failure: %+v", *b)
	}
	if n := report(TrackerReport{Reason: "no route", Unknown: true}); n != 1 || !b.unknown || b.sinceAt != now {
		t.Errorf("unknown: %d events, %+v", n, *b)
	}
	if n := report(TrackerReport{Reason: "still no route", Unknown: true, Since: time.Second}); n != 0 || b.reason != "no route" {
		t.Errorf("another reason: %d events, %+v", n, *b)
	}
	if n := report(TrackerReport{OK: true, Unknown: true}); n != 1 || !b.ok || b.unknown {
		t.Errorf("success: %d events, %+v", n, *b)
	}
}
