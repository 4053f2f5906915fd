package failover

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// SetWallClock tells the core the time in nanoseconds since the Unix epoch. Only auth_hmac looks at it, whose numbers are
// made of it: whoever feeds the core tells it before each call that may send or receive an advertisement. Nothing else
// depends on the wall clock, and no deadline does.
func (c *Core) SetWallClock(wall int64) { c.wallClock = wall }

// sign prepares the trailer that all copies of the advertisement a carry.
func (c *Core) sign(r *router, a *wire.Advertisement) {
	r.fsm.SetWallClock(c.wallClock)
	r.trailer = r.fsm.Sign(a)
}

// noteSkew logs that the clock of a sender drifts out of the window, at most one line per logGap.
func (c *Core) noteSkew(now vrrp.Instant, r *router, fx *Effects) {
	if !r.fsm.SkewAlarming() || !r.skewLog.allows(now) {
		return
	}
	skew := r.fsm.ClockSkew()
	fx.about(r, Event{
		Kind: EventClockSkew, At: now, Peer: skew.Sender, To: skewText(skew.By),
		Reason: fmt.Sprintf("auth_hmac refuses advertisements beyond %v", r.cfg.VRRP.HMAC.TimeWindow),
	})
}

func skewText(by time.Duration) string {
	word := "ahead"
	if by < 0 {
		word = "behind"
	}
	return fmt.Sprintf("%v %s", by.Abs().Round(time.Millisecond), word)
}

// describeHMAC fills in what people may know of a router's auth_hmac: everything but the keys.
func (r *router) describeHMAC(st *RouterStatus) {
	h := r.cfg.VRRP.HMAC
	if h == nil {
		return
	}
	a := &HMACStatus{
		Mode: h.Mode.String(), AntiReplay: h.AntiReplay.String(), ActiveKey: h.ActiveKey, Keys: keyIDs(h),
		WindowMS: millis(h.TimeWindow), Outcomes: make(map[string]uint64),
	}
	for o, n := range r.fsm.Outcomes() {
		if n != 0 {
			a.Outcomes[vrrp.Outcome(o).String()] = n
		}
	}
	if s := r.fsm.ClockSkew(); s.Sender.IsValid() {
		ms := millis(s.By)
		a.SkewMS, a.SkewOf = &ms, s.Sender.String()
	}
	st.HMAC = a
}

// keyIDs returns the IDs of the keys, in order.
func keyIDs(h *vrrp.HMAC) []int {
	ids := make([]int, 0, len(h.Keys))
	for i := range h.Keys {
		ids = append(ids, int(h.Keys[i].ID))
	}
	slices.Sort(ids)
	return ids
}

// publicHMAC is what a plan may show of auth_hmac.
func publicHMAC(h *vrrp.HMAC) string {
	if h == nil {
		return "none"
	}
	var p phrase
	p.say(h.Mode.String(), "keys", strings.Trim(fmt.Sprint(keyIDs(h)), "[]"), "active_key", fmt.Sprint(h.ActiveKey),
		"anti_replay", h.AntiReplay.String())
	if h.AntiReplay == vrrp.ReplayTime {
		p.say("time_window", h.TimeWindow.String())
	}
	return p.String()
}
