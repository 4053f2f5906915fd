package regiontest

import (
	"slices"
	"time"

	"failoverd/failover"
	"failoverd/vrrp"
)

// outside calls do with the paths from a node to the rest of the world, and back.
func (w *World) outside(n *node, do func(there, back *path)) {
	for _, o := range w.nodes {
		if n != o && n.far(o) {
			do(&w.paths[n.index][o.index], &w.paths[o.index][n.index])
		}
	}
}

func (w *World) changeUplink(n *node, by int) {
	n.uplink += by
	w.outside(n, func(there, back *path) { there.cut += by; back.cut += by })
	n.speaker.hush()
}

func (w *World) loseUplink(n *node, _ Fault)   { w.changeUplink(n, 1) }
func (w *World) regainUplink(n *node, _ Fault) { w.changeUplink(n, -1) }

// changeWay is an uplink that works in one direction: an even N loses what leaves.
func (w *World) changeWay(n *node, f Fault, by int) {
	if f.N%2 == 0 {
		n.out += by
		w.outside(n, func(there, _ *path) { there.cut += by })
	} else {
		n.in += by
		w.outside(n, func(_, back *path) { back.cut += by })
	}
	n.speaker.hush()
}

func (w *World) loseWay(n *node, f Fault)   { w.changeWay(n, f, 1) }
func (w *World) regainWay(n *node, f Fault) { w.changeWay(n, f, -1) }

func (n *node) setLink(up bool) {
	if !n.off {
		n.kernel.set(up)
		n.speaker.hush()
	}
}

func (w *World) cutPower(n *node, _ Fault)    { n.cutPower() }
func (w *World) boot(n *node, _ Fault)        { n.boot() }
func (w *World) crash(n *node, _ Fault)       { n.crash() }
func (w *World) start(n *node, _ Fault)       { n.start() }
func (w *World) pause(n *node, _ Fault)       { n.pause() }
func (w *World) resume(n *node, _ Fault)      { n.resume() }
func (w *World) killSpeaker(n *node, _ Fault) { n.speaker.die() }
func (w *World) linkDown(n *node, _ Fault)    { n.setLink(false) }
func (w *World) linkUp(n *node, _ Fault)      { n.setLink(true) }
func (w *World) blind(n *node, _ Fault)       { n.probe.broken++ }
func (w *World) unblind(n *node, _ Fault)     { n.probe.broken-- }

// stepWall moves the wall clock by up to two days.
func (w *World) stepWall(n *node, f Fault) { n.wall += time.Duration(f.N-50) * time.Hour }

// slow makes the agent's loop and the kernel worker late.
func (w *World) slow(n *node, _ Fault) { n.late = 300 * time.Millisecond }

func (w *World) quick(n *node, _ Fault) { n.late, n.idle = 0, n.local() }

// startAgain starts an agent that was stopped; one that takes its time to stop is started when it has.
func (w *World) startAgain(n *node, _ Fault) {
	if n.agent != nil && n.stopping {
		n.again = true
		return
	}
	n.start()
}

// hang stops the agent's process: at once, or after the N-th effect of the next batches.
func (w *World) hang(n *node, f Fault) {
	switch a := n.agent; {
	case a == nil || n.paused || a.frozen:
	case f.N == 0:
		a.freeze()
	default:
		a.hangAfter = f.N
	}
}

// hangWrite stops it between the look and the write of the kernel worker.
func (w *World) hangWrite(n *node, _ Fault) {
	if a := n.agent; a != nil && !a.frozen {
		a.hangWrites = true
	}
}

// stall stops everything that is a process; the kernel answers.
func (w *World) stall(n *node, f Fault) {
	w.hang(n, Fault{})
	n.speaker.hang(true)
}

func (w *World) goOn(n *node, _ Fault) {
	if n.off {
		return
	}
	n.speaker.hang(false)
	if n.agent != nil {
		if n.agent.frozen {
			n.idle = n.local() // until now, whether or not anybody has looked meanwhile
		}
		n.agent.unfreeze()
	}
}

// loseSession cuts the way to the upstream router alone.
func (w *World) loseSession(n *node, _ Fault) {
	n.router++
	n.speaker.hush()
}

func (w *World) regainSession(n *node, _ Fault) {
	n.router--
	n.speaker.hush()
}

func (w *World) stop(n *node, _ Fault) {
	if n.agent != nil {
		n.stopping = true
		n.agent.arrives(failover.Stop{Reason: "terminated"})
	}
}

// reload has the agent read a file that says the same in other words.
func (w *World) reload(n *node, _ Fault) {
	if n.agent == nil || n.agent.view.stopping {
		return
	}
	cfg := *n.config
	cfg.Hash += "'"
	cfg.Routers = slices.Clone(cfg.Routers)
	n.config = &cfg
	n.agent.arrives(failover.Reconfigured{Config: &cfg})
}

func (w *World) drain(n *node, _ Fault) {
	if n.agent != nil {
		n.agent.arrives(failover.DrainCommand{Drain: failover.Drain{
			By: "somebody", Reason: "a course", Ends: vrrp.Never, Since: wallClock(w.Now(), n.wall),
		}})
	}
}

func (w *World) undrain(n *node, _ Fault) {
	if n.agent != nil {
		n.agent.arrives(failover.UndrainCommand{By: "somebody"})
	}
}

func (w *World) switchover(n *node, _ Fault) {
	if n.agent != nil {
		n.agent.arrives(failover.SwitchoverCommand{By: "somebody", Ref: 1})
	}
}
