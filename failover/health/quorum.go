package health

import (
	"strconv"
	"time"

	"failoverd/failover"
)

// quorum makes a verdict of a number of processes: the first number counts at once, and a change of the verdict when it
// has lasted for as long as the configuration wants. The zero value with its parameters is ready for use.
type quorum struct {
	least, most  int // most 0: any
	gained, lost time.Duration
	known, ok    bool
	n            int
	since        time.Time // when the pending change of the verdict began; zero: none is pending
}

// adopt takes over parameters and keeps the verdict.
func (q *quorum) adopt(c *failover.ProcessConfig) {
	q.least, q.most = max(c.Quorum, 1), max(c.QuorumMax, 0)
	q.gained, q.lost = c.ForkDelay, c.TerminateDelay
}

// What can be said of a number of processes.
const (
	tooFew  = "too few"
	enough  = "enough"
	tooMany = "too many"
)

// cause says what the number is.
func (q *quorum) cause() string {
	switch {
	case q.n < q.least:
		return tooFew
	case q.most > 0 && q.n > q.most:
		return tooMany
	default:
		return enough
	}
}

// update takes the number of processes and reports whether it made the verdict, or changed it. Otherwise at is when
// it must be asked again if nothing happens; zero: never.
func (q *quorum) update(now time.Time, n int) (changed bool, at time.Time) {
	q.n = n
	ok := q.cause() == enough
	if !q.known {
		q.known, q.ok = true, ok
		return true, time.Time{}
	}
	if ok == q.ok {
		q.since = time.Time{}
		return false, time.Time{}
	}
	if q.since.IsZero() {
		q.since = now
	}
	delay := q.lost
	if ok {
		delay = q.gained
	}
	if at = q.since.Add(delay); now.Before(at) {
		return false, at
	}
	q.ok, q.since = ok, time.Time{}
	return true, time.Time{}
}

// reason says what the verdict is made of.
func (q *quorum) reason() string {
	s := "1 process, "
	switch q.n {
	case 0:
		s = "no process, "
	case 1:
	default:
		s = strconv.Itoa(q.n) + " processes, "
	}
	if q.most > 0 {
		return s + strconv.Itoa(q.least) + " to " + strconv.Itoa(q.most) + " wanted"
	}
	return s + "at least " + strconv.Itoa(q.least) + " wanted"
}
