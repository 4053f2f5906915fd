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
	// Gobgpds are the speakers whose gobgpd works for the program before.
	Gobgpds []string `json:",omitempty"`
}

// answerTime is how long an agent that has handed over stays for the sake of its answer.
const answerTime = 30 * time.Millisecond

// yieldPatience is how long the loop waits at most for a moment at which nothing is due for a while and nothing is being
// written; in advertisement intervals, if there are any, and never longer than yieldWorst. A bad moment is followed by
// another look after yieldLook.
const (
	yieldPatience = 2
	yieldWorst    = 1500 * time.Millisecond
	yieldLook     = 5 * time.Millisecond
)

// handingOver is the part of the loop that is about an upgrade. The zero value: there is none.
type handingOver struct {
	version string       // of the program that is to take over
	outcome chan<- error // nil: it has; holds one element
	wanted  bool         // the successor is ready
	latest  vrrp.Instant // no moment better than this is waited for
	again   vrrp.Instant // the moment is looked at again then
}

func (h *handingOver) at() vrrp.Instant {
	if h.wanted {
		return min(h.latest, h.again)
	}
	return vrrp.Never
}

// obey does what the supervisor says.
func (l *loop) obey(o supervisor.Order) {
	switch {
	case o.What == supervisor.Yield && l.up.outcome != nil:
		now := l.now()
		patience := yieldWorst
		if interval := l.core.Testament().Interval; interval > 0 {
			patience = min(yieldPatience*interval, yieldWorst)
		}
		l.up.wanted, l.up.latest, l.up.again = true, now.Add(patience), vrrp.Never
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
	now, t := l.now(), l.core.Testament()
	last := now >= l.up.latest
	if !last && l.core.Deadline().Sub(now) < t.Interval/2 {
		return nil
	}
	quiet := l.agent.barWrites()
	bar := l.handoverBar(now, t.Interval, quiet)
	switch {
	case bar == "":
		bar = l.lastWord(t.Interval)
	case !last:
		l.up.again = l.now().Add(yieldLook)
		if quiet {
			l.agent.admitWrites()
		}
		return nil
	}
	l.up.wanted = false
	if bar == "" {
		if err := l.await(l.agent.opts.Supervisor); err != nil {
			return err // and nobody writes any more
		}
	} else {
		l.witness.Return()
		l.heirs.goOn(now)
		if err := l.agent.opts.Supervisor.Refuse(bar); err != nil { // otherwise GoOn follows; the supervisor stops waiting in any case
			l.agent.log.Error("upgrade: the refusal was not heard", "reason", bar, "err", err)
		}
	}
	if quiet {
		l.agent.admitWrites()
	}
	return nil
}

// handoverBar says why this is no moment to hand over; empty: it is. quiet: nobody writes.
func (l *loop) handoverBar(now vrrp.Instant, interval time.Duration, quiet bool) string {
	if bar := l.core.HandoverBar(); bar != "" {
		return bar
	}
	if bar := hasty(switchTime(now, l.core.Deadline(), leasesEnd(l.core.Core, l.touchAt), interval), interval); bar != "" {
		return bar
	}
	if bar := l.unkept(); bar != "" || quiet {
		return bar
	}
	return "addresses, routes or what BGP speakers announce are being changed; try again"
}

// lastWord says everything that the successor has to know, and how long it may take. It returns why it could not; empty: it
// has.
func (l *loop) lastWord(interval time.Duration) (bar string) {
	w, _ := l.will()
	legacy, err := json.Marshal(handedOver{*l.core.Legacy(l.now()), l.witness.Leave(), l.core.Reached()})
	w.Build, w.Legacy = l.up.version, legacy
	if err = errors.Join(err, l.heirs.conclude(w)); err != nil {
		return err.Error()
	}
	within := switchTime(l.now(), l.core.Deadline(), leasesEnd(l.core.Core, l.touchAt), interval)
	l.agent.log.Info("upgrade: handing over", "roles", len(w.Heirs), "to", l.up.version, "within", within.String())
	if err := l.agent.opts.Supervisor.Yielded(within); err != nil {
		return err.Error()
	}
	return ""
}

// unkept says what has not been written yet that the successor reads from the disk, or told; empty: nothing.
func (l *loop) unkept() string {
	for _, k := range []*keeper{l.drains.keeper, l.takes.keeper, l.left.keeper} {
		if !k.clean() {
			return fmt.Sprintf("%s have not been written yet; try again", k.what)
		}
	}
	if untold := l.notifier.Untold(); untold != "" {
		return untold + instead
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
