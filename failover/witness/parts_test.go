package witness

import (
	"net/netip"
	"testing"
	"time"
)

// What may be looked at is bounded for each source and for strangers together, and comes back with time.
func TestLimiter(t *testing.T) {
	friend, stranger := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	count := func(l *limiter, from func(i int) netip.Addr, now time.Duration) (n int) {
		for i := range 20 * allRate {
			if l.allow(from(i), now) {
				n++
			}
		}
		return n
	}
	one := func(a netip.Addr) func(int) netip.Addr { return func(int) netip.Addr { return a } }
	all := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}) }

	l := newLimiter()
	l.know(friend, 0)
	for _, c := range []struct {
		name string
		from func(int) netip.Addr
		now  time.Duration
		want int
	}{
		{"a stranger", one(stranger), 0, strangerRate},
		{"a stranger, again", one(stranger), 0, 0},
		{"a stranger, half a second later", one(stranger), time.Second / 2, strangerRate / 2},
		{"all strangers", all, time.Minute, allRate},
		{"one whom we know, meanwhile", one(friend), time.Minute, knownRate},
		{"one whom we know, a tenth of a second later", one(friend), time.Minute + time.Second/10, knownRate / 10},
		{"the clock does not go back", one(friend), time.Minute, 0},
	} {
		if n := count(l, c.from, c.now); n != c.want {
			t.Errorf("%s: %d, want %d", c.name, n, c.want)
		}
	}
}

// Those who are known are few, and the one who has been silent the longest is forgotten.
func TestLimiterForgets(t *testing.T) {
	l := newLimiter()
	addr := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}) }
	for i := range maxKnown + 10 {
		l.know(addr(i), time.Duration(i)+1)
		l.know(addr(0), time.Duration(i)+1)
	}
	if len(l.known) != maxKnown || l.known[addr(0)] == nil || l.known[addr(1)] != nil || l.known[addr(maxKnown+9)] == nil {
		t.Errorf("%d known", len(l.known))
	}
}

// A request waits for its answer for a while, in a place that the newest one gets.
func TestPending(t *testing.T) {
	var p pending
	one, other := &listener{tally: newTally(nil)}, &listener{tally: newTally(nil)}
	first, displaced := p.put(entry{listener: one})
	if first != 1 || displaced != nil {
		t.Errorf("the first is %d, displaced %v", first, displaced)
	}
	for range maxPending - 1 {
		if _, d := p.put(entry{listener: other}); d != nil {
			t.Fatal("displaced too early")
		}
	}
	if _, d := p.put(entry{listener: other}); d != one {
		t.Error("not displaced")
	}
	if _, ok := p.take(first, 0); ok {
		t.Error("what was displaced is there")
	}
	if e, ok := p.take(first+1, answerLife); !ok || e.listener != other {
		t.Error("the second is not there")
	}
	if _, ok := p.take(first+1, 0); ok {
		t.Error("the second is there twice")
	}
	if _, ok := p.take(first+2, answerLife+1); ok || other.tally.words()["unanswered"] != 1 {
		t.Errorf("what is too old: %v", other.tally.words())
	}
	p.drop(first + 3)
	p.drop(first)
	if _, ok := p.take(first+3, 0); ok {
		t.Error("what was dropped is there")
	}
}

// Every count has a word of its own.
func TestWords(t *testing.T) {
	seen := make(map[string]bool)
	for i := range numCounts {
		if w := word(i); w == "" || seen[w] {
			t.Errorf("count %d is %q", i, w)
		} else {
			seen[w] = true
		}
	}
}
