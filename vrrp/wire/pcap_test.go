package wire_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"failoverd/vrrp/wire"
)

// datagram is an IP packet of a capture.
type datagram struct {
	header   wire.Header
	protocol uint8
	payload  []byte
}

// readCapture returns the IP packets of a classic pcap file with Ethernet frames, tagged or not.
func readCapture(tb testing.TB, file string) []datagram {
	tb.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	frames, err := capturedFrames(b)
	if err != nil {
		tb.Fatalf("%s: %v", file, err)
	}
	var ds []datagram
	for _, f := range frames {
		if d, ok := parseFrame(f); ok {
			ds = append(ds, d)
		}
	}
	return ds
}

func capturedFrames(b []byte) ([][]byte, error) {
	const ethernet = 1
	var order binary.ByteOrder = binary.LittleEndian
	switch {
	case len(b) < 24:
		return nil, fmt.Errorf("%d octets are no capture", len(b))
	case binary.BigEndian.Uint32(b) == 0xa1b2c3d4, binary.BigEndian.Uint32(b) == 0xa1b23c4d:
		order = binary.BigEndian
	case order.Uint32(b) != 0xa1b2c3d4 && order.Uint32(b) != 0xa1b23c4d:
		return nil, fmt.Errorf("magic %x", b[:4])
	}
	if l := order.Uint32(b[20:]); l != ethernet {
		return nil, fmt.Errorf("link type %d, want Ethernet", l)
	}
	var frames [][]byte
	for b = b[24:]; len(b) >= 16; {
		captured, original := order.Uint32(b[8:]), order.Uint32(b[12:])
		if captured != original || uint32(len(b)-16) < captured {
			return nil, fmt.Errorf("frame %d was cut: %d of %d octets", len(frames)+1, captured, original)
		}
		frames = append(frames, b[16:16+captured])
		b = b[16+captured:]
	}
	return frames, nil
}

// parseFrame returns the IP packet of an Ethernet frame, without Ethernet's padding.
func parseFrame(f []byte) (d datagram, ok bool) {
	if len(f) < 14 {
		return d, false
	}
	kind, b := binary.BigEndian.Uint16(f[12:]), f[14:]
	if kind == 0x8100 && len(b) >= 4 { // 802.1Q
		kind, b = binary.BigEndian.Uint16(b[2:]), b[4:]
	}
	switch {
	case kind == 0x0800 && len(b) >= 20:
		header, total := int(b[0]&0x0f)*4, int(binary.BigEndian.Uint16(b[2:]))
		d.header = wire.Header{
			Src: netip.AddrFrom4([4]byte(b[12:])), Dst: netip.AddrFrom4([4]byte(b[16:])), TTL: b[8],
		}
		d.protocol, d.payload = b[9], b[header:total]
		return d, true
	case kind == 0x86dd && len(b) >= 40:
		length := int(binary.BigEndian.Uint16(b[4:]))
		d.header = wire.Header{
			Src: netip.AddrFrom16([16]byte(b[8:])), Dst: netip.AddrFrom16([16]byte(b[24:])), TTL: b[7],
		}
		d.protocol, d.payload = b[6], b[40:40+length]
		return d, true
	}
	return d, false
}

func captures(tb testing.TB) []string {
	tb.Helper()
	files, err := filepath.Glob("testdata/pcap/*.pcap")
	if err != nil || len(files) != 34 {
		tb.Fatalf("%d captures (%v), want 34", len(files), err)
	}
	return files
}

// wantCapture derives from a capture's name what its adverts must say.
func wantCapture(name string) (version wire.Version, family wire.Family, addresses int, form wire.ChecksumForm) {
	version, family, addresses, form = wire.V3, wire.IPv4, 1, wire.ChecksumPseudo
	if strings.Contains(name, "-v2-") {
		version, form = wire.V2, wire.ChecksumMessage
	}
	if strings.Contains(name, "-ip6-") {
		family = wire.IPv6
	}
	for _, n := range []int{3, 20} {
		if strings.Contains(name, fmt.Sprintf("-%dvip", n)) {
			addresses = n
		}
	}
	switch name {
	case "keepalived-v3-ip4-excluded", "keepalived-v3-ip6-vmac", "keepalived-v3-ip6-prio0":
		addresses = 2
	}
	return version, family, addresses, form
}

// firstNotLinkLocal names the captures whose sender was given no link-local virtual address. FRR then advertises the
// global ones alone, which RFC 9568 section 5.2.9 forbids and erratum 8300 makes a reason to discard (V3-RX-13).
var firstNotLinkLocal = map[string]bool{
	"frr-v3-ip6-1vip": true, "frr-v3-ip6-3vip": true, "frr-v3-ip6-prio0": true,
}

// noAdvert names the capture whose adverts travel inside AH, IP protocol 51: none of ours.
const noAdvert = "keepalived-v2-ip4-authah"

func TestRecordedPacketsAreAcceptedAndReproduced(t *testing.T) {
	for _, file := range captures(t) {
		name := strings.TrimSuffix(filepath.Base(file), ".pcap")
		t.Run(name, func(t *testing.T) {
			adverts, authenticated := 0, 0
			for _, d := range readCapture(t, file) {
				switch d.protocol {
				case 51:
					authenticated++
				case wire.Protocol:
					adverts++
					if firstNotLinkLocal[name] {
						checkRefusedCapture(t, &d)
					} else {
						checkCapture(t, name, &d)
					}
				}
			}
			if (adverts == 0) != (name == noAdvert) || (authenticated == 0) == (name == noAdvert) {
				t.Errorf("%d adverts of protocol 112, %d packets of AH", adverts, authenticated)
			}
		})
	}
}

func checkCapture(t *testing.T, name string, d *datagram) {
	t.Helper()
	version, family, addresses, form := wantCapture(name)
	var p wire.Packet
	if why := wire.Parse(d.payload, d.header, &p); why != wire.Accepted {
		t.Fatalf("%x: %v", d.payload, why)
	}
	if p.Version != version || p.Family() != family || p.Checksum != form || len(p.Addresses) != addresses {
		t.Errorf("version %d over %v, checksum %v, %d addresses", p.Version, p.Family(), p.Checksum, len(p.Addresses))
	}
	if hand := byHand(d); !equalAdvertisements(&p.Advertisement, &hand) {
		t.Errorf("got %+v, want %+v", p.Advertisement, hand)
	}
	checkEncodes(t, &p.Advertisement, d, p.Checksum)
}

func checkRefusedCapture(t *testing.T, d *datagram) {
	t.Helper()
	var p wire.Packet
	if why := wire.Parse(d.payload, d.header, &p); why != wire.DropFirstNotLinkLocal {
		t.Errorf("%x: %v, want %v", d.payload, why, wire.DropFirstNotLinkLocal)
	}
	hand := byHand(d)
	checkEncodes(t, &hand, d, wire.ChecksumPseudo)
}

func checkEncodes(t *testing.T, a *wire.Advertisement, d *datagram, form wire.ChecksumForm) {
	t.Helper()
	out, err := a.Append(nil, d.header.Src, d.header.Dst, form)
	if err != nil || !bytes.Equal(out, d.payload) {
		t.Errorf("encoded again: %v\n got %x\nwant %x", err, out, d.payload)
	}
}

// byHand reads a well-formed advert without the package under test.
func byHand(d *datagram) (a wire.Advertisement) {
	b := d.payload
	a.Version, a.VRID, a.Priority = wire.Version(b[0]>>4), b[1], b[2]
	a.Interval = wire.Centiseconds(b[4])<<8 + wire.Centiseconds(b[5])
	end := len(b)
	if a.Version == wire.V2 {
		a.AuthType, a.Interval = wire.AuthType(b[4]), wire.Centiseconds(b[5])*100
		end -= copy(a.AuthData[:], b[end-8:])
	}
	for n := d.header.Src.BitLen() / 8; len(b[8:end]) >= n; b = b[n:] {
		addr, _ := netip.AddrFromSlice(b[8 : 8+n])
		a.Addresses = append(a.Addresses, addr)
		end -= n
	}
	return a
}

// The names of some captures promise content.
func TestRecordedPacketsSayWhatTheirNamesPromise(t *testing.T) {
	for _, tt := range []struct {
		file string
		has  func(*wire.Packet) bool
	}{
		{"frr-v3-ip4-prio0", func(p *wire.Packet) bool { return p.Priority == wire.PriorityRelease }},
		{"keepalived-v3-ip6-prio0", func(p *wire.Packet) bool { return p.Priority == wire.PriorityRelease }},
		{"frr-v3-ip4-adv100ms", func(p *wire.Packet) bool { return p.Interval == 10 }},
		{"keepalived-v2-ip4-prio0", func(p *wire.Packet) bool { return p.Priority == wire.PriorityRelease }},
		{"keepalived-v2-ip4-authpass", func(p *wire.Packet) bool {
			return p.AuthType == wire.AuthSimple && p.AuthData != [8]byte{}
		}},
		{"keepalived-v3-ip4-adv10ms", func(p *wire.Packet) bool { return p.Interval == 1 }},
		{"keepalived-v3-ip4-prio255", func(p *wire.Packet) bool { return p.Priority == wire.PriorityOwner }},
		{"keepalived-v3-ip4-vrid255-prio1", func(p *wire.Packet) bool { return p.VRID == 255 && p.Priority == 1 }},
		{"keepalived-v3-ip4-unicast-1vip", func(p *wire.Packet) bool { return !p.Dst.IsMulticast() }},
		{"keepalived-v3-ip6-unicast-1vip", func(p *wire.Packet) bool { return !p.Dst.IsMulticast() }},
	} {
		t.Run(tt.file, func(t *testing.T) {
			found := false
			for _, d := range readCapture(t, "testdata/pcap/"+tt.file+".pcap") {
				var p wire.Packet
				if d.protocol == wire.Protocol && wire.Parse(d.payload, d.header, &p) == wire.Accepted && tt.has(&p) {
					found = true
				}
			}
			if !found {
				t.Error("no such advert in the capture")
			}
		})
	}
}

func TestCaptureReaderUnderstandsTags(t *testing.T) {
	for _, d := range readCapture(t, "testdata/pcap/frr-v3-ip4-1vip.pcap") {
		if d.protocol != wire.Protocol {
			continue
		}
		frame := make([]byte, 14+4+20, 64)
		copy(frame[12:], []byte{0x81, 0x00, 0x00, 0x00, 0x08, 0x00})
		ip := frame[18:]
		ip[0], ip[8], ip[9] = 0x45, d.header.TTL, d.protocol
		binary.BigEndian.PutUint16(ip[2:], uint16(20+len(d.payload)))
		copy(ip[12:], d.header.Src.AsSlice())
		copy(ip[16:], d.header.Dst.AsSlice())
		frame = append(append(frame, d.payload...), 0, 0, 0, 0) // padded
		got, ok := parseFrame(frame)
		if !ok || got.header != d.header || !bytes.Equal(got.payload, d.payload) {
			t.Errorf("tagged frame: %+v, want %+v", got, d)
		}
		return
	}
	t.Error("no advert found")
}
