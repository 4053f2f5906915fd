package failovertest

import (
	"failoverd/failover"
	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

type packet struct {
	link failover.LinkID
	p    *wire.Packet
}

// inboxLimit is how many packets the sockets of a process keep that does not read.
const inboxLimit = 512

// arrives hands the loop an input.
func (a *agent) arrives(in failover.Input) {
	a.inbox = append(a.inbox, in)
	a.arm()
}

// arrivesPacket hands the loop a packet, if there is room for it.
func (a *agent) arrivesPacket(p packet) (ok bool) {
	if len(a.inbox) >= inboxLimit {
		return false
	}
	a.world.checker.arrived(a, p.p)
	a.inbox = append(a.inbox, p)
	a.arm()
	return true
}

// result hands the loop the result of a worker, in the order in which they are handed over.
func (a *agent) result(in failover.Input) {
	w := a.world
	a.results = max(a.results, w.now.Add(w.upTo(resultDelay)))
	a.pending++
	w.After(a.results.Sub(w.now), func() {
		a.pending--
		if a.host.agent == a {
			a.arrives(in)
		}
	})
}

// arm plans the next batch.
func (a *agent) arm() {
	if a.frozen || a.host.agent != a {
		return
	}
	w, at := a.world, vrrp.Never
	if d := a.core.Deadline(); d != vrrp.Never {
		at = max(w.now, d.Add(-a.offset))
	}
	if len(a.inbox) > 0 {
		at = w.now
	}
	if a.wakeAt <= at {
		return
	}
	at = at.Add(w.upTo(loopDelay) + w.upTo(a.host.mood.lateness))
	if a.wakeAt <= at {
		return
	}
	a.wakeAt = at
	w.After(at.Sub(w.now), a.wake)
}

// woken is what happens at wakeAt, unless it has been moved since.
func (a *agent) woken() {
	if a.wakeAt == a.world.now && a.host.agent == a && !a.frozen {
		a.wakeAt = vrrp.Never
		a.batch()
		a.arm()
	}
}

// batch is the daemon's loop once around.
func (a *agent) batch() {
	inputs := a.inbox
	a.inbox, a.read = a.read[:0], nil
	now := a.local()
	a.alive = a.world.now
	if a.world.mutation == TimersFirst && a.core.Deadline() <= now {
		a.core.Expire(now, &a.fx)
	}
	for _, in := range inputs {
		switch in := in.(type) {
		case packet:
			if a.world.mutation != DeafWhenActive || a.word(in.p) != "MASTER" {
				a.core.Receive(now, in.link, in.p, &a.fx)
			}
			if a.world.mutation == HastyPromotion {
				a.promote(now, in)
			}
			a.world.done(in.p)
		case failover.Input:
			a.step(now, in)
		}
	}
	if a.core.Deadline() <= now {
		a.core.Expire(now, &a.fx)
	}
	a.core.Flush(now, &a.fx)
	a.perform()
	clear(inputs)
	a.read = inputs
}

// promote takes an advertisement of a lower priority for the end of the one who has sent it.
func (a *agent) promote(now vrrp.Instant, in packet) {
	p := *in.p
	r := router(a.core.Config(), vrrp.Key{Interface: "eth0", Family: p.Family(), VRID: p.VRID})
	if r == nil || p.Priority == wire.PriorityRelease || p.Priority >= r.VRRP.Priority {
		return
	}
	p.Priority = wire.PriorityRelease
	a.core.Receive(now, in.link, &p, &a.fx)
}

// step feeds one input to the core; the daemon opens and closes sockets before.
func (a *agent) step(now vrrp.Instant, in failover.Input) {
	if len(a.world.with) > 0 && a.learns(in) {
		return
	}
	switch in := in.(type) {
	case failover.InterfaceChanged:
		i := in.Interface
		for _, f := range []wire.Family{wire.IPv4, wire.IPv6} {
			id := failover.LinkID{Interface: i.Name, Family: f}
			if a.open[id] && a.indexes[i.Name] != i.Index {
				a.open[id] = false
				a.core.Step(now, failover.LinkChanged{Link: id, Err: "interface is gone"}, &a.fx)
			}
			if !a.open[id] && i.Index != 0 {
				a.open[id] = true
				a.core.Step(now, failover.LinkChanged{Link: id, Open: true}, &a.fx)
			}
		}
		a.indexes[i.Name] = i.Index
	case failover.LinkChanged:
		a.open[in.Link] = in.Open
	case failover.SpeakerReported:
		if in.Report.Speaker == governedSpeaker {
			a.established = in.Report.Established()
		}
		if a.world.mutation == EarlyAcknowledgement {
			in.Report.Generation = 1 << 40
			a.core.Step(now, in, &a.fx)
			return
		}
	case failover.Stop:
		a.world.checker.touch(a.host)
		a.stopAt = min(a.stopAt, a.world.now)
	case failover.Reconfigured:
		if a.stopAt != vrrp.Never {
			return
		}
		a.world.checker.touch(a.host)
		a.adoptSpeakers(in.Config)
		a.configs, a.adopted = append(a.configs, in.Config), append(a.adopted, a.world.now)
		for _, st := range a.states {
			st.heard = -1 // another configuration may see it differently
		}
		in.Config = a.world.mutation.configure(in.Config)
		if a.world.mutation == ForgetfulReload {
			a.forget(now, in.Config)
			return
		}
		a.core.Step(now, in, &a.fx)
		a.fixtures()
		return
	}
	a.core.Step(now, in, &a.fx)
}

// forget is a reload that starts over.
func (a *agent) forget(now vrrp.Instant, cfg *failover.Config) {
	var err error
	if a.core, err = NewCore(a.world.trace, cfg, now); err != nil {
		panic(err)
	}
	a.states = nil
	for id, open := range a.open {
		if open {
			a.core.Step(now, failover.LinkChanged{Link: id, Open: true}, &a.fx)
		}
	}
	for _, l := range a.host.Kernel.links {
		a.core.Step(now, failover.InterfaceChanged{Interface: l.describe()}, &a.fx)
	}
}
