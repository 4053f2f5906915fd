package vrrp

import "failoverd/vrrp/wire"

// WithoutDrops returns a copy of r without the counters that a refused packet may move.
func (r *Router) WithoutDrops() Router {
	c := *r
	c.drops = wire.DropCounters{}
	return c
}

// ReceiveActive is the rung behind all checks, for packets that those keep away.
func (r *Router) ReceiveActive(now Instant, p *wire.Packet) Effect { return r.receiveActive(now, p) }
