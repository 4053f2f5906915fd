package failovertest

import (
	"flag"
	"os"
	"sync"
	"sync/atomic"
	"testing"
)

// playSeeds plays seeds on two cores, from first on, until four have failed. How many that is: what the flag says, if it is given;
// otherwise usual, or many with FAILOVERD_NIGHTLY=1, or few under the race detector, which only has to see worlds side by side,
// and with -short.
func playSeeds(t *testing.T, flagName string, first, few, usual, many uint64, one func(seed uint64) (ok bool)) {
	n := usual
	switch {
	case given(flagName):
		n = flag.Lookup(flagName).Value.(flag.Getter).Get().(uint64)
	case raceEnabled || testing.Short():
		n = few
	case os.Getenv("FAILOVERD_NIGHTLY") == "1":
		n = many
	}
	var (
		next   atomic.Uint64
		failed atomic.Int32
		wg     sync.WaitGroup
	)
	for range 2 {
		wg.Go(func() {
			for i := next.Add(1); i <= n && failed.Load() <= 3; i = next.Add(1) {
				if !one(first + i - 1) {
					failed.Add(1)
				}
			}
		})
	}
	wg.Wait()
}

// given reports whether a flag is on the command line.
func given(name string) (is bool) {
	flag.Visit(func(f *flag.Flag) { is = is || f.Name == name })
	return is
}
