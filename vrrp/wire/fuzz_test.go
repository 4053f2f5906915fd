package wire_test

import (
	"bytes"
	"net/netip"
	"testing"

	"failoverd/vrrp/vrrptest"
	"failoverd/vrrp/wire"
)

// seeds calls add with every vector and every captured advert.
func seeds(tb testing.TB, add func(payload []byte, h wire.Header)) {
	tb.Helper()
	for _, v := range vrrptest.LoadVectors(tb, vectorFile) {
		add(v.Payload(tb), v.Header())
	}
	for _, file := range captures(tb) {
		for _, d := range readCapture(tb, file) {
			if d.protocol == wire.Protocol {
				add(d.payload, d.header)
			}
		}
	}
	for _, s := range signedCaptures(tb) {
		add(s.payload, s.header)
	}
}

func FuzzParse(f *testing.F) {
	seeds(f, func(payload []byte, h wire.Header) {
		f.Add(payload, h.Src.AsSlice(), h.Dst.AsSlice(), h.TTL)
	})
	f.Fuzz(func(t *testing.T, b, src, dst []byte, ttl uint8) {
		h := wire.Header{TTL: ttl}
		h.Src, _ = netip.AddrFromSlice(src)
		h.Dst, _ = netip.AddrFromSlice(dst)
		in := bytes.Clone(b)
		var p wire.Packet
		why := wire.Parse(b, h, &p)
		if !bytes.Equal(in, b) {
			t.Fatal("Parse changed its input")
		}
		// Nothing but the octets received may size the storage.
		if c := cap(p.Addresses); c > len(b) {
			t.Fatalf("room for %d addresses, for %d octets", c, len(b))
		}
		if why != wire.Accepted {
			checkRefused(t, b, h, &p)
			return
		}
		checkAccepted(t, b, &p)
	})
}

// checkRefused demands that a refused packet left nothing but its header, version and VRID.
func checkRefused(t *testing.T, b []byte, h wire.Header, p *wire.Packet) {
	t.Helper()
	want := wire.Packet{Header: h}
	if len(b) > 1 {
		want.Version, want.VRID = wire.Version(b[0]>>4), b[1]
	}
	if !equalPackets(p, &want) {
		t.Fatalf("refused, but got %+v, want %+v", *p, want)
	}
}

func checkAccepted(t *testing.T, b []byte, p *wire.Packet) {
	t.Helper()
	multicast := p.Dst.IsMulticast()
	if multicast && p.TTL != wire.TTL || p.VRID == 0 || p.Version == wire.V3 && p.Interval == 0 {
		t.Fatalf("accepted: %+v", *p)
	}
	out, err := again(p)
	if err != nil {
		// Version 2 leaves a zero interval to the comparison with the configured one.
		if p.Version == wire.V2 && p.Interval == 0 {
			return
		}
		t.Fatalf("accepted, but not to be encoded: %v", err)
	}
	alias := b[6] == 0xff && b[7] == 0xff
	reserved := p.Version == wire.V3 && b[4]>>4 != 0
	if !alias && !reserved && !bytes.Equal(out, b) {
		t.Fatalf("encoded again:\n got %x\nwant %x", out, b)
	}
	checkCovered(t, b, p)
	var q wire.Packet
	if why := wire.Parse(out, p.Header, &q); why != wire.Accepted || !equalPackets(p, &q) {
		t.Fatalf("encoded and decoded: %v\n got %+v\nwant %+v", why, q, *p)
	}
	if len(b) <= 96 {
		checkBitFlips(t, bytes.Clone(b), p)
	}
}

// again encodes a packet as it came.
func again(p *wire.Packet) ([]byte, error) {
	if p.Signed {
		return p.AppendSigned(nil, p.Src, p.Dst, p.Checksum, &p.Trailer)
	}
	return p.Append(nil, p.Src, p.Dst, p.Checksum)
}

// checkCovered holds what a packet says that its HMAC covers against the octets that came.
func checkCovered(t *testing.T, b []byte, p *wire.Packet) {
	t.Helper()
	if !p.Signed {
		return
	}
	if got, want := p.AppendCovered(nil), coveredByHand(&datagram{header: p.Header, payload: b}); !bytes.Equal(got, want) {
		t.Fatalf("covered:\n got %x\nwant %x", got, want)
	}
}

// No input makes Parse allocate when the packet is reused, whatever count it claims; a fresh packet costs one
// allocation, that of its addresses.
func TestParseAllocatesNothingButAddresses(t *testing.T) {
	seeds(t, func(payload []byte, h wire.Header) {
		var p wire.Packet
		why := wire.Parse(payload, h, &p)
		if n := testing.AllocsPerRun(10, func() { wire.Parse(payload, h, &p) }); n != 0 {
			t.Errorf("%x, %d octets: %v allocations with a reused packet", payload[:min(8, len(payload))], len(payload), n)
		}
		want := 0.0
		if why == wire.Accepted {
			want = 1
		}
		if n := testing.AllocsPerRun(10, func() {
			p.Addresses = nil
			wire.Parse(payload, h, &p)
		}); n > want {
			t.Errorf("%x, %d octets: %v allocations with a fresh packet, want %v",
				payload[:min(8, len(payload))], len(payload), n, want)
		}
	})
}

func TestAppendAllocatesNothing(t *testing.T) {
	buf := make([]byte, 0, 2048)
	seeds(t, func(payload []byte, h wire.Header) {
		var p wire.Packet
		if wire.Parse(payload, h, &p) != wire.Accepted || p.Interval == 0 {
			return
		}
		if n := testing.AllocsPerRun(10, func() {
			if _, err := p.AppendSigned(buf, p.Src, p.Dst, p.Checksum, &p.Trailer); err != nil {
				t.Fatal(err)
			}
			if _, err := p.Append(buf, p.Src, p.Dst, p.Checksum); err != nil {
				t.Fatal(err)
			}
			p.AppendCovered(buf)
		}); n != 0 {
			t.Errorf("%x: %v allocations", payload, n)
		}
	})
}
