package witness

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"testing"
	"time"

	"failoverd/failover"
	"failoverd/failover/heartbeat"
)

// replace has another exchange take the place of n, with what that leaves, and returns it. Both live on until the test ends.
func (n *node) replace(cfg *failover.Config) *node {
	n.t.Helper()
	text, err := json.Marshal(n.x.Leave())
	var m Memory
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err != nil {
		n.t.Fatal(err)
	}
	b := &node{
		t: n.t, log: new(testLog), last: n.last,
		heard: make(chan failover.HeartbeatHeard, 100), replied: make(chan failover.HeartbeatReplied, 100),
	}
	b.x = New(slog.New(slog.NewTextHandler(b.log, nil)))
	b.x.Configure(cfg)
	if err := b.x.Succeed(time.Millisecond, &m); err != nil {
		n.t.Fatal(err)
	}
	b.x.OpenMissing()
	ctx, cancel := context.WithCancel(context.Background())
	go b.x.Run(ctx, b.deliver)
	n.t.Cleanup(cancel)
	return b
}

// TestReplaced: either end is replaced while the two talk, and the other one notices nothing: the first request is fresh, and the
// listener is there at once, although the process before still lives.
func TestReplaced(t *testing.T) {
	addr := freePort(t, "127.0.0.1")
	ours, theirs := site(addr, keyA), server(addr, keyA)
	w, m := start(t, theirs), start(t, ours)
	partner := ours.Sites[0].Partners[0].ID
	exchange(t, m, w, partner, false)
	exchange(t, m, w, partner, true)
	w = w.replace(theirs)
	exchange(t, m, w, partner, true)
	m = m.replace(ours)
	exchange(t, m, w, partner, true)
	if l := w.listener(0); !l.Open || l.Error != "" {
		t.Errorf("the listener: %+v", l)
	}
}

// TestReturned: an exchange whose successor has ended goes on; what it has given out before is void.
func TestReturned(t *testing.T) {
	addr := freePort(t, "127.0.0.1")
	ours, theirs := site(addr, keyA), server(addr, keyA)
	w, m := start(t, theirs), start(t, ours)
	partner := ours.Sites[0].Partners[0].ID
	exchange(t, m, w, partner, false)
	exchange(t, m, w, partner, true)
	w.x.Return() // there was no Leave
	exchange(t, m, w, partner, true)
	w.x.Leave()
	w.x.OpenMissing()
	if w.listener(0).Open {
		t.Error("the listener is open although another exchange is to have it")
	}
	w.x.Return()
	w.x.OpenMissing()
	exchange(t, m, w, partner, false)
	exchange(t, m, w, partner, true)
}

// TestSucceedLeavesOut: what makes no sense is named, and the rest is taken over.
func TestSucceedLeavesOut(t *testing.T) {
	addr := freePort(t, "127.0.0.1")
	cfg := site(addr, keyA)
	x := New(slog.New(slog.DiscardHandler))
	x.Configure(cfg)
	good := heartbeat.ClientMemory{Boot: 5, Last: 3}
	for what, m := range map[string]*Memory{
		"a clock before its begin": {Clock: -1},
		"an unknown partner":       {Partners: []PartnerMemory{{ID: "nobody", Client: good}}},
		"an unknown listener":      {Listeners: []ListenerMemory{{Address: addr}}},
		"no life":                  {Partners: []PartnerMemory{{ID: cfg.Sites[0].Partners[0].ID}}},
	} {
		if err := x.Succeed(0, m); !errors.Is(err, heartbeat.ErrMemory) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := x.Succeed(0, &Memory{Partners: []PartnerMemory{{cfg.Sites[0].Partners[0].ID, good}}}); err != nil || !x.lives.has(5) {
		t.Errorf("what makes sense: %v", err)
	}
}
