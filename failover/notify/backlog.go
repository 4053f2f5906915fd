package notify

import "failoverd/failover"

// backlog holds notifications that wait to be told. It is bounded: what is superseded is left out, oldest first. Of each
// subject the last state is never left out, nor the last change of priority, nor the last rival heard; so it may hold
// more than its limit if there are more of these. The zero value cannot be used.
type backlog struct {
	limit   int
	high    int // at this length something is left out
	items   []failover.Notification
	dropped int // since it was asked for
}

func newBacklog(limit int) backlog { return backlog{limit: limit, high: limit} }

// topic is what a notification supersedes earlier ones of.
type topic struct {
	subject
	kind kind
}

type kind uint8

const (
	aboutState kind = iota
	aboutPriority
	aboutRival
)

func topicOf(n *failover.Notification) topic {
	t := topic{subjectOf(n), aboutState}
	switch n.State {
	case masterPriority, backupPriority:
		t.kind = aboutPriority
	case rivalHeard:
		t.kind = aboutRival
	}
	return t
}

func (b *backlog) add(n failover.Notification) {
	if len(b.items) >= b.high {
		// More than one at a time, so that this is not done for each.
		size := b.limit - b.limit/4 - 1
		b.reduce(size)
		if b.high = b.limit; len(b.items) > size {
			b.high = max(b.limit, 2*len(b.items))
		}
	}
	b.items = append(b.items, n)
}

// take takes the oldest.
func (b *backlog) take() (n failover.Notification, ok bool) {
	if len(b.items) == 0 {
		return n, false
	}
	n = b.items[0]
	b.items[0] = failover.Notification{}
	if b.items = b.items[1:]; len(b.items) == 0 {
		b.items, b.high = nil, b.limit
	}
	return n, true
}

// reduce leaves out what is superseded until no more than that many are left.
func (b *backlog) reduce(size int) {
	last := make(map[topic]int)
	for i := range b.items {
		last[topicOf(&b.items[i])] = i
	}
	excess := len(b.items) - size
	kept := make([]failover.Notification, 0, max(size, len(last))+1)
	for i := range b.items {
		if excess > 0 && last[topicOf(&b.items[i])] != i {
			excess--
			b.dropped++
			continue
		}
		kept = append(kept, b.items[i])
	}
	b.items = kept
}

// last leaves out everything but last states. A subject whose state does not wait has been told it.
func (b *backlog) last() {
	b.reduce(0)
	kept := b.items[:0]
	for i := range b.items {
		if topicOf(&b.items[i]).kind == aboutState {
			kept = append(kept, b.items[i])
		}
	}
	b.dropped += len(b.items) - len(kept)
	clear(b.items[len(kept):])
	b.items = kept
}

// drops returns how many were left out since it was called last.
func (b *backlog) drops() int {
	d := b.dropped
	b.dropped = 0
	return d
}
