package daemon

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"failoverd/failover"
	"failoverd/failover/status"
	"failoverd/vrrp"
)

const (
	// journalQueue is how many events may wait for the goroutine; further ones are dropped and counted.
	journalQueue = 1024
	// journalBacklog is how many lines wait for a file that cannot be written; then the oldest are dropped and counted.
	journalBacklog = 1024
	// journalRing is how many lines are kept for those who ask on the status socket.
	journalRing = 512
	// journalRetry is how long a file that cannot be written is left alone.
	journalRetry = 5 * time.Second
	// journalMax is the size at which the file becomes FILE.1, in octets.
	journalMax = 10 << 20
	// eventsFile is the name of the event log in a directory that has no other.
	eventsFile = "events.jsonl"
)

// journal writes every event to a file, a line of JSON each, from a goroutine of its own: the loop never waits for a disk.
// Whatever goes wrong with the file is said once, counted and tried again.
type journal struct {
	log    *slog.Logger
	bootID string
	queue  chan journalEntry
	quit   chan struct{}
	ended  chan struct{}

	putting sync.Mutex
	seq     uint64 // of the last event; putting guards it
	lost    atomic.Uint64

	mu    sync.Mutex
	paths []string // the first one that can be opened is used
	path  string   // in use; empty: none yet
	err   string   // why it cannot be written; empty: it can
	ring  []json.RawMessage

	// Owned by run.
	file    eventFile
	backlog [][]byte
	retryAt time.Time // zero: the file could be written the last time
}

// journalEntry is an event on its way to the file.
type journalEntry struct {
	event failover.Event
	wall  func(vrrp.Instant) time.Time
	seq   uint64
}

func newJournal(log *slog.Logger, bootID string) *journal {
	return &journal{
		log: log, bootID: bootID, queue: make(chan journalEntry, journalQueue), quit: make(chan struct{}), ended: make(chan struct{}),
		file: eventFile{most: journalMax},
	}
}

// eventPaths returns where the events of a configuration go, in the order of preference.
func (a *Agent) eventPaths(cfg *failover.Config) []string {
	switch inState := filepath.Join(a.dir, eventsFile); {
	case cfg.EventLog != "":
		return []string{cfg.EventLog}
	case a.opts.EventLog != "" && a.opts.EventLog != inState:
		return []string{a.opts.EventLog, inState}
	default:
		return []string{inState}
	}
}

// use makes the journal write to the first of paths that can be opened. It may be called at any time.
func (j *journal) use(paths []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.paths = paths
}

// start starts the goroutine.
func (j *journal) start() { go j.run() }

// stop writes what waits, at most for logEnd: a disk that hangs does not keep the agent from ending.
func (j *journal) stop() {
	close(j.quit)
	limit := time.NewTimer(logEnd)
	defer limit.Stop()
	select {
	case <-j.ended:
	case <-limit.C:
	}
}

// put hands events over, in order, and never waits for the disk. Any goroutine may call it.
func (j *journal) put(events []failover.Event) {
	j.putting.Lock()
	defer j.putting.Unlock()
	wall := wallClock()
	for i := range events {
		j.seq++
		select {
		case j.queue <- journalEntry{events[i], wall, j.seq}:
		default:
			j.lost.Add(1)
		}
	}
}

// last returns the newest lines, at most n, oldest first.
func (j *journal) last(n int) []json.RawMessage {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.ring[max(0, len(j.ring)-n):])
}

// describe enters what is to be known of the journal into a status.
func (j *journal) describe(s *failover.AgentStatus) {
	j.mu.Lock()
	defer j.mu.Unlock()
	s.EventLog, s.EventLogError, s.EventsLost = j.path, j.err, j.lost.Load()
	if s.EventLog == "" && len(j.paths) > 0 {
		s.EventLog = j.paths[0]
	}
}

func (j *journal) run() {
	defer close(j.ended)
	again := time.NewTicker(journalRetry / 5)
	defer again.Stop()
	j.write() // a file that cannot be written is to be known before it is needed
	for {
		select {
		case e := <-j.queue:
			j.take(e)
		case <-again.C:
		case <-j.quit:
			j.retryAt = time.Time{}
			j.takeWaiting()
			j.write()
			j.file.close()
			return
		}
		j.takeWaiting()
		j.write()
	}
}

// takeWaiting takes what is in the queue, so that a burst costs one write.
func (j *journal) takeWaiting() {
	for range len(j.queue) {
		j.take(<-j.queue)
	}
}

// take makes a line of an event.
func (j *journal) take(e journalEntry) {
	ev := status.NewEvent(&e.event, e.wall)
	ev.BootID, ev.PID, ev.Seq = j.bootID, os.Getpid(), e.seq
	line, err := json.Marshal(ev)
	if err != nil {
		panic(fmt.Sprintf("daemon: encode event %+v: %v", ev, err)) // it has nothing that has no JSON
	}
	j.mu.Lock()
	if len(j.ring) >= journalRing {
		j.ring = slices.Delete(j.ring, 0, len(j.ring)-journalRing+1)
	}
	j.ring = append(j.ring, line)
	j.mu.Unlock()
	j.backlog = append(j.backlog, append(line[:len(line):len(line)], '\n'))
	if n := len(j.backlog) - journalBacklog; n > 0 {
		j.backlog = slices.Delete(j.backlog, 0, n)
		j.lost.Add(uint64(n))
	}
}

// write brings the backlog to the file, unless that has failed a moment ago.
func (j *journal) write() {
	if time.Now().Before(j.retryAt) {
		return
	}
	path, err := j.open()
	if err == nil && len(j.backlog) > 0 {
		err = j.file.append(path, slices.Concat(j.backlog...))
	}
	if err == nil {
		j.backlog = nil
	}
	j.settle(path, err)
}

// open opens the first file that can be, and returns which one that is, or would be.
func (j *journal) open() (path string, err error) {
	j.mu.Lock()
	paths := j.paths
	j.mu.Unlock()
	if len(paths) > 0 {
		path = paths[0]
	}
	for _, p := range paths {
		e := j.file.open(p)
		if e == nil {
			return p, nil
		}
		if err == nil {
			err = e
		}
	}
	return path, err
}

// settle notes what has become of a write, and says so when it is news.
func (j *journal) settle(path string, err error) {
	j.mu.Lock()
	before := j.err
	j.path, j.err = path, ""
	if err != nil {
		j.err = err.Error()
	}
	j.mu.Unlock()
	switch {
	case err != nil:
		if j.retryAt.IsZero() {
			j.log.Error("event log cannot be written; events are kept for a while, and it is tried again", "err", err,
				"retry", journalRetry.String())
		}
		j.retryAt = time.Now().Add(journalRetry)
	case before != "":
		j.log.Info("event log can be written again", "path", path, "lost", j.lost.Load())
		j.retryAt = time.Time{}
	}
}
