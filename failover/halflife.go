package failover

import (
	"math"
	"time"
)

// halved returns the part that is left after d of what halves every halfLife.
func halved(d, halfLife time.Duration) float64 { return math.Exp2(-float64(d) / float64(halfLife)) }

// timeToHalve returns how long it takes until a factor of what halves every halfLife is gone; at least a millisecond, so
// that nobody looks again without end.
func timeToHalve(factor float64, halfLife time.Duration) time.Duration {
	return max(time.Duration(math.Log2(factor)*float64(halfLife)), time.Millisecond)
}
