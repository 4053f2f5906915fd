package daemon

import (
	"time"

	"failoverd/vrrp"
)

// now returns the current instant, and tells the core the wall clock, which the numbers of auth_hmac are made of. It is read
// anew each time: a clock that somebody has stepped is the clock from then on.
func (l *loop) now() vrrp.Instant {
	l.core.SetWallClock(time.Now().Add(clockStep()).UnixNano())
	return monotonic()
}
