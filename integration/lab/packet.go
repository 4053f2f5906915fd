package lab

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"failoverd/vrrp/wire"
)

// Packet is a decoded Frame. Exactly one of the pointers is set; a frame that is none of these is left out by Decode.
type Packet struct {
	Frame
	SrcMAC, DstMAC net.HardwareAddr
	Src, Dst       netip.Addr // of the IP header; for ARP sender and target

	VRRP     *VRRP
	ARP      *ARP
	Neighbor *Neighbor
	TCP      *TCP
}

// VRRP is an advertisement as it was on the wire, well formed or not.
type VRRP struct {
	wire.Packet
	Drop wire.DropReason // why wire.Parse refuses it; Accepted when it does not
}

// ARP is an ARP packet for Ethernet and IPv4.
type ARP struct {
	Reply          bool
	SenderMAC      net.HardwareAddr
	Sender, Target netip.Addr
	TargetMAC      net.HardwareAddr
}

// Gratuitous reports whether the packet announces its sender's address: sender and target are the same (RFC 5227).
func (a *ARP) Gratuitous() bool { return a.Sender == a.Target }

// Neighbor is a neighbor solicitation or advertisement (RFC 4861).
type Neighbor struct {
	Advertisement               bool
	Target                      netip.Addr
	Router, Solicited, Override bool
	LinkAddr                    net.HardwareAddr // of the option, nil without it
}

// Unsolicited reports whether it is an advertisement that nobody asked for: the IPv6 form of a gratuitous ARP.
func (n *Neighbor) Unsolicited() bool { return n.Advertisement && !n.Solicited }

// TCP is a segment of a BGP connection.
type TCP struct {
	SrcPort, DstPort   uint16
	Seq, Ack           uint32
	SYN, FIN, RST, PSH bool
	Payload            []byte
}

// Decode decodes frames and leaves out what it does not know, cut short frames included.
func Decode(frames []Frame) []Packet {
	var out []Packet
	for _, f := range frames {
		if p, ok := decode(f); ok {
			out = append(out, p)
		}
	}
	return out
}

// Packets decodes what has been seen so far.
func (c *Capture) Packets() []Packet { return Decode(c.Frames()) }

func decode(f Frame) (Packet, bool) {
	b := f.Data
	if len(b) < 14 {
		return Packet{}, false
	}
	p := Packet{Frame: f, DstMAC: net.HardwareAddr(b[0:6]), SrcMAC: net.HardwareAddr(b[6:12])}
	switch binary.BigEndian.Uint16(b[12:]) {
	case 0x0806:
		return p, p.arp(b[14:])
	case 0x0800:
		return p, p.ipv4(b[14:])
	case 0x86dd:
		return p, p.ipv6(b[14:])
	}
	return Packet{}, false
}

func (p *Packet) arp(b []byte) bool {
	if len(b) < 28 || binary.BigEndian.Uint32(b) != 0x00010800 || b[4] != 6 || b[5] != 4 {
		return false
	}
	p.Src, p.Dst = netip.AddrFrom4([4]byte(b[14:18])), netip.AddrFrom4([4]byte(b[24:28]))
	p.ARP = &ARP{
		Reply: binary.BigEndian.Uint16(b[6:]) == 2, SenderMAC: net.HardwareAddr(b[8:14]), Sender: p.Src,
		TargetMAC: net.HardwareAddr(b[18:24]), Target: p.Dst,
	}
	return true
}

func (p *Packet) ipv4(b []byte) bool {
	if len(b) < 20 || b[0]>>4 != 4 {
		return false
	}
	head, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
	if head < 20 || total < head || len(b) < total {
		return false
	}
	p.Src, p.Dst = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	return p.payload(b[9], b[8], b[head:total])
}

func (p *Packet) ipv6(b []byte) bool {
	if len(b) < 40 || b[0]>>4 != 6 {
		return false
	}
	total := 40 + int(binary.BigEndian.Uint16(b[4:]))
	if len(b) < total {
		return false
	}
	p.Src, p.Dst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
	return p.payload(b[6], b[7], b[40:total])
}

func (p *Packet) payload(proto, ttl byte, b []byte) bool {
	switch proto {
	case wire.Protocol:
		p.VRRP = &VRRP{}
		p.VRRP.Drop = wire.Parse(b, wire.Header{Src: p.Src, Dst: p.Dst, TTL: ttl}, &p.VRRP.Packet)
		return true
	case 6:
		return p.tcp(b)
	case 58:
		return p.icmpv6(b)
	}
	return false
}

func (p *Packet) tcp(b []byte) bool {
	if len(b) < 20 || int(b[12]>>4)*4 < 20 || len(b) < int(b[12]>>4)*4 {
		return false
	}
	p.TCP = &TCP{
		SrcPort: binary.BigEndian.Uint16(b), DstPort: binary.BigEndian.Uint16(b[2:]),
		Seq: binary.BigEndian.Uint32(b[4:]), Ack: binary.BigEndian.Uint32(b[8:]),
		FIN: b[13]&1 != 0, SYN: b[13]&2 != 0, RST: b[13]&4 != 0, PSH: b[13]&8 != 0,
		Payload: b[int(b[12]>>4)*4:],
	}
	return true
}

// Types of ICMPv6 messages and of their options (RFC 4861 section 4).
const (
	neighborSolicitation  = 135
	neighborAdvertisement = 136
	optionTargetLinkAddr  = 2
)

func (p *Packet) icmpv6(b []byte) bool {
	if len(b) < 24 || (b[0] != neighborSolicitation && b[0] != neighborAdvertisement) {
		return false
	}
	n := &Neighbor{Advertisement: b[0] == neighborAdvertisement, Target: netip.AddrFrom16([16]byte(b[8:24]))}
	if n.Advertisement {
		n.Router, n.Solicited, n.Override = b[4]&0x80 != 0, b[4]&0x40 != 0, b[4]&0x20 != 0
	}
	for o := b[24:]; len(o) >= 8 && o[1] != 0 && len(o) >= int(o[1])*8; o = o[int(o[1])*8:] {
		if o[0] == optionTargetLinkAddr {
			n.LinkAddr = net.HardwareAddr(o[2:8])
		}
	}
	p.Neighbor = n
	return true
}

// String returns the packet in a form for people, without the time.
func (p *Packet) String() string {
	switch {
	case p.VRRP != nil && p.VRRP.Drop != wire.Accepted:
		return fmt.Sprintf("vrrp %s > %s refused: %s", p.Src, p.Dst, p.VRRP.Drop)
	case p.VRRP != nil:
		v := p.VRRP
		return fmt.Sprintf("vrrp %s > %s version %d vrid %d priority %d ttl %d", p.Src, p.Dst, v.Version, v.VRID, v.Priority, v.TTL)
	case p.ARP != nil && p.ARP.Gratuitous():
		return fmt.Sprintf("arp announces %s at %s", p.ARP.Sender, p.ARP.SenderMAC)
	case p.ARP != nil && p.ARP.Reply:
		return fmt.Sprintf("arp reply %s is at %s", p.ARP.Sender, p.ARP.SenderMAC)
	case p.ARP != nil:
		return fmt.Sprintf("arp %s asks for %s", p.ARP.Sender, p.ARP.Target)
	case p.Neighbor != nil && p.Neighbor.Unsolicited():
		return fmt.Sprintf("na announces %s at %s", p.Neighbor.Target, p.Neighbor.LinkAddr)
	case p.Neighbor != nil && p.Neighbor.Advertisement:
		return fmt.Sprintf("na %s is at %s", p.Neighbor.Target, p.Neighbor.LinkAddr)
	case p.Neighbor != nil:
		return fmt.Sprintf("ns %s asks for %s", p.Src, p.Neighbor.Target)
	case p.TCP != nil:
		return fmt.Sprintf("tcp %s:%d > %s:%d%s %d octets", p.Src, p.TCP.SrcPort, p.Dst, p.TCP.DstPort, p.TCP.flags(), len(p.TCP.Payload))
	}
	return "packet"
}

func (t *TCP) flags() string {
	var b strings.Builder
	for _, f := range []struct {
		set  bool
		name string
	}{{t.SYN, " SYN"}, {t.FIN, " FIN"}, {t.RST, " RST"}} {
		if f.set {
			b.WriteString(f.name)
		}
	}
	return b.String()
}
