package failovertest

import (
	"flag"
	"os"
	"sync"
	"sync/atomic"
	"testing"
)

var (
	groupSeedFlag  = flag.Uint64("group-seed", 0, "run this seed of the simulation of groups only, with a trace")
	groupSeedsFlag = flag.Uint64("group-seeds", 2000, "how many seeds of the simulation of groups to run")
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
	seeds := *groupSeedsFlag
	if testing.Short() {
		seeds = min(seeds, 300)
	}
	var (
		next   atomic.Uint64
		failed atomic.Int32
		wg     sync.WaitGroup
	)
	for range 2 {
		wg.Go(func() {
			for seed := next.Add(1); seed <= seeds && failed.Load() <= 3; seed = next.Add(1) {
				if err := SimulateGroups(seed, GroupsFaithful, nil); err != nil {
					failed.Add(1)
					t.Errorf("%v\nrun again: go test ./failover/failovertest -run TestGroups -group-seed %d", err, seed)
				}
			}
		})
	}
	wg.Wait()
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
