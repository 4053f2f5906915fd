package failover

import (
	"maps"
	"slices"

	"failoverd/vrrp"
)

// groupsTold holds the last state that each sync group was told of, by its name.
type groupsTold map[string]string

// tell queues the notification of a router's new state. It may be called for every change of state and more: nothing is
// said twice, and nothing of Initialize, which keepalived has no word for.
func (c *Core) tell(now vrrp.Instant, r *router, state string, fx *Effects) {
	switch {
	case c.stopping:
		state = "STOP"
	case r.retired:
		state = r.cfg.Notify.farewell(r.replaced)
	case state == "INIT":
		return
	}
	if state == r.told {
		return
	}
	r.told = state
	r.rivalTold = limiter{} // a rival of a new role is news
	n := r.notification(state)
	n.At = now
	fx.notify(n)
}

// notification returns what is to be told of a state of r.
func (r *router) notification(state string) Notification {
	n := Notification{Name: r.cfg.Name, State: state, Priority: r.fsm.Priority(), Commands: &r.cfg.Notify}
	if r.cfg.Anycast != nil {
		n.Service, n.Priority = true, 0
	}
	return n
}

// farewell is the last word on a router that a reload ends. One that goes on in another form under its name was not
// deleted.
func (n *NotifyConfig) farewell(replaced bool) string {
	if (n.DeletedWord || n.Deleted != nil) && !replaced {
		return "DELETED"
	}
	return "FAULT"
}

// equal reports whether two commands do the same on behalf of the same user.
func (c *Command) equal(o *Command) bool {
	if c == nil || o == nil {
		return c == o
	}
	return slices.Equal(c.Args, o.Args) && c.User == o.User && c.Group == o.Group
}

// tellGroup queues the notification of a sync group's new state. It may be called for every change and more, as tell.
func (c *Core) tellGroup(now vrrp.Instant, g *GroupConfig, state string, fx *Effects) {
	if c.stopping {
		state = "STOP"
	}
	if state == "INIT" || state == c.groupsTold[g.Name] {
		return
	}
	if c.groupsTold == nil {
		c.groupsTold = make(groupsTold)
	}
	c.groupsTold[g.Name] = state
	fx.notify(Notification{Group: true, Name: g.Name, State: state, Commands: &g.Notify, At: now})
}

// tellStop queues the last word of every sync group.
func (c *Core) tellStop(now vrrp.Instant, fx *Effects) {
	for i := range c.cfg.Groups {
		c.tellGroup(now, &c.cfg.Groups[i], "STOP", fx)
	}
}

// tellPriority queues the notification of a changed effective priority, where that is asked for.
func (c *Core) tellPriority(now vrrp.Instant, r *router, fx *Effects) {
	if !r.cfg.Notify.PriorityChanges {
		return
	}
	var state string
	switch r.fsm.State() {
	case vrrp.Active:
		state = "MASTER_PRIORITY"
	case vrrp.Backup:
		state = "BACKUP_PRIORITY"
	default:
		return
	}
	fx.notify(Notification{Name: r.cfg.Name, State: state, Priority: r.fsm.Priority(), Commands: &r.cfg.Notify, At: now})
}

// tellRival queues the notification of a router that r, which stays Active, has just outdone: at most one per logGap,
// because the other one may say it a thousand times a second, and each is a script.
func (c *Core) tellRival(now vrrp.Instant, r *router, fx *Effects) {
	if !r.rivalTold.allows(now) {
		return
	}
	fx.notify(Notification{
		Name: r.cfg.Name, State: "MASTER_RX_LOWER_PRI", Priority: r.fsm.Priority(), Commands: &r.cfg.Notify, At: now,
	})
}

// tellAll tells the FIFOs all states after a reload, if that is asked for: those of which they have not just been told.
func (c *Core) tellAll(now vrrp.Instant, fx *Effects) {
	groups := make(map[string]bool, len(c.cfg.Groups))
	for i := range c.cfg.Groups {
		groups[c.cfg.Groups[i].Name] = true
	}
	maps.DeleteFunc(c.groupsTold, func(name string, _ string) bool { return !groups[name] })
	if !c.cfg.StatesOnReload {
		return
	}
	type subject struct {
		group       bool
		name, state string
	}
	just := make(map[subject]bool)
	for i := range fx.Notifications {
		n := &fx.Notifications[i]
		just[subject{n.Group, n.Name, n.State}] = true
	}
	quietly := func(n Notification) {
		if n.State != "" && !just[subject{n.Group, n.Name, n.State}] {
			n.Quiet, n.At = true, now
			fx.notify(n)
		}
	}
	for _, r := range c.routers {
		quietly(r.notification(r.told))
	}
	for i := range c.cfg.Groups {
		g := &c.cfg.Groups[i]
		quietly(Notification{Group: true, Name: g.Name, State: c.groupsTold[g.Name], Commands: &g.Notify})
	}
}

func (fx *Effects) notify(n Notification) { fx.Notifications = append(fx.Notifications, n) }
