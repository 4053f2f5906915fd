package daemon

import (
	"time"

	"failoverd/vrrp"
)

// sendAdverts sends what is to leave before anything else of the batch, once.
func (l *loop) sendAdverts() {
	for i := range l.fx.Adverts {
		l.links.send(&l.fx.Adverts[i])
	}
	l.fx.Adverts = l.fx.Adverts[:0]
}

// sendHeartbeats asks and answers. It is the loop that does it, inline: one that hangs must neither be taken for alive nor
// acknowledge anybody.
func (l *loop) sendHeartbeats() {
	for i := range l.fx.Heartbeats {
		l.witness.Send(l.fx.Heartbeats[i])
	}
	for i := range l.fx.Answers {
		l.witness.Answer(l.fx.Answers[i])
	}
}

// perform carries out the effects of a batch: advertisements first, then what tells other sites and the LAN, then desired
// states, routes before addresses.
func (l *loop) perform(now vrrp.Instant) {
	fx := &l.fx
	l.sendAdverts()
	l.sendHeartbeats()
	for _, n := range fx.Announcements {
		l.links.announce(n)
	}
	for i := range fx.Routes {
		l.speakers.set(fx.Routes[i].Speaker, fx.Routes[i].Desired)
	}
	if fx.Objects != nil {
		l.heirs.sweepAt, l.askedObjects = vrrp.Never, true
		l.objects.Set(*fx.Objects)
	}
	if fx.Addresses != nil {
		l.askedAddresses = true
		l.kernel.SetAt(*fx.Addresses, time.Now().Add(now.Sub(monotonic())))
	}
	if len(fx.Notifications) > 0 {
		l.notifier.Tell(fx.Notifications)
	}
	l.keepDrains() // before anybody hears that it is done
	l.judge()
	l.takes.keep(l.core.Core, now, time.Now())
	for i := range fx.Events {
		logEvent(l.agent.log, &fx.Events[i])
	}
	if len(fx.Events) > 0 {
		l.agent.journal.put(fx.Events)
	}
	if len(fx.Events) > 0 || fx.Addresses != nil || fx.Objects != nil || len(fx.Routes) > 0 {
		l.publishSoon(now)
		l.heirs.soon(now)
	}
}
