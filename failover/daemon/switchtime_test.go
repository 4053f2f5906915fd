package daemon

import (
	"strings"
	"testing"
	"time"

	"failoverd/vrrp"
)

// Whatever becomes of a successor, the next advertisement leaves before three intervals have passed since the last one.
func TestSwitchTime(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name     string
		due      time.Duration // from now on
		interval time.Duration
		want     time.Duration
		hasty    bool
	}{
		{"nobody is Active", 5 * ms, 0, longestSwitch, false},
		{"a second, at a good moment", 600 * ms, time.Second, longestSwitch, false},
		{"a second, at the last moment", 1 * ms, time.Second, 1981 * ms, false},
		{"a tenth, at a good moment", 60 * ms, 100 * ms, 240 * ms, false},
		{"a tenth, overdue", -30 * ms, 100 * ms, 150 * ms, false},
		{"40 ms", 20 * ms, 40 * ms, 80 * ms, false},
		{"25 ms at the last moment", 0, 25 * ms, 30 * ms, false},
		{"20 ms at the last moment", 0, 20 * ms, 20 * ms, true},
		{"10 ms", 5 * ms, 10 * ms, 5 * ms, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			now := vrrp.Instant(time.Hour)
			got := switchTime(now, now.Add(c.due), c.interval)
			if got != c.want || (hasty(got, c.interval) != "") != c.hasty {
				t.Errorf("%v, %q; want %v", got, hasty(got, c.interval), c.want)
			}
			if last := c.due - c.interval; c.interval > 0 && got+killTime-last > 3*c.interval {
				t.Errorf("the neighbors hear nothing for %v", got+killTime-last)
			}
		})
	}
	if why := hasty(5*ms, 10*ms); !strings.Contains(why, "for 30ms") || !strings.Contains(why, "leaves 5ms") {
		t.Error(why)
	}
}
