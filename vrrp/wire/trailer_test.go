package wire_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"failoverd/vrrp/wire"
)

// recordedKeys are those that the captures in testdata/hmac were signed with.
var recordedKeys = map[uint8][]byte{
	1: {
		0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f,
		0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f,
	},
	2: []byte("failoverd-test-key-two-0123456789abcdef"),
}

// signedCapture is an advertisement of keepalived 2.4.3 with auth_hmac.
type signedCapture struct {
	name string // of the capture
	datagram
}

func signedCaptures(tb testing.TB) (list []signedCapture) {
	tb.Helper()
	files, err := filepath.Glob("testdata/hmac/*.pcap")
	if err != nil || len(files) != 6 {
		tb.Fatalf("%d captures (%v), want 6", len(files), err)
	}
	for _, file := range files {
		for _, d := range readCapture(tb, file) {
			if d.protocol == wire.Protocol {
				list = append(list, signedCapture{strings.TrimSuffix(filepath.Base(file), ".pcap"), d})
			}
		}
	}
	return list
}

// coveredByHand builds what the HMAC of a signed packet covers from its octets, without the package under test.
func coveredByHand(d *datagram) []byte {
	end := len(d.payload) - 16
	out := make([]byte, 20)
	out[0], out[1], out[2] = 4, d.payload[0]>>4, d.payload[1]
	if d.header.Src.Is6() {
		out[0] = 6
	}
	copy(out[4:], d.header.Src.AsSlice())
	out = append(out, d.payload[:end]...)
	out[20+6], out[20+7] = 0, 0
	return append(out, make([]byte, 16)...)
}

func sign(key, covered []byte) (mac [wire.MACLen]byte) {
	h := hmac.New(sha256.New, key)
	h.Write(covered)
	copy(mac[:], h.Sum(nil))
	return mac
}

func TestRecordedTrailersAreUnderstoodAndReproduced(t *testing.T) {
	seen := 0
	releases := 0
	for _, c := range signedCaptures(t) {
		seen++
		var p wire.Packet
		if why := wire.Parse(c.payload, c.header, &p); why != wire.Accepted {
			t.Fatalf("%s: %x: %v", c.name, c.payload, why)
		}
		raw := c.payload[len(c.payload)-wire.TrailerLen:]
		want := wire.Trailer{
			Type: raw[0], KeyID: raw[1], Reserved: binary.BigEndian.Uint16(raw[2:]),
			Sequence: wire.Sequence(binary.BigEndian.Uint64(raw[4:])), MAC: [16]byte(raw[12:]),
		}
		if !p.Signed || p.Trailer != want {
			t.Errorf("%s: trailer %+v, want %+v", c.name, p.Trailer, want)
		}
		if p.Trailer.Type != wire.HMACSHA256 || p.Trailer.Reserved != 0 || p.VRID != 51 {
			t.Errorf("%s: %+v", c.name, p)
		}
		if (p.Trailer.KeyID == 2) != strings.HasSuffix(c.name, "key2") || (p.Version == wire.V2) != strings.Contains(c.name, "-v2-") {
			t.Errorf("%s: version %d, key %d", c.name, p.Version, p.Trailer.KeyID)
		}
		if p.Priority == wire.PriorityRelease {
			releases++
		}
		covered := p.AppendCovered([]byte("before"))
		covered = bytes.TrimPrefix(covered, []byte("before"))
		if hand := coveredByHand(&c.datagram); !bytes.Equal(covered, hand) {
			t.Errorf("%s: covered\n got %x\nwant %x", c.name, covered, hand)
		}
		if mac := sign(recordedKeys[p.Trailer.KeyID], covered); mac != p.Trailer.MAC {
			t.Errorf("%s: HMAC %x, want %x", c.name, mac, p.Trailer.MAC)
		}
		// The sender's way to the same octets.
		trailer := wire.Trailer{Type: wire.HMACSHA256, KeyID: p.Trailer.KeyID, Sequence: p.Trailer.Sequence}
		trailer.MAC = sign(recordedKeys[trailer.KeyID], p.Advertisement.AppendCovered(nil, p.Src, &trailer))
		out, err := p.AppendSigned(nil, p.Src, p.Dst, p.Checksum, &trailer)
		if err != nil || !bytes.Equal(out, c.payload) {
			t.Errorf("%s: encoded again: %v\n got %x\nwant %x", c.name, err, out, c.payload)
		}
	}
	if seen != 29 || releases == 0 {
		t.Errorf("%d recorded advertisements, %d of priority 0; want 29, and some", seen, releases)
	}
}

// Only 28 octets behind the message are a trailer; any other number is what it always was.
func TestTrailerIsRecognisedByItsLengthAlone(t *testing.T) {
	for _, c := range signedCaptures(t) {
		// The checksum over IPv6 covers the trailer, so that it changes with the length.
		if c.header.Src.Is6() {
			continue
		}
		message := len(c.payload) - wire.TrailerLen
		for cut := message; cut <= len(c.payload)+8; cut++ {
			b := append(bytes.Clone(c.payload), make([]byte, 8)...)[:cut]
			want := wire.DropTrailing
			if cut == message || cut == len(c.payload) {
				want = wire.Accepted
			}
			var p wire.Packet
			if why := wire.Parse(b, c.header, &p); why != want || p.Signed != (cut == len(c.payload)) {
				t.Fatalf("%s, %d octets behind the message: %v, signed %v; want %v", c.name, cut-message, why, p.Signed, want)
			}
		}
	}
}

// A reused packet must not keep the trailer of the one before.
func TestParseForgetsTheTrailerBefore(t *testing.T) {
	c := signedCaptures(t)[0]
	var p wire.Packet
	wire.Parse(c.payload, c.header, &p)
	if !p.Signed {
		t.Fatal("no trailer")
	}
	wire.Parse(c.payload[:len(c.payload)-wire.TrailerLen], c.header, &p)
	if p.Signed || p.Trailer != (wire.Trailer{}) {
		t.Errorf("left behind: %+v", p.Trailer)
	}
}

func drawTrailer(t *rapid.T) (tr wire.Trailer) {
	tr.Type, tr.KeyID = rapid.Byte().Draw(t, "type"), rapid.Byte().Draw(t, "key")
	tr.Reserved = rapid.Uint16().Draw(t, "reserved")
	tr.Sequence = wire.Sequence(rapid.Uint64().Draw(t, "sequence"))
	copy(tr.MAC[:], rapid.SliceOfN(rapid.Byte(), wire.MACLen, wire.MACLen).Draw(t, "HMAC"))
	return tr
}

// M1 with a trailer: what is encoded decodes to the same, copies to all destinations cover the same octets, and every
// flipped bit is refused or seen.
func TestM1_DecodeUndoesEncodeOfTrailers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, tr := drawSent(t, 8), drawTrailer(t)
		b, err := s.AppendSigned(nil, s.header.Src, s.header.Dst, s.form, &tr)
		if err != nil {
			t.Fatal(err)
		}
		var p wire.Packet
		if why := wire.Parse(b, s.header, &p); why != wire.Accepted {
			t.Fatalf("%v\n%+v\n%x", why, s, b)
		}
		if !equalAdvertisements(&p.Advertisement, &s.Advertisement) || !p.Signed || p.Trailer != tr {
			t.Fatalf("got %+v, want %+v %+v", p, s, tr)
		}
		if got, want := p.AppendCovered(nil), s.AppendCovered(nil, s.header.Src, &tr); !bytes.Equal(got, want) {
			t.Fatalf("the sender signs %x, the receiver looks at %x", want, got)
		}
		checkBitFlips(t, b, &p)
	})
}

func TestSequence(t *testing.T) {
	const second = int64(time.Second)
	for _, tt := range []struct {
		name string
		wall int64
		want wire.Sequence
	}{
		{"the epoch", 0, 0},
		{"half a second", second / 2, 0x00000000_8000_0000},
		{"the last moment of a second", second - 1, 0x00000000_ffff_0000},
		{"a day in 2026", 1795903847*second + second/4, 0x6b0b5167_4000_0000},
		{"beyond 2106", (1<<32 + 5) * second, 5 << 32},
	} {
		if got := wire.SequenceAt(tt.wall); got != tt.want {
			t.Errorf("%s: %#016x, want %#016x", tt.name, uint64(got), uint64(tt.want))
		}
	}
	for _, tt := range []struct {
		a, b  wire.Sequence
		after bool
		sub   time.Duration
	}{
		{5 << 32, 5 << 32, false, 0},
		{5<<32 + 1, 5 << 32, true, 0}, // the counter is no time worth naming
		{6 << 32, 5 << 32, true, time.Second},
		{5 << 32, 6 << 32, false, -time.Second},
		{5<<32 | 0x8000_0000, 5 << 32, true, time.Second / 2},
		{5 << 32, 5<<32 | 0x8000_0000, false, -time.Second / 2},
		{1 << 32, math.MaxUint32 << 32, true, 2 * time.Second},    // it wraps
		{1 << 63, 0, false, math.MinInt32 * time.Second},          // RFC 1982 leaves it open; it must not count as newer
		{3600 << 32, 7200 << 32, false, -time.Hour},               //
		{1<<63 - 1, 0, true, math.MaxInt32*time.Second + 1e9 - 1}, //
	} {
		if got := tt.a.After(tt.b); got != tt.after {
			t.Errorf("%#x after %#x: %v", uint64(tt.a), uint64(tt.b), got)
		}
		if got := tt.a.Sub(tt.b); got != tt.sub {
			t.Errorf("%#x - %#x: %v, want %v", uint64(tt.a), uint64(tt.b), got, tt.sub)
		}
	}
}
