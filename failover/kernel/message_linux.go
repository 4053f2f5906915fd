package kernel

import (
	"encoding/binary"
	"fmt"
	"iter"
	"math"
	"net/netip"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Numbers that x/sys/unix does not have.
const (
	ifaProto             = 11 // IFA_PROTO, Linux 5.18
	devconfPromote       = 20 // IPV4_DEVCONF_PROMOTE_SECONDARIES
	rtextFilterSkipStats = 1 << 3
	nlmFCapped           = 0x100
	nlmFAckTLVs          = 0x200
	nlmsgerrAttrMsg      = 1
	attributeTypeMask    = 0x3fff // without NLA_F_NESTED and NLA_F_NET_BYTEORDER
)

const (
	createExclusively = unix.NLM_F_CREATE | unix.NLM_F_EXCL
	createOrReplace   = unix.NLM_F_CREATE | unix.NLM_F_REPLACE
)

// promoteRequest sets promote_secondaries through netlink: /proc/sys is often read-only in containers, and belongs
// to the namespace of the thread that writes it.
func promoteRequest(index int) *nl.NetlinkRequest {
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(index)
	req := nl.NewNetlinkRequest(unix.RTM_SETLINK, 0)
	req.AddData(msg)
	spec := nl.NewRtAttr(unix.IFLA_AF_SPEC, nil)
	conf := spec.AddRtAttr(unix.AF_INET, nil).AddRtAttr(unix.IFLA_INET_CONF, nil)
	conf.AddRtAttr(devconfPromote, nl.Uint32Attr(1))
	req.AddData(spec)
	return req
}

// probeRequest asks for an address on an interface that cannot exist, with a malformed IFA_PROTO: a kernel that knows
// the attribute complains about it, another one about the interface.
func probeRequest() *nl.NetlinkRequest {
	msg := nl.NewIfAddrmsg(unix.AF_INET)
	msg.Prefixlen, msg.Index = 32, math.MaxInt32
	req := nl.NewNetlinkRequest(unix.RTM_NEWADDR, createExclusively)
	req.AddData(msg)
	raw := netip.IPv4Unspecified().AsSlice()
	req.AddData(nl.NewRtAttr(unix.IFA_LOCAL, raw))
	req.AddData(nl.NewRtAttr(unix.IFA_ADDRESS, raw))
	req.AddData(nl.NewRtAttr(ifaProto, []byte{}))
	return req
}

func addressDump() *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(unix.RTM_GETADDR, unix.NLM_F_DUMP)
	req.AddData(nl.NewIfAddrmsg(unix.AF_UNSPEC))
	return req
}

func linkDump() *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(unix.RTM_GETLINK, unix.NLM_F_DUMP)
	req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	req.AddData(nl.NewRtAttr(unix.IFLA_EXT_MASK, nl.Uint32Attr(rtextFilterSkipStats)))
	return req
}

// messages iterates over the messages of a datagram, up to the first malformed one.
func messages(b []byte) iter.Seq2[unix.NlMsghdr, []byte] {
	return func(yield func(unix.NlMsghdr, []byte) bool) {
		for len(b) >= unix.SizeofNlMsghdr {
			h := unix.NlMsghdr{
				Len:   binary.NativeEndian.Uint32(b),
				Type:  binary.NativeEndian.Uint16(b[4:]),
				Flags: binary.NativeEndian.Uint16(b[6:]),
				Seq:   binary.NativeEndian.Uint32(b[8:]),
				Pid:   binary.NativeEndian.Uint32(b[12:]),
			}
			if h.Len < unix.SizeofNlMsghdr || uint64(h.Len) > uint64(len(b)) || !yield(h, b[unix.SizeofNlMsghdr:h.Len]) {
				return
			}
			b = b[min((int(h.Len)+3)&^3, len(b)):]
		}
	}
}

// attributes iterates over netlink attributes, up to the first malformed one. The library's parser allocates for each
// attribute of each of a thousand addresses.
func attributes(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= unix.SizeofRtAttr {
			n := int(binary.NativeEndian.Uint16(b))
			kind := binary.NativeEndian.Uint16(b[2:]) & attributeTypeMask
			if n < unix.SizeofRtAttr || n > len(b) || !yield(kind, b[unix.SizeofRtAttr:n]) {
				return
			}
			b = b[min((n+3)&^3, len(b)):]
		}
	}
}

// parseAddress reads the body of RTM_NEWADDR and RTM_DELADDR. It reports false for families other than IPv4 and IPv6
// and for anything malformed.
func parseAddress(b []byte) (e entry, ok bool) {
	if len(b) < unix.SizeofIfAddrmsg || b[0] != unix.AF_INET && b[0] != unix.AF_INET6 {
		return entry{}, false
	}
	length := int(b[1])
	e = entry{
		index: int(binary.NativeEndian.Uint32(b[4:])), scope: b[3], flags: uint32(b[2]),
		valid: forever, preferred: forever,
	}
	var local, address netip.Addr
	for kind, v := range attributes(b[unix.SizeofIfAddrmsg:]) {
		switch {
		case kind == unix.IFA_LOCAL:
			local, _ = netip.AddrFromSlice(v)
		case kind == unix.IFA_ADDRESS:
			address, _ = netip.AddrFromSlice(v)
		case kind == unix.IFA_BROADCAST:
			e.broadcast, _ = netip.AddrFromSlice(v)
		case kind == unix.IFA_LABEL:
			e.label = strings.TrimRight(string(v), "\x00")
		case kind == unix.IFA_FLAGS && len(v) >= 4:
			e.flags = binary.NativeEndian.Uint32(v)
		case kind == unix.IFA_CACHEINFO && len(v) >= unix.SizeofIfaCacheinfo:
			e.preferred, e.valid = binary.NativeEndian.Uint32(v), binary.NativeEndian.Uint32(v[4:])
		case kind == ifaProto && len(v) >= 1:
			e.proto = v[0]
		}
	}
	// IPv6 sends IFA_LOCAL only with a peer, which is then in IFA_ADDRESS; IPv4 always sends both.
	if !local.IsValid() {
		local = address
	}
	if address != local {
		e.peer = address
	}
	e.prefix = netip.PrefixFrom(local, length)
	return e, e.prefix.IsValid()
}

// parseLink reads the body of RTM_NEWLINK and RTM_DELLINK. It reports false for messages about something else, such
// as a bridge port, and for anything malformed.
func parseLink(b []byte) (l link, ok bool) {
	if len(b) < unix.SizeofIfInfomsg || b[0] != unix.AF_UNSPEC {
		return link{}, false
	}
	l = link{
		index: int(int32(binary.NativeEndian.Uint32(b[4:]))),
		flags: binary.NativeEndian.Uint32(b[8:]),
	}
	for kind, v := range attributes(b[unix.SizeofIfInfomsg:]) {
		switch {
		case kind == unix.IFLA_IFNAME:
			l.name = strings.TrimRight(string(v), "\x00")
		case kind == unix.IFLA_MTU && len(v) >= 4:
			l.mtu = int(binary.NativeEndian.Uint32(v))
		case kind == unix.IFLA_AF_SPEC:
			l.promotes = promotes(v)
		}
	}
	return l, l.name != "" && l.index > 0
}

// promotes digs promote_secondaries out of IFLA_AF_SPEC: the settings are an array of 32-bit numbers, the first one
// has number 1.
func promotes(spec []byte) bool {
	for family, v := range attributes(spec) {
		if family != unix.AF_INET {
			continue
		}
		for kind, conf := range attributes(v) {
			if kind == unix.IFLA_INET_CONF && len(conf) >= 4*devconfPromote {
				return binary.NativeEndian.Uint32(conf[4*(devconfPromote-1):]) != 0
			}
		}
	}
	return false
}

// parseError reads the body of NLMSG_ERROR; nil is an acknowledgement.
func parseError(h unix.NlMsghdr, b []byte) error {
	if len(b) < 4 {
		return unix.EBADMSG
	}
	code := -int32(binary.NativeEndian.Uint32(b))
	if code == 0 {
		return nil
	}
	errno := syscall.Errno(code)
	if h.Flags&nlmFAckTLVs == 0 || len(b) < 4+unix.SizeofNlMsghdr {
		return errno
	}
	skip := 4 + unix.SizeofNlMsghdr
	if h.Flags&nlmFCapped == 0 {
		skip = 4 + (int(binary.NativeEndian.Uint32(b[4:]))+3)&^3
	}
	if skip < 0 || skip > len(b) {
		return errno
	}
	for kind, v := range attributes(b[skip:]) {
		if kind == nlmsgerrAttrMsg {
			return fmt.Errorf("%w: %s", errno, strings.TrimRight(string(v), "\x00"))
		}
	}
	return errno
}
