package heartbeat

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var (
	keyA = bytes.Repeat([]byte("a"), 32)
	keyB = bytes.Repeat([]byte("b"), 48)
)

// request returns a request with n services.
func request(id uint64, n int) *Request {
	r := &Request{Site: "mainland", Node: "m1", About: "mainland", ID: id, FenceAfter: 7 * time.Second}
	for i := range n {
		r.Entries = append(r.Entries, Entry{
			Service: Service{4, uint8(i + 1)}, Term: Term{3, "mainland"}, State: Active, Priority: 200,
		})
	}
	return r
}

// reply returns a reply that says something of each service of r.
func reply(r *Request) *Reply {
	a := &Reply{Node: "witness", About: r.About, ID: r.ID, Verdict: Up, Sites: []Heard{{Site: r.Site, Age: 20 * time.Millisecond}}}
	for _, e := range r.Entries {
		a.Services = append(a.Services, Knowledge{Service: e.Service, Term: e.Term, Tenure: time.Hour, Successors: 1})
	}
	return a
}

// longest returns the longest reply to a request with n services.
func longest(n int) *Reply {
	name := func(i int) string { return fmt.Sprintf("%032d", i) }
	r := &Reply{Site: name(0), Node: name(0), About: name(1), Verdict: Down, VerdictAge: time.Hour}
	for i := range MaxSites {
		r.Sites = append(r.Sites, Heard{Site: name(2 + i), Age: time.Hour, Released: true, Ended: true})
	}
	for i := range n {
		r.Services = append(r.Services, Knowledge{
			Service: Service{6, uint8(i)}, Term: Term{math.MaxUint64, name(6)}, State: Active, Tenure: time.Hour, Successors: 255,
		})
	}
	return r
}

// pair is a client and a server that have talked to each other, at 1 s of the server's clock.
func pair(t testing.TB, keys ...[]byte) (*Client, *Server) {
	t.Helper()
	if keys == nil {
		keys = [][]byte{keyA}
	}
	c, s := NewClient(11, keys), NewServer(22, "", keys)
	exchange(t, c, s, request(1, 1), time.Second, Stale)
	return c, s
}

// seal returns a copy of the datagram of a request.
func seal(t testing.TB, c *Client, r *Request) []byte {
	t.Helper()
	b, err := c.Seal(r)
	if err != nil {
		t.Fatalf("seal request %d: %v", r.ID, err)
	}
	return bytes.Clone(b)
}

// exchange sends a request, demands an outcome at the server, and takes the reply, whose datagram it returns.
func exchange(t testing.TB, c *Client, s *Server, r *Request, now time.Duration, want Outcome) []byte {
	t.Helper()
	got, ticket, o := s.Open(now, seal(t, c, r))
	if o != want {
		t.Fatalf("request %d: %v, want %v", r.ID, o, want)
	}
	b, err := s.Seal(ticket, now, reply(&got))
	if err != nil {
		t.Fatalf("seal reply %d: %v", r.ID, err)
	}
	b = bytes.Clone(b)
	if _, o := c.Open(b); o != OK {
		t.Fatalf("reply %d: %v", r.ID, o)
	}
	return b
}

// resign replaces the MAC of a datagram by a good one.
func resign(b []byte, key []byte) []byte {
	k := newKeyring([][]byte{key})
	return sign(k.first(), bytes.Clone(b[:len(b)-macLen]))
}

// The generators draw what the codec can express exactly.
var (
	drawState    = rapid.SampledFrom([]State{Out, Ready, Draining, Active})
	drawSite     = rapid.SampledFrom([]string{"mainland", "hongkong", "singapore", strings.Repeat("x", MaxName), "zürich"})
	drawDuration = rapid.Map(rapid.Uint32(), func(v uint32) time.Duration { return time.Duration(v) * time.Millisecond })
	drawTerm     = rapid.Custom(func(t *rapid.T) Term {
		if rapid.Bool().Draw(t, "nobody") {
			return Term{}
		}
		return Term{rapid.Uint64Min(1).Draw(t, "epoch"), drawSite.Draw(t, "holder")}
	})
	drawServices = rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) Service {
		return Service{rapid.SampledFrom([]uint8{4, 6}).Draw(t, "family"), rapid.Uint8().Draw(t, "vrid")}
	}), 0, MaxServices, rapid.ID)
	drawRequest = rapid.Custom(func(t *rapid.T) *Request {
		r := &Request{
			Site: drawSite.Draw(t, "site"), Node: drawSite.Draw(t, "node"), About: drawSite.Draw(t, "about"),
			ID: rapid.Uint64Min(1).Draw(t, "id"), FenceAfter: drawDuration.Draw(t, "fence_after"),
		}
		for _, s := range drawServices.Draw(t, "services") {
			r.Entries = append(r.Entries, Entry{
				Service: s, Term: drawTerm.Draw(t, "term"), State: drawState.Draw(t, "state"), Priority: rapid.Uint8().Draw(t, "priority"),
			})
		}
		return r
	})
)

// drawReply returns a reply to r.
func drawReply(t *rapid.T, r *Request) *Reply {
	a := &Reply{
		Site: rapid.OneOf(rapid.Just(""), drawSite).Draw(t, "site"), Node: drawSite.Draw(t, "node"), About: r.About, ID: r.ID,
		Verdict: rapid.SampledFrom([]Verdict{Unknown, Up, Down}).Draw(t, "verdict"), VerdictAge: drawDuration.Draw(t, "age"),
		Noted: rapid.Bool().Draw(t, "noted"),
	}
	for range rapid.IntRange(0, MaxSites).Draw(t, "sites") {
		life := rapid.IntRange(0, lifeReleased).Draw(t, "life")
		a.Sites = append(a.Sites, Heard{
			Site: drawSite.Draw(t, "heard"), Age: drawDuration.Draw(t, "heard age"), Ended: life >= lifeEnded, Released: life == lifeReleased,
		})
	}
	for _, e := range r.Entries {
		if rapid.Bool().Draw(t, "known") {
			a.Services = append(a.Services, Knowledge{
				Service: e.Service, Term: drawTerm.Draw(t, "term"), State: drawState.Draw(t, "state"),
				Tenure: drawDuration.Draw(t, "tenure"), Successors: rapid.Uint8().Draw(t, "successors"),
			})
		}
	}
	return a
}
