package status

import (
	"context"
	"net"
	"os/user"
	"strconv"
	"syscall"
)

// peerUID returns the user whose process is at the other end of a connection: the kernel says it (SO_PEERCRED); -1: it does
// not.
func peerUID(c net.Conn) int64 {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return -1
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return -1
	}
	var cred *syscall.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); err != nil || credErr != nil {
		return -1
	}
	return int64(cred.Uid)
}

// peerName returns the name of the user who asks, or the number of one without a name; empty: not known.
func peerName(ctx context.Context) string {
	in, ok := ctx.Value(guestKey{}).(*guest)
	if !ok || in.uid < 0 {
		return ""
	}
	id := strconv.FormatInt(in.uid, 10)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return "uid " + id
}
