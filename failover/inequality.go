package failover

import "time"

// What the inequalities of guarded mode take for granted.
const (
	// WithdrawTime is P_w: how long a withdrawal takes to reach the upstream.
	WithdrawTime = time.Second
	// KernelSlop is S_k: how much later than its lease the kernel removes an address at most. 0.4 s were measured.
	KernelSlop = time.Second
)

// DefaultTakeover is the takeover_after of a watch_site without one: the line of a double fault.
func (w *WatchConfig) DefaultTakeover() time.Duration {
	return w.FenceAfter + w.HoldTime + WithdrawTime + w.Heartbeat
}
