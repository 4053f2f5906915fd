package vrrp_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

const (
	keyOne = vrrp.Secret("\x00\x01\x02\x03\x04\x05\x06\x07\x08\t\n\x0b\x0c\r\x0e\x0f" +
		"\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f")
	keyTwo = vrrp.Secret("failoverd-test-key-two-0123456789abcdef")
)

// noon is a wall-clock time.
const noon = 1795000000 * int64(time.Second)

// authenticated gives a router keys 1 and 2, of which the first signs.
func authenticated(change ...func(*vrrp.HMAC)) func(*vrrp.Config) {
	h := &vrrp.HMAC{
		Keys: []vrrp.HMACKey{{ID: 1, Secret: keyOne}, {ID: 2, Secret: keyTwo}}, ActiveKey: 1, TimeWindow: 5 * time.Second,
	}
	for _, f := range change {
		f(h)
	}
	return func(c *vrrp.Config) { c.HMAC = h }
}

func monotonic(h *vrrp.HMAC) { h.AntiReplay = vrrp.ReplayMonotonic }

func mode(m vrrp.HMACMode) func(*vrrp.HMAC) { return func(h *vrrp.HMAC) { h.Mode = m } }

func activeKey(id uint8) func(*vrrp.HMAC) { return func(h *vrrp.HMAC) { h.ActiveKey = id } }

// signer returns a router that sends from src.
func signer(t testing.TB, src netip.Addr, c vrrp.Config) *vrrp.Router {
	t.Helper()
	r := newRouter(t, c)
	r.SetSource(src)
	return r
}

// advert is what a router sends at a wall-clock time.
func advert(t testing.TB, from *vrrp.Router, dst netip.Addr, priority uint8, wall int64) []byte {
	t.Helper()
	from.SetWallClock(wall)
	var a wire.Advertisement
	from.Advertisement(&a, priority)
	tr := from.Sign(&a)
	if tr == nil {
		return encode(t, from, dst, priority)
	}
	b, err := a.AppendSigned(nil, from.Source(), dst, from.Config().Checksum, tr)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// sent is advert as the receiver's codec has it.
func sent(t testing.TB, from *vrrp.Router, dst netip.Addr, priority uint8, wall int64) *wire.Packet {
	t.Helper()
	return decode(t, advert(t, from, dst, priority, wall), from.Source(), dst)
}

func decode(t testing.TB, b []byte, src, dst netip.Addr) *wire.Packet {
	t.Helper()
	p := new(wire.Packet)
	if why := wire.Parse(b, wire.Header{Src: src, Dst: dst, TTL: wire.TTL}, p); why != wire.Accepted {
		t.Fatalf("%x: %v", b, why)
	}
	return p
}

// gets delivers p at a wall-clock time, and demands what becomes of it. A refused packet must change nothing but counters.
func gets(t testing.TB, r *vrrp.Router, wall int64, p *wire.Packet, want wire.DropReason) {
	t.Helper()
	type visible struct {
		state    vrrp.State
		deadline vrrp.Instant
		heard    vrrp.Heard
		learned  wire.Centiseconds
		skew     vrrp.Skew
		received uint64
	}
	look := func() visible {
		return visible{r.State(), r.Deadline(), r.Heard(), r.LearnedInterval(), r.ClockSkew(), r.Received()}
	}
	before, drops := look(), r.Drops()[want]
	r.SetWallClock(wall)
	e, why := r.Receive(second/2, p)
	if why != want {
		t.Errorf("%v, want %v", why, want)
	}
	if want == wire.Accepted {
		return
	}
	if r.Drops()[want] != drops+1 {
		t.Errorf("%v is not counted", want)
	}
	if now := look(); now != before || e.Changed() || e.Advert || e.Rival {
		t.Errorf("%v has effects: %+v, %+v, was %+v", want, e, now, before)
	}
}

// counted demands the outcomes that were counted, in words.
func counted(t testing.TB, r *vrrp.Router, want string) {
	t.Helper()
	var words []string
	for o, n := range r.Outcomes() {
		if n != 0 {
			words = append(words, fmt.Sprintf("%v %d", vrrp.Outcome(o), n))
		}
	}
	if got := strings.Join(words, ", "); got != want {
		t.Errorf("counted %q, want %q", got, want)
	}
}

// The questions, in the order in which they are asked: a packet wrong in several ways counts for the first.
func TestHMACLadder(t *testing.T) {
	const replayed = noon - int64(time.Second)
	for _, tt := range []struct {
		name   string
		change func(*wire.Packet)
		want   wire.DropReason
	}{
		{"as it should be", func(*wire.Packet) {}, wire.Accepted},
		{"no trailer", func(p *wire.Packet) { p.Signed = false }, wire.DropHMACMissing},
		{"another type, and all else wrong", func(p *wire.Packet) {
			p.Trailer = wire.Trailer{Type: 2, KeyID: 9, Sequence: 1}
		}, wire.DropHMACMalformed},
		{"reserved octets, and all else wrong", func(p *wire.Packet) {
			p.Trailer = wire.Trailer{Type: 1, KeyID: 9, Reserved: 1}
		}, wire.DropHMACMalformed},
		{"a key that is not there, and old", func(p *wire.Packet) { p.Trailer.KeyID, p.Trailer.Sequence = 9, 1 }, wire.DropHMACUnknownKey},
		{"key 0", func(p *wire.Packet) { p.Trailer.KeyID = 0 }, wire.DropHMACUnknownKey},
		{"old, and not signed by the key", func(p *wire.Packet) {
			p.Trailer.Sequence = wire.SequenceAt(noon - 6*int64(time.Second))
		}, wire.DropHMACStale},
		{"from the future", func(p *wire.Packet) { p.Trailer.Sequence = wire.SequenceAt(noon + 6*int64(time.Second)) }, wire.DropHMACStale},
		{"another sequence", func(p *wire.Packet) { p.Trailer.Sequence++ }, wire.DropHMACBad},
		{"before the last one, and not signed", func(p *wire.Packet) { p.Trailer.Sequence = wire.SequenceAt(replayed) }, wire.DropHMACBad},
		{"another key's", func(p *wire.Packet) { p.Trailer.KeyID = 2 }, wire.DropHMACBad},
		{"another source", func(p *wire.Packet) { p.Src = lower }, wire.DropHMACBad},
		{"another HMAC", func(p *wire.Packet) { p.Trailer.MAC[15] ^= 1 }, wire.DropHMACBad},
		{"a forged release", func(p *wire.Packet) { p.Priority = 0 }, wire.DropHMACBad},
		{"a forged owner", func(p *wire.Packet) { p.Priority = 255 }, wire.DropHMACBad},
		{"another interval", func(p *wire.Packet) { p.Interval = 4095 }, wire.DropHMACBad},
		{"another list", func(p *wire.Packet) { p.Addresses = []netip.Addr{addr("192.0.2.99")} }, wire.DropHMACBad},
		{"another VRID", func(p *wire.Packet) { p.VRID, p.Signed = 52, false }, wire.DropVRID},
		{"another version", func(p *wire.Packet) { p.Version, p.Signed = wire.V2, false }, wire.DropVersion},
	} {
		t.Run(tt.name, func(t *testing.T) {
			from := signer(t, higher, config(200, authenticated()))
			for _, c := range []vrrp.Config{config(100, authenticated()), config(100, authenticated(), unicast(vrrp.Peer{Address: higher}, vrrp.Peer{Address: lower}))} {
				dst := wire.IPv4.Group()
				if c.Unicast {
					dst = own
				}
				r := backup(t, c)
				gets(t, r, noon, sent(t, from, dst, 200, noon-int64(time.Second)), wire.Accepted)
				p := sent(t, from, dst, 200, noon)
				tt.change(p)
				gets(t, r, noon, p, tt.want)
			}
		})
	}
}

// The trailer of one advertisement on another, whichever two they are.
func TestHMACRefusesSplicedTrailers(t *testing.T) {
	from := signer(t, higher, config(200, authenticated()))
	other := signer(t, higher, config(200, authenticated(), func(c *vrrp.Config) { c.Key.VRID = 52 }))
	old := signer(t, higher, config(200, authenticated(), version2))
	group := wire.IPv4.Group()
	body := advert(t, from, group, 200, noon)
	body = body[:len(body)-wire.TrailerLen]
	for name, donor := range map[string][]byte{
		"of a release":       advert(t, from, group, 0, noon+1e6),
		"of another VRID":    advert(t, other, group, 200, noon+2e6),
		"of another version": advert(t, old, group, 200, noon+3e6),
	} {
		r := backup(t, config(100, authenticated()))
		spliced := append(bytes.Clone(body), donor[len(donor)-wire.TrailerLen:]...)
		gets(t, r, noon, decode(t, spliced, higher, group), wire.DropHMACBad)
		if r.Outcomes()[vrrp.AuthBadHMAC] != 1 {
			t.Errorf("%s is not counted", name)
		}
	}
	// A release whose priority was made 200 again, and the reverse, are the same trick with the message.
	r := backup(t, config(100, authenticated()))
	release := sent(t, from, group, 0, noon+4e6)
	release.Priority = 200
	gets(t, r, noon, release, wire.DropHMACBad)
}

func TestHMACModes(t *testing.T) {
	for _, tt := range []struct {
		mode             vrrp.HMACMode
		signs            bool
		unsigned, forged wire.DropReason
		counted          string
	}{
		{vrrp.HMACEnforce, true, wire.DropHMACMissing, wire.DropHMACBad, "ok 1, missing 1, bad_hmac 1"},
		{vrrp.HMACPermissive, true, wire.Accepted, wire.DropHMACBad, "ok 1, missing 1, bad_hmac 1"},
		{vrrp.HMACReceiveOnly, false, wire.Accepted, wire.DropHMACBad, "ok 1, missing 1, bad_hmac 1"},
	} {
		t.Run(tt.mode.String(), func(t *testing.T) {
			from := signer(t, higher, config(200, authenticated()))
			c := config(100, authenticated(mode(tt.mode)))
			r, group := backup(t, c), wire.IPv4.Group()
			gets(t, r, noon, packet(t, r, lower, 200, 100), tt.unsigned)
			gets(t, r, noon, sent(t, from, group, 200, noon), wire.Accepted)
			forged := sent(t, from, group, 200, noon+1e6)
			forged.Priority = 255
			gets(t, r, noon, forged, tt.forged)
			counted(t, r, tt.counted)
			var a wire.Advertisement
			r.Advertisement(&a, 100)
			if tr := r.Sign(&a); (tr != nil) != tt.signs {
				t.Errorf("signs: %v", tr != nil)
			}
		})
	}
}

// Whoever does not know the trailer sees a wrong length, in whatever state it is.
func TestV3_RX_05_TrailerWithoutKeys(t *testing.T) {
	from := signer(t, higher, config(200, authenticated()))
	p := sent(t, from, wire.IPv4.Group(), 200, noon)
	for name, r := range map[string]*vrrp.Router{"Initialize": newRouter(t, config(100)), "Backup": backup(t, config(100))} {
		gets(t, r, noon, p, wire.DropTrailing)
		if r.Drops()[wire.DropTrailing] != 1 {
			t.Error(name)
		}
		counted(t, r, "")
	}
}

// All copies of an advertisement carry one trailer, and each destination believes it once.
func TestHMACSignsOncePerAdvertisement(t *testing.T) {
	from := signer(t, higher, config(200, authenticated(), unicast(vrrp.Peer{Address: own}, vrrp.Peer{Address: lower})))
	from.SetWallClock(noon)
	var a wire.Advertisement
	from.Advertisement(&a, 200)
	tr := from.Sign(&a)
	for _, dst := range []netip.Addr{own, lower} {
		b, err := a.AppendSigned(nil, higher, dst, wire.ChecksumPseudo, tr)
		if err != nil {
			t.Fatal(err)
		}
		r := newRouter(t, config(100, authenticated(), unicast(vrrp.Peer{Address: higher})))
		r.SetSource(dst)
		r.Startup(0)
		gets(t, r, noon, decode(t, b, higher, dst), wire.Accepted)
		gets(t, r, noon, decode(t, b, higher, dst), wire.DropHMACReplay)
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	c := config(100, authenticated())
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("%v %+v %#v %v %q %x %s", *c.HMAC, *c.HMAC, *c.HMAC, c.HMAC.Keys[1], c.HMAC.Keys[1].Secret, c.HMAC.Keys[1].Secret, b)
	for _, secret := range []string{string(keyTwo), hex.EncodeToString([]byte(keyTwo)), "failoverd-test"} {
		if strings.Contains(text, secret) {
			t.Errorf("%q is in %s", secret, text)
		}
	}
}

func TestNewRefusesHMAC(t *testing.T) {
	for _, tt := range []struct {
		change func(*vrrp.HMAC)
		want   string
	}{
		{func(h *vrrp.HMAC) { h.Keys = nil }, "without a key"},
		{func(h *vrrp.HMAC) { h.Keys[0].ID = 0 }, "key 0"},
		{func(h *vrrp.HMAC) { h.Keys[1].ID = 1 }, "key 1 is there twice"},
		{func(h *vrrp.HMAC) { h.Keys[0].Secret = keyOne[:31] }, "key 1 of 31 octets (want 32 to 64)"},
		{func(h *vrrp.HMAC) { h.Keys[1].Secret = keyTwo + keyTwo }, "key 2 of 78 octets"},
		{func(h *vrrp.HMAC) { h.ActiveKey = 3 }, "no key 3"},
		{func(h *vrrp.HMAC) { h.AntiReplay = 2 }, "anti_replay 2"},
		{func(h *vrrp.HMAC) { h.Mode = 3 }, "mode 3"},
		{func(h *vrrp.HMAC) { h.TimeWindow = 0 }, "time_window 0s"},
		{func(h *vrrp.HMAC) { h.TimeWindow = 301 * time.Second }, "time_window"},
	} {
		refuseConfig(t, config(100, authenticated(tt.change)), tt.want)
	}
	refuseConfig(t, config(100, version2, authenticated(), func(c *vrrp.Config) { c.AuthType = wire.AuthSimple }), "exclude each other")
	refuseConfig(t, config(100, ipv6, authenticated(), func(c *vrrp.Config) { c.Addresses = list6(90) }), "want at most 89")
	if _, err := vrrp.New(config(100, ipv6, authenticated(), func(c *vrrp.Config) { c.Addresses = list6(89) })); err != nil {
		t.Error(err)
	}
}
