package vrrp

import (
	"fmt"

	"failoverd/vrrp/wire"
)

// Restart says why a router that runs with the parameters c cannot be given next while it runs: another interface,
// family, VRID, version or mode, or a change from or to address owner. There is a reason for each; none: it can.
func (c *Config) Restart(next *Config) (why []string) {
	differ := func(what string, old, next any) {
		if old != next {
			why = append(why, fmt.Sprintf("%s %v -> %v", what, old, next))
		}
	}
	differ("interface", c.Key.Interface, next.Key.Interface)
	differ("family", c.Key.Family, next.Key.Family)
	differ("virtual_router_id", c.Key.VRID, next.Key.VRID)
	differ("version", uint8(c.Version), uint8(next.Version))
	if c.Unicast != next.Unicast {
		mode := map[bool]string{false: "multicast", true: "unicast"}
		why = append(why, mode[c.Unicast]+" -> "+mode[next.Unicast])
	}
	if (c.Priority == wire.PriorityOwner) != (next.Priority == wire.PriorityOwner) {
		why = append(why, fmt.Sprintf("priority %d -> %d: only %d makes an address owner", c.Priority, next.Priority, wire.PriorityOwner))
	}
	return why
}

// Reconfigure gives a running router other parameters without disturbing it: state and timers stay, and the new
// values count from the next time they are used. It reports false, and changes nothing, when the change is too deep
// for that (see Config.Restart) or cfg is invalid; the caller then shuts the router down and makes a new one.
func (r *Router) Reconfigure(cfg Config) bool {
	if len(r.cfg.Restart(&cfg)) > 0 {
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
