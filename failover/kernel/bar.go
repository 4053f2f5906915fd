package kernel

import (
	"sync"
	"time"
)

// behind makes a pass of a worker while bar is held; nil: nothing is in its way. Whoever holds it otherwise sees to it that
// nothing is written.
func behind(bar sync.Locker, pass func(now time.Time) time.Duration) time.Duration {
	if bar != nil {
		bar.Lock()
		defer bar.Unlock()
	}
	return pass(time.Now())
}
