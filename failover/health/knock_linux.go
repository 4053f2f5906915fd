package health

import (
	"context"
	"net/netip"

	"golang.org/x/sys/unix"
)

// knock connects to a target by TCP and closes the connection. Its errors are those of dial.
//
// A target on this machine has answered by the time that connect returns: then nothing waits for the socket, which saves what
// makes a link of it, and half of the system calls.
func (w way) knock(ctx context.Context, t *target) error {
	if !t.address.IsValid() {
		l, err := w.dial(ctx, unix.SOCK_STREAM, t, abrupt)
		if err != nil {
			return err
		}
		_ = l.Close() // it was there
		return nil
	}
	s, err := w.begin(ctx, unix.SOCK_STREAM, 0, netip.AddrPortFrom(t.address, t.port), abrupt)
	if err != nil {
		return err
	}
	if !s.connecting || connected(s.fd) {
		_ = unix.Close(s.fd) // it was there
		return nil
	}
	l, err := s.link(ctx)
	if err != nil {
		return err
	}
	_ = l.Close() // it was there
	return nil
}

// connected reports whether a socket is connected.
func connected(fd int) bool {
	_, err := unix.Getpeername(fd)
	return err == nil
}
