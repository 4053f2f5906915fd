package notify

import (
	"errors"
	"log/slog"
	"os"
	"slices"
	"time"

	"failoverd/failover"
)

// writeStep is how long a write waits for room before it looks whether anything has changed.
const writeStep = 200 * time.Millisecond

// fifo is one FIFO that is told of all transitions.
type fifo struct {
	n           *Notifier
	path        string
	log         *slog.Logger
	woken       chan struct{}   // 1: there is something to do
	leaving     chan struct{}   // closed when it is not wanted any more
	gone        chan struct{}   // closed when the loop has ended
	predecessor <-chan struct{} // nil, or closed when the last FIFO of this path has gone

	// Guarded by the Notifier's mutex.
	want  failover.FIFOConfig
	lines backlog
	left  bool // leaving is closed
	stuck bool // it is full, or is not there and cannot be made

	// Owned by the loop.
	pipe    *pipe // nil: not open
	owner   failover.FIFOConfig
	rest    []byte    // of the line that is being written
	line    []byte    // the whole of it
	readers []*reader // the last one reads; those before it are ending
	failure string    // what was wrong last
	full    bool      // there was no room for a line, which was logged
}

func newFIFO(n *Notifier, c *failover.FIFOConfig) *fifo {
	return &fifo{
		n: n, path: c.Path, log: n.log.With("fifo", c.Path), want: *c, lines: newBacklog(n.settings.fifoBacklog),
		woken: make(chan struct{}, 1), leaving: make(chan struct{}), gone: make(chan struct{}),
	}
}

// add makes a line wait. It belongs to the Notifier's mutex, as leave does.
func (f *fifo) add(n *failover.Notification) {
	if f.left {
		return
	}
	f.lines.add(*n)
	f.wake()
}

// leave ends the loop when what waits has been told, or soon.
func (f *fifo) leave() {
	if !f.left {
		f.left = true
		close(f.leaving)
	}
}

func (f *fifo) wake() {
	select {
	case f.woken <- struct{}{}:
	default:
	}
}

// loop keeps the FIFO there and writes to it.
func (f *fifo) loop() {
	defer f.forget()
	if f.predecessor != nil {
		<-f.predecessor
	}
	backoff := f.n.settings.firstBackoff
	for {
		pause := f.n.settings.look
		var err error
		f.n.barred(func() { err = f.prepare() })
		f.setStuck(err != nil || f.full)
		if err != nil {
			f.complain(err)
			pause, backoff = backoff, min(2*backoff, f.n.settings.lastBackoff)
		} else {
			backoff = f.n.settings.firstBackoff
			f.write(time.Time{})
		}
		timer := time.NewTimer(pause)
		select {
		case <-f.leaving:
			timer.Stop()
			f.end()
			return
		case <-f.woken:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// forget makes the path free for another one.
func (f *fifo) forget() {
	f.n.mu.Lock()
	defer f.n.mu.Unlock()
	if f.n.fifos[f.path] == f {
		delete(f.n.fifos, f.path)
	}
	close(f.gone)
}

// prepare makes the FIFO and its script what they should be.
func (f *fifo) prepare() error {
	f.n.mu.Lock()
	want := f.want
	f.n.mu.Unlock()
	if f.pipe != nil && !f.pipe.there() {
		f.log.Warn("FIFO removed or replaced by somebody else, opened again")
		f.close()
	}
	if f.pipe == nil {
		p, err := openPipe(&want)
		if err != nil {
			return err
		}
		f.pipe, f.owner = p, failover.FIFOConfig{}
		f.rest = f.line // nobody has read a part of it
		if err := p.own(&want); err != nil {
			f.complain(err) // root can read it in any case
		} else {
			f.failure = ""
		}
		f.owner = want
	} else if f.owner.User != want.User || f.owner.Group != want.Group {
		if err := f.pipe.own(&want); err != nil {
			f.complain(err)
		}
		f.owner = want
	}
	f.keepReader(want.Script)
	return nil
}

// complain logs what is wrong when it is new.
func (f *fifo) complain(err error) {
	if text := err.Error(); text != f.failure {
		f.failure = text
		f.log.Error("FIFO not as it should be", "err", err)
	}
}

// keepReader makes the script that reads the FIFO run, or another one, or none.
func (f *fifo) keepReader(c *failover.Command) {
	f.readers = slices.DeleteFunc(f.readers, (*reader).ended)
	var before *reader
	if len(f.readers) > 0 {
		before = f.readers[len(f.readers)-1]
		if !before.stopped && c != nil && sameScript(&before.command, c) {
			return
		}
		before.stop()
	}
	if c != nil {
		f.readers = append(f.readers, startReader(f, c, before))
	}
}

// close closes the FIFO and ends its script, which must not go on with a FIFO that nobody writes to.
func (f *fifo) close() {
	f.keepReader(nil)
	f.pipe.close()
	f.pipe = nil
}

// write writes what waits until a time, or, if that is zero, as long as it takes: until the FIFO is to be left, is not
// there any more or something about it has changed.
func (f *fifo) write(until time.Time) {
	for f.more() {
		step := time.Now().Add(writeStep)
		if !until.IsZero() && step.After(until) {
			step = until
		}
		var n int
		var err error
		if f.full { // nobody knows how long it takes, and whoever goes on without this one would lose it
			n, err = f.pipe.write(f.rest, step)
		} else {
			f.n.barred(func() { n, err = f.pipe.write(f.rest, step) })
		}
		if f.rest = f.rest[n:]; len(f.rest) == 0 {
			f.line = f.line[:0]
			f.setFull(false)
			continue
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			f.complain(err)
			return
		}
		if !f.full {
			f.setFull(true)
			f.log.Warn("FIFO is full, nobody reads it; what is told now waits")
		}
		if f.interrupted(until) {
			return
		}
		if !f.pipe.there() {
			f.wake()
			return
		}
	}
}

// setFull notes whether there is room.
func (f *fifo) setFull(full bool) {
	f.full = full
	f.setStuck(full)
}

// setStuck notes whether nobody can say when what waits will be written.
func (f *fifo) setStuck(stuck bool) {
	f.n.mu.Lock()
	f.stuck = stuck
	f.n.mu.Unlock()
}

// interrupted reports whether there is something else to do than to wait for room.
func (f *fifo) interrupted(until time.Time) bool {
	if !until.IsZero() {
		return !time.Now().Before(until)
	}
	f.n.mu.Lock()
	defer f.n.mu.Unlock()
	sameOwner := f.want.User == f.owner.User && f.want.Group == f.owner.Group
	return f.left || !sameOwner || !sameScript(f.want.Script, f.owner.Script)
}

// more reports whether there is something to write, and sets rest to it.
func (f *fifo) more() bool {
	if len(f.rest) > 0 {
		return true
	}
	f.n.mu.Lock()
	what, ok := f.lines.take()
	dropped := f.lines.drops()
	f.n.mu.Unlock()
	if dropped > 0 {
		f.log.Warn("states left out, the FIFO does not take them fast enough", "dropped", dropped)
	}
	if !ok {
		return false
	}
	f.line = appendLine(f.line[:0], &what)
	f.rest = f.line
	return true
}

// end tells what waits, lets the script read it and ends it, and removes the FIFO, all within readPatience.
func (f *fifo) end() {
	patience := f.n.settings.readPatience
	limit := time.Now().Add(patience)
	if f.pipe != nil {
		f.write(limit.Add(-patience / 2))
		if len(f.readers) > 0 {
			f.pipe.drained(limit.Add(-patience / 4))
		}
		if lost := f.unwritten(); lost > 0 {
			f.log.Warn("FIFO is full, states left out at the end", "dropped", lost)
		}
		f.pipe.remove()
		f.pipe.close()
	}
	for _, r := range f.readers {
		r.end(limit)
	}
}

// unwritten returns how many lines have not been written.
func (f *fifo) unwritten() int {
	f.n.mu.Lock()
	defer f.n.mu.Unlock()
	n := len(f.lines.items)
	if len(f.rest) > 0 {
		n++
	}
	return n
}

func sameScript(a, b *failover.Command) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.User == b.User && a.Group == b.Group && slices.Equal(a.Args, b.Args)
}
