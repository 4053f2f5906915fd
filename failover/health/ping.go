package health

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// pinger sends an ICMP echo request and waits for the reply. It has a raw socket if it may, and otherwise one of those that
// net.ipv4.ping_group_range allows. The socket is connected, so that the kernel sorts out what others are answered, and
// says why nothing can be sent.
type pinger struct {
	host string
	way  way

	humble bool // a raw socket was refused
	seq    uint16
}

// tokenSize is how much of a request must come back, in octets: nobody can guess it.
const tokenSize = 16

// probe pings once.
func (p *pinger) probe(ctx context.Context) outcome {
	all, err := p.way.resolve(ctx, p.host)
	if err != nil {
		return p.way.failure(ctx, err)
	}
	o, err := p.echo(ctx, all[0])
	if !p.humble && refused(err) {
		p.humble = true
		o, err = p.echo(ctx, all[0])
	}
	if err != nil {
		return p.blame(ctx, err)
	}
	return o
}

// blame is the outcome of a ping that failed with an error.
func (p *pinger) blame(ctx context.Context, err error) outcome {
	if p.humble && refused(err) {
		return outcome{blind: true, cause: "no permission to ping: CAP_NET_RAW or net.ipv4.ping_group_range is needed"}
	}
	return p.way.failure(ctx, err)
}

// next makes e the next request to an address, and returns it as a message.
func (p *pinger) next(e *echo, a netip.Addr) ([]byte, error) {
	p.seq++
	*e = echo{six: a.Unmap().Is6(), id: uint16(os.Getpid()), seq: p.seq, anyID: p.humble}
	_, _ = rand.Read(e.token[:]) // which never fails
	return e.marshal()
}

// refused reports whether no socket was to be had. That a route is prohibited is something else.
func refused(err error) bool {
	var call *os.SyscallError
	return errors.As(err, &call) && call.Syscall == "socket" && (errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES))
}

// echo pings an address.
func (p *pinger) echo(ctx context.Context, a netip.Addr) (outcome, error) {
	s, err := p.open(ctx, a.Unmap())
	if err != nil {
		return outcome{}, err
	}
	l := &eager{attempt: s, ctx: ctx}
	defer l.Close()
	var request echo
	message, err := p.next(&request, a)
	if err != nil {
		return outcome{}, err
	}
	sent := time.Now()
	if _, err := l.Write(message); err != nil {
		return outcome{}, dialError(l.remote, err)
	}
	var buffer [256]byte
	for {
		n, err := l.Read(buffer[:])
		if err != nil && ctx.Err() != nil {
			return outcome{cause: "no reply"}, nil
		}
		if err != nil {
			return outcome{}, err
		}
		if request.answeredBy(buffer[:n]) {
			return outcome{ok: true, rtt: time.Since(sent), cause: "replies"}, nil
		}
	}
}

// open returns a socket that hears the replies of an address, and as little else as possible.
func (p *pinger) open(ctx context.Context, a netip.Addr) (attempt, error) {
	kind, protocol := unix.SOCK_RAW, unix.IPPROTO_ICMP
	if a.Is6() {
		protocol = unix.IPPROTO_ICMPV6
	}
	if p.humble {
		kind = unix.SOCK_DGRAM
	}
	return p.way.begin(ctx, kind, protocol, netip.AddrPortFrom(a, 0), func(fd int) error {
		if err := mayBroadcast(fd); err != nil || p.humble {
			return err
		}
		return onlyReplies(fd, a.Is6())
	})
}

// onlyReplies keeps a raw socket from hearing other messages than echo replies.
func onlyReplies(fd int, six bool) error {
	if !six {
		const filter = 1 // ICMP_FILTER of linux/icmp.h: a bit says that a type is not heard
		mask := ^(uint32(1) << uint(ipv4.ICMPTypeEchoReply))
		return os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.SOL_RAW, filter, int(int32(mask))))
	}
	filter := unix.ICMPv6Filter{}
	for i := range filter.Data {
		filter.Data[i] = ^uint32(0)
	}
	reply := uint(ipv6.ICMPTypeEchoReply)
	filter.Data[reply/32] &^= 1 << (reply % 32)
	return os.NewSyscallError("setsockopt", unix.SetsockoptICMPv6Filter(fd, unix.IPPROTO_ICMPV6, unix.ICMPV6_FILTER, &filter))
}

// echo is one request.
type echo struct {
	six     bool
	id, seq uint16
	token   [tokenSize]byte
	// anyID: the kernel puts a number of its own in the place of id.
	anyID bool
}

// marshal returns the message. The kernel computes the checksum of ICMPv6.
func (e *echo) marshal() ([]byte, error) {
	m := icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{ID: int(e.id), Seq: int(e.seq), Data: e.token[:]}}
	if e.six {
		m.Type = ipv6.ICMPTypeEchoRequest
	}
	return m.Marshal(nil)
}

// answeredBy reports whether what a socket has received is the reply. A raw one of IPv4 has the header of the packet before
// the message.
func (e *echo) answeredBy(b []byte) bool {
	reply := byte(ipv4.ICMPTypeEchoReply)
	if e.six {
		reply = byte(ipv6.ICMPTypeEchoReply)
	} else if !e.anyID {
		b = behindHeader(b)
	}
	const header = 8
	if len(b) < header+tokenSize || b[0] != reply || b[1] != 0 {
		return false
	}
	right := e.anyID || binary.BigEndian.Uint16(b[4:]) == e.id
	return right && binary.BigEndian.Uint16(b[6:]) == e.seq && [tokenSize]byte(b[header:]) == e.token
}

// behindHeader returns what follows the header of an IPv4 packet; nil: it has none.
func behindHeader(b []byte) []byte {
	if len(b) < ipv4.HeaderLen {
		return nil
	}
	size := int(b[0]&0xf) * 4
	if size < ipv4.HeaderLen || len(b) < size {
		return nil
	}
	return b[size:]
}
