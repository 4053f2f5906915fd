package heartbeat

import (
	"encoding/json"
	"errors"
	"testing"
	"time"
)

// over takes a memory to another process.
func over[T any](t *testing.T, m T) (out T) {
	t.Helper()
	text, err := json.Marshal(m)
	if err == nil {
		err = json.Unmarshal(text, &out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestClientSucceeds: what a client that takes another one's place sends is fresh at once, is no other life, and repeats nothing; a
// reply to what that one has sent is not expected.
func TestClientSucceeds(t *testing.T) {
	old, s := pair(t)
	late := seal(t, old, request(3, 1))
	_, ticket, o := s.Open(2*time.Second, late)
	if o != OK {
		t.Fatal(o)
	}
	answer, err := s.Seal(ticket, 2*time.Second, reply(request(3, 1)))
	if err != nil {
		t.Fatal(err)
	}
	next := NewClient(77, [][]byte{keyA})
	if err := next.Succeed(over(t, old.Memory())); err != nil {
		t.Fatal(err)
	}
	if _, o := next.Open(answer); o != Unexpected {
		t.Errorf("a late reply is %v", o)
	}
	if _, err := next.Seal(request(3, 1)); !errors.Is(err, ErrID) {
		t.Errorf("an ID for the second time: %v", err)
	}
	_, ticket, o = s.Open(3*time.Second, seal(t, next, request(4, 1)))
	if o != OK || ticket.Life() != 11 {
		t.Errorf("the first request is %v, of life %d", o, ticket.Life())
	}
}

// TestServerSucceeds: a server that takes another one's place knows its challenges, for as long as they are good, and takes
// nothing for the second time.
func TestServerSucceeds(t *testing.T) {
	c, old := pair(t)
	heard := seal(t, c, request(3, 1))
	if _, _, o := old.Open(2*time.Second, heard); o != OK {
		t.Fatal(o)
	}
	s := NewServer(99, "", [][]byte{keyA})
	if err := s.Succeed(3*time.Second, over(t, old.Memory())); err != nil {
		t.Fatal(err)
	}
	if _, _, o := s.Open(3*time.Second, heard); o != Replay {
		t.Errorf("what the one before has heard is %v", o)
	}
	if _, _, o := s.Open(3*time.Second, seal(t, c, request(4, 1))); o != OK {
		t.Errorf("a request with a challenge of the one before is %v", o)
	}
	if _, _, o := s.Open(time.Second+ChallengeLife+1, seal(t, c, request(5, 1))); o != Stale {
		t.Errorf("with one that is too old it is %v", o)
	}
	if got, want := over(t, s.Memory()), s.Memory(); got.Boot != 22 || len(got.Names) != 1 || len(got.Senders) != len(want.Senders) {
		t.Errorf("what it leaves itself: %+v", got)
	}
}

func TestSucceedRefuses(t *testing.T) {
	c, s := pair(t)
	exchange(t, c, s, request(2, 1), time.Second, OK)
	for what, err := range map[string]error{
		"no life of a client":    NewClient(1, nil).Succeed(ClientMemory{Last: 3}),
		"answered what was not":  NewClient(1, nil).Succeed(ClientMemory{Boot: 2, Last: 3, Answered: 4}),
		"a client that works":    c.Succeed(ClientMemory{Boot: 2}),
		"no life of a server":    NewServer(1, "", nil).Succeed(0, ServerMemory{}),
		"a server that works":    s.Succeed(0, ServerMemory{Boot: 2}),
		"too many senders":       NewServer(1, "", nil).Succeed(0, ServerMemory{Boot: 2, Senders: make([]SenderMemory, maxSenders+1)}),
		"too many names":         NewServer(1, "", nil).Succeed(0, ServerMemory{Boot: 2, Names: make([]NameMemory, maxSenders+1)}),
		"a sender of the future": NewServer(1, "", nil).Succeed(5, ServerMemory{Boot: 2, Senders: []SenderMemory{{At: 6}}}),
	} {
		if !errors.Is(err, ErrMemory) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
