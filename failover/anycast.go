package failover

import (
	"fmt"
	"time"

	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// AnycastConfig is what an anycast_service has that a vrrp_instance has not: a service without a peer. It serves and
// announces while all that it needs is all right, and nobody is asked. Inside it is a router that nobody can hear, of
// priority 255, so that it takes its role by itself: the order in which addresses and routes come and go, leases, drains
// and reloads are those of a router. It has no socket and sends nothing, and no word of VRRP is shown of it.
type AnycastConfig struct {
	// DrainTime is how long a drained service goes on: with its addresses, and with its routes as the last resort. Zero:
	// it is withdrawn at once.
	DrainTime time.Duration
	// KeepLast is the health check, or the group of them, that says that another node announces; empty: nobody looks. A
	// service that is not well goes on as the last resort until it has said so for Settle (keep_last).
	KeepLast string
	Settle   time.Duration
}

// States of an anycast service, as people see them. Its scripts and FIFOs are told the same words.
const (
	ServiceAnnounced = "ANNOUNCED" // its addresses are here, or on their way, and its routes follow them
	ServiceLast      = "LAST"      // it is not well, and goes on as the last resort because no other node is seen to announce
	ServiceDraining  = "DRAINING"  // a person takes it out: it still serves, and its routes are the last resort
	ServiceWithdrawn = "WITHDRAWN" // it could serve, and a person keeps it out
	ServiceFault     = "FAULT"     // something that it needs is not all right
	ServiceInit      = "INIT"      // something that it needs is not known yet
)

// NewAnycastVRRP returns the parameters of the router inside of an anycast service. Its addresses are advertised to nobody.
func NewAnycastVRRP(iface string) vrrp.Config {
	return vrrp.Config{
		Key: vrrp.Key{Interface: iface, Family: wire.IPv4, VRID: 1}, Version: wire.V3, Priority: wire.PriorityOwner,
		Interval: 100, Preempt: true,
	}
}

// Kind returns the word of the configuration for what c is.
func (c *RouterConfig) Kind() string {
	if c.Anycast != nil {
		return "anycast_service"
	}
	return "vrrp_instance"
}

// owner reports whether c is the address owner of RFC 9568: its addresses are those of its interface in every role.
func (c *RouterConfig) owner() bool {
	return c.Anycast == nil && c.VRRP.Priority == wire.PriorityOwner
}

// identity is what tells a router from the others of its node: its key, or the name of an anycast service.
type identity struct {
	key     vrrp.Key
	service string
}

func (c *RouterConfig) identity() identity {
	if c.Anycast != nil {
		return identity{service: c.Name}
	}
	return identity{key: c.VRRP.Key}
}

// restart says why c, which runs, cannot be given next while it runs; none: it can.
func (c *RouterConfig) restart(next *RouterConfig) []string {
	if (c.Anycast != nil) != (next.Anycast != nil) {
		return []string{c.Kind() + " -> " + next.Kind()}
	}
	return c.VRRP.Restart(&next.VRRP)
}

// serviceWord is the word for the state of an anycast service.
func (r *router) serviceWord() string {
	switch {
	case r.fsm.State() == vrrp.Active && r.last != "":
		return ServiceLast
	case r.fsm.State() == vrrp.Active:
		return ServiceAnnounced
	case r.fsm.State() == vrrp.Backup && (r.handover != nil || r.planned != nil):
		return ServiceDraining
	case r.fsm.State() == vrrp.Backup:
		return ServiceWithdrawn
	case r.retired || r.fault == "" || r.pending:
		return ServiceInit
	}
	return ServiceFault
}

// serviceWhy says what led an anycast service to where it is.
func (r *router) serviceWhy(e vrrp.Effect) string {
	switch {
	case e.To == vrrp.Active && r.last != "":
		return lastWords(r.last)
	case e.To == vrrp.Active && r.recovered != "":
		return "recovered from: " + r.recovered
	case e.To == vrrp.Active && e.From == vrrp.Backup:
		return "put back into service"
	case e.To == vrrp.Active:
		return "everything that it needs is all right"
	case e.To == vrrp.Backup && r.drained != nil:
		return r.drained.words()
	}
	return e.Cause.String()
}

// reword takes note that an anycast service is in another state than before although its role is the same.
func (c *Core) reword(now vrrp.Instant, r *router, why string, fx *Effects) {
	word := r.stateWord()
	if r.cfg.Anycast == nil || word == r.word {
		return
	}
	fx.about(r, Event{Kind: EventTransition, At: now, From: r.word, To: word, Reason: why})
	r.word, r.why, r.since, c.dirty = word, why, now, true
	c.tell(now, r, word, fx)
}

// nowBecause says what made an anycast service that serves what it is.
func (r *router) nowBecause() string {
	if r.last != "" {
		return lastWords(r.last)
	}
	return "everything that it needs is all right"
}

// newDrain returns the time in which an anycast service that is taken out still serves; nil: there is none.
func (r *router) newDrain(now vrrp.Instant, why string) *handover {
	if !r.addressesIn || r.cfg.Anycast.DrainTime == 0 {
		return nil
	}
	return &handover{why: why, since: now, until: now.Add(r.cfg.Anycast.DrainTime), heard: vrrp.Never}
}

// serviceWaits says what keeps an anycast service from going on, in words; empty: nothing.
func (c *Core) serviceWaits(now vrrp.Instant, r *router) string {
	switch {
	case r.handover != nil:
		return fmt.Sprintf("for drain_time %s to pass; until then it goes on serving", r.handover.until.Sub(r.handover.since))
	case c.stopping:
		return "the agent stops"
	case r.fault != "":
		return r.fault + c.waitsForLast(now, r)
	case c.outOfService(r) != "":
		return c.outOfService(r) + "; undrain ends that"
	case r.fsm.State() == vrrp.Active && !r.addressesIn:
		return "for the kernel to report the addresses in"
	case c.railed(now, r) != "":
		return c.railed(now, r)
	case r.fsm.State() == vrrp.Active && r.last != "":
		return c.waitsForOther(now, r)
	case r.releasing:
		return r.waitsToLetGo()
	}
	return ""
}
