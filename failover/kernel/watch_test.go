package kernel

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"failoverd/failover"
)

// watching collects what Watch delivers.
type watching struct {
	mu        sync.Mutex
	delivered []failover.Interface
}

func (c *watching) deliver(i failover.Interface) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.delivered = append(c.delivered, i)
}

// state returns the newest value of an interface and how many there were.
func (c *watching) state(name string) (last failover.Interface, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, i := range c.delivered {
		if i.Name == name {
			last = i
			n++
		}
	}
	return last, n
}

func (r *running) watch() *watching {
	c := &watching{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := r.worker.Watch(ctx, c.deliver); err != nil {
			r.t.Errorf("Watch: %v", err)
		}
	}()
	r.t.Cleanup(func() { cancel(); <-done })
	return c
}

// global returns the addresses of i that are not link-local.
func global(i failover.Interface) (list []netip.Prefix) {
	for _, p := range i.Addresses {
		if !p.Addr().IsLinkLocalUnicast() {
			list = append(list, p)
		}
	}
	return list
}

func TestWatch(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		w.addLink("eth0")
		w.addAddress("192.0.2.1/24", "eth0")
		w.addAddress("192.0.2.2/24", "eth0")
		w.addAddress("198.51.100.1/24", "eth0")
		w.addAddress("2001:db8::1/64", "eth0")
		c := start(t, w, Options{}).watch()
		addresses := func(want ...string) func() bool {
			return func() bool {
				i, _ := c.state("eth0")
				return slices.EqualFunc(global(i), want, func(p netip.Prefix, s string) bool { return p.String() == s })
			}
		}
		within(t, soon, "lo", func() bool {
			i, n := c.state("lo")
			return n == 1 && i.Index == 1 && i.Up && i.Loopback && i.MTU > 0
		})
		// In the kernel's order: IPv4 primaries before secondaries, then IPv6.
		within(t, soon, "addresses of eth0", addresses("192.0.2.1/24", "198.51.100.1/24", "192.0.2.2/24", "2001:db8::1/64"))
		i, _ := c.state("eth0")
		if !i.Up || i.Loopback || i.MTU != 1500 || i.Index == 0 {
			t.Errorf("eth0: %+v", i)
		}

		w.removeAddress("192.0.2.2/24", "eth0")
		within(t, soon, "address gone", addresses("192.0.2.1/24", "198.51.100.1/24", "2001:db8::1/64"))

		w.setUp("eth0", false)
		within(t, soon, "down", func() bool { i, _ := c.state("eth0"); return i.Index != 0 && !i.Up })
		w.renameLink("eth0", "wan0")
		within(t, soon, "renamed", func() bool {
			old, _ := c.state("eth0")
			now, _ := c.state("wan0")
			return old.Equal(&failover.Interface{Name: "eth0"}) && now.Index == i.Index && !now.Up
		})
		w.setUp("wan0", true)
		within(t, soon, "up", func() bool { i, _ := c.state("wan0"); return i.Up })
		w.removeLink("wan0")
		within(t, soon, "gone", func() bool {
			i, _ := c.state("wan0")
			return i.Equal(&failover.Interface{Name: "wan0"})
		})
		w.addLink("wan0")
		within(t, soon, "there again", func() bool { now, _ := c.state("wan0"); return now.Index > 0 && now.Index != i.Index && now.Up })
		if _, n := c.state("lo"); n != 1 {
			t.Errorf("lo was delivered %d times without a change", n)
		}
	})
}

func TestWatchIsSilentAboutRenewals(t *testing.T) {
	t.Parallel()
	inWorlds(t, func(t *testing.T, w world) {
		w.addLink("eth0")
		var list []failover.Address
		for i := range 50 {
			list = append(list, failover.Address{
				Prefix:    netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}), 32),
				Interface: "eth0", Lease: 3 * time.Second,
			})
		}
		list = append(list, address("2001:db8::1/64", "eth0", 3*time.Second))
		r := start(t, w, Options{})
		c := r.watch()
		d := failover.DesiredAddresses{Generation: 1, Addresses: list}
		r.worker.Set(d)
		within(t, soon, "all of them", func() bool { i, _ := c.state("eth0"); return len(global(i)) == len(list) })
		if !w.virtual() {
			time.Sleep(2500 * time.Millisecond) // until the link-local address is no longer tentative
		}
		_, before := c.state("eth0")
		if before > 10 {
			t.Errorf("%d deliveries for one batch of additions", before)
		}
		for range 10 {
			d.Renewal++
			r.worker.Set(d)
			time.Sleep(50 * time.Millisecond)
		}
		if _, after := c.state("eth0"); after != before {
			t.Errorf("%d deliveries for renewals", after-before)
		}
	})
}
