package regiontest

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

// TestCourseText: what a failure prints can be played again.
func TestCourseText(t *testing.T) {
	for seed := uint64(1); seed < 200; seed++ {
		c := Draw(seed)
		got, err := ParseCourse("# a comment\n" + c.String())
		if err != nil || !reflect.DeepEqual(got, c) {
			t.Fatalf("seed %d: got %v, %v, want %v", seed, got, err, c)
		}
	}
	for _, tt := range []struct{ text, want string }{
		{"seed x", "invalid syntax"},
		{"12s hang m1", "want TIME KIND TARGET DURATION N"},
		{"12s dance m1 3s 0", `there is no kind "dance"`},
		{"twelve hang m1 3s 0", "invalid duration"},
		{"12s hang m1 long 0", "invalid duration"},
	} {
		if _, err := ParseCourse(tt.text); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: error %v, want one with %q", tt.text, err, tt.want)
		}
	}
}

// TestSameCourse: a course goes the same way each time.
func TestSameCourse(t *testing.T) {
	for seed := uint64(1); seed <= 50; seed++ {
		if a, b := Play(Draw(seed), Faithful, nil), Play(Draw(seed), Faithful, nil); a != b {
			t.Fatalf("seed %d: %+v, and then %+v", seed, a, b)
		}
	}
}

// TestWallClock: steps of wall clocks change nothing (M5).
func TestWallClock(t *testing.T) {
	for seed := uint64(1); seed <= 50; seed++ {
		steps := func(hours func(i int) int) Course {
			c := Draw(seed)
			for i, target := range []string{"m1", "m2", "k", "w1"} {
				c.Faults = append(c.Faults, Fault{At: time.Duration(3+4*i) * time.Second, Kind: "wall", Target: target, For: time.Second, N: 50 + hours(i)})
			}
			return c
		}
		without := Play(steps(func(int) int { return 0 }), Faithful, nil) // as long a course
		if with := Play(steps(func(i int) int { return 7*i - 50 }), Faithful, nil); with != without {
			t.Errorf("seed %d: %+v, and with steps of the wall clock %+v", seed, without, with)
		}
	}
}

// TestClock: a clock is off by its rate, and stands when it is stopped.
func TestClock(t *testing.T) {
	const second = 1_000_000_000
	for _, rate := range []int64{0, drift, -drift} {
		c := clock{local: 77 * second, rate: rate}
		if got, want := c.at(1000*second).Sub(77*second), time.Duration(1000*second+rate*1_000_000); got != want {
			t.Errorf("rate %d: %v after 1000 s, want %v", rate, got, want)
		}
		due := c.at(0).Add(10 * time.Second)
		if wait := c.wait(0, due); c.at(0+instant(wait)) < due || c.at(instant(wait)-3) >= due {
			t.Errorf("rate %d: waits %v for 10 s", rate, wait)
		}
		c.stop(1000 * second)
		stood := c.at(2000 * second)
		c.start(3000 * second)
		if got := c.at(3000 * second); got != stood || c.at(3001*second) <= stood {
			t.Errorf("rate %d: %v after a stop at %v", rate, got, stood)
		}
	}
}
