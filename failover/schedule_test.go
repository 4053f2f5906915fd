package failover

import (
	"math/rand/v2"
	"testing"

	"failoverd/vrrp"
)

// TestSchedule compares the heap with a search through all, over random insertions, moves and removals.
func TestSchedule(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var s schedule
	all := make([]*router, 40)
	for i := range all {
		all[i] = &router{place: -1}
	}
	for step := range 20_000 {
		x := all[r.IntN(len(all))]
		if r.IntN(4) == 0 {
			s.remove(x)
			if x.place >= 0 {
				t.Fatalf("step %d: a removed router is at %d", step, x.place)
			}
		} else {
			s.set(x, vrrp.Instant(r.IntN(100)))
		}
		next, in := vrrp.Never, 0
		for _, x := range all {
			if x.place < 0 {
				continue
			}
			in++
			if s[x.place] != x {
				t.Fatalf("step %d: a router is not where it believes to be", step)
			}
			next = min(next, x.due)
		}
		if s.next() != next || len(s) != in {
			t.Fatalf("step %d: next is %d of %d routers, want %d of %d", step, s.next(), len(s), next, in)
		}
	}
}
