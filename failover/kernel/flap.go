package kernel

import "time"

// How often an address may be put back at once, and how it goes on from there.
const (
	freeRestores  = 5
	calmAfter     = 10 * time.Second
	firstHoldback = time.Second
	maxHoldback   = 10 * time.Second
)

// flap keeps us from fighting for ever with somebody who removes an address again and again: the first restores are
// immediate, later ones wait longer and longer, until the address has been left in peace for a while.
type flap struct {
	count   int
	last    time.Time
	delay   time.Duration
	allowed time.Time
}

// lost records that somebody removed the address.
func (f *flap) lost(now time.Time) {
	if f.count > 0 && now.Sub(f.last) > calmAfter+f.delay {
		*f = flap{}
	}
	f.count, f.last = f.count+1, now
	if f.count > freeRestores {
		f.hold(now, min(max(2*f.delay, firstHoldback), maxHoldback))
	}
}

// hold keeps the address away for d.
func (f *flap) hold(now time.Time, d time.Duration) { f.delay, f.allowed = d, now.Add(d) }

// held reports whether the address must not be put back yet.
func (f *flap) held(now time.Time) bool { return now.Before(f.allowed) }
