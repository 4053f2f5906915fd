package failovertest

import (
	"slices"
	"time"

	"failoverd/vrrp"
)

// lanView says since when a virtual router has been without an Active router, or had two; Never: it is not so.
type lanView struct{ none, two vrrp.Instant }

// expectation says that somebody has to be Active by an instant.
type expectation struct {
	key vrrp.Key
	by  vrrp.Instant
	why string
}

// election: in calm times a LAN has an Active router, and never two for longer than an exchange (S1, S2).
func (c *checker) election(k vrrp.Key, v *lanView) {
	if c.touched {
		active, eligible := c.candidates(k)
		v.none, v.two = began(v.none, active == 0 && eligible > 0, c.w.now), began(v.two, active > 1, c.w.now)
	}
	if c.over(v.none, c.longest) {
		c.fail("S1", "nobody has been Active for %s since %s", k, FormatInstant(v.none))
	}
	if c.over(v.two, c.interval+c.rtt) {
		c.fail("S2", "two have been Active for %s since %s", k, FormatInstant(v.two))
	}
}

// candidates returns how many are Active for a virtual router, and how many could be.
func (c *checker) candidates(k vrrp.Key) (active, eligible int) {
	for _, h := range c.w.Hosts {
		if a := h.agent; a != nil && !a.frozen && a.stopAt == vrrp.Never && h.Kernel.up("eth0") && router(a.core.Config(), k) != nil {
			switch a.state(k).word {
			case "MASTER":
				active++
				eligible++
			case "FAULT":
				// Its kernel has refused an address: it leaves the role to others.
				if !c.refusals && c.fit(h, k) {
					eligible++
				}
			default:
				if c.fit(h, k) {
					eligible++
				}
			}
		}
	}
	return active, eligible
}

// began returns since when something has been so, given since when it was so before.
func began(since vrrp.Instant, so bool, now vrrp.Instant) vrrp.Instant {
	switch {
	case !so:
		return vrrp.Never
	case since == vrrp.Never:
		return now
	}
	return since
}

// expect says that a host's roles are about to end: somebody has to take them within the time that the protocol gives,
// after a silence (L1) or a farewell (L2), if nothing else happens.
func (c *checker) expect(h *Host, farewell bool) {
	c.expectOf(h, farewell, func(vrrp.Key) bool { return true }, 0)
}

// expectOf is expect for some of the roles. It may take so much longer.
func (c *checker) expectOf(h *Host, farewell bool, which func(vrrp.Key) bool, more time.Duration) {
	a, calm := h.agent, c.over(0, c.longest)
	c.disturb()
	if a == nil || a.frozen || !calm {
		return
	}
	for _, k := range c.keys {
		if a.state(k).word != "MASTER" || !which(k) {
			continue
		}
		best := uint8(0)
		for _, o := range c.w.Hosts {
			if o != h && o.agent != nil && !o.agent.frozen && o.agent.stopAt == vrrp.Never && o.agent.state(k).word == "BACKUP" && c.fit(o, k) {
				best = max(best, c.rank(o.agent, router(o.agent.core.Config(), k)))
			}
		}
		if best == 0 {
			continue
		}
		e := expectation{key: k, by: c.w.now.Add(skew(best, c.interval) + c.rtt + more), why: "L2"}
		if !farewell {
			e.by, e.why = e.by.Add(3*c.interval), "L1"
		}
		c.expected = append(c.expected, e)
	}
}

func (c *checker) expectations() {
	c.expected = slices.DeleteFunc(c.expected, func(e expectation) bool {
		if slices.ContainsFunc(c.w.Hosts, func(h *Host) bool {
			return h.agent != nil && h.agent.stopAt == vrrp.Never && h.agent.state(e.key).word == "MASTER"
		}) {
			return true
		}
		if c.w.now > e.by {
			c.fail(e.why, "nobody has taken %s over by %s", e.key, FormatInstant(e.by))
		}
		return false
	})
}
