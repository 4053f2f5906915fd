package vrrp_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

func TestV3_RX_01_TTLOtherThan255(t *testing.T) {
	refuseVectors(t, wire.DropTTL, "bad-ttl-254", "bad-ttl-1", "bad-ttl-64-msgonly", "bad-ip6-hoplimit-64")
}

func TestV3_RX_02_OtherVersion(t *testing.T) {
	refuseVectors(t, wire.DropVersion, "bad-version-0", "bad-version-1", "bad-version-4", "bad-v2-to-v3-router", "bad-ip6-version2")
}

func TestV3_RX_03_OtherType(t *testing.T) {
	refuseVectors(t, wire.DropType, "bad-type-0", "bad-type-2", "bad-type-15")
}

func TestV3_RX_04_TooShort(t *testing.T) {
	refuseVectors(t, wire.DropShortHeader, "bad-empty", "bad-short-7")
	refuseVectors(t, wire.DropTruncatedAddresses, "bad-header-only-count1", "bad-count2-one-address", "bad-truncated-mid-address")
	v := vectors(t)["v3-ip4-mc-255vip"]
	b, r := v.Payload(t), receiver(t, &v, true)
	for n := range b {
		want := wire.DropTruncatedAddresses
		if n < 8 {
			want = wire.DropShortHeader
		}
		refuse(t, r, v.Header(), b[:n:n], want)
	}
	// What is claimed costs nothing.
	b = b[:8]
	if n := testing.AllocsPerRun(100, func() {
		var p wire.Packet
		wire.Parse(b, v.Header(), &p)
	}); n != 0 {
		t.Errorf("%v allocations for a claim of 255 addresses", n)
	}
}

func TestV3_RX_05_TrailingOctets(t *testing.T) {
	refuseVectors(t, wire.DropTrailing,
		"bad-trailing-1-byte", "bad-trailing-after-checksummed-region", "bad-count1-two-addresses")
}

func TestV3_RX_06_Checksum(t *testing.T) {
	refuseVectors(t, wire.DropChecksum, "bad-checksum-plus-one", "bad-checksum-zero", "bad-checksum-byteswapped",
		"bad-ip6-checksum-msgonly", "bad-ip6-checksum-plus-one")
}

// accept delivers vectors that must be processed, each to a Backup of its own, and returns the routers.
func accept(t *testing.T, names ...string) (rs []*vrrp.Router) {
	t.Helper()
	all := vectors(t)
	for _, name := range names {
		v, ok := all[name]
		if !ok {
			t.Fatalf("no vector %q", name)
		}
		r := receiver(t, &v, false)
		var p wire.Packet
		if why := wire.Parse(v.Payload(t), v.Header(), &p); why != wire.Accepted {
			t.Fatalf("%s: %v", name, why)
		}
		hear(t, r, second, &p)
		rs = append(rs, r)
	}
	return rs
}

func TestV3_RX_07_BothLegalChecksumForms(t *testing.T) {
	rs := accept(t, "v3-ip4-mc-pseudo", "v3-ip4-mc-msgonly", "v3-ip4-uc-pseudo-mcast-dst")
	for i, want := range [][3]uint64{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}} {
		if got := rs[i].ChecksumForms(); got != want {
			t.Errorf("forms counted %v, want %v", got, want)
		}
		if got := rs[i].Heard().Checksum; got != wire.ChecksumForm(slices.Index(want[:], 1)) {
			t.Errorf("the peer's form is %v", got)
		}
	}
	// Both forms from one peer: nothing latches.
	r := rs[0]
	for range 2 {
		for _, name := range []string{"v3-ip4-mc-msgonly", "v3-ip4-mc-pseudo"} {
			v := vectors(t)[name]
			var p wire.Packet
			wire.Parse(v.Payload(t), v.Header(), &p)
			hear(t, r, 2*second, &p)
		}
	}
	if got := r.ChecksumForms(); got != [3]uint64{3, 2, 0} {
		t.Errorf("forms counted %v", got)
	}
}

func TestV3_RX_08_ZeroChecksumAndItsAlias(t *testing.T) {
	accept(t, "v3-ip4-mc-checksum-0000-pseudo", "v3-ip4-mc-checksum-0000-msgonly", "v3-ip4-mc-checksum-ffff-alias-pseudo")
	v := vectors(t)["v3-ip4-mc-checksum-0000-pseudo"]
	r := newRouter(t, config(v.Priority, interval(v.Interval)))
	r.SetSource(v.Src)
	if b := encode(t, r, v.Dst, v.Priority); b[6] != 0 || b[7] != 0 {
		t.Errorf("checksum %x sent, want the computed 0000", b[6:8])
	}
}

// Which interface a packet came by is known to whoever calls Receive; a router itself still minds VRID and family.
func TestV3_RX_09_OtherVirtualRouter(t *testing.T) {
	refuseVectors(t, wire.DropVRID, "bad-vrid-zero", "bad-vrid-other")
	r := backup(t, config(100))
	six := backup(t, config(100, ipv6))
	p := packet(t, six, higher6, 200, 100)
	before := r.Deadline()
	if e, why := r.Receive(second, p); why != wire.DropVRID || e.Changed() || r.Deadline() != before {
		t.Errorf("an IPv6 advert of the same VRID: %v", why)
	}
}

func TestV3_RX_10_IntervalZero(t *testing.T) {
	refuseVectors(t, wire.DropIntervalZero, "bad-interval-zero", "bad-interval-zero-reserved-set", "bad-ip6-interval-zero")
}

func TestV3_RX_11_ReserveNibbleIsMasked(t *testing.T) {
	accept(t, "v3-ip4-mc-reserved-f-pseudo", "v3-ip4-mc-reserved-8-msgonly", "v3-ip6-mc-reserved-a")
	v := vectors(t)["v3-ip4-mc-reserved-f-pseudo"]
	r := backup(t, config(50))
	var p wire.Packet
	wire.Parse(v.Payload(t), v.Header(), &p)
	hear(t, r, second, &p)
	if r.LearnedInterval() != 100 || r.Heard().Interval != 100 {
		t.Errorf("interval %d adopted, want 100", r.LearnedInterval())
	}
}

func TestV3_RX_12_CountZero(t *testing.T) {
	refuseVectors(t, wire.DropCountZero, "bad-count-zero", "bad-ip6-count-zero")
}

func TestV3_RX_13_FirstIPv6AddressGlobal(t *testing.T) {
	refuseVectors(t, wire.DropFirstNotLinkLocal, "bad-ip6-first-not-linklocal", "bad-ip6-global-only")
}

func TestV3_RX_14_AddressesOfOtherFamily(t *testing.T) {
	refuseVectors(t, wire.DropTruncatedAddresses, "bad-ip6-ipv4-addresses-inside")
	refuseVectors(t, wire.DropTrailing, "bad-ip4-ipv6-address-inside")
}

func TestV3_RX_15_OtherAddressListIsProcessedAndCounted(t *testing.T) {
	for _, r := range accept(t, "v3-ip4-mc-2vip-list-differs", "checksum-blind-word-swap", "v3-ip4-mc-255vip", "v3-ip6-mc-linklocal-only") {
		if r.ListMismatches() != 1 || r.Received() != 1 {
			t.Errorf("%d of %d adverts counted for their list", r.ListMismatches(), r.Received())
		}
	}
	l := []netip.Addr{vip[0], addr("192.0.2.20"), addr("192.0.2.30"), addr("192.0.2.30")}
	for _, tt := range []struct {
		name string
		list []netip.Addr
		want uint64
	}{
		{"same", l, 0},
		{"other order", []netip.Addr{l[2], l[0], l[3], l[1]}, 0},
		{"one missing", l[:3], 1},
		{"one more", append(l[:4:4], addr("192.0.2.40")), 1},
		{"one other", []netip.Addr{l[0], l[1], l[2], addr("192.0.2.31")}, 1},
		{"another one twice", []netip.Addr{l[0], l[1], l[1], l[2]}, 1},
		{"one three times", []netip.Addr{l[0], l[2], l[2], l[2]}, 1},
	} {
		r := backup(t, config(100, func(c *vrrp.Config) { c.Addresses = l }))
		p := packet(t, r, higher, 200, 300)
		p.Addresses = tt.list
		hear(t, r, second, p)
		if r.ListMismatches() != tt.want || r.LearnedInterval() != 300 {
			t.Errorf("%s: %d mismatches, want %d; interval %d", tt.name, r.ListMismatches(), tt.want, r.LearnedInterval())
		}
	}
}

func TestV3_RX_16_OtherIntervalIsAdopted(t *testing.T) {
	accept(t, "v3-ip4-mc-interval-differs")
	r := backup(t, config(100))
	hear(t, r, second, packet(t, r, higher, 200, 300))
	if r.LearnedInterval() != 300 {
		t.Errorf("interval %d, want 300", r.LearnedInterval())
	}
	due(t, r, second.Add(r.ActiveDownInterval()))
}

func TestV3_RX_17_OwnSource(t *testing.T) {
	refuseVectors(t, wire.DropOwnSource, "bad-own-packet-looped")
	r, now := active(t, config(100))
	for _, priority := range []uint8{0, 1, 100, 255} {
		before := r.WithoutDrops()
		e, why := r.Receive(now, packet(t, r, own, priority, 100))
		if why != wire.DropOwnSource || e.Advert || e.Changed() || e.Rival || r.Deadline() != before.Deadline() {
			t.Errorf("priority %d from ourselves: %v, %+v", priority, why, e)
		}
	}
}

func TestV3_RX_20_SourceNotUnicast(t *testing.T) {
	refuseVectors(t, wire.DropSource, "bad-src-zero", "bad-src-multicast")
}

func TestV3_RX_21_IPv6GlobalSource(t *testing.T) {
	refuseVectors(t, wire.DropSource, "bad-ip6-src-not-linklocal")
}

func TestV3_RX_24_UnicastAndMulticastModes(t *testing.T) {
	refuseVectors(t, wire.DropNotPeer, "v3-ip4-uc-unknown-peer")
	refuseVectors(t, wire.DropExpectedUnicast, "v3-ip4-uc-but-multicast-dst")
	refuseVectors(t, wire.DropDestination, "bad-dst-broadcast")
	accept(t, "v3-ip4-uc-pseudo-real-dst", "v3-ip4-uc-msgonly", "v3-ip4-uc-ttl-61", "v3-ip6-uc")

	peer := vrrp.Peer{Address: higher, MinTTL: 250, MaxTTL: 254}
	watchers := func(c *vrrp.Config) { c.Watchers = []vrrp.Peer{peer} }
	anySource := func(c *vrrp.Config) { c.AnySource = true }
	other := addr("192.0.2.77")
	for _, tt := range []struct {
		name     string
		c        vrrp.Config
		src, dst netip.Addr
		ttl      uint8
		want     wire.DropReason
	}{
		{"unicast to a multicast router", config(100), higher, own, 255, wire.DropDestination},
		{"multicast to a unicast router", config(100, unicast(peer)), higher, wire.IPv4.Group(), 255, wire.DropExpectedUnicast},
		{"peer", config(100, unicast(peer)), higher, own, 254, wire.Accepted},
		{"peer, TTL too low", config(100, unicast(peer)), higher, own, 249, wire.DropTTL},
		{"peer, TTL too high", config(100, unicast(peer)), higher, own, 255, wire.DropTTL},
		{"peer, to an address that we do not send from", config(100, unicast(peer)), higher, addr("192.0.2.255"), 254, wire.DropDestination},
		{"stranger", config(100, unicast(peer)), other, own, 254, wire.DropNotPeer},
		{"stranger, any source allowed", config(100, unicast(peer), anySource), other, own, 3, wire.Accepted},
		{"peer, any source allowed", config(100, unicast(peer), anySource), higher, own, 3, wire.DropTTL},
		{"watcher to a multicast router", config(100, watchers), higher, own, 254, wire.Accepted},
		{"watcher, TTL too low", config(100, watchers), higher, own, 3, wire.DropTTL},
		{"stranger to a router with watchers", config(100, watchers), other, own, 254, wire.DropNotPeer},
		{"multicast to a router with watchers", config(100, watchers), other, wire.IPv4.Group(), 255, wire.Accepted},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := backup(t, tt.c)
			a := wire.Advertisement{Version: wire.V3, VRID: 51, Priority: 200, Interval: 300, Addresses: vip}
			p := parse(t, &a, wire.Header{Src: tt.src, Dst: tt.dst, TTL: tt.ttl})
			before := r.Deadline()
			if _, why := r.Receive(second, p); why != tt.want {
				t.Errorf("%v, want %v", why, tt.want)
			}
			if moved := r.Deadline() != before; moved != (tt.want == wire.Accepted) {
				t.Errorf("timer moved: %v", moved)
			}
		})
	}
}

// A link-local peer is written with its zone; packets carry none.
func TestUnicastPeerWithZone(t *testing.T) {
	r := backup(t, config(100, ipv6, unicast(vrrp.Peer{Address: higher6.WithZone("eth0")})))
	r.SetSource(own6.WithZone("eth0"))
	hear(t, r, second, packet(t, r, higher6, 200, 100))
}

func TestReceiveBeforeStartup(t *testing.T) {
	r := newRouter(t, config(100))
	if _, why := r.Receive(0, packet(t, r, higher, 200, 100)); why != wire.DropNotRunning || r.State() != vrrp.Initialize {
		t.Errorf("%v", why)
	}
	r.Startup(0)
	r.Shutdown(second)
	if _, why := r.Receive(second, packet(t, r, higher, 200, 100)); why != wire.DropNotRunning || r.Deadline() != vrrp.Never {
		t.Errorf("%v", why)
	}
}

// A stream of refused packets does not disturb the timer (V3-RX-22, the part that needs no wire).
func TestRefusedPacketsDoNotPutTheTakeoverOff(t *testing.T) {
	r := backup(t, config(100))
	want := r.Deadline()
	v := vectors(t)["bad-own-packet-looped"]
	for now := vrrp.Instant(0); now < want; now += after(10 * time.Millisecond) {
		var p wire.Packet
		wire.Parse(v.Payload(t), v.Header(), &p)
		if _, why := r.Receive(now, &p); why != wire.DropOwnSource {
			t.Fatal(why)
		}
	}
	if e := r.Expire(want); e.To != vrrp.Active {
		t.Errorf("%+v", e)
	}
}
