package health

import (
	"testing"
	"time"
)

func TestTally(t *testing.T) {
	// results: + success, - failure. want: after each of them, the verdict, in capitals where it was made or changed.
	for _, c := range []struct {
		name          string
		rise, fall    int
		initFail      bool
		results, want string
	}{
		{"the first success counts at once", 3, 3, false, "+", "O"},
		{"the first failure counts at once", 3, 3, false, "-", "F"},
		{"with rise and fall 1 every result counts", 1, 1, false, "+-+--+", "OFOFfO"},
		{"fall failures in a row change it", 1, 3, false, "+---", "OooF"},
		{"a success in between starts fall anew", 1, 3, false, "+--+--+---", "OooooooooF"},
		{"rise successes in a row change it back", 2, 1, false, "+-+-++", "OFfffO"},
		{"further equal results say nothing", 2, 2, false, "--++++", "FffOoo"},
		{"with init_fail the first success is not enough", 2, 1, true, "++", "fO"},
		{"with init_fail a failure is nothing new", 2, 1, true, "-+-++", "ffffO"},
		{"with init_fail and rise 1 the first success is enough", 1, 1, true, "+", "O"},
	} {
		t.Run(c.name, func(t *testing.T) {
			y := tally{rise: c.rise, fall: c.fall, known: c.initFail}
			got := ""
			for _, r := range c.results {
				changed := y.add(r == '+')
				letter := map[bool]byte{true: 'o', false: 'f'}[y.ok]
				if changed {
					letter -= 'a' - 'A'
				}
				got += string(letter)
			}
			if got != c.want {
				t.Errorf("%s: got %s, want %s", c.results, got, c.want)
			}
		})
	}
}

func TestSplay(t *testing.T) {
	for _, c := range []struct {
		name     string
		i, n     int
		interval time.Duration
		want     time.Duration
	}{
		{"a few start at once", 4, 5, time.Second, 0},
		{"the first of many start at once", 31, 1000, time.Second, 0},
		{"many with a short interval are spread over it", 999, 1000, time.Second, 999 * time.Millisecond},
		{"many with a long interval do not wait for all of it", 999, 1000, time.Minute, 4995 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := splay(c.i, c.n, c.interval); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}
