package link

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"failoverd/vrrp/wire"
)

// checkDrops compares the counters of a link with the wanted ones, by name.
func checkDrops(t *testing.T, l *listener, want map[string]uint64) {
	t.Helper()
	got := l.Drops()
	if diff := cmp.Diff(want, got.Map()); diff != "" {
		t.Errorf("drops (-want +got):\n%s", diff)
	}
}

func TestReceiveDeliversWhatTheIPLayerSaid(t *testing.T) {
	families(t, func(t *testing.T, fam wire.Family, _, peer netip.Addr) {
		lab := newLab(t)
		wiretap := newTap(t, lab.b, ifB)
		l := listen(t, lab.a, ID{ifA, fam})
		wiretap.send(peer, fam.Group(), 255, advert(t, 51, peer, fam.Group()))
		p := l.expect(51)
		if want := (wire.Header{Src: peer, Dst: fam.Group(), TTL: 255}); p.Header != want {
			t.Errorf("header %+v, want %+v", p.Header, want)
		}
		if p.Priority != 100 || p.Interval != 100 || p.Checksum != wire.ChecksumPseudo {
			t.Errorf("got %+v", p)
		}
	})
}

func TestV3_RX_01_TTLOtherThan255(t *testing.T) {
	families(t, func(t *testing.T, fam wire.Family, _, peer netip.Addr) {
		lab := newLab(t)
		wiretap := newTap(t, lab.b, ifB)
		l := listen(t, lab.a, ID{ifA, fam})
		for _, ttl := range []uint8{254, 64, 1} {
			wiretap.send(peer, fam.Group(), ttl, advert(t, 51, peer, fam.Group()))
		}
		wiretap.send(peer, fam.Group(), 255, advert(t, 52, peer, fam.Group()))
		l.expect(52)
		checkDrops(t, l, map[string]uint64{"ttl": 3})
		if got, want := <-l.dropped, "ttl from "+peer.String()+" vrid 51"; got != want {
			t.Errorf("drop %q, want %q", got, want)
		}
	})
}

func TestBadChecksumReachesUsAndIsCounted(t *testing.T) {
	families(t, func(t *testing.T, fam wire.Family, _, peer netip.Addr) {
		lab := newLab(t)
		wiretap := newTap(t, lab.b, ifB)
		l := listen(t, lab.a, ID{ifA, fam})
		bad := advert(t, 51, peer, fam.Group())
		bad[7]++
		wiretap.send(peer, fam.Group(), 255, bad)
		wiretap.send(peer, fam.Group(), 255, advert(t, 52, peer, fam.Group()))
		l.expect(52)
		checkDrops(t, l, map[string]uint64{"checksum": 1})
	})
}

func TestV3_RX_17_OwnSourceAddressFromTheWire(t *testing.T) {
	lab := newLab(t)
	wiretap := newTap(t, lab.b, ifB)
	l := listen(t, lab.a, ID{ifA, wire.IPv6})
	group := wire.IPv6.Group()
	wiretap.send(localA, group, 255, advert(t, 51, localA, group))
	// IPv6 raw sockets show it: dropping it as own_source is the business of vrrp.Router, which needs the address.
	if p := l.expect(51); p.Src != localA {
		t.Errorf("source %v, want our own %v", p.Src, localA)
	}
}

func TestV3_RX_18_OwnSourceAddressIsHiddenByTheKernelOverIPv4(t *testing.T) {
	lab := newLab(t)
	wiretap := newTap(t, lab.b, ifB)
	l := listen(t, lab.a, ID{ifA, wire.IPv4})
	group := wire.IPv4.Group()
	own, peer := advert(t, 51, addrA, group), advert(t, 52, addrB, group)
	wiretap.send(addrA, group, 255, own)
	wiretap.send(addrB, group, 255, peer)
	l.expect(52)
	checkDrops(t, l, map[string]uint64{})

	lab.a.sysctl(t, "ipv4/conf/"+ifA+"/accept_local", "1")
	wiretap.send(addrA, group, 255, own)
	if p := l.expect(51); p.Src != addrA {
		t.Errorf("source %v, want our own %v", p.Src, addrA)
	}
}

func TestV3_RX_19_OtherDestinations(t *testing.T) {
	lab := newLab(t)
	wiretap := newTap(t, lab.b, ifB)
	l := listen(t, lab.a, ID{ifA, wire.IPv4})
	uni := listen(t, lab.a, ID{"", wire.IPv4})
	send := func(dst string, to mac) {
		addr := netip.MustParseAddr(dst)
		typ, p := ipPacket(addrB, addr, 255, advert(t, 51, addrB, addr))
		wiretap.inject(ethernet(to, macB, typ, p))
	}
	send("224.0.0.5", mac{0x01, 0x00, 0x5e, 0, 0, 5})
	send("224.0.0.5", macA)
	send("224.0.0.1", mac{0x01, 0x00, 0x5e, 0, 0, 1}) // every host is a member
	send("255.255.255.255", broadcastMAC)
	send("192.0.2.255", broadcastMAC)
	send("192.0.2.77", macA)                    // another host's address
	send("192.0.2.1", mac{2, 0, 0, 0, 0, 0x77}) // our address, another host's frame
	wiretap.send(addrB, addrA, 255, advert(t, 52, addrB, addrA))
	l.expect(52)
	uni.expect(52)
	checkDrops(t, l, map[string]uint64{"destination": 2})
	checkDrops(t, uni, map[string]uint64{"destination": 2})
}

func TestV3_RX_19_OtherDestinationsIPv6(t *testing.T) {
	lab := newLab(t)
	wiretap := newTap(t, lab.b, ifB)
	l := listen(t, lab.a, ID{ifA, wire.IPv6})
	uni := listen(t, lab.a, ID{"", wire.IPv6})
	send := func(dst string, to mac) {
		addr := netip.MustParseAddr(dst)
		typ, p := ipPacket(localB, addr, 255, advert(t, 51, localB, addr))
		wiretap.inject(ethernet(to, macB, typ, p))
	}
	send("ff02::5", mac{0x33, 0x33, 0, 0, 0, 5})
	send("ff02::1", mac{0x33, 0x33, 0, 0, 0, 1}) // every host is a member
	send("fe80::77", macA)
	wiretap.send(localB, localA, 255, advert(t, 52, localB, localA))
	l.expect(52)
	uni.expect(52)
	checkDrops(t, l, map[string]uint64{"destination": 1}) // ff02::1
	checkDrops(t, uni, map[string]uint64{})
}

func TestUnicastLinkHearsNoMulticast(t *testing.T) {
	families(t, func(t *testing.T, fam wire.Family, own, peer netip.Addr) {
		lab := newLab(t)
		wiretap := newTap(t, lab.b, ifB)
		uni := listen(t, lab.a, ID{"", fam})
		multi := listen(t, lab.a, ID{ifA, fam}) // makes the host a member of the group
		wiretap.send(peer, fam.Group(), 255, advert(t, 51, peer, fam.Group()))
		multi.expect(51)
		wiretap.send(peer, own, 64, advert(t, 52, peer, own))
		p := uni.expect(52)
		if want := (wire.Header{Src: peer, Dst: own, TTL: 64}); p.Header != want {
			t.Errorf("header %+v, want %+v", p.Header, want)
		}
	})
}

func TestLinkLocalPeersOnTheUnicastLink(t *testing.T) {
	lab := newLab(t)
	a, b := listen(t, lab.a, ID{"", wire.IPv6}), listen(t, lab.b, ID{"", wire.IPv6})
	for _, tt := range []struct {
		from, to *listener
		src, dst netip.Addr
		zone     string
	}{
		{a, b, localA, localB, ifA},
		{b, a, localB, localA, ifB},
	} {
		if err := tt.from.Send(advert(t, 51, tt.src, tt.dst), tt.src, tt.dst.WithZone(tt.zone), 0); err != nil {
			t.Fatal(err)
		}
		if p, want := tt.to.expect(51), (wire.Header{Src: tt.src, Dst: tt.dst, TTL: 255}); p.Header != want {
			t.Errorf("header %+v, want %+v", p.Header, want)
		}
	}
}

func TestInterfaceLinkHearsOnlyItsInterface(t *testing.T) {
	families(t, func(t *testing.T, fam wire.Family, _, peer netip.Addr) {
		lab := newLab(t)
		ip(t, "link add fo-vc netns "+string(lab.a)+" type veth peer name fo-vd netns "+string(lab.b))
		lab.a.dress(t, "fo-vc", mac{2, 0, 0, 0, 0, 0x0c}, "198.51.100.1/24", "fe80::c/64")
		lab.b.dress(t, "fo-vd", mac{2, 0, 0, 0, 0, 0x0d}, "198.51.100.2/24", "fe80::d/64")
		lab.a.ready(t, "fo-vc")
		wiretap, other := newTap(t, lab.b, ifB), newTap(t, lab.b, "fo-vd")
		l := listen(t, lab.a, ID{ifA, fam})
		l2 := listen(t, lab.a, ID{"fo-vc", fam})
		src := netip.MustParseAddr("198.51.100.2")
		if fam == wire.IPv6 {
			src = netip.MustParseAddr("fe80::d")
		}
		other.send(src, fam.Group(), 255, advert(t, 61, src, fam.Group()))
		l2.expect(61)
		wiretap.send(peer, fam.Group(), 255, advert(t, 62, peer, fam.Group()))
		l.expect(62)
	})
}

func TestV3_RX_22_GoodAdvertsSurviveAFlood(t *testing.T) {
	const (
		perTick = 100
		tick    = 10 * time.Millisecond // 10 000 packets per second
		ticks   = 200                   // for two seconds
		every   = 5                     // ticks between good adverts
	)
	families(t, func(t *testing.T, fam wire.Family, _, peer netip.Addr) {
		lab := newLab(t)
		wiretap := newTap(t, lab.b, ifB)
		l := listen(t, lab.a, ID{ifA, fam})
		group := fam.Group()
		build := func(ttl uint8, damage func([]byte) []byte) []byte {
			typ, p := ipPacket(peer, group, ttl, damage(advert(t, 51, peer, group)))
			return ethernet(groupMAC(fam), macB, typ, p)
		}
		as := func(b []byte) []byte { return b }
		bad := [][]byte{
			build(254, as),
			build(255, func(b []byte) []byte { b[7]++; return b }),
			build(255, func(b []byte) []byte { b[0] = 0x41; return b }),
			build(255, func(b []byte) []byte { return b[:4] }),
			build(255, func(b []byte) []byte { b[3] = 255; return b }),
		}
		clock := time.NewTicker(tick)
		defer clock.Stop()
		var good []uint8
		for i := range ticks {
			<-clock.C
			for j := range perTick {
				wiretap.inject(bad[j%len(bad)])
			}
			if i%every == 0 {
				good = append(good, uint8(len(good)+1))
				wiretap.send(peer, group, 255, advert(t, good[len(good)-1], peer, group))
			}
		}
		var heard []uint8
		for range good {
			heard = append(heard, l.next().VRID)
		}
		if !slices.Equal(heard, good) {
			t.Errorf("good adverts heard %v, want %v", heard, good)
		}
		// Every packet is accounted for: dropped for its own reason, or thrown away by the kernel and counted.
		drops := l.Drops()
		lost := l.Counters().Overflowed
		for _, r := range []wire.DropReason{
			wire.DropTTL, wire.DropChecksum, wire.DropVersion, wire.DropShortHeader, wire.DropTruncatedAddresses,
		} {
			const sent = ticks * perTick / 5
			if drops[r] > sent || drops[r]+lost < sent*99/100 {
				t.Errorf("%v: %d drops (and %d lost in the kernel) of %d sent", r, drops[r], lost, sent)
			}
		}
	})
}

func TestWhatTheKernelThrowsAwayIsCounted(t *testing.T) {
	families(t, func(t *testing.T, fam wire.Family, _, peer netip.Addr) {
		lab := newLab(t)
		wiretap := newTap(t, lab.b, ifB)
		l := sender(t, lab.a, ID{ifA, fam}) // nobody reads yet
		const sent = 30000
		typ, p := ipPacket(peer, fam.Group(), 255, advert(t, 51, peer, fam.Group()))
		f := ethernet(groupMAC(fam), macB, typ, p)
		for range sent {
			wiretap.inject(f)
		}
		var heard uint64
		last := make(chan struct{})
		go l.Run(func(p *wire.Packet) bool {
			if p.VRID == 51 {
				heard++
			} else {
				close(last)
			}
			return false
		})
		for l.Drops()[wire.DropQueueFull] == 0 {
			time.Sleep(time.Millisecond) // until there is room for one more
		}
		wiretap.send(peer, fam.Group(), 255, advert(t, 52, peer, fam.Group()))
		select {
		case <-last:
		case <-time.After(10 * time.Second):
			t.Fatal("the last packet did not arrive")
		}
		lost := l.Counters().Overflowed
		if lost == 0 || heard+lost < sent*99/100 || heard+lost > sent {
			t.Errorf("%d heard and %d lost of %d", heard, lost, sent)
		}
		if heard < 5000 {
			t.Errorf("the buffer held %d packets, want at least half a second of 10 000 per second", heard)
		}
	})
}

func TestV3_RX_23_EthernetPaddingIsTrimmed(t *testing.T) {
	lab := newLab(t)
	wiretap := newTap(t, lab.b, ifB)
	l := listen(t, lab.a, ID{ifA, wire.IPv4})
	group := wire.IPv4.Group()
	typ, p := ipPacket(addrB, group, 255, advert(t, 51, addrB, group))
	for len(p) < 46 {
		p = append(p, 0xee)
	}
	wiretap.inject(ethernet(groupMAC4, macB, typ, p))
	l.expect(51)
	checkDrops(t, l, map[string]uint64{})
}

func TestV3_RX_25_PriorityTaggedAdvertIsProcessed(t *testing.T) {
	families(t, func(t *testing.T, fam wire.Family, _, peer netip.Addr) {
		lab := newLab(t)
		wiretap := newTap(t, lab.b, ifB)
		l := listen(t, lab.a, ID{ifA, fam})
		const vlan0Priority6, vlan7 = 6 << 13, 6<<13 | 7
		typ, p := ipPacket(peer, fam.Group(), 255, advert(t, 50, peer, fam.Group()))
		wiretap.inject(ethernet(groupMAC(fam), macB, typ, p, vlan7))
		typ, p = ipPacket(peer, fam.Group(), 255, advert(t, 51, peer, fam.Group()))
		wiretap.inject(ethernet(groupMAC(fam), macB, typ, p, vlan0Priority6))
		l.expect(51)
	})
}

func TestOversizedMessageIsRefused(t *testing.T) {
	lab := newLab(t)
	lab.a.ip(t, "link set "+ifA+" mtu 16000")
	lab.b.ip(t, "link set "+ifB+" mtu 16000")
	wiretap := newTap(t, lab.b, ifB)
	l := listen(t, lab.a, ID{ifA, wire.IPv6})
	group := wire.IPv6.Group()
	wiretap.send(localB, group, 255, append(advert(t, 51, localB, group), make([]byte, 9000)...))
	wiretap.send(localB, group, 255, advert(t, 52, localB, group))
	l.expect(52)
	checkDrops(t, l, map[string]uint64{"trailing_bytes": 1})
}
