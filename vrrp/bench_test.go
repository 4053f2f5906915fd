package vrrp_test

import (
	"testing"

	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// steady are the things that a router does all day, and what an attacker can make it do.
func steady(tb testing.TB) map[string]func() {
	follower := backup(tb, config(100))
	heard := packet(tb, follower, higher, 200, 100)
	leader, now := active(tb, config(200))
	rival := packet(tb, leader, lower, 50, 100)
	six := backup(tb, config(100, ipv6))
	heard6 := packet(tb, six, higher6, 200, 100)
	two := backup(tb, config(100, version2))
	heard2 := packet(tb, two, higher, 200, 100)
	looped := packet(tb, follower, own, 100, 100)
	many := backup(tb, config(100, func(c *vrrp.Config) { c.Addresses = list4(255) }))
	reversed := packet(tb, many, higher, 200, 100)
	for i := range 127 {
		reversed.Addresses[i], reversed.Addresses[254-i] = reversed.Addresses[254-i], reversed.Addresses[i]
	}
	accept := func(r *vrrp.Router, p *wire.Packet) func() {
		return func() {
			now += second
			if _, why := r.Receive(now, p); why != wire.Accepted {
				tb.Fatal(why)
			}
		}
	}
	return map[string]func(){
		"Receive/backup":      accept(follower, heard),
		"Receive/backup-ipv6": accept(six, heard6),
		"Receive/backup-v2":   accept(two, heard2),
		"Receive/rival":       accept(leader, rival),
		"Receive/own-source": func() {
			if _, why := follower.Receive(now, looped); why != wire.DropOwnSource {
				tb.Fatal(why)
			}
		},
		// The list in another order, as long as lists get.
		"Receive/255-addresses-shuffled": accept(many, reversed),
		"Expire/due": func() {
			if e := leader.Expire(leader.Deadline()); !e.Advert {
				tb.Fatal(e)
			}
		},
		"Expire/early": func() {
			if e := leader.Expire(leader.Deadline() - 1); e.Advert {
				tb.Fatal(e)
			}
		},
	}
}

func BenchmarkRouter(b *testing.B) {
	for name, f := range steady(b) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f()
			}
		})
	}
}

func TestRouterAllocatesNothing(t *testing.T) {
	for name, f := range steady(t) {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	// Changes of state, too, and everything around them.
	r := newRouter(t, config(100))
	p, release := packet(t, r, higher, 200, 100), packet(t, r, higher, 0, 100)
	var a wire.Advertisement
	now := vrrp.Instant(0)
	if n := testing.AllocsPerRun(100, func() {
		r.Startup(now)
		r.Receive(now, release)
		r.Expire(r.Deadline())
		r.Advertisement(&a, r.Priority())
		r.Receive(now, p)
		r.SetPriority(120)
		r.Expire(r.Deadline())
		now = r.Deadline()
		r.Demote(now, 0)
		r.SetJoint(true)
		r.Expire(r.Deadline())
		r.Promote(now)
		r.SetJoint(false)
		r.Shutdown(now)
	}); n != 0 {
		t.Errorf("a life: %v allocations", n)
	}
}
