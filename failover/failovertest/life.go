package failovertest

import (
	"time"

	"failoverd/failover"
	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// start starts an agent with the host's configuration file. If there was one before, it takes over what it may.
func (h *Host) start() {
	if h.agent != nil {
		return
	}
	w := h.world
	w.log(h, "agent starts")
	a := h.newAgent(time.Duration(w.rand.Int64N(1e15)))
	w.checker.touch(h)
	h.agent = a
	if e := h.succession; e != nil {
		a.follow(e)
	}
	a.beginObjects(a.objects.goesOn)
	a.fixtures()
	if !a.core.Inheriting() {
		a.worker.set(failover.DesiredAddresses{})
	}
	a.adoptSpeakers(a.core.Config())
	for _, f := range []wire.Family{wire.IPv4, wire.IPv6} {
		a.arrives(failover.LinkChanged{Link: failover.LinkID{Family: f}, Open: true})
	}
	for _, l := range h.Kernel.links {
		a.arrives(failover.InterfaceChanged{Interface: l.describe()})
	}
	a.beginChecks()
	a.beginHealth()
	a.beginCache()
}

// observeLinks tells the agent at once what interfaces and sockets there are.
func (a *agent) observeLinks(now vrrp.Instant) {
	for _, f := range []wire.Family{wire.IPv4, wire.IPv6} {
		a.step(now, failover.LinkChanged{Link: failover.LinkID{Family: f}, Open: true})
	}
	for _, l := range a.host.Kernel.links {
		a.step(now, failover.InterfaceChanged{Interface: l.describe()})
	}
}

// crash kills the agent, and whoever watches over it. The kernel keeps what it has; the speakers notice, and end.
func (h *Host) crash() {
	if e := h.succession; e != nil {
		h.succession = nil
		e.drop()
	}
	if a := h.agent; a != nil {
		h.world.log(h, "agent crashes")
		h.gone(a)
	}
}

func (h *Host) gone(a *agent) {
	h.leave(a)
	for _, s := range a.speakers {
		s.end()
	}
}

// leave ends the agent's process. Its speakers go on.
func (h *Host) leave(a *agent) {
	h.world.checker.touch(h)
	h.agent = nil
	for _, st := range a.states {
		if st.word == "MASTER" {
			h.world.checker.unheard[st.key] = true
		}
	}
}

// freeze stops the process; its sockets fill up.
func (h *Host) freeze() {
	a := h.agent
	if a == nil || a.frozen {
		return
	}
	w := h.world
	w.log(h, "agent freezes")
	w.checker.touch(h)
	a.frozen, a.wakeAt, a.since = true, vrrp.Never, w.now
	w.After(a.core.Config().BGPLease, func() {
		if h.agent == a && a.frozen && w.now.Sub(a.since) >= a.core.Config().BGPLease {
			for _, s := range a.speakers {
				if s.up && !s.ended {
					s.silent()
				}
			}
		}
	})
}

// resume lets the process go on.
func (h *Host) resume() {
	a := h.agent
	if a == nil || !a.frozen {
		return
	}
	h.world.log(h, "agent thaws, %d in its inbox", len(a.inbox))
	h.world.checker.touch(h)
	a.frozen, a.since, a.frozenFor = false, h.world.now, h.world.now.Sub(a.since)
	for _, f := range a.thaw {
		f()
	}
	a.thaw = nil
	a.arm()
}

// reload has the agent read the host's configuration file.
func (h *Host) reload() {
	if a := h.agent; a != nil {
		h.world.log(h, "reload")
		a.text = h.Config
		a.given = h.world.reading(h.Config, a.given)
		a.arrives(failover.Reconfigured{Config: a.given})
		a.beginCache() // who is asked anew answers anew
	}
}

// stop asks the agent for an orderly end.
func (h *Host) stop() {
	if a := h.agent; a != nil {
		h.world.log(h, "stop")
		a.arrives(failover.Stop{Reason: "terminated"})
	}
}
