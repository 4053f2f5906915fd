package kernel

import (
	"testing"
	"time"

	"failoverd/failover"
)

// door is a bar that a test closes: it holds one element while nobody is inside.
type door chan struct{}

func newDoor() door {
	d := make(door, 1)
	d <- struct{}{}
	return d
}

func (d door) Lock()   { <-d }
func (d door) Unlock() { d <- struct{}{} }

// While a worker is kept from writing, what is wanted waits.
func TestWorkerBehindBar(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		w.addLink("eth0")
		bar := newDoor()
		r := start(t, w, Options{Bar: bar})
		a := address("192.0.2.10/32", "eth0", 0)
		bar.Lock()
		r.worker.Set(failover.DesiredAddresses{Generation: 1, Addresses: []failover.Address{a}})
		staysFor(t, 50*time.Millisecond, "no address", func() bool { return len(w.show()) == 0 })
		bar.Unlock()
		within(t, soon, "present", func() bool { return r.present(1, a.Key()) })
	})
}

func TestObjectsBehindBar(t *testing.T) {
	w := newObjectWorld(t)
	bar := newDoor()
	r := startObjects(t, w.openObjects(), ObjectOptions{Bar: bar})
	there := func() bool { routes, _ := w.ours(); return len(routes) == 1 }
	bar.Lock()
	r.objects.Set(failover.DesiredObjects{Generation: 1, Routes: []failover.KernelRoute{unicast("10.8.0.0/16", "", "eth1")}})
	staysFor(t, 100*time.Millisecond, "no route", func() bool { return !there() })
	bar.Unlock()
	within(t, soon, "the route", there)
}

func TestDevicesBehindBar(t *testing.T) {
	t.Parallel()
	l := newDeviceLab(t)
	bar := newDoor()
	bar.Lock()
	r := l.a.startWith(func(d *Devices) { d.Bar = bar })
	r.devices.Set(both, nil, false)
	there := func() bool { _, err := l.a.try("ip link show " + both[0].Name); return err == nil }
	staysFor(t, 100*time.Millisecond, "no interface", func() bool { return !there() })
	bar.Unlock()
	within(t, 10*time.Second, "the interface", there)
}
