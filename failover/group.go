package failover

import (
	"fmt"
	"slices"
	"time"

	"failoverd/vrrp"
)

// group is a vrrp_sync_group. Nothing about it is counted or carried along: whenever something has happened to a member,
// faults, roles and the group's state are worked out anew from what the members are then, so that no order of events can
// leave it in a state that its members do not justify.
//
//   - A fault of one member is a fault of all. What one waits for before it can start, all that do not run wait for.
//   - It has the role when every member is Active. A member whose time has come is ready, and waits; when all that are
//     not Active are ready, they become Active in one batch. So nopreempt or a delay of one holds all.
//   - If a member follows another router, or is kept out of service, no member stays Active: those that are release the role.
type group struct {
	cfg     *GroupConfig
	members []*router // in the order of the configuration

	stale  bool // something has happened to a member
	assess bool // and it concerns what members need to run

	word  string // keepalived's word for the state
	since vrrp.Instant
	why   string
}

// adoptGroups makes the sync groups those of the configuration. What is known of one that stays, stays.
func (c *Core) adoptGroups(now vrrp.Instant) {
	old := make(map[string]*group, len(c.groups))
	for _, g := range c.groups {
		old[g.cfg.Name] = g
	}
	members := make(map[string]*router, len(c.routers))
	for _, r := range c.routers {
		members[r.cfg.Name] = r
		r.group = nil
	}
	c.groups = nil
	for i := range c.cfg.Groups {
		cfg := &c.cfg.Groups[i]
		g := &group{word: "INIT", since: now, why: "start"}
		if o := old[cfg.Name]; o != nil {
			g.word, g.since, g.why = o.word, o.since, o.why
		}
		g.cfg = cfg
		for _, name := range cfg.Members {
			if r := members[name]; r != nil && r.group == nil {
				r.group = g
				g.members = append(g.members, r)
			}
		}
		if len(g.members) > 0 {
			c.groups = append(c.groups, g)
			g.assess = true
			c.unsettle(g)
		}
	}
	for _, r := range c.routers {
		c.settleJoint(r)
	}
}

// unsettle has a group looked at before the batch ends.
func (c *Core) unsettle(g *group) { g.stale, c.unsettled = true, true }

// settleGroups has the groups draw their conclusions from what has happened to their members.
func (c *Core) settleGroups(now vrrp.Instant, fx *Effects) {
	if !c.unsettled || c.stopping {
		return
	}
	for _, g := range c.groups {
		if g.stale {
			c.settleGroup(now, g, fx)
		}
	}
	c.unsettled = false
}

func (c *Core) settleGroup(now vrrp.Instant, g *group, fx *Effects) {
	if g.assess {
		for _, r := range g.members {
			c.assess(now, r, fx)
		}
	}
	c.shareFault(now, g, fx)
	c.shareRole(now, g, fx)
	for _, r := range g.members {
		c.reschedule(r)
	}
	c.noteGroup(now, g, fx)
	g.stale, g.assess = false, false
}

// shareFault starts and stops the members together.
func (c *Core) shareFault(now vrrp.Instant, g *group, fx *Effects) {
	faulty, waiting := g.hindered()
	for _, r := range g.members {
		h := r.obstacle
		switch {
		case h.reason != "" && !h.pending:
		case faulty != nil:
			h = hindrance{reason: fmt.Sprintf("sync group %s: %s: %s", g.cfg.Name, faulty.cfg.Name, faulty.obstacle.reason)}
		case h.reason == "" && waiting != nil && r.fsm.State() == vrrp.Initialize:
			h = hindrance{
				reason:  fmt.Sprintf("sync group %s waits for %s: %s", g.cfg.Name, waiting.cfg.Name, waiting.obstacle.reason),
				pending: true,
			}
		}
		c.hinder(now, r, h, fx)
	}
}

// hindered returns the first member with a fault of its own, and the first one that waits; nil: there is none.
func (g *group) hindered() (faulty, waiting *router) {
	for _, r := range g.members {
		switch {
		case r.obstacle.reason == "":
		case r.obstacle.pending && waiting == nil:
			waiting = r
		case !r.obstacle.pending && faulty == nil:
			faulty = r
		}
	}
	return faulty, waiting
}

// shareRole makes members Active together, and Backup together.
func (c *Core) shareRole(now vrrp.Instant, g *group, fx *Effects) {
	active, ready := 0, 0
	var leader *router // whose loss of the role counts
	out := c.memberOut(g)
	for _, r := range g.members {
		switch {
		case r.fsm.State() == vrrp.Active:
			active++
		case r.fsm.Following():
			if leader == nil || g.rank(r) < g.rank(leader) {
				leader = r
			}
		case r.fsm.Reconsider(now):
			ready++
		}
	}
	// Asked once: what the first one does must not bar the others.
	together := out == nil && leader == nil && ready > 0 && active+ready == len(g.members) && !c.anyBarred(now, g)
	for _, r := range g.members {
		switch {
		case out != nil:
			why := fmt.Sprintf("sync group %s: %s is %s", g.cfg.Name, out.cfg.Name, c.outOfService(out))
			c.demote(now, r, 0, why, c.newHandover(now, r, why), fx)
		case leader != nil && leader.handover != nil:
			c.demote(now, r, g.patience(leader, r), "", c.newHandover(now, r, "the sync group leaves the role"), fx)
		case leader != nil:
			c.demote(now, r, g.patience(leader, r), "", nil, fx)
		case together:
			c.apply(now, r, r.fsm.Promote(now), fx)
		}
	}
}

// anyBarred reports whether a member that is ready must not take the role yet.
func (c *Core) anyBarred(now vrrp.Instant, g *group) bool {
	return slices.ContainsFunc(g.members, func(r *router) bool {
		if r.fsm.State() != vrrp.Backup || !r.fsm.Ready() {
			return false
		}
		why, _ := c.mayTake(now, r)
		return why != ""
	})
}

// memberOut returns a member that is kept out of service; nil: there is none.
func (c *Core) memberOut(g *group) *router {
	for _, r := range g.members {
		if c.outOfService(r) != "" {
			return r
		}
	}
	return nil
}

// patience is how much longer than usual a member that is demoted on account of another one waits before it is ready
// again. Two nodes may become Active at once, and each find the other one to be better for another virtual router, by
// priority or by address: both demote the rest, and both would be ready again at the same time, and so for ever. They
// never yield for the same virtual router, so that its rank tells them apart, by more than their skews do, which differ
// by less than an interval.
func (g *group) patience(leader, r *router) time.Duration {
	const most = 3 // it is not worth a long outage
	step := r.cfg.VRRP.Interval.Duration() * 5 / 4
	return time.Duration(min(g.rank(leader), most)) * step
}

// rank returns how many members go before r in an order that is the same on all nodes.
func (g *group) rank(r *router) (n int) {
	k := r.cfg.VRRP.Key
	for _, o := range g.members {
		if x := o.cfg.VRRP.Key; x.Family < k.Family || x.Family == k.Family && x.VRID < k.VRID {
			n++
		}
	}
	return n
}

// noteGroup tells of a change of the group's state.
func (c *Core) noteGroup(now vrrp.Instant, g *group, fx *Effects) {
	from := g.word
	word, why := g.state()
	if word == from {
		if faulty, waiting := g.hindered(); faulty != nil || waiting != nil && word == "INIT" {
			g.why = why // another member's, perhaps
		}
		return
	}
	g.word, g.why, g.since = word, why, now
	fx.event(Event{Kind: EventGroup, At: now, Group: g.cfg.Name, From: from, To: word, Reason: why})
	c.tellGroup(now, g.cfg, word, fx)
}

// state returns keepalived's word for the state of g, and what led to it. A member that a reload has added does not take
// the role from the others before it has listened.
func (g *group) state() (word, why string) {
	faulty, waiting := g.hindered()
	if faulty != nil {
		return "FAULT", faulty.cfg.Name + ": " + faulty.obstacle.reason
	}
	var active, follower *router
	initialize := false
	for _, r := range g.members {
		switch {
		case r.fsm.State() == vrrp.Active:
			active = r
		case r.fsm.State() == vrrp.Initialize:
			initialize = true
		case follower == nil || r.fsm.Following() && !follower.fsm.Following():
			follower = r
		}
	}
	switch {
	case active != nil:
		return "MASTER", active.cfg.Name + ": " + active.why
	case !initialize && follower.fsm.Following():
		h := follower.fsm.Heard()
		return "BACKUP", fmt.Sprintf("%s: %s is heard with priority %d", follower.cfg.Name, h.Address, h.Priority)
	case !initialize:
		return "BACKUP", follower.cfg.Name + ": " + follower.why
	case waiting != nil:
		return "INIT", waiting.cfg.Name + ": " + waiting.obstacle.reason
	}
	return "INIT", "start"
}

// others says what r, which is ready, waits for.
func (c *Core) others(r *router) string {
	g := r.group
	if g == nil {
		return ""
	}
	for _, o := range g.members {
		if why := c.outOfService(o); why != "" {
			return fmt.Sprintf("for %s of sync group %s, which is %s", o.cfg.Name, g.cfg.Name, why)
		}
		if o == r || o.fsm.State() == vrrp.Active || o.fsm.Ready() {
			continue
		}
		if h := o.fsm.Heard(); o.fsm.Following() {
			return fmt.Sprintf("for %s of sync group %s, which hears %s with priority %d", o.cfg.Name, g.cfg.Name, h.Address, h.Priority)
		}
		return fmt.Sprintf("for %s of sync group %s, which has not listened for long enough", o.cfg.Name, g.cfg.Name)
	}
	return ""
}

func (c *Core) describeGroups(wall func(vrrp.Instant) time.Time) []GroupStatus {
	var groups []GroupStatus
	for _, g := range c.groups {
		groups = append(groups, GroupStatus{
			Name: g.cfg.Name, State: g.word, Since: wall(g.since), Why: g.why, Members: slices.Clone(g.cfg.Members),
		})
	}
	return groups
}
