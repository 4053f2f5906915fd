package link

import (
	"errors"
	"fmt"
	"os"
	"time"

	"failoverd/vrrp/wire"
)

const (
	// lookEvery is how often an interface link asks whether its interface is still there: a raw IP socket is not told
	// when the interface that it is bound to goes away.
	lookEvery = time.Second

	// Pauses after failed reads double from the first to the last.
	firstPause = time.Millisecond
	lastPause  = time.Second
)

// Run receives until Close, which makes it return nil, or until the interface is gone, when the error is
// ErrNoInterface within about a second. Any other failure is counted and outlived. Call it once.
//
// Every packet that wire.Parse accepts goes to deliver, which must not block. When deliver returns true the packet is
// its own to keep; false means that there was no room, and counts as wire.DropQueueFull. Addresses carry no zone, on the
// unicast link neither: a peer that Send reaches as fe80::2%eth0 answers as fe80::2.
func (l *Link) Run(deliver func(*wire.Packet) bool) error {
	return l.run(l.read, deliver)
}

// datagram is one received packet: its octets, valid until the next read, and what the IP layer says about it.
type datagram struct {
	wire.Header
	payload []byte
	// misdirected is set when the IP destination is an address of no host, such as a directed broadcast.
	misdirected bool
	// lost is the kernel's count of packets discarded so far for want of buffer space; it wraps.
	lost uint32
}

// run is Run with the socket replaced by a function.
func (l *Link) run(read func(*datagram) error, deliver func(*wire.Packet) bool) error {
	var d datagram
	var lost uint32
	p, wait := new(wire.Packet), firstPause
	for {
		switch err := read(&d); {
		case errors.Is(err, os.ErrClosed):
			return nil
		case errors.Is(err, ErrNoInterface):
			return fmt.Errorf("link %s: %w", l.id, err)
		case err != nil:
			l.faults.Add(1)
			if !l.pause(wait) {
				return nil
			}
			wait = min(2*wait, lastPause)
			continue
		}
		wait = firstPause
		l.lost.Add(uint64(d.lost - lost))
		lost = d.lost
		if l.take(&d, p, deliver) {
			p = new(wire.Packet)
		}
	}
}

// take parses one datagram into p and reports whether p now belongs to somebody else.
func (l *Link) take(d *datagram, p *wire.Packet, deliver func(*wire.Packet) bool) bool {
	d.Group = l.group
	why := wire.Parse(d.payload, d.Header, p)
	if d.misdirected {
		why = wire.DropDestination
	}
	if why == wire.Accepted {
		// Read before the hand-over: afterwards p may already be in use by its new owner.
		src, vrid := p.Src, p.VRID
		if deliver(p) {
			l.received.Add(1)
			return true
		}
		l.drops[wire.DropQueueFull].Add(1)
		l.drop(wire.DropQueueFull, src, vrid)
		return false
	}
	l.drops[why].Add(1)
	l.drop(why, p.Src, p.VRID)
	return false
}

// read waits for one datagram that is for this link. On an interface link it looks after the interface meanwhile.
func (l *Link) read(d *datagram) error {
	for {
		switch err := l.in.read(d); {
		case err == nil && l.index == 0 && d.Dst.IsMulticast():
			// An IPv6 socket without an address gets the groups that other sockets have joined, IPV6_MULTICAST_ALL
			// or not. They have a link of their own, which counts them.
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return err
		default:
			if err := l.look(); err != nil {
				return err
			}
		}
	}
}

// look checks that the interface is still there, and asks to be called again.
func (l *Link) look() error {
	if err := l.sock.owns(l.id.Interface, l.index); err != nil {
		return err
	}
	return l.sock.conn.SetReadDeadline(time.Now().Add(lookEvery))
}
