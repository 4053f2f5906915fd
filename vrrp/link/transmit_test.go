package link

import (
	"bytes"
	"errors"
	"net/netip"
	"os"
	"runtime/debug"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"failoverd/vrrp/wire"
)

// transmit sends one multicast advertisement from A and returns what B saw.
func transmit(t *testing.T, fam wire.Family, own netip.Addr) (payload []byte, seen *frame) {
	t.Helper()
	lab := newLab(t)
	wiretap := newTap(t, lab.b, ifB)
	l := sender(t, lab.a, ID{ifA, fam})
	payload = advert(t, 51, own, fam.Group())
	if err := l.Send(payload, own, fam.Group(), 0); err != nil {
		t.Fatal(err)
	}
	return payload, wiretap.advert(macA)
}

func TestV3_TX_02_DestinationIsTheGroup(t *testing.T) {
	families(t, func(t *testing.T, fam wire.Family, own, _ netip.Addr) {
		payload, f := transmit(t, fam, own)
		if f.to != fam.Group() || f.dst != groupMAC(fam) {
			t.Errorf("sent to %v at %v, want %v at %v", f.to, f.dst, fam.Group(), groupMAC(fam))
		}
		if f.from != own || f.src != macA {
			t.Errorf("sent from %v at %v, want %v at %v", f.from, f.src, own, macA)
		}
		if !bytes.Equal(f.body, payload) {
			t.Errorf("payload on the wire % x, sent % x", f.body, payload)
		}
	})
}

func TestV3_TX_03_TTLIs255(t *testing.T) {
	families(t, func(t *testing.T, fam wire.Family, own, _ netip.Addr) {
		if _, f := transmit(t, fam, own); f.ttl != 255 {
			t.Errorf("TTL %d, want 255", f.ttl)
		}
	})
}

func TestV3_TX_13_IPv6ChecksumCoversThePseudoHeader(t *testing.T) {
	payload, f := transmit(t, wire.IPv6, localA)
	if sum := internetChecksum(pseudoHeader(f), f.body); sum != 0 {
		t.Errorf("checksum on the wire is off by %#04x", sum)
	}
	if !bytes.Equal(f.body[6:8], payload[6:8]) {
		t.Errorf("the kernel changed the checksum from % x to % x", payload[6:8], f.body[6:8])
	}
}

func TestV3_TX_20_OwnMulticastIsNotLoopedBack(t *testing.T) {
	families(t, func(t *testing.T, fam wire.Family, own, peer netip.Addr) {
		lab := newLab(t)
		wiretap := newTap(t, lab.b, ifB)
		other := listen(t, lab.a, ID{ifA, fam})
		l := listen(t, lab.a, ID{ifA, fam})
		if err := l.Send(advert(t, 51, own, fam.Group()), own, fam.Group(), 0); err != nil {
			t.Fatal(err)
		}
		wiretap.advert(macA)
		wiretap.send(peer, fam.Group(), 255, advert(t, 52, peer, fam.Group()))
		l.expect(52)
		other.expect(52)
	})
}

func TestV3_TX_23_DSCPIsCS6(t *testing.T) {
	families(t, func(t *testing.T, fam wire.Family, own, _ netip.Addr) {
		if _, f := transmit(t, fam, own); f.tos != 0xc0 {
			t.Errorf("traffic class %#02x, want 0xc0", f.tos)
		}
	})
}

func TestV3_TX_24_UnicastGoesToEachPeerWithItsOwnChecksum(t *testing.T) {
	for _, tt := range []struct {
		name  string
		own   netip.Addr
		peers []netip.Addr
	}{
		{"IPv4", addrA, []netip.Addr{addrB, addrB2}},
		{"IPv6", globalA, []netip.Addr{globalB, globB2}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			lab := newLab(t)
			wiretap := newTap(t, lab.b, ifB)
			fam := wire.FamilyOf(tt.own)
			l := sender(t, lab.a, ID{"", fam})
			sums := make(map[string]bool)
			for _, peer := range tt.peers {
				if err := l.Send(advert(t, 51, tt.own, peer), tt.own, peer, 0); err != nil {
					t.Fatal(err)
				}
				f := wiretap.advert(macA)
				if f.from != tt.own || f.to != peer || f.ttl != 255 || f.tos != 0xc0 || f.dst != macB {
					t.Errorf("got %v > %v ttl %d tos %#x at %v, want %v > %v ttl 255 tos 0xc0 at %v",
						f.from, f.to, f.ttl, f.tos, f.dst, tt.own, peer, macB)
				}
				if sum := internetChecksum(pseudoHeader(f), f.body); sum != 0 {
					t.Errorf("to %v: checksum off by %#04x", peer, sum)
				}
				sums[string(f.body[6:8])] = true
			}
			if len(sums) != len(tt.peers) {
				t.Errorf("%d different checksums for %d peers", len(sums), len(tt.peers))
			}
		})
	}
}

func TestSendForcesTheSource(t *testing.T) {
	families(t, func(t *testing.T, fam wire.Family, own, _ netip.Addr) {
		lab := newLab(t)
		second, prefix := netip.MustParseAddr("192.0.2.7"), "192.0.2.7/24"
		if fam == wire.IPv6 {
			second, prefix = netip.MustParseAddr("fe80::7"), "fe80::7/64 nodad"
		}
		lab.a.ip(t, "addr add "+prefix+" dev "+ifA)
		wiretap := newTap(t, lab.b, ifB)
		l := sender(t, lab.a, ID{ifA, fam})
		for _, src := range []netip.Addr{own, second, own} {
			if err := l.Send(advert(t, 51, src, fam.Group()), src, fam.Group(), 0); err != nil {
				t.Fatal(err)
			}
			if f := wiretap.advert(macA); f.from != src {
				t.Errorf("sent from %v, want %v", f.from, src)
			}
		}
	})
}

func TestSendUsesTheTTLItIsGiven(t *testing.T) {
	lab := newLab(t)
	wiretap := newTap(t, lab.b, ifB)
	for _, tt := range []struct{ src, dst netip.Addr }{{addrA, addrB}, {globalA, globalB}} {
		l := sender(t, lab.a, ID{"", wire.FamilyOf(tt.src)})
		for _, ttl := range []uint8{64, 255, 1} {
			if err := l.Send(advert(t, 51, tt.src, tt.dst), tt.src, tt.dst, ttl); err != nil {
				t.Fatal(err)
			}
			if f := wiretap.advert(macA); f.ttl != ttl {
				t.Errorf("%v: TTL %d, want %d", tt.src, f.ttl, ttl)
			}
		}
	}
}

func TestSendToLinkLocalPeerNeedsItsZone(t *testing.T) {
	lab := newLab(t)
	wiretap := newTap(t, lab.b, ifB)
	l := sender(t, lab.a, ID{"", wire.IPv6})
	payload := advert(t, 51, localA, localB)
	if err := l.Send(payload, localA, localB, 0); !errors.Is(err, unix.EINVAL) {
		t.Errorf("without a zone: %v, want EINVAL", err)
	}
	if err := l.Send(payload, localA, localB.WithZone("fo-none"), 0); !errors.Is(err, ErrNoInterface) {
		t.Errorf("with an unknown zone: %v, want %v", err, ErrNoInterface)
	}
	if err := l.Send(payload, localA, localB.WithZone(ifA), 0); err != nil {
		t.Fatal(err)
	}
	if f := wiretap.advert(macA); f.from != localA || f.to != localB {
		t.Errorf("sent %v > %v, want %v > %v", f.from, f.to, localA, localB)
	}
}

func TestSendFailuresAreCountedAndHarmless(t *testing.T) {
	lab := newLab(t)
	l := sender(t, lab.a, ID{ifA, wire.IPv4})
	group := wire.IPv4.Group()
	payload := advert(t, 51, addrA, group)
	if err := l.Send(payload, localA, group, 0); !errors.Is(err, errAddress) {
		t.Errorf("mixed families: %v", err)
	}
	if err := l.Send(payload, netip.Addr{}, group, 0); !errors.Is(err, errAddress) {
		t.Errorf("no source: %v", err)
	}
	if err := l.Send(payload, addrB, group, 0); err == nil {
		t.Error("a source that is not on this host was accepted")
	}
	lab.a.ip(t, "link set "+ifA+" down")
	if err := l.Send(payload, addrA, group, 0); err == nil {
		t.Error("sending on an interface that is down succeeded")
	}
	lab.a.ip(t, "link set "+ifA+" up")
	lab.a.ready(t, ifA)
	if err := l.Send(payload, addrA, group, 0); err != nil {
		t.Errorf("after link up: %v", err)
	}
	want := Counters{Sent: 1, SendFailed: 4}
	if got := l.Counters(); got != want {
		t.Errorf("counters %+v, want %+v", got, want)
	}
	l.Close()
	if err := l.Send(payload, addrA, group, 0); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after close: %v, want %v", err, os.ErrClosed)
	}
}

func TestSendDoesNotAllocate(t *testing.T) {
	if raceDetector() {
		t.Skip("SKIPPED, PROVES NOTHING: the race detector makes every sync.Pool forget at random")
	}
	families(t, func(t *testing.T, fam wire.Family, own, _ netip.Addr) {
		lab := newLab(t)
		l := sender(t, lab.a, ID{ifA, fam})
		payload := advert(t, 51, own, fam.Group())
		n := testing.AllocsPerRun(200, func() {
			if err := l.Send(payload, own, fam.Group(), 0); err != nil {
				t.Fatal(err)
			}
		})
		if n != 0 {
			t.Errorf("%v allocations per packet, want 0", n)
		}
	})
}

func raceDetector() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}
