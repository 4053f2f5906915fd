package failover

import (
	"fmt"
	"time"
)

// ServiceFailure is what RTO reckons for anycast services only: what stands behind the addresses dies.
const ServiceFailure = "service failure"

// elsewhereToo is what makes the end of an anycast route a recovery.
const elsewhereToo = "if another node announces the prefix: this is until the upstream leads nobody here any more"

// serviceBudgets reckons how long traffic is still led to an anycast service after each failure. Nobody takes over: others
// announce already.
func (p *prospect) serviceBudgets() []*budget {
	failure := newBudget(ServiceFailure)
	if late, why := p.slowestTrack(); late > 0 {
		failure.add("detection", late, why)
		failure.add("withdrawal", WithdrawTime, "the routes are withdrawn at once, and the upstream chooses another path").note(elsewhereToo)
	} else {
		failure.unbounded("no check with a known time is tracked: nothing withdraws the routes when the service dies")
	}
	power, uplink := newBudget(NodePower), newBudget(UplinkLoss)
	for _, b := range []*budget{power, uplink} {
		if p.deadRoute(b); p.announces {
			b.note(elsewhereToo)
		}
	}
	stop := newBudget(OrderlyStop).add("withdraw_grace", p.r.grace(), "the addresses stay that long after the withdrawal, and answer what is still led here")
	stop.note(fmt.Sprintf("nothing is lost if another node announces the prefix: the routes are the last resort for drain_time %s (at a stop, %s s at most) before they go",
		sec(p.r.Anycast.DrainTime), sec(HandoverStopBound)))
	return []*budget{failure, p.leftBehind(newBudget(NodeCrash)).note(elsewhereToo), power, uplink, stop}
}

// slowestTrack returns the longest time until what is tracked says that the service is down, and which one takes it.
func (p *prospect) slowestTrack() (late time.Duration, why string) {
	take := func(d time.Duration, format string, args ...any) {
		if d > late {
			late, why = d, fmt.Sprintf(format, args...)
		}
	}
	var names []string
	for _, t := range p.r.Tracks {
		if t.Kind == TrackCheck {
			names = append(names, t.Name)
		}
		for i := range p.cfg.Scripts {
			if s := &p.cfg.Scripts[i]; t.Kind == TrackScript && s.Name == t.Name {
				take(time.Duration(max(s.Fall, 1))*s.Interval+s.Timeout, "track_script %s: interval %s, timeout %s, fall %d", s.Name, sec(s.Interval), sec(s.Timeout), s.Fall)
			}
		}
	}
	for _, c := range p.cfg.ChecksOf(names) {
		take(c.VerdictTime(), "health_check %s: interval %s, timeout %s, fall %d", c.Name, sec(c.Interval), sec(c.Timeout), c.Fall)
	}
	return late, why
}
