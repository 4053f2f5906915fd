package speaker

import (
	"encoding/binary"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	packet "github.com/osrg/gobgp/v3/pkg/packet/bgp"

	"failoverd/bgp"
)

// flood is what a neighbor sends that stays below every limit of BGP: never more than 9000 routes. Its i-th UPDATE.
type flood func(i int) []byte

// churn has as many attributes as an UPDATE has room for, each time other ones.
func churn(i int) []byte {
	communities := make([]byte, 0, 4000)
	for j := range uint32(1000) {
		communities = binary.BigEndian.AppendUint32(communities, uint32(i)<<10|j)
	}
	long := append([]byte{0xd0, 8, byte(len(communities) >> 8), byte(len(communities))}, communities...)
	return update(nth(i), originAttr, pathAttr, hopAttr, long)
}

// small has as few octets as it can, and changes.
func small(i int) []byte {
	return update(nth(i), originAttr, pathAttr, hopAttr, attr(0x80, 4, byte(i>>24), byte(i>>16), byte(i>>8), byte(i)))
}

func nth(i int) []byte { i %= 9000; return []byte{24, 10, byte(i >> 8), byte(i)} }

// start sends n UPDATEs on the newest connection, as fast as it goes, until the connection ends. It returns how many were sent,
// once no more are.
func (f flood) start(p *rawPeer, n int) <-chan int {
	p.mu.Lock()
	c := p.conns[len(p.conns)-1]
	p.mu.Unlock()
	done := make(chan int, 1)
	go func() {
		const batch = 16 << 10
		var b []byte
		for i := range n {
			if b = append(b, f(i)...); len(b) < batch && i < n-1 {
				continue
			}
			if !sendAll(c, b) {
				done <- i
				return
			}
			b = b[:0]
		}
		done <- n
	}()
	return done
}

func sendAll(c *net.TCPConn, b []byte) bool {
	_, err := c.Write(b)
	return err == nil
}

// watchMemory returns the most that the process had in memory, in octets, so far.
func watchMemory(t *testing.T, a *agent) *atomic.Uint64 {
	var most atomic.Uint64
	stop := make(chan struct{})
	t.Cleanup(func() { close(stop) })
	go func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
				if pid := a.s.PID(); pid != 0 {
					most.Store(max(most.Load(), resident(pid)))
				}
			}
		}
	}()
	return &most
}

// Neighbors that stay below the limit of routes, and send more than gobgp works through: the memory of the process stays below
// its bound, they lose their sessions with CEASE 6/8 and a reason, another neighbor does not notice, and when they are done
// everything is back.
func TestMemoryIsBounded(t *testing.T) {
	if raceFactor > 1 {
		t.Skip("the race detector keeps gobgp from being flooded")
	}
	for _, row := range []struct {
		name    string
		floods  []flood
		n       []int
		ends    bool // sessions, at least one
		nightly bool
	}{
		{"churn and small at once", []flood{churn, small}, []int{28_900, 162_000}, true, false},
		{"churn", []flood{churn}, []int{28_900}, true, true},
		{"small", []flood{small}, []int{162_000}, false, true},
		{"churn twice", []flood{churn, churn}, []int{28_900, 28_900}, true, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			if row.nightly && os.Getenv("FAILOVERD_NIGHTLY") == "" {
				t.Skip("FAILOVERD_NIGHTLY is not set: it takes a core for some seconds")
			}
			good := newRawPeer(t, "127.0.0.9", nil)
			neighbors := []bgp.Neighbor{rawNeighbor(good)}
			var bad []*rawPeer
			for i := range row.floods {
				p := newRawPeer(t, "127.0.0."+string(rune('2'+i)), nil)
				bad, neighbors = append(bad, p), append(neighbors, rawNeighbor(p))
			}
			a := startAgent(t, speakerOf(neighbors...))
			a.set(route4())
			a.until(sessionUp, "the sessions", allEstablished)
			good.wait(0, prompt, "announcement", is("+198.51.100.0/24"))
			most, start := watchMemory(t, a), time.Now()
			var done []<-chan int
			for i, f := range row.floods {
				done = append(done, f.start(bad[i], row.n[i]))
			}
			sent := make([]int, len(bad))
			for i := range done {
				sent[i] = <-done[i]
			}
			over := time.Now()
			if row.ends {
				a.until(sessionUp, "the reason", func(bgp.Report) bool { return a.wasTold("CEASE 6/8 (Out of Resources)") })
			}
			limit := memoryLimit(len(neighbors))
			r := a.until(sessionUp, "memory below the limit and all sessions", func(r bgp.Report) bool {
				return allEstablished(r) && r.Resident > 0 && r.Resident <= limit && r.MemoryLimit == limit
			})
			t.Logf("%v UPDATEs in %v, all well %v later; at most %d MB in memory, limit %d MB, now %d MB; flaps %d",
				sent, over.Sub(start), time.Since(over), most.Load()>>20, limit>>20, r.Resident>>20, r.Neighbors[1].Flaps)
			if most.Load() > 2*limit {
				t.Errorf("%d MB in memory, the bound is %d MB", most.Load()>>20, 2*limit>>20)
			}
			if r.Neighbors[0].Flaps != 0 || r.Restarts != 0 || count(good, "UPDATE") != 1 {
				t.Errorf("the good neighbor suffered: %+v, %s", r, good.describe())
			}
			if !row.ends {
				return
			}
			ended := slices.ContainsFunc(bad, func(p *rawPeer) bool {
				return slices.ContainsFunc(p.all(), func(m rawMessage) bool {
					return kind(packet.BGP_MSG_NOTIFICATION)(m) && m.body[0] == 6 && m.body[1] == 8
				})
			})
			if !ended {
				t.Error("no neighbor got CEASE 6/8")
			}
		})
	}
}

// wasTold reports whether any report so far had a neighbor's reason with this in it.
func (a *agent) wasTold(why string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range a.reports {
		for i := range r.Neighbors {
			if strings.Contains(r.Neighbors[i].LastError, why) {
				return true
			}
		}
	}
	return false
}

// A process whose memory is beyond twice its limit ends itself: the supervisor says why, and starts another one.
func TestTooMuchMemoryEndsTheProcess(t *testing.T) {
	t.Parallel()
	p := newRawPeer(t, "127.0.0.2", nil)
	little := func(c *Config) { c.Command = []string{c.Command[0], "speaker-with-little-memory"} }
	a := startAgent(t, speakerOf(rawNeighbor(p)), little)
	a.until(sessionUp, "the reason", func(r bgp.Report) bool {
		return !r.Connected && strings.Contains(r.Err, "more than twice the limit of") && strings.Contains(r.Err, "starting it again")
	})
	a.until(sessionUp, "another process", func(r bgp.Report) bool { return r.Restarts > 0 })
}
