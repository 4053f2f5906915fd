package regiontest

import (
	"time"

	"failoverd/vrrp"
)

// clock is a machine's monotonic clock: it started some time ago, its rate is off by some millionths, and it stands while
// the machine is paused.
type clock struct {
	world, local vrrp.Instant // the last two instants that belong together
	rate         int64        // millionths that it is fast
	stopped      bool
}

// at returns what the clock shows at an instant of the world that is not before the last call of stop or start.
func (c *clock) at(world vrrp.Instant) vrrp.Instant {
	if c.stopped {
		return c.local
	}
	d := int64(world - c.world)
	return c.local + vrrp.Instant(d+d*c.rate/1e6)
}

// wait returns how much of the world's time passes until the clock shows due, if it does not stop meanwhile.
func (c *clock) wait(world, due vrrp.Instant) time.Duration {
	d := int64(due - c.at(world))
	if d <= 0 {
		return 0
	}
	// Rounded up: who wakes up at a deadline must not find that it has not come.
	return time.Duration(d/1e6*1e6*1e6/(1e6+c.rate) + d%1e6 + 1)
}

func (c *clock) stop(world vrrp.Instant) {
	c.local, c.world, c.stopped = c.at(world), world, true
}

func (c *clock) start(world vrrp.Instant) { c.world, c.stopped = world, false }
