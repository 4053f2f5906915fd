package health

import (
	"context"
	"log/slog"
	"path/filepath"
	"time"

	"failoverd/failover"
)

// fileCheck follows the number in one file. It reads the file whenever the kernel tells of a change in its directory,
// and from time to time without that, because network file systems and symbolic links say nothing.
//
// A missing or empty file has the number 0, as with keepalived, though only if it stays so for a moment: many programs
// write by emptying first. A file that cannot be read is not OK; Value is then the last number that was there.
type fileCheck struct {
	path    string
	name    string // the last element of path
	log     *slog.Logger
	out     *outlet
	s       *settings
	init    *failover.FileConfig // nil when nothing is left to be written
	notices *notices             // nil: the kernel does not tell
	cancel  context.CancelFunc
	woken   chan struct{} // 1: the kernel told of a change

	// Owned by the loop.
	look     lone[look]
	busy     <-chan look // nil: nobody looks
	again    bool        // it changed while somebody looked
	watching bool        // the directory is watched
	blank    time.Time   // since when all readings were blank; zero: the last one was not
	value    int
	warned   string
}

// look is the result of one look at a file.
type look struct {
	reading
	watchErr error // why the kernel will not tell of changes
}

func newFileCheck(s *settings, box *outbox, n *notices, c failover.FileConfig) *fileCheck {
	f := &fileCheck{
		path: c.Path, name: filepath.Base(c.Path), s: s, log: s.log.With("track_file", c.Name, "path", c.Path), notices: n,
		out: box.outlet(failover.TrackFile, c.Name), woken: make(chan struct{}, 1),
	}
	if c.Init != nil {
		f.init = &c
	}
	f.look.call = f.lookOnce
	return f
}

// end ends the loop and does not wait for it. Nothing is reported any more.
func (f *fileCheck) end() {
	f.out.close()
	f.cancel()
}

// wake says that the file may have changed. It may be called from any goroutine.
func (f *fileCheck) wake() {
	select {
	case f.woken <- struct{}{}:
	default:
	}
}

func (f *fileCheck) loop(ctx context.Context) {
	if f.notices != nil {
		defer f.notices.forget(f)
	}
	f.busy = f.look.begin()
	timer := time.NewTimer(f.s.patient)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.woken:
			if f.busy != nil {
				f.again = true
				continue
			}
			f.busy = f.look.begin()
			timer.Reset(f.s.patient)
		case <-timer.C:
			if f.busy == nil {
				f.busy = f.look.begin()
				timer.Reset(f.s.patient)
				continue
			}
			f.fail("cannot be read: no answer in " + f.s.patient.String()) // the look goes on
		case l := <-f.busy:
			f.look.taken()
			f.busy = nil
			timer.Reset(f.take(l))
		}
	}
}

// lookOnce watches the directory, so that no later change is missed, and reads the file. It may block, and then the
// check may have ended meanwhile.
func (f *fileCheck) lookOnce() look {
	var l look
	if f.init != nil {
		if err := writeNumber(f.path, *f.init.Init, f.init.Overwrite); err != nil {
			f.log.Warn("init_file cannot write", "err", err)
		}
		f.init = nil
	}
	if f.notices != nil {
		l.watchErr = f.notices.watch(filepath.Dir(f.path), f)
	}
	l.reading = newReading(f.s.reader(f.path))
	return l
}

// take judges what was seen and returns the time until the next look.
func (f *fileCheck) take(l look) time.Duration {
	f.noteWatch(l.watchErr)
	again := f.again
	f.again = false
	switch wait := f.unsettled(l.blank); {
	case wait > 0 && again:
		return 0 // it was written meanwhile
	case wait > 0:
		return wait
	}
	switch {
	case l.err != nil:
		f.fail(l.cause)
	default:
		f.value = l.value
		f.warn(l.odd)
		f.out.post(news{cause: l.cause, report: failover.TrackerReport{OK: true, Value: l.value, NoNumber: l.none, Reason: l.cause}})
	}
	switch {
	case again:
		return 0
	case f.watching:
		return f.s.reread
	default:
		return min(f.s.reread, time.Second)
	}
}

// unsettled returns for how long a blank file must stay so until that counts; 0: it is not blank, or it counts.
func (f *fileCheck) unsettled(blank bool) time.Duration {
	if !blank {
		f.blank = time.Time{}
		return 0
	}
	now := time.Now()
	if f.blank.IsZero() {
		f.blank = now
	}
	return max(0, f.blank.Add(f.s.settle).Sub(now))
}

// fail reports that the number is not known.
func (f *fileCheck) fail(cause string) {
	f.warn(cause)
	f.out.post(news{cause: cause, report: failover.TrackerReport{Value: f.value, Reason: cause}})
}

// warn logs what is wrong, once until something else is.
func (f *fileCheck) warn(odd string) {
	if odd != "" && odd != f.warned {
		f.log.Warn("tracked file is not as it should be", "reason", odd)
	}
	f.warned = odd
}

func (f *fileCheck) noteWatch(err error) {
	was := f.watching
	f.watching = err == nil && f.notices != nil
	if err != nil && was {
		f.log.Debug("directory cannot be watched, the file is read every second", "err", err)
	}
}
