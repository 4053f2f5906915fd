package daemon

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"failoverd/failover"
	"failoverd/failover/kernel"
	"failoverd/failover/record"
)

const (
	// recordQueue is how many lines may wait for the goroutine; with one more the recording ends, since a hole would make it
	// worthless.
	recordQueue = 8192
	// recordWaiting is how many octets may wait, likewise.
	recordWaiting = 32 << 20
	// recordEnd is what is left of the limit for the last line.
	recordEnd = 256
)

// recording writes what the core is told and decides to a file, from a goroutine of its own: the loop never waits for a
// disk. The recording of the life before becomes FILE.1: of all of them that one is the most precious, if it ended in a
// crash. A nil one records nothing.
type recording struct {
	log   *slog.Logger
	path  string
	limit int64 // octets
	queue chan record.Entry
	quit  chan struct{}
	// staged: until the turn comes, which closes turn, the path is another program's, and this one writes beside it.
	staged bool
	turn   chan struct{}
	over   chan struct{} // closed when run has ended

	waiting atomic.Int64           // octets in queue
	reason  atomic.Pointer[string] // why it has ended; nil: it goes on
	size    atomic.Int64
	lines   atomic.Uint64

	f *os.File // owned by run
}

// newRecording returns nil if the configuration asks for none.
func newRecording(cfg *failover.Config, log *slog.Logger) *recording {
	if cfg.Record.File == "" {
		return nil
	}
	return &recording{
		log: log, path: cfg.Record.File, limit: int64(cfg.Record.LimitMB) << 20, queue: make(chan record.Entry, recordQueue),
		quit: make(chan struct{}), over: make(chan struct{}), turn: make(chan struct{}),
	}
}

// stage makes it the recording of an agent that is to take the place of another one. It belongs before start.
func (r *recording) stage() {
	if r != nil {
		r.staged = true
	}
}

// takeOver says that the turn has come.
func (r *recording) takeOver() {
	if r != nil && r.staged {
		close(r.turn)
	}
}

// begin returns what the core needs to be recorded; nil for a nil recording.
func (r *recording) begin(o *Options) *record.Start {
	if r == nil {
		return nil
	}
	host, _ := os.Hostname() // for whoever reads it
	return &record.Start{
		Header: record.Header{
			Program: o.Version, Host: host, File: o.File, PID: os.Getpid(), BootID: kernel.BootID(), Wall: time.Now().UnixNano(),
		},
		Random: func(b []byte) { _, _ = rand.Read(b) }, // it never fails
		Sink:   r.put,
	}
}

// put hands a line over. Only the loop calls it; it never waits.
func (r *recording) put(e record.Entry) bool {
	if r.reason.Load() != nil {
		return false
	}
	n := int64(e.Len())
	if r.waiting.Add(n) <= recordWaiting {
		select {
		case r.queue <- e:
			return true
		default:
		}
	}
	r.fail("the disk cannot keep up")
	return false
}

// fail ends the recording, for the first reason that it is called with.
func (r *recording) fail(reason string) { r.reason.CompareAndSwap(nil, &reason) }

// start starts the goroutine.
func (r *recording) start() {
	if r != nil {
		go r.run()
	}
}

// stop writes what waits, at most for logEnd: a disk that hangs does not keep the agent from ending.
func (r *recording) stop() {
	if r == nil {
		return
	}
	close(r.quit)
	limit := time.NewTimer(logEnd)
	defer limit.Stop()
	select {
	case <-r.over:
	case <-limit.C:
	}
}

func (r *recording) run() {
	defer close(r.over)
	if err := r.open(); err != nil {
		r.fail(err.Error())
		r.log.Error("nothing is recorded", "err", err)
		return
	}
	defer func() { _ = r.f.Close() }()
	var b []byte
	turn := r.turn
	defer func() {
		if r.staged && turn != nil { // it never was the recording of anything
			_ = os.Remove(r.place())
		}
	}()
	for {
		select {
		case e := <-r.queue:
			b = r.append(b[:0], e)
		case <-r.quit:
			b = r.append(b[:0], record.Entry{})
		case <-turn:
			turn, b = nil, b[:0]
			r.publish()
		}
		// A burst costs one write.
		for n := len(r.queue); n > 0 && r.reason.Load() == nil && len(b) < 1<<20; n-- {
			b = r.append(b, <-r.queue)
		}
		ending := r.ending()
		if ending && r.reason.Load() == nil {
			for range len(r.queue) {
				b = r.append(b, <-r.queue)
			}
			r.fail("the agent has ended")
		}
		r.write(b)
		if why := r.reason.Load(); why != nil {
			r.end(*why)
			return
		}
		if cap(b) > 4<<20 {
			b = nil
		}
	}
}

func (r *recording) ending() bool {
	select {
	case <-r.quit:
		return true
	default:
		return false
	}
}

// append appends a line, unless that is beyond the limit.
func (r *recording) append(b []byte, e record.Entry) []byte {
	r.waiting.Add(-int64(e.Len()))
	if e.None() || r.reason.Load() != nil {
		return b
	}
	longer, err := e.Append(b)
	switch {
	case err != nil:
		r.fail(err.Error())
		return b
	case r.size.Load()+int64(len(longer)) > r.limit-recordEnd:
		r.fail(fmt.Sprintf("it is full: record_size %d", r.limit>>20))
		return b
	}
	r.lines.Add(1)
	return longer
}

// write writes lines, all of them or none.
func (r *recording) write(b []byte) {
	if len(b) == 0 {
		return
	}
	n, err := r.f.Write(b)
	if err == nil {
		r.size.Add(int64(n))
		return
	}
	err = fmt.Errorf("write the recording: %w", err)
	if n > 0 {
		err = errors.Join(err, r.f.Truncate(r.size.Load()))
	}
	// It may be the reason although another one came first: then there is a hole before the end.
	why := err.Error()
	r.reason.Store(&why)
}

// end writes the reason, and tells it.
func (r *recording) end(why string) {
	line, err := record.End(why).Append(nil)
	if err == nil {
		var n int
		n, err = r.f.Write(line)
		r.size.Add(int64(n))
	}
	if r.ending() {
		return
	}
	r.log.Warn("the recording has ended", "file", r.path, "reason", why, "size", r.size.Load(), "lines", r.lines.Load())
	if err != nil {
		r.log.Error("its end cannot be written", "err", err)
	}
}

// place is where the file is until it is published.
func (r *recording) place() string {
	if r.staged {
		return r.path + ".next"
	}
	return r.path
}

// publish makes the file the recording, and that of the program before FILE.1, although it may still be written to.
func (r *recording) publish() {
	err := putAway(r.path)
	if err == nil {
		err = os.Rename(r.place(), r.path)
	}
	if err != nil {
		r.log.Error("the recording stays where it is", "file", r.place(), "err", err)
	}
}

// putAway makes what is at a path FILE.1.
func putAway(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("look for a recording: %w", err)
	case !info.Mode().IsRegular():
		return &fs.PathError{Op: "record", Path: path, Err: errors.New("is not a regular file")}
	}
	if err := os.Rename(path, path+".1"); err != nil {
		return fmt.Errorf("keep the recording before: %w", err)
	}
	return nil
}

// open makes what is at the path FILE.1, and begins another file that only its owner may read. One that is staged leaves the path
// alone; what another one that was staged has left there is of no use to anybody.
func (r *recording) open() error {
	if err := os.MkdirAll(filepath.Dir(r.path), 0o755); err != nil {
		return fmt.Errorf("make the directory of the recording: %w", err)
	}
	var err error
	if r.staged {
		if err = os.Remove(r.place()); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	} else {
		err = putAway(r.path)
	}
	if err != nil {
		return err
	}
	r.f, err = os.OpenFile(r.place(), os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW|syscall.O_NOCTTY, 0o600)
	if err != nil {
		return fmt.Errorf("open the recording: %w", err)
	}
	return nil
}

// describe enters what is to be known of the recording into a status.
func (r *recording) describe(s *failover.AgentStatus) {
	if r == nil {
		return
	}
	s.Recording = &failover.RecordingStatus{File: r.path, Size: r.size.Load(), Limit: r.limit, Lines: r.lines.Load()}
	if why := r.reason.Load(); why != nil {
		s.Recording.Ended = *why
	}
}
