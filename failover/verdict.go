package failover

import (
	"fmt"
	"strconv"

	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// verdict is what a tracked thing means to a router now.
type verdict struct {
	effect  int    // on the priority
	fault   string // why the router cannot run; empty: it can
	pending bool   // there is no result yet that it can start with
}

// result returns what is known of a tracked thing. An interface that nobody has told of is missing.
func (c *Core) result(now vrrp.Instant, name Tracker) (known, ok bool, value int, reason string) {
	k := c.trackers[name]
	if !k.known && name.Kind == TrackInterface && now >= c.looking.Add(firstLook) {
		return true, false, 0, missing
	}
	return k.known, k.ok, k.value, k.reason
}

// judge says what a line of a track_* block means to r now.
func (c *Core) judge(now vrrp.Instant, r *router, t *Track) verdict {
	known, ok, value, reason := c.result(now, t.Tracker)
	switch {
	case c.spared(r, t.Tracker):
		return verdict{}
	case !known && t.Weight == 0:
		return verdict{pending: true}
	case !known && t.Kind == TrackInterface:
		return verdict{effect: t.effect(false)} // if it stays so, it is missing, and nothing tells
	case !known && t.Kind != TrackFile:
		// Fail-safe: whichever is worse. Without reverse, that is what a failure does.
		return verdict{effect: min(t.effect(true), t.effect(false))}
	case t.Kind == TrackFile:
		return t.judgeFile(ok, value, reason)
	case t.Weight != 0:
		return verdict{effect: t.effect(ok)}
	case ok == t.Reverse:
		return verdict{fault: t.describe(ok, reason)}
	}
	return verdict{}
}

// effect returns what a result adds to the priority.
func (t *Track) effect(ok bool) int {
	switch {
	case ok != (t.Weight > 0):
		return 0
	case t.Reverse:
		return -t.Weight
	}
	return t.Weight
}

// Bounds of what a file may do to a priority: at the lower one it is a fault.
const (
	fileFault = -254
	fileMost  = 253
)

// judgeFile is judge for a file. One that cannot be watched counts as zero where it has a weight.
func (t *Track) judgeFile(ok bool, value int, reason string) verdict {
	switch {
	case !ok && t.Weight == 0:
		return verdict{fault: t.describe(false, reason)}
	case !ok:
		return verdict{}
	case t.Weight == 0 && (value != 0) != t.Reverse:
		return verdict{fault: fmt.Sprintf("%s is %d", t.Tracker, value)}
	}
	product := value * t.Weight
	if t.Reverse {
		product = -product
	}
	if product <= fileFault {
		return verdict{effect: fileFault, fault: fmt.Sprintf("%s is %d, times %d", t.Tracker, value, t.Weight)}
	}
	return verdict{effect: min(product, fileMost)}
}

// describe says why a result is a fault.
func (t *Track) describe(ok bool, reason string) string {
	if ok {
		return t.Tracker.String() + ": ok, which counts as a failure (reverse)"
	}
	if reason == "" {
		reason = "failed"
	}
	return t.Tracker.String() + ": " + reason
}

// trackingFault returns what a tracked thing keeps r from running for.
func (c *Core) trackingFault(now vrrp.Instant, r *router) (h hindrance) {
	for i := range r.cfg.Tracks {
		t := &r.cfg.Tracks[i]
		switch v := c.judge(now, r, t); {
		case v.fault != "":
			return c.notWell(now, r, v.fault)
		case v.pending && h.reason == "" && !r.serves():
			h = hindrance{reason: fmt.Sprintf("%s has no result yet", t.Tracker), pending: true}
			if t.Kind == TrackInterface {
				h.until = c.looking.Add(firstLook)
			}
		}
	}
	if h.reason == "" && c.lastBefore(r) != "" {
		return c.notWell(now, r, c.lastBefore(r))
	}
	return h
}

// notWell says what a fault that comes from a result means: an anycast service may go on as the last resort.
func (c *Core) notWell(now vrrp.Instant, r *router, fault string) hindrance {
	keeps, again := c.keepsLast(now, r)
	if keeps {
		return hindrance{last: fault, until: again}
	}
	return hindrance{reason: fault, until: again, tracked: true}
}

// weigh computes the effective priority of r: that of the configuration, and what the tracked things add, from 1 to 254.
// The address owner's never changes (RFC 9568 section 5.2.4).
func (c *Core) weigh(now vrrp.Instant, r *router, why string, fx *Effects) {
	base := r.cfg.VRRP.Priority
	if base == wire.PriorityOwner {
		return
	}
	total := int(base)
	var open span
	for i := range r.cfg.Tracks {
		if t := &r.cfg.Tracks[i]; c.spared(r, t.Tracker) {
			open = open.with(t)
			continue
		}
		total += c.judge(now, r, &r.cfg.Tracks[i]).effect
	}
	total = open.keep(total, int(r.priority)+r.rebased)
	r.rebased = 0
	p := uint8(min(max(total, 1), wire.PriorityOwner-1))
	r.fsm.SetPriority(p)
	if p == r.priority {
		return
	}
	from := r.priority
	r.priority = p
	if fx == nil {
		return // the start: nobody has been told anything
	}
	fx.about(r, Event{Kind: EventPriority, At: now, From: strconv.Itoa(int(from)), To: strconv.Itoa(int(p)), Reason: why})
	c.tellPriority(now, r, fx)
}
