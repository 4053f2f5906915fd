package speaker

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	packet "github.com/osrg/gobgp/v3/pkg/packet/bgp"
)

// rawPeer is a BGP neighbor made by hand: it accepts connections, answers OPEN with what the test wants to say, and
// records every message that it gets.
type rawPeer struct {
	t    testing.TB
	addr netip.AddrPort
	l    *net.TCPListener

	mute atomic.Bool // sends no KEEPALIVE any more
	deaf atomic.Bool // reads nothing any more

	mu       sync.Mutex
	open     func() []byte // the OPEN to answer with, whole message
	messages []rawMessage
	conns    []*net.TCPConn
	changed  chan struct{}
}

// rawMessage is one message, or the end of a connection.
type rawMessage struct {
	at   time.Time // read
	wire time.Time // taken by the kernel, by the wall clock
	conn int       // which connection
	kind uint8
	body []byte
	eof  bool
}

// newRawPeer listens on address 127.0.0.x, port chosen by the system. It answers with open, or with an ordinary OPEN if that is nil.
func newRawPeer(t testing.TB, ip string, open func() []byte) *rawPeer {
	t.Helper()
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.ParseIP(ip)})
	if err != nil {
		t.Fatal(err)
	}
	p := &rawPeer{t: t, addr: l.Addr().(*net.TCPAddr).AddrPort(), l: l, open: open, changed: make(chan struct{}, 1)}
	if p.open == nil {
		p.open = func() []byte { return openMessage(64500, 90, nil) }
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 0; ; n++ {
			c, err := l.AcceptTCP()
			if err != nil {
				return
			}
			p.mu.Lock()
			p.conns = append(p.conns, c)
			p.mu.Unlock()
			wg.Go(func() { p.serve(n, c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.closeAll()
		wg.Wait()
	})
	return p
}

func (p *rawPeer) closeAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
}

// serve plays one connection: OPEN, KEEPALIVE, then a KEEPALIVE every second.
func (p *rawPeer) serve(n int, c *net.TCPConn) {
	stop := make(chan struct{})
	defer close(stop)
	in := newStampedConn(p.t, c)
	for {
		for p.deaf.Load() {
			time.Sleep(10 * time.Millisecond)
		}
		kind, body, err := readMessage(in)
		p.record(rawMessage{at: time.Now(), wire: in.at, conn: n, kind: kind, body: body, eof: err != nil})
		if err != nil {
			return
		}
		if kind != packet.BGP_MSG_OPEN {
			continue
		}
		p.mu.Lock()
		open := p.open
		p.mu.Unlock()
		_, _ = c.Write(open())
		_, _ = c.Write(message(packet.BGP_MSG_KEEPALIVE, nil))
		go func() {
			tick := time.NewTicker(time.Second)
			defer tick.Stop()
			for {
				select {
				case <-stop:
					return
				case <-tick.C:
					if p.mute.Load() {
						continue
					}
					_, _ = c.Write(message(packet.BGP_MSG_KEEPALIVE, nil))
				}
			}
		}()
	}
}

// answer has every OPEN from now on answered with what open says.
func (p *rawPeer) answer(open func() []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = open
}

func (p *rawPeer) record(m rawMessage) {
	p.mu.Lock()
	p.messages = append(p.messages, m)
	p.mu.Unlock()
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// send writes a message on the newest connection.
func (p *rawPeer) send(b []byte) {
	p.mu.Lock()
	c := p.conns[len(p.conns)-1]
	p.mu.Unlock()
	if _, err := c.Write(b); err != nil {
		p.t.Logf("raw peer: %v", err)
	}
}

// reset drops the newest connection as a crash would not: with RST.
func (p *rawPeer) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.conns[len(p.conns)-1]
	_ = c.SetLinger(0)
	_ = c.Close()
}

// all returns what was recorded so far.
func (p *rawPeer) all() []rawMessage {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]rawMessage(nil), p.messages...)
}

// wait returns the first message from index from on that ok accepts, and its index.
func (p *rawPeer) wait(from int, within time.Duration, what string, ok func(rawMessage) bool) (rawMessage, int) {
	p.t.Helper()
	deadline := time.After(within)
	for {
		all := p.all()
		for i := from; i < len(all); i++ {
			if ok(all[i]) {
				return all[i], i
			}
		}
		select {
		case <-p.changed:
		case <-time.After(20 * time.Millisecond):
		case <-deadline:
			p.t.Fatalf("no %s within %v; got %s", what, within, p.describe())
		}
	}
}

func (p *rawPeer) describe() string {
	s := ""
	for _, m := range p.all() {
		if m.eof {
			s += " EOF"
			continue
		}
		s += " " + []string{"?", "OPEN", "UPDATE", "NOTIFICATION", "KEEPALIVE", "REFRESH"}[min(m.kind, 5)]
		if u := m.update(); u != nil {
			s += "(" + describeUpdate(u) + ")"
		}
	}
	return s
}

func describeUpdate(u *packet.BGPUpdate) string {
	s := ""
	for _, n := range u.NLRI {
		s += "+" + n.String()
	}
	for _, n := range u.WithdrawnRoutes {
		s += "-" + n.String()
	}
	for _, a := range u.PathAttributes {
		switch a := a.(type) {
		case *packet.PathAttributeMpReachNLRI:
			for _, n := range a.Value {
				s += "+" + n.String()
			}
		case *packet.PathAttributeMpUnreachNLRI:
			for _, n := range a.Value {
				s += "-" + n.String()
			}
		}
	}
	return s
}

// update is the message as an UPDATE, or nil.
func (m rawMessage) update() *packet.BGPUpdate {
	if m.kind != packet.BGP_MSG_UPDATE {
		return nil
	}
	u := &packet.BGPUpdate{}
	if u.DecodeFromBytes(m.body) != nil {
		return nil
	}
	return u
}

// is accepts an UPDATE that announces ("+prefix") or withdraws ("-prefix") exactly this.
func is(what string) func(rawMessage) bool {
	return func(m rawMessage) bool {
		u := m.update()
		return u != nil && describeUpdate(u) == what
	}
}

func kind(k uint8) func(rawMessage) bool {
	return func(m rawMessage) bool { return !m.eof && m.kind == k }
}

// open is the message as an OPEN with its capabilities by code.
func (m rawMessage) open() (*packet.BGPOpen, map[packet.BGPCapabilityCode][]packet.ParameterCapabilityInterface, error) {
	o := &packet.BGPOpen{}
	if err := o.DecodeFromBytes(m.body); err != nil {
		return nil, nil, err
	}
	caps := map[packet.BGPCapabilityCode][]packet.ParameterCapabilityInterface{}
	for _, p := range o.OptParams {
		c, ok := p.(*packet.OptionParameterCapability)
		if !ok {
			return nil, nil, errors.New("optional parameter that is no capability")
		}
		for _, x := range c.Capability {
			caps[x.Code()] = append(caps[x.Code()], x)
		}
	}
	return o, caps, nil
}

// message frames a body (RFC 4271 section 4.1).
func message(kind uint8, body []byte) []byte {
	b := make([]byte, 19, 19+len(body))
	for i := range 16 {
		b[i] = 0xff
	}
	binary.BigEndian.PutUint16(b[16:], uint16(19+len(body)))
	b[18] = kind
	return append(b, body...)
}

// openMessage is an OPEN with four-octet AS, IPv4 and IPv6 unicast and whatever capabilities are in extra, encoded.
func openMessage(as uint32, hold uint16, extra []byte) []byte {
	caps := []byte{
		1, 4, 0, 1, 0, 1, // multiprotocol: IPv4 unicast
		1, 4, 0, 2, 0, 1, // IPv6 unicast
		65, 4, byte(as >> 24), byte(as >> 16), byte(as >> 8), byte(as),
	}
	caps = append(caps, extra...)
	body := []byte{4, 0, 0, 0, 0, 192, 0, 2, 77, byte(len(caps) + 2), 2, byte(len(caps))}
	two := as
	if as > 65535 {
		two = 23456
	}
	binary.BigEndian.PutUint16(body[1:], uint16(two))
	binary.BigEndian.PutUint16(body[3:], hold)
	return message(packet.BGP_MSG_OPEN, append(body, caps...))
}

func readMessage(r io.Reader) (kind uint8, body []byte, err error) {
	head := make([]byte, 19)
	if _, err := io.ReadFull(r, head); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint16(head[16:])
	if n < 19 {
		return 0, nil, syscall.EBADMSG
	}
	body = make([]byte, n-19)
	_, err = io.ReadFull(r, body)
	return head[18], body, err
}
