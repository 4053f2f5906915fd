package status

import (
	"context"
	"net"
	"os/user"
	"strconv"
	"syscall"
)

// peerKey is the key of the uid of a connection's client in the context of its requests.
type peerKey struct{}

// withPeer remembers whose process is at the other end of a connection: the kernel says it (SO_PEERCRED).
func withPeer(ctx context.Context, c net.Conn) context.Context {
	if l, ok := c.(*limitConn); ok {
		c = l.Conn
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		return ctx
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return ctx
	}
	var cred *syscall.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); err != nil || credErr != nil {
		return ctx
	}
	return context.WithValue(ctx, peerKey{}, cred.Uid)
}

// peerName returns the name of the user who asks, or the number of one without a name; empty: not known.
func peerName(ctx context.Context) string {
	uid, ok := ctx.Value(peerKey{}).(uint32)
	if !ok {
		return ""
	}
	id := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return "uid " + id
}
