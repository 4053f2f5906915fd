package lab_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"failoverd/bgp"
	"failoverd/bgp/gobgp"
	"failoverd/integration/lab"
)

// rawPeer is the other end of a BGP session: it opens, keeps quiet about everything it hears, and says what it is told.
type rawPeer struct{ conn net.Conn }

// openSession opens a session from a node. The upstream may close the first connections: it listens before it knows its
// neighbors.
func openSession(t *testing.T, n *lab.Node, to string, as uint16) *rawPeer {
	t.Helper()
	p := &rawPeer{}
	var last error
	err := lab.WaitFor(t.Context(), 15*time.Second, "a session", func() bool {
		last = n.Do(func() (err error) { p.conn, err = net.DialTimeout("tcp4", to, time.Second); return err })
		if last == nil {
			last = p.shakeHands(as)
		}
		return last == nil
	})
	if err != nil {
		t.Fatalf("%v: %v", err, last)
	}
	return p
}

// shakeHands exchanges OPEN and KEEPALIVE, with the capability of four-octet AS numbers.
func (p *rawPeer) shakeHands(as uint16) error {
	open := bgpMessage(1, 4, byte(as>>8), byte(as), 0, 30, 10, 0, 0, 1, 16,
		2, 6, 65, 4, 0, 0, byte(as>>8), byte(as), 2, 6, 1, 4, 0, 1, 0, 1)
	for _, step := range []struct {
		say  []byte
		hear byte
	}{{open, 1}, {bgpMessage(4), 4}} {
		if _, err := p.conn.Write(step.say); err != nil {
			return errors.Join(err, p.conn.Close())
		}
		if kind, err := p.read(); err != nil || kind != step.hear {
			return errors.Join(fmt.Errorf("message type %d, want %d: %w", kind, step.hear, err), p.conn.Close())
		}
	}
	return nil
}

// read returns the type of the next message.
func (p *rawPeer) read() (byte, error) {
	if err := p.conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return 0, err
	}
	head := make([]byte, 19)
	if _, err := io.ReadFull(p.conn, head); err != nil {
		return 0, err
	}
	_, err := io.ReadFull(p.conn, make([]byte, binary.BigEndian.Uint16(head[16:])-19))
	return head[18], err
}

func TestUpstreamInstallsWhatItLearns(t *testing.T) {
	l := lab.ForTest(t)
	p := newPair(t, l)
	capture := must(p.b.Capture("eth0"))(t)
	h := helper("upstream")
	cfg := gobgp.RouterConfig{
		LocalAS: 64500, RouterID: addr("10.0.0.2"), ListenPort: 179,
		Neighbors: []gobgp.RouterNeighbor{{Passive: true, Neighbor: bgp.Neighbor{
			Address: addr("10.0.0.1"), LocalAddress: addr("10.0.0.2"), RemoteAS: 64501,
			HoldTime: 30 * time.Second, Keepalive: 10 * time.Second, ConnectRetry: time.Second,
		}}},
	}
	up := must(p.b.StartUpstream(h.Argv, h.Env, cfg))(t)
	peer := openSession(t, p.a, "10.0.0.2:179", 64501)
	defer peer.conn.Close()
	service := prefix("198.51.100.0/24")
	via := func(want netip.Addr) func() bool {
		return func() bool {
			got, _ := must2(p.b.NextHop(service))(t)
			return got == want
		}
	}
	announce := bgpMessage(2, 0, 0, 0, 20,
		0x40, 1, 1, 0, 0x40, 2, 6, 2, 1, 0, 0, 0xfb, 0xf5, 0x40, 3, 4, 10, 0, 0, 1,
		24, 198, 51, 100)
	must(peer.conn.Write(announce))(t)
	check(t, lab.WaitFor(t.Context(), 5*time.Second, "the route", via(addr("10.0.0.1"))))
	must(peer.conn.Write(withdrawService))(t)
	check(t, lab.WaitFor(t.Context(), 5*time.Second, "the route's end", via(netip.Addr{})))

	must(peer.conn.Write(announce))(t)
	check(t, lab.WaitFor(t.Context(), 5*time.Second, "the route, again", via(addr("10.0.0.1"))))
	if state := must(up.Stop(10 * time.Second))(t); state.ExitCode() != 0 {
		t.Errorf("upstream ended with %v:\n%s", state, up.Log())
	}
	if !via(netip.Addr{})() {
		t.Error("the upstream left its route behind")
	}
	msgs := capture.BGP()
	var announced, withdrawn int
	for _, m := range msgs {
		announced, withdrawn = announced+len(m.Announced), withdrawn+len(m.Withdrawn)
		if len(m.Announced) > 0 && (m.NextHop != addr("10.0.0.1") || len(m.ASPath) != 1 || m.ASPath[0] != 64501) {
			t.Errorf("UPDATE decoded as %+v", m)
		}
		if m.Err != nil {
			t.Errorf("%s: %v", m.String(), m.Err)
		}
	}
	if announced != 2 || withdrawn != 1 {
		t.Errorf("capture saw %d announcements and %d withdrawals, want 2 and 1", announced, withdrawn)
	}
}
