package health

import (
	"fmt"
	"time"
)

// window holds the last probes of a health check for max_rtt and max_loss. While one of them is exceeded, every result
// counts as bad, so that fall and rise decide about the verdict as always:
//
//   - the round trip is the average of those probes in the window that succeeded;
//   - the loss is the part of the whole window that failed, for whatever reason: before the window is full, what has not
//     been probed yet counts as a success;
//   - a limit that was exceeded stays so until the value has fallen to four fifths of it, lest a value around it makes the
//     verdict change all the time.
//
// Results of a node that cannot look are in no window. One that answers again after a long time begins with what is old;
// the window is a number of probes, not a time.
type window struct {
	size    int
	maxRTT  time.Duration // 0: no limit
	maxLoss int           // percent; 0: no limit

	probes      []time.Duration // a ring; lost: it failed
	next        int
	slow, lossy bool // the limit was exceeded
}

const lost = time.Duration(-1)

// recovery is the part of a limit, in percent, that a value must fall to when it was above.
const recovery = 80

// set takes over limits. The probes stay, as far as they fit.
func (w *window) set(size int, maxRTT time.Duration, maxLoss int) {
	size = max(size, 1)
	if size != w.size {
		var kept []time.Duration // oldest first
		for i := range w.probes {
			kept = append(kept, w.probes[(w.next+i)%len(w.probes)])
		}
		w.probes, w.next = kept[max(0, len(kept)-size):], 0
	}
	w.size, w.maxRTT, w.maxLoss = size, maxRTT, maxLoss
}

// add takes the result of a probe, and returns one that is bad while a limit is exceeded.
func (w *window) add(o outcome) outcome {
	if w.maxRTT == 0 && w.maxLoss == 0 || o.blind {
		return o
	}
	p := lost
	if o.ok {
		p = o.rtt
	}
	if len(w.probes) < w.size {
		// The oldest is at next, which is 0 until the ring is full.
		w.probes = append(w.probes, p)
	} else {
		w.probes[w.next] = p
		w.next = (w.next + 1) % w.size
	}
	rtt, loss := w.measure()
	w.slow = w.maxRTT > 0 && exceeds(int64(rtt), int64(w.maxRTT), w.slow)
	w.lossy = w.maxLoss > 0 && exceeds(int64(loss), int64(w.maxLoss)*int64(w.size), w.lossy)
	switch {
	case !o.ok:
	case w.lossy:
		o.ok, o.cause = false, fmt.Sprintf("loss above max_loss %d%%", w.maxLoss)
		o.said = fmt.Sprintf("%d of the last %d probes failed", loss/100, w.size)
	case w.slow:
		o.ok, o.cause = false, fmt.Sprintf("slower than max_rtt %v", w.maxRTT)
		o.said = fmt.Sprintf("%v on average", rtt.Round(100*time.Microsecond))
	}
	return o
}

// exceeds reports whether a value is above a limit, or was and has not fallen far enough below.
func exceeds(value, limit int64, before bool) bool {
	if before {
		return value*100 > limit*recovery
	}
	return value > limit
}

// measure returns the average round trip of the probes that succeeded, and a hundred times the number of the others.
func (w *window) measure() (rtt time.Duration, loss int) {
	var sum time.Duration
	for _, p := range w.probes {
		if p == lost {
			loss += 100
			continue
		}
		sum += p
	}
	if n := len(w.probes) - loss/100; n > 0 {
		rtt = sum / time.Duration(n)
	}
	return rtt, loss
}
