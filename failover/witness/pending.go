package witness

import (
	"net/netip"
	"sync"
	"time"

	"failoverd/failover/heartbeat"
)

// maxPending is how many requests may wait for their answers, and answerLife how long: a loop that takes longer has other
// sorrows, and who asked has asked again.
const (
	maxPending = 1024
	answerLife = 2 * time.Second
)

// entry is a request that waits for its answer.
type entry struct {
	ref      uint64 // 0: none
	at       time.Duration
	listener *listener
	socket   *socket
	server   *heartbeat.Server
	ticket   heartbeat.Ticket
	from     netip.AddrPort
	local    netip.Addr // where the request was sent to
	index    int        // of the interface that it came by, if that matters
}

// pending are the requests that wait, by the numbers that they are known under outside: readers put them in, the owner
// takes them out. The newest displaces the oldest.
type pending struct {
	mu   sync.Mutex
	last uint64
	ring [maxPending]entry
}

// put returns the number of e, and whose request it has displaced, if any.
func (p *pending) put(e entry) (ref uint64, displaced *listener) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last++
	e.ref = p.last
	at := &p.ring[e.ref%maxPending]
	if at.ref != 0 {
		displaced = at.listener
	}
	*at = e
	return e.ref, displaced
}

// drop forgets a request that nobody is going to answer.
func (p *pending) drop(ref uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at := &p.ring[ref%maxPending]; at.ref == ref {
		*at = entry{}
	}
}

// take returns a request, once and while it is not too old.
func (p *pending) take(ref uint64, now time.Duration) (entry, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := &p.ring[ref%maxPending]
	if ref == 0 || at.ref != ref {
		return entry{}, false
	}
	e := *at
	*at = entry{}
	if now-e.at > answerLife {
		e.listener.tally.count(unanswered)
		return entry{}, false
	}
	return e, true
}
