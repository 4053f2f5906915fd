package kernel

import (
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"failoverd/failover"
)

// thousandRoutes are half IPv4 and half IPv6.
func thousandRoutes() (list []failover.KernelRoute) {
	for i := range 500 {
		list = append(
			list, unicast(fmt.Sprintf("172.16.%d.%d/32", i/250, i%250), "10.0.0.2", ""),
			unicast(fmt.Sprintf("2001:db8:100:%x::/64", i), "2001:db8::2", "eth0"),
		)
	}
	return list
}

// A thousand routes come and go in well under a second.
func TestThousandRoutes(t *testing.T) {
	w := newObjectWorld(t)
	r := startObjects(t, w.openObjects(), ObjectOptions{Resync: time.Hour})
	list := thousandRoutes()
	var rules []failover.KernelRule
	for i := range 100 {
		rules = append(rules, toTable(fmt.Sprintf("172.16.0.%d/32", i), uint32(100+i)))
	}
	for range 2 {
		began := time.Now()
		r.clean(list, rules...)
		added := time.Since(began)
		if shown, n := w.ours(); len(shown) != len(list) || n != len(rules) {
			t.Fatalf("%d routes and %d rules", len(shown), n)
		}
		began = time.Now()
		r.clean(nil)
		removed := time.Since(began)
		if shown, n := w.ours(); len(shown)+n != 0 {
			t.Fatalf("left: %d routes and %d rules", len(shown), n)
		}
		t.Logf("added in %v, removed in %v", added, removed)
		if added > time.Second || removed > time.Second {
			t.Errorf("added in %v, removed in %v, want less than a second each", added, removed)
		}
	}
	r.clean(list)
	w.ip("route flush proto 112")
	w.soonShows("put back", len(list))
}

// objectBenchmark is running Objects, driven one Set at a time.
type objectBenchmark struct {
	objects *Objects
	reports chan failover.ObjectReport
	d       failover.DesiredObjects
}

func newObjectBenchmark(b *testing.B) (*objectBenchmark, *objectWorld) {
	w := newObjectWorld(b)
	m := &objectBenchmark{reports: make(chan failover.ObjectReport, 1<<10)}
	m.objects = newObjects(slog.New(slog.DiscardHandler), ObjectOptions{}, w.openObjects())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = m.objects.Run(b.Context(), func(rep failover.ObjectReport) { m.reports <- rep })
	}()
	b.Cleanup(func() {
		<-done
		_ = m.objects.Close()
	})
	return m, w
}

func (m *objectBenchmark) set(b *testing.B, list ...failover.KernelRoute) {
	m.d.Generation++
	m.d.Routes = list
	m.objects.Set(m.d)
	for rep := range m.reports {
		if rep.Generation == m.d.Generation {
			if len(rep.RoutesFailed) > 0 {
				b.Fatal(rep.RoutesFailed)
			}
			return
		}
	}
}

func BenchmarkThousandRoutesAddAndDelete(b *testing.B) {
	m, _ := newObjectBenchmark(b)
	list := thousandRoutes()
	for b.Loop() {
		m.set(b, list...)
		m.set(b)
	}
}

func BenchmarkThousandRoutesUnchanged(b *testing.B) {
	m, _ := newObjectBenchmark(b)
	list := thousandRoutes()
	for b.Loop() {
		m.set(b, list...)
	}
}

func BenchmarkOneOfThousandRoutes(b *testing.B) {
	m, _ := newObjectBenchmark(b)
	list := thousandRoutes()
	m.set(b, list...)
	n := 0
	for b.Loop() {
		m.set(b, list[:999+n%2]...)
		n++
	}
}

// One route more on a router that has a hundred thousand others.
func BenchmarkOneAmongHundredThousand(b *testing.B) {
	m, w := newObjectBenchmark(b)
	h := w.openObjects()
	var ops []objectOp
	for i := range 100_000 {
		a := netip.AddrFrom4([4]byte{44, byte(i >> 16), byte(i >> 8), byte(i)})
		e := routeEntry{routeContent: routeContent{
			key: failover.RouteKey{Destination: netip.PrefixFrom(a, 32), Table: 254}, kind: 6, proto: 186,
		}}
		ops = append(ops, objectOp{kind: objectAdd, entry: e, route: &routeMemory{}})
	}
	for _, err := range h.write(ops) {
		if err != nil {
			b.Fatal(err)
		}
	}
	_ = h.close()
	route := unicast("10.8.0.0/16", "10.0.0.2", "")
	m.set(b)
	for b.Loop() {
		m.set(b, route)
		m.set(b)
	}
}
