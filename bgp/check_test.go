package bgp

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// good is a configuration without a fault.
func good() SpeakerConfig {
	return SpeakerConfig{
		Name: "EDGE", LocalAS: 64501, RouterID: netip.MustParseAddr("203.0.113.2"),
		Allow: AllowList{netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("2001:db8:100::/48")},
		Neighbors: []Neighbor{
			neighbor("203.0.113.1", 64500), neighbor("2001:db8::1", 64500),
		},
	}
}

func neighbor(addr string, as uint32) Neighbor {
	return Neighbor{
		Address: netip.MustParseAddr(addr), RemoteAS: as,
		HoldTime: 9 * time.Second, Keepalive: 3 * time.Second, ConnectRetry: time.Second,
	}
}

func TestCheckAcceptsGood(t *testing.T) {
	for name, change := range map[string]func(*SpeakerConfig){
		"as it is":               func(*SpeakerConfig) {},
		"no neighbor yet":        func(c *SpeakerConfig) { c.Neighbors = nil },
		"iBGP":                   func(c *SpeakerConfig) { c.Neighbors[0].RemoteAS = c.LocalAS },
		"four-octet AS":          func(c *SpeakerConfig) { c.LocalAS = 4200000001 },
		"shortest timers":        func(c *SpeakerConfig) { c.Neighbors[0].HoldTime, c.Neighbors[0].Keepalive = 3*time.Second, time.Second },
		"multihop":               func(c *SpeakerConfig) { c.Neighbors[0].Multihop = 2 },
		"TTL security":           func(c *SpeakerConfig) { c.Neighbors[0].TTLSecurity = 1 },
		"iBGP with TTL security": func(c *SpeakerConfig) { c.Neighbors[0].RemoteAS, c.Neighbors[0].TTLSecurity = c.LocalAS, 1 },
		"password of 80 octets":  func(c *SpeakerConfig) { c.Neighbors[0].Password = strings.Repeat("x", 80) },
		"graceful restart":       func(c *SpeakerConfig) { c.Neighbors[0].GracefulRestart = 20 * time.Second },
		"link-local neighbor": func(c *SpeakerConfig) {
			c.Neighbors[1].Address = netip.MustParseAddr("fe80::1%eth0")
			c.Neighbors[1].LocalAddress = netip.MustParseAddr("fe80::2")
		},
	} {
		c := good()
		change(&c)
		if err := c.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCheckRefuses(t *testing.T) {
	for _, row := range []struct {
		name, want string
		change     func(*SpeakerConfig)
	}{
		{"BGP_POL_01_NoAllowList", "RFC 8212", func(c *SpeakerConfig) { c.Allow = nil }},
		{"BGP_OPEN_01_HoldTimeZero", "hold_time 0", func(c *SpeakerConfig) { c.Neighbors[0].HoldTime = 0 }},
		{"BGP_OPEN_02_HoldTimeOne", "hold_time 1s", func(c *SpeakerConfig) { c.Neighbors[0].HoldTime = time.Second }},
		{"BGP_OPEN_02_HoldTimeTwo", "hold_time 2s", func(c *SpeakerConfig) { c.Neighbors[0].HoldTime = 2 * time.Second }},
		{"BGP_OPEN_03_KeepaliveOverAThird", "keepalive 4s", func(c *SpeakerConfig) { c.Neighbors[0].Keepalive = 4 * time.Second }},
		{"fraction of a second", "whole seconds", func(c *SpeakerConfig) { c.Neighbors[0].HoldTime = 3500 * time.Millisecond }},
		{"hold time over 16 bits", "65535", func(c *SpeakerConfig) { c.Neighbors[0].HoldTime = 65536 * time.Second }},
		{"no keepalive", "keepalive 0s", func(c *SpeakerConfig) { c.Neighbors[0].Keepalive = 0 }},
		{"no connect retry", "connect_retry", func(c *SpeakerConfig) { c.Neighbors[0].ConnectRetry = 0 }},
		{"local AS 0", "local_as 0", func(c *SpeakerConfig) { c.LocalAS = 0 }},
		{"remote AS 0 accepts anybody", "remote_as 0", func(c *SpeakerConfig) { c.Neighbors[0].RemoteAS = 0 }},
		{"router id missing", "router_id", func(c *SpeakerConfig) { c.RouterID = netip.Addr{} }},
		{"router id 0.0.0.0", "router_id", func(c *SpeakerConfig) { c.RouterID = netip.IPv4Unspecified() }},
		{"router id of IPv6", "router_id", func(c *SpeakerConfig) { c.RouterID = netip.MustParseAddr("2001:db8::1") }},
		{"host bits", "did you mean 198.51.100.0/24", func(c *SpeakerConfig) { c.Allow[0] = netip.MustParsePrefix("198.51.100.7/24") }},
		{"default route", "default route", func(c *SpeakerConfig) { c.Allow[0] = netip.MustParsePrefix("0.0.0.0/0") }},
		{"no prefix", "not a prefix", func(c *SpeakerConfig) { c.Allow[0] = netip.Prefix{} }},
		{"mapped prefix", "not a prefix", func(c *SpeakerConfig) { c.Allow[0] = netip.MustParsePrefix("::ffff:10.0.0.0/120") }},
		{"negative maximum", "max_announcements", func(c *SpeakerConfig) { c.MaxAnnouncements = -1 }},
		{"neighbor twice", "twice", func(c *SpeakerConfig) { c.Neighbors[1] = c.Neighbors[0] }},
		{"neighbor without address", "not the address", func(c *SpeakerConfig) { c.Neighbors[0].Address = netip.Addr{} }},
		{"multicast neighbor", "not the address", func(c *SpeakerConfig) { c.Neighbors[0].Address = netip.MustParseAddr("224.0.0.1") }},
		{"link-local neighbor without interface", "interface", func(c *SpeakerConfig) { c.Neighbors[1].Address = netip.MustParseAddr("fe80::1") }},
		{"link-local neighbor without own address", "local_address", func(c *SpeakerConfig) { c.Neighbors[1].Address = netip.MustParseAddr("fe80::1%eth0") }},
		{"local address of the other family", "local_address", func(c *SpeakerConfig) { c.Neighbors[0].LocalAddress = netip.MustParseAddr("2001:db8::2") }},
		{"multihop and TTL security", "exclude", func(c *SpeakerConfig) { c.Neighbors[0].Multihop, c.Neighbors[0].TTLSecurity = 2, 1 }},
		{"multihop on iBGP", "eBGP", func(c *SpeakerConfig) { c.Neighbors[0].RemoteAS, c.Neighbors[0].Multihop = c.LocalAS, 2 }},
		{"password of 81 octets", "80", func(c *SpeakerConfig) { c.Neighbors[0].Password = strings.Repeat("x", 81) }},
		{"graceful restart over 12 bits", "4095", func(c *SpeakerConfig) { c.Neighbors[0].GracefulRestart = 4096 * time.Second }},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := good()
			row.change(&c)
			err := c.Check()
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Fatalf("got %v, want something about %q", err, row.want)
			}
			if !strings.HasPrefix(err.Error(), "speaker EDGE: ") {
				t.Errorf("%v: does not name the speaker", err)
			}
		})
	}
}

// Everything that is wrong comes in one pass.
func TestCheckReportsAll(t *testing.T) {
	c := good()
	c.LocalAS, c.RouterID, c.Neighbors[0].HoldTime, c.Neighbors[1].RemoteAS = 0, netip.Addr{}, 0, 0
	if n := strings.Count(c.Check().Error(), "\n") + 1; n != 4 {
		t.Errorf("%d lines, want 4:\n%v", n, c.Check())
	}
}

func TestFamilies(t *testing.T) {
	v4, v6 := netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("2001:db8:100::/48")
	n4, n6 := neighbor("203.0.113.1", 64500), neighbor("2001:db8::1", 64500)
	for _, row := range []struct {
		name         string
		allow        AllowList
		neighbors    []Neighbor
		of           Neighbor
		want4, want6 bool
	}{
		{"each over its own", AllowList{v4, v6}, []Neighbor{n4, n6}, n4, true, false},
		{"each over its own, the other one", AllowList{v4, v6}, []Neighbor{n4, n6}, n6, false, true},
		{"both over IPv4 when that is all there is", AllowList{v4, v6}, []Neighbor{n4}, n4, true, true},
		{"both over IPv6 when that is all there is", AllowList{v4, v6}, []Neighbor{n6}, n6, true, true},
		{"only what is allowed", AllowList{v4}, []Neighbor{n4, n6}, n4, true, false},
		{"a session without anything to say", AllowList{v4}, []Neighbor{n4, n6}, n6, false, false},
	} {
		c := SpeakerConfig{Allow: row.allow, Neighbors: row.neighbors}
		if got4, got6 := c.Families(&row.of); got4 != row.want4 || got6 != row.want6 {
			t.Errorf("%s: %v, %v; want %v, %v", row.name, got4, got6, row.want4, row.want6)
		}
	}
}

func TestValidate(t *testing.T) {
	route := func(p, hop string, prepend uint8) Route {
		r := Route{Prefix: netip.MustParsePrefix(p)}
		r.Prepend = prepend
		if hop != "" {
			r.NextHop = netip.MustParseAddr(hop)
		}
		return r
	}
	only4 := func(c *SpeakerConfig) { c.Neighbors = c.Neighbors[:1] }
	only6 := func(c *SpeakerConfig) { c.Neighbors = c.Neighbors[1:] }
	internal := func(c *SpeakerConfig) { c.Neighbors[0].RemoteAS = c.LocalAS }
	same := func(*SpeakerConfig) {}
	for _, row := range []struct {
		name   string
		change func(*SpeakerConfig)
		route  Route
		want   error // nil: may be announced
	}{
		{"allowed", same, route("198.51.100.0/24", "", 0), nil},
		{"allowed, IPv6", same, route("2001:db8:100::/48", "", 0), nil},
		{"BGP_POL_03_AnotherPrefix", same, route("192.0.2.0/24", "", 0), ErrNotAllowed},
		{"BGP_POL_03_MoreSpecific", same, route("198.51.100.0/25", "", 0), ErrNotAllowed},
		{"BGP_POL_03_LessSpecific", same, route("198.51.0.0/16", "", 0), ErrNotAllowed},
		{"BGP_POL_03_DefaultRoute", same, route("0.0.0.0/0", "", 0), ErrNotAllowed},
		{"BGP_POL_03_HostBits", same, route("198.51.100.1/24", "", 0), ErrNotAllowed},
		{"BGP_POL_01_EmptyAllowList", func(c *SpeakerConfig) { c.Allow = nil }, route("198.51.100.0/24", "", 0), ErrNotAllowed},
		{"BGP_UPD_03_ExplicitNextHop", same, route("198.51.100.0/24", "203.0.113.2", 0), nil},
		{"BGP_UPD_03_NextHopOfOtherFamily", same, route("198.51.100.0/24", "2001:db8::2", 0), ErrNextHop},
		{"BGP_UPD_03_NextHopInsidePrefix", same, route("198.51.100.0/24", "198.51.100.10", 0), ErrNextHop},
		{"BGP_UPD_03_NextHopUnspecified", same, route("198.51.100.0/24", "0.0.0.0", 0), ErrNextHop},
		{"BGP_UPD_03_NextHopLoopback", same, route("198.51.100.0/24", "127.0.0.1", 0), ErrNextHop},
		{"BGP_UPD_03_NextHopMulticast", same, route("2001:db8:100::/48", "ff02::1", 0), ErrNextHop},
		{"BGP_UPD_03_NextHopIsTheNeighbor", same, route("198.51.100.0/24", "203.0.113.1", 0), ErrNextHop},
		{"BGP_UPD_03_NextHopLinkLocal", same, route("2001:db8:100::/48", "fe80::1", 0), ErrNextHop},
		{"BGP_UPD_03_NextHopLinkLocalIPv4", same, route("198.51.100.0/24", "169.254.7.1", 0), nil}, // clouds have sessions there
		{"BGP_UPD_03_IPv6OverIPv4NeedsNextHop", only4, route("2001:db8:100::/48", "", 0), ErrNextHop},
		{"BGP_UPD_03_IPv6OverIPv4WithNextHop", only4, route("2001:db8:100::/48", "2001:db8::2", 0), nil},
		{"BGP_UPD_03_IPv4OverIPv6NeedsNextHop", only6, route("198.51.100.0/24", "", 0), ErrNextHop},
		{"prepend", same, route("198.51.100.0/24", "", 16), nil},
		{"too much prepend", same, route("198.51.100.0/24", "", 17), ErrAttribute},
		{"prepend to an iBGP neighbor", internal, route("198.51.100.0/24", "", 1), ErrAttribute},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := good()
			row.change(&c)
			ok, err := c.Validate([]Route{row.route})
			if !errors.Is(err, row.want) || (err == nil) != (row.want == nil) {
				t.Fatalf("got %v, want %v", err, row.want)
			}
			if (len(ok) == 1) != (row.want == nil) {
				t.Fatalf("may be announced: %v", ok)
			}
			if err != nil && !strings.Contains(err.Error(), row.route.Prefix.String()) {
				t.Errorf("%v: does not name the prefix", err)
			}
		})
	}
}

func TestValidateLimits(t *testing.T) {
	c := good()
	a, b := Route{Prefix: c.Allow[0]}, Route{Prefix: c.Allow[1]}
	c.MaxAnnouncements = 1
	ok, err := c.Validate([]Route{a, b})
	if !errors.Is(err, ErrTooMany) || len(ok) != 1 || ok[0].Prefix != a.Prefix {
		t.Errorf("over the maximum: %v, %v", ok, err)
	}
	c.MaxAnnouncements = 0
	if ok, err := c.Validate([]Route{a, b}); err != nil || len(ok) != 2 {
		t.Errorf("no maximum: %v, %v", ok, err)
	}
	if ok, err := c.Validate([]Route{a, b, a}); !errors.Is(err, ErrDuplicate) || len(ok) != 2 {
		t.Errorf("twice: %v, %v", ok, err)
	}
	// What is wrong does not take the place of what is right.
	c.MaxAnnouncements = 1
	foreign := Route{Prefix: netip.MustParsePrefix("192.0.2.0/24")}
	if ok, err := c.Validate([]Route{foreign, a}); !errors.Is(err, ErrNotAllowed) || len(ok) != 1 {
		t.Errorf("a foreign one first: %v, %v", ok, err)
	}
}

// Whatever is asked for: what may be announced is a subset of the allow list, and all that was left out is named.
func TestBGP_POL_04_ExportedIsSubsetOfAllowed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := good()
		c.MaxAnnouncements = rapid.IntRange(0, 3).Draw(t, "max")
		prefix := rapid.Custom(func(t *rapid.T) netip.Prefix {
			switch rapid.IntRange(0, 3).Draw(t, "kind") {
			case 0:
				return c.Allow[0]
			case 1:
				return c.Allow[1]
			case 2:
				return netip.PrefixFrom(c.Allow[0].Addr(), rapid.IntRange(0, 32).Draw(t, "bits"))
			default:
				var a [4]byte
				copy(a[:], rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "address"))
				return netip.PrefixFrom(netip.AddrFrom4(a), rapid.IntRange(0, 32).Draw(t, "bits"))
			}
		})
		var routes []Route
		for _, p := range rapid.SliceOfN(prefix, 0, 6).Draw(t, "prefixes") {
			routes = append(routes, Route{Prefix: p})
		}
		ok, err := c.Validate(routes)
		for _, r := range ok {
			if !slices.Contains(c.Allow, r.Prefix) {
				t.Fatalf("%v may be announced", r.Prefix)
			}
		}
		if c.MaxAnnouncements > 0 && len(ok) > c.MaxAnnouncements {
			t.Fatalf("%d routes, the maximum is %d", len(ok), c.MaxAnnouncements)
		}
		if (len(ok) == len(routes)) != (err == nil) {
			t.Fatalf("%d of %d routes, error %v", len(ok), len(routes), err)
		}
	})
}
