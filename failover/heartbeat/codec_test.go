package heartbeat

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// What goes in at one end comes out at the other.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawRequest.Draw(t, "request")
		c, s := NewClient(11, [][]byte{keyA}), NewServer(22, "", [][]byte{keyA})
		b, err := c.Seal(want)
		if err != nil {
			t.Fatal(err)
		}
		got, ticket, o := s.Open(0, b)
		if d := cmp.Diff(want, &got); d != "" || o != Stale {
			t.Fatalf("%v, request (-want +got):\n%s", o, d)
		}
		answer := drawReply(t, want)
		a, err := s.Seal(ticket, 0, answer)
		if err != nil {
			t.Fatal(err)
		}
		if len(a) > len(b) {
			t.Fatalf("the reply has %d octets, the request %d", len(a), len(b))
		}
		back, o := c.Open(a)
		if d := cmp.Diff(answer, &back); d != "" || o != OK {
			t.Fatalf("%v, reply (-want +got):\n%s", o, d)
		}
	})
}

// A request is as long as the longest reply to it, whatever it says.
func TestPadding(t *testing.T) {
	for n := range MaxServices + 1 {
		c, s := NewClient(11, [][]byte{keyA}), NewServer(22, "", [][]byte{keyA})
		b, err := c.Seal(request(1, n))
		if err != nil {
			t.Fatal(err)
		}
		_, ticket, _ := s.Open(0, b)
		long := longest(n)
		long.About = strings.Repeat("a", MaxName)
		ticket.about = long.About
		a, err := s.Seal(ticket, 0, long)
		// Without a service there is no holder, so one name less.
		if err != nil || len(a) > len(b) || n > 0 && len(a) != len(b) {
			t.Errorf("%d services: the longest reply has %d octets, the request %d: %v", n, len(a), len(b), err)
		}
		if len(b) > MaxLen {
			t.Errorf("%d services: %d octets, at most %d", n, len(b), MaxLen)
		}
		if _, err := s.Seal(ticket, 0, longest(min(n+1, MaxServices))); n < MaxServices && !errors.Is(err, ErrLong) {
			t.Errorf("%d services: a longer reply: %v", n, err)
		}
	}
	if MaxLen > 1400 {
		t.Errorf("a datagram may have %d octets", MaxLen)
	}
}

// A request with the longest names has room for its own content.
func TestLongestRequest(t *testing.T) {
	for _, n := range []int{0, 1, MaxServices} {
		l := longest(n)
		r := &Request{Site: l.Site, Node: l.Node, About: l.About, ID: 1}
		for i := range n {
			holder := l.Sites[i%MaxSites].Site
			r.Entries = append(r.Entries, Entry{Service: l.Services[i].Service, Term: Term{1, holder}})
		}
		if _, err := NewClient(11, [][]byte{keyA}).Seal(r); err != nil {
			t.Errorf("%d services: %v", n, err)
		}
	}
}

// Ages are rounded down and bounds up, and both end at what fits.
func TestDurations(t *testing.T) {
	const most = math.MaxUint32 * time.Millisecond
	for _, c := range []struct {
		name           string
		in, age, bound time.Duration
	}{
		{"zero", 0, 0, 0},
		{"less than nothing", -time.Second, 0, 0},
		{"less than a millisecond", time.Microsecond, 0, time.Millisecond},
		{"whole", 7 * time.Second, 7 * time.Second, 7 * time.Second},
		{"and a bit", 7*time.Second + 1, 7 * time.Second, 7*time.Second + time.Millisecond},
		{"the longest", most, most, most},
		{"too long", most + time.Millisecond, most, most},
		{"for ever", math.MaxInt64, most, most},
	} {
		r := request(1, 1)
		r.FenceAfter = c.in
		a := reply(r)
		a.VerdictAge, a.Sites[0].Age, a.Services[0].Tenure = c.in, c.in, c.in
		cl, s := NewClient(11, [][]byte{keyA}), NewServer(22, "", [][]byte{keyA})
		got, ticket, _ := s.Open(0, seal(t, cl, r))
		b, err := s.Seal(ticket, 0, a)
		if err != nil {
			t.Fatal(err)
		}
		back, _ := cl.Open(b)
		if got.FenceAfter != c.bound || back.VerdictAge != c.age || back.Sites[0].Age != c.age || back.Services[0].Tenure != c.age {
			t.Errorf("%s: fence_after %v, want %v; ages %v %v %v, want %v", c.name, got.FenceAfter, c.bound,
				back.VerdictAge, back.Sites[0].Age, back.Services[0].Tenure, c.age)
		}
	}
}

// What cannot be expressed is an error of the sender's, never a datagram.
func TestInexpressible(t *testing.T) {
	long := strings.Repeat("x", MaxName+1)
	many := request(1, 8)
	for i := range many.Entries {
		many.Entries[i].Holder = strings.Repeat("s", i+1)
	}
	for _, c := range []struct {
		name   string
		change func(r *Request)
	}{
		{"no site", func(r *Request) { r.Site = "" }},
		{"no node", func(r *Request) { r.Node = "" }},
		{"no subject", func(r *Request) { r.About = "" }},
		{"a long site", func(r *Request) { r.Site = long }},
		{"a long node", func(r *Request) { r.Node = long }},
		{"a long holder", func(r *Request) { r.Entries[0].Holder = long }},
		{"a line feed", func(r *Request) { r.Node = "a\nb" }},
		{"an escape", func(r *Request) { r.Node = "a\x1b[0m" }},
		{"no text", func(r *Request) { r.Node = "a\xff" }},
		{"too many services", func(r *Request) { *r = *request(1, MaxServices+1) }},
		{"too many sites", func(r *Request) { *r = *many }},
		{"a service twice", func(r *Request) { r.Entries = append(r.Entries, r.Entries[0]) }},
		{"no family", func(r *Request) { r.Entries[0].Family = 5 }},
		{"a term without a holder", func(r *Request) { r.Entries[0].Holder = "" }},
		{"a holder without a term", func(r *Request) { r.Entries[0].Epoch = 0 }},
		{"no state", func(r *Request) { r.Entries[0].State = Active + 1 }},
	} {
		cl := NewClient(11, [][]byte{keyA})
		r := request(1, 2)
		c.change(r)
		if b, err := cl.Seal(r); !errors.Is(err, ErrMessage) {
			t.Errorf("%s: %d octets, %v", c.name, len(b), err)
		}
		if _, err := cl.Seal(request(1, 2)); err != nil {
			t.Errorf("%s: the one after it: %v", c.name, err)
		}
	}
}

// TestInexpressibleReply is the same for replies.
func TestInexpressibleReply(t *testing.T) {
	c, s := pair(t)
	_, ticket, _ := s.Open(time.Second, seal(t, c, request(2, 3)))
	for _, row := range []struct {
		name   string
		change func(r *Reply)
		want   error
	}{
		{"no node", func(r *Reply) { r.Node = "" }, ErrMessage},
		{"a long site", func(r *Reply) { r.Site = strings.Repeat("x", MaxName+1) }, ErrMessage},
		{"no verdict", func(r *Reply) { r.Verdict = Down + 1 }, ErrMessage},
		{"a site without a name", func(r *Reply) { r.Sites[0].Site = "" }, ErrMessage},
		{"too many sites", func(r *Reply) { r.Sites = make([]Heard, MaxSites+1) }, ErrMessage},
		{"a service twice", func(r *Reply) { r.Services[1] = r.Services[0] }, ErrMessage},
	} {
		r := reply(request(2, 3))
		row.change(r)
		if _, err := s.Seal(ticket, time.Second, r); !errors.Is(err, row.want) {
			t.Errorf("%s: %v, want %v", row.name, err, row.want)
		}
	}
	if _, err := s.Seal(Ticket{}, 0, reply(request(2, 1))); !errors.Is(err, ErrNoKey) {
		t.Errorf("without a ticket: %v", err)
	}
}

// There is one way to write a message, and what is authentic but written otherwise is malformed.
func TestOneWayToWrite(t *testing.T) {
	body := headerLen
	node := body + 1 + len("m1")
	for _, c := range []struct {
		name   string
		change func(b []byte)
	}{
		{"another version", func(b []byte) { b[4]++ }},
		{"another kind", func(b []byte) { b[5] = 3 }},
		{"padding", func(b []byte) { b[len(b)-macLen-1] = 1 }},
		{"more services than there is room for", func(b []byte) { b[node+4]++ }},
		{"fewer services", func(b []byte) { b[node+4]-- }},
		{"a name twice", func(b []byte) {
			b[node+5] = 2
			copy(b[node+6:], "\x08mainland\x08mainland\x01\x02")
		}},
		{"a name that nobody uses", func(b []byte) {
			b[node+5] = 2
			copy(b[node+6:], "\x08mainland\x08hongkong\x01\x01")
		}},
		{"names in another order", func(b []byte) {
			b[node+5] = 2
			copy(b[node+6:], "\x08mainland\x08hongkong\x02\x01")
		}},
		{"a name that is not there", func(b []byte) { b[node+6+9] = 2 }},
		{"a state that is not there", func(b []byte) { b[node+6+9+2] = 8 }},
	} {
		cl, s := NewClient(11, [][]byte{keyA}), NewServer(22, "", [][]byte{keyA})
		b := seal(t, cl, request(1, 2))
		c.change(b)
		if r, _, o := s.Open(0, resign(b, keyA)); o != Malformed {
			t.Errorf("%s: %v %+v", c.name, o, r)
		}
	}
}

// fuzzSeeds are datagrams of both kinds.
func fuzzSeeds(f *testing.F) {
	for _, n := range []int{0, 1, 2, MaxServices} {
		c, s := NewClient(11, [][]byte{keyA}), NewServer(22, "", [][]byte{keyA})
		b := seal(f, c, request(1, n))
		got, ticket, _ := s.Open(0, b)
		f.Add(b)
		for _, r := range []*Reply{reply(&got), longest(n)} {
			a, err := s.Seal(ticket, 0, r)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(bytes.Clone(a))
		}
	}
	f.Add([]byte(magic))
	f.Add([]byte{})
}

// FuzzOpen gives anything to a client and a server, first as it is and then authenticated. What they take they write the
// same way.
func FuzzOpen(f *testing.F) {
	fuzzSeeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		c, s := NewClient(11, [][]byte{keyA}), NewServer(22, "", [][]byte{keyA})
		seal(t, c, request(1, 1))
		_, _, _ = s.Open(0, b)
		_, _ = c.Open(b)
		if len(b) < headerLen+macLen || len(b) > MaxLen {
			return
		}
		b = resign(b, keyA)
		if IsRequest(b) {
			if h, r, ok := parseRequest(b); ok {
				again, err := r.append(nil, h)
				if err != nil || !bytes.Equal(again, b[:len(b)-macLen]) {
					t.Fatalf("request %+v: %v\n%x\n%x", r, err, b, again)
				}
			}
		}
		if IsReply(b) {
			if h, r, ok := parseReply(b); ok {
				again, err := r.append(nil, h)
				if err != nil || !bytes.Equal(again, b[:len(b)-macLen]) {
					t.Fatalf("reply %+v: %v\n%x\n%x", r, err, b, again)
				}
			}
		}
	})
}
