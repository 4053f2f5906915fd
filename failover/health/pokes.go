package health

import (
	"maps"
	"sync"
)

// maxPokes is how many processes are remembered one by one; beyond that all are looked at.
const maxPokes = 4096

// pokes are the numbers of processes with which something happened, from the goroutine that hears of it to the census.
type pokes struct {
	ready chan struct{} // 1: there are some

	mu   sync.Mutex
	pids map[int]bool
	all  bool // some were lost
	over bool // nothing will be told any more
}

func newPokes() *pokes { return &pokes{ready: make(chan struct{}, 1), pids: make(map[int]bool)} }

func (p *pokes) add(pid int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pids[pid] = true
	if len(p.pids) > maxPokes {
		p.pids, p.all = make(map[int]bool), true
	}
	p.wake()
}

// lost says that it is not known what happened.
func (p *pokes) lost() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = true
	p.wake()
}

// end says that nothing will be told any more.
func (p *pokes) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over, p.all = true, true
	p.wake()
}

func (p *pokes) ended() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.over
}

func (p *pokes) wake() {
	select {
	case p.ready <- struct{}{}:
	default:
	}
}

// take returns and forgets what there is; all: it may have been any process.
func (p *pokes) take() (pids map[int]bool, all bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	pids, all = maps.Clone(p.pids), p.all
	clear(p.pids)
	p.all = false
	return pids, all
}
