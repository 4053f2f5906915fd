package heartbeat

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkExchange is a request and its reply, both ends.
func BenchmarkExchange(b *testing.B) {
	for _, n := range []int{1, MaxServices} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			c, s := NewClient(11, [][]byte{keyA}), NewServer(22, "", [][]byte{keyA})
			r := request(1, n)
			a := reply(r)
			b.ReportAllocs()
			for b.Loop() {
				r.ID++
				d, _ := c.Seal(r)
				_, ticket, _ := s.Open(time.Second, d)
				d, _ = s.Seal(ticket, time.Second, a)
				if _, o := c.Open(d); o != OK {
					b.Fatal(o)
				}
			}
		})
	}
}

// BenchmarkGarbage is what a datagram costs that is to be refused.
func BenchmarkGarbage(b *testing.B) {
	c, s := NewClient(11, [][]byte{keyB}), NewServer(22, "", [][]byte{keyA})
	forged, _ := c.Seal(request(1, 1))
	for name, d := range map[string][]byte{"noise": make([]byte, len(forged)), "forged": forged} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _, _ = s.Open(time.Second, d)
			}
		})
	}
}

// Sealing allocates nothing, and refusing neither.
func TestAllocations(t *testing.T) {
	c, s := pair(t)
	forged := seal(t, NewClient(12, [][]byte{keyB}), request(1, 1))
	r := request(2, MaxServices)
	got, ticket, _ := s.Open(time.Second, seal(t, c, r))
	a := reply(&got)
	for name, f := range map[string]func(){
		"seal a request":   func() { r.ID++; _, _ = c.Seal(r) },
		"seal a reply":     func() { _, _ = s.Seal(ticket, time.Second, a) },
		"refuse a request": func() { _, _, _ = s.Open(time.Second, forged) },
		"refuse a reply":   func() { _, _ = c.Open(forged) },
	} {
		if n := testing.AllocsPerRun(100, f); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
