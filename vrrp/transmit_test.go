package vrrp_test

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// encode returns the octets that r sends to dst at a priority.
func encode(t testing.TB, r *vrrp.Router, dst netip.Addr, priority uint8) []byte {
	t.Helper()
	var a wire.Advertisement
	r.Advertisement(&a, priority)
	b, err := a.Append(nil, r.Source(), dst, r.Config().Checksum)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// refuseConfig demands that New refuses c with an error that says why.
func refuseConfig(t *testing.T, c vrrp.Config, want string) {
	t.Helper()
	if r, err := vrrp.New(c); err == nil || !strings.Contains(err.Error(), want) || r != nil {
		t.Errorf("New: %v, want an error with %q", err, want)
	}
}

func list4(n int) (l []netip.Addr) {
	for i := range n {
		l = append(l, netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)}))
	}
	return l
}

func list6(n int) []netip.Addr {
	l := []netip.Addr{addr("fe80::51")}
	for i := 1; i < n; i++ {
		l = append(l, netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 14: byte(i >> 8), 15: byte(i)}))
	}
	return l
}

func TestV3_TX_04_NoSourceNoElection(t *testing.T) {
	for _, priority := range []uint8{100, wire.PriorityOwner} {
		r, err := vrrp.New(config(priority))
		if err != nil {
			t.Fatal(err)
		}
		stays(t, r, r.Startup(0), vrrp.Initialize)
		due(t, r, vrrp.Never)
		stays(t, r, r.Expire(100*second), vrrp.Initialize)
		r.SetSource(own)
		if e := r.Startup(second); e.To == vrrp.Initialize {
			t.Errorf("priority %d: with a source it still does not start", priority)
		}
		if r.Source() != own || slices.Contains(r.Config().Addresses, r.Source()) {
			t.Errorf("sends from %v", r.Source())
		}
	}
}

func TestV3_TX_06_FirstOctetAndProtocol(t *testing.T) {
	r := newRouter(t, config(100))
	if b := encode(t, r, wire.IPv4.Group(), 100); b[0] != 0x31 {
		t.Errorf("first octet %#x", b[0])
	}
	if wire.Protocol != 112 || wire.TTL != 255 {
		t.Errorf("protocol %d, TTL %d", wire.Protocol, wire.TTL)
	}
}

func TestV3_TX_07_IntervalField(t *testing.T) {
	for i, want := range map[wire.Centiseconds]string{1: "0001", 100: "0064", 4095: "0fff"} {
		b := encode(t, newRouter(t, config(100, interval(i))), wire.IPv4.Group(), 100)
		if got := hex.EncodeToString(b[4:6]); got != want {
			t.Errorf("interval %d is sent as %s, want %s", i, got, want)
		}
	}
}

func TestV3_TX_08_IntervalOutOfRangeRefused(t *testing.T) {
	for _, i := range []wire.Centiseconds{0, 4096, 0xffff} {
		refuseConfig(t, config(100, interval(i)), "version 3 takes 1 to 4095")
	}
	for _, i := range []wire.Centiseconds{1, 4095} {
		if _, err := vrrp.New(config(100, interval(i))); err != nil {
			t.Error(err)
		}
	}
}

func TestV3_TX_09_CountAndOrderOfAddresses(t *testing.T) {
	l := []netip.Addr{addr("192.0.2.30"), addr("192.0.2.10"), addr("192.0.2.20")}
	given := slices.Clone(l)
	r, _ := active(t, config(100, func(c *vrrp.Config) { c.Addresses = given }))
	given[0] = addr("203.0.113.1") // the caller may reuse its slice
	for range 3 {
		r.Expire(r.Deadline())
		b := encode(t, r, wire.IPv4.Group(), 100)
		p := new(wire.Packet)
		if why := wire.Parse(b, wire.Header{Src: own, Dst: wire.IPv4.Group(), TTL: 255}, p); why != wire.Accepted {
			t.Fatal(why)
		}
		if b[3] != 3 || !slices.Equal(p.Addresses, l) {
			t.Errorf("count %d, addresses %v, want %v", b[3], p.Addresses, l)
		}
	}
}

func TestV3_TX_10_IPv6ListStartsWithLinkLocal(t *testing.T) {
	swapped := func(c *vrrp.Config) { c.Addresses = []netip.Addr{vip6[1], vip6[0]} }
	refuseConfig(t, config(100, ipv6, swapped), "not link-local")
	if _, err := vrrp.New(config(100, ipv6)); err != nil {
		t.Error(err)
	}
	// Unicast peers may be on other links, where a link-local address means nothing.
	if _, err := vrrp.New(config(100, ipv6, swapped, unicast(vrrp.Peer{Address: addr("2001:db8::2")}))); err != nil {
		t.Error(err)
	}
}

func TestV3_TX_11_MixedFamiliesRefused(t *testing.T) {
	refuseConfig(t, config(100, func(c *vrrp.Config) { c.Addresses = []netip.Addr{vip[0], vip6[0]} }), "is not IPv4")
	refuseConfig(t, config(100, ipv6, func(c *vrrp.Config) { c.Addresses = []netip.Addr{vip6[0], vip[0]} }), "is not IPv6")
	refuseConfig(t, config(100, func(c *vrrp.Config) { c.Addresses = []netip.Addr{vip[0], {}} }), "is not IPv4")
	refuseConfig(t, config(100, ipv6, func(c *vrrp.Config) { c.Addresses = []netip.Addr{vip6[0], {}} }), "is not IPv6")
}

func TestV3_TX_12_ChecksumModes(t *testing.T) {
	for form, name := range map[wire.ChecksumForm]string{
		wire.ChecksumMessage: "v3-ip4-mc-msgonly", wire.ChecksumPseudo: "v3-ip4-mc-pseudo",
	} {
		v := vectors(t)[name]
		r := newRouter(t, config(v.Priority, func(c *vrrp.Config) { c.Checksum = form }))
		r.SetSource(v.Src)
		if got := encode(t, r, v.Dst, v.Priority); !bytes.Equal(got, v.Payload(t)) {
			t.Errorf("%v: %x, want %x", form, got, v.Payload(t))
		}
	}
}

func TestV3_TX_13_IPv6ChecksumCoversPseudoHeader(t *testing.T) {
	v := vectors(t)["v3-ip6-mc"]
	for _, form := range []wire.ChecksumForm{wire.ChecksumPseudo, wire.ChecksumMessage} {
		r := newRouter(t, config(v.Priority, ipv6, func(c *vrrp.Config) { c.Checksum = form }))
		r.SetSource(v.Src)
		if got := encode(t, r, v.Dst, v.Priority); !bytes.Equal(got, v.Payload(t)) {
			t.Errorf("%v: %x, want %x", form, got, v.Payload(t))
		}
	}
}

func TestV3_TX_14_OwnIntervalOnTransmit(t *testing.T) {
	r := backup(t, config(100, interval(100)))
	hear(t, r, 0, packet(t, r, higher, 200, 300))
	now := r.Deadline()
	r.Expire(now)
	effects := expireUntil(r, now+10*second)
	if len(effects) != 10 {
		t.Fatalf("%d adverts in 10 s, want 10", len(effects))
	}
	for i, e := range effects {
		if want := now + vrrp.Instant(i+1)*second; !e.Advert || e.Priority != 100 || e.At != want {
			t.Errorf("advert %d: %+v, want one at %v", i, e, want)
		}
	}
	var a wire.Advertisement
	if r.Advertisement(&a, 100); a.Interval != 100 {
		t.Errorf("advertises interval %d, want its own", a.Interval)
	}
}

func TestV3_TX_15_BackupAndInitializeAreSilent(t *testing.T) {
	r := newRouter(t, config(100))
	stays(t, r, r.Expire(20*second), vrrp.Initialize)
	r = backup(t, config(100))
	for now := second / 2; now < 10*second; now += second {
		stays(t, r, hear(t, r, now, packet(t, r, higher, 200, 100)), vrrp.Backup)
		stays(t, r, r.Expire(now+second/4), vrrp.Backup)
	}
}

func TestV3_TX_16_ShutdownOfActiveSendsOneRelease(t *testing.T) {
	r, now := active(t, config(100))
	e := r.Shutdown(now + second/2)
	want := vrrp.Effect{
		Advert: true, Priority: wire.PriorityRelease, From: vrrp.Active, To: vrrp.Initialize, Cause: vrrp.CauseShutdown,
	}
	if e != want {
		t.Errorf("%+v, want %+v", e, want)
	}
	stays(t, r, r.Shutdown(now+second), vrrp.Initialize)
	stays(t, r, r.Expire(now+60*second), vrrp.Initialize)
	due(t, r, vrrp.Never)
	if b := encode(t, r, wire.IPv4.Group(), e.Priority); b[2] != 0 {
		t.Errorf("the release carries priority %d", b[2])
	}
}

func TestV3_TX_17_ShutdownOfBackupIsSilent(t *testing.T) {
	r := backup(t, config(100))
	if e := r.Shutdown(second); e.Advert || e.To != vrrp.Initialize || r.State() != vrrp.Initialize {
		t.Errorf("%+v", e)
	}
}

// The order on the wire is that of Effect: the advert first. Announcements follow the change of state elsewhere.
func TestV3_TX_18_PromotionAdvertisesAndArmsTimer(t *testing.T) {
	r := backup(t, config(100, interval(50)))
	now := r.Deadline()
	want := vrrp.Effect{Advert: true, Priority: 100, From: vrrp.Backup, To: vrrp.Active, Cause: vrrp.CauseSilence}
	if e := r.Expire(now); e != want {
		t.Errorf("%+v, want %+v", e, want)
	}
	due(t, r, now.Add(500*time.Millisecond))
}

func TestV3_TX_19_PacketsNeedNoFragmentation(t *testing.T) {
	b := encode(t, newRouter(t, config(100, func(c *vrrp.Config) { c.Addresses = list4(255) })), wire.IPv4.Group(), 100)
	if len(b) != 1028 {
		t.Errorf("255 IPv4 addresses make %d octets, want 1028", len(b))
	}
	refuseConfig(t, config(100, func(c *vrrp.Config) { c.Addresses = list4(256) }), "256 addresses")

	b = encode(t, newRouter(t, config(100, ipv6, func(c *vrrp.Config) { c.Addresses = list6(90) })), wire.IPv6.Group(), 100)
	if 40+len(b) > 1500 {
		t.Errorf("90 IPv6 addresses make a packet of %d octets", 40+len(b))
	}
	for _, n := range []int{91, 92, 255} {
		refuseConfig(t, config(100, ipv6, func(c *vrrp.Config) { c.Addresses = list6(n) }), "at most 90")
	}
	refuseConfig(t, config(100, ipv6, unicast(vrrp.Peer{Address: addr("2001:db8::2")}), func(c *vrrp.Config) {
		c.Addresses = list6(91)
	}), "at most 90")
}

func TestV3_TX_21_OwnerAlwaysAdvertises255(t *testing.T) {
	r, _ := active(t, config(wire.PriorityOwner))
	r.SetPriority(100)
	if e := r.Expire(r.Deadline()); e.Priority != wire.PriorityOwner || r.Priority() != wire.PriorityOwner {
		t.Errorf("an owner was lowered to %d", e.Priority)
	}
	// And nobody else gets there by addition of weights.
	r, now := active(t, config(200))
	r.SetPriority(wire.PriorityOwner)
	if e := r.Expire(now + second); e.Priority != 254 {
		t.Errorf("a router of priority 200 was raised to %d, want 254", e.Priority)
	}
	r.SetPriority(wire.PriorityRelease)
	if r.Priority() != 254 {
		t.Error("priority 0 was taken for a priority")
	}
}

func TestV3_TX_22_NextAdvertCarriesNewPriority(t *testing.T) {
	r, now := active(t, config(200))
	r.SetPriority(50)
	if r.State() != vrrp.Active {
		t.Error("a change of priority changed the state")
	}
	due(t, r, now+second)
	if e := r.Expire(now + second); !e.Advert || e.Priority != 50 || e.Changed() {
		t.Errorf("%+v, want an advert of priority 50", e)
	}
	if b := encode(t, r, wire.IPv4.Group(), r.Priority()); b[2] != 50 {
		t.Errorf("priority %d sent", b[2])
	}
}

func TestV3_TX_24_EachUnicastPeerGetsItsChecksum(t *testing.T) {
	peers := []vrrp.Peer{{Address: lower}, {Address: higher}}
	for form, differ := range map[wire.ChecksumForm]bool{wire.ChecksumPseudo: true, wire.ChecksumMessage: false} {
		r := newRouter(t, config(100, unicast(peers...), func(c *vrrp.Config) { c.Checksum = form }))
		var sums [2][]byte
		for i, p := range r.Config().Peers {
			b := encode(t, r, p.Address, 100)
			sums[i] = b[6:8]
			var q wire.Packet
			if why := wire.Parse(b, wire.Header{Src: own, Dst: p.Address, TTL: 255}, &q); why != wire.Accepted || q.Checksum != form {
				t.Errorf("peer %v: %v, verified as %v, want %v", p.Address, why, q.Checksum, form)
			}
		}
		if bytes.Equal(sums[0], sums[1]) == differ {
			t.Errorf("%v: checksums %x and %x", form, sums[0], sums[1])
		}
	}
	// The recorded unicast advert is what the first peer gets.
	v := vectors(t)["v3-ip4-uc-pseudo-real-dst"]
	c := v.Receiver.Config()
	c.Priority = v.Priority
	r := newRouter(t, c)
	r.SetSource(v.Src)
	if got := encode(t, r, v.Dst, v.Priority); !bytes.Equal(got, v.Payload(t)) {
		t.Errorf("%x, want %x", got, v.Payload(t))
	}
}
