package failover

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"failoverd/vrrp"
)

// switchover is a SwitchoverCommand that is being carried out: all of members leave their roles together, and take them
// back when nobody else does.
type switchover struct {
	SwitchoverCommand
	members   []*router
	concluded bool
}

// outOfService says why r must not take the role although it could: a person wants it so. Empty: it may.
func (c *Core) outOfService(r *router) string {
	switch {
	case r.drained != nil:
		return r.drained.words()
	case r.handover != nil && r.handover.order != nil:
		return "its role is being handed over"
	}
	return ""
}

func (d *Drain) words() string { return attributed("drained", d.By, d.Reason) }

// attributed says what was done by whom and why.
func attributed(what, by, reason string) string {
	if by != "" {
		what += " by " + by
	}
	if reason != "" {
		what += ": " + reason
	}
	return what
}

// settleJoint makes r take the role by itself, or not.
func (c *Core) settleJoint(r *router) {
	r.fsm.SetJoint(r.group != nil || r.guarded() || c.outOfService(r) != "")
}

// adoptDrains gives the routers of a configuration what people have said of those of their names.
func (c *Core) adoptDrains() {
	for _, r := range c.routers {
		r.drained = c.drains[r.cfg.Name]
	}
}

// Drains returns the drains in force by the names of their routers, also of those that the configuration does not have at
// present.
func (c *Core) Drains() map[string]Drain {
	all := make(map[string]Drain, len(c.drains))
	for name, d := range c.drains {
		all[name] = *d
	}
	return all
}

// drainRouters takes routers out of service. Those that are Active leave their roles in order. The name of a router that
// is not there is remembered for the one that a reload brings.
func (c *Core) drainRouters(now vrrp.Instant, cmd *DrainCommand, fx *Effects) {
	names := []string{cmd.Router}
	if cmd.Router == "" {
		names = c.names()
	}
	for _, name := range names {
		d := cmd.Drain
		if d.Ends == 0 {
			d.Ends = vrrp.Never
		}
		c.setDrain(name, &d)
		if r := c.named(name); r != nil {
			fx.about(r, Event{Kind: EventDrain, At: now, To: "drained", Reason: d.words()})
			c.takeOut(now, r, fx)
		}
	}
}

func (c *Core) setDrain(name string, d *Drain) {
	if c.drains == nil {
		c.drains = make(map[string]*Drain)
	}
	c.drains[name] = d
	c.planDrains()
}

// planDrains looks when the next drain ends by itself.
func (c *Core) planDrains() {
	c.drainEnds = vrrp.Never
	for _, d := range c.drains {
		c.drainEnds = min(c.drainEnds, d.Ends)
	}
}

// takeOut makes r, about which there is a drain, stay out of the role.
func (c *Core) takeOut(now vrrp.Instant, r *router, fx *Effects) {
	r.drained = c.drains[r.cfg.Name]
	if h := r.handover; h != nil && h.order != nil {
		c.conclude(h.order, "", "the router was drained meanwhile", fx)
		h.order = nil
	}
	c.settleJoint(r)
	if !c.stopping {
		why := r.drained.words()
		c.demote(now, r, 0, why, c.newHandover(now, r, why), fx)
	}
	c.unsettleOf(r)
	c.reschedule(r)
	c.dirty = true
}

// undrainRouters puts routers back into service.
func (c *Core) undrainRouters(now vrrp.Instant, cmd *UndrainCommand, fx *Effects) {
	names := []string{cmd.Router}
	if cmd.Router == "" {
		names = slices.Sorted(maps.Keys(c.drains))
	}
	reason := ""
	if cmd.By != "" {
		reason = "by " + cmd.By
	}
	ended := false
	for _, name := range names {
		ended = ended || c.drains[name] != nil
		c.endDrain(now, name, reason, fx)
	}
	unlatched := c.unlatch(cmd.Router)
	if text := undrainText(cmd.Router, ended, unlatched); text != "" && cmd.Ref != 0 {
		fx.Verdicts = append(fx.Verdicts, CommandVerdict{Ref: cmd.Ref, Text: text, Nothing: !ended && !unlatched})
	}
}

// undrainText says what an undrain has ended, where it is not just a drain.
func undrainText(router string, drain, latch bool) string {
	switch {
	case latch:
		return "takeovers are not damped any more"
	case drain:
		return ""
	case router == "":
		return "no router was drained"
	}
	return router + " was not drained"
}

// endDrain puts a router back into service. One that still serves, because nobody has taken its role yet, has it again.
func (c *Core) endDrain(now vrrp.Instant, name, reason string, fx *Effects) {
	if c.drains[name] == nil {
		return
	}
	delete(c.drains, name)
	c.planDrains()
	r := c.named(name)
	if r == nil {
		fx.event(Event{Kind: EventDrain, At: now, Router: name, To: "undrained", Reason: reason})
		return
	}
	r.drained = nil
	if r.fsm.Ready() {
		r.takeover.silence = now // what was known when it became ready is old
	}
	c.settleJoint(r)
	fx.about(r, Event{Kind: EventDrain, At: now, To: "undrained", Reason: reason})
	if r.cfg.Anycast != nil {
		c.evaluate(now, r, fx) // it may be wanted as the last resort now
	}
	if h := r.handover; h != nil && h.heard == vrrp.Never && r.group == nil || r.cfg.Anycast != nil {
		c.apply(now, r, r.fsm.Resume(now), fx)
	}
	c.unsettleOf(r)
	c.reschedule(r)
	c.dirty = true
}

// expireDrains ends those drains whose time is over.
func (c *Core) expireDrains(now vrrp.Instant, fx *Effects) {
	if c.drainEnds > now {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(c.drains)) {
		if c.drains[name].Ends <= now {
			c.endDrain(now, name, "its time is over", fx)
		}
	}
}

// switchOver hands the role of a router, and of those of its sync group, to another node now. Nothing is lost if there is
// none: it serves all the time, and takes the role back.
func (c *Core) switchOver(now vrrp.Instant, cmd *SwitchoverCommand, fx *Effects) {
	order := &switchover{SwitchoverCommand: *cmd}
	r := c.named(cmd.Router)
	if r == nil {
		c.conclude(order, fmt.Sprintf("there is no router %q", cmd.Router), "", fx)
		return
	}
	order.members = []*router{r}
	if r.group != nil {
		order.members = r.group.members
	}
	for _, m := range order.members {
		if why := c.refusesSwitchover(now, m); why != "" {
			c.conclude(order, m.cfg.Name+" "+why, "", fx)
			return
		}
	}
	if r.cfg.Anycast != nil {
		c.handOver(now, order, r, fx)
		return
	}
	for _, m := range order.members {
		why := attributed("handed over", order.By, order.Reason)
		h := c.newHandover(now, m, why)
		h.order = order
		c.demote(now, m, 0, why, h, fx)
		c.settleJoint(m)
		c.reschedule(m)
	}
}

// refusesSwitchover says why r cannot hand its role over; empty: it can try.
func (c *Core) refusesSwitchover(now vrrp.Instant, r *router) string {
	if r.cfg.Anycast != nil {
		return c.refusesServiceSwitchover(now, r)
	}
	switch why := c.unheard(r); {
	case c.stopping:
		return "is being stopped"
	case r.drained != nil:
		return "is " + r.drained.words()
	case r.fsm.State() != vrrp.Active:
		return fmt.Sprintf("is %s, not MASTER", r.stateWord())
	case why != "":
		return "cannot hand its role over: " + why
	case !r.addressesIn:
		return "has just become MASTER, and its addresses are not in yet"
	}
	return ""
}

// handedOver notes that the successor of r has been heard. When those of all members have, the switchover has succeeded,
// and they stay out until somebody says otherwise: the router with the higher priority would take the role back at once.
func (c *Core) handedOver(now vrrp.Instant, r *router, fx *Effects) {
	order := r.handover.order
	if order == nil {
		return
	}
	for _, m := range order.members {
		if h := m.handover; h != nil && h.order == order && h.heard == vrrp.Never {
			return
		}
	}
	c.succeeded(now, order, fx)
}

func (c *Core) succeeded(now vrrp.Instant, order *switchover, fx *Effects) {
	text := "the role is released, and another site is ready to take it"
	for _, m := range order.members {
		h := m.handover
		if h == nil || h.order != order {
			continue
		}
		h.order = nil
		if h.successor.IsValid() {
			text = fmt.Sprintf("%s has taken the role", h.successor)
		}
		d := &Drain{By: order.By, Reason: "switchover", Ends: vrrp.Never, Since: order.Since}
		if order.Reason != "" {
			d.Reason += ": " + order.Reason
		}
		c.setDrain(m.cfg.Name, d)
		m.drained = d
		c.settleJoint(m)
		c.reschedule(m)
		fx.about(m, Event{Kind: EventDrain, At: now, To: "drained", Reason: d.words()})
	}
	c.conclude(order, "", text+"; undrain lets this node take it back", fx)
}

// takeBack undoes a switchover that nobody has followed, and reports whether it did.
func (c *Core) takeBack(now vrrp.Instant, order *switchover, fx *Effects) bool {
	for _, m := range order.members {
		if h := m.handover; h != nil && h.order == order && h.heard != vrrp.Never {
			c.succeeded(now, order, fx) // in part; the group does not go apart
			return false
		}
	}
	if c.readyElsewhere(now, order) {
		c.succeeded(now, order, fx) // it begins when everything is let go of, and not before
		return false
	}
	bound := time.Duration(0)
	for _, m := range order.members {
		if h := m.handover; h == nil || h.order != order {
			continue
		}
		bound = max(bound, m.successorBound())
		c.tellHandover(now, m, "failed", "no other router has taken the role", fx)
		c.apply(now, m, m.fsm.Resume(now), fx)
		if m.handover != nil { // it follows somebody whom it was not to hear
			m.letGo(now, m.settleTime(m.handover))
			m.handover = nil
		}
		c.settleJoint(m)
		c.reschedule(m)
	}
	c.conclude(order, fmt.Sprintf("no other router took the role within %v; this node has it again, and nothing was lost", bound), "", fx)
	return true
}

// readyElsewhere reports whether another site has said lately that it could take the role of each member. Without an overlap
// it waits until this one has let go.
func (c *Core) readyElsewhere(now vrrp.Instant, order *switchover) bool {
	for _, m := range order.members {
		if h := m.handover; h != nil && h.order == order && !c.readyOutside(now, m) {
			return false
		}
	}
	return true
}

// conclude tells the outcome of a switchover, once.
func (c *Core) conclude(o *switchover, refused, text string, fx *Effects) {
	if !o.concluded {
		o.concluded = true
		fx.Verdicts = append(fx.Verdicts, CommandVerdict{Ref: o.Ref, Refused: refused, Text: text})
	}
}

// unsettleOf has the sync group of r looked at.
func (c *Core) unsettleOf(r *router) {
	if r.group != nil {
		c.unsettle(r.group)
	}
}

// named returns the router of that name, or nil.
func (c *Core) named(name string) *router {
	for _, r := range c.routers {
		if r.cfg.Name == name {
			return r
		}
	}
	return nil
}

func (c *Core) names() (names []string) {
	for _, r := range c.routers {
		names = append(names, r.cfg.Name)
	}
	return names
}

func (r *router) describeDrain() *DrainStatus {
	d := r.drained
	if d == nil {
		return nil
	}
	st := &DrainStatus{By: d.By, Reason: d.Reason, Since: d.Since}
	if !d.Until.IsZero() {
		until := d.Until
		st.Until = &until
	}
	return st
}
