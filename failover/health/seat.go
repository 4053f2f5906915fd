package health

import (
	"context"
	"time"

	"failoverd/failover"
)

// seat is what everything that is checked time after time has in a Monitor: a name, a goroutine and a way to report.
type seat struct {
	name        string
	out         *outlet
	first       time.Time       // of the first run
	predecessor <-chan struct{} // nil, or closed when what had this name before has ended
	cancel      context.CancelFunc
	done        chan struct{} // closed when the loop has ended
	changed     chan struct{} // 1: other parameters are wanted
}

func newSeat(box *outbox, t failover.Tracker) seat {
	return seat{name: t.Name, out: box.outlet(t.Kind, t.Name), done: make(chan struct{}), changed: make(chan struct{}, 1)}
}

func (s *seat) place() *seat { return s }

// nudge tells the loop that other parameters are wanted.
func (s *seat) nudge() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// end kills what runs and ends the loop, and does not wait for it. Nothing is reported any more.
func (s *seat) end() {
	s.out.close()
	s.cancel()
}

// await gives what had this name before the time to be killed: both could be after the same lock or port. One that
// cannot be killed must not keep the new one from being checked, though.
func (s *seat) await(ctx context.Context) bool {
	if s.predecessor == nil {
		return true
	}
	t := time.NewTimer(killGrace + time.Second)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-s.predecessor:
	case <-t.C:
	}
	return true
}

// repeated is something that is checked time after time by parameters P.
type repeated[P any] interface {
	place() *seat
	loop(ctx context.Context)
	// change makes p what counts from now on and returns true, unless p checks something else: then it changes nothing.
	change(p P) bool
}

// together is how far apart, at least, those health checks begin that do not begin at once. A process that is woken up for
// each of a thousand spends more on waking up than on looking.
const together = 20 * time.Millisecond

// settle makes the checks of one kind those that are wanted, by difference. The new ones begin spread. word names the kind. The new ones begin at multiples of grain from now; 0: at any time.
func settle[P any, C repeated[P]](c *crew, have map[string]C, wanted []P, word string, grain time.Duration,
	of func(P) (name string, interval time.Duration), build func(P) C,
) {
	keep := make(map[string]bool, len(wanted))
	var fresh []C
	var intervals []time.Duration
	for _, p := range wanted {
		name, interval := of(p)
		if keep[name] {
			continue // names are unique in a configuration that conf has made
		}
		keep[name] = true
		old, there := have[name]
		if there && old.change(p) {
			continue
		}
		n := build(p)
		if there {
			old.place().end()
			n.place().predecessor = old.place().done
		}
		have[name] = n
		fresh, intervals = append(fresh, n), append(intervals, interval)
	}
	for name, old := range have {
		if !keep[name] {
			old.place().end()
			delete(have, name)
		}
	}
	now := time.Now()
	for i, n := range fresh {
		s := n.place()
		s.first = now.Add(splay(i, len(fresh), intervals[i]).Truncate(max(grain, 1)))
		s.cancel = c.start(word+" "+s.name, n.loop)
	}
}
