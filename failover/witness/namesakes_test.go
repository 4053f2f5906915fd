package witness

import (
	"net/netip"
	"testing"

	"failoverd/failover"
)

// Two nodes that call themselves the same take turns at one witness: that is noticed. One that is started anew again and again is
// one node.
func TestNamesakes(t *testing.T) {
	at := freePort(t, "127.0.0.1")
	w := start(t, server(at, keyA))
	heard := func(n *node) failover.HeartbeatHeard {
		t.Helper()
		n.send(witnessID)
		h := w.answerOne(false)
		if h.From != netip.MustParseAddr("127.0.0.1") || h.Own {
			t.Errorf("heard from %v, own %t", h.From, h.Own)
		}
		take(t, "reply", n.replied)
		n.send(witnessID)
		h = w.answerOne(true)
		take(t, "reply", n.replied)
		return h
	}
	for range 5 {
		n := start(t, site(at, keyA))
		if heard(n).Namesakes {
			t.Fatal("a node that is started anew is taken for two")
		}
		n.stop()
	}
	again := func(n *node) bool {
		t.Helper()
		n.send(witnessID)
		h := w.answerOne(true)
		take(t, "reply", n.replied)
		return h.Namesakes
	}
	a, b := start(t, site(at, keyA)), start(t, site(at, keyA))
	heard(a)
	heard(b)
	turns := 0
	for !again(a) && !again(b) {
		if turns++; turns > 5 {
			t.Fatal("two nodes of one name are not noticed")
		}
	}
}

// A node that is its own partner by its configuration knows its requests.
func TestOwnRequest(t *testing.T) {
	at := freePort(t, "127.0.0.1")
	cfg := site(at, keyA)
	cfg.WitnessServer = server(at, keyA).WitnessServer
	n := start(t, cfg)
	n.send(witnessID)
	if h := take(t, "request", n.heard); !h.Own {
		t.Errorf("its own request: %+v", h)
	}
	other := start(t, site(at, keyA))
	other.send(witnessID)
	if h := take(t, "request", n.heard); h.Own {
		t.Errorf("another one's request: %+v", h)
	}
	// A partner that goes takes its life along.
	n.x.Configure(server(at, keyA))
	if len(n.x.lives.own) != 0 {
		t.Errorf("%d lives are left", len(n.x.lives.own))
	}
}
