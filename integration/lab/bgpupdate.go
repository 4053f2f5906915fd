package lab

import (
	"encoding/binary"
	"errors"
	"net/netip"
)

// Path attributes that are looked at (RFC 4271 section 5, RFC 1997, RFC 4760).
const (
	attrASPath      = 2
	attrNextHop     = 3
	attrMED         = 4
	attrLocalPref   = 5
	attrCommunities = 8
	attrMPReach     = 14
	attrMPUnreach   = 15
)

var errCut = errors.New("message cut short")

// parse fills the fields that depend on the type.
func (m *BGPMessage) parse() error {
	switch b := m.Body; m.Type {
	case BGPOpen:
		if len(b) < 10 {
			return errCut
		}
		m.HoldTime = binary.BigEndian.Uint16(b[3:])
	case BGPNotification:
		if len(b) < 2 {
			return errCut
		}
		m.Code, m.Subcode = b[0], b[1]
	case BGPUpdate:
		return m.update(b)
	}
	return nil
}

func (m *BGPMessage) update(b []byte) error {
	withdrawn, b, ok := counted16(b)
	if !ok {
		return errCut
	}
	attrs, nlri, ok := counted16(b)
	if !ok {
		return errCut
	}
	var err error
	if m.Withdrawn, err = prefixes(withdrawn, 4); err != nil {
		return err
	}
	if m.Announced, err = prefixes(nlri, 4); err != nil {
		return err
	}
	for len(attrs) > 0 {
		if len(attrs) < 3 {
			return errCut
		}
		flags, kind := attrs[0], attrs[1]
		n, head := int(attrs[2]), 3
		if flags&0x10 != 0 { // extended length
			if len(attrs) < 4 {
				return errCut
			}
			n, head = int(binary.BigEndian.Uint16(attrs[2:])), 4
		}
		if len(attrs) < head+n {
			return errCut
		}
		if err := m.attribute(kind, attrs[head:head+n]); err != nil {
			return err
		}
		attrs = attrs[head+n:]
	}
	return nil
}

// counted16 splits b after a field that begins with its length in 16 bits.
func counted16(b []byte) (field, rest []byte, ok bool) {
	if len(b) < 2 {
		return nil, nil, false
	}
	n := int(binary.BigEndian.Uint16(b))
	if len(b) < 2+n {
		return nil, nil, false
	}
	return b[2 : 2+n], b[2+n:], true
}

func (m *BGPMessage) attribute(kind uint8, b []byte) (err error) {
	switch kind {
	case attrASPath:
		m.ASPath, err = asPath(b)
	case attrNextHop:
		if len(b) != 4 {
			return errCut
		}
		m.NextHop = netip.AddrFrom4([4]byte(b))
	case attrMED:
		m.MED, err = number(b)
	case attrLocalPref:
		m.LocalPref, err = number(b)
	case attrCommunities:
		for ; len(b) >= 4; b = b[4:] {
			m.Communities = append(m.Communities, binary.BigEndian.Uint32(b))
		}
	case attrMPReach:
		err = m.reach(b)
	case attrMPUnreach:
		err = m.unreach(b)
	}
	return err
}

func number(b []byte) (*uint32, error) {
	if len(b) != 4 {
		return nil, errCut
	}
	v := binary.BigEndian.Uint32(b)
	return &v, nil
}

// asPath reads the segments, taking four octets a number: every session of failoverd demands RFC 6793.
func asPath(b []byte) (out []uint32, err error) {
	for len(b) > 0 {
		if len(b) < 2 || len(b) < 2+4*int(b[1]) {
			return out, errCut
		}
		n := int(b[1])
		for i := range n {
			out = append(out, binary.BigEndian.Uint32(b[2+4*i:]))
		}
		b = b[2+4*n:]
	}
	return out, nil
}

// reach reads MP_REACH_NLRI for unicast. Of two next hops the first, the global one, counts (RFC 2545 section 3).
func (m *BGPMessage) reach(b []byte) error {
	if len(b) < 5 {
		return errCut
	}
	size, hop := addrLen(b), int(b[3])
	if size == 0 {
		return nil
	}
	if len(b) < 5+hop || hop < size {
		return errCut
	}
	m.NextHop, _ = netip.AddrFromSlice(b[4 : 4+size])
	p, err := prefixes(b[5+hop:], size)
	m.Announced = append(m.Announced, p...)
	return err
}

func (m *BGPMessage) unreach(b []byte) error {
	if len(b) < 3 {
		return errCut
	}
	size := addrLen(b)
	if size == 0 {
		return nil
	}
	p, err := prefixes(b[3:], size)
	m.Withdrawn = append(m.Withdrawn, p...)
	return err
}

// addrLen returns the length of the addresses of an AFI and SAFI, 0 when it is not unicast over IP.
func addrLen(b []byte) int {
	switch {
	case b[2] != 1:
		return 0
	case binary.BigEndian.Uint16(b) == 1:
		return 4
	case binary.BigEndian.Uint16(b) == 2:
		return 16
	}
	return 0
}

// prefixes reads a list of lengths in bits and as many octets as they take.
func prefixes(b []byte, size int) (out []netip.Prefix, err error) {
	for len(b) > 0 {
		bits := int(b[0])
		n := (bits + 7) / 8
		if n > size || len(b) < 1+n {
			return out, errCut
		}
		a := make([]byte, size)
		copy(a, b[1:1+n])
		addr, _ := netip.AddrFromSlice(a)
		out = append(out, netip.PrefixFrom(addr, bits))
		b = b[1+n:]
	}
	return out, nil
}
