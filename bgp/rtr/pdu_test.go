package rtr

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"failoverd/bgp"
)

func octets(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

// pdus are the formats of RFC 8210 section 5 and RFC 6810 section 5, written out by hand.
var pdus = []struct {
	name string
	wire string
	want PDU
}{
	{"Serial Notify", "01 00 1234 0000000c 00000007", PDU{Version: 1, Type: SerialNotify, Session: 0x1234, Serial: 7}},
	{"Serial Query", "01 01 1234 0000000c 00000007", PDU{Version: 1, Type: SerialQuery, Session: 0x1234, Serial: 7}},
	{"Reset Query", "01 02 0000 00000008", PDU{Version: 1, Type: ResetQuery}},
	{"Cache Response", "01 03 1234 00000008", PDU{Version: 1, Type: CacheResponse, Session: 0x1234}},
	{"IPv4 Prefix", "01 04 0000 00000014 01 18 19 00 c6336400 0000fbf5", PDU{
		Version: 1, Type: IPv4Prefix, Announce: true, VRP: bgp.VRP{Prefix: netip.MustParsePrefix("198.51.100.0/24"), MaxLength: 25, AS: 64501},
	}},
	{"IPv4 Prefix withdrawn", "01 04 0000 00000014 00 18 18 00 c6336400 0000fbf5", PDU{
		Version: 1, Type: IPv4Prefix, VRP: bgp.VRP{Prefix: netip.MustParsePrefix("198.51.100.0/24"), MaxLength: 24, AS: 64501},
	}},
	{"IPv6 Prefix", "01 06 0000 00000020 01 30 40 00 20010db8010000000000000000000000 fffffffe", PDU{
		Version: 1, Type: IPv6Prefix, Announce: true, VRP: bgp.VRP{Prefix: netip.MustParsePrefix("2001:db8:100::/48"), MaxLength: 64, AS: 4294967294},
	}},
	{"End of Data, version 1", "01 07 1234 00000018 00000007 00000e10 00000258 00001c20", PDU{
		Version: 1, Type: EndOfData, Session: 0x1234, Serial: 7, Refresh: 3600, Retry: 600, Expire: 7200,
	}},
	{"End of Data, version 0", "00 07 1234 0000000c 00000007", PDU{Type: EndOfData, Session: 0x1234, Serial: 7}},
	{"Cache Reset", "01 08 0000 00000008", PDU{Version: 1, Type: CacheReset}},
	{"Error Report", "01 0a 0002 00000012 00000000 00000002 6e6f", PDU{
		Version: 1, Type: ErrorReport, Code: NoDataAvailable, Quoted: []byte{}, Text: []byte("no"),
	}},
	{"Error Report that quotes", "00 0a 0004 00000018 00000008 0102000000000008 00000000", PDU{
		Type: ErrorReport, Code: UnsupportedVersion, Quoted: octets("0102000000000008"), Text: []byte{},
	}},
}

func TestParse(t *testing.T) {
	for _, c := range pdus {
		t.Run(c.name, func(t *testing.T) {
			b := octets(c.wire)
			got, n, err := Parse(append(b, 0xff))
			if err != nil || n != len(b) || !reflect.DeepEqual(got, c.want) {
				t.Fatalf("%+v, %d octets, %v\nwant %+v", got, n, err, c.want)
			}
			if again := got.Append(nil); !bytes.Equal(again, b) {
				t.Errorf("encoded as %x, want %x", again, b)
			}
			for i := range len(b) {
				if _, n, err := Parse(b[:i]); n != 0 || err != nil {
					t.Errorf("the first %d octets: length %d, %v", i, n, err)
				}
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct {
		name, wire string
		code       Code
	}{
		{"a version of the future", "03 02 0000 00000008", UnsupportedVersion},
		{"HTTP", "48545450 2f312e31", UnsupportedVersion},
		{"a type that does not exist", "01 05 0000 00000008", UnsupportedType},
		{"a Router Key in version 0", "00 09 0100 00000020", UnsupportedType},
		{"a length less than the header", "01 03 1234 00000004", CorruptData},
		{"a length of zero", "01 08 0000 00000000", CorruptData},
		{"a length beyond reason", "01 0a 0000 ffffffff", CorruptData},
		{"a long prefix PDU", "01 04 0000 00000015", CorruptData},
		{"a short prefix PDU", "01 04 0000 00000013", CorruptData},
		{"an End of Data of the other version", "00 07 1234 00000018", CorruptData},
		{"33 bits of IPv4", "01 04 0000 00000014 01 21 21 00 c6336400 0000fbf5", CorruptData},
		{"a maximum length of 33", "01 04 0000 00000014 01 18 21 00 c6336400 0000fbf5", CorruptData},
		{"a maximum length below the length", "01 04 0000 00000014 01 18 17 00 c6336400 0000fbf5", CorruptData},
		{"129 bits of IPv6", "01 06 0000 00000020 01 81 81 00 20010db8010000000000000000000000 00000001", CorruptData},
		{"an Error Report that quotes too much", "01 0a 0000 00000010 ffffffff 00000000", CorruptData},
		{"an Error Report with too long a text", "01 0a 0000 00000010 00000000 00000001", CorruptData},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, n, err := Parse(octets(c.wire))
			var wrong *ProtocolError
			if !errors.As(err, &wrong) || wrong.Code != c.code || n != 0 {
				t.Errorf("length %d, %v, want %v", n, err, c.code)
			}
		})
	}
}

// FuzzParse: nothing that arrives makes it panic or run over, and what it accepts is what it would send.
func FuzzParse(f *testing.F) {
	for _, c := range pdus {
		f.Add(octets(c.wire))
	}
	f.Add(octets("01 09 0100 00000020 0000000000000000000000000000000000000000 0000fbf5"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, n, err := Parse(b)
		switch {
		case n < 0 || n > len(b) || err != nil && n != 0:
			t.Fatalf("length %d of %d, %v", n, len(b), err)
		case n == 0 || p.Type == RouterKey:
			return
		}
		q, m, err := Parse(p.Append(nil))
		if err != nil || m != n || !reflect.DeepEqual(p, q) {
			t.Fatalf("%+v is sent and read as %+v (%d octets, %v)", p, q, m, err)
		}
	})
}
