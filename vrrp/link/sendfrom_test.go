package link

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"failoverd/vrrp/wire"
)

var (
	virtual4 = mac{0, 0, 0x5e, 0, 1, 51}
	virtual6 = mac{0, 0, 0x5e, 0, 2, 51}
)

func virtualMAC(f wire.Family) mac {
	if f == wire.IPv4 {
		return virtual4
	}
	return virtual6
}

// masked returns the octets of a frame without its source, and without what counts or is random: the IPv4
// identification with the checksum that depends on it, and the IPv6 flow label.
func masked(f *frame) []byte {
	b := ethernet(f.dst, mac{}, f.etherType, bytes.Clone(f.payload))
	ip := b[14:]
	if f.etherType == unix.ETH_P_IP {
		clear(ip[4:6])
		clear(ip[10:12])
	} else {
		binary.BigEndian.PutUint32(ip, binary.BigEndian.Uint32(ip)&0xfff00000)
	}
	return b
}

func TestV3_TX_01_FrameFromTheVirtualMACIsThatOfSend(t *testing.T) {
	families(t, func(t *testing.T, fam wire.Family, own, _ netip.Addr) {
		lab := newLab(t)
		wiretap := newTap(t, lab.b, ifB)
		l := sender(t, lab.a, ID{ifA, fam})
		long := advert(t, 51, own, fam.Group())
		long = append(long, make([]byte, 1001)...) // its content does not matter here
		for _, payload := range [][]byte{advert(t, 51, own, fam.Group()), long, advert(t, 52, own, fam.Group())} {
			if err := l.Send(payload, own, fam.Group(), 0); err != nil {
				t.Fatal(err)
			}
			want := wiretap.advert(macA)
			if err := l.SendFrom(virtualMAC(fam), payload, own, fam.Group(), 0); err != nil {
				t.Fatal(err)
			}
			got := wiretap.advert(virtualMAC(fam))
			if !bytes.Equal(masked(got), masked(want)) {
				t.Errorf("\n got % x\nwant % x", masked(got), masked(want))
			}
			if fam == wire.IPv4 && internetChecksum(got.payload[:20]) != 0 {
				t.Errorf("header checksum is wrong: % x", got.payload[:20])
			}
		}
		if got, want := l.Counters(), (Counters{Sent: 6}); got != want {
			t.Errorf("counters %+v, want %+v", got, want)
		}
	})
}

func TestIdentificationOfFramesGrows(t *testing.T) {
	lab := newLab(t)
	wiretap := newTap(t, lab.b, ifB)
	l := sender(t, lab.a, ID{ifA, wire.IPv4})
	payload := advert(t, 51, addrA, wire.IPv4.Group())
	for want := range uint16(3) {
		if err := l.SendFrom(virtual4, payload, addrA, wire.IPv4.Group(), 0); err != nil {
			t.Fatal(err)
		}
		if got := binary.BigEndian.Uint16(wiretap.advert(virtual4).payload[4:]); got != want+1 {
			t.Errorf("identification %d, want %d", got, want+1)
		}
	}
}

// What is sent with another source reaches no socket of this host, and the peer takes it for what Send sends.
func TestFramesAreReceivedByOthersOnly(t *testing.T) {
	families(t, func(t *testing.T, fam wire.Family, own, peer netip.Addr) {
		lab := newLab(t)
		wiretap := newTap(t, lab.b, ifB)
		here, other, there := listen(t, lab.a, ID{ifA, fam}), listen(t, lab.a, ID{ifA, fam}), listen(t, lab.b, ID{ifB, fam})
		if err := here.SendFrom(virtualMAC(fam), advert(t, 51, own, fam.Group()), own, fam.Group(), 0); err != nil {
			t.Fatal(err)
		}
		if p := there.expect(51); p.Src != own || p.Dst != fam.Group() || p.TTL != 255 {
			t.Errorf("received %+v", p.Header)
		}
		wiretap.send(peer, fam.Group(), 255, advert(t, 52, peer, fam.Group()))
		here.expect(52)
		other.expect(52)
	})
}

func TestSendFromFailures(t *testing.T) {
	lab := newLab(t)
	l := sender(t, lab.a, ID{ifA, wire.IPv4})
	group := wire.IPv4.Group()
	payload := advert(t, 51, addrA, group)
	for _, tt := range []struct {
		name     string
		src, dst netip.Addr
		payload  []byte
		want     error
	}{
		{"mixed families", localA, group, payload, errAddress},
		{"no source", netip.Addr{}, group, payload, errAddress},
		{"unicast", addrA, addrB, payload, errNotMulticast},
		{"longer than the MTU", addrA, group, make([]byte, 1481), unix.EMSGSIZE},
	} {
		if err := l.SendFrom(virtual4, tt.payload, tt.src, tt.dst, 0); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	lab.a.ip(t, "link set "+ifA+" down")
	if err := l.SendFrom(virtual4, payload, addrA, group, 0); !errors.Is(err, unix.ENETDOWN) {
		t.Errorf("down: %v, want %v", err, unix.ENETDOWN)
	}
	lab.a.ip(t, "link set "+ifA+" up")
	lab.a.ready(t, ifA)
	if err := l.SendFrom(virtual4, payload, addrA, group, 0); err != nil {
		t.Errorf("up again: %v", err)
	}
	lab.a.ip(t, "link del "+ifA)
	if err := l.SendFrom(virtual4, payload, addrA, group, 0); err == nil {
		t.Error("no error when the interface is gone")
	}
	if got, want := l.Counters(), (Counters{Sent: 1, SendFailed: 6}); got != want {
		t.Errorf("counters %+v, want %+v", got, want)
	}
	l.Close()
	if err := l.SendFrom(virtual4, payload, addrA, group, 0); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after close: %v, want %v", err, os.ErrClosed)
	}
	unicast := sender(t, lab.a, ID{"", wire.IPv4})
	if err := unicast.SendFrom(virtual4, payload, addrA, group, 0); !errors.Is(err, errNoFrames) {
		t.Errorf("unicast link: %v, want %v", err, errNoFrames)
	}
	loopback := sender(t, lab.a, ID{"lo", wire.IPv4})
	if err := loopback.SendFrom(virtual4, payload, addrA, group, 0); !errors.Is(err, errNotEthernet) {
		t.Errorf("loopback: %v, want %v", err, errNotEthernet)
	}
}

func TestSendFromDoesNotAllocate(t *testing.T) {
	families(t, func(t *testing.T, fam wire.Family, own, _ netip.Addr) {
		lab := newLab(t)
		l := sender(t, lab.a, ID{ifA, fam})
		payload := advert(t, 51, own, fam.Group())
		n := testing.AllocsPerRun(200, func() {
			if err := l.SendFrom(virtualMAC(fam), payload, own, fam.Group(), 0); err != nil {
				t.Fatal(err)
			}
		})
		if n != 0 {
			t.Errorf("%v allocations per packet, want 0", n)
		}
	})
}

func TestMulticastMAC(t *testing.T) {
	for _, tt := range []struct {
		group string
		want  mac
	}{
		{"224.0.0.18", groupMAC4},
		{"ff02::12", groupMAC6},
		{"239.129.2.3", mac{0x01, 0x00, 0x5e, 1, 2, 3}}, // 23 bits count
		{"ff15::1234:5678", mac{0x33, 0x33, 0x12, 0x34, 0x56, 0x78}},
	} {
		if got := mac(multicastMAC(netip.MustParseAddr(tt.group))); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.group, got, tt.want)
		}
	}
}

func BenchmarkSendFrom(b *testing.B) {
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
				if err := l.SendFrom(virtualMAC(fam), payload, own, fam.Group(), 0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
