package kernel

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// appendMessage appends the message that carries o out, without sequence number and NLM_F_ACK. The library's requests
// allocate for each attribute, which a thousand leases have five thousand of at a time.
func (o *op) appendMessage(b []byte, tagged bool) []byte {
	switch o.kind {
	case opPromote:
		return append(b, promoteRequest(o.index).Serialize()...)
	case opAdd:
		return o.appendAddress(b, unix.RTM_NEWADDR, createExclusively, tagged)
	case opRenew:
		return o.appendAddress(b, unix.RTM_NEWADDR, createOrReplace, tagged)
	case opDelete:
		return o.appendAddress(b, unix.RTM_DELADDR, 0, tagged)
	}
	panic(fmt.Sprintf("kernel: unknown op %d", o.kind))
}

func (o *op) appendAddress(b []byte, kind, flags uint16, tagged bool) []byte {
	start := len(b)
	b = append(b, 0, 0, 0, 0) // the length, which comes at the end
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_REQUEST|flags)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0)
	addr := o.addr.Prefix.Addr()
	family, scope := uint8(unix.AF_INET6), uint8(0)
	if addr.Is4() {
		family = unix.AF_INET
		if kind != unix.RTM_DELADDR {
			scope = o.addr.Scope
		}
	}
	b = append(b, family, uint8(o.addr.Prefix.Bits()), 0, scope)
	b = binary.NativeEndian.AppendUint32(b, uint32(o.index))
	b = appendAddr(b, unix.IFA_LOCAL, addr)
	b = appendAddr(b, unix.IFA_ADDRESS, addr)
	if kind != unix.RTM_DELADDR {
		b = o.appendProperties(b, tagged)
	}
	binary.NativeEndian.PutUint32(b[start:], uint32(len(b)-start))
	return b
}

// appendProperties appends the attributes that a deletion does without.
func (o *op) appendProperties(b []byte, tagged bool) []byte {
	if o.addr.Prefix.Addr().Is4() {
		if o.addr.Broadcast.Is4() {
			b = appendAddr(b, unix.IFA_BROADCAST, o.addr.Broadcast)
		}
		if o.addr.Label != "" {
			b = appendAttribute(b, unix.IFA_LABEL, len(o.addr.Label)+1)
			b = align(append(append(b, o.addr.Label...), 0))
		}
	}
	if f := o.flags(); f != 0 {
		b = binary.NativeEndian.AppendUint32(appendAttribute(b, unix.IFA_FLAGS, 4), f)
	}
	b = appendAttribute(b, unix.IFA_CACHEINFO, unix.SizeofIfaCacheinfo)
	b = binary.NativeEndian.AppendUint32(b, o.preferred())
	b = binary.NativeEndian.AppendUint32(b, o.valid)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0) // when it was made and changed: of no interest here
	if tagged {
		b = align(append(appendAttribute(b, ifaProto, 1), Protocol))
	}
	return b
}

// appendAttribute appends the head of an attribute whose value has size octets.
func appendAttribute(b []byte, kind uint16, size int) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(unix.SizeofRtAttr+size))
	return binary.NativeEndian.AppendUint16(b, kind)
}

func appendAddr(b []byte, kind uint16, a netip.Addr) []byte {
	if a.Is4() {
		raw := a.As4()
		return append(appendAttribute(b, kind, len(raw)), raw[:]...)
	}
	raw := a.As16()
	return append(appendAttribute(b, kind, len(raw)), raw[:]...)
}

// align pads b to the next multiple of four octets. Messages begin at one.
func align(b []byte) []byte {
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}
