package failovertest

import (
	"strings"
	"time"

	"failoverd/failover"
	"failoverd/vrrp"
)

// person feeds what somebody has asked for on the command line.
func (s *script) person(p *configParser, verb string, w *words) {
	var router, by, reason string
	d := failover.Drain{Ends: vrrp.Never, Since: wall(s.now)}
	for len(*w) > 0 {
		switch o := w.next(); o {
		case "for":
			length := p.duration(w)
			d.Ends, d.Until = s.now.Add(length), wall(s.now).Add(length)
		case "by":
			by = w.next()
		case "because":
			reason, *w = strings.Join(*w, " "), nil
		default:
			router = o
		}
	}
	d.By, d.Reason = by, reason
	switch verb {
	case "drain":
		s.step(failover.DrainCommand{Router: router, Drain: d})
	case "undrain":
		s.step(failover.UndrainCommand{Router: router, By: by})
	default:
		s.orders++
		s.step(failover.SwitchoverCommand{Router: router, By: by, Reason: reason, Since: time.Time{}, Ref: s.orders})
	}
}
