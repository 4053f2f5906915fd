package health

import (
	"context"
	"sync/atomic"
)

// hurdle is what a run has to get over before it can ask its target: a name to resolve, a file to read, this process that does
// not get to run. A run whose time ends there has found out nothing about the target, so that this node could not look; one
// that is late anywhere else is the target's fault. It is in the context of the run, and may be used from any goroutine.
type hurdle struct{ cause atomic.Pointer[string] }

// What hurdles are called, in words that stay the same.
const (
	stoodStill     = "this node stood still while it looked"
	resolverSilent = "the resolver does not answer"
	neverAsked     = "this node did not get as far as to ask"

	prometheusSilent = "Prometheus does not answer in time"
)

// newHurdle returns that of a run which has not begun.
func newHurdle() *hurdle {
	h, cause := &hurdle{}, stoodStill
	h.cause.Store(&cause)
	return h
}

type hurdleKey struct{}

// begun notes that the run has begun, and returns the context that it is to have.
func (h *hurdle) begun(ctx context.Context) context.Context {
	h.cause.Store(nil)
	return context.WithValue(ctx, hurdleKey{}, h)
}

// late is the outcome of a run whose time has ended, where it ended now: blind at a hurdle, else other.
func (h *hurdle) late(other outcome) outcome {
	cause := h.cause.Load()
	if cause == nil || other.blind && other.cause == *cause {
		return other
	}
	return outcome{blind: true, cause: harmless(*cause)}
}

// hinder notes that what follows is a hurdle of the run of ctx, until passed is called: not at all if it was in vain. Inside of
// another one it is none of its own. Without a run nobody wants to know.
func hinder(ctx context.Context, cause string) (passed func()) {
	if h, _ := ctx.Value(hurdleKey{}).(*hurdle); h != nil {
		return h.raise(cause)
	}
	return func() {}
}

func (h *hurdle) raise(cause string) (passed func()) {
	if !h.cause.CompareAndSwap(nil, &cause) {
		return func() {}
	}
	return func() { h.cause.CompareAndSwap(&cause, nil) }
}
