package kernel

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"failoverd/failover"
	"failoverd/vrrp"
)

// guardedAddress is an address that needs authority.
func guardedAddress(prefix, dev string, lease time.Duration) failover.Address {
	a := address(prefix, dev, lease)
	a.Guarded = true
	return a
}

// in returns the instant that long from now, on the clock of the running worker.
func (r *running) in(d time.Duration) vrrp.Instant { return r.worker.clock().Add(d) }

func TestGuardedAddressGoesWithTheAuthority(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name  string
		lease time.Duration
	}{
		{"with a lease", 30 * time.Second},
		{"without a lease", failover.NoLease},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			inWorlds(t, func(t *testing.T, w world) {
				w.addLink("eth0")
				v4, v6 := guardedAddress("192.0.2.10/24", "eth0", row.lease), guardedAddress("2001:db8::10/64", "eth0", row.lease)
				free := address("192.0.2.11/24", "eth0", 0)
				r := start(t, w, Options{})
				const authority = 1700 * time.Millisecond
				began := time.Now()
				r.worker.Set(failover.DesiredAddresses{
					Generation: 1, Addresses: []failover.Address{v4, free, v6}, Until: r.in(authority),
				})
				within(t, soon, "present", func() bool { return r.present(1, v4.Key(), free.Key(), v6.Key()) })
				within(t, authority+soon, "gone", func() bool {
					return shows(w, "192.0.2.11/24 dev eth0 proto 112")
				})
				if took := time.Since(began); took < 950*time.Millisecond || took > authority+100*time.Millisecond {
					t.Errorf("gone after %v; the authority lasts %v", took, authority)
				}
				within(t, soon, "reported", func() bool {
					rep := r.last()
					return slices.Equal(rep.Present, keys(free)) && rep.Failed[v4.Key()] == authorityEnded && rep.Failed[v6.Key()] == authorityEnded
				})
				if n := r.restored(v4.Key()) + r.restored(v6.Key()); n != 0 {
					t.Errorf("%d restored: nobody removed an address", n)
				}
			})
		})
	}
}

// The kernel rounds lifetimes to whole seconds, and the worker has the address go when the authority ends, whichever is
// first: nothing but the authority's end is to be seen in virtual time.
func TestAuthorityIsADeadlineOfTheWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newFakeKernel()
		k.addLink("eth0")
		a := guardedAddress("192.0.2.10/24", "eth0", 3*time.Second)
		r := start(t, k, Options{})
		began := time.Now()
		// The fake kernel is 100 ms late, as a real one may be.
		r.worker.Set(failover.DesiredAddresses{Generation: 1, Addresses: []failover.Address{a}, Until: r.in(2 * time.Second)})
		within(t, soon, "present", func() bool { return r.present(1, a.Key()) })
		within(t, soon, "gone", func() bool { return shows(k) })
		// It is looked for every millisecond, before or after the worker in the same instant.
		if late := time.Since(began).Round(time.Millisecond) - 2*time.Second; late < 0 || late > time.Millisecond {
			t.Errorf("gone %v after the end of the authority", late)
		}
		k.mu.Lock()
		writes := len(k.writes)
		k.mu.Unlock()
		time.Sleep(time.Minute)
		k.mu.Lock()
		defer k.mu.Unlock()
		if len(k.writes) != writes || !strings.HasPrefix(k.writes[writes-1], "del 192.0.2.10/24") {
			t.Errorf("writes %q", k.writes)
		}
	})
}

func TestAuthorityIsExtendedByRenewalOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newFakeKernel()
		k.addLink("eth0")
		a := guardedAddress("192.0.2.10/24", "eth0", 30*time.Second)
		r := start(t, k, Options{})
		began := time.Now()
		d := failover.DesiredAddresses{Generation: 1, Addresses: []failover.Address{a}, Until: r.in(5 * time.Second)}
		r.worker.Set(d)
		within(t, soon, "present", func() bool { return r.present(1, a.Key()) })
		d.Until = r.in(20 * time.Second)
		r.worker.Set(d) // the same renewal
		within(t, 10*time.Second, "gone", func() bool { return shows(k) })
		if took := time.Since(began).Round(10 * time.Millisecond); took != 5*time.Second {
			t.Errorf("gone after %v, want 5 s: a greater Until alone extends nothing", took)
		}
		d.Renewal++
		d.Until = r.in(20 * time.Second)
		r.worker.Set(d)
		within(t, soon, "back", func() bool { return r.present(1, a.Key()) })
		staysFor(t, 15*time.Second, "there", func() bool { return len(k.show()) == 1 })
	})
}

func TestSmallerAuthorityCountsAtOnce(t *testing.T) {
	t.Parallel()
	inWorlds(t, func(t *testing.T, w world) {
		w.addLink("eth0")
		a, b := guardedAddress("192.0.2.10/24", "eth0", 30*time.Second), guardedAddress("2001:db8::10/64", "eth0", failover.NoLease)
		r := start(t, w, Options{})
		d := failover.DesiredAddresses{Generation: 1, Addresses: []failover.Address{a, b}, Until: vrrp.Never}
		r.worker.Set(d)
		within(t, soon, "present", func() bool { return r.present(1, a.Key(), b.Key()) })
		d.Until = r.in(1500 * time.Millisecond)
		r.worker.Set(d)
		within(t, soon, "shortened", func() bool {
			return shows(w, "192.0.2.10/24 dev eth0 proto 112 leased", "2001:db8::10/64 dev eth0 nodad proto 112 leased")
		})
		d.Until = r.in(500 * time.Millisecond)
		r.worker.Set(d)
		if took := within(t, soon, "gone", func() bool { return shows(w) }); took > 400*time.Millisecond {
			t.Errorf("gone after %v: what is left is too little to be written", took)
		}
	})
}

// The worker stands still between the look at the clock and the write.
func TestWrittenAfterTheAuthorityIsUndone(t *testing.T) {
	for _, row := range []struct {
		name  string
		pause time.Duration
		want  []string // writes of the pass
	}{
		{"in time", 0, []string{"add 192.0.2.10/32 dev eth0 valid_lft 3 preferred_lft 3"}},
		{"too late for the lifetime", time.Second, []string{
			"add 192.0.2.10/32 dev eth0 valid_lft 3 preferred_lft 3", "replace 192.0.2.10/32 dev eth0 valid_lft 2 preferred_lft 2",
		}},
		{"too late", 3500 * time.Millisecond, []string{
			"add 192.0.2.10/32 dev eth0 valid_lft 3 preferred_lft 3", "del 192.0.2.10/32 dev eth0",
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newFakeKernel()
				k.addLink("eth0")
				paused := false
				k.beforeWrite = func([]op) {
					if !paused {
						paused = true
						time.Sleep(row.pause)
					}
				}
				a := guardedAddress("192.0.2.10/32", "eth0", 30*time.Second)
				r := start(t, k, Options{})
				r.worker.Set(failover.DesiredAddresses{
					Generation: 1, Addresses: []failover.Address{a}, Until: r.in(3900 * time.Millisecond),
				})
				time.Sleep(row.pause + 100*time.Millisecond)
				k.mu.Lock()
				defer k.mu.Unlock()
				if !slices.Equal(k.writes, row.want) {
					t.Errorf("writes\n got %q\nwant %q", k.writes, row.want)
				}
			})
		})
	}
}

// What cannot be removed when the authority ends is tried again, at the pace of other failures.
func TestEndOfAuthorityThatTheKernelRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newFakeKernel()
		k.addLink("eth0")
		a := guardedAddress("192.0.2.10/32", "eth0", failover.NoLease)
		k.refuse = func(o op) error {
			if o.kind == opDelete {
				return unix.EPERM
			}
			return nil
		}
		r := start(t, k, Options{})
		d := failover.DesiredAddresses{Generation: 1, Addresses: []failover.Address{a}, Until: r.in(time.Minute)}
		r.worker.Set(d)
		within(t, soon, "present", func() bool { return r.present(1, a.Key()) })
		d.Until = r.in(500 * time.Millisecond)
		r.worker.Set(d)
		time.Sleep(5 * time.Second)
		if rep := r.last(); !slices.Equal(rep.Leftover, keys(a)) {
			t.Errorf("report %+v, want a leftover", rep)
		}
		k.mu.Lock()
		if n := len(k.writes); n < 4 || n > 8 {
			t.Errorf("%d writes in 5 s: %q", n, k.writes)
		}
		k.refuse = nil
		k.mu.Unlock()
		within(t, soon, "gone", func() bool { return shows(k) })
	})
}
