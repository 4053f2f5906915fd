package bgp

import (
	"net/netip"
	"slices"
	"time"
)

// ChangeWindow is the time over which max_changes counts.
const ChangeWindow = time.Minute

// MinChanges is the least that max_changes can be: an announcement and the withdrawal that must always be possible after it.
const MinChanges = 2

// Governor limits how often each prefix changes, so that an upstream with flap damping (RFC 2439) or a patience of another
// kind does not shut us out: never more than a number of changes in any ChangeWindow. A change is an announcement, other
// attributes, or a withdrawal. Times are nanoseconds of any clock that does not go back. The zero value is ready for use.
//
// A withdrawal is never held up: one place is kept free for it. What is held up is not queued: the caller asks again with
// what it wants by then.
type Governor struct {
	// Calm holds up, besides, the announcement of a prefix that was withdrawn within CalmPause, or CalmMost times within
	// CalmWindow, so that a neighbor which damps flaps as RFC 7196 recommends never gets that far (see calm). It may be changed at any time.
	Calm bool

	changes map[netip.Prefix][]int64 // within the last window, oldest first
	flaps   map[netip.Prefix][]int64 // withdrawals within the last CalmWindow, oldest first
}

// How often a prefix may be withdrawn and announced again under Governor.Calm: RFC 2439 counts 1000 for each withdrawal and forgets
// half of it in 15 minutes, and RFC 7196 suppresses at 6000. Three in each 15 minutes stay below that for ever.
const (
	CalmPause  = 30 * time.Second
	CalmWindow = 15 * time.Minute
	CalmMost   = 3
)

// Held is a change that has to wait.
type Held struct {
	Prefix netip.Prefix
	Until  int64 // when there is room
	// Withdrawn: the prefix is withdrawn meanwhile, because its old attributes are not ours any more.
	Withdrawn bool
	// Flaps: it was withdrawn too often lately (Governor.Calm); otherwise it has changed too often.
	Flaps bool
}

// Instead says what becomes of a prefix whose change would have to wait.
type Instead uint8

// What may happen instead of a change.
const (
	Wait     Instead = iota // it stays as it is
	Withdraw                // its old attributes are not ours any more: it is withdrawn meanwhile
	Announce                // nobody else announces it: if it is not announced, it is, whatever that makes of the limit
)

// Admit returns what may be announced at now instead of have, which is what is announced so far, given that want is wanted
// and that most changes are allowed for each prefix; 0: any number. What it returns counts as done. A prefix whose
// change must wait stays as it is in have; where instead says so it is withdrawn, or announced all the same if it is not in
// have: then more changes than most are made. Both sets are sorted by prefix, and so are the results.
func (g *Governor) Admit(now int64, most int, have, want []Route, instead func(netip.Prefix) Instead) (admitted []Route, held []Held) {
	if most == 0 && !g.Calm {
		g.changes, g.flaps = nil, nil
		return want, nil
	}
	g.forget(now)
	announce, withdraw := Diff(have, want)
	admitted = slices.Clone(want)
	for _, r := range announce {
		old := slices.IndexFunc(have, func(x Route) bool { return x.Prefix == r.Prefix })
		h, ok := g.hold(now, r.Prefix, most, old < 0)
		if ok {
			g.count(r.Prefix, now)
			continue
		}
		i := slices.IndexFunc(admitted, func(x Route) bool { return x.Prefix == r.Prefix })
		switch {
		case old < 0 && instead(r.Prefix) == Announce:
			g.count(r.Prefix, now)
			continue
		case old < 0:
			admitted = slices.Delete(admitted, i, i+1)
		case instead(r.Prefix) == Withdraw:
			h.Withdrawn = true
			admitted = slices.Delete(admitted, i, i+1)
			g.withdrew(r.Prefix, now)
		default:
			admitted[i] = have[old]
		}
		held = append(held, h)
	}
	for _, p := range withdraw {
		g.withdrew(p, now)
	}
	return admitted, held
}

// hold reports whether a prefix may change at now; if not, why and until when. anew: it is not announced so far.
func (g *Governor) hold(now int64, p netip.Prefix, most int, anew bool) (h Held, ok bool) {
	h.Prefix = p
	until, ok := g.room(p, most)
	if !ok {
		h.Until = until
	}
	if calm := g.calm(p); g.Calm && anew && calm > now && calm > h.Until {
		h.Until, h.Flaps, ok = calm, true, false
	}
	return h, ok
}

// calm returns when a prefix that is not announced may be announced without being a flap too many: its withdrawal, which comes
// when it must, is then the first one within CalmPause and at most number CalmMost within CalmWindow.
func (g *Governor) calm(p netip.Prefix) (at int64) {
	f := g.flaps[p]
	if n := len(f); n > 0 {
		at = f[n-1] + int64(CalmPause)
	}
	if n := len(f); n >= CalmMost {
		at = max(at, f[n-CalmMost]+int64(CalmWindow))
	}
	return at
}

// withdrew counts a withdrawal.
func (g *Governor) withdrew(p netip.Prefix, now int64) {
	g.count(p, now)
	if g.flaps == nil {
		g.flaps = make(map[netip.Prefix][]int64)
	}
	g.flaps[p] = append(g.flaps[p], now)
}

// room reports whether a prefix may change and still be withdrawn afterwards; if not, when it may. most 0: it always may.
func (g *Governor) room(p netip.Prefix, most int) (until int64, ok bool) {
	if most == 0 {
		return 0, true
	}
	done := g.changes[p]
	over := len(done) - (most - MinChanges)
	if over <= 0 {
		return 0, true
	}
	return done[over-1] + int64(ChangeWindow), false
}

func (g *Governor) count(p netip.Prefix, now int64) {
	if g.changes == nil {
		g.changes = make(map[netip.Prefix][]int64)
	}
	g.changes[p] = append(g.changes[p], now)
}

// forget drops what is older than the windows.
func (g *Governor) forget(now int64) {
	forget(g.changes, now-int64(ChangeWindow))
	forget(g.flaps, now-int64(CalmWindow))
}

// forget drops what was not after a time.
func forget(all map[netip.Prefix][]int64, limit int64) {
	for p, done := range all {
		old := 0
		for old < len(done) && done[old] <= limit {
			old++
		}
		if old == len(done) {
			delete(all, p)
			continue
		}
		all[p] = append(done[:0], done[old:]...)
	}
}
