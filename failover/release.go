package failover

import (
	"slices"
	"time"

	"failoverd/vrrp"
)

// ReleaseBound is the longest time that a router which lost its role keeps its addresses in order to have its routes
// withdrawn first: traffic is repelled before it is no longer accepted. A speaker that answers takes a millisecond.
const ReleaseBound = 250 * time.Millisecond

// DefaultWithdrawGrace is withdraw_grace where the configuration has no other. That a route is withdrawn is known when the
// speaker's table has changed; the neighbor still has to hear of it, to choose another route and to put that into its
// forwarding table, which takes a router from milliseconds up to about 100 ms, and FRR tells others of a kernel route that
// has gone about 60 ms late.
const DefaultWithdrawGrace = 200 * time.Millisecond

// release is how a router lets go of what it holds. The role has been given up, and nothing of it is announced.
type release struct {
	stage releaseStage
	// until is when the stage ends at the latest.
	until vrrp.Instant
	// generation is that of the newest routes that matter (0: not flushed yet), through are the speakers to wait for.
	generation uint64
	through    []string
	// settle is how long what is held stays once it attracts nothing any more; 0: it does not, because the move is not an
	// orderly one.
	settle time.Duration
	// forwards: virtual routes and rules stay as long as the addresses do. Without announcements it is their removal that a
	// routing daemon makes a withdrawal of, and they go first.
	forwards bool
}

// releaseStage is how far a release has got.
type releaseStage uint8

const (
	withdrawing releaseStage = iota // announced or exported routes are being withdrawn
	settling                        // they are, and the neighbors' tables follow
	removing                        // virtual routes and rules that were to forward what came meanwhile are being removed
)

// Attracts reports whether c leads traffic here by routes: those that it announces, or virtual routes, which a routing daemon
// may export.
func (c *RouterConfig) Attracts() bool { return c.Announces(RoleActive) || len(c.Routes) > 0 }

// grace returns withdraw_grace where it has an effect.
func (c *RouterConfig) grace() time.Duration {
	if !c.Attracts() {
		return 0
	}
	return c.WithdrawGrace
}

// settleTime returns how long what r holds stays after its routes are withdrawn, if it leaves its role in order, by a
// handover (nil: none). If another site is not to serve beside this one, it waits until this one has let go: then every
// moment more is an outage.
func (r *router) settleTime(h *handover) time.Duration {
	strict := len(r.cfg.Region.Remote) > 0 && r.cfg.Region.HandoverOverlap == 0
	if strict && (h == nil || h.heard == vrrp.Never || h.outside) {
		return 0
	}
	return r.cfg.grace()
}

// letGo begins to let go of what is held, which stays for settle once it is withdrawn. There is nothing to wait for if the
// role came and went before the kernel had answered, but for what is left of the time before: what it has not added yet, it
// will not add.
func (r *router) letGo(now vrrp.Instant, settle time.Duration) {
	if !r.attracting {
		r.releasing = settle > 0 && r.release.stage == settling && now < r.release.until
		return
	}
	r.releasing = true
	r.release = release{
		until: now.Add(ReleaseBound), through: r.release.through[:0], settle: settle, forwards: settle > 0 && r.cfg.Announces(RoleActive),
	}
	for i := range r.cfg.Announce {
		if s := r.cfg.Announce[i].Speaker; !slices.Contains(r.release.through, s) {
			r.release.through = append(r.release.through, s)
		}
	}
}

// settles reports whether r has left its role in order and lets go of what it holds, or is about to.
func (r *router) settles() bool { return r.releasing && r.release.settle > 0 }

// hasten makes r, which must not serve any more, let go of what it holds without settling.
func (c *Core) hasten(now vrrp.Instant, r *router) {
	if !r.settles() {
		return
	}
	l := &r.release
	l.settle, c.dirty = 0, true
	switch {
	case l.stage == settling:
		l.until = now
	case l.stage == withdrawing && l.forwards:
		if l.forwards = false; l.generation != 0 {
			c.objects.withdraw(r)
		}
	}
	c.reschedule(r)
}

// finishReleases lets go of the addresses of routers whose routes are withdrawn, or that have waited long enough.
func (c *Core) finishReleases(now vrrp.Instant) {
	for _, routers := range [...][]*router{c.routers, c.leaving} {
		for _, r := range routers {
			c.finishRelease(now, r)
		}
	}
}

func (c *Core) finishRelease(now vrrp.Instant, r *router) {
	if !r.releasing {
		return
	}
	for r.releasing && c.stageOver(now, r) {
		c.nextStage(now, r)
	}
	c.reschedule(r)
}

// stageOver reports whether there is nothing more to wait for in a stage, or it has lasted for long enough.
func (c *Core) stageOver(now vrrp.Instant, r *router) bool {
	l := &r.release
	switch l.stage {
	case withdrawing:
		if l.generation == 0 {
			l.generation = c.routes
			if !l.forwards {
				c.objects.withdraw(r)
			}
		}
		r.attracting = c.unanswered(r) || c.objects.pending(r)
		return !r.attracting || now >= l.until
	case settling:
		return now >= l.until
	case removing:
		return !c.objects.pending(r) || now >= l.until
	}
	panic(l.stage)
}

func (c *Core) nextStage(now vrrp.Instant, r *router) {
	l := &r.release
	switch {
	case l.stage == withdrawing && l.settle > 0:
		l.stage, l.until = settling, now.Add(l.settle)
	case l.forwards:
		l.stage, l.until, l.forwards = removing, now.Add(ReleaseBound), false
		c.objects.withdraw(r)
	default:
		r.releasing = false
	}
}

// unanswered reports whether a speaker has not acknowledged yet that r's routes are to be withdrawn. One that a reload
// removes withdraws on its way out and does not answer any more; it gets all the time there is.
func (c *Core) unanswered(r *router) bool {
	return slices.ContainsFunc(r.release.through, func(name string) bool {
		s := c.speakers[name]
		return s == nil || !s.acknowledged(r.release.generation)
	})
}

// waitsToLetGo says what a router that lets go of what it holds waits for, in words.
func (r *router) waitsToLetGo() string {
	if r.release.stage == settling {
		return "for withdraw_grace " + r.release.settle.String() + " to pass: its routes are withdrawn, and the neighbors' tables follow"
	}
	return "for its routes to be withdrawn before the addresses go"
}

// Fixtures returns the macvlan interfaces that are to be there, and the addresses that are not to be accepted (no_accept):
// those of the configuration, and those of routers that a reload has removed and that still hold something.
func (c *Core) Fixtures() (devices []Device, refused []AddressKey) {
	devices, refused = c.cfg.Devices(), c.cfg.NotAccepted()
	for _, r := range c.leaving {
		old := Config{Routers: []RouterConfig{*r.cfg}}
		for _, d := range old.Devices() {
			if !slices.ContainsFunc(devices, func(o Device) bool { return o.Name == d.Name }) {
				devices = append(devices, d)
			}
		}
		for _, k := range old.NotAccepted() {
			if !slices.Contains(refused, k) {
				refused = append(refused, k)
			}
		}
	}
	return devices, refused
}

// Leaving returns how many routers a reload has removed that still hold something.
func (c *Core) Leaving() int { return len(c.leaving) }
