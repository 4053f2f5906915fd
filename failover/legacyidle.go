package failover

import (
	"fmt"
	"time"

	"failoverd/vrrp"
)

// LegacyIdle is one router that cannot run. Programs that know nothing of it go on without.
type LegacyIdle struct {
	Key string // as of an Heir
	// Word, Since and Why are of the state that it is in, Fault is what keeps it from running.
	Word     string
	Since    vrrp.Instant
	Why      string
	Fault    string
	Counters RouterCounters
	// Refused is for how much longer the role is left to others, from Legacy.At on, because of Refusal: an address that the
	// kernel has refused; 0: it is not.
	Refused time.Duration `json:",omitempty"`
	Refusal string        `json:",omitempty"`
}

// legacyIdle returns that of r.
func (c *Core) legacyIdle(now vrrp.Instant, r *router) LegacyIdle {
	i := LegacyIdle{Key: r.cfg.heirKey(), Word: r.word, Since: r.since, Why: r.why, Fault: r.fault, Counters: r.counters}
	if r.refusedUntil > now {
		i.Refused, i.Refusal = r.refusedUntil.Sub(now), r.refusal
	}
	return i
}

// check says what makes no sense.
func (i *LegacyIdle) check(at vrrp.Instant) error {
	switch {
	case i.Refused < 0 || i.Refused > RefusalPause || (i.Refused > 0) != (i.Refusal != ""):
		return fmt.Errorf("%w: router %s is left to others for %v because of %q", ErrLegacy, i.Key, i.Refused, i.Refusal)
	case i.Since > at:
		return fmt.Errorf("%w: router %s cannot run since %d, later than the end at %d", ErrLegacy, i.Key, i.Since, at)
	}
	return nil
}

// takeUpIdle makes routers that could not run what they were: nothing of their faults is told again.
func (c *Core) takeUpIdle(l *Legacy) {
	for _, r := range c.routers {
		for i := range l.Idle {
			if h := &l.Idle[i]; h.Key == r.cfg.heirKey() && r.legacy == nil {
				r.idle(l.At, h)
				break
			}
		}
	}
}

// idle makes r a router that could not run at at.
func (r *router) idle(at vrrp.Instant, h *LegacyIdle) {
	r.counters = h.Counters
	if h.Refused > 0 {
		r.refusal, r.refusedUntil = h.Refusal, at.Add(h.Refused)
	}
	if h.Fault == "" {
		return
	}
	r.fault, r.pending, r.untested = h.Fault, false, nil // only who runs is spared what nobody has looked at yet
	r.word, r.since, r.why = h.Word, h.Since, h.Why
}
