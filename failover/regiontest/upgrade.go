package regiontest

import (
	"encoding/json"
	"time"

	"failoverd/failover"
	"failoverd/failover/failovertest"
	"failoverd/failover/heartbeat"
	"failoverd/vrrp"
)

// upgradeWays is how many ways there are for an upgrade to go, by its N.
const upgradeWays = 12

// The ways. Those before failedSwitch are switches as they should be.
const (
	failedSwitch = 8  // the other program does not take over after all
	slowSwitch   = 10 // it takes over after a time that is a pause
)

// noticed reports whether the world may notice anything of the fault: an upgrade as it should be is none.
func (f Fault) noticed() bool { return f.Kind != "upgrade" || f.N >= failedSwitch }

// Times of an upgrade.
const (
	stageFirst = 60 * time.Millisecond // the other program has started
	stageAgain = 100 * time.Millisecond
	stageLimit = 15 * time.Second
	switchTime = 20 * time.Millisecond // up to so much, from the last act of the one to the first of the other
	switchMost = 2 * time.Second       // the supervisor waits no longer
)

// upgrade has another program take the place of the one that works on a node, as soon as it can.
func (w *World) upgrade(n *node, f Fault) {
	a := n.agent
	if a == nil || n.off || a.yielded || n.upgrading {
		return
	}
	n.upgrading = true
	u := &upgrade{node: n, old: a, way: f.N, until: n.local().Add(stageLimit)}
	w.note(n, "another program starts")
	n.after(stageFirst+w.upTo(2*stageFirst), u.stage)
}

// upgrade is one that goes on.
type upgrade struct {
	node  *node
	old   *agent
	next  *agent
	probe probe
	way   int
	until vrrp.Instant
	ended bool
	text  []byte // what is handed over
}

// stage makes the other program learn what there is, and hands over when it knows enough and the moment is good.
func (u *upgrade) stage() {
	n, w := u.node, u.node.world
	if u.ends() {
		return
	}
	if u.next == nil {
		u.begin()
	}
	bar, why := u.old.core.HandoverBar(), u.next.core.Unready(n.local())
	idle := len(u.old.inbox) == 0 && !u.old.frozen && u.old.core.Config().Hash == n.config.Hash && u.old.core.Deadline().Sub(n.local()) > switchTime
	switch {
	case bar == "" && why == "" && idle:
		u.yield()
	case n.local() > u.until:
		w.log(n, "no upgrade: %q, %q", bar, why)
		u.over()
	default:
		n.after(stageAgain/2+w.upTo(stageAgain), u.stage)
	}
}

// ends reports whether the agent that is to hand over is gone, or about to be.
func (u *upgrade) ends() bool {
	if u.node.agent != u.old || u.node.stopping {
		u.over()
		return true
	}
	return false
}

func (u *upgrade) over() {
	u.node.upgrading, u.ended = false, true
}

// begin starts the other program.
func (u *upgrade) begin() {
	n := u.node
	b := &agent{node: n, life: n.lives + 1, wakeAt: vrrp.Never}
	u.next = b
	var err error
	if b.core, err = failovertest.NewCore(n.world.trace, n.config, n.local()); err != nil {
		panic(err)
	}
	b.core.Await()
	if n.site != nowhere {
		b.core.Step(n.local(), failover.LinkChanged{Link: unicast, Open: true}, &b.fx)
		b.core.Step(n.local(), failover.LinkChanged{Link: multicast, Open: true}, &b.fx)
	}
	u.look()
	if n.site != mainland {
		u.probe = probe{node: n, staged: u, running: true}
		u.probe.silence.restart(n.world.Now())
		u.probe.next()
	}
}

// look shows the other program the interfaces.
func (u *upgrade) look() {
	for _, name := range []string{"lo", "eth0"} {
		u.next.core.Step(u.node.local(), failover.InterfaceChanged{Interface: u.node.kernel.describe(name)}, &u.next.fx)
	}
}

// handed is what one program leaves to the other.
type handed struct {
	failover.Legacy
	Clients map[string]heartbeat.ClientMemory
	Server  *heartbeat.ServerMemory
}

// yield is the last act of the program that works.
func (u *upgrade) yield() {
	n, a := u.node, u.old
	a.yielded, a.wakeAt = true, vrrp.Never
	h := handed{Legacy: *a.core.Legacy(n.local()), Clients: make(map[string]heartbeat.ClientMemory)}
	for id, c := range a.channel.clients {
		h.Clients[id] = c.Memory()
	}
	if s := a.channel.server; s != nil {
		m := s.Memory()
		h.Server = &m
	}
	var err error
	if u.text, err = json.Marshal(&h); err != nil {
		panic(err)
	}
	n.world.note(n, "hands over")
	d := n.world.upTo(switchTime)
	switch {
	case u.way >= slowSwitch:
		d = n.world.upTo(2 * switchMost)
		n.idle = n.local()
	case u.way >= failedSwitch:
		d = n.world.upTo(switchMost)
	}
	n.after(d, u.takeOver)
}

// takeOver is the first act of the other program. One that does not take over after all ends, and the one before goes on.
func (u *upgrade) takeOver() {
	n, a, w := u.node, u.old, u.node.world
	switch {
	case n.agent != a:
		u.over()
		return
	case a.frozen: // everything hangs
		u.way = slowSwitch
		n.after(stageAgain, u.takeOver)
		return
	case u.way >= failedSwitch && u.way < slowSwitch:
		w.note(n, "the other program gives up")
		a.yielded = false
		u.over()
		n.idle = n.local()
		a.arm()
		return
	}
	var h handed
	if err := json.Unmarshal(u.text, &h); err != nil {
		panic(err)
	}
	w.mutation.handed(&h.Legacy)
	u.look()
	b := u.next
	n.lives++
	b.life = n.lives
	b.fx.Reset()
	w.note(n, "another program takes over")
	if u.way >= slowSwitch {
		n.idle = n.local()
	}
	u.inherit(&h)
	if err := b.core.TakeUp(n.local(), &h.Legacy, &b.fx); err != nil {
		w.rules.fail("UPGRADE", "%s: %v", n.name, err)
		return
	}
	u.over()
	w.rules.upgrades++
	b.batch()
	b.arm()
}

// inherit makes the next agent that of the node, with what stays: the observer, the speaker's process, and what has come
// meanwhile that is not lost with a socket.
func (u *upgrade) inherit(h *handed) {
	n, a, b := u.node, u.old, u.next
	n.agent = b
	b.view = a.view
	b.view.agent, b.view.upgraded = b, a.view.word
	b.view.word, b.view.draining = "INIT", false
	b.results = n.local()
	b.channel = newChannel(b)
	b.channel.succeed(a, h)
	b.worker = worker{agent: b, first: true}
	b.worker.kick()
	for _, in := range a.inbox {
		switch in.(type) {
		case failover.Stop, failover.Reconfigured, failover.DrainCommand, failover.UndrainCommand, failover.SwitchoverCommand:
			b.inbox = append(b.inbox, in)
		}
	}
	for name, d := range a.core.Drains() {
		b.core.Step(n.local(), failover.DrainCommand{Router: name, Drain: d}, &b.fx)
	}
	n.speaker.goOn(b)
	if n.site != mainland {
		p := &n.probe
		p.known, p.ok, p.streak, p.began = u.probe.known, u.probe.ok, u.probe.streak, u.probe.began
	}
	n.after(2*resultDelay, func() { // what the watch of the one before would have told
		for _, name := range []string{"lo", "eth0"} {
			b.arrives(failover.InterfaceChanged{Interface: n.kernel.describe(name)})
		}
	})
}

// succeed takes over the channel of the agent before.
func (c *channel) succeed(a *agent, h *handed) {
	c.since = a.channel.since
	for id, m := range h.Clients {
		if err := c.client(id).Succeed(m); err != nil {
			panic(err)
		}
	}
	if h.Server != nil {
		if err := c.server.Succeed(c.clock(), *h.Server); err != nil {
			panic(err)
		}
	}
}

// wentOn: who takes over goes on as what the one before was (U1).
func (r *rules) wentOn(a *agent, was string) {
	v := &a.view
	if was != "INIT" || v.upgraded != v.word {
		r.fail("U1", "%s was %s, and goes on as %s when another program takes over", a.node.name, v.upgraded, v.word)
	}
}
