package health

import "time"

// Scripts that appear together do not all start together: a thousand new processes in one instant would starve the
// election. The first few start at once, because most configurations have no more; the others follow at startGap, or
// faster if their interval asks for it, for then the machine must bear that rate anyway.
const (
	startTogether = 32
	startGap      = 5 * time.Millisecond
)

// splay returns how long the i-th of n new scripts waits for its first run.
func splay(i, n int, interval time.Duration) time.Duration {
	if i < startTogether {
		return 0
	}
	return min(time.Duration(i)*startGap, interval/time.Duration(n)*time.Duration(i))
}
