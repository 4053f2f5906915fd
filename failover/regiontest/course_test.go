package regiontest

import (
	"flag"
	"os"
	"sync"
	"sync/atomic"
	"testing"
)

var (
	seedFlag   = flag.Uint64("seed", 0, "play the course of this seed only, with a trace")
	seedsFlag  = flag.Uint64("seeds", usualCourses, "how many courses to play; without it, as many as usual")
	courseFlag = flag.String("course", "", "play the course in this file only, with a trace")
)

// TestCourses plays many courses on two cores. One that breaks a rule is made as small as it can be, and printed.
func TestCourses(t *testing.T) {
	if *seedFlag != 0 {
		c := Draw(*seedFlag)
		if err := Play(c, Faithful, os.Stderr).Err(c, Faithful); err != nil {
			t.Fatal(err)
		}
		return
	}
	seeds := howMany()
	var (
		next   atomic.Uint64
		failed atomic.Int32
		wg     sync.WaitGroup
	)
	for range 2 {
		wg.Go(func() {
			for {
				i := next.Add(1)
				if i > seeds || failed.Load() > 3 {
					return
				}
				seed := *firstFlag + i - 1
				if c := Draw(seed); Play(c, Faithful, nil).Broken != "" {
					failed.Add(1)
					c = Shrink(c, Faithful)
					t.Errorf("seed %d: %v", seed, Play(c, Faithful, nil).Err(c, Faithful))
				}
			}
		})
	}
	wg.Wait()
}

// howMany returns how many courses to play: what the flag says, if it is given; otherwise usualCourses, or many with
// FAILOVERD_NIGHTLY=1, or few under the race detector, which only has to see worlds side by side, and with -short.
func howMany() uint64 {
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "seeds" })
	switch {
	case given:
		return *seedsFlag
	case raceEnabled || testing.Short():
		return 100
	case os.Getenv("FAILOVERD_NIGHTLY") == "1":
		return 50_000
	}
	return usualCourses
}

// usualCourses are enough for every kind of fault to meet each of its targets many times (TestCoursesHaveEverything).
const usualCourses = 6000

// TestCoursesHaveEverything: the courses that are usually played have every fault alone, and at each of its targets.
func TestCoursesHaveEverything(t *testing.T) {
	alone, at := make(map[string]int), make(map[string]int)
	for seed := uint64(1); seed <= usualCourses; seed++ {
		c := Draw(seed)
		for _, f := range c.Faults {
			at[f.Kind+" "+f.Target]++
			if len(c.Faults) == 1 {
				alone[f.Kind]++
			}
		}
	}
	for name, k := range kinds {
		if alone[name] < 30 {
			t.Errorf("%s is alone in %d courses", name, alone[name])
		}
		for _, target := range k.targets {
			if n := at[name+" "+target]; n < 10 {
				t.Errorf("%s of %s is in the courses %d times", name, target, n)
			}
		}
	}
}

// TestCourseFile plays the course in a file, with a trace.
func TestCourseFile(t *testing.T) {
	if *courseFlag == "" {
		t.Skip("only with -course FILE")
	}
	text, err := os.ReadFile(*courseFlag)
	if err != nil {
		t.Fatal(err)
	}
	c, err := ParseCourse(string(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := Play(c, Faithful, os.Stderr).Err(c, Faithful); err != nil {
		t.Fatal(err)
	}
}
