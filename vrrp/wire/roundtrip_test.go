package wire_test

import (
	"bytes"
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"failoverd/vrrp/wire"
)

// sent is an advertisement with the addresses and form it travels with.
type sent struct {
	wire.Advertisement
	header wire.Header
	form   wire.ChecksumForm
}

func drawAddr(f wire.Family, linkLocal bool) *rapid.Generator[netip.Addr] {
	return rapid.Custom(func(t *rapid.T) netip.Addr {
		b := rapid.SliceOfN(rapid.Byte(), f.AddrLen(), f.AddrLen()).Draw(t, "octets")
		if linkLocal {
			b[0], b[1] = 0xfe, 0x80|b[1]&0x3f
		}
		a, _ := netip.AddrFromSlice(b)
		return a
	})
}

// drawSource draws a legal source of an advert to dst.
func drawSource(t *rapid.T, f wire.Family, multicast bool) netip.Addr {
	return drawAddr(f, f == wire.IPv6 && multicast).Filter(func(a netip.Addr) bool {
		return !a.IsUnspecified() && !a.IsMulticast() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
	}).Draw(t, "source")
}

// drawSent draws any legal advertisement in any legal form.
func drawSent(t *rapid.T, maxAddresses int) sent {
	var s sent
	f := rapid.SampledFrom([]wire.Family{wire.IPv4, wire.IPv6}).Draw(t, "family")
	s.Version = wire.V3
	if f == wire.IPv4 && rapid.Bool().Draw(t, "version 2") {
		s.Version = wire.V2
	}
	s.VRID = rapid.Uint8Range(1, 255).Draw(t, "VRID")
	s.Priority = rapid.Byte().Draw(t, "priority")
	s.header.Dst, s.header.TTL = f.Group(), wire.TTL
	multicast := rapid.Bool().Draw(t, "multicast")
	if !multicast {
		s.header.Dst, s.header.TTL = drawSource(t, f, false), rapid.Byte().Draw(t, "TTL")
	}
	s.header.Src = drawSource(t, f, multicast)
	if s.Version == wire.V2 {
		s.Interval = 100 * wire.Centiseconds(rapid.Uint8Range(1, 255).Draw(t, "seconds"))
		s.AuthType = wire.AuthType(rapid.Byte().Draw(t, "auth type"))
		copy(s.AuthData[:], rapid.SliceOfN(rapid.Byte(), 8, 8).Draw(t, "auth data"))
	} else {
		s.Interval = wire.Centiseconds(rapid.Uint16Range(1, 4095).Draw(t, "interval"))
	}
	n := rapid.IntRange(1, maxAddresses).Draw(t, "addresses")
	for i := range n {
		s.Addresses = append(s.Addresses, drawAddr(f, i == 0 && f == wire.IPv6 && multicast).Draw(t, "address"))
	}
	s.form = wire.ChecksumPseudo
	switch {
	case s.Version == wire.V2:
		s.form = wire.ChecksumMessage
	case f == wire.IPv4 && multicast:
		s.form = wire.ChecksumForm(rapid.IntRange(0, 1).Draw(t, "form"))
	case f == wire.IPv4:
		s.form = wire.ChecksumForm(rapid.IntRange(0, 2).Draw(t, "form"))
	}
	return s
}

// M1: what is encoded decodes to the same, and encodes to the same again.
func TestM1_DecodeUndoesEncode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSent(t, wire.MaxAddresses)
		prefix := []byte("before")
		b, err := s.Append(prefix, s.header.Src, s.header.Dst, s.form)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(b, prefix) {
			t.Fatal("Append touched what was there")
		}
		b = b[len(prefix):]
		var p wire.Packet
		if why := wire.Parse(b, s.header, &p); why != wire.Accepted {
			t.Fatalf("%v\n%+v\n%x", why, s, b)
		}
		if !equalAdvertisements(&p.Advertisement, &s.Advertisement) || p.Header != s.header {
			t.Fatalf("got %+v, want %+v", p, s)
		}
		again, err := p.Append(nil, p.Src, p.Dst, s.form)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%v\n got %x\nwant %x", err, again, b)
		}
	})
}

// M2: one flipped bit outside the reserve nibble is refused or seen in a decoded field, and so are swapped words,
// to which the checksum is blind.
func TestM2_CorruptionIsRefusedOrSeen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSent(t, 4)
		b, err := s.Append(nil, s.header.Src, s.header.Dst, s.form)
		if err != nil {
			t.Fatal(err)
		}
		var p wire.Packet
		if why := wire.Parse(b, s.header, &p); why != wire.Accepted {
			t.Fatal(why)
		}
		checkBitFlips(t, b, &p)
		i := 8 + 2*rapid.IntRange(0, (len(b)-8)/2-1).Draw(t, "word")
		j := 8 + 2*rapid.IntRange(0, (len(b)-8)/2-1).Draw(t, "other word")
		if bytes.Equal(b[i:i+2], b[j:j+2]) {
			return
		}
		b[i], b[i+1], b[j], b[j+1] = b[j], b[j+1], b[i], b[i+1]
		var q wire.Packet
		if why := wire.Parse(b, s.header, &q); why == wire.Accepted && equalPackets(&p, &q) {
			t.Fatalf("words at %d and %d swapped, nothing seen: %x", i, j, b)
		}
	})
}

// checkBitFlips flips every bit of an accepted packet, one at a time.
func checkBitFlips(t interface{ Fatalf(string, ...any) }, b []byte, p *wire.Packet) {
	var q wire.Packet
	for i := range 8 * len(b) {
		if p.Version == wire.V3 && i >= 32 && i < 36 {
			continue // the reserve nibble
		}
		b[i/8] ^= 0x80 >> (i % 8)
		if why := wire.Parse(b, p.Header, &q); why == wire.Accepted && equalPackets(p, &q) {
			t.Fatalf("bit %d of octet %d flipped, nothing seen: %x", i%8, i/8, b)
		}
		b[i/8] ^= 0x80 >> (i % 8)
	}
}
