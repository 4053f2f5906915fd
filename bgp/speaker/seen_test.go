package speaker

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	packet "github.com/osrg/gobgp/v3/pkg/packet/bgp"

	"failoverd/bgp"
)

// pathOf announces service4 with a next hop and an AS_PATH.
func pathOf(hop string, path ...uint32) []byte {
	attrs := []byte{0x40, 1, 1, 0, 0x40, 2, byte(2 + 4*len(path)), 2, byte(len(path))}
	for _, as := range path {
		attrs = append(attrs, byte(as>>24), byte(as>>16), byte(as>>8), byte(as))
	}
	attrs = append(append(attrs, 0x40, 3, 4), netip.MustParseAddr(hop).AsSlice()...)
	body := append([]byte{0, 0, 0, byte(len(attrs))}, attrs...)
	return message(packet.BGP_MSG_UPDATE, append(body, 24, 198, 51, 100))
}

// What a neighbor sends is seen although no policy accepts it and nothing is done with it: of other origins, and of the own
// AS at another place; but not what is announced here.
func TestSeen(t *testing.T) {
	t.Parallel()
	const hop = "192.0.2.9"
	p := newRawPeer(t, "127.0.0.2", nil)
	a := startAgent(t, speakerOf(rawNeighbor(p)))
	seen := func() string {
		sighting, err := a.s.Seen(t.Context(), service4)
		if err != nil {
			return err.Error()
		}
		var s []string
		for _, q := range sighting.Paths {
			s = append(s, fmt.Sprintf("%v AS %d: %v", q.Neighbor, q.NeighborAS, q.ASPath))
		}
		return strings.Join(s, ", ")
	}
	if s := seen(); s != "the BGP speaker does not answer" && s != bgp.ErrNoSession.Error() {
		t.Errorf("before the session: %s", s)
	}
	a.until(sessionUp, "a session", established)
	if s := seen(); s != "" {
		t.Errorf("nothing was sent: %s", s)
	}
	want := func(what, want string) {
		t.Helper()
		for start := time.Now(); seen() != want; time.Sleep(10 * time.Millisecond) {
			if time.Since(start) > prompt {
				t.Fatalf("%s: seen %q, want %q", what, seen(), want)
			}
		}
	}
	p.send(pathOf(hop, 64500, 64510))
	want("another origin", "127.0.0.2 AS 64500: [64500 64510]")
	p.send(pathOf(hop, 64500, 64501))
	want("the own AS at another site", "127.0.0.2 AS 64500: [64500 64501]")
	p.send(pathOf(hop, 64500, 64502, 64501))
	want("the own AS, and nothing is announced here", "127.0.0.2 AS 64500: [64500 64502 64501]")
	a.set(route4())
	want("it may be what is announced here", "")
	p.send(pathOf(hop, 64500, 64501))
	want("the neighbor has it from another router", "127.0.0.2 AS 64500: [64500 64501]")
	p.send(pathOf("127.0.0.1", 64500, 64501))
	want("the next hop is this node", "")
	p.send(pathOf(hop, 64500, 64510))
	want("again", "127.0.0.2 AS 64500: [64500 64510]")
	p.send(withdrawService4)
	want("withdrawn", "")
	if seen, err := a.s.Seen(t.Context(), netip.MustParsePrefix("198.51.0.0/16")); len(seen.Paths) != 0 || len(seen.Neighbors) != 1 || err != nil {
		t.Errorf("a shorter prefix: %v, %v", seen, err)
	}
	if r := a.last(); !slices.ContainsFunc(r.Announced, func(r bgp.Route) bool { return r.Prefix == service4 }) {
		t.Errorf("announced: %v", r.Announced)
	}
	p.reset()
	a.until(prompt, "the loss", func(r bgp.Report) bool { return !r.Established() })
	if _, err := a.s.Seen(t.Context(), service4); !errors.Is(err, bgp.ErrNoSession) {
		t.Errorf("after the loss: %v", err)
	}
}
