package bgp_test

import (
	"encoding/json"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"failoverd/bgp"
)

var (
	historyA = netip.MustParsePrefix("198.51.100.0/24")
	historyB = netip.MustParsePrefix("2001:db8::/32")
)

// A governor that goes on in the place of another one, whose clock began elsewhere, decides what that one would have.
func TestHistory(t *testing.T) {
	set := []bgp.Route{{Prefix: historyA}}
	none := func(netip.Prefix) bgp.Instead { return bgp.Wait }
	old := &bgp.Governor{Calm: true}
	now := int64(time.Hour)
	for range 3 {
		old.Admit(now, 0, nil, set, none)
		old.Admit(now, 0, set, nil, none)
		now += int64(40 * time.Second)
	}
	list := old.History(now)
	want := []bgp.History{{
		Prefix: historyA, Changes: []time.Duration{40 * time.Second, 40 * time.Second},
		Withdrawals: []time.Duration{120 * time.Second, 80 * time.Second, 40 * time.Second},
	}}
	if diff := cmp.Diff(want, list, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	next := &bgp.Governor{Calm: true}
	elsewhere := int64(5 * time.Minute)
	if err := next.Restore(elsewhere, list); err != nil {
		t.Fatal(err)
	}
	_, held := next.Admit(elsewhere, 0, nil, set, none)
	if _, as := old.Admit(now, 0, nil, set, none); len(held) != 1 || len(as) != 1 || held[0].Until-elsewhere != as[0].Until-now || !held[0].Flaps {
		t.Errorf("held %v, want %v", held, as)
	}
	if _, held := new(bgp.Governor).Admit(elsewhere, 2, nil, set, none); held != nil {
		t.Errorf("one without a history holds %v", held)
	}
}

func TestRestoreRefuses(t *testing.T) {
	for name, list := range map[string][]bgp.History{
		"no prefix":                {{Changes: []time.Duration{1}}},
		"one with bits of hosts":   {{Prefix: netip.MustParsePrefix("198.51.100.1/24")}},
		"one twice":                {{Prefix: historyA}, {Prefix: historyA}},
		"what is yet to come":      {{Prefix: historyA, Changes: []time.Duration{-1}}},
		"what was forgotten":       {{Prefix: historyA, Changes: []time.Duration{bgp.ChangeWindow + 1}}},
		"withdrawals of long ago":  {{Prefix: historyB, Withdrawals: []time.Duration{bgp.CalmWindow + 1}}},
		"times in the wrong order": {{Prefix: historyB, Withdrawals: []time.Duration{1, 2}}},
	} {
		g := new(bgp.Governor)
		if err := g.Restore(0, list); err == nil || g.History(0) != nil {
			t.Errorf("%s: %v, remembers %v", name, err, g.History(0))
		}
	}
}

// FuzzRestore: whatever another program hands over, it is refused, or remembered as it is.
func FuzzRestore(f *testing.F) {
	f.Add([]byte(`[{"Prefix":"198.51.100.0/24","Changes":[5,3,3],"Withdrawals":[900000000000]}]`))
	f.Add([]byte(`[{"Prefix":"2001:db8::/32"},{"Prefix":"","Changes":[-1]}]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var list []bgp.History
		if json.Unmarshal(text, &list) != nil {
			return
		}
		g := new(bgp.Governor)
		if g.Restore(1, list) != nil {
			return
		}
		again := g.History(1)
		if err := new(bgp.Governor).Restore(1, again); err != nil {
			t.Errorf("%v is refused: %v", again, err)
		}
		for i := range list {
			want := []bgp.Route{{Prefix: list[i].Prefix}}
			_, held := g.Admit(1, 2, nil, want, func(netip.Prefix) bgp.Instead { return bgp.Wait })
			if len(held) > 1 || len(held) == 1 && held[0].Until > 1+int64(bgp.CalmWindow) {
				t.Errorf("held %v", held)
			}
		}
	})
}
