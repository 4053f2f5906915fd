package daemon

import (
	"context"
	"fmt"
	"time"

	"failoverd/failover"
	"failoverd/failover/status"
	"failoverd/vrrp"
)

// order is a command of a person on its way to the loop, which answers on done; that holds one element.
type order struct {
	input func(now vrrp.Instant, ref uint64) failover.Input
	// verdict: the answer is what the core says of it (Effects.Verdicts); otherwise, that it was carried out.
	verdict bool
	done    chan failover.CommandVerdict

	ref  uint64                  // owned by the loop
	said failover.CommandVerdict // what the core has said of one that it need not say anything of
}

// orders are those that the loop has not answered yet.
type orders struct {
	last    uint64 // Ref
	waiting map[uint64]*order
	now     []*order // to be answered when the batch is over
}

// take feeds an order to the core.
func (l *loop) take(o *order) {
	now := l.now()
	l.orders.last++
	ref := l.orders.last
	o.ref = ref
	if o.verdict {
		if l.orders.waiting == nil {
			l.orders.waiting = make(map[uint64]*order)
		}
		l.orders.waiting[ref] = o
	} else {
		l.orders.now = append(l.orders.now, o)
	}
	l.core.Step(now, o.input(now, ref), &l.fx)
	l.publishSoon(now)
}

// judge collects the verdicts of a batch.
func (l *loop) judge() {
	for _, v := range l.fx.Verdicts {
		if o := l.orders.waiting[v.Ref]; o != nil {
			delete(l.orders.waiting, v.Ref)
			o.done <- v
		}
		for _, o := range l.orders.now {
			if o.ref == v.Ref {
				o.said = v
			}
		}
	}
}

// answerOrders answers those that were carried out in this batch.
func (l *loop) answerOrders() {
	for _, o := range l.orders.now {
		o.done <- o.said
	}
	l.orders.now = nil
}

// keepDrains has the drains written that a batch has changed.
func (l *loop) keepDrains() {
	for i := range l.fx.Events {
		if l.fx.Events[i].Kind == failover.EventDrain {
			l.drains.keep(l.core.Drains())
			return
		}
	}
}

// Command implements status.Source: it has a person's command carried out, and remembered if it is about a drain.
func (a *Agent) Command(ctx context.Context, q *status.Command) (*status.CommandAnswer, error) {
	o := &order{verdict: q.Verb == status.Switchover, done: make(chan failover.CommandVerdict, 1)}
	begun := time.Now()
	switch q.Verb {
	case status.Drain:
		o.input = func(now vrrp.Instant, _ uint64) failover.Input {
			d := failover.Drain{By: q.By, Reason: q.Reason, Since: begun, Ends: vrrp.Never}
			if q.For > 0 {
				d.Until, d.Ends = begun.Add(q.For), now.Add(q.For)
			}
			return failover.DrainCommand{Router: q.Router, Drain: d}
		}
	case status.Undrain:
		o.input = func(_ vrrp.Instant, ref uint64) failover.Input {
			return failover.UndrainCommand{Router: q.Router, By: q.By, Ref: ref}
		}
	case status.Switchover:
		o.input = func(_ vrrp.Instant, ref uint64) failover.Input {
			return failover.SwitchoverCommand{Router: q.Router, By: q.By, Reason: q.Reason, Since: begun, Ref: ref}
		}
	default:
		panic(q.Verb)
	}
	v, err := a.give(ctx, o)
	switch {
	case err != nil:
		return nil, err
	case v.Refused != "":
		return nil, &status.AnswerError{Code: status.Refused, Text: v.Refused}
	}
	answer := &status.CommandAnswer{Text: v.Text, Nothing: v.Nothing}
	if err := a.loop.drains.settled(ctx); err != nil {
		answer.Warnings = append(answer.Warnings, fmt.Sprintf("it ends with the agent, which could not remember it: %v", err))
	}
	return answer, nil
}

// give hands an order to the loop and waits for the answer.
func (a *Agent) give(ctx context.Context, o *order) (v failover.CommandVerdict, err error) {
	select {
	case a.orders <- o:
	case <-a.over:
		return v, ErrStopped
	case <-ctx.Done():
		return v, fmt.Errorf("hand the command to the loop: %w", ctx.Err())
	}
	select {
	case v = <-o.done:
		return v, nil
	case <-a.over:
		return v, ErrStopped
	case <-ctx.Done():
		return v, fmt.Errorf("wait for the outcome: %w", ctx.Err())
	}
}
