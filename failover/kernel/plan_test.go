package kernel

import (
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"failoverd/failover"
)

// parseHave reads a line like those of ip addr: "PREFIX dev eth0 [brd A] [scope N] [label L] [FLAG...] [proto N]
// [valid_lft N]". A label that is not given is the interface's name, as in the kernel.
func parseHave(t *testing.T, line string, index map[string]int) entry {
	t.Helper()
	words := strings.Fields(line)
	e := entry{prefix: netip.MustParsePrefix(words[0]), valid: forever, preferred: forever}
	flags := map[string]uint32{
		"nodad": unix.IFA_F_NODAD, "noprefixroute": unix.IFA_F_NOPREFIXROUTE, "deprecated": unix.IFA_F_DEPRECATED,
		"tentative": unix.IFA_F_TENTATIVE,
	}
	for i := 1; i < len(words); i++ {
		if f, ok := flags[words[i]]; ok {
			e.flags |= f
			continue
		}
		key, value := words[i], words[i+1]
		i++
		number, _ := strconv.Atoi(value)
		switch key {
		case "dev":
			e.index = index[value]
			if e.prefix.Addr().Is4() && e.label == "" {
				e.label = value
			}
		case "peer":
			e.peer = netip.MustParseAddr(value)
		case "brd":
			e.broadcast = netip.MustParseAddr(value)
		case "scope":
			e.scope = uint8(number)
		case "label":
			e.label = value
		case "proto":
			e.proto = uint8(number)
		case "valid_lft":
			e.valid, e.preferred = uint32(number), uint32(number)
		default:
			t.Fatalf("line %q: unknown word %q", line, key)
		}
	}
	return e
}

func TestPlan(t *testing.T) {
	v4 := address("192.0.2.10/32", "eth0", 3*time.Second)
	v6 := address("2001:db8::10/64", "eth0", 3*time.Second)
	forGood := address("192.0.2.10/32", "eth0", 0)
	guarded, guardedForGood := v4, forGood
	guarded.Guarded, guardedForGood.Guarded = true, true
	with := func(a failover.Address, change func(a *failover.Address)) failover.Address {
		change(&a)
		return a
	}
	rows := []struct {
		name string
		have []string
		want []failover.Address
		// known are keys that this process may delete besides the wanted ones.
		known   []string
		elapsed time.Duration // since the lease was asked for
		renew   bool
		// renewed is how long before that the lease was written last; 0: it was not.
		renewed time.Duration
		settled bool // the wanted ones were written like this before
		// left is how long the authority for guarded addresses lasts, lives how long those that are there live; 0: for ever.
		left, lives time.Duration
		blocked     bool
		untag       bool // the kernel keeps no IFA_PROTO
		ops         []string
	}{
		{name: "nothing wanted, nothing there"},
		{
			name: "add", want: []failover.Address{v4, v6},
			ops: []string{
				"add 192.0.2.10/32 dev eth0 valid_lft 3 preferred_lft 3",
				"add 2001:db8::10/64 dev eth0 nodad valid_lft 3 preferred_lft 3",
			},
		},
		{name: "add for ever", want: []failover.Address{forGood}, ops: []string{"add 192.0.2.10/32 dev eth0"}},
		{
			name: "add with every option",
			want: []failover.Address{with(v4, func(a *failover.Address) {
				a.Prefix, a.Label, a.Scope = prefix("192.0.2.10/24"), "eth0:1", 253
				a.Broadcast, a.NoPrefixRoute = netip.MustParseAddr("192.0.2.255"), true
			})},
			ops: []string{
				"promote_secondaries dev eth0",
				"add 192.0.2.10/24 dev eth0 brd 192.0.2.255 scope 253 label eth0:1 noprefixroute valid_lft 3 preferred_lft 3",
			},
		},
		{
			name: "duplicate detection and deprecation",
			want: []failover.Address{
				with(v6, func(a *failover.Address) { a.DAD = true }),
				with(v6, func(a *failover.Address) { a.Prefix, a.Deprecated, a.Lease = prefix("2001:db8::11/64"), true, 0 }),
			},
			ops: []string{
				"add 2001:db8::10/64 dev eth0 valid_lft 3 preferred_lft 3",
				"add 2001:db8::11/64 dev eth0 nodad valid_lft forever preferred_lft 0",
			},
		},
		{
			name: "promote_secondaries once per interface and only if it is off",
			want: []failover.Address{
				address("192.0.2.10/24", "eth0", 0), address("192.0.2.11/24", "eth0", 0), address("198.51.100.1/24", "eth1", 0),
			},
			ops: []string{
				"promote_secondaries dev eth0", "add 192.0.2.10/24 dev eth0", "add 192.0.2.11/24 dev eth0",
				"add 198.51.100.1/24 dev eth1",
			},
		},
		{
			name: "additions go before deletions, deletions are sorted",
			have: []string{
				"192.0.2.9/32 dev eth1 proto 112", "192.0.2.8/32 dev eth1 proto 112", "2001:db8::9/64 dev eth0 proto 112",
				"192.0.2.9/32 dev eth0 proto 112",
			},
			known: []string{"192.0.2.9/32 eth1", "192.0.2.8/32 eth1", "2001:db8::9/64 eth0", "192.0.2.9/32 eth0"},
			want:  []failover.Address{forGood},
			ops: []string{
				"add 192.0.2.10/32 dev eth0",
				"del 192.0.2.9/32 dev eth0", "del 2001:db8::9/64 dev eth0", "del 192.0.2.8/32 dev eth1", "del 192.0.2.9/32 dev eth1",
			},
		},
		{
			name: "there already", settled: true, want: []failover.Address{v4, v6},
			have: []string{"192.0.2.10/32 dev eth0 proto 112 valid_lft 1", "2001:db8::10/64 dev eth0 nodad proto 112 valid_lft 1"},
		},
		{
			name: "renewal extends every lease and nothing else", settled: true, renew: true,
			want: []failover.Address{v4, v6, address("192.0.2.11/32", "eth0", 0)},
			have: []string{
				"192.0.2.10/32 dev eth0 proto 112 valid_lft 1", "2001:db8::10/64 dev eth0 nodad proto 112 valid_lft 1",
				"192.0.2.11/32 dev eth0 proto 112",
			},
			ops: []string{
				"replace 192.0.2.10/32 dev eth0 valid_lft 3 preferred_lft 3",
				"replace 2001:db8::10/64 dev eth0 nodad valid_lft 3 preferred_lft 3",
			},
		},
		{
			name: "a renewal leaves a lease alone of which a third is not over", settled: true, renew: true, renewed: 750 * time.Millisecond,
			want: []failover.Address{v4, address("192.0.2.11/32", "eth0", 4*time.Second)},
			have: []string{"192.0.2.10/32 dev eth0 proto 112 valid_lft 3", "192.0.2.11/32 dev eth0 proto 112 valid_lft 4"},
			ops:  []string{"replace 192.0.2.10/32 dev eth0 valid_lft 3 preferred_lft 3"},
		},
		{
			name: "a lease that somebody has made shorter is due", settled: true, renew: true, renewed: 750 * time.Millisecond,
			want: []failover.Address{address("192.0.2.11/32", "eth0", time.Minute), address("192.0.2.12/32", "eth0", time.Minute)},
			have: []string{"192.0.2.11/32 dev eth0 proto 112 valid_lft 41", "192.0.2.12/32 dev eth0 proto 112 valid_lft 40"},
			ops:  []string{"replace 192.0.2.12/32 dev eth0 valid_lft 60 preferred_lft 60"},
		},
		{
			name: "late renewal gives no more than what is left", settled: true, renew: true, elapsed: 1500 * time.Millisecond,
			want: []failover.Address{v4}, have: []string{"192.0.2.10/32 dev eth0 proto 112 valid_lft 1"},
			ops: []string{"replace 192.0.2.10/32 dev eth0 valid_lft 1 preferred_lft 1"},
		},
		{
			name: "removed by hand: back with the rest of the lease", elapsed: 900 * time.Millisecond, want: []failover.Address{v4},
			ops: []string{"add 192.0.2.10/32 dev eth0 valid_lft 2 preferred_lft 2"},
		},
		{name: "lease almost over: nothing to write", elapsed: 2500 * time.Millisecond, want: []failover.Address{v4}},
		{name: "lease over: stays away", elapsed: time.Minute, want: []failover.Address{v4}},
		{
			name: "lease over, but there", elapsed: time.Minute, settled: true, want: []failover.Address{v4},
			have: []string{"192.0.2.10/32 dev eth0 proto 112 valid_lft 3"}, ops: []string{"del 192.0.2.10/32 dev eth0"},
		},
		{
			name: "left by a predecessor with another lifetime",
			want: []failover.Address{v4, address("192.0.2.11/32", "eth0", 0), address("192.0.2.12/32", "eth0", 3*time.Second)},
			have: []string{
				"192.0.2.10/32 dev eth0 proto 112", "192.0.2.11/32 dev eth0 proto 112 valid_lft 2",
				"192.0.2.12/32 dev eth0 proto 112 valid_lft 60",
			},
			ops: []string{
				"replace 192.0.2.10/32 dev eth0 valid_lft 3 preferred_lft 3", "replace 192.0.2.11/32 dev eth0",
				"replace 192.0.2.12/32 dev eth0 valid_lft 3 preferred_lft 3",
			},
		},
		{
			name: "another label: the kernel cannot change it in place",
			want: []failover.Address{with(forGood, func(a *failover.Address) { a.Label = "eth0:2" })},
			have: []string{"192.0.2.10/32 dev eth0 label eth0:1 proto 112"},
			ops:  []string{"del 192.0.2.10/32 dev eth0", "add 192.0.2.10/32 dev eth0 label eth0:2"},
		},
		{
			name: "no label wanted: any will do", want: []failover.Address{forGood},
			have: []string{"192.0.2.10/32 dev eth0 label old0 proto 112"},
		},
		{
			name: "other IPv6 flags are changed in place", want: []failover.Address{with(v6, func(a *failover.Address) { a.NoPrefixRoute = true })},
			have: []string{"2001:db8::10/64 dev eth0 nodad proto 112 valid_lft 2"},
			ops:  []string{"replace 2001:db8::10/64 dev eth0 nodad noprefixroute valid_lft 3 preferred_lft 3"},
		},
		{
			name: "other IPv6 length: one of them at a time", want: []failover.Address{v6}, known: []string{"2001:db8::10/128 eth0"},
			have: []string{"2001:db8::10/128 dev eth0 nodad proto 112"},
			ops:  []string{"del 2001:db8::10/128 dev eth0", "add 2001:db8::10/64 dev eth0 nodad valid_lft 3 preferred_lft 3"},
		},
		{
			name: "other IPv4 length: the new one first", want: []failover.Address{forGood}, known: []string{"192.0.2.10/24 eth0"},
			have: []string{"192.0.2.10/24 dev eth0 proto 112"},
			ops:  []string{"add 192.0.2.10/32 dev eth0", "del 192.0.2.10/24 dev eth0"},
		},
		{
			name: "somebody else's serves as well, and is not renewed", renew: true, want: []failover.Address{v4, v6},
			have: []string{"192.0.2.10/32 dev eth0", "2001:db8::10/128 dev eth0"},
		},
		{
			name: "somebody else's is not deleted", known: []string{"192.0.2.10/32 eth0", "2001:db8::10/64 eth0"},
			have: []string{"192.0.2.10/32 dev eth0", "2001:db8::10/64 dev eth0 proto 18 valid_lft 5"},
		},
		{
			name: "tagged, but neither found at the start nor known otherwise", have: []string{"192.0.2.10/32 dev eth0 proto 112 valid_lft 3"},
		},
		{
			name: "somebody's address with a peer is another object", known: []string{"192.0.2.10/32 eth0"},
			have: []string{"192.0.2.10/32 dev eth0 peer 192.0.2.11 proto 112"},
		},
		{
			name: "the same address on another interface does not count", want: []failover.Address{forGood},
			have: []string{"192.0.2.10/32 dev eth1"}, ops: []string{"add 192.0.2.10/32 dev eth0"},
		},
		{name: "interface missing", want: []failover.Address{address("192.0.2.10/32", "eth9", 0)}},
		{name: "blocked", blocked: true, want: []failover.Address{v4}},
		{
			name: "tentative is there", settled: true, want: []failover.Address{with(v6, func(a *failover.Address) { a.DAD = true })},
			have: []string{"2001:db8::10/64 dev eth0 tentative proto 112 valid_lft 2"},
		},
		{
			name: "authority that lasts longer than the lease", left: 10 * time.Second, want: []failover.Address{guarded, v6},
			ops: []string{
				"add 192.0.2.10/32 dev eth0 valid_lft 3 preferred_lft 3",
				"add 2001:db8::10/64 dev eth0 nodad valid_lft 3 preferred_lft 3",
			},
		},
		{
			name: "authority that ends before the lease, rounded down", left: 2900 * time.Millisecond,
			want: []failover.Address{guarded, v6},
			ops: []string{
				"add 192.0.2.10/32 dev eth0 valid_lft 2 preferred_lft 2",
				"add 2001:db8::10/64 dev eth0 nodad valid_lft 3 preferred_lft 3",
			},
		},
		{
			name: "authority without a lease", left: 5500 * time.Millisecond, want: []failover.Address{guardedForGood},
			ops: []string{"add 192.0.2.10/32 dev eth0 valid_lft 5 preferred_lft 5"},
		},
		{name: "authority of under a second adds nothing", left: 999 * time.Millisecond, want: []failover.Address{guarded}},
		{
			name: "authority of under a second at a renewal", left: 999 * time.Millisecond, lives: 500 * time.Millisecond,
			renew: true, settled: true, want: []failover.Address{guarded},
			have: []string{"192.0.2.10/32 dev eth0 proto 112 valid_lft 1"},
			ops:  []string{"del 192.0.2.10/32 dev eth0"},
		},
		{
			name: "authority of under a second, and nothing to write", left: 999 * time.Millisecond, lives: 500 * time.Millisecond,
			settled: true, want: []failover.Address{guarded},
			have: []string{"192.0.2.10/32 dev eth0 proto 112 valid_lft 1"},
		},
		{
			name: "authority that is over", left: -time.Nanosecond, lives: 100 * time.Millisecond,
			settled: true, want: []failover.Address{guarded},
			have: []string{"192.0.2.10/32 dev eth0 proto 112 valid_lft 1"},
			ops:  []string{"del 192.0.2.10/32 dev eth0"},
		},
		{
			name: "authority that became shorter", left: 1700 * time.Millisecond, lives: 2500 * time.Millisecond,
			settled: true, want: []failover.Address{guarded},
			have: []string{"192.0.2.10/32 dev eth0 proto 112 valid_lft 3"},
			ops:  []string{"replace 192.0.2.10/32 dev eth0 valid_lft 1 preferred_lft 1"},
		},
		{
			name: "authority that became too short", left: 700 * time.Millisecond, lives: 2500 * time.Millisecond,
			settled: true, want: []failover.Address{guarded},
			have: []string{"192.0.2.10/32 dev eth0 proto 112 valid_lft 3"},
			ops:  []string{"del 192.0.2.10/32 dev eth0"},
		},
		{
			name: "authority for what a predecessor has left for ever", left: 3500 * time.Millisecond,
			want: []failover.Address{guardedForGood},
			have: []string{"192.0.2.10/32 dev eth0 proto 112"},
			ops:  []string{"replace 192.0.2.10/32 dev eth0 valid_lft 3 preferred_lft 3"},
		},
		{
			name: "old kernel: finite and known is ours, anything else is not", untag: true,
			known: []string{"192.0.2.10/32 eth0", "192.0.2.11/32 eth0"},
			have:  []string{"192.0.2.10/32 dev eth0 valid_lft 3", "192.0.2.11/32 dev eth0", "192.0.2.12/32 dev eth0 valid_lft 3"},
			ops:   []string{"del 192.0.2.10/32 dev eth0"},
		},
	}
	links := []link{{index: 1, name: "lo"}, {index: 2, name: "eth0"}, {index: 3, name: "eth1", promotes: true}}
	index := map[string]int{"lo": 1, "eth0": 2, "eth1": 3}
	now := time.Unix(1000, 0)
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			var entries []entry
			for _, line := range row.have {
				entries = append(entries, parseHave(t, line, index))
			}
			want := wish{renew: row.renew, tagged: !row.untag, known: map[failover.AddressKey]*memory{}}
			for _, a := range row.want {
				m := &memory{wanted: true, since: now.Add(-row.elapsed), blocked: row.blocked, settled: row.settled}
				if row.renewed != 0 {
					m.renewed = m.since.Add(-row.renewed)
				}
				if row.settled {
					m.written = a
				}
				if row.left != 0 && a.Guarded {
					m.bound = now.Add(row.left)
				}
				if row.lives != 0 {
					m.until = now.Add(row.lives)
				}
				want.known[a.Key()] = m
				want.items = append(want.items, item{a, m})
			}
			for _, k := range row.known {
				p, dev, _ := strings.Cut(k, " ")
				want.known[failover.AddressKey{Interface: dev, Prefix: prefix(p)}] = &memory{}
			}
			var got []string
			for _, o := range plan(read(links, entries, now), &want, now) {
				got = append(got, o.String())
			}
			if diff := cmp.Diff(row.ops, got); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLifetime(t *testing.T) {
	rows := []struct {
		name           string
		lease, elapsed time.Duration
		want           uint32
	}{
		{"no lease", 0, time.Hour, forever},
		{"at once", 3 * time.Second, 0, 3},
		{"a moment later", 3 * time.Second, 200 * time.Millisecond, 3},
		{"later", 3 * time.Second, 300 * time.Millisecond, 2},
		{"clock that seems to go back", 3 * time.Second, -time.Second, 3},
		{"last second", 3 * time.Second, 2200 * time.Millisecond, 1},
		{"too late", 3 * time.Second, 2300 * time.Millisecond, 0},
		{"long over", 3 * time.Second, time.Hour, 0},
		{"shortest", failover.MinLease, 0, 1},
		{"shortest, too late", failover.MinLease, 300 * time.Millisecond, 0},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			if got := lifetime(row.lease, row.elapsed); got != row.want {
				t.Errorf("lifetime(%v, %v) = %d, want %d", row.lease, row.elapsed, got, row.want)
			}
		})
	}
}

func TestFlap(t *testing.T) {
	now := time.Unix(1000, 0)
	var f flap
	for i := range freeRestores {
		f.lost(now)
		if f.held(now) {
			t.Fatalf("held back at loss %d", i+1)
		}
	}
	var delays []time.Duration
	for range 6 {
		f.lost(now)
		delays = append(delays, f.delay)
		if !f.held(now) || f.held(now.Add(f.delay)) {
			t.Fatalf("delay of %v not kept", f.delay)
		}
		now = now.Add(f.delay)
	}
	s := time.Second
	if diff := cmp.Diff([]time.Duration{s, 2 * s, 4 * s, 8 * s, 10 * s, 10 * s}, delays); diff != "" {
		t.Errorf("delays (-want +got):\n%s", diff)
	}
	now = now.Add(calmAfter + time.Second)
	f.lost(now)
	if f.held(now) || f.count != 1 {
		t.Errorf("not forgiven after a calm time: %+v", f)
	}
}

func TestTable(t *testing.T) {
	now := time.Unix(1000, 0)
	index := map[string]int{"eth0": 2}
	tab := newTable()
	e := func(line string) entry { return parseHave(t, line, index) }
	steps := []struct {
		name string
		c    change
		news bool
	}{
		{"link", change{kind: linkChanged, link: link{index: 2, name: "eth0", mtu: 1500}}, true},
		{"link again", change{kind: linkChanged, link: link{index: 2, name: "eth0", mtu: 1500}}, false},
		{"link renamed", change{kind: linkChanged, link: link{index: 2, name: "wan0", mtu: 1500}}, true},
		{"other link takes the name", change{kind: linkChanged, link: link{index: 3, name: "eth0"}}, true},
		{"renamed back", change{kind: linkChanged, link: link{index: 3, name: "eth1"}}, true},
		{"other link goes", change{kind: linkGone, link: link{index: 3}}, true},
		{"unknown link goes", change{kind: linkGone, link: link{index: 9}}, false},
		{"address", change{kind: addressChanged, entry: e("192.0.2.1/24 dev eth0 valid_lft 3")}, true},
		{"lease renewed", change{kind: addressChanged, entry: e("192.0.2.1/24 dev eth0 valid_lft 9")}, false},
		{"tag lost", change{kind: addressChanged, entry: e("192.0.2.1/24 dev eth0 proto 1 valid_lft 9")}, true},
		{"other length", change{kind: addressChanged, entry: e("192.0.2.1/32 dev eth0")}, true},
		{"with a peer", change{kind: addressChanged, entry: e("192.0.2.1/32 dev eth0 peer 192.0.2.2")}, true},
		{"one goes", change{kind: addressGone, entry: e("192.0.2.1/32 dev eth0")}, true},
		{"it goes again", change{kind: addressGone, entry: e("192.0.2.1/32 dev eth0")}, false},
	}
	for _, s := range steps {
		if got := tab.apply(&s.c, now); got != s.news {
			t.Errorf("%s: news %v, want %v", s.name, got, s.news)
		}
	}
	if n := len(tab.spots[spot{2, netip.MustParseAddr("192.0.2.1")}]); n != 2 {
		t.Errorf("%d entries left, want 2", n)
	}
	if tab.names["wan0"] != 2 || len(tab.names) != 1 {
		t.Errorf("names %v", tab.names)
	}
	tab.apply(&change{kind: linkGone, link: link{index: 2}}, now)
	if len(tab.spots)+len(tab.links)+len(tab.names) != 0 {
		t.Errorf("something left of a link that went: %+v", tab)
	}
}
