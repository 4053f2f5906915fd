package link

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/mdlayher/arp"
	"github.com/mdlayher/ndp"
	"golang.org/x/sys/unix"
)

const foreignMAC = "02:00:00:00:00:99"

func announcer(t *testing.T, n namespace, iface string) *Announcer {
	t.Helper()
	var a *Announcer
	n.do(t, func() (err error) {
		a, err = OpenAnnouncer(iface)
		return err
	})
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return a
}

// announce adds addr to A and announces it at once.
func announce(t *testing.T, lab *lab, a *Announcer, addr netip.Addr) {
	t.Helper()
	switch {
	case addr.Is4():
		lab.a.ip(t, "addr add "+addr.String()+"/32 dev "+ifA)
	default:
		lab.a.ip(t, "addr add "+addr.String()+"/128 dev "+ifA+" nodad")
	}
	lab.a.do(t, func() error { return a.Announce(addr) })
}

// nextARP waits for an ARP packet from A.
func (tp *tap) nextARP() (*frame, *arp.Packet) {
	tp.t.Helper()
	f := tp.next(macA, func(f *frame) bool { return f.etherType == unix.ETH_P_ARP })
	var p arp.Packet
	if err := p.UnmarshalBinary(f.payload); err != nil {
		tp.t.Fatal(err)
	}
	return f, &p
}

// nextNA waits for a neighbor advertisement from A.
func (tp *tap) nextNA() (*frame, *ndp.NeighborAdvertisement) {
	tp.t.Helper()
	f := tp.next(macA, func(f *frame) bool {
		return f.proto == unix.IPPROTO_ICMPV6 && f.from.Is6() && f.body[0] == 136
	})
	m, err := ndp.ParseMessage(f.body)
	if err != nil {
		tp.t.Fatal(err)
	}
	return f, m.(*ndp.NeighborAdvertisement)
}

var (
	vips4 = []netip.Addr{netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("192.0.2.11"), netip.MustParseAddr("198.51.100.9")}
	vips6 = []netip.Addr{netip.MustParseAddr("fe80::51"), netip.MustParseAddr("2001:db8::51"), netip.MustParseAddr("2001:db8:1::9")}
)

// Without a virtual router MAC address the announcement speaks for the MAC address of the interface.
func TestV3_ND_01_OneBroadcastPerAddress(t *testing.T) {
	lab := newLab(t)
	wiretap := newTap(t, lab.b, ifB)
	a := announcer(t, lab.a, ifA)
	for _, vip := range vips4 {
		announce(t, lab, a, vip)
		f, p := wiretap.nextARP()
		if f.dst != broadcastMAC || f.src != macA {
			t.Errorf("frame %v > %v, want %v > broadcast", f.src, f.dst, macA)
		}
		if p.SenderIP != vip || p.TargetIP != vip || p.SenderHardwareAddr.String() != macA.String() {
			t.Errorf("sender %v at %v, target %v; want %v at %v", p.SenderIP, p.SenderHardwareAddr, p.TargetIP, vip, macA)
		}
	}
}

func TestV3_ND_02_GratuitousARPIsARequest(t *testing.T) {
	lab := newLab(t)
	wiretap := newTap(t, lab.b, ifB)
	announce(t, lab, announcer(t, lab.a, ifA), vips4[0])
	_, got := wiretap.nextARP()
	want := &arp.Packet{
		HardwareType: 1, ProtocolType: unix.ETH_P_IP, HardwareAddrLength: 6, IPLength: 4,
		Operation:          arp.OperationRequest,
		SenderHardwareAddr: macA[:], SenderIP: vips4[0],
		TargetHardwareAddr: broadcastMAC[:], TargetIP: vips4[0],
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestV3_ND_03_UnsolicitedNeighborAdvertisement(t *testing.T) {
	for _, router := range []bool{true, false} {
		name, value := "host", "0"
		if router {
			name, value = "router", "1"
		}
		t.Run(name, func(t *testing.T) {
			lab := newLab(t)
			lab.a.sysctl(t, "ipv6/conf/"+ifA+"/forwarding", value)
			wiretap := newTap(t, lab.b, ifB)
			a := announcer(t, lab.a, ifA)
			for _, vip := range vips6 {
				announce(t, lab, a, vip)
				f, got := wiretap.nextNA()
				if f.from != vip || f.to != allNodes || f.ttl != 255 || f.dst != (mac{0x33, 0x33, 0, 0, 0, 1}) {
					t.Errorf("%v > %v at %v, hop limit %d; want %v > ff02::1, 255", f.from, f.to, f.dst, f.ttl, vip)
				}
				if sum := internetChecksum(pseudoHeader(f), f.body); sum != 0 {
					t.Errorf("checksum off by %#04x", sum)
				}
				want := &ndp.NeighborAdvertisement{
					Router: router, Override: true, TargetAddress: vip,
					Options: []ndp.Option{&ndp.LinkLayerAddress{Direction: ndp.Target, Addr: macA[:]}},
				}
				if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestNeighborAdvertisementForAnAddressThatIsElsewhere(t *testing.T) {
	lab := newLab(t)
	wiretap := newTap(t, lab.b, ifB)
	a := announcer(t, lab.a, ifA)
	vip := vips6[1]
	lab.a.do(t, func() error { return a.Announce(vip) }) // never added to A
	f, got := wiretap.nextNA()
	if got.TargetAddress != vip || f.from != localA {
		t.Errorf("target %v from %v, want %v from %v", got.TargetAddress, f.from, vip, localA)
	}
	if sum := internetChecksum(pseudoHeader(f), f.body); sum != 0 {
		t.Errorf("checksum off by %#04x", sum)
	}
}

func TestV3_ND_04_ExistingEntryMoves(t *testing.T) {
	for _, vip := range []netip.Addr{vips4[0], vips6[0], vips6[1]} {
		t.Run(vip.String(), func(t *testing.T) {
			lab := newLab(t)
			lab.a.sysctl(t, "ipv6/conf/"+ifA+"/forwarding", "1")
			wiretap := newTap(t, lab.b, ifB)
			a := announcer(t, lab.a, ifA)
			lab.b.ip(t, "neigh replace "+vip.String()+" lladdr "+foreignMAC+" dev "+ifB+" nud reachable")
			announce(t, lab, a, vip)
			wiretap.settle(vip)
			got := lab.b.ip(t, "neigh show "+vip.String()+" dev "+ifB)
			if !strings.Contains(got, "lladdr "+macA.String()) {
				t.Errorf("entry %q, want %v", got, macA)
			}
			if vip.Is6() && !strings.Contains(got, "router") {
				t.Errorf("entry %q has lost its router flag", got)
			}
		})
	}
}

func TestV3_ND_05_NoEntryIsCreated(t *testing.T) {
	for _, vip := range []netip.Addr{vips4[0], vips6[0], vips6[1]} {
		t.Run(vip.String(), func(t *testing.T) {
			lab := newLab(t)
			wiretap := newTap(t, lab.b, ifB)
			announce(t, lab, announcer(t, lab.a, ifA), vip)
			wiretap.settle(vip)
			if got := lab.b.ip(t, "neigh show "+vip.String()+" dev "+ifB); strings.Contains(got, "lladdr") {
				t.Errorf("an entry was created: %q", got)
			}
		})
	}
}

// settle waits until B has seen the announcement of vip. The kernel shows a frame to packet sockets and to the protocol
// in one go, so the neighbour table is then at most a moment behind; ip(8) takes longer to start.
func (tp *tap) settle(vip netip.Addr) {
	tp.t.Helper()
	if vip.Is4() {
		tp.nextARP()
	} else {
		tp.nextNA()
	}
}

func TestAnnounceFollowsTheMACAddress(t *testing.T) {
	lab := newLab(t)
	wiretap := newTap(t, lab.b, ifB)
	a := announcer(t, lab.a, ifA)
	announce(t, lab, a, vips4[0])
	wiretap.nextARP()
	next := mac{2, 0, 0, 0, 0, 0x1a}
	lab.a.ip(t, "link set "+ifA+" address "+next.String())
	lab.a.do(t, func() error { return a.Announce(vips4[0]) })
	f := wiretap.next(next, func(f *frame) bool { return f.etherType == unix.ETH_P_ARP })
	if got := net.HardwareAddr(f.payload[8:14]).String(); got != next.String() {
		t.Errorf("sender address %v, want %v", got, next)
	}
}

func TestAnnounceWithoutNeighbours(t *testing.T) {
	lab := newLab(t)
	wiretap := newTap(t, lab.b, ifB)
	lab.a.ip(t, "link set "+ifA+" arp off")
	for _, iface := range []string{"lo", ifA} {
		a := announcer(t, lab.a, iface)
		for _, addr := range []netip.Addr{vips4[0], vips6[1]} {
			lab.a.do(t, func() error { return a.Announce(addr) })
		}
	}
	lab.a.ip(t, "link set "+ifA+" arp on")
	announce(t, lab, announcer(t, lab.a, ifA), vips4[1])
	if _, p := wiretap.nextARP(); p.SenderIP != vips4[1] {
		t.Errorf("announced %v on an interface without ARP", p.SenderIP)
	}
}

func TestAnnounceErrors(t *testing.T) {
	lab := newLab(t)
	a := announcer(t, lab.a, ifA)
	for _, addr := range []netip.Addr{
		{},
		netip.IPv4Unspecified(), netip.IPv6Unspecified(), netip.MustParseAddr("224.0.0.18"),
		netip.MustParseAddr("ff02::12"), netip.MustParseAddr("::ffff:192.0.2.1"),
	} {
		if err := a.Announce(addr); err == nil {
			t.Errorf("announced %v", addr)
		}
	}
	check := func(what string, want error) {
		t.Helper()
		for _, addr := range []netip.Addr{vips4[0], vips6[1]} {
			var err error
			lab.a.do(t, func() error { err = a.Announce(addr); return nil })
			if !errors.Is(err, want) {
				t.Errorf("%s: announce %v: %v, want %v", what, addr, err, want)
			}
		}
	}
	lab.a.ip(t, "link set "+ifA+" down")
	check("interface down", unix.ENETDOWN)
	lab.a.ip(t, "link del "+ifA)
	check("interface deleted", ErrNoInterface)
	lab.plug(t)
	check("interface replaced", ErrNoInterface)
	if err := errors.Join(a.Close(), a.Close()); err != nil {
		t.Errorf("close: %v", err)
	}
	check("closed", os.ErrClosed)
}
