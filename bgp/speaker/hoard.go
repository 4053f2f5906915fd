package speaker

import (
	"context"
	"fmt"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"failoverd/bgp/gobgp"
)

// Bounds on the memory of the process. gobgp reads as fast as a neighbor sends, without end, and keeps what it has not worked
// through; up to the limit of routes it also keeps every route with its attributes, refused or not.
const (
	// memoryBase and memoryEach, for each neighbor, make the limit from where on sessions are ended.
	memoryBase, memoryEach = 64 << 20, 64 << 20
	gcPercent              = 50
	// weighEvery is how often the process looks at its memory.
	weighEvery = 100 * time.Millisecond
	// relieves is how long the end of a session has to show before the next one is ended; memory that is beyond one and a
	// half of the limit does not wait.
	relieves = 2 * time.Second
	// floods is how much a neighbor must have sent lately to be one that sends too much, in octets.
	floods = 1 << 20
	// nobody is how long memory may stay beyond the limit although nobody sends much: then the session goes that has
	// received most since it came up.
	nobody = 5 * time.Second
	// helpless is how long memory may stay beyond the limit in any case.
	helpless = 15 * time.Second
	// lately is the time after which what was received counts half.
	lately = 10 * time.Second
)

// memoryScale is another one in tests: more under the race detector.
var memoryScale = 1.0

// memoryLimit is what a process with so many neighbors may have in memory, in octets: beyond it the neighbor that sends most
// loses its session, beyond twice as much the process ends.
func memoryLimit(neighbors int) uint64 {
	return uint64(memoryScale * float64(memoryBase+memoryEach*max(neighbors, 1)))
}

// collectBelow is where the garbage collector begins to work harder, a quarter below the limit: garbage is to cost nobody a session.
func collectBelow(limit uint64) int64 { return int64(limit - limit/4) }

// sender is a neighbor with a connection.
type sender struct {
	peer     netip.Addr // with a zone if link-local
	received uint64     // octets on this connection
}

// hoard decides what is to be done about the memory of the process. It reads no clock and touches nothing.
type hoard struct {
	before map[netip.Addr]uint64  // received, as of the last look
	heavy  map[netip.Addr]float64 // octets lately; neighbors whose session was ended included
	looked time.Time
	since  time.Time // from when on memory has been beyond the limit; zero: it is not
	ended  time.Time // the last session that was ended
	anyone bool      // a session was ended since
}

// note takes over what neighbors have sent.
func (h *hoard) note(now time.Time, senders []sender) {
	if h.before == nil {
		h.before, h.heavy = map[netip.Addr]uint64{}, map[netip.Addr]float64{}
	}
	if !h.looked.IsZero() {
		keep := halved(now.Sub(h.looked))
		for p, v := range h.heavy {
			if h.heavy[p] = v * keep; h.heavy[p] < 1 {
				delete(h.heavy, p)
			}
		}
	}
	h.looked = now
	sums := make(map[netip.Addr]uint64, len(senders))
	for _, s := range senders {
		sums[s.peer] += s.received // two connections at once: a collision
	}
	for p, n := range sums {
		last := h.before[p]
		if n < last { // another connection
			last = 0
		}
		h.heavy[p] += float64(n - last)
	}
	h.before = sums
}

// halved is what counts of something after so long. A straight line will do for the short times between two looks.
func halved(d time.Duration) float64 { return 1 / (1 + float64(d)/float64(lately)) }

// decide says whose session is to end, and why the process has to; the zero Addr and nil: nothing is to be done.
func (h *hoard) decide(now time.Time, resident, limit uint64) (netip.Addr, error) {
	if resident <= limit {
		h.since, h.anyone = time.Time{}, false
		return netip.Addr{}, nil
	}
	if h.since.IsZero() {
		h.since = now
	}
	switch {
	case resident > 2*limit:
		return netip.Addr{}, fmt.Errorf("speaker: %d MB in memory, more than twice the limit of %d MB", resident>>20, limit>>20)
	case now.Sub(h.since) >= helpless:
		return netip.Addr{}, fmt.Errorf("speaker: %d MB in memory, more than the limit of %d MB for %v", resident>>20, limit>>20, helpless)
	case now.Sub(h.ended) < relieves && resident < limit+limit/2:
		return netip.Addr{}, nil
	}
	p := h.greatest()
	if !p.IsValid() && !h.anyone && now.Sub(h.since) >= nobody {
		for q, n := range h.before {
			if !p.IsValid() || n > h.before[p] || n == h.before[p] && q.Less(p) {
				p = q
			}
		}
	}
	if p.IsValid() {
		h.ended, h.anyone = now, true
		delete(h.before, p) // it has no connection any more
	}
	return p, nil
}

// greatest is the connected neighbor that has sent most lately, if that is much: also beside one whose session was just ended,
// and whose messages gobgp still works through.
func (h *hoard) greatest() (p netip.Addr) {
	most := 0.0
	for _, v := range h.heavy {
		most = max(most, v)
	}
	for q := range h.before {
		if v := h.heavy[q]; v >= floods && v >= most/4 && (!p.IsValid() || v > h.heavy[p] || v == h.heavy[p] && q.Less(p)) {
			p = q
		}
	}
	return p
}

// keeper keeps the memory of this process below its bounds.
type keeper struct {
	server gobgp.Server
	log    *logger
	fatal  func(error)
	tune   bool // the garbage collector's limit is ours to set

	neighbors, most atomic.Int64 // gobgp has now, and had at most
	freeing         atomic.Bool
}

// unary counts the neighbors. Those that wait to be added again after a loss are not forgotten: the most counts.
func (k *keeper) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	answer, err := next(ctx, req)
	switch {
	case err != nil:
	case strings.HasSuffix(info.FullMethod, "/AddPeer"):
		if n := k.neighbors.Add(1); n > k.most.Load() {
			k.most.Store(n)
			k.collect()
		}
	case strings.HasSuffix(info.FullMethod, "/DeletePeer"):
		k.neighbors.Add(-1)
	case strings.HasSuffix(info.FullMethod, "/StopBgp"):
		k.neighbors.Store(0)
	}
	return answer, err
}

func (k *keeper) limit() uint64 { return memoryLimit(int(k.most.Load())) }

// collect has the garbage collector keep to the limit.
func (k *keeper) collect() {
	if k.tune {
		debug.SetMemoryLimit(collectBelow(k.limit()))
	}
}

// free gives back what is garbage, in the background: it takes its time.
func (k *keeper) free() {
	if k.freeing.CompareAndSwap(false, true) {
		go func() {
			debug.FreeOSMemory()
			time.Sleep(time.Second) // it costs a collection
			k.freeing.Store(false)
		}()
	}
}
