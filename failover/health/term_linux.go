package health

import (
	"context"
	"sync"
	"time"
)

// term is the context of one run after another of a check that waits for nothing but sockets, one at a time. Those have the
// deadline themselves, so that no timer is needed, and nobody is told of it: Done is that of the context around it, which ends
// the socket, too.
//
// All of it is used by the goroutine of the check, and cut by any other one.
type term struct {
	context.Context
	at time.Time // when the current run ends

	mu   sync.Mutex
	link *link // what the current run waits for
}

// newTerm returns one whose runs end with ctx.
func newTerm(ctx context.Context) *term {
	t := &term{Context: ctx}
	context.AfterFunc(ctx, t.cut)
	return t
}

// Deadline implements context.Context.
func (t *term) Deadline() (time.Time, bool) { return t.at, true }

// Err implements context.Context.
func (t *term) Err() error {
	err := t.Context.Err()
	if err == nil && !time.Now().Before(t.at) {
		err = context.DeadlineExceeded
	}
	return err
}

// hold makes l end with the run.
func (t *term) hold(l *link) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.link = l
	at := t.at
	if t.Context.Err() != nil {
		at = longAgo // and cut has been here, perhaps
	}
	_ = l.SetDeadline(at) // which cannot fail for a socket
}

// drop forgets what is held.
func (t *term) drop() {
	t.mu.Lock()
	t.link = nil
	t.mu.Unlock()
}

// cut ends what is held.
func (t *term) cut() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.link != nil {
		_ = t.link.SetDeadline(longAgo)
	}
}
