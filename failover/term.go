package failover

import (
	"fmt"
	"math"

	"failoverd/failover/heartbeat"
	"failoverd/vrrp"
)

// serviceKey names a service the same way in all sites.
type serviceKey struct {
	home string // the site that it belongs to
	heartbeat.Service
}

// term is the newest term of a service that this node has heard of, and since when.
type term struct {
	heartbeat.Term
	since vrrp.Instant
}

// lastEpoch is where claims end: a number beyond it comes from somebody who is broken.
const lastEpoch = math.MaxUint64 / 2

// newer reports whether a goes before b: the higher epoch, and of two claims of one epoch that of the home site, so that
// everybody decides the same way.
func newer(a, b heartbeat.Term, home string) bool {
	switch {
	case a.Epoch != b.Epoch:
		return a.Epoch > b.Epoch
	case a.Holder == b.Holder:
		return false
	case a.Holder == home || b.Holder == home:
		return a.Holder == home
	}
	return a.Holder > b.Holder
}

// termOf returns the newest term of the service of r; the zero value: nobody has served yet.
func (c *Core) termOf(r *router) term { return c.region.terms[r.service()] }

// service returns the name of r's service between sites; it has none if it knows no other site.
func (r *router) service() serviceKey {
	k := r.cfg.VRRP.Key
	return serviceKey{r.cfg.Region.Home, heartbeat.Service{Family: uint8(k.Family), VRID: k.VRID}}
}

// guarded reports whether r takes part in an election between sites.
func (r *router) guarded() bool { return r.cfg.Region.Home != "" }

// learn takes over a term if it is newer than what is known. Whoever serves under an older one stops at once (safety
// property S8).
func (c *Core) learn(now vrrp.Instant, k serviceKey, t heartbeat.Term, from string, fx *Effects) {
	old := c.region.terms[k]
	if t.Epoch == 0 || t.Epoch > lastEpoch || !newer(t, old.Term, k.home) {
		return
	}
	c.region.terms[k] = term{t, now}
	c.dirty = true
	for _, r := range c.routers {
		if !r.guarded() || r.service() != k {
			continue
		}
		fx.about(r, Event{Kind: EventTerm, At: now, From: describeTerm(old.Term), To: describeTerm(t), Reason: from})
		if t.Holder != r.cfg.Region.Self {
			c.overruled(now, r, t, fx)
		}
	}
}

func describeTerm(t heartbeat.Term) string {
	if t.Epoch == 0 {
		return ""
	}
	return fmt.Sprintf("%d %s", t.Epoch, t.Holder)
}

// overruled makes r leave its role because another site holds a newer term.
func (c *Core) overruled(now vrrp.Instant, r *router, t heartbeat.Term, fx *Effects) {
	r.clean = now
	c.overtaken(now, r, t, fx)
	e := r.fsm.Resign(now, 0, vrrp.CauseTerm)
	e.Advert = false // the holder is there: to release the role would wake others who must not have it either
	c.apply(now, r, e, fx)
	if r.group != nil {
		c.unsettle(r.group)
	}
	c.reschedule(r)
}

// claim makes r, which has just become Active, the holder of the newest term of its service. Within a site the role moves
// under one term.
func (c *Core) claim(now vrrp.Instant, r *router, fx *Effects) {
	if !r.guarded() {
		return
	}
	t := c.termOf(r)
	if t.Holder == r.cfg.Region.Self {
		return
	}
	c.learn(now, r.service(), heartbeat.Term{Epoch: t.Epoch + 1, Holder: r.cfg.Region.Self}, "claimed by this node", fx)
	if w := c.watchOf(r); w != nil {
		c.tookOver(now, w, r)
	}
}
