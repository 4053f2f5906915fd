package gobgp

import (
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"failoverd/bgp"
)

// lapsedReason is why nothing is announced after Desired.Until.
const lapsedReason = "the authority for these routes has ended: nothing is announced"

// monotonic returns CLOCK_MONOTONIC in nanoseconds, the clock of bgp.Desired.Until.
func monotonic() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(fmt.Sprintf("gobgp: CLOCK_MONOTONIC: %v", err)) // Linux always has it
	}
	return ts.Nano()
}

// over reports whether the time of d has passed.
func over(d *bgp.Desired) bool { return d != nil && d.Until != 0 && monotonic() >= d.Until }

// lapsed reports whether nothing may be announced any more because the newest Set is too old. It looks at the newest one
// each time: who refreshes it must not have to wait for anything.
func (c *Client) lapsed() bool { return over(c.desired.Load()) }

// refreshes reports whether d, which has replaced old, gives it more time and changes nothing else: nobody has to be woken
// for that. If the time of old has passed in spite of it, what came of that may have to be undone.
func refreshes(old, d *bgp.Desired) bool {
	longer := d.Until == 0 || old != nil && old.Until != 0 && d.Until >= old.Until
	return old != nil && longer && !over(old) && old.Generation == d.Generation &&
		slices.EqualFunc(old.Routes, d.Routes, func(a, b bgp.Route) bool {
			return a.Prefix == b.Prefix && a.Attributes.Equal(b.Attributes)
		})
}

// untilLapse returns how long the newest Set lasts, if that has an end that has not been seen yet.
func (s *session) untilLapse() (left time.Duration, ok bool) {
	d := s.desired.Load()
	if d == nil || d.Until == 0 {
		return 0, false
	}
	left = max(time.Duration(d.Until-monotonic()), 0)
	return left, left > 0 || !s.fenced
}

// lapse is called when a Set may have come to its end: then everything is withdrawn. Nobody may keep it from that: while a
// successor is waited for, there may be none that would do it.
func (s *session) lapse() error {
	if !s.lapsed() {
		return nil // it was refreshed
	}
	return s.fulfil()
}
