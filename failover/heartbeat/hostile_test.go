package heartbeat

import (
	"bytes"
	"testing"
	"time"
)

// No datagram with any bit changed is taken, in either direction.
func TestEveryBit(t *testing.T) {
	c, s := pair(t)
	sent := seal(t, c, request(2, 2))
	for i := range len(sent) * 8 {
		b := bytes.Clone(sent)
		b[i/8] ^= 1 << (i % 8)
		if _, ticket, o := s.Open(time.Second, b); o == OK || o == Stale || ticket.key != nil {
			t.Errorf("request with bit %d changed: %v", i, o)
		}
	}
	got, ticket, o := s.Open(time.Second, sent)
	if o != OK {
		t.Fatalf("the request itself: %v", o)
	}
	answer, err := s.Seal(ticket, time.Second, reply(&got))
	if err != nil {
		t.Fatal(err)
	}
	for i := range len(answer) * 8 {
		b := bytes.Clone(answer)
		b[i/8] ^= 1 << (i % 8)
		if _, o := c.Open(b); o == OK {
			t.Errorf("reply with bit %d changed: %v", i, o)
		}
	}
	if _, o := c.Open(answer); o != OK {
		t.Errorf("the reply itself: %v", o)
	}
}

// What is cut off, or has something added, is not taken.
func TestLengths(t *testing.T) {
	c, s := pair(t)
	sent := seal(t, c, request(2, 2))
	for n := range len(sent) {
		if _, _, o := s.Open(time.Second, sent[:n]); o == OK || o == Stale {
			t.Errorf("%d octets of a request: %v", n, o)
		}
	}
	for n := 1; n < 64; n++ {
		if _, _, o := s.Open(time.Second, append(bytes.Clone(sent), make([]byte, n)...)); o == OK || o == Stale {
			t.Errorf("a request and %d octets: %v", n, o)
		}
	}
	_, ticket, _ := s.Open(time.Second, sent)
	answer, err := s.Seal(ticket, time.Second, reply(request(2, 2)))
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(answer) {
		if _, o := c.Open(answer[:n]); o == OK {
			t.Errorf("%d octets of a reply: %v", n, o)
		}
	}
}

// A request proves with the last challenge that it is new.
func TestFreshness(t *testing.T) {
	c, s := pair(t) // challenge of 1 s
	for _, row := range []struct {
		name string
		now  time.Duration
		want Outcome
	}{
		{"at once", time.Second, OK},
		{"when it is about to end", time.Second + ChallengeLife, OK},
		{"after its end", time.Second + ChallengeLife + 1, Stale},
		{"before it was given out", time.Second - 1, Stale},
	} {
		b := seal(t, c, request(c.last+1, 1))
		if _, _, o := s.Open(row.now, b); o != row.want {
			t.Errorf("%s: %v, want %v", row.name, o, row.want)
		}
	}
	// A reply makes the next one fresh again.
	exchange(t, c, s, request(c.last+1, 1), time.Minute, Stale)
	exchange(t, c, s, request(c.last+1, 1), time.Minute+time.Second, OK)
}

// Either side may lose its memory: one request proves nothing then, and the next one does again.
func TestRestarts(t *testing.T) {
	c, s := pair(t)
	exchange(t, c, s, request(2, 1), time.Second, OK)

	s = NewServer(23, "", [][]byte{keyA})
	exchange(t, c, s, request(3, 1), 0, Stale)
	exchange(t, c, s, request(4, 1), time.Second, OK)

	c = NewClient(12, [][]byte{keyA})
	exchange(t, c, s, request(1, 1), time.Second, Stale)
	exchange(t, c, s, request(2, 1), time.Second, OK)
}

// A request is taken once, and none that is older than one that was.
func TestReplay(t *testing.T) {
	c, s := pair(t)
	older, newer := seal(t, c, request(2, 1)), seal(t, c, request(3, 1))
	if _, _, o := s.Open(time.Second, newer); o != OK {
		t.Fatal(o)
	}
	for name, b := range map[string][]byte{"the same": newer, "an older one": older} {
		if _, ticket, o := s.Open(time.Second, b); o != Replay || ticket.key != nil {
			t.Errorf("%s: %v", name, o)
		}
	}
	// Later it is not fresh any more: it is answered, which tells its sender nothing, and is no evidence.
	if _, _, o := s.Open(time.Minute, newer); o != Stale {
		t.Errorf("a minute later: %v", o)
	}
	// Nor does it count for another server that has the same key.
	if _, _, o := NewServer(24, "", [][]byte{keyA}).Open(time.Second, newer); o != Stale {
		t.Errorf("at another server: %v", o)
	}
}

// A reply answers one request, once.
func TestReplies(t *testing.T) {
	c, s := pair(t)
	first := exchange(t, c, s, request(2, 1), time.Second, OK)
	if _, o := c.Open(first); o != Unexpected {
		t.Errorf("the same reply again: %v", o)
	}
	seal(t, c, request(2+window, 1)) // in the place of the first one
	if _, o := c.Open(first); o != Unexpected {
		t.Errorf("and after many requests: %v", o)
	}
	if _, o := NewClient(12, [][]byte{keyA}).Open(first); o != Unexpected {
		t.Errorf("at another client: %v", o)
	}
	// One that is about something else cannot be made without the key, but a partner that mixes them up has it.
	_, ticket, _ := s.Open(time.Second, seal(t, c, request(c.last+1, 1)))
	ticket.about = "hongkong"
	b, err := s.Seal(ticket, time.Second, reply(request(1, 1)))
	if err != nil {
		t.Fatal(err)
	}
	if _, o := c.Open(b); o != Unexpected {
		t.Errorf("about another site: %v", o)
	}
}

// A reply that was overtaken does not put the challenge back.
func TestOvertaken(t *testing.T) {
	c, s := pair(t)
	var replies [2][]byte
	for i, now := range []time.Duration{2 * time.Second, 20 * time.Second} {
		_, ticket, _ := s.Open(now, seal(t, c, request(uint64(2+i), 1)))
		b, err := s.Seal(ticket, now, reply(request(1, 1)))
		if err != nil {
			t.Fatal(err)
		}
		replies[i] = bytes.Clone(b)
	}
	for _, i := range []int{1, 0} {
		if _, o := c.Open(replies[i]); o != OK {
			t.Errorf("reply %d: %v", i, o)
		}
	}
	if _, _, o := s.Open(21*time.Second, seal(t, c, request(9, 1))); o != OK {
		t.Errorf("the request after it: %v", o)
	}
}

// Nothing that was sent in one direction is taken in the other one.
func TestReflection(t *testing.T) {
	c, s := pair(t)
	sent := seal(t, c, request(2, 1))
	if _, o := c.Open(sent); o != Malformed {
		t.Errorf("a request at the client that sent it: %v", o)
	}
	got, ticket, _ := s.Open(time.Second, sent)
	answer, err := s.Seal(ticket, time.Second, reply(&got))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, o := s.Open(time.Second, answer); o != Malformed {
		t.Errorf("a reply at the server that sent it: %v", o)
	}
}

// No part of one datagram makes sense with a part of another.
func TestSplice(t *testing.T) {
	c, s := pair(t)
	a, b := seal(t, c, request(2, 2)), seal(t, c, request(3, 2))
	b[len(b)-macLen-1] ^= 1 // so that they differ up to the end
	for cut := 1; cut < len(a); cut++ {
		spliced := append(bytes.Clone(a[:cut]), b[cut:]...)
		if bytes.Equal(spliced, a) || bytes.Equal(spliced, b) {
			continue
		}
		if _, _, o := s.Open(time.Second, spliced); o == OK || o == Stale {
			t.Errorf("cut at %d: %v", cut, o)
		}
	}
}

// A server for one site does not take what is about another one.
func TestAbout(t *testing.T) {
	c, s := NewClient(11, [][]byte{keyA}), NewServer(22, "hongkong", [][]byte{keyA})
	if _, ticket, o := s.Open(0, seal(t, c, request(1, 1))); o != Unexpected || ticket.key != nil {
		t.Errorf("%v", o)
	}
}

// While keys are being replaced each side may still have the old one first.
func TestRotation(t *testing.T) {
	for _, row := range []struct {
		name           string
		client, server [][]byte
		want           Outcome
	}{
		{"one key", [][]byte{keyA}, [][]byte{keyA}, Stale},
		{"the server has both", [][]byte{keyA}, [][]byte{keyB, keyA}, Stale},
		{"the client has both and signs with the old one", [][]byte{keyA, keyB}, [][]byte{keyA}, Stale},
		{"both have both", [][]byte{keyB, keyA}, [][]byte{keyA, keyB}, Stale},
		{"another key", [][]byte{keyA}, [][]byte{keyB}, WrongKey},
		{"the client signs with one that the server does not have", [][]byte{keyB, keyA}, [][]byte{keyA}, WrongKey},
		{"the server has none", [][]byte{keyA}, nil, WrongKey},
	} {
		c, s := NewClient(11, row.client), NewServer(22, "", row.server)
		got, ticket, o := s.Open(0, seal(t, c, request(1, 1)))
		if o != row.want {
			t.Errorf("%s: %v, want %v", row.name, o, row.want)
		}
		if o != Stale {
			continue
		}
		b, err := s.Seal(ticket, 0, reply(&got))
		if err != nil {
			t.Fatal(err)
		}
		if _, o := c.Open(b); o != OK {
			t.Errorf("%s: the reply: %v", row.name, o)
		}
	}
}

// Other keys end nothing that is going on.
func TestRekey(t *testing.T) {
	c, s := pair(t, keyA, keyB)
	got, ticket, _ := s.Open(time.Second, seal(t, c, request(2, 1)))
	c.Rekey([][]byte{keyB, keyA})
	s.Rekey([][]byte{keyB})
	b, err := s.Seal(ticket, time.Second, reply(&got))
	if err != nil {
		t.Fatal(err)
	}
	if _, o := c.Open(b); o != OK {
		t.Errorf("the reply to what was sent before: %v", o)
	}
	c.Rekey([][]byte{keyB})
	exchange(t, c, s, request(3, 1), time.Second, OK)
	if _, _, o := s.Open(time.Second, seal(t, NewClient(13, [][]byte{keyA}), request(1, 1))); o != WrongKey {
		t.Errorf("the old key: %v", o)
	}
}

// A sender that has a key cannot make the others be forgotten as long as that matters.
func TestSenders(t *testing.T) {
	c, s := pair(t)
	captured := seal(t, c, request(2, 1))
	if _, _, o := s.Open(time.Second, captured); o != OK {
		t.Fatal(o)
	}
	fresh := challenge{s.boot, uint64(time.Second)}
	note := func(boot uint64, now time.Duration) Outcome {
		other := NewClient(boot, [][]byte{keyA})
		other.challenge = fresh
		_, _, o := s.Open(now, seal(t, other, request(1, 1)))
		return o
	}
	full := Outcome(0)
	for i := range uint64(2 * maxSenders) {
		full = note(1000+i, time.Second)
	}
	if full != Stale || len(s.senders.marks) != maxSenders {
		t.Errorf("one too many: %v, %d remembered", full, len(s.senders.marks))
	}
	if _, _, o := s.Open(time.Second, captured); o != Replay {
		t.Errorf("a replay of what came before all of them: %v", o)
	}
	// Later there is room, and what was forgotten is not fresh.
	later := time.Second + ChallengeLife + 1
	fresh.at = uint64(later)
	for i := range uint64(maxSenders) {
		if o := note(9000+i, later); o != OK {
			t.Fatalf("sender %d, later: %v", i, o)
		}
	}
	if _, _, o := s.Open(later, captured); o != Stale {
		t.Errorf("a replay, later: %v", o)
	}
	if n := len(s.senders.marks); n != maxSenders {
		t.Errorf("%d remembered", n)
	}
}

// What is not fresh is not remembered, so that nobody can lock a sender out by repeating what it sent once.
func TestStaleIsNotRemembered(t *testing.T) {
	s := NewServer(22, "", [][]byte{keyA})
	if _, _, o := s.Open(0, seal(t, NewClient(11, [][]byte{keyA}), request(1000, 1))); o != Stale {
		t.Fatal(o)
	}
	if len(s.senders.marks) != 0 {
		t.Errorf("remembered: %v", s.senders.marks)
	}
}

// IDs grow, and without a key nothing is sent.
func TestSealRefuses(t *testing.T) {
	c := NewClient(11, [][]byte{keyA})
	seal(t, c, request(5, 1))
	for _, id := range []uint64{0, 4, 5} {
		if _, err := c.Seal(request(id, 1)); err != ErrID {
			t.Errorf("ID %d after 5: %v", id, err)
		}
	}
	if _, err := NewClient(11, nil).Seal(request(1, 1)); err != ErrNoKey {
		t.Errorf("without a key: %v", err)
	}
}

// Every outcome has a word of its own.
func TestOutcomes(t *testing.T) {
	seen := make(map[string]bool)
	for o := range NumOutcomes {
		if w := o.String(); w == "" || seen[w] {
			t.Errorf("outcome %d is %q", o, w)
		} else {
			seen[w] = true
		}
	}
}
