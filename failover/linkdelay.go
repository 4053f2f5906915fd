package failover

import (
	"fmt"
	"slices"
	"time"

	"failoverd/vrrp"
)

// lull is a change of an interface that does not count before it has lasted (interface_up_down_delays).
type lull struct {
	name string
	up   bool
	due  vrrp.Instant
}

// settleLink puts off a change of i.Up since old if the configuration wants it to last first. An interface that goes away
// takes everything with it, so that this is not put off; nor is what is heard of one for the first time.
func (c *Core) settleLink(now vrrp.Instant, old, i *Interface) {
	c.lulls = slices.DeleteFunc(c.lulls, func(l lull) bool {
		return l.name == i.Name && (i.Index == 0 || l.up != i.Up)
	})
	delay, ok := c.cfg.LinkDelays[i.Name]
	if !ok || i.Index == 0 || old == nil && now < c.looking.Add(firstLook) {
		return
	}
	was := old != nil && old.Up
	if i.Up == was {
		return
	}
	if d := delay.of(i.Up); d > 0 {
		if !slices.ContainsFunc(c.lulls, func(l lull) bool { return l.name == i.Name }) {
			c.lulls = append(c.lulls, lull{name: i.Name, up: i.Up, due: now.Add(d)})
		}
		i.Up = was
	}
}

// of returns how long a change must last.
func (d LinkDelay) of(up bool) time.Duration {
	if up {
		return d.Up
	}
	return d.Down
}

// lastingLinks makes changes count that have lasted for long enough.
func (c *Core) lastingLinks(now vrrp.Instant, fx *Effects) {
	for {
		n := slices.IndexFunc(c.lulls, func(l lull) bool { return l.due <= now })
		if n < 0 {
			return
		}
		l := c.lulls[n]
		c.lulls = slices.Delete(c.lulls, n, n+1)
		if i := c.interfaces[l.name]; i != nil {
			next := *i
			next.Up = l.up
			c.interfaceIs(now, i, &next, fx)
		}
	}
}

// downReason says why an interface counts as down.
func (c *Core) downReason(name string) string {
	if slices.ContainsFunc(c.lulls, func(l lull) bool { return l.name == name && l.up }) {
		return fmt.Sprintf("interface %s has not been up for %v yet", name, c.cfg.LinkDelays[name].Up)
	}
	return fmt.Sprintf("interface %s is down", name)
}

// nextLull returns when a change of an interface counts.
func (c *Core) nextLull() vrrp.Instant {
	d := vrrp.Never
	for i := range c.lulls {
		d = min(d, c.lulls[i].due)
	}
	return d
}

// hurryLinks makes changes count at once that another configuration does not delay any more.
func (c *Core) hurryLinks(now vrrp.Instant, fx *Effects) {
	for i := range c.lulls {
		l := &c.lulls[i]
		if c.cfg.LinkDelays[l.name].of(l.up) == 0 {
			l.due = now
		}
	}
	c.lastingLinks(now, fx)
}
