package vrrp_test

import (
	"flag"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"failoverd/vrrp"
	"failoverd/vrrp/vrrptest"
	"failoverd/vrrp/wire"
)

var (
	seedFlag  = flag.Uint64("vrrp.seed", 0, "play only this seed of the simulation, and log every step")
	seedsFlag = flag.Uint64("vrrp.seeds", 5000, "how many seeds of the simulation to play")
)

// TestSimulation plays seeded courses of faults among three routers that exchange real packets, and demands the
// invariants S1, S2, S3, S10, S11, L1 and L2 (see vrrptest).
func TestSimulation(t *testing.T) {
	if *seedFlag != 0 {
		playSeed(t, *seedFlag)
		return
	}
	seeds := *seedsFlag
	if testing.Short() {
		seeds = min(seeds, 500)
	}
	seed, bad := firstViolation(seeds, production)
	if bad == nil {
		return
	}
	small := vrrptest.NewScenario(seed).Shrink(vrrptest.Production)
	t.Errorf("seed %d: %v\nplay it again: go test ./vrrp -run TestSimulation -vrrp.seed %d\nfaults that it takes:\n%v",
		seed, bad, seed, small)
}

// playSeed plays one seed with a log.
func playSeed(t *testing.T, seed uint64) {
	s := vrrptest.NewScenario(seed)
	log := vrrptest.Log{Times: true}
	bad := s.Run(vrrptest.Production, log.Observe)
	t.Logf("%v\n%s", s, log.String())
	if bad != nil {
		t.Error(bad)
	}
}

func production(*vrrptest.Scenario) vrrptest.Factory { return vrrptest.Production }

// firstViolation plays the seeds 1 to n and returns the lowest that breaks a rule, except those to be ignored.
func firstViolation(n uint64, factory func(*vrrptest.Scenario) vrrptest.Factory, ignore ...string) (uint64, *vrrptest.Violation) {
	var (
		next  atomic.Uint64
		group sync.WaitGroup
		mu    sync.Mutex
		first uint64
		bad   *vrrptest.Violation
	)
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for seed := next.Add(1); seed <= n; seed = next.Add(1) {
				s := vrrptest.NewScenario(seed)
				s.Ignore = ignore
				v := s.Run(factory(s), nil)
				if v == nil {
					continue
				}
				mu.Lock()
				if bad == nil || seed < first {
					first, bad = seed, v
				}
				mu.Unlock()
				return // higher seeds cannot be the first
			}
		})
	}
	group.Wait()
	return first, bad
}

// The rules are worth what they notice: every wrong reading of the RFC is caught, a faithful oracle is not. S11 looks
// at the timers themselves; the others must notice by what comes of it, or else be named here.
func TestSimulationKillsMutants(t *testing.T) {
	const seeds = 2000
	t.Run("faithful", func(t *testing.T) {
		if seed, bad := firstViolation(seeds, mutant(vrrptest.Faithful)); bad != nil {
			t.Errorf("seed %d: %v", seed, bad)
		}
	})
	for _, m := range vrrptest.Mutations() {
		t.Run(m.String(), func(t *testing.T) {
			ignore := []string{"S11"}
			if m == vrrptest.ReleaseExtends {
				ignore = nil // one release cannot extend the timer, and nobody in the scenario sends a flood of them
			}
			seed, bad := firstViolation(seeds, mutant(m), ignore...)
			if bad == nil {
				t.Fatalf("survived %d seeds", seeds)
			}
			t.Logf("killed by seed %d: %v", seed, bad)
		})
	}
}

func mutant(m vrrptest.Mutation) func(*vrrptest.Scenario) vrrptest.Factory {
	return func(s *vrrptest.Scenario) vrrptest.Factory { return s.Mutant(m) }
}

// What the simulation never reaches it cannot prove.
func TestSimulationReachesEverything(t *testing.T) {
	kinds := make(map[vrrptest.FaultKind]int)
	causes := make(map[vrrp.Cause]int)
	drops := make(map[wire.DropReason]int)
	rivals, late, versions, families, unicast := 0, 0, map[wire.Version]int{}, map[wire.Family]int{}, 0
	for seed := range uint64(400) {
		s := vrrptest.NewScenario(seed + 1)
		for _, f := range s.Faults {
			kinds[f.Kind]++
		}
		c := s.Nodes[0].Config
		versions[c.Version]++
		families[c.Key.Family]++
		if c.Unicast {
			unicast++
		}
		s.Run(vrrptest.Production, func(s *vrrptest.Step) {
			if s.Effect.Changed() {
				causes[s.Effect.Cause]++
			}
			if s.Effect.Rival {
				rivals++
			}
			if s.Kind == vrrptest.Received {
				drops[s.Why]++
			}
			if s.Kind == vrrptest.Expired && s.Before.State == vrrp.Backup && s.After.State == vrrp.Backup {
				late++
			}
		})
	}
	for k := vrrptest.FaultCut; k <= vrrptest.FaultPause; k++ {
		if kinds[k] == 0 {
			t.Errorf("no fault of kind %d", k)
		}
	}
	for c := vrrp.CauseStartup; c <= vrrp.CauseShutdown; c++ {
		if causes[c] == 0 {
			t.Errorf("no transition because of %q", c)
		}
	}
	for _, why := range []wire.DropReason{
		wire.Accepted, wire.DropOwnSource, wire.DropVersion, wire.DropType, wire.DropChecksum,
		wire.DropTruncatedAddresses, wire.DropCountZero,
	} {
		if drops[why] == 0 {
			t.Errorf("no packet met %v", why)
		}
	}
	if rivals == 0 || late == 0 || unicast == 0 || len(versions) != 2 || len(families) != 2 {
		t.Errorf("rivals %d, late wake-ups %d, unicast %d, versions %v, families %v", rivals, late, unicast, versions, families)
	}
	t.Logf("transitions %v, packets %v, rivals %d, late wake-ups %d", causes, drops, rivals, late)
}
