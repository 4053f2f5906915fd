package failovertest

import (
	"flag"
	"os"
	"sync"
	"sync/atomic"
	"testing"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "run this seed of the simulation only, with a trace")
	seedsFlag = flag.Uint64("seeds", 2000, "how many seeds of the simulation to run")
)

// TestSimulation runs many seeds of faults on two cores. The course of a seed that fails is made as small as it can be, and
// printed. It is run again with its trace by
//
//	go test ./failover/failovertest -run 'TestSimulation$' -seed N
func TestSimulation(t *testing.T) {
	if *seedFlag != 0 {
		if err := Simulate(*seedFlag, Faithful, os.Stderr); err != nil {
			t.Fatal(err)
		}
		return
	}
	seeds := *seedsFlag
	if testing.Short() {
		seeds = min(seeds, 200)
	}
	var (
		next   atomic.Uint64
		failed atomic.Int32
		wg     sync.WaitGroup
	)
	for range 2 {
		wg.Go(func() {
			for {
				seed := next.Add(1)
				if seed > seeds || failed.Load() > 3 {
					return
				}
				c := Draw(seed)
				if err := Play(c, Faithful, nil); err != nil {
					failed.Add(1)
					c = Shrink(c, Faithful)
					t.Errorf("%v\nrun again: go test ./failover/failovertest -run 'TestSimulation$' -seed %d\nor put this into testdata/NAME.course:\n%s> play\n    breaks nothing\nThere it is: %s",
						err, seed, c, Outcome(c, Faithful, nil))
				}
			}
		})
	}
	wg.Wait()
}

// TestMutations breaks one rule at a time on purpose: the checker has to notice within a few seeds.
func TestMutations(t *testing.T) {
	const seeds = 300
	for _, m := range Mutations() {
		t.Run(m.String(), func(t *testing.T) {
			t.Parallel()
			for seed := uint64(1); seed <= seeds; seed++ {
				if err := Simulate(seed, m, nil); err != nil {
					t.Logf("noticed by seed %d: %.200s", seed, err)
					return
				}
			}
			t.Errorf("nobody noticed in %d seeds", seeds)
		})
	}
}
