package kernel

import (
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// ICMPv6 types.
const (
	icmp6ReportV1 = 131
	icmp6Done     = 132
	icmp6Solicit  = 135
	icmp6Advert   = 136
	icmp6ReportV2 = 143
)

// inputRules refuse what is sent to the addresses, by others and by this host itself: a check on the host then sees
// what everybody sees. Neighbor discovery is accepted whatever Accept_Mode is (RFC 9568 section 6.1); ARP does not
// come this way.
func inputRules(four, six, scoped filterSet, counters bool) [][]expr.Any {
	drop := ruling(expr.VerdictDrop, counters)
	return [][]expr.Any{
		slices.Concat(icmp6(icmp6Solicit), ruling(expr.VerdictReturn, false)),
		slices.Concat(icmp6(icmp6Advert), ruling(expr.VerdictReturn, false)),
		slices.Concat(isFamily(unix.NFPROTO_IPV4), ipField(16, 4, 1), []expr.Any{in(four.Set)}, drop),
		slices.Concat(isFamily(unix.NFPROTO_IPV6), ipField(24, 16, 1), []expr.Any{in(six.Set)}, drop),
		slices.Concat(isFamily(unix.NFPROTO_IPV6), ipField(24, 16, 1),
			[]expr.Any{&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 2}, in(scoped.Set)}, drop),
	}
}

// deafRules drop what arrives at the virtual link-layer address of a Backup router over IPv6. Neighbor discovery passes:
// the kernel does not answer for what it does not have, and has it a moment before these rules know.
func deafRules(silent filterSet, counters bool) [][]expr.Any {
	toUs := []expr.Any{&expr.Meta{Key: expr.MetaKeyPKTTYPE, Register: 1}, isOctet(unix.PACKET_HOST)}
	arrived := []expr.Any{&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1}, in(silent.Set)}
	return [][]expr.Any{
		slices.Concat(icmp6(icmp6Solicit), ruling(expr.VerdictReturn, false)),
		slices.Concat(icmp6(icmp6Advert), ruling(expr.VerdictReturn, false)),
		slices.Concat(isFamily(unix.NFPROTO_IPV6), arrived, toUs, ruling(expr.VerdictDrop, counters)),
	}
}

// outputRules keep back what the kernel says of the multicast groups on our interfaces once they have no address any
// more. IGMP never is of use there. Over IPv6, switches that snoop need to hear of the solicited-node groups of virtual
// addresses, which is said from the virtual link-local address; but to leave a group is what a router does that has
// just lost its role.
func outputRules(devices filterSet, counters bool) [][]expr.Any {
	drop := ruling(expr.VerdictDrop, counters)
	ours := []expr.Any{&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: 1}, in(devices.Set)}
	unspecified := append(ipField(8, 16, 1), &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: make([]byte, 16)})
	// The type of the first record of a report (RFC 3810 section 5.2.12): CHANGE_TO_INCLUDE_MODE, of nothing, is to leave.
	leave := append(transportOctet(8), isOctet(3))
	return [][]expr.Any{
		slices.Concat(ours, isProtocol(unix.IPPROTO_IGMP), drop),
		slices.Concat(ours, icmp6(icmp6Done), drop),
		slices.Concat(ours, icmp6(icmp6ReportV2), leave, drop),
		slices.Concat(ours, icmp6(icmp6ReportV1), unspecified, drop),
		slices.Concat(ours, icmp6(icmp6ReportV2), unspecified, drop),
	}
}

func in(s *nftables.Set) expr.Any {
	return &expr.Lookup{SourceRegister: 1, SetName: s.Name, SetID: s.ID}
}

func isOctet(v byte) expr.Any { return &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{v}} }

func isFamily(f byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, isOctet(f)}
}

func isProtocol(p byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, isOctet(p)}
}

// icmp6 matches one type of ICMPv6.
func icmp6(kind byte) []expr.Any {
	return slices.Concat(isFamily(unix.NFPROTO_IPV6), isProtocol(unix.IPPROTO_ICMPV6), transportOctet(0), []expr.Any{isOctet(kind)})
}

// ipField loads a field of the IP header.
func ipField(offset, length, register uint32) []expr.Any {
	return []expr.Any{&expr.Payload{
		DestRegister: register, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: length,
	}}
}

// transportOctet loads an octet of what the IP packet carries.
func transportOctet(offset uint32) []expr.Any {
	return []expr.Any{&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: 1}}
}
