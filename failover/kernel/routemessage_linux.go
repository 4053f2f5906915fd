package kernel

import (
	"encoding/binary"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"failoverd/failover"
)

// rtaNHID is RTA_NH_ID, which x/sys/unix has under no such name in all versions.
const rtaNHID = 30

// routeHeader is struct rtmsg.
type routeHeader unix.RtMsg

// Len returns the length of the header in octets.
func (h *routeHeader) Len() int { return unix.SizeofRtMsg }

// Serialize returns the header in the kernel's order.
func (h *routeHeader) Serialize() []byte {
	b := []byte{h.Family, h.Dst_len, h.Src_len, h.Tos, h.Table, h.Protocol, h.Scope, h.Type}
	return binary.NativeEndian.AppendUint32(b, h.Flags)
}

// family returns AF_INET or AF_INET6.
func family(a netip.Addr) uint8 {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// routeRequest returns the message that adds, replaces or deletes e. A deletion names everything that the kernel
// compares: then it cannot meet the route of somebody else.
func routeRequest(kind, flags int, e *routeEntry) *nl.NetlinkRequest {
	key := &e.key
	dst := key.Destination.Addr()
	header := &routeHeader{
		Family: family(dst), Dst_len: uint8(key.Destination.Bits()), Tos: key.TOS,
		Protocol: e.proto, Scope: e.scope, Type: e.kind,
	}
	if key.Table < 256 {
		header.Table = uint8(key.Table)
	}
	req := nl.NewNetlinkRequest(kind, flags)
	req.AddData(header)
	if key.Destination.Bits() > 0 {
		req.AddData(nl.NewRtAttr(unix.RTA_DST, dst.AsSlice()))
	}
	req.AddData(nl.NewRtAttr(unix.RTA_TABLE, nl.Uint32Attr(key.Table)))
	if key.Metric != 0 {
		req.AddData(nl.NewRtAttr(unix.RTA_PRIORITY, nl.Uint32Attr(key.Metric)))
	}
	if e.source.IsValid() {
		req.AddData(nl.NewRtAttr(unix.RTA_PREFSRC, e.source.AsSlice()))
	}
	if e.metrics != (metrics{}) && kind != unix.RTM_DELROUTE {
		req.AddData(metricsAttribute(&e.metrics))
	}
	switch len(e.hops) {
	case 0:
	case 1:
		h := &e.hops[0]
		if h.onLink {
			header.Flags |= unix.RTNH_F_ONLINK
		}
		if h.index != 0 {
			req.AddData(nl.NewRtAttr(unix.RTA_OIF, nl.Uint32Attr(uint32(h.index))))
		}
		if h.gateway.IsValid() {
			req.AddData(gatewayAttribute(dst, h.gateway))
		}
	default:
		req.AddData(nl.NewRtAttr(unix.RTA_MULTIPATH, multipath(dst, e.hops)))
	}
	return req
}

// gatewayAttribute returns the next hop of a route to dst; an IPv4 one may have an IPv6 gateway (RFC 8950, Linux 5.2).
func gatewayAttribute(dst, gateway netip.Addr) *nl.RtAttr {
	if gateway.Is4() == dst.Is4() {
		return nl.NewRtAttr(unix.RTA_GATEWAY, gateway.AsSlice())
	}
	via := binary.NativeEndian.AppendUint16(nil, uint16(family(gateway)))
	return nl.NewRtAttr(unix.RTA_VIA, append(via, gateway.AsSlice()...))
}

// multipath returns a list of struct rtnexthop, each with its attributes.
func multipath(dst netip.Addr, hops []hop) (b []byte) {
	for i := range hops {
		h := &hops[i]
		var attribute []byte
		if h.gateway.IsValid() {
			attribute = gatewayAttribute(dst, h.gateway).Serialize()
		}
		var flags uint8
		if h.onLink {
			flags = unix.RTNH_F_ONLINK
		}
		b = binary.NativeEndian.AppendUint16(b, uint16(unix.SizeofRtNexthop+len(attribute)))
		b = append(b, flags, uint8(h.weight-1))
		b = binary.NativeEndian.AppendUint32(b, uint32(h.index))
		b = append(b, attribute...)
	}
	return b
}

func metricsAttribute(m *metrics) *nl.RtAttr {
	a := nl.NewRtAttr(unix.RTA_METRICS, nil)
	if m.mtuLock {
		a.AddRtAttr(unix.RTAX_LOCK, nl.Uint32Attr(1<<unix.RTAX_MTU))
	}
	for kind := range unix.RTAX_MAX + 1 {
		if v := m.value(uint16(kind)); v != nil && *v != 0 {
			a.AddRtAttr(kind, nl.Uint32Attr(*v))
		}
	}
	return a
}

// value returns where the metric is kept, or nil.
func (m *metrics) value(kind uint16) *uint32 {
	switch kind {
	case unix.RTAX_MTU:
		return &m.mtu
	case unix.RTAX_ADVMSS:
		return &m.advMSS
	case unix.RTAX_HOPLIMIT:
		return &m.hopLimit
	case unix.RTAX_INITCWND:
		return &m.initCwnd
	case unix.RTAX_INITRWND:
		return &m.initRwnd
	}
	return nil
}

func routeDump(family uint8) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(unix.RTM_GETROUTE, unix.NLM_F_DUMP)
	req.AddData(&routeHeader{Family: family})
	return req
}

// parseRoute reads the body of RTM_NEWROUTE and RTM_DELROUTE if keep (nil: any) wants it. It reports false for
// families other than IPv4 and IPv6, for cached and source-specific routes, and for anything malformed.
func parseRoute(b []byte, keep func(key failover.RouteKey, proto uint8) bool) (e routeEntry, ok bool) {
	if len(b) < unix.SizeofRtMsg {
		return routeEntry{}, false
	}
	h := routeHeader{
		Family: b[0], Dst_len: b[1], Src_len: b[2], Tos: b[3], Table: b[4], Protocol: b[5], Scope: b[6], Type: b[7],
		Flags: binary.NativeEndian.Uint32(b[8:]),
	}
	var dst netip.Addr
	switch h.Family {
	case unix.AF_INET:
		dst = netip.IPv4Unspecified()
	case unix.AF_INET6:
		dst = netip.IPv6Unspecified()
	default:
		return routeEntry{}, false
	}
	if h.Src_len != 0 || h.Flags&unix.RTM_F_CLONED != 0 {
		return routeEntry{}, false
	}
	key := failover.RouteKey{Table: uint32(h.Table), TOS: h.Tos}
	attrs := b[unix.SizeofRtMsg:]
	for kind, v := range attributes(attrs) {
		switch {
		case kind == unix.RTA_DST:
			dst, _ = netip.AddrFromSlice(v)
		case kind == unix.RTA_TABLE && len(v) >= 4:
			key.Table = binary.NativeEndian.Uint32(v)
		case kind == unix.RTA_PRIORITY && len(v) >= 4:
			key.Metric = binary.NativeEndian.Uint32(v)
		}
	}
	key.Destination = netip.PrefixFrom(dst, int(h.Dst_len))
	if !key.Destination.IsValid() || keep != nil && !keep(key, h.Protocol) {
		return routeEntry{}, false
	}
	e.key, e.kind, e.scope, e.proto = key, h.Type, h.Scope, h.Protocol
	e.parseAttributes(attrs, h.Flags)
	return e, true
}

// parseAttributes reads what is not in the key.
func (e *routeEntry) parseAttributes(attrs []byte, flags uint32) {
	only := hop{weight: 1, onLink: flags&unix.RTNH_F_ONLINK != 0}
	for kind, v := range attributes(attrs) {
		switch {
		case kind == unix.RTA_PREFSRC:
			e.source, _ = netip.AddrFromSlice(v)
		case kind == unix.RTA_METRICS:
			e.parseMetrics(v)
		case kind == unix.RTA_MULTIPATH:
			e.parseMultipath(v)
		case kind == rtaNHID, kind == unix.RTA_ENCAP, kind == unix.RTA_ENCAP_TYPE:
			e.odd = true
		default:
			only.parse(kind, v)
		}
	}
	// The kernel gives the routes that discard packets lo over IPv6.
	if len(e.hops) == 0 && only != (hop{weight: 1}) && !discards(e.kind) {
		e.hops = []hop{only}
	}
}

// parse takes an attribute that belongs to a next hop.
func (h *hop) parse(kind uint16, v []byte) {
	switch {
	case kind == unix.RTA_OIF && len(v) >= 4:
		h.index = int(binary.NativeEndian.Uint32(v))
	case kind == unix.RTA_GATEWAY:
		h.gateway, _ = netip.AddrFromSlice(v)
	case kind == unix.RTA_VIA && len(v) > 2:
		h.gateway, _ = netip.AddrFromSlice(v[2:])
	}
}

func (e *routeEntry) parseMetrics(b []byte) {
	for kind, v := range attributes(b) {
		field := e.value(kind)
		switch {
		case field != nil && len(v) >= 4:
			*field = binary.NativeEndian.Uint32(v)
		case kind == unix.RTAX_LOCK && len(v) >= 4 && binary.NativeEndian.Uint32(v) == 1<<unix.RTAX_MTU:
			e.mtuLock = true
		default:
			e.odd = true
		}
	}
}

func (e *routeEntry) parseMultipath(b []byte) {
	for len(b) >= unix.SizeofRtNexthop {
		n := int(binary.NativeEndian.Uint16(b))
		if n < unix.SizeofRtNexthop || n > len(b) {
			return
		}
		h := hop{onLink: b[2]&unix.RTNH_F_ONLINK != 0, weight: int(b[3]) + 1, index: int(binary.NativeEndian.Uint32(b[4:]))}
		for kind, v := range attributes(b[unix.SizeofRtNexthop:n]) {
			if kind == unix.RTA_ENCAP {
				e.odd = true
			}
			h.parse(kind, v)
		}
		e.hops = append(e.hops, h)
		b = b[min((n+3)&^3, len(b)):]
	}
}
