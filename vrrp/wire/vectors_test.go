package wire_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"failoverd/vrrp/vrrptest"
	"failoverd/vrrp/wire"
)

const vectorFile = "testdata/vrrp-vectors.json"

// contextual reports whether the verdict on v needs the configuration of the receiving router, so that Parse must
// let the packet pass. Package vrrp proves those.
func contextual(v *vrrptest.Vector) bool {
	switch v.Reason {
	case "own_source", "unicast_source_not_a_peer", "expected_unicast_got_multicast",
		"auth_type_mismatch", "auth_data", "interval_mismatch", "address_list_mismatch":
		return true
	}
	return slices.Contains([]string{
		"bad-vrid-other", "bad-dst-broadcast", "bad-v3-to-v2-router", "bad-v2-to-v3-router",
		"bad-count-zero", "bad-ip6-count-zero",
	}, v.Name)
}

func TestParseGivesTheVerdictOfEachVector(t *testing.T) {
	vs := vrrptest.LoadVectors(t, vectorFile)
	if len(vs) != 94 {
		t.Errorf("%d vectors, want 94", len(vs))
	}
	context := 0
	for _, v := range vs {
		t.Run(v.Name, func(t *testing.T) {
			want := v.Reason
			if v.Valid {
				want = "accepted"
			}
			if contextual(&v) {
				context++
				want = "accepted"
			}
			var p wire.Packet
			if got := wire.Parse(v.Payload(t), v.Header(), &p); got.String() != want {
				t.Fatalf("Parse says %v, want %s", got, want)
			}
			if v.Valid {
				checkFields(t, &v, &p)
			}
		})
	}
	if context != 17 {
		t.Errorf("%d vectors need a configured router, want 17", context)
	}
}

func checkFields(t *testing.T, v *vrrptest.Vector, p *wire.Packet) {
	t.Helper()
	if p.Version != v.Version || p.VRID != v.VRID || p.Priority != v.Priority || p.Interval != v.Interval ||
		!slices.Equal(p.Addresses, v.Addresses) || p.Header != v.Header() || p.Family() != v.Family {
		t.Errorf("got %+v, want the fields of %+v", *p, *v)
	}
	form := map[string]wire.ChecksumForm{
		"ipv4-pseudo-header": wire.ChecksumPseudo, "ipv6-pseudo-header": wire.ChecksumPseudo,
		"message-only": wire.ChecksumMessage,
	}[v.ChecksumMode]
	if v.Name == "v3-ip4-uc-pseudo-mcast-dst" {
		form = wire.ChecksumPseudoGroup
	}
	if p.Checksum != form {
		t.Errorf("verified as %v, want %v", p.Checksum, form)
	}
}

// The encoder leaves the reserve nibble zero and sends the computed checksum, never its alias 0xffff; every other
// valid vector comes back octet for octet.
func TestAppendReproducesValidVectors(t *testing.T) {
	normalised := 0
	for _, v := range vrrptest.LoadVectors(t, vectorFile) {
		if !v.Valid {
			continue
		}
		t.Run(v.Name, func(t *testing.T) {
			in := v.Payload(t)
			var p, again wire.Packet
			wire.Parse(in, v.Header(), &p)
			out, err := p.Append(nil, p.Src, p.Dst, p.Checksum)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(v.Name, "reserved") || strings.Contains(v.Name, "ffff-alias") {
				normalised++
				if why := wire.Parse(out, v.Header(), &again); why != wire.Accepted || !equalPackets(&p, &again) {
					t.Errorf("encoded again: %v, %+v; want %+v", why, again, p)
				}
				if out[4]>>4 != 0 || (out[6] == 0xff && out[7] == 0xff) {
					t.Errorf("octets %x: reserve nibble or checksum alias sent", out)
				}
				return
			}
			if !bytes.Equal(in, out) {
				t.Errorf("encoded again:\n got %x\nwant %x", out, in)
			}
		})
	}
	if normalised != 4 {
		t.Errorf("%d vectors have a reserve nibble or an alias, want 4", normalised)
	}
}

func equalPackets(a, b *wire.Packet) bool {
	return a.Header == b.Header && a.Checksum == b.Checksum && a.Signed == b.Signed && a.Trailer == b.Trailer &&
		equalAdvertisements(&a.Advertisement, &b.Advertisement)
}

func equalAdvertisements(a, b *wire.Advertisement) bool {
	return a.Version == b.Version && a.VRID == b.VRID && a.Priority == b.Priority && a.Interval == b.Interval &&
		a.AuthType == b.AuthType && a.AuthData == b.AuthData && slices.Equal(a.Addresses, b.Addresses)
}
