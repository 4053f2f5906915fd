package daemon

import "time"

// How long the loop waits for those who are writing, when it is about to say its last word, and how often it looks.
const (
	barWait = 5 * time.Millisecond
	barLook = 100 * time.Microsecond
)

// barWrites keeps everybody from changing anything outside of this process until admitWrites, and reports whether nobody is
// just doing so.
func (a *Agent) barWrites() bool {
	for end := time.Now().Add(barWait); ; time.Sleep(barLook) {
		if a.writes.TryLock() {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}

// admitWrites lets everybody go on.
func (a *Agent) admitWrites() { a.writes.Unlock() }
