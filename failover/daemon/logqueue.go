package daemon

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

// logRecords is how many records may wait for a log that is slow; further ones are dropped and counted.
const logRecords = 1024

// logEnd is how long what waits may take to be written at the end.
const logEnd = 200 * time.Millisecond

// logQueue keeps a log that blocks, such as a pipe that nobody reads, from holding up the loop. Before start and after
// stop records are written by who logs them.
type logQueue struct {
	handler slog.Handler
	records chan logRecord
	lost    atomic.Uint64
	running atomic.Bool
	quit    chan struct{}
	ended   chan struct{}
}

type logRecord struct {
	to      slog.Handler
	r       slog.Record
	written chan<- struct{} // instead of a record: it is closed when those before it are written
}

// Log returns the agent's log, through which whoever runs it logs as well: in order, and without being held up.
func (a *Agent) Log() *slog.Logger { return a.log }

// FlushLog waits until what was logged is written, at most 0.2 s.
func (a *Agent) FlushLog() { a.queue.flush() }

func newLogQueue(h slog.Handler) *logQueue {
	return &logQueue{handler: h, records: make(chan logRecord, logRecords), quit: make(chan struct{}), ended: make(chan struct{})}
}

func (q *logQueue) logger() *slog.Logger { return slog.New(queued{q.handler, q}) }

func (q *logQueue) start() {
	q.running.Store(true)
	go q.run()
}

// stop writes what waits. A log that blocks is given up on: nothing is written to it any more.
func (q *logQueue) stop() {
	close(q.quit)
	limit := time.NewTimer(logEnd)
	defer limit.Stop()
	select {
	case <-q.ended:
	case <-limit.C:
	}
}

// flush waits until what was logged before is written, at most logEnd.
func (q *logQueue) flush() {
	if !q.running.Load() {
		return
	}
	limit := time.NewTimer(logEnd)
	defer limit.Stop()
	written := make(chan struct{})
	select {
	case q.records <- logRecord{written: written}:
	case <-limit.C:
		return
	}
	select {
	case <-written:
	case <-q.ended:
	case <-limit.C:
	}
}

func (q *logQueue) run() {
	defer close(q.ended)
	for {
		select {
		case rec := <-q.records:
			q.write(rec)
		case <-q.quit:
			for range len(q.records) {
				q.write(<-q.records)
			}
			q.running.Store(false)
			return
		}
	}
}

// write writes a record, and then how many got lost before there was room again.
func (q *logQueue) write(rec logRecord) {
	if rec.written != nil {
		close(rec.written)
		return
	}
	_ = rec.to.Handle(context.Background(), rec.r) // there is no other place to complain
	if n := q.lost.Swap(0); n > 0 {
		r := slog.NewRecord(time.Now(), slog.LevelWarn, "log too slow, records dropped", 0)
		r.AddAttrs(slog.Uint64("dropped", n))
		_ = q.handler.Handle(context.Background(), r)
	}
}

// queued is a handler whose records go through a queue.
type queued struct {
	slog.Handler
	q *logQueue
}

// Handle implements slog.Handler.
func (h queued) Handle(ctx context.Context, r slog.Record) error {
	if !h.q.running.Load() {
		return h.Handler.Handle(ctx, r)
	}
	select {
	case h.q.records <- logRecord{to: h.Handler, r: r.Clone()}:
	default:
		h.q.lost.Add(1)
	}
	return nil
}

// WithAttrs implements slog.Handler.
func (h queued) WithAttrs(attrs []slog.Attr) slog.Handler {
	return queued{h.Handler.WithAttrs(attrs), h.q}
}

// WithGroup implements slog.Handler.
func (h queued) WithGroup(name string) slog.Handler { return queued{h.Handler.WithGroup(name), h.q} }
