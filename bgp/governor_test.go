package bgp

import (
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
	step(2*s, on, Wait, on)                                              // two and a place for the withdrawal
	step(3*s, other, Wait, on, until(60*s))                              // three already: the old attributes stay
	step(4*s, other, Wait, on, until(60*s))                              // waiting costs nothing
	step(5*s, nil, Wait, nil)                                            // a withdrawal goes at once
	step(6*s, other, Wait, nil, until(61*s))                             // four: nothing more, not even after another wish
	step(60*s, other, Wait, nil, until(61*s))                            // one has grown old
	step(61*s, other, Wait, other)                                       // the latest wish
	step(61*s+1, on, Withdraw, nil, Held{governed, int64(62 * s), true}) // who has lost the role must not keep its attributes
	step(62*s, on, Announce, on)
	step(63*s, nil, Announce, nil)
	step(64*s, on, Announce, on)                    // however many there are
	step(64*s+1, other, Announce, on, until(122*s)) // something is announced: that is enough
	step(200*s, on, Wait, on)                       // after a quiet time at once
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
