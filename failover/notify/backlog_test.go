package notify

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

func words(b *backlog) (all []string) {
	for i := range b.items {
		n := &b.items[i]
		all = append(all, fmt.Sprintf("%s %s %d", n.Name, n.State, n.Priority))
	}
	return all
}

func TestBacklogOrder(t *testing.T) {
	b := newBacklog(4)
	for i, state := range []string{"BACKUP", "MASTER", "FAULT", "STOP"} {
		b.add(transition("A", state, i, nil))
	}
	for _, want := range []string{"BACKUP", "MASTER", "FAULT", "STOP"} {
		if n, ok := b.take(); !ok || n.State != want {
			t.Fatalf("took %v, %v, want %s", n.State, ok, want)
		}
	}
	if _, ok := b.take(); ok || b.drops() != 0 {
		t.Error("more than was put in")
	}
}

func TestBacklogOverflow(t *testing.T) {
	b := newBacklog(4)
	b.add(transition("quiet", "FAULT", 1, nil))
	for i := range 9 {
		b.add(transition("A", []string{"BACKUP", "MASTER"}[i%2], i, nil))
	}
	b.add(transition("A", "MASTER_RX_LOWER_PRI", 9, nil))
	if got := words(&b); len(got) > 4 || got[0] != "quiet FAULT 1" || !slices.Contains(got, "A BACKUP 8") {
		t.Errorf("kept %q", got)
	}
	if d := b.drops(); d != 11-len(b.items) || b.drops() != 0 {
		t.Errorf("%d left out, %d left", d, len(b.items))
	}
}

func TestBacklogLast(t *testing.T) {
	b := newBacklog(16)
	for i, state := range []string{"BACKUP", "MASTER", "MASTER_PRIORITY", "STOP", "MASTER_RX_LOWER_PRI"} {
		b.add(transition("A", state, i, nil))
	}
	b.add(transition("B", "STOP", 5, nil))
	b.last()
	if got, want := words(&b), []string{"A STOP 3", "B STOP 5"}; !slices.Equal(got, want) || b.drops() != 4 {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestBacklogKeepsTheLast checks with random transitions of many routers that each one's last state comes out last, in
// order, and that the backlog is bounded.
func TestBacklogKeepsTheLast(t *testing.T) {
	states := []string{"BACKUP", "MASTER", "FAULT", "MASTER_PRIORITY", "MASTER_RX_LOWER_PRI"}
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		limit, routers := 1+r.IntN(20), 1+r.IntN(40)
		b := newBacklog(limit)
		put, took, lost := 0, 0, 0
		last := make(map[topic]uint8)
		got := make(map[topic]uint8)
		take := func() bool {
			n, ok := b.take()
			if ok {
				took++
				got[topicOf(&n)] = n.Priority
			}
			lost += b.drops()
			return ok
		}
		for i := range 250 {
			n := transition(fmt.Sprint(r.IntN(routers)), states[r.IntN(len(states))], i, nil)
			b.add(n)
			put++
			last[topicOf(&n)] = n.Priority
			if most := max(limit, 2*3*routers); len(b.items) > most {
				t.Fatalf("seed %d: %d wait, at most %d may", seed, len(b.items), most)
			}
			if r.IntN(4) == 0 {
				take()
			}
		}
		for take() {
		}
		for topic, want := range last {
			if got[topic] != want {
				t.Fatalf("seed %d: last of %v is %d, want %d", seed, topic, got[topic], want)
			}
		}
		if took+lost != put {
			t.Fatalf("seed %d: %d put in, %d told, %d left out", seed, put, took, lost)
		}
	}
}
