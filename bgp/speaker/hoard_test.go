package speaker

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

var (
	nearA = netip.MustParseAddr("192.0.2.1")
	nearB = netip.MustParseAddr("192.0.2.2")
	nearC = netip.MustParseAddr("fe80::c%eth0")
)

// hoardStep is one look at the memory, of which the limit is 100 MB.
type hoardStep struct {
	at      time.Duration
	mb      uint64
	senders []sender
	ends    netip.Addr
	dies    string
}

func TestHoard(t *testing.T) {
	const mb = 1 << 20
	second := time.Second
	for _, row := range []struct {
		name  string
		steps []hoardStep
	}{
		{"below the limit nobody is ended, whatever comes", []hoardStep{
			{0, 100, []sender{{nearA, 500 * mb}}, netip.Addr{}, ""},
			{second, 100, []sender{{nearA, 900 * mb}}, netip.Addr{}, ""},
		}},
		{"beyond it, who has sent most lately; not who has sent most ever", []hoardStep{
			{0, 50, []sender{{nearA, 900 * mb}, {nearB, 0}}, netip.Addr{}, ""},
			{100 * second, 101, []sender{{nearA, 900 * mb}, {nearB, 130 * mb}}, nearB, ""},
		}},
		{"a neighbor with two connections", []hoardStep{
			{0, 101, []sender{{nearA, 4 * mb}, {nearB, 3 * mb}, {nearB, 3 * mb}}, nearB, ""},
		}},
		{"a neighbor on the link", []hoardStep{{0, 101, []sender{{nearC, 4 * mb}}, nearC, ""}}},
		{"the end of a session has to show before the next one", []hoardStep{
			{0, 101, []sender{{nearA, 40 * mb}, {nearB, 30 * mb}}, nearA, ""},
			{second, 120, []sender{{nearB, 60 * mb}}, netip.Addr{}, ""},
			{2 * second, 120, []sender{{nearB, 90 * mb}}, nearB, ""},
		}},
		{"unless there is no time", []hoardStep{
			{0, 101, []sender{{nearA, 40 * mb}, {nearB, 30 * mb}}, nearA, ""},
			{second, 150, []sender{{nearB, 60 * mb}}, nearB, ""},
		}},
		{"who sends little is not ended for what another one has left behind", []hoardStep{
			{0, 101, []sender{{nearA, 40 * mb}, {nearB, 2 * mb}}, nearA, ""},
			{3 * second, 120, []sender{{nearB, 2 * mb}}, netip.Addr{}, ""},
			{9 * second, 120, []sender{{nearB, 3 * mb}}, netip.Addr{}, ""},
			{10 * second, 100, []sender{{nearB, 3 * mb}}, netip.Addr{}, ""},
		}},
		{"who comes back and sends on is ended again", []hoardStep{
			{0, 101, []sender{{nearA, 40 * mb}}, nearA, ""},
			{second, 99, nil, netip.Addr{}, ""},
			{9 * second, 110, []sender{{nearA, 10 * mb}}, nearA, ""},
		}},
		{"memory that fills slowly: who has sent most since its session came up", []hoardStep{
			{0, 50, []sender{{nearA, 90 * mb}, {nearB, 70 * mb}}, netip.Addr{}, ""},
			{1000 * second, 101, []sender{{nearA, 90 * mb}, {nearB, 70 * mb}}, netip.Addr{}, ""},
			{1005 * second, 101, []sender{{nearA, 90 * mb}, {nearB, 70 * mb}}, nearA, ""},
		}},
		{"no help within a moment", []hoardStep{
			{0, 101, []sender{{nearA, 40 * mb}}, nearA, ""},
			{14 * second, 110, nil, netip.Addr{}, ""},
			{15 * second, 110, nil, netip.Addr{}, "110 MB in memory, more than the limit of 100 MB for 15s"},
		}},
		{"no time for help", []hoardStep{
			{0, 201, []sender{{nearA, 40 * mb}}, netip.Addr{}, "201 MB in memory, more than twice the limit of 100 MB"},
		}},
		{"no neighbor", []hoardStep{{0, 101, nil, netip.Addr{}, ""}, {9 * second, 101, nil, netip.Addr{}, ""}}},
	} {
		t.Run(row.name, func(t *testing.T) {
			var h hoard
			start := time.Unix(0, 0)
			for i, s := range row.steps {
				now := start.Add(s.at)
				h.note(now, s.senders)
				peer, err := h.decide(now, s.mb*mb, 100*mb)
				if peer != s.ends || (err == nil) != (s.dies == "") || err != nil && !strings.Contains(err.Error(), s.dies) {
					t.Fatalf("step %d: end %v, error %v; want %v and %q", i, peer, err, s.ends, s.dies)
				}
			}
		})
	}
}

// The documented limits: README and status name them.
func TestMemoryLimit(t *testing.T) {
	for neighbors, mb := range map[int]uint64{0: 128, 1: 128, 2: 192, 10: 704} {
		if got := memoryLimit(neighbors); got != raceFactor*mb<<20 {
			t.Errorf("%d neighbors: %d octets", neighbors, got)
		}
	}
	if got := collectBelow(128 << 20); got != 96<<20 {
		t.Errorf("the garbage collector works harder from %d octets on", got)
	}
}
