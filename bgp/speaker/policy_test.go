package speaker

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	packet "github.com/osrg/gobgp/v3/pkg/packet/bgp"

	"failoverd/bgp"
)

func TestBGP_POL_03_NothingOutsideTheAllowList(t *testing.T) {
	t.Parallel()
	p, a := connect(t, nil, nil)
	foreign := bgp.Route{Prefix: netip.MustParsePrefix("192.0.2.0/24")}
	specific := bgp.Route{Prefix: netip.MustParsePrefix("198.51.100.0/25")}
	g := a.set(foreign, specific, route4())
	p.wait(0, prompt, "what is allowed", is("+198.51.100.0/24"))
	r := a.until(prompt, "the generation", func(r bgp.Report) bool { return r.Generation == g })
	for _, what := range []string{"192.0.2.0/24", "198.51.100.0/25", "allow_prefix"} {
		if !strings.Contains(r.Err, what) {
			t.Errorf("the report does not name %s: %q", what, r.Err)
		}
	}
	if len(r.Announced) != 1 || r.Announced[0].Prefix != service4 {
		t.Errorf("announced %v", r.Announced)
	}
	if c := count(p, "UPDATE"); c != 1 {
		t.Errorf("%d UPDATEs, want 1: %s", c, p.describe())
	}
}

// Whatever a neighbor sends, nothing of it is accepted, and nothing of it reaches another neighbor: not even a better
// path to our own prefix.
func TestBGP_POL_02_NothingAccepted_BGP_POL_04_NothingReexported(t *testing.T) {
	t.Parallel()
	p := newRawPeer(t, "127.0.0.2", nil)
	q := newRawPeer(t, "127.0.0.3", func() []byte { return openMessage(64510, 90, nil) })
	other := rawNeighbor(q)
	other.RemoteAS = 64510
	a := startAgent(t, speakerOf(rawNeighbor(p), other))
	a.until(sessionUp, "both sessions", allEstablished)
	var flood []netip.Prefix
	for i := range 200 {
		flood = append(flood, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 7, byte(i), 0}), 24))
	}
	p.send(updateMessage(64500, append(flood, service4, netip.MustParsePrefix("198.51.100.0/25"), netip.MustParsePrefix("0.0.0.0/0"))...))
	time.Sleep(500 * time.Millisecond) // the assertion is that nothing comes
	if c := count(q, "UPDATE"); c != 0 {
		t.Errorf("reexported: %s", q.describe())
	}
	if r := a.last(); len(r.Announced) != 0 {
		t.Errorf("the table has %v", r.Announced)
	}
	// And with our own route there, theirs still is not: both neighbors get ours only.
	a.set(route4())
	for _, peer := range []*rawPeer{p, q} {
		peer.wait(0, prompt, "our announcement", is("+198.51.100.0/24"))
		if c := count(peer, "UPDATE"); c != 1 {
			t.Errorf("%d UPDATEs, want 1: %s", c, peer.describe())
		}
	}
	// A route of theirs that goes away changes nothing.
	p.send(message(packet.BGP_MSG_UPDATE, []byte{0, 4, 24, 198, 51, 100, 0, 0}))
	time.Sleep(200 * time.Millisecond)
	if c := count(q, "UPDATE"); c != 1 {
		t.Errorf("after their withdrawal: %s", q.describe())
	}
}

// What a neighbor can make us keep is bounded: one prefix over, and the session ends with CEASE 6/1.
func TestBGP_POL_02_AdjRIBInIsBounded(t *testing.T) {
	t.Parallel()
	p, a := connect(t, nil, nil)
	const limit, each = 10_000, 500
	for i := 0; i <= limit; i += each {
		var ps []netip.Prefix
		for j := i; j < i+each; j++ {
			ps = append(ps, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(j >> 8), byte(j), 0}), 24))
		}
		p.send(updateMessage(64500, ps...))
	}
	m, _ := p.wait(0, sessionUp, "NOTIFICATION", kind(packet.BGP_MSG_NOTIFICATION))
	if m.body[0] != 6 || m.body[1] != 1 {
		t.Errorf("NOTIFICATION %d/%d, want 6/1", m.body[0], m.body[1])
	}
	a.until(prompt, "the reason", func(r bgp.Report) bool {
		return strings.Contains(r.Neighbors[0].LastError, "Maximum Number of Prefixes Reached") && r.Neighbors[0].Flaps == 1
	})
	// It is tried again.
	a.until(sessionUp, "another session", established)
}

// A connection from an address that is not configured is closed before anything is said.
func TestBGP_SEC_04_UnknownSourceIsClosedAtOnce(t *testing.T) {
	t.Parallel()
	p := newRawPeer(t, "127.0.0.2", nil)
	cfg := speakerOf(rawNeighbor(p))
	cfg.ListenPort = freePort(t)
	a := startAgent(t, cfg)
	a.until(sessionUp, "a session", established)
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP("127.0.0.99")}, Timeout: time.Second}
	conn, err := d.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", cfg.ListenPort))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write([]byte("\x16\x03\x01 not even BGP")); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(2 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 100)); n != 0 || err == nil || isTimeout(err) {
		t.Errorf("got %d octets, %v; want the connection closed", n, err)
	}
	if r := a.last(); !r.Established() || r.Restarts != 0 {
		t.Errorf("the other session suffered: %+v", r)
	}
}

func isTimeout(err error) bool {
	e, ok := err.(net.Error)
	return ok && e.Timeout()
}

func freePort(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

// updateMessage announces prefixes from as with next hop 192.0.2.77.
func updateMessage(as uint32, prefixes ...netip.Prefix) []byte {
	attrs := []byte{
		0x40, 1, 1, 0, // ORIGIN IGP
		0x40, 2, 6, 2, 1, byte(as >> 24), byte(as >> 16), byte(as >> 8), byte(as), // AS_PATH
		0x40, 3, 4, 192, 0, 2, 77, // NEXT_HOP
	}
	body := binary.BigEndian.AppendUint16([]byte{0, 0}, uint16(len(attrs)))
	body = append(body, attrs...)
	for _, p := range prefixes {
		a := p.Addr().As4()
		body = append(append(body, byte(p.Bits())), a[:(p.Bits()+7)/8]...)
	}
	return message(packet.BGP_MSG_UPDATE, body)
}
