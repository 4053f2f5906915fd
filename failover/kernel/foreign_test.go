package kernel

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"failoverd/failover"
)

// byValue lets go-cmp compare keys.
var byValue = cmpopts.EquateComparable(netip.Prefix{})

// foreign reports whether the newest report names exactly these as foreign.
func (r *running) foreign(keys ...failover.AddressKey) bool {
	return slices.Equal(r.last().Foreign, keys)
}

// A Backup whose kernel answers for the virtual address must not look healthy.
func TestForeignAddressesAreReportedWhileNotWanted(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		w.addLink("eth0")
		// As configured: without a length. As put there: by a dead keepalived, and by an administrator with a length.
		v4, v6 := address("192.0.2.10/32", "eth0", 30*time.Second), address("2001:db8::10/128", "eth0", 30*time.Second)
		other := address("192.0.2.11/32", "eth0", 30*time.Second)
		w.addAddress("192.0.2.10/32", "eth0")
		r := start(t, w, Options{Configured: keys(v6, v4, other, v4), Resync: time.Hour})
		r.worker.Set(failover.DesiredAddresses{})
		within(t, soon, "the one from before the start", func() bool { return len(r.all()) == 1 && r.foreign(v4.Key()) })
		w.addAddress("2001:db8::10/64", "eth0")
		within(t, soon, "one that comes", func() bool { return r.foreign(v4.Key(), v6.Key()) })
		w.addAddress("192.0.2.12/32", "eth0")

		// Wanted, they serve; a report that nothing has changed in names them, too.
		r.worker.Set(failover.DesiredAddresses{Generation: 1, Addresses: []failover.Address{v4, other}})
		within(t, soon, "wanted", func() bool { return r.present(1, v4.Key(), other.Key()) && r.foreign(v6.Key()) })
		r.worker.Set(failover.DesiredAddresses{Generation: 2, Addresses: []failover.Address{v4, other}})
		within(t, soon, "in each report", func() bool { return r.present(2, v4.Key(), other.Key()) && r.foreign(v6.Key()) })
		r.worker.Set(failover.DesiredAddresses{Generation: 3})
		within(t, soon, "not wanted any more", func() bool { return r.present(3) && r.foreign(v4.Key(), v6.Key()) })
		if !shows(w, "192.0.2.10/32 dev eth0", "192.0.2.12/32 dev eth0", "2001:db8::10/64 dev eth0 nodad") {
			t.Errorf("somebody else's addresses changed: %q", w.show())
		}
		n := len(r.all())
		staysFor(t, 100*time.Millisecond, "no report without news", func() bool { return len(r.all()) == n })
		w.removeAddress("192.0.2.10/32", "eth0")
		within(t, soon, "one that goes", func() bool { return r.foreign(v6.Key()) })
		w.removeAddress("2001:db8::10/64", "eth0")
		within(t, soon, "none left", func() bool { return r.foreign() })
	})
}

func TestForeignAddressesFollowTheConfiguration(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		w.addLink("eth0")
		w.addAddress("192.0.2.10/24", "eth0")
		w.addAddress("192.0.2.11/24", "eth0")
		a, b := address("192.0.2.10/32", "eth0", 0), address("192.0.2.11/24", "eth0", 0)
		r := start(t, w, Options{Configured: keys(a), Resync: time.Hour})
		r.worker.Configure(keys(b))
		r.worker.Configure(keys(a))
		r.worker.Set(failover.DesiredAddresses{Generation: 1})
		within(t, soon, "the first", func() bool { return r.present(1) && r.foreign(a.Key()) })
		r.worker.Configure(keys(a, b))
		within(t, soon, "both", func() bool { return r.present(1) && r.foreign(a.Key(), b.Key()) })
		r.worker.Configure(keys(b))
		within(t, soon, "the second", func() bool { return r.present(1) && r.foreign(b.Key()) })
		w.removeAddress("192.0.2.11/24", "eth0")
		within(t, soon, "gone", func() bool { return r.foreign() })
		w.addAddress("192.0.2.11/24", "eth0")
		within(t, soon, "back", func() bool { return r.foreign(b.Key()) })
		r.worker.Configure(nil)
		within(t, soon, "nothing configured", func() bool { return r.foreign() })
		if !shows(w, "192.0.2.10/24 dev eth0", "192.0.2.11/24 dev eth0") {
			t.Errorf("somebody else's addresses changed: %q", w.show())
		}
	})
}

func TestForeignAddressesFollowTheInterface(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		w.addLink("wan0")
		w.addAddress("192.0.2.10/24", "wan0")
		a := address("192.0.2.10/24", "eth0", 0)
		r := start(t, w, Options{Configured: keys(a), Resync: time.Hour})
		r.worker.Set(failover.DesiredAddresses{Generation: 1})
		within(t, soon, "answered", func() bool { return len(r.all()) == 1 && r.foreign() })
		w.setUp("wan0", false)
		w.renameLink("wan0", "eth0")
		within(t, soon, "renamed", func() bool { return r.foreign(a.Key()) })
		w.removeLink("eth0")
		within(t, soon, "removed", func() bool { return r.foreign() })
	})
}

func TestForeign(t *testing.T) {
	rows := []struct {
		name  string
		have  []string
		want  []string
		untag bool
		keys  []string
	}{
		{name: "nothing there"},
		{name: "administrator's", have: []string{"192.0.2.10/32 dev eth0"}, keys: []string{"192.0.2.10/32 dev eth0"}},
		{name: "keepalived's", have: []string{"192.0.2.10/32 dev eth0 proto 18"}, keys: []string{"192.0.2.10/32 dev eth0"}},
		{name: "with another length", have: []string{"192.0.2.10/24 dev eth0"}, keys: []string{"192.0.2.10/32 dev eth0"}},
		{
			name: "with a peer, even tagged", have: []string{"192.0.2.10/32 dev eth0 peer 192.0.2.1 proto 112"},
			keys: []string{"192.0.2.10/32 dev eth0"},
		},
		{name: "ours is going to be removed", have: []string{"192.0.2.10/32 dev eth0 proto 112"}},
		{
			name: "beside ours", have: []string{"192.0.2.10/32 dev eth0 proto 112", "192.0.2.10/24 dev eth0"},
			keys: []string{"192.0.2.10/32 dev eth0"},
		},
		{name: "on another interface", have: []string{"192.0.2.10/32 dev eth1"}},
		{name: "not configured", have: []string{"192.0.2.12/32 dev eth0"}},
		{name: "wanted", have: []string{"192.0.2.10/32 dev eth0"}, want: []string{"192.0.2.10/32"}},
		{name: "wanted with another length", have: []string{"192.0.2.10/28 dev eth0"}, want: []string{"192.0.2.10/24"}},
		{
			name: "sorted", have: []string{"2001:db8::10/64 dev eth0", "192.0.2.11/32 dev eth0", "192.0.2.10/32 dev eth0"},
			keys: []string{"192.0.2.10/32 dev eth0", "192.0.2.11/32 dev eth0", "2001:db8::10/64 dev eth0"},
		},
		{
			name: "old kernel: what has no lifetime cannot be ours", untag: true,
			have: []string{"192.0.2.10/32 dev eth0", "192.0.2.11/32 dev eth0 valid_lft 3"},
			keys: []string{"192.0.2.10/32 dev eth0"},
		},
	}
	configured := keys(address("2001:db8::10/64", "eth0", 0), address("192.0.2.11/32", "eth0", 0),
		address("192.0.2.10/32", "eth0", 0), address("192.0.2.10/32", "eth9", 0))
	links := []link{{index: 2, name: "eth0"}, {index: 3, name: "eth1"}}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newFakeKernel()
				k.proto = !row.untag
				w := newWorker(nil, Options{Configured: configured}, k.open(t), k.open(t))
				r := newReconciler(w, nil, nil)
				var entries []entry
				for _, line := range row.have {
					entries = append(entries, parseHave(t, line, map[string]int{"eth0": 2, "eth1": 3}))
				}
				r.have = read(links, entries, time.Now())
				var d failover.DesiredAddresses
				for _, p := range row.want {
					d.Addresses = append(d.Addresses, address(p, "eth0", 0))
				}
				w.Set(d)
				r.adopt()
				var got []string
				for _, key := range r.foreign() {
					got = append(got, key.String())
				}
				if diff := cmp.Diff(row.keys, got); diff != "" {
					t.Errorf("foreign (-want +got):\n%s", diff)
				}
			})
		})
	}
}
