package wire

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"testing"
)

// The worked examples: sums of the parts, checksum field zero, and the complement that goes on the wire. They were
// verified with two other implementations.
func TestChecksumWorkedExamples(t *testing.T) {
	const (
		multicast4 = "313364010064" + "0000" + "c000020a"
		unicast4   = "313664010064" + "0000" + "c0000228"
		multicast6 = "313364020064" + "0000" + "fe800000000000000000000000000051" + "20010db8005100000000000000000010"
	)
	for _, tt := range []struct {
		name     string
		version  Version
		src, dst string
		form     ChecksumForm
		msg      string
		message  uint16 // folded sum of the message
		covered  uint16 // folded sum of what is covered besides
		total    uint16
		want     uint16
	}{
		{"v3 IPv4 multicast A", V3, "192.0.2.13", "224.0.0.18", ChecksumMessage, multicast4, 0x57a3, 0, 0x57a3, 0xa85c},
		{"v3 IPv4 multicast B", V3, "192.0.2.13", "224.0.0.18", ChecksumPseudo, multicast4, 0x57a3, 0xa29c, 0xfa3f, 0x05c0},
		{"v3 IPv4 unicast A", V3, "192.0.2.13", "192.0.2.11", ChecksumMessage, unicast4, 0x57c4, 0, 0x57c4, 0xa83b},
		{"v3 IPv4 unicast B1", V3, "192.0.2.13", "192.0.2.11", ChecksumPseudo, unicast4, 0x57c4, 0x8495, 0xdc59, 0x23a6},
		{"v3 IPv4 unicast B2", V3, "192.0.2.13", "192.0.2.11", ChecksumPseudoGroup, unicast4, 0x57c4, 0xa29c, 0xfa60, 0x059f},
		{"v3 IPv6", V3, "fe80::ff:fe00:c", "ff02::12", ChecksumPseudo, multicast6, 0xc285, 0xfd39, 0xbfbf, 0x4040},
		{"v3 IPv6, form A asked for", V3, "fe80::ff:fe00:c", "ff02::12", ChecksumMessage, multicast6, 0xc285, 0xfd39, 0xbfbf, 0x4040},
		{
			"v2, no authentication", V2, "192.0.2.13", "224.0.0.18", ChecksumPseudo,
			"213464010001" + "0000" + "c0000214" + "0000000000000000", 0x474b, 0, 0x474b, 0xb8b4,
		},
		{
			"v2, simple text", V2, "192.0.2.13", "224.0.0.18", ChecksumMessage,
			"213564010101" + "0000" + "c000021e" + "7333637265740000", 0x8470, 0, 0x8470, 0x7b8f,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			msg, err := hex.DecodeString(tt.msg)
			if err != nil {
				t.Fatal(err)
			}
			src, dst := netip.MustParseAddr(tt.src), netip.MustParseAddr(tt.dst)
			message, covered := sum(0, msg), coverage(tt.version, src, dst, len(msg), tt.form)
			if fold(message) != tt.message || fold(covered) != tt.covered || fold(message+covered) != tt.total {
				t.Errorf("sums %04x %04x %04x, want %04x %04x %04x",
					fold(message), fold(covered), fold(message+covered), tt.message, tt.covered, tt.total)
			}
			got := checksum(msg, tt.version, src, dst, tt.form)
			if got != tt.want {
				t.Errorf("checksum %04x, want %04x", got, tt.want)
			}
			binary.BigEndian.PutUint16(msg[checksumOff:], got)
			if form, ok := verify(msg, tt.version, src, dst); !ok || form != reported(tt.version, src, tt.form) {
				t.Errorf("verifies: %v as %v", ok, form)
			}
			msg[checksumOff] ^= 0x10
			if form, ok := verify(msg, tt.version, src, dst); ok {
				t.Errorf("a wrong checksum verifies as %v", form)
			}
		})
	}
}

// reported is the form that verify names: where there is no choice, the only one.
func reported(v Version, src netip.Addr, form ChecksumForm) ChecksumForm {
	switch {
	case v == V2:
		return ChecksumMessage
	case src.Is6():
		return ChecksumPseudo
	}
	return form
}

func TestSumPadsAnOddOctet(t *testing.T) {
	for _, tt := range []struct {
		in   []byte
		want uint16
	}{
		{nil, 0},
		{[]byte{0x12}, 0x1200},
		{[]byte{0xff, 0xff, 0x00, 0x01}, 0x0001}, // end-around carry
		{[]byte{0xff, 0xff, 0x01}, 0x0100},
	} {
		if got := fold(sum(0, tt.in)); got != tt.want {
			t.Errorf("sum of %x is %04x, want %04x", tt.in, got, tt.want)
		}
	}
}

// The group's pseudo-header is no legal form of a multicast packet with another destination, nor over IPv6.
func TestVerifyOffersEachFormOnlyWhereItIsLegal(t *testing.T) {
	src, group := netip.MustParseAddr("192.0.2.13"), netip.MustParseAddr("224.0.0.18")
	msg, err := hex.DecodeString("3133640100640000c000020a")
	if err != nil {
		t.Fatal(err)
	}
	binary.BigEndian.PutUint16(msg[checksumOff:], checksum(msg, V3, src, group, ChecksumPseudoGroup))
	if form, ok := verify(msg, V3, src, netip.MustParseAddr("224.0.0.5")); ok {
		t.Errorf("another group: verifies as %v", form)
	}
	if form, ok := verify(msg, V3, src, netip.MustParseAddr("192.0.2.11")); !ok || form != ChecksumPseudoGroup {
		t.Errorf("unicast: %v %v", form, ok)
	}
	if form, ok := verify(msg, V3, src, group); !ok || form != ChecksumPseudo {
		t.Errorf("the group itself: %v %v, want the plain pseudo-header", form, ok)
	}
}
