package record

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"

	"failoverd/failover"
	"failoverd/vrrp/wire"
)

// packet is an advertisement that was heard, as wire.Parse has understood it.
type packet struct {
	Interface string            `json:"on"` // empty: the unicast link
	Family    wire.Family       `json:"ip"`
	Src       netip.Addr        `json:"src"`
	Dst       netip.Addr        `json:"dst"`
	Group     netip.Addr        `json:"group"`
	TTL       uint8             `json:"ttl"`
	Version   wire.Version      `json:"version"`
	VRID      uint8             `json:"vrid"`
	Priority  uint8             `json:"priority"`
	Interval  wire.Centiseconds `json:"interval_cs"`
	Addresses []netip.Addr      `json:"addresses"`
	Checksum  wire.ChecksumForm `json:"checksum"`
	AuthType  wire.AuthType     `json:"auth_type"`
	AuthData  string            `json:"auth_data"` // hexadecimal, a substitute
	Trailer   *trailer          `json:"trailer"`
}

type trailer struct {
	Type     uint8         `json:"type"`
	KeyID    uint8         `json:"key"`
	Reserved uint16        `json:"reserved"`
	Sequence wire.Sequence `json:"sequence"`
	MAC      string        `json:"mac"` // hexadecimal, under the substitute of the key
}

// appendPacket appends p as JSON, with substitutes for secrets. It is what most lines consist of, so it is quick.
func appendPacket(b []byte, link failover.LinkID, p *wire.Packet, s *secrets) []byte {
	b = append(b, '{')
	if link.Interface != "" {
		b = appendText(append(b, `"on":`...), link.Interface)
		b = append(b, ',')
	}
	b = appendNumber(b, `"ip":`, uint64(link.Family))
	b = appendAddr(b, `,"src":`, p.Src)
	b = appendAddr(b, `,"dst":`, p.Dst)
	if p.Group.IsValid() {
		b = appendAddr(b, `,"group":`, p.Group)
	}
	b = appendNumber(b, `,"ttl":`, uint64(p.TTL))
	b = appendNumber(b, `,"version":`, uint64(p.Version))
	b = appendNumber(b, `,"vrid":`, uint64(p.VRID))
	b = appendNumber(b, `,"priority":`, uint64(p.Priority))
	b = appendNumber(b, `,"interval_cs":`, uint64(p.Interval))
	b = append(b, `,"addresses":[`...)
	for i, a := range p.Addresses {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendAddr(b, "", a)
	}
	b = append(b, ']')
	if p.Checksum != 0 {
		b = appendNumber(b, `,"checksum":`, uint64(p.Checksum))
	}
	if p.AuthType != wire.AuthNone {
		b = appendNumber(b, `,"auth_type":`, uint64(p.AuthType))
		if d, ok := s.plain[p.AuthData]; ok { // of any other, only that it is another one matters
			b = append(hex.AppendEncode(append(b, `,"auth_data":"`...), d[:]), '"')
		}
	}
	if p.Signed {
		t, mac := &p.Trailer, s.sign(p)
		b = appendNumber(b, `,"trailer":{"type":`, uint64(t.Type))
		b = appendNumber(b, `,"key":`, uint64(t.KeyID))
		b = appendNumber(b, `,"reserved":`, uint64(t.Reserved))
		b = appendNumber(b, `,"sequence":`, uint64(t.Sequence))
		b = append(hex.AppendEncode(append(b, `,"mac":"`...), mac[:]), `"}`...)
	}
	return append(b, '}')
}

func appendNumber(b []byte, name string, n uint64) []byte {
	return strconv.AppendUint(append(b, name...), n, 10)
}

func appendAddr(b []byte, name string, a netip.Addr) []byte {
	b = append(b, name...)
	if a.Zone() != "" {
		return appendText(b, a.String())
	}
	b = append(b, '"')
	b = a.AppendTo(b)
	return append(b, '"')
}

// appendText appends s as a JSON string.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			text, err := json.Marshal(s)
			if err != nil {
				panic(fmt.Sprintf("record: encode %q: %v", s, err)) // every string has JSON
			}
			return append(b, text...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// decode returns the packet and the link that it came by.
func (p *packet) decode() (failover.LinkID, *wire.Packet, error) {
	link := failover.LinkID{Interface: p.Interface, Family: p.Family}
	w := &wire.Packet{
		Header: wire.Header{Src: p.Src, Dst: p.Dst, TTL: p.TTL, Group: p.Group},
		Advertisement: wire.Advertisement{
			Version: p.Version, VRID: p.VRID, Priority: p.Priority, Interval: p.Interval, AuthType: p.AuthType, Addresses: p.Addresses,
		},
		Checksum: p.Checksum,
	}
	bad := func(what string) error { return fmt.Errorf("packet: %s is not what it can be", what) }
	switch {
	case p.Family != wire.IPv4 && p.Family != wire.IPv6:
		return link, nil, bad("ip")
	case !p.Src.IsValid() || wire.FamilyOf(p.Src) != p.Family || !p.Dst.IsValid() || wire.FamilyOf(p.Dst) != p.Family:
		return link, nil, bad("src or dst")
	case p.Version != wire.V2 && p.Version != wire.V3:
		return link, nil, bad("version")
	case p.Checksum > wire.ChecksumPseudoGroup:
		return link, nil, bad("checksum")
	case len(p.Addresses) > 255:
		return link, nil, bad("addresses")
	}
	for _, a := range p.Addresses {
		if !a.IsValid() || wire.FamilyOf(a) != p.Family {
			return link, nil, bad("addresses")
		}
	}
	if err := decodeHex(w.AuthData[:], p.AuthData); err != nil {
		return link, nil, bad("auth_data")
	}
	if t := p.Trailer; t != nil {
		w.Signed = true
		w.Trailer = wire.Trailer{Type: t.Type, KeyID: t.KeyID, Reserved: t.Reserved, Sequence: t.Sequence}
		if err := decodeHex(w.Trailer.MAC[:], t.MAC); err != nil {
			return link, nil, bad("mac")
		}
	}
	return link, w, nil
}

func decodeHex(to []byte, s string) error {
	b, err := hex.DecodeString(s)
	if err == nil && len(b) > len(to) {
		err = fmt.Errorf("%d octets", len(b))
	}
	copy(to, b)
	return err
}
