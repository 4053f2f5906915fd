package regiontest

import (
	"time"

	"failoverd/failover"
	"failoverd/vrrp"
)

// probe is the health check of the mainland that runs on a node elsewhere, once a second: whether any machine there
// answers. Three failures in a row make the site "down", two successes "up".
type probe struct {
	node    *node
	staged  *upgrade // whose next agent it is for; nil: it is for the agent of the node
	running bool
	known   bool
	ok      bool
	streak  int // results in a row that are unlike the verdict
	began   vrrp.Instant
	silence silence
	broken  int // how many faults make it fail, whatever the site does
}

const (
	probeInterval = time.Second
	probeRise     = 2
	probeFall     = 3
)

// restart begins anew, for another agent.
func (p *probe) restart() {
	if p.node.site == mainland {
		return
	}
	p.known, p.streak = false, 0
	p.silence.restart(p.node.world.Now())
	if !p.running {
		p.running = true
		p.next()
	}
}

func (p *probe) next() {
	p.node.world.After(probeInterval, func() {
		if p.node.agent == nil || p.staged != nil && (p.staged.ended || p.node.agent != p.staged.old) {
			p.running = false
			return
		}
		p.result(p.sees())
		p.next()
	})
}

// sees is one look: a request, and its answer.
func (p *probe) sees() bool {
	w, n := p.node.world, p.node
	if n.probe.broken > 0 || n.off || n.paused || !n.kernel.up {
		return false
	}
	for _, m := range []*node{w.m1, w.m2} {
		there, back := &w.paths[n.index][m.index], &w.paths[m.index][n.index]
		if there.cut == 0 && back.cut == 0 && !m.off && !m.paused && m.kernel.up && !w.lost(there) && !w.lost(back) {
			return true
		}
	}
	return false
}

// lost draws whether a packet and what would repeat it are lost.
func (w *World) lost(p *path) bool { return p.bad != nil && w.happens(p.bad.loss*p.bad.loss) }

func (p *probe) result(ok bool) {
	now := p.node.world.Now()
	defer func() {
		if ok && p.ok { // a single answer in between says nothing
			p.silence.breaks(now)
		}
	}()
	switch {
	case !p.known:
		p.known, p.ok, p.streak, p.began = true, ok, 0, now
		p.report()
		return
	case ok == p.ok:
		p.streak = 0
		return
	}
	if p.streak++; p.streak == 1 {
		p.began = now
	}
	if ok && p.streak >= probeRise || !ok && p.streak >= probeFall {
		p.ok, p.streak = ok, 0
		p.report()
	}
}

func (p *probe) report() {
	a := p.node.agent
	rep := failover.TrackerReport{
		Tracker: failover.Tracker{Kind: failover.TrackCheck, Name: checkName}, OK: p.ok, Since: p.node.world.Now().Sub(p.began),
	}
	if !p.ok {
		rep.Reason = "timed out after 1s"
	}
	if p.staged != nil {
		a = p.staged.next
		a.core.Step(p.node.local(), failover.TrackerReported{Report: rep}, &a.fx)
		return
	}
	a.result(failover.TrackerReported{Report: rep})
}
