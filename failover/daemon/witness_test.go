package daemon

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"failoverd/failover"
	"failoverd/failover/heartbeat"
)

var beatKey = bytes.Repeat([]byte("k"), 32)

// keyFile writes the key of the heartbeats to a file.
func keyFile(t testing.TB) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(name, beatKey, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// witnessConf is a node that only answers for others.
func witnessConf(t testing.TB) string {
	return fmt.Sprintf("witness_server {\n    listen 192.0.2.1:7112\n    key_file %s\n}\n", keyFile(t))
}

// asker is a node of another site, as far as its heartbeats go.
type asker struct {
	t      testing.TB
	conn   *net.UDPConn
	client *heartbeat.Client
	id     uint64
}

func (l *lab) asker() *asker {
	l.t.Helper()
	a := &asker{t: l.t, client: heartbeat.NewClient(1, [][]byte{beatKey})}
	if err := l.do(func() (err error) {
		a.conn, err = net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.MustParseAddrPort("192.0.2.1:7112")))
		return err
	}); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { a.conn.Close() })
	return a
}

// ask sends a request and waits for its reply.
func (a *asker) ask() (r heartbeat.Reply, answered bool) {
	a.t.Helper()
	a.id++
	b, err := a.client.Seal(&heartbeat.Request{Site: "mainland", Node: "m1", About: "mainland", ID: a.id})
	if err != nil {
		a.t.Fatal(err)
	}
	_, _ = a.conn.Write(b)
	_ = a.conn.SetReadDeadline(time.Now().Add(time.Second))
	in := make([]byte, 2048)
	n, err := a.conn.Read(in)
	if err != nil {
		return r, false
	}
	r, o := a.client.Open(in[:n])
	return r, o == heartbeat.OK
}

// A node without a virtual router of its own is a witness. Garbage does it no harm, an empty configuration is refused, and
// the end is the end.
func TestWitnessAgent(t *testing.T) {
	l := newLab(t)
	text := witnessConf(t)
	r := l.start(text)
	a := l.asker()
	var reply heartbeat.Reply
	eventually(t, "an answer", func() (ok bool) { reply, ok = a.ask(); return ok })
	if reply.Noted {
		t.Errorf("a first request was noted: %+v", reply)
	}
	if reply, ok := a.ask(); !ok || !reply.Noted || len(reply.Sites) != 1 || reply.Sites[0].Site != "mainland" {
		t.Errorf("answered %v: %+v", ok, reply)
	}
	for n := range 2000 {
		_, _ = a.conn.Write(append([]byte("FOHB\x01\x01"), make([]byte, n)...))
	}
	eventually(t, "an answer after garbage", func() bool { reply, ok := a.ask(); return ok && reply.Noted })
	eventually(t, "the listener in the snapshot", func() bool {
		s := r.snapshot()
		return len(s.Listeners) == 1 && s.Listeners[0].Open && s.Listeners[0].Address == "192.0.2.1:7112" && s.Listeners[0].Outcomes["ok"] >= 2
	})

	r.rewrite("global_defs {\n    router_id nobody\n}\n")
	if _, err := r.agent.Reload(t.Context()); !errors.Is(err, ErrEmpty) {
		t.Errorf("reload with nothing: %v", err)
	}
	r.rewrite(text + webConf)
	if _, err := r.agent.Reload(t.Context()); err != nil {
		t.Errorf("reload with a router: %v", err)
	}
	r.rewrite(text)
	if _, err := r.agent.Reload(t.Context()); err != nil {
		t.Errorf("reload without one: %v", err)
	}
	if reply, ok := a.ask(); !ok || !reply.Noted {
		t.Errorf("after reloads: answered %v: %+v", ok, reply)
	}
	r.mustEnd()
	if _, ok := a.ask(); ok {
		t.Error("answered after the end")
	}
}

// A listener whose address comes later is opened then.
func TestWitnessAddressComesLater(t *testing.T) {
	l := newLab(t)
	l.ip("addr del 192.0.2.1/24 dev fo-a")
	r := l.start(witnessConf(t))
	eventually(t, "the error in the snapshot", func() bool {
		s := r.snapshot()
		return len(s.Listeners) == 1 && !s.Listeners[0].Open && s.Listeners[0].Error != ""
	})
	l.ip("addr add 192.0.2.1/24 dev fo-a")
	a := l.asker()
	eventually(t, "an answer", func() bool { _, ok := a.ask(); return ok })
	r.mustEnd()
}

// What a site asks for is answered, and shown together with what the core makes of it. (The witness is the node itself,
// which is of no use but for a test.)
func TestSiteAgent(t *testing.T) {
	l := newLab(t)
	key := keyFile(t)
	r := l.start(witnessConf(t) + fmt.Sprintf(
		"site mainland {\n    witness self 192.0.2.1:7112\n    key_file %s\n    fence_after 3\n    heartbeat 0.2\n}\n", key) + webConf)
	eventually(t, "the partner in the snapshot", func() bool {
		s := r.snapshot()
		return len(s.Partners) == 1 && s.Partners[0].AnsweredMSAgo != nil && s.Partners[0].RTTMS != nil && s.Partners[0].Outcomes["ok"] >= 3
	})
	p := r.snapshot().Partners[0]
	if p.Kind != "witness" || p.Address != "192.0.2.1:7112" || p.Error != "" || p.Sent < 3 {
		t.Errorf("partner %+v", p)
	}
	r.mustEnd()
}

// Both know partners by their IDs, and neither forgets one that the other does not know.
func TestMergePartners(t *testing.T) {
	ms := func(v float64) *float64 { return &v }
	core := []failover.PartnerStatus{
		{ID: "a", Kind: "witness", Address: "old", AnsweredMSAgo: ms(5), Verdict: "up"},
		{ID: "b", RTTMS: ms(1)},
	}
	sockets := []failover.PartnerStatus{
		{ID: "b", Kind: "watcher", Address: "x", Error: "refused"},
		{ID: "c", Sent: 3},
		{ID: "a", Kind: "witness", Address: "new", RTTMS: ms(7), Sent: 9, Outcomes: map[string]uint64{"ok": 8}},
	}
	want := []failover.PartnerStatus{
		{ID: "a", Kind: "witness", Address: "new", AnsweredMSAgo: ms(5), Verdict: "up", RTTMS: ms(7), Sent: 9, Outcomes: map[string]uint64{"ok": 8}},
		{ID: "b", Kind: "watcher", Address: "x", RTTMS: ms(1), Error: "refused"},
		{ID: "c", Sent: 3},
	}
	if d := cmp.Diff(want, mergePartners(core, sockets)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
