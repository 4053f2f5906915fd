package link

import (
	"net"
	"unsafe"

	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// message is struct mmsghdr, which package unix does not have.
type message struct {
	hdr unix.Msghdr
	n   uint32
}

// receiver6 is what ipv6.PacketConn.ReadBatch would be without its zones. Every good packet has a link-local source, and
// ReadBatch finds a name for the zone of each, for which it lists the interfaces of the host: once a minute, and then
// it waits as long as somebody holds the kernel's lock on them; for an interface that it does not find, as when the
// socket is in another network namespace than the thread, with every packet (measured: 55 us and 58 allocations; here
// 1.2 us and none). Nobody needs the name. IPv4 has no zones, and ReadBatch is good enough (1.3 us, 2 allocations).
//
// It allocates nothing per packet; step is a method value made once for that reason.
type receiver6 struct {
	sock *socket
	step func(fd uintptr) bool

	messages [batch]message
	iovs     [batch]unix.Iovec
	from     [batch]unix.RawSockaddrInet6
	addrs    [batch]net.IPAddr // their octets are those in from
	n        int               // messages wanted, then fetched
	errno    unix.Errno
}

func newReceiver6(sock *socket) *receiver6 {
	r := &receiver6{sock: sock}
	r.step = r.fetch
	for i := range r.messages {
		h := &r.messages[i].hdr
		h.Iov = &r.iovs[i]
		h.SetIovlen(1)
		h.Name = (*byte)(unsafe.Pointer(&r.from[i]))
		r.addrs[i].IP = r.from[i].Addr[:]
	}
	return r
}

// ReadBatch waits for messages, or for the read deadline. It fills at most batch of ms, and one buffer of each; their
// addresses are valid until the next call.
func (r *receiver6) ReadBatch(ms []ipv6.Message, _ int) (int, error) {
	ms = ms[:min(len(ms), batch)]
	for i := range ms {
		h, b, oob := &r.messages[i].hdr, ms[i].Buffers[0], ms[i].OOB
		r.iovs[i].Base = &b[0]
		r.iovs[i].SetLen(len(b))
		h.Namelen = unix.SizeofSockaddrInet6
		h.Control = &oob[0]
		h.SetControllen(len(oob))
	}
	r.n = len(ms)
	if err := r.sock.raw.Read(r.step); err != nil {
		return 0, err
	}
	if r.errno != 0 {
		return 0, r.errno
	}
	for i := range ms[:r.n] {
		m := &r.messages[i]
		ms[i].N, ms[i].NN, ms[i].Addr = int(m.n), int(m.hdr.Controllen), &r.addrs[i]
	}
	return r.n, nil
}

// fetch is one attempt to receive; false means that there is nothing yet.
func (r *receiver6) fetch(fd uintptr) bool {
	for {
		n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&r.messages[0])), uintptr(r.n),
			unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return false
		}
		r.n, r.errno = int(n), errno
		return true
	}
}
