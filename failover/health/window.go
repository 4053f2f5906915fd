package health

import (
	"fmt"
	"time"

	"failoverd/failover"
)

// window holds the last probes of a health check, for max_rtt, max_loss and whoever looks. While a limit is exceeded, every
// result counts as bad, so that fall and rise decide about the verdict as always:
//
//   - the round trip is the average of those probes in the window that succeeded;
//   - the loss is the part of the whole window that failed, for whatever reason: before the window is full, what has not
//     been probed yet counts as a success;
//   - a limit that was exceeded stays so until the value has fallen to recover_rtt or recover_loss, lest a value around it
//     makes the verdict change all the time.
//
// Results of a node that cannot look are in no window. One that answers again after a long time begins with what is old;
// the window is a number of probes, not a time.
type window struct {
	limits
	probes      []time.Duration // a ring; lost: it failed
	next        int
	slow, lossy bool // the limit was exceeded
}

// limits are what a window is held against.
type limits struct {
	size int
	// 0: no limit. rttBack is what the round trip must have fallen to.
	maxRTT, rttBack time.Duration
	// Both in percent; 0: no limit. lossBack is what the loss must have fallen to, in hundredths of a percent.
	maxLoss, lossBack int
}

// idleSize is the size of a window that nobody has set limits for.
const idleSize = 20

// limitsOf returns those of a check.
func limitsOf(c *failover.CheckConfig) limits {
	l := limits{size: c.Window, maxRTT: c.MaxRTT, rttBack: c.RecoverRTT, maxLoss: c.MaxLoss, lossBack: c.RecoverLoss * 100}
	if l.size == 0 {
		l.size = idleSize
	}
	if l.rttBack == 0 {
		l.rttBack = l.maxRTT * recovery / 100
	}
	switch c.RecoverLoss {
	case 0:
		l.lossBack = l.maxLoss * recovery
	case failover.NoLoss:
		l.lossBack = 0
	}
	return l
}

const lost = time.Duration(-1)

// recovery is the part of a limit, in percent, that a value must fall to when it was above, unless something else is said.
const recovery = 80

// set takes over limits. The probes stay, as far as they fit.
func (w *window) set(l limits) {
	if size := max(l.size, 1); size != w.size {
		var kept []time.Duration // oldest first
		for i := range w.probes {
			kept = append(kept, w.probes[(w.next+i)%len(w.probes)])
		}
		w.probes, w.next = kept[max(0, len(kept)-size):], 0
	}
	w.limits = l
	w.size = max(w.size, 1)
}

// add takes the result of a probe, and returns one that is bad while a limit is exceeded.
func (w *window) add(o outcome) outcome {
	if o.blind {
		return o
	}
	p := lost
	if o.ok {
		p = o.rtt
	}
	if len(w.probes) < max(w.size, 1) {
		// The oldest is at next, which is 0 until the ring is full.
		w.probes = append(w.probes, p)
	} else {
		w.probes[w.next] = p
		w.next = (w.next + 1) % len(w.probes)
	}
	rtt, failed := w.measure()
	w.slow = w.maxRTT > 0 && exceeds(int64(rtt), int64(w.maxRTT), int64(w.rttBack), w.slow)
	w.lossy = w.maxLoss > 0 && exceeds(int64(failed)*10000, int64(w.maxLoss*100*w.size), int64(w.lossBack*w.size), w.lossy)
	switch {
	case !o.ok:
	case w.lossy:
		o.ok, o.cause = false, fmt.Sprintf("loss above max_loss %d%%", w.maxLoss)
		o.said = fmt.Sprintf("%d of the last %d probes failed", failed, w.size)
	case w.slow:
		o.ok, o.cause = false, fmt.Sprintf("slower than max_rtt %v", w.maxRTT)
		o.said = fmt.Sprintf("%v on average", rtt.Round(100*time.Microsecond))
	}
	return o
}

// exceeds reports whether a value is above a limit, or was and has not fallen far enough.
func exceeds(value, limit, back int64, before bool) bool {
	if before {
		return value > back
	}
	return value > limit
}

// measure returns the average round trip of the probes that succeeded, and the number of the others.
func (w *window) measure() (rtt time.Duration, failed int) {
	var sum time.Duration
	for _, p := range w.probes {
		if p == lost {
			failed++
			continue
		}
		sum += p
	}
	if n := len(w.probes) - failed; n > 0 {
		rtt = sum / time.Duration(n)
	}
	return rtt, failed
}
