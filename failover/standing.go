package failover

import (
	"fmt"

	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// masters says who is Active as far as r knows; nil: nobody it knows of. last is then who was heard last, if anybody was: it
// has released the role, or has been silent for Active_Down_Interval.
func (r *router) masters(now vrrp.Instant) (master, last *MasterStatus) {
	if r.fsm.State() == vrrp.Active {
		return &MasterStatus{Address: r.fsm.Source(), Priority: r.fsm.Priority(), Self: true}, nil
	}
	h := r.fsm.Heard()
	if !h.Address.IsValid() {
		return nil, nil
	}
	m := &MasterStatus{Address: h.Address, Priority: h.Priority, HeardMSAgo: millis(now.Sub(h.At))}
	if h.Priority == wire.PriorityRelease || now.Sub(h.At) > r.fsm.ActiveDownInterval() {
		if h.At < r.since && r.fsm.State() == vrrp.Backup {
			return nil, nil // it was heard in an earlier life: this node has been MASTER since, or out of the election
		}
		return nil, m
	}
	return m, nil
}

// standing says what is true of a Backup now, where neither why, what has led to its state, nor waiting says it; empty: they
// do.
func (r *router) standing(now vrrp.Instant, waiting string) string {
	if r.fsm.State() != vrrp.Backup || r.handover != nil {
		return ""
	}
	master, last := r.masters(now)
	switch {
	case last != nil && last.Priority == wire.PriorityRelease:
		return fmt.Sprintf("%s has released the role, %s ago", last.Address, plainSeconds(now.Sub(r.fsm.Heard().At)))
	case last != nil:
		return fmt.Sprintf("no MASTER is heard; %s was the last one, %s ago", last.Address, plainSeconds(now.Sub(r.fsm.Heard().At)))
	case master == nil && r.fsm.Ready():
		return "no MASTER has been heard"
	case master == nil || waiting != "" || master.Priority >= r.fsm.Priority():
		return ""
	case r.fsm.Following():
		return fmt.Sprintf("%s is left alone, although its priority %d is lower", master.Address, master.Priority)
	}
	return fmt.Sprintf("%s is MASTER still, although its priority %d is lower", master.Address, master.Priority)
}

// takesOver reports whether the end of Active_Down_Timer makes a Backup Active, without anybody else having a say.
func (c *Core) takesOver(r *router) bool {
	return r.fsm.State() == vrrp.Backup && r.group == nil && !r.guarded() && c.outOfService(r) == "" && !c.stopping
}
