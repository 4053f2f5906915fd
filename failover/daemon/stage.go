package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"failoverd/failover/status"
	"failoverd/failover/supervisor"
)

var (
	errNotTaken = errors.New("the supervisor cannot be told of the takeover")
	errUnasked  = errors.New("the agent is asked to end before it has taken over")
)

// How often a successor looks whether it is ready, and for how long.
const (
	stageTick  = 10 * time.Millisecond
	stageBound = 15 * time.Second
)

// succeeds reports whether this agent is to take the place of one that works (an upgrade).
func (a *Agent) succeeds() bool {
	return a.opts.Supervisor != nil && a.opts.Supervisor.Succession() == supervisor.Take
}

// stage learns what there is to know - interfaces, sockets, results of checks - while another program has the roles, says
// when nothing is missing, and returns when it is to take over. Nothing is sent, programmed or told. Every error means
// that it does not take over.
func (l *loop) stage(ctx context.Context) error {
	link := l.agent.opts.Supervisor
	refuse := func(why string) error {
		return errors.Join(fmt.Errorf("not taken over: %s", why), link.Refuse(why))
	}
	for _, lc := range l.links.openUnicast() {
		l.step(lc)
	}
	tick := time.NewTicker(stageTick)
	defer tick.Stop()
	limit, ready := time.Now().Add(stageBound), false
	for {
		l.fx.Reset()
		select {
		case <-ctx.Done():
			return errUnasked
		case <-link.Lost():
			return errUnasked
		case err := <-l.agent.fatal:
			return refuse(err.Error())
		case o := <-link.Orders():
			if o.What == supervisor.TakeOver {
				return nil
			}
		case o := <-l.agent.deaf:
			for _, lc := range l.links.reopen(o) {
				l.step(lc)
			}
		case in := <-l.agent.results:
			l.step(in)
		case <-l.agent.beats:
		case <-l.agent.packets: // the one before hears them, too
		case <-tick.C:
			now := l.now()
			for _, lc := range l.links.retry(now) {
				l.step(lc)
			}
			why := l.core.Unready(now)
			switch {
			case ready:
			case why == "" && (l.links.seen() || now >= l.readyAt): // by then, what was not told of is not there
				ready = true
				l.agent.log.Info("upgrade: ready to take over", "version", l.agent.opts.Version)
				if err := link.Staged(); err != nil {
					return err
				}
			case time.Now().After(limit):
				return refuse(fmt.Sprintf("the new program is not ready within %v: %s", stageBound, why))
			}
		}
	}
}

// takeUp goes on from where the program before has left everything. An error means that nothing was changed.
func (l *loop) takeUp() error {
	link := l.agent.opts.Supervisor
	w, err := l.readWill()
	if err == nil && len(w.Legacy) == 0 {
		err = errors.New("it hands nothing over")
	}
	var h handedOver
	legacy := &h.Legacy
	if err == nil {
		err = json.Unmarshal(w.Legacy, &h)
	}
	if err == nil {
		err = l.core.TakeUp(l.now(), legacy, &l.fx)
	}
	if err != nil {
		err = fmt.Errorf("nothing is taken over from the program before: %w", err)
		return errors.Join(err, link.Refuse(err.Error()))
	}
	if err := l.witness.Succeed(l.now().Sub(h.At), &h.Channel); err != nil {
		l.agent.log.Warn("upgrade: the channel between sites begins anew", "err", err)
	}
	l.agent.recording.takeOver()
	l.devices.TakeOver()
	link.Store().Refresh()
	l.speakers.goOn(link, true)
	l.speakers.goOnWith(h.Gobgpds)
	l.heirs.sweepAt = l.now().Add(sweepAfter)
	l.agent.log.Info("upgrade: taken over", "roles", len(w.Heirs), "routers", len(legacy.Routers))
	l.tell(l.agent.started(l.core.Config()))
	return nil
}

// serveAfter serves status and locks the network namespace as soon as this program has taken over, and the one before has let
// go of both. A candidate has neither: if the one before dies, they are the next one's that its supervisor starts.
func (a *Agent) serveAfter(ctx context.Context, path string) {
	select {
	case <-ctx.Done():
		return
	case <-a.turn:
	}
	tick := time.NewTicker(stageTick)
	defer tick.Stop()
	said := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if a.lock.Load() == nil {
			lock, err := lockNamespace()
			if err != nil {
				continue
			}
			a.lock.Store(&lock)
		}
		srv, err := status.New(path, a, a.log)
		switch {
		case err == nil:
			if err := srv.Serve(ctx); err != nil {
				a.log.Error("status server ended", "err", err)
			}
			return
		case !errors.Is(err, status.ErrInUse) && !said:
			said = true
			a.log.Error("no status socket", "err", err)
		}
	}
}
