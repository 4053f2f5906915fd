package failovertest

import (
	"flag"
	"os"
	"testing"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "run this seed of the simulation only, with a trace")
	firstFlag = flag.Uint64("first", 1, "the first seed of the simulation")
	withFlag  = flag.String("with", "", "leave out the seeds whose courses do not have this extra")
	_         = flag.Uint64("seeds", 2000, "how many seeds of the simulation to run")
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
	playSeeds(t, "seeds", *firstFlag, 100, 2000, 100_000, func(seed uint64) bool {
		c := Draw(seed)
		if *withFlag != "" && !c.Profile.has(*withFlag) {
			return true
		}
		err := Play(c, Faithful, nil)
		if err == nil {
			return true
		}
		c = Shrink(c, Faithful)
		t.Errorf("%v\nrun again: go test ./failover/failovertest -run 'TestSimulation$' -seed %d\nor put this into testdata/NAME.course:\n%s> play\n    breaks nothing\nThere it is: %s",
			err, seed, c, Outcome(c, Faithful, nil))
		return false
	})
}

// TestMutations breaks one rule at a time on purpose: the checker has to notice.
func TestMutations(t *testing.T) {
	const seeds = 400
	about := map[Mutation]string{
		DeafToChecks: "checks", Miscount: "checks", EarlyObjects: "objects", LostObjects: "objects", BlindKeepLast: "anycast", DeafToRPKI: "rpki",
		WrongDevice: "vmac", LeftDevice: "vmac", PlainMAC: "vmac", Impatient: "max_changes", PatientWithdrawal: "max_changes", Oblivious: "rpki",
	}
	for _, m := range Mutations() {
		if m == ForgottenVerdicts {
			continue // in one of five hundred courses with checks: testdata/upgrade_forgets_verdicts.course is one
		}
		t.Run(m.String(), func(t *testing.T) {
			t.Parallel()
			played := 0
			for seed := uint64(1); played < seeds; seed++ {
				c := Draw(seed)
				if x := about[m]; x != "" && !c.Profile.has(x) {
					continue // it has nothing that is broken
				}
				played++
				if err := Play(c, m, nil); err != nil {
					t.Logf("noticed in course %d, by seed %d: %.200s", played, seed, err)
					return
				}
			}
			t.Errorf("nobody noticed in %d courses", seeds)
		})
	}
}
