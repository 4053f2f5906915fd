package regiontest

import (
	"slices"
	"testing"
)

// noticedBy are the rules that are there because of a mutation: one of them has to notice it, whatever the others do.
var noticedBy = map[Mutation][]string{
	NoDeadMan: {"S5", "S6"}, NoContiguity: {"L6", "S6"}, DeafToSessions: {"S9"}, FenceIfAnnouncing: {"S14"}, FenceAfterTake: {"S6", "S7"},
	SingleCheck: {"S15"}, NoSelfFence: {"S6", "S7"}, NoTerms: {"S6", "S7", "L4"}, GracefulRestart: {"S7"}, Unguarded: {"S6", "S7"},
	SwitchRenews: {"S4", "S14", "S15"}, SwitchObserves: {"L6"}, SwitchForgets: {"S8"},
	HeirlessWill: {"L2"},
}

// TestMutations breaks one rule at a time on purpose: somebody has to notice within some courses.
func TestMutations(t *testing.T) {
	const seeds = 3000
	for _, m := range Mutations() {
		t.Run(m.String(), func(t *testing.T) {
			t.Parallel()
			for seed := uint64(1); seed <= seeds; seed++ {
				c := Draw(seed)
				if slices.ContainsFunc(c.Faults, func(f Fault) bool { return f.Kind == "pause" }) && m != NoTerms {
					continue
				}
				if err := Play(c, m, nil, noticedBy[m]...).Err(c, m); err != nil {
					t.Logf("noticed in course %d: %.300s", seed, err)
					return
				}
			}
			t.Errorf("nobody noticed in %d courses", seeds)
		})
	}
}
