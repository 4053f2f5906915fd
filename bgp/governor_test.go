package bgp

import (
	"math"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"
)

var (
	governed  = netip.MustParsePrefix("198.51.100.0/24")
	governed6 = netip.MustParsePrefix("2001:db8:100::/48")
)

func route(p netip.Prefix, prepend uint8) Route {
	return Route{Prefix: p, Attributes: Attributes{Prepend: prepend}}
}

func stay(netip.Prefix) Instead { return Wait }

func TestGovernor(t *testing.T) {
	var g Governor
	on, other := []Route{route(governed, 0)}, []Route{route(governed, 3)}
	var have []Route
	step := func(at time.Duration, want []Route, instead Instead, admitted []Route, held ...Held) {
		t.Helper()
		got, kept := g.Admit(int64(at), 4, have, want, func(netip.Prefix) Instead { return instead })
		if len(got)+len(admitted) > 0 && !reflect.DeepEqual(got, admitted) || !slices.Equal(kept, held) {
			t.Fatalf("at %v: %v, held %v; want %v, held %v", at, got, kept, admitted, held)
		}
		have = got
	}
	s := time.Second
	until := func(at time.Duration) Held { return Held{Prefix: governed, Until: int64(at)} }
	step(0, on, Wait, on)
	step(1*s, nil, Wait, nil)
	step(2*s, on, Wait, on)                                                                        // two and a place for the withdrawal
	step(3*s, other, Wait, on, until(60*s))                                                        // three already: the old attributes stay
	step(4*s, other, Wait, on, until(60*s))                                                        // waiting costs nothing
	step(5*s, nil, Wait, nil)                                                                      // a withdrawal goes at once
	step(6*s, other, Wait, nil, until(61*s))                                                       // four: nothing more, not even after another wish
	step(60*s, other, Wait, nil, until(61*s))                                                      // one has grown old
	step(61*s, other, Wait, other)                                                                 // the latest wish
	step(61*s+1, on, Withdraw, nil, Held{Prefix: governed, Until: int64(62 * s), Withdrawn: true}) // who has lost the role must not keep its attributes
	step(62*s, on, Announce, on)
	step(63*s, nil, Announce, nil)
	step(64*s, on, Announce, on)                    // however many there are
	step(64*s+1, other, Announce, on, until(122*s)) // something is announced: that is enough
	step(200*s, on, Wait, on)                       // after a quiet time at once
}

// TestBGP_DAMP_01_CalmGovernor: what has been withdrawn is not announced again within 30 s, nor a fourth time within 15 minutes,
// and the withdrawals themselves never wait.
func TestBGP_DAMP_01_CalmGovernor(t *testing.T) {
	on := []Route{route(governed, 0)}
	var have []Route
	g := Governor{Calm: true}
	step := func(at time.Duration, want, admitted []Route, until time.Duration, instead Instead) {
		t.Helper()
		got, held := g.Admit(int64(at), 12, have, want, func(netip.Prefix) Instead { return instead })
		if len(got)+len(admitted) > 0 && !reflect.DeepEqual(got, admitted) {
			t.Fatalf("at %v: %v, want %v", at, got, admitted)
		}
		if until != 0 && !slices.Equal(held, []Held{{Prefix: governed, Until: int64(until), Flaps: true}}) || until == 0 && len(held) > 0 {
			t.Fatalf("at %v: held %v, want until %v", at, held, until)
		}
		have = got
	}
	s := time.Second
	step(1*s, on, on, 0, Wait)
	step(2*s, nil, nil, 0, Wait) // the first
	step(3*s, on, nil, 32*s, Wait)
	step(32*s, on, on, 0, Wait)
	step(33*s, []Route{route(governed, 3)}, []Route{route(governed, 3)}, 0, Wait) // other attributes are no flap
	step(34*s, nil, nil, 0, Wait)                                                 // the second
	step(64*s, on, on, 0, Wait)
	step(65*s, nil, nil, 0, Wait) // the third
	step(95*s, on, nil, 902*s, Wait)
	step(901*s, on, nil, 902*s, Wait)
	step(902*s, on, on, 0, Wait) // the first is 15 minutes old
	step(903*s, nil, nil, 0, Wait)
	step(904*s, on, on, 0, Announce) // nobody else announces it
	step(905*s, nil, nil, 0, Wait)
	g.Calm = false
	step(906*s, on, on, 0, Wait)
}

// TestBGP_DAMP_01_NeverSuppressed: whatever is wished for, a neighbor that damps flaps by RFC 2439 with the thresholds of RFC 7196
// (1000 for a withdrawal, half of it forgotten in 15 minutes, suppressed from 6000 on) never suppresses a calm speaker's prefix.
func TestBGP_DAMP_01_NeverSuppressed(t *testing.T) {
	worst := 0.0
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 7196))
		g := Governor{Calm: true}
		var have []Route
		penalty, last := 0.0, int64(0)
		for now := int64(0); now < int64(4*time.Hour); {
			now += 1 + rng.Int64N(int64(time.Second)<<rng.IntN(8))
			var want []Route
			if rng.IntN(2) == 0 {
				want = []Route{route(governed, 0)}
			}
			got, _ := g.Admit(now, 0, have, want, stay)
			if len(want) == 0 && len(got) > 0 {
				t.Fatalf("seed %d: a withdrawal waits", seed)
			}
			if len(have) > 0 && len(got) == 0 {
				penalty = penalty*math.Exp2(-float64(now-last)/float64(15*time.Minute)) + 1000
				worst, last = max(worst, penalty), now
			}
			if penalty >= 6000 {
				t.Fatalf("seed %d: penalty %.0f after %v", seed, penalty, time.Duration(now))
			}
			have = got
		}
	}
	if worst < 3000 {
		t.Errorf("the worst penalty was %.0f: nothing was tried", worst)
	}
	t.Logf("the worst penalty was %.0f", worst)
}

func TestGovernorCountsEachPrefixForItself(t *testing.T) {
	var g Governor
	one, both := []Route{route(governed, 0)}, []Route{route(governed, 0), route(governed6, 0)}
	g.Admit(0, 2, nil, one, stay)
	g.Admit(1, 2, one, nil, stay)
	got, held := g.Admit(2, 2, nil, both, stay)
	if !reflect.DeepEqual(got, both[1:]) || len(held) != 1 || held[0].Prefix != governed {
		t.Errorf("%v, held %v", got, held)
	}
	if got, held := g.Admit(3, 0, got, both, stay); !reflect.DeepEqual(got, both) || held != nil {
		t.Errorf("without a limit: %v, held %v", got, held)
	}
}

// TestGovernorProperties: in three thousand histories of wild wishes no window has more changes than allowed, no withdrawal
// waits, nothing is announced that is not wanted or was not announced before, a change after a quiet minute goes at once,
// and what is wanted in the end is there when the time has come that was promised.
func TestGovernorProperties(t *testing.T) {
	prefixes := []netip.Prefix{governed, governed6}
	for seed := range uint64(3_000) {
		rnd := rand.New(rand.NewPCG(seed, 2439))
		most := 2 + rnd.IntN(12)
		var (
			g       Governor
			have    []Route
			now     int64
			changed = map[netip.Prefix][]int64{}
			wish    []Route
			held    []Held
		)
		admit := func(back map[netip.Prefix]bool) {
			got, h := g.Admit(now, most, have, wish, func(p netip.Prefix) Instead {
				if back[p] {
					return Withdraw
				}
				return Wait
			})
			announce, withdraw := Diff(have, got)
			for _, r := range announce {
				if !slices.ContainsFunc(wish, func(w Route) bool { return w.Prefix == r.Prefix && w.Equal(r.Attributes) }) {
					t.Fatalf("seed %d: announces %v, which nobody wants", seed, r)
				}
				changed[r.Prefix] = append(changed[r.Prefix], now)
			}
			for _, p := range withdraw {
				changed[p] = append(changed[p], now)
			}
			for _, r := range got {
				if !slices.ContainsFunc(wish, func(w Route) bool { return w.Prefix == r.Prefix }) {
					t.Fatalf("seed %d: the withdrawal of %v waits", seed, r.Prefix)
				}
			}
			for _, x := range h {
				before := changed[x.Prefix]
				if n := len(before); n == 0 || now-before[n-1] >= int64(ChangeWindow) {
					t.Fatalf("seed %d: %v waits after a quiet minute", seed, x.Prefix)
				}
				if x.Until <= now || x.Until > now+int64(ChangeWindow) {
					t.Fatalf("seed %d: at %d until %d", seed, now, x.Until)
				}
			}
			have, held = got, h
		}
		for range 60 {
			now += rnd.Int64N(int64(10 * time.Second))
			wish = nil
			back := map[netip.Prefix]bool{}
			for _, p := range prefixes {
				if rnd.IntN(3) > 0 {
					wish = append(wish, route(p, uint8(rnd.IntN(3))))
				}
				back[p] = rnd.IntN(4) == 0
			}
			admit(back)
		}
		for range 2 { // a held withdrawal-and-back takes two turns at most
			for _, h := range held {
				now = max(now, h.Until)
			}
			admit(nil)
		}
		if len(held) > 0 || !reflect.DeepEqual(append([]Route{}, have...), append([]Route{}, wish...)) {
			t.Fatalf("seed %d: in the end %v (held %v), want %v", seed, have, held, wish)
		}
		for p, at := range changed {
			for i := range at {
				n := 0
				for _, x := range at[i:] {
					if x-at[i] < int64(ChangeWindow) {
						n++
					}
				}
				if n > most {
					t.Fatalf("seed %d: %d changes of %v within a minute, %d are allowed", seed, n, p, most)
				}
			}
		}
	}
}
