package witness

import "sync"

// lives are those of our own clients, by which a request of ours is known that comes back to a listener here. It is safe for
// concurrent use.
type lives struct {
	mu  sync.Mutex
	own map[uint64]struct{}
}

func (l *lives) add(life uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.own == nil {
		l.own = make(map[uint64]struct{})
	}
	l.own[life] = struct{}{}
}

func (l *lives) remove(life uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.own, life)
}

func (l *lives) has(life uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.own[life]
	return ok
}
