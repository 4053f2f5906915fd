package witness

import (
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"failoverd/failover"
	"failoverd/failover/heartbeat"
)

// What is counted besides the outcomes of heartbeat.
const (
	queueFull  = int(heartbeat.NumOutcomes) + iota // genuine, and the loop was behind
	sendFailed                                     // not sent
	answered                                       // replies sent
	unanswered                                     // requests that nobody answered in time
	socketFull                                     // thrown away by the kernel because the reader was behind
	numCounts
)

// word returns the word for a count in status, logs and metrics.
func word(i int) string {
	if i < int(heartbeat.NumOutcomes) {
		return heartbeat.Outcome(i).String()
	}
	return [...]string{"queue_full", "send_failed", "answered", "unanswered", "socket_full"}[i-int(heartbeat.NumOutcomes)]
}

// logGap is the least time between two log lines about one thing at one socket.
const logGap = 10 * time.Second

// tally counts what becomes of datagrams, and logs what somebody should look at. It is safe for concurrent use.
type tally struct {
	log    *slog.Logger
	counts [numCounts]atomic.Uint64

	mu      sync.Mutex
	last    [numCounts]time.Time
	missed  [numCounts]uint64
	senders [numCounts]sender
}

// sender is who a count was about last. There is one for each, however many there are.
type sender struct {
	peer netip.AddrPort
	at   time.Time // zero: nobody
}

func newTally(log *slog.Logger) *tally { return &tally{log: log} }

func (t *tally) count(i int) { t.counts[i].Add(1) }

func (t *tally) add(i int, n uint64) {
	if n > 0 {
		t.counts[i].Add(n)
	}
}

// note counts, remembers who it was, and logs unless the same was logged lately. peer is whom it is about, err why; nil: that
// says it all.
func (t *tally) note(i int, peer netip.AddrPort, err error) {
	t.count(i)
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	t.senders[i] = sender{peer, now}
	if now.Sub(t.last[i]) < logGap {
		t.missed[i]++
		return
	}
	attrs := []any{"reason", word(i), "peer", peer.String(), "more_since_last", t.missed[i]}
	if err != nil {
		attrs = append(attrs, "err", err)
	}
	t.log.Warn("heartbeat dropped", attrs...)
	t.last[i], t.missed[i] = now, 0
}

// cannotOpen logs why a socket cannot be opened unless that is what was said before, and returns it.
func (t *tally) cannotOpen(before string, err error) string {
	if err.Error() != before {
		t.log.Error("heartbeat socket not opened", "err", err)
	}
	return err.Error()
}

// words returns what was counted.
func (t *tally) words() map[string]uint64 {
	m := map[string]uint64{word(int(heartbeat.OK)): 0}
	for i := range t.counts {
		if n := t.counts[i].Load(); n > 0 {
			m[word(i)] = n
		}
	}
	return m
}

// refusals returns who was refused last, for each reason that there was somebody for, in the order of the reasons.
func (t *tally) refusals() (list []failover.Refusal) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, s := range t.senders {
		if !s.at.IsZero() {
			list = append(list, failover.Refusal{Outcome: word(i), Peer: s.peer.String(), MSAgo: float64(time.Since(s.at).Microseconds()) / 1000})
		}
	}
	return list
}
