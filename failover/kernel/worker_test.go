package kernel

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"failoverd/failover"
)

func TestAddAndDelete(t *testing.T) {
	rows := []struct {
		name    string
		address failover.Address
		want    string
	}{
		{"IPv4", address("192.0.2.10/32", "eth0", 0), "192.0.2.10/32 dev eth0 proto 112"},
		{"IPv4 with a lease", address("192.0.2.10/32", "eth0", 3*time.Second), "192.0.2.10/32 dev eth0 proto 112 leased"},
		{
			"IPv4 with every option",
			failover.Address{
				Prefix: prefix("192.0.2.10/24"), Interface: "eth0", Broadcast: prefix("192.0.2.255/32").Addr(), Scope: 253,
				Label: "eth0:vip", Lease: 3 * time.Second, NoPrefixRoute: true,
			},
			"192.0.2.10/24 dev eth0 brd 192.0.2.255 scope 253 label eth0:vip noprefixroute proto 112 leased",
		},
		{"IPv4 on lo", address("192.0.2.10/32", "lo", 3*time.Second), "192.0.2.10/32 dev lo proto 112 leased"},
		{
			"label that does not start with the interface",
			failover.Address{Prefix: prefix("192.0.2.10/32"), Interface: "eth0", Label: "vip"},
			"192.0.2.10/32 dev eth0 label vip proto 112",
		},
		{"IPv6", address("2001:db8::10/64", "eth0", 0), "2001:db8::10/64 dev eth0 nodad proto 112"},
		{"IPv6 with a lease", address("2001:db8::10/128", "eth0", 3*time.Second), "2001:db8::10/128 dev eth0 nodad proto 112 leased"},
		{"IPv6 on lo", address("2001:db8::10/128", "lo", 0), "2001:db8::10/128 dev lo nodad proto 112"},
		{
			"IPv6 not to be chosen as a source",
			failover.Address{Prefix: prefix("2001:db8::10/64"), Interface: "eth0", Deprecated: true, Lease: 3 * time.Second},
			"2001:db8::10/64 dev eth0 nodad deprecated proto 112 leased",
		},
		{
			"IPv6 deprecated for ever, without a route",
			failover.Address{Prefix: prefix("2001:db8::10/64"), Interface: "eth0", Deprecated: true, NoPrefixRoute: true},
			"2001:db8::10/64 dev eth0 nodad deprecated noprefixroute proto 112",
		},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			inWorlds(t, func(t *testing.T, w world) {
				w.addLink("eth0")
				r := start(t, w, Options{})
				r.worker.Set(failover.DesiredAddresses{Generation: 1, Addresses: []failover.Address{row.address}})
				within(t, soon, "present", func() bool { return r.present(1, row.address.Key()) })
				if got := w.show(); !slices.Equal(got, []string{row.want}) {
					t.Errorf("after the addition:\n got %q\nwant %q", got, row.want)
				}
				r.worker.Set(failover.DesiredAddresses{Generation: 2})
				within(t, soon, "absent", func() bool { return r.present(2) })
				if got := w.show(); len(got) != 0 {
					t.Errorf("after the removal: %q", got)
				}
			})
		})
	}
}

func TestSeveralRoutersShareAnAddress(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		w.addLink("eth0")
		a := address("192.0.2.10/32", "eth0", 0)
		r := start(t, w, Options{})
		r.worker.Set(failover.DesiredAddresses{Generation: 1, Addresses: []failover.Address{a, a}})
		within(t, soon, "present once", func() bool { return r.present(1, a.Key()) })
	})
}

func TestChangedAddressIsAdapted(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		w.addLink("eth0")
		v4, v6 := address("192.0.2.10/32", "eth0", 0), address("2001:db8::10/64", "eth0", 0)
		r := start(t, w, Options{})
		r.worker.Set(failover.DesiredAddresses{Generation: 1, Addresses: []failover.Address{v4, v6}})
		within(t, soon, "present", func() bool { return r.present(1, v4.Key(), v6.Key()) })

		v4.Label, v4.Lease, v6.Deprecated = "eth0:1", 5*time.Second, true
		r.worker.Set(failover.DesiredAddresses{Generation: 2, Addresses: []failover.Address{v4, v6}})
		within(t, soon, "present", func() bool { return r.present(2, v4.Key(), v6.Key()) })
		within(t, soon, "adapted", func() bool {
			return shows(w, "192.0.2.10/32 dev eth0 label eth0:1 proto 112 leased", "2001:db8::10/64 dev eth0 nodad deprecated proto 112")
		})
		// Another prefix length is another address to us, and the same one to the kernel's IPv6.
		v4.Prefix, v6.Prefix = prefix("192.0.2.10/24"), prefix("2001:db8::10/128")
		r.worker.Set(failover.DesiredAddresses{Generation: 3, Addresses: []failover.Address{v4, v6}})
		within(t, soon, "present", func() bool { return r.present(3, v4.Key(), v6.Key()) })
		within(t, soon, "adapted", func() bool {
			return shows(w, "192.0.2.10/24 dev eth0 label eth0:1 proto 112 leased", "2001:db8::10/128 dev eth0 nodad deprecated proto 112")
		})
		for _, rep := range r.all() {
			if len(rep.Restored)+len(rep.Swept)+len(rep.Failed) != 0 {
				t.Errorf("unexpected report %+v", rep)
			}
		}
	})
}

func TestLeaseEndsWhenNobodyCallsSet(t *testing.T) {
	t.Parallel()
	const lease = 2 * time.Second
	inWorlds(t, func(t *testing.T, w world) {
		w.addLink("eth0")
		v4, v6 := address("192.0.2.10/24", "eth0", lease), address("2001:db8::10/64", "eth0", lease)
		r := start(t, w, Options{Resync: 300 * time.Millisecond})
		began := time.Now()
		r.worker.Set(failover.DesiredAddresses{Generation: 1, Addresses: []failover.Address{v4, v6}})
		within(t, soon, "present", func() bool { return r.present(1, v4.Key(), v6.Key()) })
		within(t, lease+soon, "gone", func() bool { return shows(w) })
		took := time.Since(began)
		t.Logf("lease %v, gone after %v", lease, took)
		if took < lease-300*time.Millisecond || took > lease+time.Second {
			t.Errorf("gone after %v, want %v", took, lease)
		}
		// The worker lives, resynchronises and sees the notifications, but nobody entitles it to the addresses.
		within(t, soon, "reported", func() bool {
			rep := r.last()
			return len(rep.Present) == 0 && rep.Failed[v4.Key()] == "lease is over, nobody has renewed it" && rep.Failed[v6.Key()] != ""
		})
		staysFor(t, time.Second, "absent", func() bool { return shows(w) })
		r.worker.Set(failover.DesiredAddresses{Generation: 1, Renewal: 1, Addresses: []failover.Address{v4, v6}})
		within(t, soon, "present again", func() bool { return r.present(1, v4.Key(), v6.Key()) })
		if n := r.restored(v4.Key()) + r.restored(v6.Key()); n != 0 {
			t.Errorf("%d restored: nobody removed an address", n)
		}
	})
}

func TestRenewalKeepsLeasedAddresses(t *testing.T) {
	t.Parallel()
	const lease = time.Second
	inWorlds(t, func(t *testing.T, w world) {
		w.addLink("eth0")
		v4, v6 := address("192.0.2.10/24", "eth0", lease), address("2001:db8::10/64", "eth0", lease)
		forever := address("192.0.2.11/24", "eth0", 0)
		r := start(t, w, Options{})
		d := failover.DesiredAddresses{Generation: 1, Addresses: []failover.Address{v4, forever, v6}}
		for began := time.Now(); time.Since(began) < 4*lease; time.Sleep(lease / 3) {
			d.Renewal++
			r.worker.Set(d)
			if time.Since(began) > lease/2 && len(w.show()) != 3 {
				t.Fatalf("after %v: %q", time.Since(began), w.show())
			}
		}
		if n := len(r.all()); n < int(d.Renewal) {
			t.Errorf("%d reports for %d Sets", n, d.Renewal)
		}
		// A Set without a greater Renewal extends nothing.
		last, gone := time.Now(), 0
		for time.Since(last) < 3*lease {
			d.Generation++
			r.worker.Set(d)
			time.Sleep(lease / 10)
			if len(w.show()) == 1 {
				gone++
			}
		}
		if gone < 10 {
			t.Errorf("Sets without a renewal keep leased addresses: only %d of 30 times gone", gone)
		}
	})
}

func TestRemovedByHandIsBackAtOnceAndReportedOnce(t *testing.T) {
	for _, lease := range []time.Duration{failover.NoLease, 30 * time.Second} {
		t.Run(lease.String(), func(t *testing.T) {
			inWorlds(t, func(t *testing.T, w world) {
				w.addLink("eth0")
				v4, v6 := address("192.0.2.10/24", "eth0", lease), address("2001:db8::10/64", "eth0", lease)
				r := start(t, w, Options{})
				r.worker.Set(failover.DesiredAddresses{Generation: 1, Addresses: []failover.Address{v4, v6}})
				within(t, soon, "present", func() bool { return r.present(1, v4.Key(), v6.Key()) })
				before := w.show()
				for _, a := range []failover.Address{v4, v6} {
					w.removeAddress(a.Prefix.String(), "eth0")
					took := within(t, time.Second, "reported as restored", func() bool { return r.restored(a.Key()) == 1 })
					t.Logf("%v back and reported after %v", a.Prefix, took)
				}
				within(t, soon, "as before", func() bool { return shows(w, before...) })
				staysFor(t, 300*time.Millisecond, "reported once", func() bool { return r.restored(v4.Key()) == 1 && r.restored(v6.Key()) == 1 })
			})
		})
	}
}

func TestRestoredAddressGetsTheRestOfItsLease(t *testing.T) {
	t.Parallel()
	inWorlds(t, func(t *testing.T, w world) {
		w.addLink("eth0")
		a := address("192.0.2.10/24", "eth0", 3*time.Second)
		r := start(t, w, Options{})
		began := time.Now()
		r.worker.Set(failover.DesiredAddresses{Generation: 1, Addresses: []failover.Address{a}})
		within(t, soon, "present", func() bool { return r.present(1, a.Key()) })
		time.Sleep(time.Second)
		w.removeAddress("192.0.2.10/24", "eth0")
		within(t, time.Second, "restored", func() bool { return r.restored(a.Key()) == 1 })
		r.stop()
		within(t, 3*time.Second, "gone", func() bool { return shows(w) })
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("gone %v after the only Set, want its lease of 3s", took)
		}
	})
}

func TestFightIsNotForEver(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		if !w.virtual() {
			t.Skip("SKIPPED: TAKES A MINUTE: runs in virtual time only")
		}
		w.addLink("eth0")
		a := address("192.0.2.10/24", "eth0", 3*time.Second)
		r := start(t, w, Options{})
		d := failover.DesiredAddresses{Generation: 1, Addresses: []failover.Address{a}}
		removed := 0
		for tick := range 600 {
			time.Sleep(100 * time.Millisecond)
			if tick%10 == 0 {
				d.Renewal++
				r.worker.Set(d)
				time.Sleep(time.Millisecond)
			}
			if len(w.show()) > 0 {
				w.removeAddress("192.0.2.10/24", "eth0")
				removed++
			}
		}
		if removed < 8 || removed > 20 {
			t.Errorf("put back %d times in a minute, want some 5 at once and some 8 slower ones", removed)
		}
		if why := r.last().Failed[a.Key()]; why == "" {
			t.Errorf("last report %+v says nothing about the address", r.last())
		}
		if n := r.restored(a.Key()); n < 5 {
			t.Errorf("%d restored reported, want each", n)
		}
		// Left in peace it comes back, and stays.
		for range 15 {
			d.Renewal++
			r.worker.Set(d)
			time.Sleep(time.Second)
		}
		if !r.present(1, a.Key()) || len(w.show()) != 1 {
			t.Errorf("not back: %+v", r.last())
		}
	})
}

func TestForeignAddressCountsAndIsNotTouched(t *testing.T) {
	t.Parallel()
	inWorlds(t, func(t *testing.T, w world) {
		w.addLink("eth0")
		w.addAddress("192.0.2.10/24", "eth0")
		w.addAddress("2001:db8::10/64", "eth0")
		before := w.show()
		// The owner's addresses as keepalived users write them: without a length, so /32 and /128.
		v4, v6 := address("192.0.2.10/32", "eth0", time.Second), address("2001:db8::10/128", "eth0", time.Second)
		same := address("192.0.2.10/24", "eth0", time.Second)
		r := start(t, w, Options{Configured: keys(v4, v6, same)})
		for renewal := range uint64(4) {
			r.worker.Set(failover.DesiredAddresses{Generation: 1, Renewal: renewal, Addresses: []failover.Address{v4, same, v6}})
			within(t, soon, "present", func() bool { return r.present(1, v4.Key(), same.Key(), v6.Key()) })
			time.Sleep(300 * time.Millisecond)
		}
		staysFor(t, time.Second, "as before", func() bool { return shows(w, before...) })
		r.worker.Set(failover.DesiredAddresses{Generation: 2})
		within(t, soon, "answered", func() bool { return r.present(2) })
		if !shows(w, before...) {
			t.Errorf("somebody else's addresses changed: %q", w.show())
		}
	})
}

func TestForeignAddressThatGoesIsReplacedByOurs(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		w.addLink("eth0")
		w.addAddress("192.0.2.10/24", "eth0")
		a := address("192.0.2.10/32", "eth0", 0)
		r := start(t, w, Options{})
		r.worker.Set(failover.DesiredAddresses{Generation: 1, Addresses: []failover.Address{a}})
		within(t, soon, "present", func() bool { return r.present(1, a.Key()) })
		w.removeAddress("192.0.2.10/24", "eth0")
		within(t, time.Second, "ours instead", func() bool { return shows(w, "192.0.2.10/32 dev eth0 proto 112") })
	})
}

func TestNewestSetWins(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		w.addLink("eth0")
		a, b := address("192.0.2.10/24", "eth0", 0), address("192.0.2.11/24", "eth0", 0)
		r := start(t, w, Options{})
		for g := range uint64(200) {
			r.worker.Set(failover.DesiredAddresses{Generation: 2 * g, Addresses: []failover.Address{a}})
			r.worker.Set(failover.DesiredAddresses{Generation: 2*g + 1, Addresses: []failover.Address{b}})
		}
		within(t, soon, "the newest", func() bool { return r.present(399, b.Key()) })
		if !shows(w, "192.0.2.11/24 dev eth0 proto 112") {
			t.Errorf("left: %q", w.show())
		}
		if len(r.last().Restored) != 0 {
			t.Errorf("restored without anybody having removed: %+v", r.last())
		}
	})
}

// Run may find a Set and the end at once, when it was busy before: neither is lost.
func TestLastSetIsCarriedOutWhenRunEnds(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			k := newFakeKernel()
			k.addLink("eth0")
			r := start(t, k, Options{})
			k.beforeWrite = func([]op) {
				k.beforeWrite = nil
				r.worker.Set(failover.DesiredAddresses{Generation: 2})
				r.cancel()
			}
			r.worker.Set(failover.DesiredAddresses{Generation: 1, Addresses: []failover.Address{address("192.0.2.10/24", "eth0", 0)}})
			synctest.Wait()
			if !shows(k) || !r.present(2) {
				t.Fatalf("left %q, last report %+v", k.show(), r.last())
			}
		})
	}
}
