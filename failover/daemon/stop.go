package daemon

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"failoverd/failover"
	"failoverd/vrrp"
)

// partAfter is how long an orderly stop leaves the speakers for withdrawing before it ends them: one that hangs is not
// worth more, because its end takes up to two seconds of stopBound.
const partAfter = 500 * time.Millisecond

// deviceEnd is how much longer the end may take on account of each macvlan interface (use_vmac). The kernel takes 20 ms to
// remove one, and meanwhile nobody else leaves a multicast group. Nobody waits for that: the addresses are gone by then.
const deviceEnd = 50 * time.Millisecond

// stop begins the orderly stop.
func (l *loop) stop(ctx context.Context) {
	l.agent.notify.stopping()
	reason := "the agent stops"
	e := failover.Event{Kind: failover.EventStop, To: stopBegun}
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) {
		e.Reason = err.Error()
		reason += ": " + e.Reason
	}
	l.stopAt = time.Now()
	l.tell(e)
	now := l.now()
	l.stopping, l.readyAt = true, vrrp.Never
	l.core.Step(now, failover.Stop{Reason: reason}, &l.fx)
	l.limit = time.Now().Add(l.core.StopLimit().Sub(now) - failover.StopBound + stopBound)
	l.part(now)
}

// part ends what a stop does not need any more, once no router waits for its successor. A check that ignores SIGTERM takes
// most of stopBound to end, and a speaker that hangs the rest of it.
func (l *loop) part(now vrrp.Instant) {
	if l.parting || l.core.Draining() {
		return
	}
	l.parting, l.partAt = true, now.Add(partAfter)
	l.health.Configure(nil)
}

// close ends everything that the loop owns, within what is left of stopBound, and deviceEnd for each macvlan interface. The error says who hangs; what they hold
// is left to the end of the process.
func (l *loop) close() error {
	if l.limit.IsZero() {
		l.limit = time.Now().Add(stopBound)
	}
	devices := time.Duration(len(l.core.Config().Devices()))
	ctx, cancel := context.WithDeadline(context.Background(), l.limit.Add(devices*deviceEnd))
	defer cancel()
	l.speakers.endAll()
	l.caches.endAll()
	l.crew.spawn("links", l.links.close) // to leave a multicast group takes a lock of the kernel's
	late := l.crew.wait(ctx)
	if len(late) == 0 { // what the speakers have said at their end
		l.crew.spawn("gobgpd paths", l.left.write)
		late = l.crew.wait(ctx)
	}
	if l.stopped {
		l.heirs.leaveNothing(l.agent.log)
	}
	if l.told != nil {
		select {
		case <-l.told:
		case <-time.After(tellBound):
			late = append(late, "notify scripts")
		}
	}
	l.alarm.close()
	if len(late) > 0 {
		return fmt.Errorf("stop: not ended in time: %s", strings.Join(late, ", "))
	}
	if err := errors.Join(l.kernel.Close(), l.objects.Close(), l.devices.Close()); err != nil {
		l.agent.log.Warn("close netlink", "err", err)
	}
	return nil
}
