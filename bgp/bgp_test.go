package bgp

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestParseCommunity(t *testing.T) {
	for in, want := range map[string]Community{
		"64500:100":         64500<<16 | 100,
		"0:0":               0,
		"65535:65535":       0xFFFFFFFF,
		"graceful-shutdown": 0xFFFF0000, // RFC 8326
		"blackhole":         0xFFFF029A, // RFC 7999
		"no-export":         0xFFFFFF01, // RFC 1997
		"no-advertise":      0xFFFFFF02,
		"no-peer":           0xFFFFFF04, // RFC 3765
	} {
		got, err := ParseCommunity(in)
		if err != nil || got != want {
			t.Errorf("ParseCommunity(%q) = %v, %v; want %v", in, got, err, want)
		}
	}
	for _, in := range []string{
		"", ":", "1", "1:", ":1", "1:2:3", "65536:1", "1:65536", "-1:1", "+1:1", "1 :1", "0x1:1", "No-Export", "1:1 ",
	} {
		if got, err := ParseCommunity(in); err == nil {
			t.Errorf("ParseCommunity(%q) = %v, want an error", in, got)
		}
	}
}

func TestParseLargeCommunity(t *testing.T) {
	for in, want := range map[string]LargeCommunity{
		"64500:1:2":                        {64500, 1, 2},
		"0:0:0":                            {},
		"4294967295:4294967295:4294967295": {4294967295, 4294967295, 4294967295},
	} {
		got, err := ParseLargeCommunity(in)
		if err != nil || got != want {
			t.Errorf("ParseLargeCommunity(%q) = %v, %v; want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "1", "1:2", "1:2:3:4", "1:2:", "::", "4294967296:0:0", "-1:0:0", "a:b:c"} {
		if got, err := ParseLargeCommunity(in); err == nil {
			t.Errorf("ParseLargeCommunity(%q) = %v, want an error", in, got)
		}
	}
}

func TestCommunityTextRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := Community(rapid.Uint32().Draw(t, "community"))
		if got, err := ParseCommunity(c.String()); err != nil || got != c {
			t.Fatalf("%v: %v, %v", c, got, err)
		}
		l := LargeCommunity{rapid.Uint32().Draw(t, "g"), rapid.Uint32().Draw(t, "l1"), rapid.Uint32().Draw(t, "l2")}
		if got, err := ParseLargeCommunity(l.String()); err != nil || got != l {
			t.Fatalf("%v: %v, %v", l, got, err)
		}
	})
}

// Order and repetition in the configuration make no difference to the value, and so none on the wire.
func TestBGP_COM_01_NormalizeIsCanonical(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := drawAttributes(t)
		b := a
		b.Communities = append(rapid.Permutation(a.Communities).Draw(t, "order"), a.Communities...)
		b.LargeCommunities = append(rapid.Permutation(a.LargeCommunities).Draw(t, "order of large"), a.LargeCommunities...)
		a.Normalize()
		b.Normalize()
		if !a.Equal(b) {
			t.Fatalf("%v and %v differ", a, b)
		}
		if !slices.IsSorted(a.Communities) || len(slices.Compact(slices.Clone(a.Communities))) != len(a.Communities) {
			t.Fatalf("not a sorted set: %v", a.Communities)
		}
	})
}

func TestAttributesEqual(t *testing.T) {
	one, uno, two := uint32(1), uint32(1), uint32(2)
	hop := netip.MustParseAddr("192.0.2.1")
	for _, c := range []struct {
		name string
		a, b Attributes
		want bool
	}{
		{"both empty", Attributes{}, Attributes{}, true},
		{"nil and empty communities", Attributes{}, Attributes{Communities: []Community{}}, true},
		{"same MED behind two pointers", Attributes{MED: &one}, Attributes{MED: &uno}, true},
		{"another MED", Attributes{MED: &one}, Attributes{MED: &two}, false},
		{"MED and none", Attributes{MED: &one}, Attributes{}, false},
		{"LOCAL_PREF is not MED", Attributes{MED: &one}, Attributes{LocalPref: &one}, false},
		{"next hop", Attributes{NextHop: hop}, Attributes{}, false},
		{"prepend", Attributes{Prepend: 1}, Attributes{}, false},
		{"community", Attributes{Communities: []Community{1}}, Attributes{Communities: []Community{2}}, false},
		{"large community", Attributes{LargeCommunities: []LargeCommunity{{1, 2, 3}}}, Attributes{}, false},
	} {
		if got := c.a.Equal(c.b); got != c.want {
			t.Errorf("%s: Equal = %v", c.name, got)
		}
		if c.a.Equal(c.b) != c.b.Equal(c.a) {
			t.Errorf("%s: not symmetric", c.name)
		}
	}
}

func TestRouteString(t *testing.T) {
	med, pref := uint32(50), uint32(200)
	r := Route{Prefix: netip.MustParsePrefix("198.51.100.0/24"), Attributes: Attributes{
		NextHop: netip.MustParseAddr("203.0.113.2"), MED: &med, LocalPref: &pref, Prepend: 3,
		Communities: []Community{64500<<16 | 100}, LargeCommunities: []LargeCommunity{{64500, 1, 2}},
	}}
	want := "198.51.100.0/24 next_hop 203.0.113.2 med 50 local_pref 200 prepend 3 community 64500:100 large_community 64500:1:2"
	if got := r.String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := (Route{Prefix: r.Prefix}).String(); got != "198.51.100.0/24" {
		t.Errorf("plain route: %s", got)
	}
}

func TestDiff(t *testing.T) {
	med := uint32(10)
	route := func(p string, a Attributes) Route { return Route{Prefix: netip.MustParsePrefix(p), Attributes: a} }
	a, b, c := route("10.0.0.0/24", Attributes{}), route("10.0.1.0/24", Attributes{}), route("2001:db8::/48", Attributes{})
	changed := route("10.0.0.0/24", Attributes{MED: &med})
	for _, row := range []struct {
		name       string
		have, want []Route
		announce   []Route
		withdraw   []netip.Prefix
	}{
		{"nothing to nothing", nil, nil, nil, nil},
		{"first announcement", nil, []Route{b, a}, []Route{a, b}, nil},
		{"unchanged", []Route{a, c}, []Route{a, c}, nil, nil},
		{"withdraw all", []Route{c, a}, nil, nil, []netip.Prefix{a.Prefix, c.Prefix}},
		{"swap", []Route{a}, []Route{b}, []Route{b}, []netip.Prefix{a.Prefix}},
		{"twice there", []Route{c, a, a}, []Route{a}, nil, []netip.Prefix{c.Prefix}},
		{"the later one of two counts", []Route{a, changed}, []Route{changed}, nil, nil},
		{"attributes: replaced without a withdrawal", []Route{a, b}, []Route{changed, b}, []Route{changed}, nil},
	} {
		announce, withdraw := Diff(row.have, row.want)
		if d := cmp.Diff(row.announce, announce, cmp.Comparer(sameRoute)); d != "" {
			t.Errorf("%s: announce -want +got\n%s", row.name, d)
		}
		if d := cmp.Diff(row.withdraw, withdraw, cmp.Comparer(func(x, y netip.Prefix) bool { return x == y })); d != "" {
			t.Errorf("%s: withdraw -want +got\n%s", row.name, d)
		}
	}
}

// Whatever is there and whatever is wanted: applying the difference gives what is wanted, says no more than needed, and
// never withdraws what stays.
func TestDiffProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		have, want := drawTable(t, "have"), drawTable(t, "want")
		announce, withdraw := Diff(have, want)
		table := map[netip.Prefix]Attributes{}
		for _, r := range have {
			table[r.Prefix] = r.Attributes
		}
		for _, p := range withdraw {
			if _, ok := table[p]; !ok {
				t.Fatalf("withdraws %v, which is not there", p)
			}
			if slices.ContainsFunc(want, func(r Route) bool { return r.Prefix == p }) {
				t.Fatalf("withdraws %v, which is wanted", p)
			}
			delete(table, p)
		}
		for _, r := range announce {
			if old, ok := table[r.Prefix]; ok && old.Equal(r.Attributes) {
				t.Fatalf("announces %v again", r)
			}
			table[r.Prefix] = r.Attributes
		}
		if len(table) != len(want) {
			t.Fatalf("%d routes, want %d", len(table), len(want))
		}
		for _, r := range want {
			if !table[r.Prefix].Equal(r.Attributes) {
				t.Fatalf("%v: got %v", r, table[r.Prefix])
			}
		}
		if a, w := Diff(want, want); len(a)+len(w) > 0 {
			t.Fatalf("not idempotent: %v %v", a, w)
		}
		if !slices.IsSortedFunc(announce, func(x, y Route) int { return x.Prefix.Compare(y.Prefix) }) ||
			!slices.IsSortedFunc(withdraw, netip.Prefix.Compare) {
			t.Fatal("not sorted")
		}
	})
}

func TestSessionStateText(t *testing.T) {
	for s := Unknown; s <= Established; s++ {
		text, err := s.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var back SessionState
		if err := back.UnmarshalText(text); err != nil || back != s {
			t.Errorf("%s: %v, %v", text, back, err)
		}
	}
	if err := new(SessionState).UnmarshalText([]byte("Aktiv")); err == nil {
		t.Error("an unknown state is accepted")
	}
}

func TestReportEstablished(t *testing.T) {
	up, down := NeighborStatus{State: Established}, NeighborStatus{State: OpenConfirm}
	for _, row := range []struct {
		neighbors []NeighborStatus
		want      bool
	}{
		{nil, false}, {[]NeighborStatus{down}, false}, {[]NeighborStatus{down, up}, true},
	} {
		if got := (&Report{Neighbors: row.neighbors}).Established(); got != row.want {
			t.Errorf("%v: %v", row.neighbors, got)
		}
	}
}

func sameRoute(x, y Route) bool { return x.Prefix == y.Prefix && x.Attributes.Equal(y.Attributes) }

// drawAttributes makes attributes of a small world, so that equal ones happen.
func drawAttributes(t *rapid.T) Attributes {
	number := rapid.Ptr(rapid.Uint32Range(0, 2), true)
	a := Attributes{
		MED: number.Draw(t, "med"), LocalPref: number.Draw(t, "local_pref"),
		Prepend:     uint8(rapid.IntRange(0, 2).Draw(t, "prepend")),
		Communities: rapid.SliceOfN(rapid.Map(rapid.Uint32Range(0, 3), func(v uint32) Community { return Community(v) }), 0, 3).Draw(t, "communities"),
	}
	for range rapid.IntRange(0, 2).Draw(t, "large") {
		a.LargeCommunities = append(a.LargeCommunities, LargeCommunity{Global: rapid.Uint32Range(0, 2).Draw(t, "global")})
	}
	return a
}

// drawTable makes a table with each prefix at most once.
func drawTable(t *rapid.T, label string) []Route {
	var table []Route
	for i := range 6 {
		if !rapid.Bool().Draw(t, label) {
			continue
		}
		r := Route{Prefix: netip.MustParsePrefix(fmt.Sprintf("10.0.%d.0/24", i)), Attributes: drawAttributes(t)}
		r.Normalize()
		table = append(table, r)
	}
	return table
}
