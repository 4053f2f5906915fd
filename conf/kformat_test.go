package conf_test

import (
	"net/netip"
	"testing"

	"failoverd/conf"
	"failoverd/failover"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// drawDevice draws the name of an interface, which may look like anything of the language.
func drawDevice() *rapid.Generator[string] {
	return rapid.SampledFrom([]string{
		"e0", "bond0.100", "lo", "table", "nexthop", "via", "weight", "inet6", "default", "priority", "10.5", "not", "@a", "~SEQ", "a-b_c", "7",
	})
}

// drawAddress draws the address of a host.
func drawAddress(ipv6 bool) *rapid.Generator[netip.Addr] {
	return rapid.Custom(func(t *rapid.T) netip.Addr {
		if ipv6 {
			b := [16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "octets"))
			b[0] = rapid.SampledFrom([]byte{0x20, 0xfd}).Draw(t, "first")
			return netip.AddrFrom16(b)
		}
		b := [4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "octets"))
		b[0] = rapid.ByteRange(1, 223).Draw(t, "first")
		return netip.AddrFrom4(b)
	})
}

// drawNetwork draws a prefix without host bits, of at least so many bits.
func drawNetwork(ipv6 bool, least int) *rapid.Generator[netip.Prefix] {
	return rapid.Custom(func(t *rapid.T) netip.Prefix {
		a := drawAddress(ipv6).Draw(t, "address")
		return netip.PrefixFrom(a, rapid.IntRange(least, a.BitLen()).Draw(t, "length")).Masked()
	})
}

// maybe draws v half of the time, otherwise zero.
func maybe[T any](t *rapid.T, label string, g *rapid.Generator[T]) (v T) {
	if rapid.Bool().Draw(t, "has "+label) {
		v = g.Draw(t, label)
	}
	return v
}

// drawHop draws where packets go: through a gateway, or out of an interface.
func drawHop(t *rapid.T, ipv6 bool) (h failover.NextHop) {
	h.Weight = rapid.IntRange(1, 256).Draw(t, "weight")
	h.Gateway = maybe(t, "via", drawAddress(ipv6))
	h.Interface = drawDevice().Draw(t, "dev")
	h.OnLink = h.Gateway.IsValid() && rapid.Bool().Draw(t, "onlink")
	if h.Gateway.IsValid() && !h.OnLink && rapid.Bool().Draw(t, "no dev") {
		h.Interface = ""
	}
	return h
}

func drawRoute(t *rapid.T) failover.KernelRoute {
	ipv6 := rapid.Bool().Draw(t, "IPv6")
	types := []uint8{1, 2, 5, 6, 7, 8, 9}
	if !ipv6 {
		types = append(types, 3)
	}
	number := func(label string, hi uint32) uint32 { return maybe(t, label, rapid.Uint32Range(1, hi)) }
	r := failover.KernelRoute{
		Type: rapid.SampledFrom(types).Draw(t, "type"), Destination: drawNetwork(ipv6, 0).Draw(t, "destination"),
		Source: maybe(t, "src", drawAddress(ipv6)), Table: rapid.OneOf(rapid.Just(uint32(254)), rapid.Uint32Range(1, 1<<32-1)).Draw(t, "table"),
		Metric: number("metric", 1<<32-1), Protocol: uint8(number("protocol", 255)), MTU: maybe(t, "mtu", rapid.Uint32Range(68, 65520)),
		AdvMSS: number("advmss", 65495), HopLimit: number("hoplimit", 255), InitCwnd: number("initcwnd", 1<<32-1),
		InitRwnd: number("initrwnd", 1<<32-1), Untracked: rapid.Bool().Draw(t, "no_track"),
	}
	r.MTULock = r.MTU != 0 && rapid.Bool().Draw(t, "lock")
	least, most := uint8(0), uint8(254)
	switch r.Type {
	case 1:
		if rapid.Bool().Draw(t, "nexthops") {
			hop := rapid.Custom(func(t *rapid.T) failover.NextHop { return drawHop(t, ipv6) }).Filter(func(h failover.NextHop) bool {
				return h.Gateway.IsValid() || !ipv6
			})
			r.NextHops = rapid.SliceOfNDistinct(hop, 2, 4,
				func(h failover.NextHop) failover.NextHop {
					return failover.NextHop{Gateway: h.Gateway, Interface: h.Interface}
				}).Draw(t, "hops")
			most = 252
			break
		}
		h := drawHop(t, ipv6)
		r.Gateway, r.Interface, r.OnLink = h.Gateway, h.Interface, h.OnLink
		if h.Gateway.IsValid() {
			most = 252
		}
	case 2, 3, 5:
		r.Interface = drawDevice().Draw(t, "dev")
		least = map[uint8]uint8{2: 254, 3: 253}[r.Type]
	}
	if !ipv6 {
		r.Scope = rapid.Uint8Range(least, most).Draw(t, "scope")
		r.TOS = rapid.Byte().Draw(t, "tos") &^ 3
	}
	return r
}

func drawRule(t *rapid.T) failover.KernelRule {
	r := failover.KernelRule{
		IPv6: rapid.Bool().Draw(t, "IPv6"), InInterface: maybe(t, "iif", drawDevice()), OutInterface: maybe(t, "oif", drawDevice()),
		TOS: rapid.Byte().Draw(t, "tos") & 0x1c, Mask: maybe(t, "mask", rapid.Uint32()),
		Action:   rapid.SampledFrom([]uint8{1, 2, 3, 6, 7, 8}).Draw(t, "action"),
		Priority: rapid.Uint32Range(1, 1<<32-2).Draw(t, "priority"), IPProto: maybe(t, "ipproto", rapid.Byte()),
		Untracked: rapid.Bool().Draw(t, "no_track"),
	}
	r.From, r.To = maybe(t, "from", drawNetwork(r.IPv6, 1)), maybe(t, "to", drawNetwork(r.IPv6, 1))
	r.Not = r.From.IsValid() && rapid.Bool().Draw(t, "not")
	r.Mark = rapid.Uint32().Draw(t, "mark") & r.Mask
	switch r.Action {
	case 1:
		r.Table = rapid.Uint32Range(1, 1<<32-1).Draw(t, "table")
		r.SuppressPrefixLength = maybe(t, "suppress", rapid.Uint8Range(1, 33))
	case 2:
		r.Goto = rapid.Uint32Range(r.Priority+1, 1<<32-1).Draw(t, "goto")
	}
	port := rapid.Uint16Range(1, 65534)
	if rapid.Bool().Draw(t, "ports") {
		r.SourcePortFirst = port.Draw(t, "sport")
		r.SourcePortLast = rapid.Uint16Range(r.SourcePortFirst, 65534).Draw(t, "last sport")
		r.DestPortFirst = port.Draw(t, "dport")
		r.DestPortLast = rapid.Uint16Range(r.DestPortFirst, 65534).Draw(t, "last dport")
	}
	if r.HasUID = rapid.Bool().Draw(t, "users"); r.HasUID {
		r.UIDFirst = rapid.Uint32Range(0, 1<<32-2).Draw(t, "user")
		r.UIDLast = rapid.Uint32Range(r.UIDFirst, 1<<32-2).Draw(t, "last user")
	}
	return r
}

// TestFormatIsReadBack: what a configuration writes of a route or rule makes the same one again, on a line of its own
// and between braces.
func TestFormatIsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := conf.Objects{Routes: []failover.KernelRoute{drawRoute(t)}, Rules: []failover.KernelRule{drawRule(t)}}
		route, rule := conf.FormatKernelRoute(want.Routes[0]), conf.FormatKernelRule(want.Rules[0])
		for _, text := range []string{
			"static_routes {\n" + route + "\n}\nstatic_rules {\n" + rule + "\n}\n",
			"virtual_routes { " + route + " }\nvirtual_rules { " + rule + " }\n",
		} {
			got, diags := objects(text, "")
			if diff := cmp.Diff(want, got, netipValues); diff != "" || diags != "" {
				t.Fatalf("%s%s\n-want +got\n%s", text, diags, diff)
			}
		}
	})
}

// FuzzObjects: whatever the words, there is an error with a place or an object, and an object is written as what is read
// back the same.
func FuzzObjects(f *testing.F) {
	for _, s := range []string{
		"src 192.0.2.7 to 10.0.0.0/8 via inet 192.0.2.1 dev e0 onlink scope site table main metric 8 tos 0x20 protocol bird mtu lock 1400 no_track",
		"blackhole add default inet6", "default metric 5 { nexthop via 192.0.2.1 nexthop dev \"table\" weight 256 }", "10.5/16 gateway x or y track_group",
		"default {\nvia a\nnexthop via 10.0.0.1 {\n}\nnexthop", "not from 10.0.0.0/8 fwmark 1/15 uidrange 5-6 goto 9 priority 3 type prohibit",
		"inet6 iif e0 table local sport 1-2 suppress_prefixlength 0", "10.0.0.1/24 dev e0 brd + label e0:1\n2001:db8::1/64 use_vmac track_group G", "'a b' \"\" $X \\",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, entry string) {
		for _, block := range []string{"virtual_routes", "static_routes", "virtual_rules", "static_rules", "static_ipaddress"} {
			text := block + " {\n" + entry + "\n}\n"
			got, diags := conf.ParseObjects(text, "e9")
			for _, d := range diags {
				if d.Pos.File == "" || d.Message == "" {
					t.Fatalf("%q: diagnostic without a place or text: %+v", text, d)
				}
			}
			again := ""
			for _, r := range got.Routes {
				again += "static_routes { " + conf.FormatKernelRoute(r) + " }\n"
			}
			for _, r := range got.Rules {
				again += "static_rules { " + conf.FormatKernelRule(r) + " }\n"
			}
			got.Addresses = nil
			if second, diags := conf.ParseObjects(again, ""); !cmp.Equal(got, second, netipValues) {
				t.Fatalf("%q is written as %q, which says\n%s", text, again, lines(diags))
			}
		}
	})
}
