package regiontest

import (
	"net/netip"
	"time"

	"failoverd/bgp"
	"failoverd/failover"
	"failoverd/failover/failovertest"
	"failoverd/failover/record"
	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// agent is a running failoverd: a core and what the daemon puts around it.
type agent struct {
	node *node
	life int
	core *record.Core
	fx   failover.Effects

	inbox   []any        // packet or failover.Input, in order of arrival
	results vrrp.Instant // when the last result arrives: results do not overtake each other
	wakeAt  vrrp.Instant // on the machine's clock; Never: not planned

	yielded    bool // another program is to take its place, and it does nothing
	frozen     bool
	frozenAt   vrrp.Instant
	thaw       []func() // what its threads do when it thaws
	hangAfter  int      // it hangs after that many more effects; 0: it does not
	hangWrites bool     // it hangs before the next write of its kernel worker

	worker  worker
	desired bgp.Desired
	spins   int // batches in a row after which more was due
	channel channel
	view    view // what an observer knows

	willPlanned bool // the supervisor is about to learn what is to be sent if it dies
}

type packet struct {
	link failover.LinkID
	p    *wire.Packet
}

// inboxLimit is how many packets the sockets of a process keep that does not read.
const inboxLimit = 512

// start starts an agent with the machine's configuration file.
func (n *node) start() {
	if n.agent != nil || n.off {
		return
	}
	n.lives++
	a := &agent{node: n, life: n.lives, wakeAt: vrrp.Never}
	n.agent, n.started = a, n.local()
	n.silence.restart(n.world.Now())
	n.world.note(n, "agent starts")
	var err error
	if a.core, err = failovertest.NewCore(n.world.trace, n.config, n.local()); err != nil {
		panic(err)
	}
	a.view = newView(a)
	a.channel = newChannel(a)
	a.worker = worker{agent: a, first: true}
	a.worker.kick()
	if n.site != nowhere {
		n.speaker.begin(a)
		a.arrives(failover.LinkChanged{Link: unicast, Open: true})
		a.arrives(failover.LinkChanged{Link: multicast, Open: true})
	}
	for _, name := range []string{"lo", "eth0"} {
		a.arrives(failover.InterfaceChanged{Interface: n.kernel.describe(name)})
	}
	n.probe.restart()
	a.arm()
}

var (
	unicast   = failover.LinkID{Family: wire.IPv4}
	multicast = failover.LinkID{Interface: "eth0", Family: wire.IPv4}
)

// current reports whether the agent still runs.
func (a *agent) current() bool { return a.node.agent == a }

// alive has something done by a thread of the process: now, or when it thaws.
func (a *agent) alive(do func()) {
	switch {
	case !a.current():
	case a.frozen:
		a.thaw = append(a.thaw, do)
	default:
		do()
	}
}

// arrives hands the loop an input.
func (a *agent) arrives(in any) {
	if !a.current() {
		return
	}
	if _, result := in.(failover.Input); !result && len(a.inbox) >= inboxLimit {
		return
	}
	a.inbox = append(a.inbox, in)
	a.arm()
}

// result hands the loop the result of a worker, in the order in which results are handed over.
func (a *agent) result(in failover.Input) {
	n := a.node
	// A microsecond apart: on the way to the world's clock and back a nanosecond may be lost.
	a.results = max(a.results.Add(time.Microsecond), n.local().Add(n.world.upTo(resultDelay)))
	n.at(a.results, func() { a.arrives(in) })
}

// arm plans the next batch.
func (a *agent) arm() {
	if a.frozen || a.yielded || !a.current() {
		return
	}
	n := a.node
	at := a.core.Deadline()
	if at != vrrp.Never {
		at = max(at, n.local())
	}
	if len(a.inbox) > 0 {
		at = n.local()
	}
	if a.wakeAt <= at {
		return
	}
	at = at.Add(n.world.upTo(loopDelay) + n.world.upTo(n.late))
	if a.wakeAt <= at {
		return
	}
	a.wakeAt = at
	n.at(at, func() {
		if a.wakeAt == at && a.current() && !a.frozen && !a.yielded {
			a.wakeAt = vrrp.Never
			a.batch()
			a.arm()
		}
	})
}

// batch is the daemon's loop once around.
func (a *agent) batch() {
	inputs := a.inbox
	a.inbox = nil
	now := a.node.local()
	for _, in := range inputs {
		switch in := in.(type) {
		case packet:
			a.core.Receive(now, in.link, in.p, &a.fx)
		case failover.Input:
			a.view.input(in)
			a.core.Step(now, in, &a.fx)
		}
	}
	if a.core.Deadline() <= now {
		a.core.Expire(now, &a.fx)
	}
	a.core.Flush(now, &a.fx)
	a.perform()
}

// perform carries out the effects of a batch as the daemon does, and lets the rules look at them first. The process may
// hang after any of them.
func (a *agent) perform() {
	w := a.node.world
	w.mutation.effects(a)
	if w.trace != nil {
		a.trace()
	}
	w.rules.batch(a, &a.fx)
	if len(a.fx.Events) > 0 {
		a.writeWill()
	}
	if a.hangAfter == 0 {
		a.carryOut(&a.fx, func(do func()) { do() })
		a.fx.Reset()
		a.done()
		return
	}
	fx := a.fx
	a.fx = failover.Effects{}
	var todo []func()
	a.carryOut(&fx, func(do func()) { todo = append(todo, do) })
	a.goThrough(todo)
}

// goThrough does one thing after the other, until it hangs; what is left is done when the process goes on.
func (a *agent) goThrough(todo []func()) {
	defer a.node.speaker.touched()
	for i, do := range todo {
		do()
		if !a.current() {
			return
		}
		if a.hangAfter > 0 && i < len(todo)-1 {
			if a.hangAfter--; a.hangAfter == 0 {
				a.freeze() // what is left comes late, and before the next look at the clock
				a.thaw = append(a.thaw, func() { a.goThrough(todo[i+1:]) })
				return
			}
		}
	}
}

// carryOut hands the effects to step one by one, in the daemon's order.
func (a *agent) carryOut(fx *failover.Effects, step func(func())) {
	w, n := a.node.world, a.node
	for i := range fx.Adverts {
		v := &fx.Adverts[i]
		step(func() { w.send(n, v) })
	}
	for i := range fx.Heartbeats {
		h := &fx.Heartbeats[i]
		step(func() { a.channel.ask(h) })
	}
	for i := range fx.Answers {
		x := &fx.Answers[i]
		step(func() { a.channel.answer(x) })
	}
	for i := range fx.Routes {
		r := &fx.Routes[i]
		step(func() {
			a.desired = r.Desired
			n.speaker.set(r.Desired)
		})
	}
	if d := fx.Addresses; d != nil {
		step(func() { a.worker.set(*d) })
	}
	if fx.Stopped {
		step(a.exit)
	}
}

// done is what the loop does at the end of each round.
func (a *agent) done() {
	if a.current() {
		a.node.speaker.touched()
		a.node.world.rules.settled(a)
	}
}

// exit is the end of an orderly stop.
func (a *agent) exit() {
	a.node.world.note(a.node, "agent has stopped")
	n := a.node
	n.agent, n.stopping = nil, false
	n.speaker.end()
	if n.again {
		n.again = false
		n.after(n.world.upTo(interval), n.start)
	}
}

// freeze stops the process; its sockets fill up.
func (a *agent) freeze() {
	if a.frozen || !a.current() {
		return
	}
	n := a.node
	n.world.note(n, "agent hangs")
	a.frozen, a.wakeAt, a.hangAfter, a.hangWrites = true, vrrp.Never, 0, false
	a.frozenAt = n.local()
	n.speaker.unattended(a)
}

// unfreeze lets it go on where it was.
func (a *agent) unfreeze() {
	a.hangAfter, a.hangWrites = 0, false
	if !a.frozen || !a.current() {
		return
	}
	a.node.world.note(a.node, "agent goes on")
	a.frozen = false

	thaw := a.thaw
	a.thaw = nil
	for _, f := range thaw {
		a.alive(f)
	}
	a.arm()
}

// hangBeforeWrite hangs the process, if a fault has asked for that, between a look and a write of its kernel worker.
func (a *agent) hangBeforeWrite(then func()) bool {
	if !a.hangWrites {
		return false
	}
	a.freeze()
	a.thaw = append(a.thaw, then)
	return true
}

func (a *agent) trace() {
	for _, line := range failovertest.Describe(&a.fx) {
		a.node.world.log(a.node, "%s", line)
	}
}

// send puts an advertisement on the wire.
func (w *World) send(from *node, v *failover.Advert) {
	for _, to := range w.nodes {
		link := unicast
		switch {
		case v.Dst.IsMulticast() && !from.far(to):
			link = multicast
		case v.Dst != to.address:
			continue
		}
		h := wire.Header{Src: v.Src, Dst: v.Dst, TTL: wire.TTL, Group: group(v.Dst)}
		w.carryOctets(from, to, v.Payload, func(payload []byte) {
			var p wire.Packet
			if to.agent != nil && wire.Parse(payload, h, &p) == wire.Accepted {
				to.agent.view.heard(&p)
				to.agent.arrives(packet{link, &p})
			}
		})
	}
}

// group returns the multicast group that a packet to dst is for; zero: none.
func group(dst netip.Addr) netip.Addr {
	if dst.IsMulticast() {
		return dst
	}
	return netip.Addr{}
}
