package vrrp_test

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"testing"
	"time"

	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// One advertisement of each capture in wire/testdata/hmac, which keepalived 2.4.3 has sent.
var recorded = []struct {
	name, src, dst string
	sequence       wire.Sequence
	priority       uint8
	packet         string
}{
	{"version 2", "192.0.2.11", "224.0.0.18", 0x6b007bac187e0000, 200, "2133c80100015465c00002640000000000000000010100006b007bac187e0000b2996b5c37711ea4b141b8764e2306f2"},
	{"a release of version 2", "192.0.2.11", "224.0.0.18", 0x6b007baf5b690000, 0, "2133000100011c66c00002640000000000000000010100006b007baf5b6900000f1553ec7f2c6be737a6ef9da6de6311"},
	{"version 3", "192.0.2.11", "224.0.0.18", 0x6b007b9937710000, 200, "3133c8010064a167c0000264010100006b007b99377100002e2ef7f73683f29f4a3f1dae743c3396"},
	{"key 2", "192.0.2.11", "224.0.0.18", 0x6b007ba3d94d0000, 200, "3133c8010064a167c0000264010200006b007ba3d94d0000e94bbf75c7a582a948ec76a3b63c0f27"},
	{"unicast", "192.0.2.11", "192.0.2.12", 0x6b007bb4a6d30000, 200, "3133c8010064bf6dc0000264010100006b007bb4a6d30000228dd8ce82e310cbc0c3ae8639dfa023"},
	{"IPv6", "fe80::2486:6cff:fed8:7198", "ff02::12", 0x6b007bbdac3a0000, 200, "3133c8020064752cfe80000000000000000000000000005120010db8000000000000000000000100010100006b007bbdac3a0000daaafe47056768ee68b694b94fb53b06"},
	{"IPv6 by unicast, key 2", "2001:db8::11", "2001:db8::12", 0x6b007bc6b4e20000, 200, "3133c8020064e214fe80000000000000000000000000005120010db8000000000000000000000100010200006b007bc6b4e2000021f2f6d6dc421539202c72e9d0f58f80"},
}

// wallOf returns the first nanosecond that has a sequence number.
func wallOf(n wire.Sequence) int64 {
	fraction := int64(n >> 16 & 0xffff)
	return int64(n>>32)*int64(time.Second) + (fraction*int64(time.Second)+0xffff)>>16
}

// Both ends of the same octets: the router sends what keepalived has sent, and believes it, once.
func TestHMACIsThatOfKeepalived(t *testing.T) {
	for _, tt := range recorded {
		t.Run(tt.name, func(t *testing.T) {
			b, err := hex.DecodeString(tt.packet)
			if err != nil {
				t.Fatal(err)
			}
			src, dst := addr(tt.src), addr(tt.dst)
			p, wall := decode(t, b, src, dst), wallOf(tt.sequence)
			c := config(100, authenticated(activeKey(p.Trailer.KeyID)), func(c *vrrp.Config) {
				c.Key.Family, c.Version, c.Addresses = p.Family(), p.Version, p.Addresses
				if c.Unicast = !dst.IsMulticast(); c.Unicast {
					c.Peers = []vrrp.Peer{{Address: src}, {Address: dst}}
				}
			})
			if got := advert(t, signer(t, src, c), dst, tt.priority, wall); !bytes.Equal(got, b) {
				t.Errorf("sent\n got %x\nwant %x", got, b)
			}
			r := newRouter(t, c)
			if r.SetSource(own6); src.Is4() {
				r.SetSource(higher)
			}
			if c.Unicast {
				r.SetSource(dst)
			}
			r.Startup(0)
			gets(t, r, wall, p, wire.Accepted)
			gets(t, r, wall, p, wire.DropHMACReplay)
			for i := range 8 * (len(b) - wire.TrailerLen) {
				// Whoever changes the message can make the checksum right, as an attacker would.
				if i/8 == 6 || i/8 == 7 {
					continue
				}
				if q, ok := tampered(p, b, i); ok {
					gets(t, r, wall+1, q, wire.DropHMACBad)
				}
			}
		})
	}
}

// tampered is p with bit i of its message flipped, and the checksum that belongs to it; false: the codec, or what comes
// before authentication, refuses it.
func tampered(p *wire.Packet, b []byte, i int) (*wire.Packet, bool) {
	b = bytes.Clone(b)
	b[i/8] ^= 0x80 >> (i % 8)
	q := new(wire.Packet)
	covered := b
	if p.Family() == wire.IPv4 {
		covered = b[:len(b)-wire.TrailerLen]
	}
	b[6], b[7] = 0, 0
	var sum uint32
	for j := 0; j < len(covered); j += 2 {
		sum += uint32(covered[j])<<8 | uint32(covered[j+1])
	}
	if p.Family() == wire.IPv6 {
		for _, a := range []netip.Addr{p.Src, p.Dst} {
			for o := a.AsSlice(); len(o) > 0; o = o[2:] {
				sum += uint32(o[0])<<8 | uint32(o[1])
			}
		}
		sum += uint32(len(covered)) + wire.Protocol
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	b[6], b[7] = byte(^sum>>8), byte(^sum)
	why := wire.Parse(b, p.Header, q)
	return q, why == wire.Accepted && q.Signed && q.Version == p.Version && q.VRID == p.VRID
}
