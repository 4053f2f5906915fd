package witness

import (
	"bytes"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"time"

	"failoverd/failover"
	"failoverd/failover/heartbeat"
)

// wire is somebody between a node and its partner, who sees and may repeat everything.
type wire struct {
	t      testing.TB
	conn   *net.UDPConn // where the node sends to
	out    *net.UDPConn // where the partner sees requests come from
	server netip.AddrPort
	client netip.AddrPort
}

func tap(t testing.TB, server netip.AddrPort) *wire {
	t.Helper()
	listen := func() *net.UDPConn {
		c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	return &wire{t: t, conn: listen(), out: listen(), server: server}
}

func (w *wire) addr() netip.AddrPort { return w.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

// read returns the next datagram of a socket.
func (w *wire) read(c *net.UDPConn) ([]byte, netip.AddrPort) {
	w.t.Helper()
	b := make([]byte, 2048)
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	n, from, err := c.ReadFromUDPAddrPort(b)
	if err != nil {
		w.t.Fatal(err)
	}
	return b[:n], from
}

// request passes a request on, and returns it.
func (w *wire) request() (b []byte) {
	w.t.Helper()
	b, w.client = w.read(w.conn)
	w.toServer(b)
	return b
}

// reply passes a reply on, and returns it.
func (w *wire) reply() []byte {
	w.t.Helper()
	b, _ := w.read(w.out)
	w.toClient(b)
	return b
}

func (w *wire) toServer(b []byte) {
	w.t.Helper()
	if _, err := w.out.WriteToUDPAddrPort(b, w.server); err != nil {
		w.t.Fatal(err)
	}
}

func (w *wire) toClient(b []byte) {
	w.t.Helper()
	if _, err := w.conn.WriteToUDPAddrPort(b, w.client); err != nil {
		w.t.Fatal(err)
	}
}

// Whoever sees everything and has no key can repeat, turn around and mix as he likes.
func TestReplayedAndReflected(t *testing.T) {
	at := freePort(t, "127.0.0.1")
	w := start(t, server(at, keyA))
	m := tap(t, at)
	a := start(t, site(m.addr(), keyA))
	var requests, replies [][]byte
	for i := range 3 {
		a.send(witnessID)
		requests = append(requests, m.request())
		w.answerOne(i > 0)
		replies = append(replies, m.reply())
		take(t, "reply", a.replied)
	}
	if len(replies[0]) > len(requests[0]) {
		t.Errorf("a reply has %d octets, its request %d", len(replies[0]), len(requests[0]))
	}

	m.toServer(requests[1])
	m.toServer(requests[2])
	w.counted("replay", 2)
	m.toServer(replies[2])
	w.counted("malformed", 1)
	spliced := append(bytes.Clone(requests[2][:60]), requests[1][60:]...)
	m.toServer(spliced)
	w.counted("wrong_key", 1)
	m.toServer(requests[2][:100])
	w.counted("wrong_key", 2)
	nothing(t, "a request", w.heard)
	m.toServer(requests[0]) // never proved anything, and does not now
	if h := take(t, "request", w.heard); h.Fresh {
		t.Error("the first request is fresh")
	}

	m.toClient(replies[2])
	m.toClient(replies[0])
	m.toClient(requests[2])
	eventually(t, "the counters", func() bool {
		o := a.partner(0).Outcomes
		return o["unexpected"] == 2 && o["malformed"] == 1
	})
	nothing(t, "a reply", a.replied)

	a.send(witnessID)
	m.request()
	w.answerOne(true)
	m.reply()
	take(t, "reply", a.replied)
}

// garbage is what a flood consists of: noise, and what looks like a request.
func garbage(r *rand.Rand) []byte {
	b := make([]byte, r.IntN(heartbeat.MaxLen+200))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	if r.IntN(2) == 0 && len(b) > 6 {
		copy(b, "FOHB\x01\x01")
	}
	return b
}

// A flood changes nothing, and does not keep out who has spoken before.
func TestFlood(t *testing.T) {
	at := freePort(t, "127.0.0.1")
	w, a := start(t, server(at, keyA)), start(t, site(at, keyA))
	exchange(t, a, w, witnessID, false)
	exchange(t, a, w, witnessID, true)

	const count = 50_000
	ended := make(chan struct{})
	flood, err := net.DialUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 2)}, net.UDPAddrFromAddrPort(at))
	if err != nil {
		t.Fatal(err)
	}
	defer flood.Close()
	go func() {
		defer close(ended)
		r := rand.New(rand.NewPCG(4, 2))
		var pieces [512][]byte
		for i := range pieces {
			pieces[i] = garbage(r)
		}
		for i := range count {
			_, _ = flood.Write(pieces[i%len(pieces)])
		}
	}()
	good, replies := 0, a.partner(0).Outcomes["ok"]
	for flooding := true; flooding; good++ {
		select {
		case <-ended:
			flooding = false
		default:
		}
		// The kernel may throw one away when its buffer is full; the next one gets through.
		eventually(t, "an answer during the flood", func() bool {
			a.send(witnessID)
			select {
			case h := <-w.heard:
				w.x.Answer(failover.Answer{Ref: h.Ref, Reply: heartbeat.Reply{Node: "w"}})
				return true
			case <-time.After(20 * time.Millisecond):
				return false
			}
		})
	}
	o := w.listener(0).Outcomes
	if o["flood"] == 0 || o["malformed"] == 0 || o["wrong_key"] == 0 {
		t.Errorf("outcomes %v", o)
	}
	if n := o["wrong_key"] + o["flood"] + o["malformed"] + o["socket_full"]; n < count/2 {
		t.Errorf("%d of %d counted: %v", n, count, o)
	}
	if n := a.partner(0).Outcomes["ok"] + a.partner(0).Outcomes["queue_full"]; n == replies {
		t.Error("no answer has arrived")
	}
	t.Logf("%d requests answered during the flood; %v", good, o)
}
