package bgp

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// History is what a Governor remembers of a prefix: how long ago it changed, and was withdrawn, oldest first.
type History struct {
	Prefix      netip.Prefix
	Changes     []time.Duration `json:",omitempty"`
	Withdrawals []time.Duration `json:",omitempty"`
}

// History returns what g remembers at now, sorted by prefix, for one that goes on in its place.
func (g *Governor) History(now int64) []History {
	g.forget(now)
	all := make(map[netip.Prefix]*History)
	of := func(p netip.Prefix) *History {
		if all[p] == nil {
			all[p] = &History{Prefix: p}
		}
		return all[p]
	}
	for p, done := range g.changes {
		of(p).Changes = ago(now, done)
	}
	for p, done := range g.flaps {
		of(p).Withdrawals = ago(now, done)
	}
	var list []History
	for _, h := range all {
		list = append(list, *h)
	}
	slices.SortFunc(list, func(a, b History) int { return a.Prefix.Compare(b.Prefix) })
	return list
}

// ago returns how long before now times were.
func ago(now int64, times []int64) []time.Duration {
	list := make([]time.Duration, len(times))
	for i, t := range times {
		list[i] = time.Duration(now - t)
	}
	return list
}

// Restore makes g remember what another one did at now. The error says what of it makes no sense; then nothing is remembered.
func (g *Governor) Restore(now int64, list []History) error {
	changes, flaps := make(map[netip.Prefix][]int64), make(map[netip.Prefix][]int64)
	for i := range list {
		h := &list[i]
		_, twice := changes[h.Prefix]
		if twice || !h.Prefix.IsValid() || h.Prefix != h.Prefix.Masked() {
			return fmt.Errorf("prefix %v twice, or none", h.Prefix)
		}
		var err error
		if changes[h.Prefix], err = before(now, h.Changes, ChangeWindow); err != nil {
			return fmt.Errorf("changes of %v: %w", h.Prefix, err)
		}
		if flaps[h.Prefix], err = before(now, h.Withdrawals, CalmWindow); err != nil {
			return fmt.Errorf("withdrawals of %v: %w", h.Prefix, err)
		}
	}
	g.changes, g.flaps = changes, flaps
	g.forget(now)
	return nil
}

// before is the reverse of ago. Nothing in the list is of the future, or of before the window, and none is younger than the
// next one.
func before(now int64, ages []time.Duration, window time.Duration) ([]int64, error) {
	var times []int64
	last := window
	for _, age := range ages {
		if age < 0 || age > last {
			return nil, fmt.Errorf("one of %v ago, want 0 to %v", age, last)
		}
		times, last = append(times, now-int64(age)), age
	}
	return times, nil
}
