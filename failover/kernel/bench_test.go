package kernel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"failoverd/failover"
)

// benchmark is a running worker on a real kernel, driven one Set at a time.
type benchmark struct {
	worker  *Worker
	reports chan failover.AddressReport
	d       failover.DesiredAddresses
}

func newBenchmark(b *testing.B) *benchmark {
	b.Helper()
	w := newRealWorld(b)
	w.addLink("eth0")
	m := &benchmark{
		worker:  newWorker(slog.New(slog.DiscardHandler), Options{}, w.open(b), w.open(b)),
		reports: make(chan failover.AddressReport, 1<<12),
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = m.worker.Run(ctx, func(r failover.AddressReport) { m.reports <- r })
	}()
	b.Cleanup(func() {
		cancel()
		<-done
		_ = m.worker.Close()
	})
	return m
}

// set asks for addresses and waits until all of them are present.
func (m *benchmark) set(addresses ...failover.Address) {
	m.d.Generation++
	m.d.Addresses = addresses
	m.worker.Set(m.d)
	for r := range m.reports {
		if r.Generation == m.d.Generation && len(r.Present) == len(addresses) {
			return
		}
	}
}

func BenchmarkAddAndDeleteIPv4(b *testing.B) {
	m := newBenchmark(b)
	for b.Loop() {
		m.set(address("192.0.2.10/32", "eth0", 3*time.Second))
		m.set()
	}
}

func BenchmarkAddAndDeleteIPv6(b *testing.B) {
	m := newBenchmark(b)
	for b.Loop() {
		m.set(address("2001:db8::10/64", "eth0", 3*time.Second))
		m.set()
	}
}

func thousand(lease time.Duration) (list []failover.Address) {
	for i := range 1000 {
		list = append(list, numbered(i, "eth0", lease))
	}
	return list
}

// One of a thousand addresses comes or goes.
func BenchmarkReconcileOneOfThousand(b *testing.B) {
	m := newBenchmark(b)
	all := thousand(0)
	m.set(all...)
	n := 0
	for b.Loop() {
		m.set(all[:999+n%2]...)
		n++
	}
}

// Nothing changes: what a Set costs without a write.
func BenchmarkReconcileThousandUnchanged(b *testing.B) {
	m := newBenchmark(b)
	all := thousand(0)
	for b.Loop() {
		m.set(all...)
	}
}

// A renewal of a thousand addresses, without the decision that it is due. Those of IPv6 that end alike share a multicast group.
func BenchmarkRenewThousand(b *testing.B) {
	for _, c := range []struct{ name, address string }{
		{"IPv4", "10.9.%d.%d/32"}, {"IPv6", "2001:db8::%x:%x/128"}, {"IPv6/alike", "2001:db8:%x:%x::1/128"},
	} {
		b.Run(c.name, func(b *testing.B) {
			w := newRealWorld(b)
			w.addLink("eth0")
			h := w.open(b)
			defer func() { _ = h.close() }()
			index := w.link("eth0").Attrs().Index
			var ops []op
			for i := range 1000 {
				a := address(fmt.Sprintf(c.address, i/250, i%250+1), "eth0", time.Minute)
				ops = append(ops, op{kind: opRenew, index: index, addr: a, valid: 60})
			}
			h.write(ops)
			for b.Loop() {
				if err := errors.Join(h.write(ops)...); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAddAndDeleteThousand(b *testing.B) {
	m := newBenchmark(b)
	all := thousand(0)
	for b.Loop() {
		m.set(all...)
		m.set()
	}
}

func BenchmarkListThousand(b *testing.B) {
	w := newRealWorld(b)
	w.addLink("eth0")
	h := w.open(b)
	defer func() { _ = h.close() }()
	index := w.link("eth0").Attrs().Index
	var ops []op
	for _, a := range thousand(0) {
		ops = append(ops, op{kind: opAdd, index: index, addr: a, valid: forever})
	}
	h.write(ops)
	b.ReportAllocs()
	for b.Loop() {
		if list, err := h.addresses(); err != nil || len(list) < 1000 {
			b.Fatal(len(list), err)
		}
	}
}
