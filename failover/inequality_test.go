package failover_test

import (
	"testing"
	"time"

	"failoverd/failover"
)

// seconds returns a duration.
func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// TestTakeoverInequalities: the numbers of design/safety.md 6.4, and which of the three terms decides.
func TestTakeoverInequalities(t *testing.T) {
	for _, tt := range []struct {
		name                            string
		fence, hold, lease, beat, takes float64
		single, double                  float64
		text                            string
		holds                           bool
		recommended                     bool
	}{
		{
			"the default", 7, 9, 3, 1, 18, 12, 18,
			"takeover_after 18 >= max(fence_after 7, hold_time 9, vip_lease 3 + 1) + 1 + 2 x heartbeat 1 = 12", true, true,
		},
		{
			"hold 3/1", 7, 3, 3, 1, 12, 10, 12,
			"takeover_after 12 >= max(fence_after 7, hold_time 3, vip_lease 3 + 1) + 1 + 2 x heartbeat 1 = 10", true, true,
		},
		{
			"between the lines", 7, 9, 3, 1, 17.9, 12, 18,
			"takeover_after 17.9 >= max(fence_after 7, hold_time 9, vip_lease 3 + 1) + 1 + 2 x heartbeat 1 = 12", true, false,
		},
		{
			"below the single fault line", 7, 9, 3, 1, 11.999, 12, 18,
			"takeover_after 11.999 >= max(fence_after 7, hold_time 9, vip_lease 3 + 1) + 1 + 2 x heartbeat 1 = 12", false, false,
		},
		{
			"fencing decides", 12, 9, 3, 0.5, 14, 14, 22.5,
			"takeover_after 14 >= max(fence_after 12, hold_time 9, vip_lease 3 + 1) + 1 + 2 x heartbeat 0.5 = 14", true, false,
		},
		{
			"the lease decides", 7, 9, 30, 1, 20, 34, 18,
			"takeover_after 20 >= max(fence_after 7, hold_time 9, vip_lease 30 + 1) + 1 + 2 x heartbeat 1 = 34", false, true,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := failover.WatchConfig{
				FenceAfter: seconds(tt.fence), HoldTime: seconds(tt.hold), Lease: seconds(tt.lease), Heartbeat: seconds(tt.beat),
				TakeoverAfter: seconds(tt.takes),
			}
			single, double := w.SingleFault(), w.DoubleFault()
			if single.Least != seconds(tt.single) || double.Least != seconds(tt.double) {
				t.Errorf("least %v and %v, want %v and %v s", single.Least, double.Least, tt.single, tt.double)
			}
			if single.Text != tt.text {
				t.Errorf("%s\nwant\n%s", single.Text, tt.text)
			}
			if single.Holds() != tt.holds || double.Holds() != tt.recommended {
				t.Errorf("holds %v and %v, want %v and %v", single.Holds(), double.Holds(), tt.holds, tt.recommended)
			}
			if w.DefaultTakeover() != max(single.Least, double.Least) {
				t.Errorf("default %v, want the larger of %v and %v", w.DefaultTakeover(), single.Least, double.Least)
			}
		})
	}
}

// TestFenceInequality: a lost heartbeat does not end the service.
func TestFenceInequality(t *testing.T) {
	for _, tt := range []struct {
		fence, beat float64
		holds       bool
		text        string
	}{
		{7, 1, true, "fence_after 7 >= 3 x heartbeat 1 = 3"},
		{3, 1, true, "fence_after 3 >= 3 x heartbeat 1 = 3"},
		{2.999, 1, false, "fence_after 2.999 >= 3 x heartbeat 1 = 3"},
		{7, 2.5, false, "fence_after 7 >= 3 x heartbeat 2.5 = 7.5"},
	} {
		s := failover.SiteConfig{FenceAfter: seconds(tt.fence), Heartbeat: seconds(tt.beat)}
		if got := s.Fence(); got.Holds() != tt.holds || got.Text != tt.text {
			t.Errorf("holds %v: %s, want %v: %s", got.Holds(), got.Text, tt.holds, tt.text)
		}
	}
}
