package vrrp

import "failoverd/vrrp/wire"

// Reconfigure gives a running router other parameters without disturbing it: state and timers stay, and the new
// values count from the next time they are used. It reports false, and changes nothing, when the change is too deep
// for that - another key, version, mode (unicast or multicast) or a change from or to owner - or cfg is invalid; the
// caller then shuts the router down and makes a new one.
func (r *Router) Reconfigure(cfg Config) bool {
	old := &r.cfg
	owner := func(c *Config) bool { return c.Priority == wire.PriorityOwner }
	if cfg.Key != old.Key || cfg.Version != old.Version || cfg.Unicast != old.Unicast || owner(&cfg) != owner(old) {
		return false
	}
	interval := cfg.Interval
	if r.use(cfg) != nil {
		return false
	}
	if r.state != Backup {
		r.learned = interval
	}
	return true
}
