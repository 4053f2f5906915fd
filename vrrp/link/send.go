package link

import (
	"errors"
	"fmt"
	"net/netip"

	"failoverd/vrrp/wire"
)

var errAddress = errors.New("need two addresses of the family of the link")

// Send sends one VRRP message from src, which must be an address of this host, to dst. ttl 0 means 255.
//
// On an interface link it leaves by that interface, whatever zone dst has. On the unicast link it leaves by the one
// that the routing table says, unless dst has a zone, the name of an interface: then by that one (ErrNoInterface when
// there is none). A link-local dst needs its zone there, as in fe80::2%eth0; without it the error is EINVAL.
//
// Send never waits: when the kernel has no room the message is lost and the error says so (ENOBUFS, EAGAIN). It
// allocates nothing unless it fails or has to look up a zone. One goroutine at a time may call it, concurrently with
// Run; the payload is not kept. After Close the error is os.ErrClosed.
func (l *Link) Send(payload []byte, src, dst netip.Addr, ttl uint8) error {
	err := l.send(payload, src, dst, ttl)
	if err != nil {
		l.failed.Add(1)
		return fmt.Errorf("send on link %s from %v to %v: %w", l.id, src, dst, err)
	}
	l.sent.Add(1)
	return nil
}

func (l *Link) send(payload []byte, src, dst netip.Addr, ttl uint8) error {
	if !src.IsValid() || !dst.IsValid() || wire.FamilyOf(src) != l.id.Family || wire.FamilyOf(dst) != l.id.Family {
		return errAddress
	}
	if ttl == 0 {
		ttl = wire.TTL
	}
	index := l.index
	if index == 0 && dst.Zone() != "" {
		var err error
		if index, err = l.sock.indexOf(dst.Zone()); err != nil {
			return err
		}
	}
	to, oob := l.stack.address(src, dst, index, ttl)
	return l.out.write(payload, oob, to)
}
