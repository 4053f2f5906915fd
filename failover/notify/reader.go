package notify

import (
	"context"
	"log/slog"
	"time"

	"failoverd/failover"
	"failoverd/failover/script"
)

// reader is the script that reads a FIFO. It is started again when it ends, after a pause that grows while it ends soon.
type reader struct {
	n       *Notifier
	path    string
	command failover.Command
	log     *slog.Logger
	cancel  context.CancelFunc // ends it politely
	quit    chan struct{}      // closed: it is not started again
	dead    chan struct{}      // closed: it is killed at once
	gone    chan struct{}      // closed when it has ended for good
	stopped bool               // quit is closed; owned by the FIFO's loop
}

// startReader starts a script for a FIFO, when the one before it has ended; nil: there was none.
func startReader(f *fifo, c *failover.Command, before *reader) *reader {
	ctx, cancel := context.WithCancel(f.n.reading)
	r := &reader{
		n: f.n, path: f.path, command: *c, log: f.log.With("script", program(c)), cancel: cancel,
		quit: make(chan struct{}), dead: make(chan struct{}), gone: make(chan struct{}),
	}
	go func() {
		defer close(r.gone)
		defer cancel()
		if before != nil {
			<-before.gone
		}
		if ctx.Err() == nil {
			r.loop(ctx)
		}
	}()
	return r
}

func (r *reader) ended() bool {
	select {
	case <-r.gone:
		return true
	default:
		return false
	}
}

// quitOnce keeps the script from being started again.
func (r *reader) quitOnce() {
	if !r.stopped {
		r.stopped = true
		close(r.quit)
	}
}

func (r *reader) loop(ctx context.Context) {
	backoff := r.n.settings.firstBackoff
	for {
		r.n.mu.Lock()
		policy := r.n.policy
		r.n.mu.Unlock()
		begun := time.Now()
		result, err := script.Run(ctx, r.command, policy, script.Exec{
			Extra: []string{r.path}, Kill: r.dead, Bar: r.n.Bar, Output: func(line string) { r.log.Info("FIFO script says", "line", line) },
		})
		select {
		case <-r.quit:
			return
		default:
		}
		if time.Since(begun) > r.n.settings.lastBackoff {
			backoff = r.n.settings.firstBackoff
		}
		if err != nil {
			r.log.Error("FIFO script cannot run", "err", err, "again", backoff.String())
		} else {
			r.log.Warn("FIFO script has ended", "result", result.String(), "again", backoff.String())
		}
		pause := time.NewTimer(backoff)
		select {
		case <-r.quit:
			pause.Stop()
			return
		case <-pause.C:
		}
		backoff = min(2*backoff, r.n.settings.lastBackoff)
	}
}

// stop ends the script politely, and with force after the usual grace. It does not wait.
func (r *reader) stop() {
	r.quitOnce()
	r.cancel()
}

// end waits for a script that has come to the end of its FIFO: shortly for it to end by itself, then, until the limit,
// for it to end politely. Then it is killed.
func (r *reader) end(limit time.Time) {
	r.quitOnce()
	if within(r.gone, limit.Add(-r.n.settings.readPatience/8)) {
		return
	}
	r.cancel()
	if within(r.gone, limit) {
		return
	}
	close(r.dead)
	within(r.gone, limit.Add(unkillable/2))
}
