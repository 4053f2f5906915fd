package kernel

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"failoverd/failover"
	"failoverd/vrrp"
)

// authorityEnded is why a guarded address is not there.
const authorityEnded = "the authority of the site has ended"

// monotonic returns the instant on CLOCK_MONOTONIC, the clock of DesiredAddresses.Until.
func monotonic() vrrp.Instant {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(fmt.Sprintf("kernel: CLOCK_MONOTONIC: %v", err)) // Linux always has it
	}
	return vrrp.Instant(ts.Nano())
}

// ends returns when an authority ends; zero: never. The wall clock's monotonic reading is taken first, so that a pause
// between the two makes it end too early rather than too late.
func (r *reconciler) ends(until vrrp.Instant) time.Time {
	if until == 0 || until == vrrp.Never {
		return time.Time{}
	}
	now := time.Now()
	return now.Add(until.Sub(r.clock()))
}

// entitle takes over how long the newest DesiredAddresses allows a guarded address to live. Only who asks for the lease
// anew may allow more than before; less is allowed at once.
func (m *memory) entitle(a *failover.Address, ends time.Time, anew bool) {
	switch {
	case !a.Guarded:
		m.bound = time.Time{}
	case anew || m.bound.IsZero() || !ends.IsZero() && ends.Before(m.bound):
		m.bound = ends
	}
}

// allowed returns the longest lifetime in seconds that the authority allows at now, which is rounded down: forever if it
// does not end, 0 if it ends within a second, or has ended.
func (m *memory) allowed(now time.Time) uint32 {
	if m.bound.IsZero() {
		return forever
	}
	left := max(m.bound.Sub(now), 0) / time.Second
	return uint32(min(left, time.Duration(forever-1)))
}

// over reports whether the authority has ended.
func (m *memory) over(now time.Time) bool { return !m.bound.IsZero() && !now.Before(m.bound) }

// tooLong reports whether what was written last outlives the authority.
func (m *memory) tooLong() bool {
	return !m.bound.IsZero() && (m.until.IsZero() || m.until.After(m.bound))
}

// tooLate returns the writes that put right what ops have written beyond the authority, because this process did not run
// between the look at the clock and the write: the rest of the time, or if that is under a second, or if this is not the
// first attempt, nothing.
func (r *reconciler) tooLate(ops []op, first bool) []op {
	var undo []op
	now := time.Now()
	for i := range ops {
		o := &ops[i]
		if o.kind != opAdd && o.kind != opRenew {
			continue
		}
		m := r.want.known[o.addr.Key()]
		if !m.settled || !m.tooLong() {
			continue
		}
		valid := m.allowed(now)
		if valid > 0 && first {
			undo = append(undo, op{kind: opRenew, index: o.index, addr: o.addr, valid: valid})
			continue
		}
		r.log.Warn("address written after the authority for it, removed again", "address", o.addr.Key().String())
		undo = append(undo, op{kind: opDelete, index: o.index, addr: o.addr})
	}
	return undo
}
