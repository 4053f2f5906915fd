package failover

import (
	"fmt"
	"strconv"
	"time"
)

// What the inequalities of guarded mode (design/safety.md 6.4) take for granted.
const (
	// WithdrawTime is P_w: how long a withdrawal takes to reach the upstream.
	WithdrawTime = time.Second
	// KernelSlop is S_k: how much later than its lease the kernel removes an address at most. 0.4 s were measured.
	KernelSlop = time.Second
	// FenceHeartbeats is how many heartbeats fence_after spans at least: one may be lost, and the next one late.
	FenceHeartbeats = 3
	// LongestHold is H of an upstream session up to which a takeover is reasonably quick.
	LongestHold = 9 * time.Second
)

// Inequality is one condition between times of a configuration.
type Inequality struct {
	Name  string        // what it protects from
	Value time.Duration // what is configured
	Least time.Duration // what it must be at least
	// Text is the whole inequality with its numbers in seconds: "takeover_after 18 >= ... = 12".
	Text string
}

// Holds reports whether the value is large enough.
func (i *Inequality) Holds() bool { return i.Value >= i.Least }

// DefaultTakeover is the takeover_after of a watch_site without one: what satisfies both lines below.
func (w *WatchConfig) DefaultTakeover() time.Duration {
	single, double := w.SingleFault(), w.DoubleFault()
	return max(single.Least, double.Least)
}

// SingleFault is the least that takeover_after must be, so that after one fault nobody serves at the site any more when
// another site takes over: the site has fenced itself (T_fence), or its upstream has dropped the route of a dead speaker
// (H), or the kernel the addresses of a dead agent (V + S_k), whichever comes last; then the withdrawal travels, and the
// last sign of life may be two heartbeats younger than the fault.
//
//	T_take >= max(T_fence, H, V + S_k) + P_w + 2*HB
func (w *WatchConfig) SingleFault() Inequality {
	least := max(w.FenceAfter, w.HoldTime, w.Lease+KernelSlop) + WithdrawTime + 2*w.Heartbeat
	return Inequality{
		Name: "single fault", Value: w.TakeoverAfter, Least: least,
		Text: fmt.Sprintf("takeover_after %s >= max(fence_after %s, hold_time %s, vip_lease %s + %s) + %s + 2 x heartbeat %s = %s",
			sec(w.TakeoverAfter), sec(w.FenceAfter), sec(w.HoldTime), sec(w.Lease), sec(KernelSlop), sec(WithdrawTime),
			sec(w.Heartbeat), sec(least)),
	}
}

// DoubleFault is what takeover_after should be, so that the same holds for a site that is isolated first and hangs at the
// last moment before it would have fenced itself: then its upstream keeps the route for another hold time.
//
//	T_take >= T_fence + H + P_w + HB
func (w *WatchConfig) DoubleFault() Inequality {
	least := w.FenceAfter + w.HoldTime + WithdrawTime + w.Heartbeat
	return Inequality{
		Name: "double fault", Value: w.TakeoverAfter, Least: least,
		Text: fmt.Sprintf("takeover_after %s >= fence_after %s + hold_time %s + %s + heartbeat %s = %s",
			sec(w.TakeoverAfter), sec(w.FenceAfter), sec(w.HoldTime), sec(WithdrawTime), sec(w.Heartbeat), sec(least)),
	}
}

// Fence is the least that fence_after must be, so that a heartbeat that is lost does not end the service.
//
//	T_fence >= 3*HB
func (s *SiteConfig) Fence() Inequality {
	least := FenceHeartbeats * s.Heartbeat
	return Inequality{
		Name: "lost heartbeats", Value: s.FenceAfter, Least: least,
		Text: fmt.Sprintf("fence_after %s >= %d x heartbeat %s = %s", sec(s.FenceAfter), FenceHeartbeats, sec(s.Heartbeat), sec(least)),
	}
}

// sec returns a duration in seconds, as the configuration has it.
func sec(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) }
