package failover

import (
	"fmt"
	"time"
)

// takeover adds the takeover of a whole site by another one: T_take after the last sign of life and the votes, then an
// exchange with a witness. The evidence begins late after the failure, because of why.
func (p *prospect) takeover(b *budget, w *WatchConfig, late time.Duration, why string) *budget {
	evidence, known, first := p.evidence(w)
	b.add("the service ends", late, why)
	b.add("detection", evidence, first)
	b.add("takeover_after", w.TakeoverAfter, "nobody hears of the site, the quorum says that it is down, and a witness is in contact, all that time")
	b.until("verdict", late+known, "health checks fail often enough only then (fall, interval, timeout)")
	b.add("confirmation", VoteTime, "an exchange with a witness, and one more try")
	if w.HoldDown > 0 {
		b.note(fmt.Sprintf("after a takeover less than hold_down %s ago, or while damping holds it back, it takes longer", sec(w.HoldDown)))
	}
	return p.serve(b)
}

// evidence returns how long after the end of the service the first evidence of it is, and why, and when the slowest check
// has said so often enough.
func (p *prospect) evidence(w *WatchConfig) (first, known time.Duration, why string) {
	first, why = w.Heartbeat, fmt.Sprintf("heartbeat %s: the last sign of life may be that much younger than the failure", sec(w.Heartbeat))
	for _, c := range p.cfg.ChecksOf(w.Checks) {
		if late := c.Interval + c.Timeout; late > first {
			first, why = late, fmt.Sprintf("health_check %s: interval %s until it looks, and timeout %s until it knows", c.Name, sec(c.Interval), sec(c.Timeout))
		}
		known = max(known, c.VerdictTime())
	}
	return first, known, why
}

// VerdictTime is the longest time from a failure to the verdict.
func (c *CheckConfig) VerdictTime() time.Duration {
	again := c.FallInterval
	if again == 0 {
		again = c.Interval
	}
	return c.Interval + time.Duration(max(c.Fall-1, 0))*max(again, c.Timeout) + c.Timeout
}

// ChecksOf returns the health checks of those names, and those that check groups of those names are made of.
func (c *Config) ChecksOf(names []string) (checks []*CheckConfig) {
	wanted := make(map[string]bool)
	for _, name := range names {
		wanted[name] = true
	}
	for ordered := c.groupsOrdered(); len(ordered) > 0; ordered = ordered[:len(ordered)-1] {
		if g := ordered[len(ordered)-1]; wanted[g.Name] {
			for _, m := range g.Members {
				wanted[m.Name] = wanted[m.Name] || m.Kind == TrackCheck
			}
		}
	}
	for i := range c.Checks {
		if wanted[c.Checks[i].Name] {
			checks = append(checks, &c.Checks[i])
		}
	}
	return checks
}

// lastNode is about a node of the watched site that was its last one.
func (p *prospect) lastNode(b *budget, crash bool) *budget {
	late, why := time.Duration(0), ""
	if crash {
		late = p.watch.Lease + KernelSlop
		why = fmt.Sprintf("vip_lease %s: the dead node's kernel answers for the addresses until then", sec(p.watch.Lease))
		b.note("a check that only sees the machine, and not its service, keeps saying up, and holds this node back for ever")
	}
	p.takeover(b, p.watch, late, why)
	return b.note(fmt.Sprintf("if it was the last node of site %s; otherwise another node there takes over by VRRP alone: run rto with its file", p.watch.Name))
}

// uplinkOfSite is about the uplink of the watched site, which the site itself notices.
func (p *prospect) uplinkOfSite(b *budget) *budget {
	w := p.watch
	b.add("detection", w.HoldTime, fmt.Sprintf("hold_time %s there: the site's sessions are lost, and track_bgp lowers its priorities or gives the role up", sec(w.HoldTime)))
	b.add("preemption", p.silence(), "its advertisements of a lower priority are ignored until the Active_Down_Interval ends; a release is faster")
	b.add("confirmation", w.Heartbeat+VoteTime, fmt.Sprintf("heartbeat %s, and an exchange with a witness", sec(w.Heartbeat)))
	p.serve(b)
	return b.note(fmt.Sprintf("if all nodes of site %s have track_bgp, and it takes their priorities below %d; if their heartbeats are lost as well, it is as after site power", w.Name, p.r.VRRP.Priority))
}

// elsewhere is about the end of a node that nobody at its site follows, or of the whole site.
func (p *prospect) elsewhere(b *budget, crash bool) *budget {
	switch {
	case p.site == nil && p.far:
		p.successor(b)
		if crash {
			return p.leftBehind(b)
		}
		return p.deadRoute(b)
	case p.site == nil || !p.far:
		return b.unbounded(noOtherSite)
	}
	late, why := time.Duration(0), ""
	if crash {
		late, why = p.lease+KernelSlop, fmt.Sprintf("vip_lease %s: the dead node's kernel answers for the addresses until then", sec(p.lease))
	}
	return p.takeover(b, p.presumedWatch(), late, why).note("another site takes over" + otherSiteDecides)
}

// presumedWatch is what a watcher has whose configuration is made for this site with defaults.
func (p *prospect) presumedWatch() *WatchConfig {
	w := &WatchConfig{FenceAfter: p.site.FenceAfter, HoldTime: p.hold, Lease: p.lease, Heartbeat: p.site.Heartbeat}
	if w.HoldTime == 0 {
		w.HoldTime = LongestHold
	}
	w.TakeoverAfter = w.DefaultTakeover()
	return w
}

// interRegionLoss: the sites do not hear each other; both live.
func (p *prospect) interRegionLoss() *budget {
	b := newBudget(InterRegionLoss)
	switch {
	case p.watch != nil && len(p.watch.Witnesses) > 0:
		return b.note(fmt.Sprintf("nothing happens: a witness hears site %s", p.watch.Name))
	case p.watch != nil:
		return p.takeover(b, p.watch, 0, "").note(fmt.Sprintf("without a witness, site %s is silent: it fences itself if nobody else acknowledges it, and this node takes over if the health checks fail with the link", p.watch.Name))
	case p.site != nil && (p.witnessed() || p.site.Hold):
		return b.note("nothing happens: the site is acknowledged by a witness, or holds (isolated hold)")
	case p.site != nil && p.far:
		return p.takeover(b, p.presumedWatch(), 0, "").note(fmt.Sprintf("without a witness the site fences itself after fence_after %s, and another site takes over", sec(p.site.FenceAfter)) + otherSiteDecides)
	case p.site != nil:
		return b.unbounded(fmt.Sprintf("without a witness the site fences itself after fence_after %s, and nobody takes over before the link is back", sec(p.site.FenceAfter)))
	case p.far || p.r.VRRP.Unicast && len(p.r.VRRP.Peers) > 0:
		return b.unbounded("local mode: those who do not hear each other both serve and both announce, for as long as it lasts (watch_site and site prevent that)")
	}
	return b.note("no other site is configured here: nothing happens")
}

func (p *prospect) witnessed() bool {
	for i := range p.site.Partners {
		if p.site.Partners[i].Kind == PartnerWitness {
			return true
		}
	}
	return false
}

// orderlyStop: somebody stops the agent, or drains it.
func (p *prospect) orderlyStop() *budget {
	b := newBudget(OrderlyStop)
	const served = "the leaving node serves until its successor does: this is how long the move takes, not an outage"
	beat := time.Duration(0)
	switch {
	case p.watch != nil:
		beat = p.watch.Heartbeat
	case p.site != nil && p.far:
		beat = p.site.Heartbeat
	case p.near || p.far:
		return p.settled(p.released(b), HandoverRouteGrace).note(served)
	default:
		return b.unbounded("nobody can hear this router: its addresses and routes are gone until it starts again")
	}
	b.add("successor of the own site", p.skew()+ProgramTime, "it would be heard within its Skew_Time; if none is, the role leaves the site")
	b.add("detection", p.skew(), "an advertisement of priority 0 leaves the Skew_Time of the watcher")
	b.add("confirmation", beat+VoteTime, fmt.Sprintf("heartbeat %s: the site says that none of its nodes serves or could serve", sec(beat)))
	p.serve(b)
	if p.r.Region.HandoverOverlap > 0 {
		return p.settled(b, p.r.Region.HandoverOverlap).note(served + fmt.Sprintf(" (handover_overlap %s, between sites)", sec(p.r.Region.HandoverOverlap)))
	}
	return b.note("to a node of the own site nothing is lost; to another site, the role is vacant from the end of the first term on (handover_overlap 0)")
}

// settled adds what a node that leaves in order does once it has heard its successor, beside which it serves for overlap.
func (p *prospect) settled(b *budget, overlap time.Duration) *budget {
	if !p.r.Attracts() {
		return b
	}
	b.add("withdrawal", overlap, "the leaving node withdraws its routes that long after it has heard its successor")
	return b.add("withdraw_grace", p.r.grace(), "it keeps its addresses that long after the withdrawal, because a neighbor's forwarding table follows late")
}

// failback: the better router is back, and takes the role from the one that serves.
func (p *prospect) failback() *budget {
	b := newBudget(Failback)
	v, g := &p.r.VRRP, &p.r.Region
	switch {
	case p.watch != nil:
		return b.unbounded(fmt.Sprintf("the nodes of site %s decide when they take it back: run rto with their file", p.watch.Name))
	case !v.Preempt:
		return b.unbounded("nopreempt: a person decides (failoverd switchover at the node that serves)")
	}
	if p.site != nil && p.far {
		b.add("failback_clean", g.FailbackClean, "everything that it tracks must have been all right that long")
		b.add("authority", p.site.Heartbeat+VoteTime, fmt.Sprintf("heartbeat %s, and its acknowledgement", sec(p.site.Heartbeat)))
	} else if p.announces {
		b.add("bgp_wait", p.r.BGPWait, "at most, for an established session of the speaker")
	}
	if v.PreemptDelay > 0 {
		b.add("preempt_delay", v.PreemptDelay, "from the first advertisement of the router that serves")
	}
	b.add("preemption", p.silence(), "the advertisements of a lower priority are ignored until the Active_Down_Interval ends")
	p.serve(b)
	note := "the other router serves until it hears the better one; of this, only the last terms (address, UPDATE) can be an outage"
	if p.site != nil && p.far {
		note += "; counted from when the sessions of its speakers are established"
	}
	return b.note(note)
}
