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
	changes map[netip.Prefix][]int64 // within the last window, oldest first
}

// Held is a change that has to wait.
type Held struct {
	Prefix netip.Prefix
	Until  int64 // when there is room
	// Withdrawn: the prefix is withdrawn meanwhile, because its old attributes are not ours any more.
	Withdrawn bool
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
	if most == 0 {
		g.changes = nil
		return want, nil
	}
	g.forget(now)
	announce, withdraw := Diff(have, want)
	admitted = slices.Clone(want)
	for _, r := range announce {
		until, ok := g.room(r.Prefix, most)
		if ok {
			g.count(r.Prefix, now)
			continue
		}
		h := Held{Prefix: r.Prefix, Until: until}
		i := slices.IndexFunc(admitted, func(x Route) bool { return x.Prefix == r.Prefix })
		old := slices.IndexFunc(have, func(x Route) bool { return x.Prefix == r.Prefix })
		switch {
		case old < 0 && instead(r.Prefix) == Announce:
			g.count(r.Prefix, now)
			continue
		case old < 0:
			admitted = slices.Delete(admitted, i, i+1)
		case instead(r.Prefix) == Withdraw:
			h.Withdrawn = true
			admitted = slices.Delete(admitted, i, i+1)
			g.count(r.Prefix, now)
		default:
			admitted[i] = have[old]
		}
		held = append(held, h)
	}
	for _, p := range withdraw {
		g.count(p, now)
	}
	return admitted, held
}

// room reports whether a prefix may change and still be withdrawn afterwards; if not, when it may.
func (g *Governor) room(p netip.Prefix, most int) (until int64, ok bool) {
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

// forget drops what is older than the window.
func (g *Governor) forget(now int64) {
	for p, done := range g.changes {
		old := 0
		for old < len(done) && now-done[old] >= int64(ChangeWindow) {
			old++
		}
		if old == len(done) {
			delete(g.changes, p)
			continue
		}
		g.changes[p] = append(done[:0], done[old:]...)
	}
}
