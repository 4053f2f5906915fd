package lab

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// ServicePort is the UDP port of the service that Respond offers and Probe asks.
const ServicePort = 7

// A probe is the magic word and a sequence number; the answer is the same octets followed by the node's name.
var probeMagic = []byte("fo-probe")

const probeLen = 16

func appendProbe(b []byte, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(append(b, probeMagic...), seq)
}

func parseProbe(b []byte) (seq uint64, rest []byte, ok bool) {
	if len(b) < probeLen || !bytes.HasPrefix(b, probeMagic) {
		return 0, nil, false
	}
	return binary.BigEndian.Uint64(b[8:]), b[probeLen:], true
}

// Responder is the service of a node: it answers probes with the node's name, from the address that was asked, so that
// the client sees which machine holds a virtual address.
type Responder struct {
	node  *Node
	fds   []int
	quit  atomic.Bool
	ended sync.WaitGroup
	once  sync.Once
	err   error
}

// Respond starts the service on every address of the node, present and future, IPv4 and IPv6.
func (n *Node) Respond() (*Responder, error) {
	r := &Responder{node: n}
	err := n.Do(func() error {
		for _, domain := range []int{unix.AF_INET, unix.AF_INET6} {
			fd, err := serviceSocket(domain)
			if errors.Is(err, unix.EAFNOSUPPORT) && domain == unix.AF_INET6 {
				return nil // a kernel without IPv6
			}
			if err != nil {
				return err
			}
			r.fds = append(r.fds, fd)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%s: start responder: %w", n, errors.Join(err, r.Close()))
	}
	n.lab.own(r)
	for _, fd := range r.fds {
		r.ended.Add(1)
		go r.serve(fd)
	}
	return r, nil
}

// serviceSocket opens a socket that says with each packet which address it was sent to.
func serviceSocket(domain int) (int, error) {
	fd, err := unix.Socket(domain, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open socket: %w", err)
	}
	setReceiveBuffer(fd)
	tv := unix.NsecToTimeval(int64(pollInterval))
	err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv)
	if domain == unix.AF_INET {
		err = errors.Join(err, unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1),
			unix.Bind(fd, &unix.SockaddrInet4{Port: ServicePort}))
	} else {
		err = errors.Join(err, unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1),
			unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1),
			unix.Bind(fd, &unix.SockaddrInet6{Port: ServicePort}))
	}
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("set up socket: %w", err)
	}
	return fd, nil
}

// serve answers until Close. It has the class of the probe: an answer that is late because this process was not running
// would otherwise be lost when a cut comes in between, and lengthen the outage. A failed send is a lost answer, as on
// any network.
func (r *Responder) serve(fd int) {
	defer r.ended.Done()
	realtime()
	buf, oob := make([]byte, 512), make([]byte, 128)
	for !r.quit.Load() {
		n, on, _, from, err := unix.Recvmsg(fd, buf, oob, 0)
		if err != nil {
			continue
		}
		if _, _, ok := parseProbe(buf[:n]); ok {
			_ = unix.Sendmsg(fd, append(buf[:probeLen:probeLen], r.node.name...), fromAsked(oob[:on]), from, unix.MSG_DONTWAIT)
		}
	}
}

// fromAsked returns the control message that makes an answer come from the address that was asked.
func fromAsked(oob []byte) []byte {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	for _, m := range msgs {
		switch {
		case m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_PKTINFO && len(m.Data) >= unix.SizeofInet4Pktinfo:
			return unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: [4]byte(m.Data[8:12])}) // ipi_addr
		case m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_PKTINFO && len(m.Data) >= unix.SizeofInet6Pktinfo:
			return unix.PktInfo6(&unix.Inet6Pktinfo{Addr: [16]byte(m.Data[:16])})
		}
	}
	return nil
}

// Close ends the service.
func (r *Responder) Close() error {
	r.once.Do(func() {
		r.node.lab.disown(r)
		r.quit.Store(true)
		r.ended.Wait()
		for _, fd := range r.fds {
			r.err = errors.Join(r.err, unix.Close(fd))
		}
	})
	return r.err
}

// ask is the address of the service at a host.
func ask(host netip.Addr) netip.AddrPort { return netip.AddrPortFrom(host, ServicePort) }
