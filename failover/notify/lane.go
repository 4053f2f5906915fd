package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sys/unix"

	"failoverd/failover"
	"failoverd/failover/script"
)

// lane runs the scripts of one router or group, one after the other. It lives as long as there are any.
type lane struct {
	n   *Notifier
	key subject
	log *slog.Logger

	// Guarded by the Notifier's mutex.
	backlog backlog
	now     *turn // what is being told; nil: nothing
	doomed  bool  // nothing is told any more
}

// turn is the time in which one notification is told.
type turn struct {
	ctx    context.Context
	cancel context.CancelFunc // ends its scripts politely
	dead   chan struct{}      // closed: ends them at once
	closed bool               // dead is
	begun  time.Time
	urged  bool   // it ends when its time is over, if somebody waits then
	script string // the program that runs; empty: it waits for its turn
	since  time.Time
}

func (t *turn) kill() {
	if !t.closed {
		t.closed = true
		close(t.dead)
	}
}

// untold says what keeps everybody from knowing. The Notifier's mutex is held.
func (l *lane) untold() string {
	if l.now == nil || l.now.script == "" {
		return "a notify script of " + l.key.name + " has not been started yet; try again"
	}
	s := l.n.settings
	return fmt.Sprintf("the notify script %s of %s has run for %.1f s, and may for %v: try again when it has ended",
		l.now.script, l.key.name, time.Since(l.now.since).Seconds(), s.timeout)
}

// begins notes which program runs in the turn of now.
func (l *lane) begins(t *turn, script string) {
	l.n.mu.Lock()
	defer l.n.mu.Unlock()
	t.script, t.since = script, time.Now()
}

func newLane(n *Notifier, key subject) *lane {
	what := "router"
	if key.group {
		what = "group"
	}
	return &lane{n: n, key: key, log: n.log.With(what, key.name), backlog: newBacklog(n.settings.laneBacklog)}
}

// work tells what waits until there is no more.
func (l *lane) work() {
	for {
		what, t, dropped := l.next()
		if dropped > 0 {
			l.log.Warn("states left out, scripts are too slow", "dropped", dropped)
		}
		if t == nil {
			return
		}
		for _, c := range calls(&what) {
			if t.ctx.Err() == nil {
				l.run(t, c, what.State)
			}
		}
		t.cancel()
	}
}

// next takes the next notification; a nil turn says that there is none and that the lane has ended.
func (l *lane) next() (what failover.Notification, t *turn, dropped int) {
	l.n.mu.Lock()
	defer l.n.mu.Unlock()
	what, ok := l.backlog.take()
	dropped = l.backlog.drops()
	if l.doomed || !ok {
		delete(l.n.lanes, l.key)
		return what, nil, dropped
	}
	t = &turn{dead: make(chan struct{}), begun: time.Now()}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	l.now = t
	l.urge()
	return what, t, dropped
}

// urge sees to it that what is being told does not keep a newer state waiting for longer than a script may take then.
// The Notifier's mutex is held.
func (l *lane) urge() {
	t := l.now
	if t == nil || t.urged || len(l.backlog.items) == 0 {
		return
	}
	t.urged = true
	time.AfterFunc(time.Until(t.begun.Add(l.n.settings.waited)), func() {
		l.n.mu.Lock()
		defer l.n.mu.Unlock()
		if l.now == t && t.ctx.Err() == nil {
			l.log.Warn("notify script ended, a newer state waits", "after", l.n.settings.waited.String())
			t.cancel()
		}
	})
}

// makeWay lets only the last state be told after what is being told, and asks that to end.
func (l *lane) makeWay() {
	l.backlog.last()
	if len(l.backlog.items) > 0 && l.now != nil {
		l.now.cancel()
	}
}

// clearWay kills what is still being told, if anything waits for its end.
func (l *lane) clearWay() {
	if len(l.backlog.items) > 0 && l.now != nil {
		l.now.kill()
	}
}

// kill ends the lane.
func (l *lane) kill() {
	l.doomed = true
	l.backlog.dropped += len(l.backlog.items)
	l.backlog.items = nil
	if l.now != nil {
		l.now.cancel()
		l.now.kill()
	}
}

// run runs one script to its end. While the machine is too short of something to start it, it tries again, as long as a
// script may take.
func (l *lane) run(t *turn, c call, state string) {
	select {
	case l.n.slots <- struct{}{}:
		defer func() { <-l.n.slots }()
	case <-l.n.hurry:
	case <-t.ctx.Done():
		return
	}
	log := l.log.With("script", program(c.command), "state", state)
	last := time.Now().Add(l.n.settings.timeout)
	l.begins(t, program(c.command))
	for pause := l.n.settings.firstBackoff; ; pause *= 2 {
		err := l.attempt(t, c, log)
		if !short(err) || time.Now().Add(pause).After(last) {
			return
		}
		again := time.NewTimer(pause)
		select {
		case <-again.C:
		case <-t.ctx.Done():
			again.Stop()
			return
		}
	}
}

// short reports whether a script was not started because of what may be different a moment later.
func short(err error) bool {
	return errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.ENOMEM) || errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE)
}

// attempt runs a script once, and returns why it could not be started. One that the kernel holds although it was killed
// is given up: it does nothing more by itself, and what comes after it must not be lost.
func (l *lane) attempt(t *turn, c call, log *slog.Logger) error {
	l.n.mu.Lock()
	policy := l.n.policy
	l.n.mu.Unlock()
	done := make(chan error, 1)
	go func() {
		r, err := script.Run(t.ctx, *c.command, policy, script.Exec{
			Extra: c.extra, Timeout: l.n.settings.timeout, Kill: t.dead, Bar: l.n.Bar,
			Output: func(line string) { log.Info("notify script says", "line", line) },
		})
		logResult(log, r, err)
		done <- err
	}()
	limit := time.NewTimer(l.n.settings.timeout + script.DefaultGrace + unkillable)
	defer limit.Stop()
	select {
	case err := <-done:
		return err
	case <-limit.C:
		log.Error("notify script cannot be killed, going on without it")
		return nil
	}
}

func logResult(log *slog.Logger, r script.Result, err error) {
	switch {
	case err != nil:
		log.Error("notify script cannot run", "err", err)
	case r.OK():
		log.Debug("notify script done", took(r))
	default:
		log.Warn("notify script failed", "result", r.String(), took(r))
	}
}

func took(r script.Result) slog.Attr {
	return slog.Float64("took_ms", float64(r.Took.Microseconds())/1000)
}

func program(c *failover.Command) string {
	if len(c.Args) == 0 {
		return ""
	}
	return c.Args[0]
}
