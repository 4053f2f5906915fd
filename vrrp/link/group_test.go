package link

import (
	"net/netip"
	"strings"
	"testing"

	"failoverd/vrrp/wire"
)

var (
	otherGroup4 = netip.MustParseAddr("239.1.2.18")
	otherGroup6 = netip.MustParseAddr("ff02::4:12")
)

func otherGroup(f wire.Family) netip.Addr {
	if f == wire.IPv4 {
		return otherGroup4
	}
	return otherGroup6
}

func TestAnotherGroupIsJoinedAndAcceptedInstead(t *testing.T) {
	families(t, func(t *testing.T, fam wire.Family, own, peer netip.Addr) {
		lab := newLab(t)
		group := otherGroup(fam)
		usual := listen(t, lab.a, ID{ifA, fam})
		l := listenWith(t, lab.a, ID{ifA, fam}, Options{Group: group})
		from := sender(t, lab.b, ID{ifB, fam})
		for vrid, dst := range map[uint8]netip.Addr{51: group, 52: fam.Group()} {
			if err := from.Send(advert(t, vrid, peer, dst), peer, dst, 0); err != nil {
				t.Fatal(err)
			}
		}
		if p := l.expect(51); p.Dst != group || p.Src != peer {
			t.Errorf("received %v > %v", p.Src, p.Dst)
		}
		usual.expect(52)

		// A unicast packet is none to a group, and is accepted as before.
		unicast := own
		if err := from.Send(advert(t, 53, peer, unicast), peer, unicast, 0); err != nil {
			t.Fatal(err)
		}
		l.expect(53)
	})
}

func TestMessageOnlyChecksumOfAnotherGroup(t *testing.T) {
	lab := newLab(t)
	l := listenWith(t, lab.a, ID{ifA, wire.IPv4}, Options{Group: otherGroup4})
	from := sender(t, lab.b, ID{ifB, wire.IPv4})
	ad := wire.Advertisement{Version: wire.V3, VRID: 51, Priority: 1, Interval: 100, Addresses: []netip.Addr{addrB2}}
	b, err := ad.Append(nil, addrB, otherGroup4, wire.ChecksumMessage)
	if err != nil {
		t.Fatal(err)
	}
	if err := from.Send(b, addrB, otherGroup4, 0); err != nil {
		t.Fatal(err)
	}
	if p := l.expect(51); p.Checksum != wire.ChecksumMessage {
		t.Errorf("checksum form %v", p.Checksum)
	}
}

// The rules for multicast hold for the other group: TTL 255, and over IPv6 a link-local first address.
func TestRulesOfAnotherGroup(t *testing.T) {
	lab := newLab(t)
	wiretap := newTap(t, lab.b, ifB)
	four := listenWith(t, lab.a, ID{ifA, wire.IPv4}, Options{Group: otherGroup4})
	six := listenWith(t, lab.a, ID{ifA, wire.IPv6}, Options{Group: otherGroup6})
	toGroup := func(src, dst netip.Addr, ttl uint8, body []byte) {
		typ, p := ipPacket(src, dst, ttl, body)
		wiretap.inject(ethernet(mac(multicastMAC(dst)), macB, typ, p))
	}
	toGroup(addrB, otherGroup4, 254, advert(t, 51, addrB, otherGroup4))
	if got, want := <-four.dropped, wire.DropTTL.String()+" from 192.0.2.2 vrid 51"; got != want {
		t.Errorf("dropped %q, want %q", got, want)
	}
	ad := wire.Advertisement{Version: wire.V3, VRID: 51, Priority: 1, Interval: 100, Addresses: []netip.Addr{globalB}}
	b, err := ad.Append(nil, localB, otherGroup6, wire.ChecksumPseudo)
	if err != nil {
		t.Fatal(err)
	}
	toGroup(localB, otherGroup6, 255, b)
	if got, want := <-six.dropped, wire.DropFirstNotLinkLocal.String()+" from fe80::b vrid 51"; got != want {
		t.Errorf("dropped %q, want %q", got, want)
	}
	toGroup(localB, otherGroup6, 255, advert(t, 52, localB, otherGroup6))
	six.expect(52)
}

func TestImpossibleGroupIsRefused(t *testing.T) {
	for _, tt := range []struct {
		family wire.Family
		group  string
	}{
		{wire.IPv4, "192.0.2.1"}, {wire.IPv4, "ff02::12"}, {wire.IPv6, "224.0.0.18"}, {wire.IPv6, "ff02::12%eth0"},
	} {
		l, err := Open(ID{"lo", tt.family}, Options{Group: netip.MustParseAddr(tt.group)})
		if err == nil {
			l.Close()
			t.Errorf("%v with %s was opened", tt.family, tt.group)
		} else if !strings.Contains(err.Error(), tt.group) {
			t.Errorf("%v with %s: %v", tt.family, tt.group, err)
		}
	}
}
