package witness

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"failoverd/failover"
	"failoverd/failover/heartbeat"
)

var (
	keyA = bytes.Repeat([]byte("a"), 32)
	keyB = bytes.Repeat([]byte("b"), 32)
)

// testLog keeps what is logged.
type testLog struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write implements io.Writer.
func (l *testLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *testLog) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text)
}

// node is an exchange that runs, and whose owner is the test. What it hears it answers at once.
type node struct {
	t       testing.TB
	x       *Exchange
	log     *testLog
	heard   chan failover.HeartbeatHeard
	replied chan failover.HeartbeatReplied
	stop    func()
	last    uint64
}

func start(t testing.TB, cfg *failover.Config) *node {
	t.Helper()
	n := &node{
		t: t, log: new(testLog),
		heard: make(chan failover.HeartbeatHeard, 100), replied: make(chan failover.HeartbeatReplied, 100),
	}
	n.x = New(slog.New(slog.NewTextHandler(n.log, nil)))
	n.x.Configure(cfg)
	n.x.OpenMissing()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		n.x.Run(ctx, n.deliver)
	}()
	var once sync.Once
	n.stop = func() {
		once.Do(func() {
			cancel()
			select {
			case <-ended:
			case <-time.After(10 * time.Second):
				t.Error("Run does not end")
			}
		})
	}
	t.Cleanup(n.stop)
	return n
}

func (n *node) deliver(in failover.Input) bool {
	switch in := in.(type) {
	case failover.HeartbeatHeard:
		select {
		case n.heard <- in:
			return true
		default:
		}
	case failover.HeartbeatReplied:
		select {
		case n.replied <- in:
			return true
		default:
		}
	}
	return false
}

// send sends the next request to a partner.
func (n *node) send(partner string) uint64 {
	n.last++
	n.x.Send(failover.Heartbeat{Partner: partner, Request: heartbeat.Request{
		Site: "mainland", Node: "m1", About: "mainland", ID: n.last, FenceAfter: 7 * time.Second,
		Entries: []heartbeat.Entry{{Service: heartbeat.Service{Family: 4, VRID: 51}, State: heartbeat.Active, Priority: 200}},
	}})
	return n.last
}

// take waits for what a channel holds.
func take[T any](t testing.TB, what string, c chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(10 * time.Second):
		t.Fatalf("no %s within 10 s", what)
		panic("not reached")
	}
}

// nothing demands that a channel stays empty for a moment.
func nothing[T any](t testing.TB, what string, c chan T) {
	t.Helper()
	select {
	case v := <-c:
		t.Fatalf("%s: %+v", what, v)
	case <-time.After(50 * time.Millisecond):
	}
}

// answerOne waits for a request, demands that it is fresh or not, and answers it.
func (n *node) answerOne(fresh bool) failover.HeartbeatHeard {
	n.t.Helper()
	h := take(n.t, "request", n.heard)
	if h.Fresh != fresh {
		n.t.Errorf("request %d: fresh %v, want %v", h.Request.ID, h.Fresh, fresh)
	}
	n.x.Answer(failover.Answer{Ref: h.Ref, Reply: heartbeat.Reply{Node: "w", About: h.Request.About, ID: h.Request.ID}})
	return h
}

// exchange sends one request from a to a partner, which w is, and waits for its reply.
func exchange(t testing.TB, a, w *node, partner string, fresh bool) {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Logf("partner %+v, listener %+v", a.partner(0), w.listener(0))
		}
	}()
	id := a.send(partner)
	if h := w.answerOne(fresh); h.Request.ID != id || h.Request.Node != "m1" || len(h.Request.Entries) != 1 {
		t.Errorf("heard %+v, want request %d", h.Request, id)
	}
	if r := take(t, "reply", a.replied); r.Partner != partner || r.Reply.ID != id || r.Reply.Node != "w" {
		t.Errorf("reply %+v, want that to %d", r, id)
	}
}

func (n *node) partner(i int) failover.PartnerStatus { p, _ := n.x.Describe(); return p[i] }

func (n *node) listener(i int) failover.ListenerStatus { _, l := n.x.Describe(); return l[i] }

// eventually asks until ok, for as long as a busy machine may take.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within 10 s", what)
		}
	}
}

// counted waits until a listener has counted something n times.
func (n *node) counted(what string, want uint64) {
	n.t.Helper()
	eventually(n.t, what, func() bool { return n.listener(0).Outcomes[what] == want })
}

// took waits until n replies were taken: they are counted after they were handed over.
func (n *node) took(want uint64) {
	n.t.Helper()
	eventually(n.t, "replies", func() bool { return n.partner(0).Outcomes["ok"] == want })
}

// freePort returns an address of this host whose port nobody has.
func freePort(t testing.TB, ip string) netip.AddrPort {
	t.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(ip)})
	if err != nil {
		t.Skipf("SKIPPED, PROVES NOTHING: %v", err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort()
}

// site is the configuration of a node that has one witness.
func site(to netip.AddrPort, keys ...[]byte) *failover.Config {
	return &failover.Config{Sites: []failover.SiteConfig{{
		Name: "mainland", Partners: []failover.Partner{{
			ID: "site mainland/witness w", Kind: failover.PartnerWitness, Name: "w", Address: to, Keys: keys,
		}},
	}}}
}

func server(at netip.AddrPort, keys ...[]byte) *failover.Config {
	return &failover.Config{WitnessServer: &failover.WitnessServerConfig{Listen: at, Keys: keys}}
}

const witnessID = "site mainland/witness w"

// A request arrives, and its answer. The first one proves nothing, the others are fresh.
func TestExchange(t *testing.T) {
	for _, ip := range []string{"127.0.0.1", "::1"} {
		t.Run(ip, func(t *testing.T) {
			at := freePort(t, ip)
			w, a := start(t, server(at, keyA)), start(t, site(at, keyA))
			exchange(t, a, w, witnessID, false)
			exchange(t, a, w, witnessID, true)
			exchange(t, a, w, witnessID, true)
			a.took(3)
			w.counted("ok", 2)
			p, l := a.partner(0), w.listener(0)
			if p.ID != witnessID || p.Kind != "witness" || p.Sent != 3 || p.Error != "" || p.RTTMS == nil || *p.RTTMS <= 0 {
				t.Errorf("partner %+v", p)
			}
			if !l.Open || l.Outcomes["stale"] != 1 || l.Outcomes["answered"] != 3 {
				t.Errorf("listener %+v", l)
			}
		})
	}
}

// An answer is sent once, and only to what was asked.
func TestAnswers(t *testing.T) {
	at := freePort(t, "127.0.0.1")
	w, a := start(t, server(at, keyA)), start(t, site(at, keyA))
	w.x.Answer(failover.Answer{Ref: 0})
	w.x.Answer(failover.Answer{Ref: 77})
	a.send(witnessID)
	h := w.answerOne(false)
	take(t, "reply", a.replied)
	w.x.Answer(failover.Answer{Ref: h.Ref, Reply: heartbeat.Reply{Node: "w"}})
	nothing(t, "a second answer", a.replied)
	if n := w.listener(0).Outcomes["answered"]; n != 1 {
		t.Errorf("%d answers", n)
	}
	// One that cannot be written is an error of the sender's.
	a.send(witnessID)
	h = take(t, "request", w.heard)
	w.x.Answer(failover.Answer{Ref: h.Ref, Reply: heartbeat.Reply{}})
	if n := w.listener(0).Outcomes["send_failed"]; n != 1 {
		t.Errorf("%d failures", n)
	}
}

// Who does not have the key is not answered.
func TestWrongKey(t *testing.T) {
	at := freePort(t, "127.0.0.1")
	w, a := start(t, server(at, keyA)), start(t, site(at, keyB))
	a.send(witnessID)
	w.counted("wrong_key", 1)
	a.send(witnessID)
	w.counted("wrong_key", 2)
	nothing(t, "a request", w.heard)
	refused := w.listener(0).Refused
	if len(refused) != 1 || refused[0].Outcome != "wrong_key" || !strings.HasPrefix(refused[0].Peer, "127.0.0.1:") ||
		refused[0].MSAgo < 0 || refused[0].MSAgo > 60_000 {
		t.Errorf("the last one that was refused: %+v", refused)
	}
	if n := w.log.count("wrong_key"); n != 1 {
		t.Errorf("%d lines, want 1", n)
	}
}

// Blocks that listen at one address are told apart by what a request is about and by their keys.
func TestRealms(t *testing.T) {
	at := freePort(t, "127.0.0.1")
	cfg := &failover.Config{Watches: []failover.WatchConfig{
		{Name: "other", Listen: at, Keys: [][]byte{keyB}},
		{Name: "same", Listen: at, Keys: [][]byte{keyA}},
		{Name: "mainland", Listen: at, Keys: [][]byte{keyA}},
	}}
	w, a := start(t, cfg), start(t, site(at, keyA))
	exchange(t, a, w, witnessID, false)
	exchange(t, a, w, witnessID, true)
	b := start(t, site(at, keyB)) // has a key, but not that of its site
	b.send(witnessID)
	w.counted("unexpected", 1)
	nothing(t, "a request", w.heard)
}

// Either side may start again: one request proves nothing then.
func TestRestart(t *testing.T) {
	at := freePort(t, "127.0.0.1")
	w, a := start(t, server(at, keyA)), start(t, site(at, keyA))
	exchange(t, a, w, witnessID, false)
	exchange(t, a, w, witnessID, true)

	w.stop()
	w = start(t, server(at, keyA))
	exchange(t, a, w, witnessID, false)
	exchange(t, a, w, witnessID, true)

	a.stop()
	a = start(t, site(at, keyA))
	exchange(t, a, w, witnessID, false)
	exchange(t, a, w, witnessID, true)
}

// Nobody at home is an error that is shown, and that ends with the next answer.
func TestUnreachable(t *testing.T) {
	at := freePort(t, "127.0.0.1")
	a := start(t, site(at, keyA))
	eventually(t, "the network's complaint", func() bool {
		a.send(witnessID)
		return a.partner(0).Error != ""
	})
	if e := a.partner(0).Error; e != "connection refused" {
		t.Errorf("error %q", e)
	}
	w := start(t, server(at, keyA))
	exchange(t, a, w, witnessID, false)
	exchange(t, a, w, witnessID, true)
	a.took(2)
	if p := a.partner(0); p.Error != "" || p.Outcomes["send_failed"] != 0 {
		t.Errorf("partner %+v", p)
	}
	// What has no way there is counted, and ends nothing.
	a.x.Configure(site(netip.MustParseAddrPort("[fe80::1%nosuch]:7112"), keyA))
	a.x.OpenMissing()
	a.send(witnessID)
	if p := a.partner(0); p.Outcomes["send_failed"] != 1 || !strings.HasPrefix(p.Error, "send: ") {
		t.Errorf("partner %+v", p)
	}
}

// A loop that does not keep up loses datagrams, which are counted.
func TestQueueFull(t *testing.T) {
	at := freePort(t, "127.0.0.1")
	w, a := start(t, server(at, keyA)), start(t, site(at, keyA))
	for range cap(w.heard) + 10 {
		a.send(witnessID)
	}
	w.counted("queue_full", 10)
	if n := len(w.heard); n != cap(w.heard) {
		t.Errorf("%d delivered", n)
	}
}

// Without a configuration there is nothing to do, and the end comes as well.
func TestEmpty(t *testing.T) {
	n := start(t, new(failover.Config))
	n.x.Send(failover.Heartbeat{Partner: "nobody"})
	if p, l := n.x.Describe(); len(p) != 0 || len(l) != 0 {
		t.Errorf("%v %v", p, l)
	}
	n.stop()
	n.x.Configure(server(freePort(t, "127.0.0.1"), keyA))
	n.x.OpenMissing()
	if _, l := n.x.Describe(); len(l) != 0 {
		t.Errorf("after the end: %v", l)
	}
}
