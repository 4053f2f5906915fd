package kernel

import (
	"encoding/binary"
	"math"
	"net/netip"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"failoverd/failover"
)

// sizeofRuleHeader is the length of struct fib_rule_hdr.
const sizeofRuleHeader = 12

// ruleHeader is struct fib_rule_hdr.
type ruleHeader struct {
	family, toLen, fromLen, tos, table, action uint8
	flags                                      uint32 // FIB_RULE_*
}

// Len returns the length of the header in octets.
func (h *ruleHeader) Len() int { return sizeofRuleHeader }

// Serialize returns the header in the kernel's order.
func (h *ruleHeader) Serialize() []byte {
	b := []byte{h.family, h.toLen, h.fromLen, h.tos, h.table, 0, 0, h.action}
	return binary.NativeEndian.AppendUint32(b, h.flags)
}

func ruleFamily(r *failover.KernelRule) uint8 {
	if r.IPv6 {
		return unix.AF_INET6
	}
	return unix.AF_INET
}

// ruleRequest returns the message that adds or deletes e.
func ruleRequest(kind, flags int, e *ruleEntry) *nl.NetlinkRequest {
	h := &ruleHeader{family: ruleFamily(&e.KernelRule), tos: e.TOS, action: e.Action}
	if e.Not {
		h.flags = unix.FIB_RULE_INVERT
	}
	req := nl.NewNetlinkRequest(kind, flags)
	req.AddData(h)
	add := func(kind int, v []byte) { req.AddData(nl.NewRtAttr(kind, v)) }
	if e.From.IsValid() {
		h.fromLen = uint8(e.From.Bits())
		add(unix.FRA_SRC, e.From.Addr().AsSlice())
	}
	if e.To.IsValid() {
		h.toLen = uint8(e.To.Bits())
		add(unix.FRA_DST, e.To.Addr().AsSlice())
	}
	if e.InInterface != "" {
		add(unix.FRA_IIFNAME, nl.ZeroTerminated(e.InInterface))
	}
	if e.OutInterface != "" {
		add(unix.FRA_OIFNAME, nl.ZeroTerminated(e.OutInterface))
	}
	add(unix.FRA_PRIORITY, nl.Uint32Attr(e.Priority))
	if e.Mask != 0 {
		add(unix.FRA_FWMARK, nl.Uint32Attr(e.Mark))
		add(unix.FRA_FWMASK, nl.Uint32Attr(e.Mask))
	}
	switch e.Action {
	case unix.FR_ACT_TO_TBL:
		if e.Table < 256 {
			h.table = uint8(e.Table)
		}
		add(unix.FRA_TABLE, nl.Uint32Attr(e.Table))
	case unix.FR_ACT_GOTO:
		add(unix.FRA_GOTO, nl.Uint32Attr(e.Goto))
	}
	if e.SuppressPrefixLength != 0 {
		add(unix.FRA_SUPPRESS_PREFIXLEN, nl.Uint32Attr(uint32(e.SuppressPrefixLength)-1))
	}
	if e.IPProto != 0 {
		add(unix.FRA_IP_PROTO, nl.Uint8Attr(e.IPProto))
	}
	if e.SourcePortLast != 0 {
		add(unix.FRA_SPORT_RANGE, portRange(e.SourcePortFirst, e.SourcePortLast))
	}
	if e.DestPortLast != 0 {
		add(unix.FRA_DPORT_RANGE, portRange(e.DestPortFirst, e.DestPortLast))
	}
	if e.HasUID {
		add(unix.FRA_UID_RANGE, binary.NativeEndian.AppendUint32(nl.Uint32Attr(e.UIDFirst), e.UIDLast))
	}
	add(unix.FRA_PROTOCOL, nl.Uint8Attr(e.proto))
	return req
}

func portRange(first, last uint16) []byte {
	return binary.NativeEndian.AppendUint16(binary.NativeEndian.AppendUint16(nil, first), last)
}

func ruleDump(family uint8) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(unix.RTM_GETRULE, unix.NLM_F_DUMP)
	req.AddData(&ruleHeader{family: family})
	return req
}

// parseRule reads the body of RTM_NEWRULE and RTM_DELRULE. It reports false for families other than IPv4 and IPv6, for
// rules with more to them than a failover.KernelRule can say, and for anything malformed.
func parseRule(b []byte) (e ruleEntry, ok bool) {
	if len(b) < sizeofRuleHeader || b[0] != unix.AF_INET && b[0] != unix.AF_INET6 {
		return ruleEntry{}, false
	}
	e.IPv6 = b[0] == unix.AF_INET6
	e.TOS, e.Table, e.Action = b[3], uint32(b[4]), b[7]
	e.Not = binary.NativeEndian.Uint32(b[8:])&unix.FIB_RULE_INVERT != 0
	for kind, v := range attributes(b[sizeofRuleHeader:]) {
		switch kind {
		case unix.FRA_SRC:
			e.From = attributePrefix(v, b[2])
		case unix.FRA_DST:
			e.To = attributePrefix(v, b[1])
		case unix.FRA_IIFNAME:
			e.InInterface = strings.TrimRight(string(v), "\x00")
		case unix.FRA_OIFNAME:
			e.OutInterface = strings.TrimRight(string(v), "\x00")
		default:
			if !e.parseNumber(kind, v) {
				return ruleEntry{}, false
			}
		}
	}
	e.KernelRule = ruleTarget(e.KernelRule)
	return e, true
}

func attributePrefix(v []byte, bits uint8) netip.Prefix {
	a, _ := netip.AddrFromSlice(v)
	return netip.PrefixFrom(a, int(bits))
}

// parseNumber takes an attribute that is a number or two. It reports false for one that makes the rule another one
// than can be said here.
func (e *ruleEntry) parseNumber(kind uint16, v []byte) bool {
	var n uint32
	switch {
	case len(v) >= 4:
		n = binary.NativeEndian.Uint32(v)
	case len(v) == 1:
		n = uint32(v[0])
	}
	switch kind {
	case unix.FRA_PRIORITY:
		e.Priority = n
	case unix.FRA_TABLE:
		e.Table = n
	case unix.FRA_GOTO:
		e.Goto = n
	case unix.FRA_FWMARK:
		e.Mark = n
	case unix.FRA_FWMASK:
		e.Mask = n
	case unix.FRA_IP_PROTO:
		e.IPProto = uint8(n)
	case unix.FRA_PROTOCOL:
		e.proto = uint8(n)
	case unix.FRA_SUPPRESS_PREFIXLEN:
		e.SuppressPrefixLength = uint8(n + 1) // -1: none
	case unix.FRA_SUPPRESS_IFGROUP:
		return n == math.MaxUint32 // -1: none
	case unix.FRA_SPORT_RANGE:
		e.SourcePortFirst, e.SourcePortLast = ports(v)
	case unix.FRA_DPORT_RANGE:
		e.DestPortFirst, e.DestPortLast = ports(v)
	case unix.FRA_UID_RANGE:
		if len(v) >= 8 {
			e.HasUID, e.UIDFirst, e.UIDLast = true, n, binary.NativeEndian.Uint32(v[4:])
		}
	case unix.FRA_L3MDEV:
		return n == 0
	case unix.FRA_PAD:
	case fraSportMask, fraDportMask:
		return len(v) >= 2 && binary.NativeEndian.Uint16(v) == math.MaxUint16
	default: // FRA_FLOW, FRA_TUN_ID, FRA_DSCP and what there will be
		return false
	}
	return true
}

// fraSportMask and fraDportMask are told with each port range since Linux 6.15.
const (
	fraSportMask = 28
	fraDportMask = 29
)

func ports(v []byte) (first, last uint16) {
	if len(v) < 4 {
		return 0, 0
	}
	return binary.NativeEndian.Uint16(v), binary.NativeEndian.Uint16(v[2:])
}
