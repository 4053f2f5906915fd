package wire_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"failoverd/vrrp/wire"
)

func TestAppendRefusesWhatCannotBeExpressed(t *testing.T) {
	src, group := netip.MustParseAddr("192.0.2.13"), wire.IPv4.Group()
	src6, group6 := netip.MustParseAddr("fe80::c"), wire.IPv6.Group()
	vip, vip6 := netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("fe80::51")
	for _, tt := range []struct {
		name     string
		src, dst netip.Addr
		change   func(*wire.Advertisement)
		want     string // part of the error; empty: none
	}{
		{"as it should be", src, group, func(*wire.Advertisement) {}, ""},
		{"version 2", src, group, func(a *wire.Advertisement) { a.Version = wire.V2 }, ""},
		{"version 1", src, group, func(a *wire.Advertisement) { a.Version = 1 }, "version 1"},
		{"VRID 0", src, group, func(a *wire.Advertisement) { a.VRID = 0 }, "VRID 0"},
		{"no source", netip.Addr{}, group, func(*wire.Advertisement) {}, "two addresses"},
		{"no destination", src, netip.Addr{}, func(*wire.Advertisement) {}, "two addresses"},
		{"two families", src, group6, func(*wire.Advertisement) {}, "one family"},
		{"interval 0", src, group, func(a *wire.Advertisement) { a.Interval = 0 }, "takes 1 to 4095"},
		{"interval 4096", src, group, func(a *wire.Advertisement) { a.Interval = 4096 }, "takes 1 to 4095"},
		{"half a second in version 2", src, group, func(a *wire.Advertisement) {
			a.Version, a.Interval = wire.V2, 50
		}, "whole seconds"},
		{"256 s in version 2", src, group, func(a *wire.Advertisement) {
			a.Version, a.Interval = wire.V2, 25600
		}, "1 to 255"},
		{"no address", src, group, func(a *wire.Advertisement) { a.Addresses = nil }, ""},
		{"256 addresses", src, group, func(a *wire.Advertisement) {
			a.Addresses = make([]netip.Addr, 256)
		}, "256 addresses"},
		{"IPv6 address over IPv4", src, group, func(a *wire.Advertisement) {
			a.Addresses = []netip.Addr{vip, vip6}
		}, "fe80::51"},
		{"IPv4 address over IPv6", src6, group6, func(*wire.Advertisement) {}, "192.0.2.10"},
		{"no such address", src, group, func(a *wire.Advertisement) {
			a.Addresses = []netip.Addr{{}}
		}, "invalid IP"},
		{"version 2 over IPv6", src6, group6, func(a *wire.Advertisement) {
			a.Version, a.Addresses = wire.V2, []netip.Addr{vip6}
		}, "IPv4 only"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := wire.Advertisement{
				Version: wire.V3, VRID: 51, Priority: 100, Interval: 100, Addresses: []netip.Addr{vip},
			}
			tt.change(&a)
			b, err := a.Append([]byte{1}, tt.src, tt.dst, wire.ChecksumPseudo)
			switch {
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("error %v, want one with %q", err, tt.want)
			case err != nil && len(b) != 1:
				t.Errorf("%d octets left behind", len(b))
			}
		})
	}
}

// A link-local source is the same node whichever way the socket spelled its zone.
func TestParseDropsZones(t *testing.T) {
	s := benchmarkAdverts()["v3-ip6"]
	b, err := s.Append(nil, s.header.Src, s.header.Dst, s.form)
	if err != nil {
		t.Fatal(err)
	}
	h := wire.Header{Src: s.header.Src.WithZone("eth0"), Dst: s.header.Dst.WithZone("eth0"), TTL: wire.TTL}
	var p wire.Packet
	if why := wire.Parse(b, h, &p); why != wire.Accepted || p.Header != s.header {
		t.Errorf("%v, header %+v", why, p.Header)
	}
}

// A unicast advert may reach another link, where a link-local address means nothing.
func TestParseWantsALinkLocalAddressByMulticastOnly(t *testing.T) {
	a := wire.Advertisement{
		Version: wire.V3, VRID: 55, Priority: 100, Interval: 100, Addresses: []netip.Addr{netip.MustParseAddr("2001:db8::10")},
	}
	for _, tt := range []struct {
		src, dst string
		want     wire.DropReason
	}{
		{"2001:db8:51::13", "2001:db8:51::11", wire.Accepted},
		{"fe80::c", "ff02::12", wire.DropFirstNotLinkLocal},
	} {
		h := wire.Header{Src: netip.MustParseAddr(tt.src), Dst: netip.MustParseAddr(tt.dst), TTL: wire.TTL}
		b, err := a.Append(nil, h.Src, h.Dst, wire.ChecksumPseudo)
		if err != nil {
			t.Fatal(err)
		}
		var p wire.Packet
		if why := wire.Parse(b, h, &p); why != tt.want {
			t.Errorf("%s to %s: %v, want %v", tt.src, tt.dst, why, tt.want)
		}
	}
}

func TestAuthDataFor(t *testing.T) {
	for _, tt := range []struct{ password, want string }{
		{"", "\x00\x00\x00\x00\x00\x00\x00\x00"},
		{"s3cret", "s3cret\x00\x00"},
		{"12345678", "12345678"},
		{"123456789", "12345678"},
	} {
		if got := wire.AuthDataFor(tt.password); string(got[:]) != tt.want {
			t.Errorf("%q gives %q, want %q", tt.password, got, tt.want)
		}
	}
}

func TestDropReasonsHaveNamesOfTheirOwn(t *testing.T) {
	seen := make(map[string]wire.DropReason)
	var c wire.DropCounters
	for r := range wire.DropReason(wire.NumDropReasons) {
		c[r] = uint64(r) + 1
		name := r.String()
		if other, ok := seen[name]; ok || name == "" {
			t.Errorf("reasons %d and %d are both called %q", r, other, name)
		}
		seen[name] = r
	}
	m := c.Map()
	if len(m) != wire.NumDropReasons-1 {
		t.Errorf("%d counters, want every reason but accepted", len(m))
	}
	for name, n := range m {
		if n != uint64(seen[name])+1 {
			t.Errorf("%s counted %d", name, n)
		}
	}
	c[wire.DropTTL] = 0
	if _, ok := c.Map()["ttl"]; ok {
		t.Error("a counter of zero is listed")
	}
	defer func() {
		if recover() == nil {
			t.Error("no panic for a reason that does not exist")
		}
	}()
	_ = wire.DropReason(wire.NumDropReasons).String()
}

func TestFamiliesAndUnits(t *testing.T) {
	for _, tt := range []struct {
		f           wire.Family
		name, group string
		length      int
	}{
		{wire.IPv4, "IPv4", "224.0.0.18", 4},
		{wire.IPv6, "IPv6", "ff02::12", 16},
	} {
		if tt.f.String() != tt.name || tt.f.Group().String() != tt.group || tt.f.AddrLen() != tt.length ||
			wire.FamilyOf(tt.f.Group()) != tt.f {
			t.Errorf("%v: group %v, length %d", tt.f, tt.f.Group(), tt.f.AddrLen())
		}
	}
	if d := wire.MaxIntervalV3.Duration(); d != 40950*time.Millisecond {
		t.Errorf("4095 cs are %v", d)
	}
	for f, want := range map[wire.ChecksumForm]string{
		wire.ChecksumPseudo: "pseudo-header", wire.ChecksumMessage: "message-only",
		wire.ChecksumPseudoGroup: "pseudo-header-group",
	} {
		if f.String() != want {
			t.Errorf("form %d is called %q, want %q", uint8(f), f, want)
		}
	}
}

// The rules on the IP header, beyond those that vectors show.
func TestParseHeaderRules(t *testing.T) {
	a := benchmarkAdverts()["v3"].Advertisement
	b, err := a.Append(nil, netip.MustParseAddr("192.0.2.13"), wire.IPv4.Group(), wire.ChecksumMessage)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		src, dst string // empty: the zero address
		ttl      uint8
		want     wire.DropReason
	}{
		{"192.0.2.13", "224.0.0.18", 255, wire.Accepted},
		{"192.0.2.13", "192.0.2.11", 1, wire.Accepted}, // the limits of unicast are those of the peer
		{"192.0.2.13", "255.255.255.255", 255, wire.DropDestination},
		{"192.0.2.13", "224.0.0.5", 1, wire.DropDestination}, // the first rung counts
		{"192.0.2.13", "ff02::12", 255, wire.DropSource},
		{"255.255.255.255", "192.0.2.11", 255, wire.DropSource},
		{"224.0.0.1", "192.0.2.11", 255, wire.DropSource},
		{"0.0.0.0", "192.0.2.11", 255, wire.DropSource},
		{"::", "ff02::12", 255, wire.DropSource},
		{"::", "2001:db8::1", 255, wire.DropSource},
		{"ff02::1", "2001:db8::1", 255, wire.DropSource},
		{"fe80::1", "ff02::1", 255, wire.DropDestination},
		{"", "224.0.0.18", 255, wire.DropSource},
		{"192.0.2.13", "", 255, wire.DropSource},
	} {
		h := wire.Header{TTL: tt.ttl}
		if tt.src != "" {
			h.Src = netip.MustParseAddr(tt.src)
		}
		if tt.dst != "" {
			h.Dst = netip.MustParseAddr(tt.dst)
		}
		var p wire.Packet
		if why := wire.Parse(b, h, &p); why != tt.want {
			t.Errorf("%s to %s, TTL %d: %v, want %v", tt.src, tt.dst, tt.ttl, why, tt.want)
		}
	}
}
