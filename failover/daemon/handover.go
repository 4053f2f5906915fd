package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"failoverd/failover"
	"failoverd/failover/supervisor"
	"failoverd/failover/witness"
	"failoverd/vrrp"
)

// ErrHandedOver is the end of an agent whose place another program has taken: nothing was released, and whoever runs it
// must end at once, without a word.
var ErrHandedOver = errors.New("another program has taken over")

// handedOver is what one program hands over to the other.
type handedOver struct {
	failover.Legacy
	Channel witness.Memory
}

// answerTime is how long an agent that has handed over stays for the sake of its answer.
const answerTime = 30 * time.Millisecond

// yieldPatience is how long the loop waits at most for a moment at which nothing is due for a while; in advertisement
// intervals, if there are any, and never longer than yieldWorst.
const (
	yieldPatience = 2
	yieldWorst    = 1500 * time.Millisecond
)

// handingOver is the part of the loop that is about an upgrade. The zero value: there is none.
type handingOver struct {
	version string       // of the program that is to take over
	outcome chan<- error // nil: it has; holds one element
	wanted  bool         // the successor is ready
	latest  vrrp.Instant // no moment better than this is waited for
}

func (h *handingOver) at() vrrp.Instant {
	if h.wanted {
		return h.latest
	}
	return vrrp.Never
}

// obey does what the supervisor says.
func (l *loop) obey(o supervisor.Order) {
	switch {
	case o.What == supervisor.Yield && l.up.outcome != nil:
		now := l.now()
		patience := min(yieldPatience*l.core.Testament().Interval, yieldWorst)
		l.up.wanted, l.up.latest = true, now.Add(patience)
	case o.What == supervisor.GoOn:
		l.upgraded(errors.New(o.Why))
	}
}

// upgraded ends an upgrade as far as this life is concerned.
func (l *loop) upgraded(err error) {
	if l.up.outcome != nil {
		l.up.outcome <- err
	}
	l.up = handingOver{}
}

// handOver hands over if somebody waits for it and the moment is good. Until the successor has taken over or given up,
// nothing at all is done. It returns ErrHandedOver in the former case.
func (l *loop) handOver() error {
	if !l.up.wanted {
		return nil
	}
	now := l.now()
	t := l.core.Testament()
	if l.core.Deadline().Sub(now) < t.Interval/2 && now < l.up.latest {
		return nil
	}
	link := l.agent.opts.Supervisor
	bar := l.core.HandoverBar()
	within := switchTime(now, l.core.Deadline(), t.Interval)
	if bar == "" {
		bar = hasty(within, t.Interval)
	}
	if bar == "" {
		bar = l.unkept()
	}
	w, _ := l.will()
	if bar == "" {
		legacy, err := json.Marshal(handedOver{*l.core.Legacy(now), l.witness.Leave()})
		w.Build, w.Legacy = l.up.version, legacy
		if err = errors.Join(err, l.heirs.conclude(w)); err != nil {
			bar = err.Error()
		}
	}
	l.up.wanted = false
	if bar == "" {
		l.agent.log.Info("upgrade: handing over", "roles", len(w.Heirs), "to", l.up.version)
		if err := link.Yielded(within); err != nil {
			bar = err.Error()
		}
	}
	if bar != "" {
		l.witness.Return()
		l.heirs.goOn(now)
		if err := link.Refuse(bar); err != nil { // otherwise GoOn follows; the supervisor stops waiting in any case
			l.agent.log.Error("upgrade: the refusal was not heard", "reason", bar, "err", err)
		}
		return nil
	}
	return l.await(link)
}

// unkept says what has not been written yet that the successor reads from the disk; empty: nothing.
func (l *loop) unkept() string {
	for _, k := range []*keeper{l.drains.keeper, l.takes.keeper} {
		if !k.clean() {
			return fmt.Sprintf("%s have not been written yet; try again", k.what)
		}
	}
	return ""
}

// await does nothing until the supervisor says what has become of the successor. If it has died, the successor stops in
// order, as this life does.
func (l *loop) await(link *supervisor.Link) error {
	for {
		select {
		case o := <-link.Orders():
			switch o.What {
			case supervisor.Leave:
				l.upgraded(nil)
				return ErrHandedOver
			case supervisor.GoOn:
				l.witness.Return()
				l.heirs.goOn(l.now())
				l.upgraded(errors.New(o.Why))
				return nil
			}
		case <-link.Lost():
			l.witness.Return()
			l.upgraded(errors.New("the supervisor has died"))
			return nil
		}
	}
}

// clean reports whether everything that was to be kept is written.
func (k *keeper) clean() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.wanted == k.written
}
