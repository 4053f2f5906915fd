package speaker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	packet "github.com/osrg/gobgp/v3/pkg/packet/bgp"

	"failoverd/bgp"
)

// rawClient is a BGP speaker made by hand that connects.
type rawClient struct {
	t    *testing.T
	conn net.Conn
	gone chan struct{}
}

// dialRaw opens a session from 127.0.0.x and keeps it alive until silent is called or the test ends.
func dialRaw(t *testing.T, from string, port uint16, as uint32, hold uint16, id byte) (c *rawClient, silent func()) {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: time.Second}
	c = &rawClient{t: t, gone: make(chan struct{})}
	// Right after a session was lost the router is not ready for the next one yet.
	for start := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		var err error
		if c.conn, err = d.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			if err = c.handshake(as, hold, id); err == nil {
				break
			}
			_ = c.conn.Close()
		}
		if time.Since(start) > sessionUp {
			t.Fatalf("no session from %s: %v", from, err)
		}
	}
	stop := make(chan struct{})
	go func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				_, _ = c.conn.Write(message(packet.BGP_MSG_KEEPALIVE, nil))
			case <-stop:
				return
			}
		}
	}()
	go func() {
		defer close(c.gone)
		for {
			if _, _, err := readMessage(c.conn); err != nil {
				return
			}
		}
	}()
	stopped := false
	silent = func() {
		if !stopped {
			stopped = true
			close(stop)
		}
	}
	t.Cleanup(func() {
		silent()
		_ = c.conn.Close()
		<-c.gone
	})
	return c, silent
}

func (c *rawClient) handshake(as uint32, hold uint16, id byte) error {
	if err := c.conn.SetReadDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return err
	}
	open := openMessage(as, hold, nil)
	open[27] = id // last octet of the BGP identifier
	if _, err := c.conn.Write(open); err != nil {
		return err
	}
	for _, want := range []uint8{packet.BGP_MSG_OPEN, packet.BGP_MSG_KEEPALIVE} {
		kind, _, err := readMessage(c.conn)
		if err != nil {
			return err
		}
		if kind != want {
			return fmt.Errorf("message type %d, want %d", kind, want)
		}
		if _, err := c.conn.Write(message(packet.BGP_MSG_KEEPALIVE, nil)); err != nil {
			return err
		}
	}
	return errors.Join(c.conn.SetReadDeadline(time.Time{}))
}

func (c *rawClient) send(b []byte) {
	c.t.Helper()
	if _, err := c.conn.Write(b); err != nil {
		c.t.Error(err)
	}
}

// path announces service4 with a MED and a path of as repeated n times.
func path(as uint32, hop byte, med byte, n int) []byte {
	attrs := []byte{0x40, 1, 1, 0, 0x40, 2, byte(2 + 4*n), 2, byte(n)}
	for range n {
		attrs = append(attrs, byte(as>>24), byte(as>>16), byte(as>>8), byte(as))
	}
	attrs = append(attrs, 0x40, 3, 4, 192, 0, 2, hop, 0x80, 4, 4, 0, 0, 0, med)
	body := append([]byte{0, 0, 0, byte(len(attrs))}, attrs...)
	return message(packet.BGP_MSG_UPDATE, append(body, 24, 198, 51, 100))
}

var withdrawService4 = message(packet.BGP_MSG_UPDATE, []byte{0, 4, 24, 198, 51, 100, 0, 0})

// marker announces another prefix, with AS 64502 as its path and next hop 192.0.2.2.
var (
	marker = message(packet.BGP_MSG_UPDATE, []byte{
		0, 0, 0, 20, 0x40, 1, 1, 0, 0x40, 2, 6, 2, 1, 0, 0, 0xfb, 0xf6, 0x40, 3, 4, 192, 0, 2, 2, 24, 198, 51, 101,
	})
	withdrawMarker = message(packet.BGP_MSG_UPDATE, []byte{0, 4, 24, 198, 51, 101, 0, 0})
)

// One router, several neighbors with the same prefix: the best path is reported each time that it changes, whatever
// the reason, and its end as well. One body, because gobgp servers of one process share variables.
func TestUpstream(t *testing.T) {
	port := freePort(t)
	one, two, wrong := netip.MustParseAddr("127.0.0.21"), netip.MustParseAddr("127.0.0.22"), netip.MustParseAddr("127.0.0.23")
	cfg := UpstreamConfig{
		LocalAS: 64500, RouterID: netip.MustParseAddr("192.0.2.100"), ListenPort: port,
		ListenAddresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")},
		Neighbors: []UpstreamNeighbor{
			{Neighbor: neighborOf(one, 64501), Passive: true},
			{Neighbor: neighborOf(two, 64502), Passive: true},
			{Neighbor: neighborOf(wrong, 64503), Passive: true},
		},
	}
	// Secured ones: the listener has to know the key before the first segment, and the hop limit.
	md5right, md5wrong, gtsm := netip.MustParseAddr("127.0.0.24"), netip.MustParseAddr("127.0.0.25"), netip.MustParseAddr("127.0.0.26")
	for _, a := range []netip.Addr{md5right, md5wrong, gtsm} {
		n := neighborOf(a, 64501)
		if a == gtsm {
			n.TTLSecurity = 1
		} else {
			n.Password = "secret"
		}
		cfg.Neighbors = append(cfg.Neighbors, UpstreamNeighbor{Neighbor: n, Passive: true})
	}
	u, err := NewUpstream(cfg, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	best, sessions := make(chan bgp.BestPath, 100), make(chan bgp.NeighborStatus, 100)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- u.Run(ctx, func(b bgp.BestPath) { best <- b }, func(s bgp.NeighborStatus) { sessions <- s })
	}()
	wantBest := func(within time.Duration, want string) bgp.BestPath {
		t.Helper()
		select {
		case b := <-best:
			if got := describeBest(b); got != want {
				t.Fatalf("best path %s, want %s", got, want)
			}
			return b
		case <-time.After(within):
			t.Fatalf("no change of the best path within %v, want %s", within, want)
			return bgp.BestPath{}
		}
	}
	wantSession := func(addr netip.Addr, ok func(bgp.NeighborStatus) bool) bgp.NeighborStatus {
		t.Helper()
		for deadline := time.After(sessionUp); ; {
			select {
			case s := <-sessions:
				if s.Address == addr && ok(s) {
					return s
				}
			case <-deadline:
				t.Fatalf("no such change of the session with %v", addr)
			}
		}
	}
	up := func(s bgp.NeighborStatus) bool { return s.State == bgp.Established }

	first, _ := dialRaw(t, one.String(), port, 64501, 90, 1)
	if s := wantSession(one, up); s.HoldTime != 9*time.Second {
		t.Errorf("hold time %v", s.HoldTime)
	}
	first.send(path(64501, 1, 50, 1))
	b := wantBest(prompt, "198.51.100.0/24 via 192.0.2.1 from 127.0.0.21")
	if b.MED == nil || *b.MED != 50 || !slices.Equal(b.ASPath, []uint32{64501}) {
		t.Errorf("attributes: %+v", b)
	}

	second, goSilent := dialRaw(t, two.String(), port, 64502, 3, 2)
	wantSession(two, up)
	second.send(path(64502, 2, 0, 2)) // longer: not the best
	// Nothing is reported of it. What comes after it on the same session is, and shows that it has arrived: two sessions
	// have no order.
	second.send(marker)
	wantBest(prompt, "198.51.101.0/24 via 192.0.2.2 from 127.0.0.22")
	second.send(withdrawMarker)
	wantBest(prompt, "198.51.101.0/24 withdrawn")
	first.send(path(64501, 11, 60, 1)) // replaced: other next hop
	wantBest(prompt, "198.51.100.0/24 via 192.0.2.11 from 127.0.0.21")
	first.send(path(64501, 11, 60, 4)) // prepended: the other one is better now
	wantBest(prompt, "198.51.100.0/24 via 192.0.2.2 from 127.0.0.22")
	second.send(withdrawService4)
	wantBest(prompt, "198.51.100.0/24 via 192.0.2.11 from 127.0.0.21")
	first.send(withdrawService4)
	wantBest(prompt, "198.51.100.0/24 withdrawn")

	// The best path's neighbor is silent: its path goes with the hold timer, and the session comes back when it does.
	first.send(path(64501, 1, 0, 2))
	wantBest(prompt, "198.51.100.0/24 via 192.0.2.1 from 127.0.0.21")
	second.send(path(64502, 2, 0, 1))
	wantBest(prompt, "198.51.100.0/24 via 192.0.2.2 from 127.0.0.22")
	goSilent()
	start := time.Now()
	wantBest(3*time.Second+slack, "198.51.100.0/24 via 192.0.2.1 from 127.0.0.21")
	if took := time.Since(start); took < 1500*time.Millisecond {
		t.Errorf("lost after %v, the hold time is 3 s", took)
	}
	s := wantSession(two, func(s bgp.NeighborStatus) bool { return s.State != bgp.Established })
	if !strings.Contains(strings.ToLower(s.LastError), "hold timer expired") || s.Flaps != 1 {
		t.Errorf("status %+v", s)
	}
	start = time.Now()
	second, _ = dialRaw(t, two.String(), port, 64502, 3, 2)
	wantSession(two, up)
	if took := time.Since(start); took > 3*time.Second+slack {
		t.Errorf("session again after %v", took)
	}

	// The connection closes, as when a speaker crashes.
	second.send(path(64502, 2, 0, 1))
	wantBest(prompt, "198.51.100.0/24 via 192.0.2.2 from 127.0.0.22")
	_ = second.conn.Close()
	wantBest(prompt, "198.51.100.0/24 via 192.0.2.1 from 127.0.0.21")

	// Somebody with another AS than configured.
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IP(wrong.AsSlice())}}
	conn, err := d.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = conn.Write(openMessage(64999, 3, nil))
	s = wantSession(wrong, func(s bgp.NeighborStatus) bool { return s.LastError != "" })
	if want := "2/2 (OPEN Message Error, Bad Peer AS): as number mismatch expected 64503, received 64999"; !strings.Contains(s.LastError, want) {
		t.Errorf("got %q, want %q", s.LastError, want)
	}

	for _, row := range []struct {
		from netip.Addr
		pw   string
		hops uint8
	}{{md5right, "secret", 0}, {gtsm, "", 1}, {md5wrong, "other", 0}} {
		n := neighborOf(netip.MustParseAddr("127.0.0.1"), 64500)
		n.LocalAddress, n.Port, n.Password, n.TTLSecurity = row.from, port, row.pw, row.hops
		a := startAgent(t, speakerOf(n))
		if row.from == md5wrong {
			a.until(sessionUp, "the reason", func(r bgp.Report) bool { return strings.Contains(r.Neighbors[0].LastError, "the password differs") })
			continue
		}
		a.until(sessionUp, "a secured session", established)
	}

	stop()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(prompt):
		t.Error("Run does not end")
	}
	select {
	case <-first.gone:
	case <-time.After(prompt):
		t.Error("the sessions are still open")
	}
}

func describeBest(b bgp.BestPath) string {
	if b.Withdrawn {
		return b.Prefix.String() + " withdrawn"
	}
	return fmt.Sprintf("%v via %v from %v", b.Prefix, b.NextHop, b.Neighbor)
}

func TestUpstreamRefusesBadConfiguration(t *testing.T) {
	good := UpstreamConfig{LocalAS: 64500, RouterID: netip.MustParseAddr("192.0.2.100")}
	for name, change := range map[string]func(*UpstreamConfig){
		"no AS":        func(c *UpstreamConfig) { c.LocalAS = 0 },
		"no router id": func(c *UpstreamConfig) { c.RouterID = netip.Addr{} },
		"a bad neighbor": func(c *UpstreamConfig) {
			c.Neighbors = []UpstreamNeighbor{{Neighbor: bgp.Neighbor{Address: netip.MustParseAddr("192.0.2.1")}}}
		},
		"a passive neighbor and no listener": func(c *UpstreamConfig) {
			c.Neighbors = []UpstreamNeighbor{{Neighbor: neighborOf(netip.MustParseAddr("192.0.2.1"), 64501), Passive: true}}
		},
	} {
		c := good
		change(&c)
		if _, err := NewUpstream(c, testLog(t)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
