package record_test

import (
	"net/netip"
	"testing"

	"failoverd/failover"
	"failoverd/failover/record"
	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// What a packet in a batch of its own costs the loop: without a recording, and with one.
func BenchmarkReceive(b *testing.B) {
	for _, recorded := range []bool{false, true} {
		name := map[bool]string{false: "plain", true: "recorded"}[recorded]
		b.Run(name, func(b *testing.B) {
			cfg := parse(b, secretConfig)
			var start *record.Start
			octets := 0
			if recorded {
				start = &record.Start{Random: testRandom(), Sink: func(e record.Entry) bool { octets += e.Len(); return true }}
			}
			c, err := record.New(cfg, 0, start)
			if err != nil {
				b.Fatal(err)
			}
			var fx failover.Effects
			link := failover.LinkID{Interface: "eth0", Family: wire.IPv4}
			c.Step(0, failover.InterfaceChanged{Interface: failover.Interface{Name: "eth0", Index: 2, Up: true, MTU: 1500, Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24")}}}, &fx)
			c.Step(0, failover.LinkChanged{Link: link, Open: true}, &fx)
			c.Flush(0, &fx)
			p := wire.Packet{
				Header: wire.Header{Src: netip.MustParseAddr("192.0.2.7"), Dst: wire.IPv4.Group(), TTL: 255},
				Advertisement: wire.Advertisement{
					Version: wire.V2, VRID: 1, Priority: 150, Interval: 100, AuthType: wire.AuthSimple, AuthData: cfg.Routers[0].VRRP.AuthData,
					Addresses: []netip.Addr{netip.MustParseAddr("198.51.100.1")},
				},
			}
			b.ReportAllocs()
			octets = 0
			now := vrrp.Instant(0)
			for b.Loop() {
				now += 1000
				c.SetWallClock(1_700_000_000_000_000_000 + int64(now))
				c.Receive(now, link, &p, &fx)
				c.Flush(now, &fx)
				fx.Reset()
			}
			b.ReportMetric(float64(octets)/float64(b.N), "octets/op")
		})
	}
}

// What another state of an interface costs.
func BenchmarkStep(b *testing.B) {
	for _, recorded := range []bool{false, true} {
		name := map[bool]string{false: "plain", true: "recorded"}[recorded]
		b.Run(name, func(b *testing.B) {
			cfg := parse(b, secretConfig)
			var start *record.Start
			if recorded {
				start = &record.Start{Random: testRandom(), Sink: func(record.Entry) bool { return true }}
			}
			c, err := record.New(cfg, 0, start)
			if err != nil {
				b.Fatal(err)
			}
			var fx failover.Effects
			b.ReportAllocs()
			now := vrrp.Instant(0)
			for b.Loop() {
				now += 1000
				c.Step(now, failover.TrackerReported{Report: failover.TrackerReport{Tracker: failover.Tracker{Kind: failover.TrackScript, Name: "s"}, OK: true}}, &fx)
				c.Flush(now, &fx)
				fx.Reset()
			}
		})
	}
}
