package kernel

import (
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"failoverd/failover"
)

func TestInterfaceMissingThenThere(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		a := address("192.0.2.10/24", "eth7", 0)
		r := start(t, w, Options{})
		r.worker.Set(failover.DesiredAddresses{Generation: 1, Addresses: []failover.Address{a}})
		within(t, soon, "failed", func() bool { return r.last().Failed[a.Key()] == "interface eth7 does not exist" })
		w.addLink("eth7")
		took := within(t, soon, "present", func() bool { return r.present(1, a.Key()) })
		t.Logf("present %v after the interface", took)
	})
}

func TestInterfaceDeletedAndMadeAgain(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		w.addLink("eth0")
		v4, v6 := address("192.0.2.10/24", "eth0", 0), address("2001:db8::10/64", "eth0", 30*time.Second)
		r := start(t, w, Options{})
		r.worker.Set(failover.DesiredAddresses{Generation: 1, Addresses: []failover.Address{v4, v6}})
		within(t, soon, "present", func() bool { return r.present(1, v4.Key(), v6.Key()) })
		w.removeLink("eth0")
		within(t, soon, "absent", func() bool { return r.present(1) && len(r.last().Failed) == 2 })
		w.addLink("eth0")
		within(t, soon, "present again", func() bool { return r.present(1, v4.Key(), v6.Key()) })
		if n := r.restored(v4.Key()) + r.restored(v6.Key()); n != 0 {
			t.Errorf("%d restored: nobody removed an address", n)
		}
	})
}

func TestInterfaceRenamed(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		w.addLink("eth0")
		a := address("192.0.2.10/24", "eth0", 0)
		r := start(t, w, Options{})
		r.worker.Set(failover.DesiredAddresses{Generation: 1, Addresses: []failover.Address{a}})
		within(t, soon, "present", func() bool { return r.present(1, a.Key()) })
		w.setUp("eth0", false)
		w.renameLink("eth0", "wan0")
		within(t, soon, "failed", func() bool { return r.last().Failed[a.Key()] == "interface eth0 does not exist" })
		w.renameLink("wan0", "eth0")
		within(t, soon, "present again", func() bool { return r.present(1, a.Key()) })
	})
}

// The kernel drops the IPv6 addresses of an interface that goes down. They are put back, and nobody is accused.
func TestInterfaceDownAndUp(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		w.addLink("eth0")
		v4, v6 := address("192.0.2.10/24", "eth0", 0), address("2001:db8::10/64", "eth0", 0)
		r := start(t, w, Options{})
		r.worker.Set(failover.DesiredAddresses{Generation: 1, Addresses: []failover.Address{v4, v6}})
		within(t, soon, "present", func() bool { return r.present(1, v4.Key(), v6.Key()) })
		w.setUp("eth0", false)
		time.Sleep(100 * time.Millisecond)
		w.setUp("eth0", true)
		within(t, soon, "present again", func() bool { return r.present(1, v4.Key(), v6.Key()) && len(w.show()) == 2 })
		staysFor(t, 200*time.Millisecond, "present", func() bool { return r.present(1, v4.Key(), v6.Key()) && len(w.show()) == 2 })
		if n := r.restored(v4.Key()) + r.restored(v6.Key()); n != 0 {
			t.Errorf("%d restored: nobody removed an address", n)
		}
	})
}

// When the first IPv4 address of a subnet ends, Linux removes the others, too, unless told otherwise.
func TestAddressesOfOthersSurviveOurs(t *testing.T) {
	t.Parallel()
	inWorlds(t, func(t *testing.T, w world) {
		w.addLink("eth0")
		if w.promotes("eth0") {
			t.Fatal("promote_secondaries is on by default here: nothing to show")
		}
		first, second := address("192.0.2.10/24", "eth0", time.Second), address("192.0.2.11/24", "eth0", 0)
		r := start(t, w, Options{})
		r.worker.Set(failover.DesiredAddresses{Generation: 1, Addresses: []failover.Address{first, second}})
		within(t, soon, "present", func() bool { return r.present(1, first.Key(), second.Key()) })
		if !w.promotes("eth0") {
			t.Error("promote_secondaries is off")
		}
		w.addAddress("192.0.2.1/24", "eth0")
		r.stop()
		within(t, soon, "lease over", func() bool { return len(w.show()) == 2 })
		if !shows(w, "192.0.2.1/24 dev eth0", "192.0.2.11/24 dev eth0 proto 112") {
			t.Errorf("left: %q", w.show())
		}
	})
}

func TestSingleAddressesLeaveTheInterfaceAlone(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		w.addLink("eth0")
		a := address("192.0.2.10/32", "eth0", 0)
		r := start(t, w, Options{})
		r.worker.Set(failover.DesiredAddresses{Generation: 1, Addresses: []failover.Address{a}})
		within(t, soon, "present", func() bool { return r.present(1, a.Key()) })
		if w.promotes("eth0") {
			t.Error("promote_secondaries was set without need")
		}
	})
}

// A write that was overtaken by a newer Set is undone before anything is said about it.
func TestOvertakenWriteIsUndone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newFakeKernel()
		k.addLink("eth0")
		a := address("192.0.2.10/24", "eth0", 0)
		r := start(t, k, Options{})
		overtaken := false
		k.beforeWrite = func(ops []op) {
			if ops[len(ops)-1].kind == opAdd && !overtaken {
				overtaken = true
				r.worker.Set(failover.DesiredAddresses{Generation: 2})
			}
		}
		time.Sleep(time.Second) // so that the last report is not recent
		r.worker.Set(failover.DesiredAddresses{Generation: 1})
		synctest.Wait()
		r.worker.Set(failover.DesiredAddresses{Generation: 1, Addresses: []failover.Address{a}})
		synctest.Wait()
		if !overtaken || len(k.show()) != 0 {
			t.Fatalf("overtaken %v, left %q", overtaken, k.show())
		}
		for _, rep := range r.all() {
			if len(rep.Present) > 0 {
				t.Errorf("report about an address that was not wanted any more: %+v", rep)
			}
		}
	})
}

// A process that is stopped between its decision and the write must not bring an address back from the dead.
func TestWriteOfAStoppedProcessIsUndone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newFakeKernel()
		k.addLink("eth0")
		v4, v6 := address("192.0.2.10/24", "eth0", 3*time.Second), address("2001:db8::10/64", "eth0", 3*time.Second)
		r := start(t, k, Options{})
		stopped := false
		k.beforeWrite = func(ops []op) {
			if ops[len(ops)-1].kind == opAdd && !stopped {
				stopped = true
				time.Sleep(time.Minute)
			}
		}
		r.worker.Set(failover.DesiredAddresses{Generation: 1, Addresses: []failover.Address{v4, v6}})
		time.Sleep(time.Minute + time.Millisecond)
		synctest.Wait()
		if !stopped || len(k.show()) != 0 {
			t.Fatalf("stopped %v, left %q", stopped, k.show())
		}
		for _, rep := range r.all() {
			if len(rep.Present) != 0 || len(rep.Failed) != 2 {
				t.Errorf("report %+v", rep)
			}
		}
	})
}

func TestRefusedWritesAreReportedAndTriedAgain(t *testing.T) {
	rows := []struct {
		name string
		err  error
		want string
	}{
		{"no privilege", unix.EPERM, "not permitted: CAP_NET_ADMIN is missing"},
		{"IPv6 is off", unix.EACCES, "IPv6 is disabled on eth0"},
		{"no memory", unix.ENOMEM, "cannot allocate memory"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newFakeKernel()
				k.addLink("eth0")
				a, good := address("2001:db8::10/64", "eth0", 0), address("192.0.2.1/32", "eth0", 0)
				k.refuse = func(o op) error {
					if o.addr.Key() == a.Key() {
						return row.err
					}
					return nil
				}
				r := start(t, k, Options{})
				r.worker.Set(failover.DesiredAddresses{Generation: 1, Addresses: []failover.Address{a, good}})
				synctest.Wait()
				if !r.present(1, good.Key()) || r.last().Failed[a.Key()] != row.want {
					t.Errorf("report %+v, want %q", r.last(), row.want)
				}
				time.Sleep(10 * time.Second)
				if n := len(r.all()); n != 1 {
					t.Errorf("%d reports, want the failure once", n)
				}
				k.mu.Lock()
				k.refuse = nil
				k.mu.Unlock()
				time.Sleep(2 * time.Second)
				if !r.present(1, a.Key(), good.Key()) {
					t.Errorf("not tried again: %+v", r.last())
				}

				// The same for a removal.
				k.mu.Lock()
				k.refuse = func(o op) error { return row.err }
				k.mu.Unlock()
				r.worker.Set(failover.DesiredAddresses{Generation: 2, Addresses: []failover.Address{good}})
				synctest.Wait()
				if rep := r.last(); len(rep.Leftover) != 1 || rep.Leftover[0] != a.Key() {
					t.Errorf("leftover not reported: %+v", rep)
				}
				k.mu.Lock()
				k.refuse = nil
				k.mu.Unlock()
				time.Sleep(2 * time.Second)
				if rep := r.last(); len(rep.Leftover) != 0 || len(k.show()) != 1 {
					t.Errorf("removal not tried again: %+v, %q", rep, k.show())
				}
			})
		})
	}
}

func TestLostNotificationsAreMadeUpFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newFakeKernel()
		k.addLink("eth0")
		a := address("192.0.2.10/24", "eth0", 0)
		r := start(t, k, Options{})
		r.worker.Set(failover.DesiredAddresses{Generation: 1, Addresses: []failover.Address{a}})
		synctest.Wait()
		k.removeAddress("192.0.2.10/24", "eth0")
		k.overrun()
		synctest.Wait()
		if r.restored(a.Key()) != 1 || len(k.show()) != 1 {
			t.Errorf("not restored: %+v, %q", r.last(), k.show())
		}
		// Without even a notification that something was lost, the resync finds it.
		k.mu.Lock()
		feeds := k.feeds
		k.feeds = nil
		k.mu.Unlock()
		k.removeAddress("192.0.2.10/24", "eth0")
		k.mu.Lock()
		k.feeds = feeds
		k.mu.Unlock()
		time.Sleep(DefaultResync + time.Second)
		if r.restored(a.Key()) != 2 || len(k.show()) != 1 {
			t.Errorf("not resynchronised: %+v, %q", r.last(), k.show())
		}
	})
}

// IPv6 addresses work only a moment after they were acknowledged: present is what the kernel has confirmed.
func TestAcknowledgedIsNotYetPresent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newFakeKernel()
		k.delay = 10 * time.Millisecond
		k.addLink("eth0")
		v4, v6 := address("192.0.2.10/24", "eth0", 0), address("2001:db8::10/64", "eth0", 0)
		r := start(t, k, Options{})
		r.worker.Set(failover.DesiredAddresses{Generation: 1, Addresses: []failover.Address{v4, v6}})
		time.Sleep(k.delay - time.Millisecond)
		if rep := r.last(); !r.present(1, v4.Key()) || len(rep.Failed) != 0 {
			t.Errorf("before the confirmation: %+v", rep)
		}
		time.Sleep(2 * time.Millisecond)
		if !r.present(1, v4.Key(), v6.Key()) {
			t.Errorf("after the confirmation: %+v", r.last())
		}
		// A confirmation that does not come is looked up.
		v6 = address("2001:db8::11/64", "eth0", 0)
		k.mu.Lock()
		k.delay = time.Hour
		k.mu.Unlock()
		r.worker.Set(failover.DesiredAddresses{Generation: 2, Addresses: []failover.Address{v4, v6}})
		time.Sleep(2 * confirmWithin)
		if !r.present(2, v4.Key(), v6.Key()) {
			t.Errorf("without a confirmation: %+v", r.last())
		}
		if n := len(k.writes); n != 5 {
			t.Errorf("writes %q, want the setting, three additions and one removal", k.writes)
		}
	})
}

// Kernels before 5.18 do not keep the tag: a finite lifetime stands for it.
func TestKernelWithoutAddressProtocol(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newFakeKernel()
		k.proto = false
		k.addLink("eth0")
		k.addAddress("192.0.2.11/24", "eth0")
		leased, admins := address("192.0.2.10/24", "eth0", 30*time.Second), address("192.0.2.11/24", "eth0", 30*time.Second)
		permanent := address("192.0.2.12/24", "eth0", 0)
		first := start(t, k, Options{})
		first.worker.Set(failover.DesiredAddresses{Generation: 1, Addresses: []failover.Address{leased, admins, permanent}})
		synctest.Wait()
		if !first.present(1, leased.Key(), admins.Key(), permanent.Key()) {
			t.Fatalf("%+v", first.last())
		}
		first.worker.Set(failover.DesiredAddresses{Generation: 2, Addresses: []failover.Address{leased}})
		synctest.Wait()
		if !shows(k, "192.0.2.10/24 dev eth0 leased", "192.0.2.11/24 dev eth0") {
			t.Fatalf("%q", k.show())
		}
		first.stop()
		second := start(t, k, Options{Configured: keys(leased, admins)})
		second.worker.Set(failover.DesiredAddresses{Generation: 1})
		synctest.Wait()
		if !shows(k, "192.0.2.11/24 dev eth0") || len(second.last().Swept) != 1 {
			t.Errorf("%q, %+v", k.show(), second.last())
		}
	})
}

func TestDuplicateAddressDetection(t *testing.T) {
	for _, lease := range []time.Duration{failover.NoLease, 30 * time.Second} {
		t.Run(lease.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newFakeKernel()
				k.addLink("eth0")
				good, bad := address("2001:db8::10/64", "eth0", lease), address("2001:db8::11/64", "eth0", lease)
				good.DAD, bad.DAD = true, true
				k.duplicates[bad.Prefix.Addr()] = true
				r := start(t, k, Options{})
				r.worker.Set(failover.DesiredAddresses{Generation: 1, Addresses: []failover.Address{good, bad}})
				synctest.Wait()
				if !r.present(1) {
					t.Errorf("tentative addresses count as present: %+v", r.last())
				}
				time.Sleep(1100 * time.Millisecond)
				const why = "another host has the address (duplicate address detection)"
				if rep := r.last(); !r.present(1, good.Key()) || rep.Failed[bad.Key()] != why {
					t.Errorf("%+v", rep)
				}
				time.Sleep(5 * time.Second)
				// The other host goes. A permanent address stays failed in the kernel, a leased one gets another chance.
				k.mu.Lock()
				delete(k.duplicates, bad.Prefix.Addr())
				k.mu.Unlock()
				time.Sleep(2 * maxHoldback)
				if rep := r.last(); lease != failover.NoLease && !r.present(1, good.Key(), bad.Key()) {
					t.Errorf("no other chance: %+v", rep)
				}
				if n := r.restored(bad.Key()); n != 0 {
					t.Errorf("%d restored, nobody removed it", n)
				}
			})
		})
	}
}

// deafHost cannot list anything for a while.
type deafHost struct {
	host
	deaf func() bool
}

func (h *deafHost) addresses() ([]entry, error) {
	if h.deaf() {
		return nil, unix.ENOBUFS
	}
	return h.host.addresses()
}

func TestKernelThatCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newFakeKernel()
		k.addLink("eth0")
		until := time.Now().Add(10 * time.Second)
		attempts := 0
		h := &deafHost{k.open(t), func() bool { attempts++; return time.Now().Before(until) }}
		a := address("192.0.2.10/24", "eth0", 0)
		r := startOn(t, h, k.open(t), Options{})
		r.worker.Set(failover.DesiredAddresses{Generation: 1, Addresses: []failover.Address{a}})
		synctest.Wait()
		if why := r.last().Failed[a.Key()]; why != "kernel cannot be read: no buffer space available" {
			t.Errorf("%+v", r.last())
		}
		time.Sleep(12 * time.Second)
		if !r.present(1, a.Key()) {
			t.Errorf("%+v", r.last())
		}
		if attempts > 20 {
			t.Errorf("%d attempts in 10 s", attempts)
		}
	})
}

// An interface is made anew while an address is being put back on the old one: the address does not wait for a retry,
// because there is no further news of the new interface.
func TestInterfaceMadeAnewDuringAWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newFakeKernel()
		k.addLink("eth0")
		a := address("192.0.2.10/24", "eth0", 0)
		r := start(t, k, Options{Resync: time.Hour})
		r.worker.Set(failover.DesiredAddresses{Generation: 1, Addresses: []failover.Address{a}})
		synctest.Wait()
		before, again := k.show(), 0
		k.beforeWrite = func(ops []op) {
			if ops[len(ops)-1].kind == opAdd && again == 0 {
				again++
				k.removeLink("eth0")
				k.addLink("eth0")
			}
		}
		k.removeAddress("192.0.2.10/24", "eth0")
		time.Sleep(retryAfter / 10)
		synctest.Wait()
		if again != 1 || len(before) != 1 || len(k.show()) != 1 {
			t.Errorf("before %q, made anew %d times, now %q", before, again, k.show())
		}
	})
}
