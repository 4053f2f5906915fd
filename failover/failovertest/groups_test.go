package failovertest

import (
	"flag"
	"os"
	"testing"
)

var (
	groupSeedFlag = flag.Uint64("group-seed", 0, "run this seed of the simulation of groups only, with a trace")
	_             = flag.Uint64("group-seeds", 1500, "how many seeds of the simulation of groups to run")
)

// TestGroups runs many seeds of faults on two hosts with a sync group each. A seed that fails is run again with its trace
// by
//
//	go test ./failover/failovertest -run TestGroups -group-seed N
func TestGroups(t *testing.T) {
	if *groupSeedFlag != 0 {
		if err := SimulateGroups(*groupSeedFlag, GroupsFaithful, os.Stderr); err != nil {
			t.Fatal(err)
		}
		return
	}
	playSeeds(t, "group-seeds", 1, 60, 1500, 50_000, func(seed uint64) bool {
		err := SimulateGroups(seed, GroupsFaithful, nil)
		if err != nil {
			t.Errorf("%v\nrun again: go test ./failover/failovertest -run TestGroups -group-seed %d", err, seed)
		}
		return err == nil
	})
}

// TestGroupMutations breaks one rule at a time on purpose, which has to be noticed.
func TestGroupMutations(t *testing.T) {
	const seeds = 300
	for _, m := range GroupMutations() {
		t.Run(m.String(), func(t *testing.T) {
			for seed := uint64(1); seed <= seeds; seed++ {
				if err := SimulateGroups(seed, m, nil); err != nil {
					t.Logf("noticed by %v", err)
					return
				}
			}
			t.Errorf("nobody noticed in %d seeds", seeds)
		})
	}
}
