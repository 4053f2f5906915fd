package bgp

import (
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
)

func vrp(prefix string, most uint8, as uint32) VRP {
	return VRP{netip.MustParsePrefix(prefix), most, as}
}

func TestValidateOrigin(t *testing.T) {
	const own = 64501
	for _, c := range []struct {
		name   string
		prefix string
		vrps   []VRP
		want   Validity
		why    string
	}{
		{"no data about it", "198.51.100.0/24", nil, NotFound, "no ROA"},
		{"a ROA for somebody else's prefix", "198.51.100.0/24", []VRP{vrp("203.0.113.0/24", 24, own)}, NotFound, "no ROA"},
		{"a ROA for a part of it only", "198.51.100.0/24", []VRP{vrp("198.51.100.0/25", 25, 64666)}, NotFound, "no ROA"},
		{"the exact ROA", "198.51.100.0/24", []VRP{vrp("198.51.100.0/24", 24, own)}, Valid, "198.51.100.0/24-24 AS64501"},
		{"a covering ROA that reaches that far", "198.51.100.0/24", []VRP{vrp("198.51.0.0/16", 24, own)}, Valid, "/16-24"},
		{"a covering ROA that does not", "198.51.100.0/24", []VRP{vrp("198.51.0.0/16", 23, own)}, Invalid, "AS64501 may not announce a /24: 198.51.0.0/16-23 AS64501"},
		{"another AS", "198.51.100.0/24", []VRP{vrp("198.51.100.0/24", 24, 64666)}, Invalid, "AS64501 is not authorized: 198.51.100.0/24-24 AS64666"},
		{"AS 0 authorizes nobody", "198.51.100.0/24", []VRP{vrp("198.51.100.0/24", 24, 0)}, Invalid, "AS0"},
		{"one of several matches", "198.51.100.0/24", []VRP{vrp("198.51.100.0/24", 24, 0), vrp("198.51.100.0/22", 24, own)}, Valid, ""},
		{"IPv6, exact", "2001:db8:100::/48", []VRP{vrp("2001:db8:100::/48", 48, own)}, Valid, ""},
		{"IPv6, longer than the ROA says", "2001:db8:100::/48", []VRP{vrp("2001:db8::/32", 40, own)}, Invalid, "/48"},
		{"the default route of the other family covers nothing", "2001:db8:100::/48", []VRP{vrp("0.0.0.0/0", 32, 64666)}, NotFound, ""},
		{"everything is covered", "198.51.100.0/24", []VRP{vrp("0.0.0.0/0", 32, 64666)}, Invalid, "0.0.0.0/0-32 AS64666"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, why := ValidateOrigin(c.vrps, netip.MustParsePrefix(c.prefix), own)
			if got != c.want || !strings.Contains(why, c.why) {
				t.Errorf("%v (%s), want %v (%s)", got, why, c.want, c.why)
			}
		})
	}
	if got, _ := ValidateOrigin([]VRP{vrp("198.51.100.0/24", 24, 0)}, netip.MustParsePrefix("198.51.100.0/24"), 0); got != Invalid {
		t.Errorf("AS 0 as the origin itself: %v", got)
	}
}

// naive is RFC 6811 section 2 bit by bit.
func naive(vrps []VRP, p netip.Prefix, as uint32) Validity {
	bit := func(a netip.Addr, i int) byte { return a.AsSlice()[i/8] >> (7 - i%8) & 1 }
	covered := false
	for _, v := range vrps {
		covers := v.Prefix.Addr().BitLen() == p.Addr().BitLen() && v.Prefix.Bits() <= p.Bits()
		for i := 0; covers && i < v.Prefix.Bits(); i++ {
			covers = bit(v.Prefix.Addr(), i) == bit(p.Addr(), i)
		}
		if !covers {
			continue
		}
		covered = true
		if p.Bits() <= int(v.MaxLength) && v.AS == as && as != 0 {
			return Valid
		}
	}
	if covered {
		return Invalid
	}
	return NotFound
}

// TestValidateOriginAgainstReference compares with the bitwise reading of the RFC, in a corner of the address space that is
// small enough for everything to happen.
func TestValidateOriginAgainstReference(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6811))
	prefix := func() netip.Prefix {
		if rnd.IntN(2) == 0 {
			return netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(rnd.IntN(2)) << 7, byte(rnd.IntN(4)) << 6}), rnd.IntN(12)).Masked()
		}
		return netip.PrefixFrom(netip.AddrFrom16([16]byte{byte(rnd.IntN(2)) << 7, byte(rnd.IntN(4)) << 6}), rnd.IntN(12)).Masked()
	}
	var seen [4]int
	for range 200_000 {
		vrps := make([]VRP, rnd.IntN(4))
		for i := range vrps {
			p := prefix()
			vrps[i] = VRP{p, uint8(p.Bits() + rnd.IntN(6)), uint32(rnd.IntN(3))}
		}
		p, as := prefix(), uint32(rnd.IntN(3))
		got, _ := ValidateOrigin(vrps, p, as)
		if want := naive(vrps, p, as); got != want {
			t.Fatalf("%v from AS%d with %v: %v, want %v", p, as, vrps, got, want)
		}
		seen[got]++
	}
	for _, v := range []Validity{NotFound, Valid, Invalid} {
		if seen[v] < 1000 {
			t.Errorf("%v came up only %d times", v, seen[v])
		}
	}
}
