package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"failoverd/failover"
	"failoverd/failover/supervisor"
	"failoverd/vrrp"
)

// A will is written after a change, but not more often than willGap or than takes a twentieth of the loop's time, and one
// with signed advertisements twice in an interval: their numbers are good for one.
const (
	willGap   = 20 * time.Millisecond
	willWorst = 500 * time.Millisecond
)

// sweepAfter is how long routes and rules of the life before are left to routers that resume: they ask for them when the
// kernel has told that their addresses are in.
const sweepAfter = 2 * time.Second

// testator writes the last will of the agent, and takes over that of the life before. The zero value does nothing. It is
// owned by the loop.
type testator struct {
	link *supervisor.Link // constant; nil: nobody would carry it out
	// box has room for one will on its way to the writer: the newest counts.
	box     chan *supervisor.Will
	at      vrrp.Instant // the next will is due then
	soonest vrrp.Instant // and not before
	// sweepAt is when objects of the life before go that nobody has asked for; Never: they are looked after.
	sweepAt vrrp.Instant

	writing *sync.Mutex
	last    bool // the will is the last one of this life; guarded by writing
}

func newTestator(link *supervisor.Link) testator {
	return testator{link: link, box: make(chan *supervisor.Will, 1), at: vrrp.Never, sweepAt: vrrp.Never, writing: new(sync.Mutex)}
}

// write puts wills into the memory until ctx ends: a thousand roles take some milliseconds, which the loop does not have.
func (t *testator) write(ctx context.Context, log *slog.Logger) {
	for {
		select {
		case <-ctx.Done():
			return
		case w := <-t.box:
			t.writing.Lock()
			if !t.last {
				if err := t.link.Store().Put(w); err != nil {
					log.Error("last will not written", "err", err)
				}
			}
			t.writing.Unlock()
		}
	}
}

// conclude writes the last will of a life that hands over, at once; nothing replaces it before goOn.
func (t *testator) conclude(w *supervisor.Will) error {
	t.writing.Lock()
	defer t.writing.Unlock()
	t.last = true
	return t.link.Store().Put(w)
}

// goOn is for a life that goes on after conclude.
func (t *testator) goOn(now vrrp.Instant) {
	t.writing.Lock()
	t.last = false
	t.writing.Unlock()
	t.at = now
}

// put replaces the will that waits for the writer.
func (t *testator) put(w *supervisor.Will) {
	select {
	case <-t.box:
	default:
	}
	t.box <- w // there is room: nobody else puts
}

// soon asks for another will after a change.
func (t *testator) soon(now vrrp.Instant) {
	if t.link != nil {
		t.at = min(t.at, max(now, t.soonest))
	}
}

// alive says that the loop is alive.
func (t *testator) alive(now vrrp.Instant) {
	if t.link != nil {
		t.link.Store().Alive(time.Duration(now))
	}
}

// writeWill has the will written, if it is due. Before everything of the life before is taken over or given up, that one's holds.
func (l *loop) writeWill(now vrrp.Instant) {
	if l.heirs.at > now {
		return
	}
	l.heirs.soonest, l.heirs.at = now.Add(willGap), vrrp.Never
	if l.core.Inheriting() {
		l.heirs.soon(now)
		return
	}
	w, t := l.will()
	l.heirs.put(w)
	l.heirs.soonest = now.Add(max(willGap, min(20*monotonic().Sub(now), willWorst)))
	if t.Signed {
		l.heirs.at = now.Add(t.Interval / 2)
	}
}

// will returns the will of this moment, and what it was made from.
func (l *loop) will() (*supervisor.Will, failover.Testament) {
	cfg := l.core.Config()
	t := l.core.Testament()
	w := supervisor.Will{
		Build: l.agent.opts.Version, Boot: l.bootID, Config: cfg.Hash, Resume: !cfg.ResignOnCrash && !t.Guarded,
		Interval: t.Interval,
	}
	if len(t.Origins) > 0 {
		origins, err := json.Marshal(t.Origins)
		if err != nil {
			panic(fmt.Sprintf("encode what is known of origins: %v", err)) // no value of these types is refused
		}
		w.Origins = origins
	}
	for _, h := range t.Heirs {
		w.Heirs = append(w.Heirs, supervisor.Heir(h))
	}
	for i := range t.Adverts {
		a := &t.Adverts[i]
		w.Adverts = append(w.Adverts, supervisor.Advert{
			Interface: a.Link.Interface, Index: l.links.interfaces[a.Link.Interface].Index,
			Src: a.Src, Dst: a.Dst, TTL: a.TTL, MAC: a.MAC, Payload: a.Payload,
		})
	}
	return &w, t
}

// inherit takes over from the life before what can be taken over, and reports whether that is roles: then their addresses,
// routes and rules are no leftovers.
func (l *loop) inherit() (roles bool) {
	link := l.heirs.link
	if link == nil {
		return false
	}
	if link.Succession() == supervisor.Take {
		return true // takeUp has done so
	}
	l.recall()
	if link.Succession() == supervisor.Fresh {
		if len(link.Kept()) > 0 {
			_, err := l.readWill()
			l.speakers.goOn(link, err == nil)
		}
		return false
	}
	w, err := l.readWill()
	resume := link.Succession() == supervisor.Resume
	if err != nil {
		l.agent.log.Error("nothing is taken over from the life before", "err", err)
		if resume {
			if err := link.Decline(err.Error()); err != nil {
				l.agent.log.Error("the roles are not released", "err", err)
			}
		}
		l.speakers.goOn(link, false)
		return false
	}
	died := vrrp.Instant(link.Store().LastAlive())
	if resume {
		in, why, err := link.Claim()
		if err != nil {
			why = err.Error()
		}
		if resume = in && err == nil; !resume {
			l.agent.log.Warn("the roles of the life before are not resumed", "reason", why)
			died = l.now() // that is when they were released: its addresses serve until the successor does
		}
	}
	l.speakers.goOn(link, resume)
	heirs := make([]failover.Heir, len(w.Heirs))
	for i, h := range w.Heirs {
		heirs[i] = failover.Heir(h)
	}
	now := l.now()
	l.core.Inherit(now, heirs, resume, died, died.Add(3*w.Interval))
	l.agent.log.Info("taken over from the life before", "roles", len(heirs), "resume", resume, "silent", now.Sub(died).String())
	if resume {
		l.heirs.sweepAt = now.Add(sweepAfter)
	}
	return l.core.Inheriting()
}

// recall goes on with what the life before has known of the RPKI validity of own prefixes, whatever becomes of its roles, and
// whatever program and configuration it had: what they were is about the prefixes and not about those.
func (l *loop) recall() {
	w, _, err := l.heirs.link.Store().Will()
	if err != nil || w.Boot != l.bootID || len(w.Origins) == 0 {
		return // a will that cannot be read is told of where it would be followed
	}
	var origins []failover.LegacyOrigin
	if err = json.Unmarshal(w.Origins, &origins); err == nil {
		err = l.core.Recall(l.now(), origins, &l.fx)
	}
	if err != nil {
		l.agent.log.Error("what the life before has known of RPKI is not taken over", "err", err)
		return
	}
	l.agent.log.Info("RPKI validity of own prefixes taken over from the life before", "prefixes", len(origins))
}

// readWill reads the will of the life before, and refuses one that is not about this configuration.
func (l *loop) readWill() (*supervisor.Will, error) {
	w, _, err := l.heirs.link.Store().Will()
	switch {
	case err != nil:
		return nil, err
	case w.Build != l.agent.opts.Version:
		return nil, errors.New("the life before was another version of the program: " + w.Build)
	case w.Boot != l.bootID:
		return nil, errors.New("the life before was under another boot of the kernel")
	case w.Config != l.core.Config().Hash:
		return nil, errors.New("the configuration has changed since the life before loaded it")
	}
	return w, nil
}

// leaveNothing says that everything has been released, after the writer has ended.
func (t *testator) leaveNothing(log *slog.Logger) {
	if t.link == nil {
		return
	}
	if err := t.link.Store().Put(&supervisor.Will{}); err != nil {
		log.Error("last will not written", "err", err)
	}
}

// sweepObjects has routes and rules of the life before removed that nobody has asked for.
func (l *loop) sweepObjects(now vrrp.Instant) {
	if l.heirs.sweepAt <= now {
		l.heirs.sweepAt = vrrp.Never
		l.objects.Set(failover.DesiredObjects{})
	}
}
