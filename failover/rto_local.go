package failover

import (
	"fmt"
	"slices"
	"time"
)

// successor adds the takeover by a node of the own site that hears nothing any more.
func (p *prospect) successor(b *budget) *budget {
	v := &p.r.VRRP
	b.add("detection", p.silence(), fmt.Sprintf("Active_Down_Interval: down_timer_adverts %d x advert_int %s, and the Skew_Time of a successor, at most %s s",
		downAdverts(p.r), sec(v.Interval.Duration()), sec(p.skew())))
	return p.serve(p.acknowledged(b))
}

// released adds the takeover by a node of the own site that hears an advertisement of priority 0.
func (p *prospect) released(b *budget) *budget {
	b.add("detection", p.skew(), "an advertisement of priority 0 leaves the Skew_Time of a successor")
	return p.serve(p.acknowledged(b))
}

// acknowledged adds the proof that a router of a site needs, that nobody outside has taken the role meanwhile.
func (p *prospect) acknowledged(b *budget) *budget {
	if p.site == nil {
		return b
	}
	return b.add("confirmation", VoteTime, "an acknowledgement that was asked for after the last sign of the other router, and one more try")
}

// deadRoute adds what is left of the time that the upstream keeps the route of a node that is gone without a word.
func (p *prospect) deadRoute(b *budget) *budget {
	if !p.announces {
		return b
	}
	b.until("route of the dead node", p.hold+WithdrawTime, fmt.Sprintf("hold_time %s: the upstream may prefer the dead node's route until then, and needs a moment to choose another", sec(p.hold)))
	if p.assumed {
		b.note(fmt.Sprintf("hold_time %s is an assumption: the file of the operator's gobgpd decides", sec(p.hold)))
	}
	return b.add("graceful_restart", p.restart, "the upstream keeps the route for that much longer")
}

// nodeCrash: the agent and what it has started die or hang; the kernel lives and answers for the addresses.
func (p *prospect) nodeCrash() *budget {
	b := newBudget(NodeCrash)
	if p.watch != nil {
		return p.lastNode(b, true)
	}
	if !p.near {
		return p.elsewhere(b, true)
	}
	p.successor(b)
	return p.leftBehind(b)
}

// leftBehind adds the end of what a dead agent has left in the kernel and in its speaker.
func (p *prospect) leftBehind(b *budget) *budget {
	if len(p.r.Addresses) > 0 {
		if p.forever {
			return b.unbounded("vip_lease 0: the dead node's kernel answers for the addresses until somebody restarts it")
		}
		b.until("address of the dead agent", p.lease+KernelSlop, fmt.Sprintf("vip_lease %s: until then the dead node's kernel answers for it, too", sec(p.lease)))
	}
	if p.outlived {
		return b.unbounded("backend gobgpd: it goes on announcing the dead agent's route until the agent is back, or an ExecStopPost withdraws it")
	}
	if p.announces {
		b.until("route of the dead agent", p.cfg.BGPLease+WithdrawTime, fmt.Sprintf("bgp_lease %s: a speaker that hears no agent withdraws", sec(p.cfg.BGPLease)))
		b.note(fmt.Sprintf("if agent and speaker hang without dying, the upstream keeps the route for hold_time: %s s from the failure", sec(p.hold+p.restart+WithdrawTime)))
	}
	return b
}

// nodePower: the machine is gone, and says nothing.
func (p *prospect) nodePower() *budget {
	b := newBudget(NodePower)
	if p.watch != nil {
		return p.lastNode(b, false)
	}
	if !p.near {
		return p.elsewhere(b, false)
	}
	return p.deadRoute(p.successor(b))
}

// sitePower: all machines of the site are gone.
func (p *prospect) sitePower() *budget {
	b := newBudget(SitePower)
	switch {
	case p.watch != nil:
		return p.takeover(b, p.watch, 0, "")
	case p.site != nil:
		return p.elsewhere(b, false)
	case p.far || p.r.VRRP.Unicast:
		return p.deadRoute(p.successor(b)).note("if one of those who hear it by unicast is at another site")
	}
	return b.unbounded(noOtherSite)
}

// uplinkLoss: the site works, and the world does not reach it.
func (p *prospect) uplinkLoss() *budget {
	b := newBudget(UplinkLoss)
	if p.watch != nil {
		return p.uplinkOfSite(b)
	}
	i := slices.IndexFunc(p.r.Tracks, func(t Track) bool { return t.Kind == TrackBGP && p.tracksUpstream(t.Name) })
	if i < 0 {
		if p.site != nil {
			b.note(fmt.Sprintf("if heartbeats are lost as well, the site fences itself after fence_after %s, and it is as after site power", sec(p.site.FenceAfter)))
		}
		return b.unbounded("otherwise the router keeps its role: nothing that it tracks is known to fail with the uplink (track_bgp is)")
	}
	t := p.r.Tracks[i]
	hold := p.holdOf(t.Name)
	b.add("detection", hold, fmt.Sprintf("track_bgp %s: hold_time %s after the last message of the upstream, the session is lost", t.Name, sec(hold)))
	if s := p.cfg.Speaker(t.Name); s != nil && s.OperatorOwned() {
		b.note(fmt.Sprintf("hold_time %s is an assumption: the file of the operator's gobgpd decides", sec(hold)))
	}
	if t.Weight == 0 {
		p.released(b)
	} else {
		p.preempted(b, t)
	}
	p.deadRoute(b)
	if p.site != nil {
		b.add("other site", p.site.Heartbeat, fmt.Sprintf("heartbeat %s: a watcher waits until it knows that no node of the site has the role", sec(p.site.Heartbeat)))
	}
	return b.note("if the successor's own uplink works")
}

// preempted adds the takeover by a successor whose priority is higher since that of this router has fallen.
func (p *prospect) preempted(b *budget, t Track) {
	v := &p.r.VRRP
	if !v.Preempt {
		b.unbounded(fmt.Sprintf("weight %d lowers the priority, and a successor with nopreempt does not mind; weight 0 gives the role up", t.Weight))
		return
	}
	b.add("preemption", p.silence(), fmt.Sprintf("weight %d lowers the priority; a successor whose own is higher then ignores the advertisements until its Active_Down_Interval ends", t.Weight))
	if v.PreemptDelay > 0 {
		b.add("preempt_delay", v.PreemptDelay+v.Interval.Duration(), "the successor waits that long, if it is configured like this node")
	}
	p.serve(b)
}

// tracksUpstream reports whether the router announces through a speaker.
func (p *prospect) tracksUpstream(speaker string) bool {
	return slices.ContainsFunc(p.r.Announce, func(a Announcement) bool { return a.Speaker == speaker })
}

// holdOf is the longest hold time of a speaker's sessions.
func (p *prospect) holdOf(speaker string) time.Duration {
	if s := p.cfg.Speaker(speaker); s != nil {
		return s.LongestHold()
	}
	return 0
}
