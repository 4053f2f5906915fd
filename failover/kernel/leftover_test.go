package kernel

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"failoverd/failover"
)

// sweptKeys returns what all reports said was swept.
func (r *running) sweptKeys() (keys []failover.AddressKey) {
	for _, rep := range r.all() {
		keys = append(keys, rep.Swept...)
	}
	return keys
}

// What a predecessor left without a lease does not end by itself. It goes also if no configuration mentions it now.
func TestLeftoversOfADeadPredecessorAreSwept(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		w.addLink("eth0")
		w.addLink("eth1")
		w.addAddress("192.0.2.9/24", "eth0")
		w.addAddress("2001:db8::9/64", "eth0")
		kept, stale := address("192.0.2.10/24", "eth0", 0), address("192.0.2.11/24", "eth0", 0)
		v6, dropped := address("2001:db8::11/64", "eth0", 0), address("192.0.2.12/24", "eth0", 0)
		dropped6, elsewhere := address("2001:db8::12/64", "eth0", 0), address("198.51.100.1/32", "eth1", 30*time.Second)
		first := start(t, w, Options{})
		first.worker.Set(failover.DesiredAddresses{
			Generation: 1, Addresses: []failover.Address{kept, stale, dropped, v6, dropped6, elsewhere},
		})
		within(t, soon, "present", func() bool { return len(first.last().Present) == 6 })
		first.stop()

		second := start(t, w, Options{Configured: keys(kept, stale, v6)})
		staysFor(t, 50*time.Millisecond, "untouched before the first Set", func() bool { return len(w.show()) == 8 })
		kept.Lease = 30 * time.Second
		second.worker.Set(failover.DesiredAddresses{Generation: 7, Addresses: []failover.Address{kept}})
		within(t, soon, "answered", func() bool { return second.present(7, kept.Key()) })
		// Kept: wanted (and now leased), and the administrator's.
		want := []string{
			"192.0.2.10/24 dev eth0 proto 112 leased", "192.0.2.9/24 dev eth0", "2001:db8::9/64 dev eth0 nodad",
		}
		if got := w.show(); !slices.Equal(got, want) {
			t.Errorf("left over:\n got %q\nwant %q", got, want)
		}
		if diff := cmp.Diff(keys(stale, dropped, v6, dropped6, elsewhere), second.last().Swept, byValue); diff != "" {
			t.Errorf("reported as swept (-want +got):\n%s", diff)
		}
	})
}

// The configuration gave the address another length meanwhile.
func TestLeftoverWithAnotherLengthIsReplaced(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		w.addLink("eth0")
		old4, old6 := address("192.0.2.10/24", "eth0", 0), address("2001:db8::10/64", "eth0", 0)
		first := start(t, w, Options{})
		first.worker.Set(failover.DesiredAddresses{Generation: 1, Addresses: []failover.Address{old4, old6}})
		within(t, soon, "present", func() bool { return first.present(1, old4.Key(), old6.Key()) })
		first.stop()

		new4, new6 := address("192.0.2.10/32", "eth0", 0), address("2001:db8::10/128", "eth0", 0)
		second := start(t, w, Options{Configured: keys(new4, new6)})
		second.worker.Set(failover.DesiredAddresses{Generation: 1, Addresses: []failover.Address{new4, new6}})
		within(t, soon, "present", func() bool { return second.present(1, new4.Key(), new6.Key()) })
		within(t, soon, "replaced", func() bool {
			return shows(w, "192.0.2.10/32 dev eth0 proto 112", "2001:db8::10/128 dev eth0 nodad proto 112")
		})
	})
}

// The search happens once, when the kernel can be read for the first time; a removal that fails then is tried again.
func TestSweepThatFailsIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newFakeKernel()
		k.addLink("eth0")
		a := address("192.0.2.10/24", "eth0", 0)
		first := start(t, k, Options{})
		first.worker.Set(failover.DesiredAddresses{Generation: 1, Addresses: []failover.Address{a}})
		synctest.Wait()
		first.stop()

		until := time.Now().Add(5 * time.Second)
		k.refuse = func(o op) error {
			if o.kind == opDelete {
				return unix.EPERM
			}
			return nil
		}
		h := &deafHost{k.open(t), func() bool { return time.Now().Before(until) }}
		second := startOn(t, h, k.open(t), Options{})
		second.worker.Set(failover.DesiredAddresses{})
		time.Sleep(7 * time.Second)
		if rep := second.last(); !slices.Equal(rep.Leftover, keys(a)) || len(rep.Foreign) != 0 {
			t.Fatalf("refused removal: %+v", rep)
		}
		k.mu.Lock()
		k.refuse = nil
		k.mu.Unlock()
		time.Sleep(2 * time.Second)
		if rep := second.last(); len(rep.Leftover) != 0 || !slices.Equal(second.sweptKeys(), keys(a)) || !shows(k) {
			t.Errorf("not tried again: %+v, swept %v, left %q", rep, second.sweptKeys(), k.show())
		}
		// What gets the tag later is not a leftover of a predecessor.
		k.mu.Lock()
		o := op{kind: opAdd, index: k.device("eth0").index, addr: address("192.0.2.11/24", "eth0", 0), valid: forever}
		err := k.add(&o, Protocol)
		k.mu.Unlock()
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * DefaultResync)
		if !shows(k, "192.0.2.11/24 dev eth0 proto 112") {
			t.Errorf("left %q, want what came later", k.show())
		}
	})
}
