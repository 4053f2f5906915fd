package heartbeat

import (
	"testing"
	"time"
)

// TestNamesakes: lives of one name that come in turns are several nodes; lives that follow each other are one, also when the
// network delivers a request late.
func TestNamesakes(t *testing.T) {
	const second = time.Second
	for _, tt := range []struct {
		name  string
		lives []uint64 // who sends, one each step
		step  time.Duration
		want  bool
	}{
		{"one life", []uint64{1, 1, 1, 1, 1, 1}, second, false},
		{"one that is started anew again and again", []uint64{1, 2, 3, 4, 5, 6, 7}, second, false},
		{"a late request of the last life", []uint64{1, 1, 2, 1, 2, 2, 2}, second, false},
		{"two nodes in turns", []uint64{1, 2, 1, 2, 1}, second, true},
		{"two nodes, the one more often than the other", []uint64{1, 1, 1, 2, 1, 1, 2, 1, 1}, second, true},
		{"three nodes in turns", []uint64{1, 2, 3, 1, 2, 3}, second, true},
		{"two nodes with slow heartbeats", []uint64{1, 2, 1, 2, 1}, 30 * second, true},
		{"returns so far apart that they have nothing to do with each other", []uint64{1, 2, 1, 2, 1, 2, 1}, 2 * time.Minute, false},
		{"the other one has gone for good", append([]uint64{1, 2, 1, 2, 1}, make([]uint64, 62)...), second, false},
	} {
		s := NewServer(22, "", [][]byte{keyA})
		clients := map[uint64]*Client{0: NewClient(1, [][]byte{keyA})}
		clients[1] = clients[0]
		now, got := second, false
		for i, life := range tt.lives {
			c := clients[life]
			if c == nil {
				c = NewClient(life, [][]byte{keyA})
				clients[life] = c
			}
			now += tt.step
			got = hear(t, s, c, now, uint64(2*i+1), "mainland")
		}
		if got != tt.want {
			t.Errorf("%s: several nodes %t, want %t", tt.name, got, tt.want)
		}
	}
}

// A node that speaks about two sites has a life for each, and is one node.
func TestNamesakesOfTwoSites(t *testing.T) {
	s := NewServer(22, "", [][]byte{keyA})
	home, away := NewClient(1, [][]byte{keyA}), NewClient(2, [][]byte{keyA})
	for i := range uint64(10) {
		now := time.Duration(i+1) * time.Second
		if hear(t, s, home, now, 4*i+1, "mainland") || hear(t, s, away, now, 4*i+3, "hk") {
			t.Fatalf("round %d: one node is taken for several", i)
		}
	}
	if len(s.senders.names) != 2 {
		t.Errorf("%d names are remembered, want 2", len(s.senders.names))
	}
}

// Names are forgotten with the lives that they are known by.
func TestNamesakesAreBounded(t *testing.T) {
	var s senders
	for i := range uint64(5 * maxSenders) {
		now := time.Duration(i) * time.Second
		if o := s.note(now, sender{name{"mainland", "m1", "mainland"}, i}, 1); o != OK {
			t.Fatalf("life %d: %v", i, o)
		}
		if o := s.note(now, sender{name{"s", string(rune('a' + i)), "s"}, i}, 1); o != OK {
			t.Fatalf("node %d: %v", i, o)
		}
	}
	if len(s.marks) > maxSenders || len(s.names) > maxSenders {
		t.Errorf("%d lives of %d names are remembered", len(s.marks), len(s.names))
	}
}

// hear has a request of a client arrive that is fresh, and says whether several nodes go by its name. The first of the two
// requests that it takes, with the ID before, fetches the challenge.
func hear(t *testing.T, s *Server, c *Client, now time.Duration, id uint64, about string) bool {
	t.Helper()
	for n := range uint64(2) {
		b, err := c.Seal(&Request{Site: "mainland", Node: "m1", About: about, ID: id + n})
		if err != nil {
			t.Fatal(err)
		}
		r, ticket, o := s.Open(now, b)
		switch {
		case o == OK && n == 1:
			if ticket.Life() == 0 {
				t.Error("a life without a number")
			}
			return ticket.Namesakes()
		case o == OK: // it had a challenge already
		case o != Stale:
			t.Fatalf("request %d: %v", r.ID, o)
		}
		reply, err := s.Seal(ticket, now, &Reply{Node: "w"})
		if err != nil {
			t.Fatal(err)
		}
		if _, o := c.Open(reply); o != OK {
			t.Fatalf("reply to %d: %v", r.ID, o)
		}
	}
	t.Fatal("no request was fresh")
	return false
}
