package witness

import (
	"hash/maphash"
	"net/netip"
	"time"
)

// Limits of what is authenticated at a listener, in datagrams a second, which are also the sizes of bursts. To refuse one
// takes 1.2 us for each key (measured), so that a flood of strangers costs less than a hundredth of a processor, and one that
// borrows a known address, which must not starve its owner, a twentieth.
const (
	knownRate    = 50000 // for each source that has sent something genuine
	strangerRate = 200   // for each other source
	allRate      = 5000  // for all of those together
)

// maxKnown is how many sources are known, strangerSlots how many buckets the others share. Sources that meet in one by
// chance have less, which costs a newcomer some seconds at worst.
const (
	maxKnown      = 256
	strangerSlots = 1024
)

// limiter decides what is worth an HMAC. Its size is constant, whatever addresses a flood pretends to come from, and none
// of them takes anything from those that are known. It is owned by one reader.
type limiter struct {
	known     map[netip.Addr]*bucket
	seed      maphash.Seed
	strangers [strangerSlots]bucket
	all       bucket
}

func newLimiter() *limiter {
	return &limiter{known: make(map[netip.Addr]*bucket), seed: maphash.MakeSeed()}
}

// allow reports whether a datagram from there is to be looked at.
func (l *limiter) allow(from netip.Addr, now time.Duration) bool {
	from = from.WithZone("")
	if b := l.known[from]; b != nil {
		return b.take(now, knownRate)
	}
	if !l.strangers[maphash.Comparable(l.seed, from)%strangerSlots].take(now, strangerRate) {
		return false
	}
	return l.all.take(now, allRate)
}

// know notes that something genuine came from there.
func (l *limiter) know(from netip.Addr, now time.Duration) {
	from = from.WithZone("")
	b := l.known[from]
	if b == nil {
		if len(l.known) >= maxKnown {
			l.forget()
		}
		b = &bucket{used: now}
		l.known[from] = b
	}
	b.genuine = now
}

// forget makes a stranger of the source that has been silent the longest.
func (l *limiter) forget() {
	var oldest netip.Addr
	for a, b := range l.known {
		if !oldest.IsValid() || b.genuine < l.known[oldest].genuine {
			oldest = a
		}
	}
	delete(l.known, oldest)
}

// bucket holds tokens, at most a second's worth. The zero value is full.
type bucket struct {
	spent   float64       // tokens missing
	used    time.Duration // when spent was right
	genuine time.Duration // of a known source: when something genuine came last
}

// take takes a token, of rate a second, if there is one.
func (b *bucket) take(now time.Duration, rate float64) bool {
	b.spent = max(b.spent-(now-b.used).Seconds()*rate, 0)
	b.used = now
	if b.spent+1 > rate {
		return false
	}
	b.spent++
	return true
}
