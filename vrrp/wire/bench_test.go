package wire_test

import (
	"net/netip"
	"testing"

	"failoverd/vrrp/wire"
)

func benchmarkAdverts() map[string]sent {
	v4 := func(n int) (list []netip.Addr) {
		for i := range n {
			list = append(list, netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}))
		}
		return list
	}
	h4 := wire.Header{Src: netip.MustParseAddr("192.0.2.13"), Dst: wire.IPv4.Group(), TTL: wire.TTL}
	h6 := wire.Header{Src: netip.MustParseAddr("fe80::c"), Dst: wire.IPv6.Group(), TTL: wire.TTL}
	advert := func(v wire.Version, list []netip.Addr) wire.Advertisement {
		return wire.Advertisement{Version: v, VRID: 51, Priority: 100, Interval: 100, Addresses: list}
	}
	v6 := []netip.Addr{netip.MustParseAddr("fe80::51"), netip.MustParseAddr("2001:db8:51::10")}
	return map[string]sent{
		"v2": {advert(wire.V2, v4(1)), h4, wire.ChecksumMessage},
		"v3": {advert(wire.V3, v4(1)), h4, wire.ChecksumPseudo},
		// The form that is tried second.
		"v3-message-only": {advert(wire.V3, v4(1)), h4, wire.ChecksumMessage},
		"v3-20-addresses": {advert(wire.V3, v4(20)), h4, wire.ChecksumPseudo},
		"v3-ip6":          {advert(wire.V3, v6), h6, wire.ChecksumPseudo},
	}
}

func BenchmarkAppend(b *testing.B) {
	for name, s := range benchmarkAdverts() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			buf := make([]byte, 0, 2048)
			for b.Loop() {
				if _, err := s.Append(buf, s.header.Src, s.header.Dst, s.form); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	for name, s := range benchmarkAdverts() {
		b.Run(name, func(b *testing.B) {
			msg, err := s.Append(nil, s.header.Src, s.header.Dst, s.form)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			var p wire.Packet
			for b.Loop() {
				if wire.Parse(msg, s.header, &p) != wire.Accepted {
					b.Fatal("refused")
				}
			}
		})
	}
}
