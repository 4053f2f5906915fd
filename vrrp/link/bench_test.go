package link

import (
	"testing"

	"failoverd/vrrp/wire"
)

func BenchmarkSend(b *testing.B) {
	for _, fam := range []wire.Family{wire.IPv4, wire.IPv6} {
		b.Run(fam.String(), func(b *testing.B) {
			lab := newLab(b)
			own := addrA
			if fam == wire.IPv6 {
				own = localA
			}
			l := sender(b, lab.a, ID{ifA, fam})
			payload := advert(b, 51, own, fam.Group())
			b.ReportAllocs()
			for b.Loop() {
				if err := l.Send(payload, own, fam.Group(), 0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkReceive is the cost of one packet of a flood that has queued up: read, parsed, refused and counted.
func BenchmarkReceive(b *testing.B) {
	for _, fam := range []wire.Family{wire.IPv4, wire.IPv6} {
		b.Run(fam.String(), func(b *testing.B) {
			lab := newLab(b)
			peer := addrB
			if fam == wire.IPv6 {
				peer = localB
			}
			in, out := sender(b, lab.a, ID{ifA, fam}), sender(b, lab.b, ID{ifB, fam})
			const queued = 4096 // fits the receive buffer
			payload := advert(b, 51, peer, fam.Group())
			payload[7]++
			b.ReportAllocs()
			b.ResetTimer()
			for n := 0; n < b.N; n += queued {
				b.StopTimer()
				for range queued {
					if err := out.Send(payload, peer, fam.Group(), 0); err != nil {
						b.Fatal(err)
					}
				}
				b.StartTimer()
				var d datagram
				p := new(wire.Packet)
				for range queued {
					if err := in.read(&d); err != nil {
						b.Fatal(err)
					}
					in.take(&d, p, nil)
				}
			}
		})
	}
}
