package status

import (
	"fmt"
	"strings"

	"failoverd/failover"
)

// hmac is about the authentication of a router's advertisements.
func (p *printer) hmac(h *failover.HMACStatus) {
	if h == nil {
		return
	}
	keys := strings.Trim(fmt.Sprint(h.Keys), "[]")
	window := ""
	if h.AntiReplay == "time" {
		window = " within " + millis(h.WindowMS)
	}
	p.field("auth_hmac", "%s, keys %s, %d signs, anti_replay %s%s%s", h.Mode, keys, h.ActiveKey, h.AntiReplay, window, skew(h))
	if o := drops(h.Outcomes); o != "" {
		p.field("verified", "%s", o)
	}
}

// skew says how well the clocks agree.
func skew(h *failover.HMACStatus) string {
	if h.SkewMS == nil {
		return ""
	}
	by, word := *h.SkewMS, "ahead"
	if by < 0 {
		by, word = -by, "behind"
	}
	return fmt.Sprintf("; clock of %s %s %s", h.SkewOf, millis(by), word)
}
