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
	seedsFlag  = flag.Uint64("seeds", 20000, "how many courses to play")
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
	seeds := *seedsFlag
	if testing.Short() || raceEnabled {
		seeds = min(seeds, 500)
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
