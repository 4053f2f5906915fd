package failover

import (
	"fmt"
	"strings"
)

// RecoveryText returns what RTO has reckoned for people: a heading for each router, a line for each failure, and an
// indented one for each term and for what else there is to say.
func RecoveryText(list []RecoveryStatus) string {
	var b strings.Builder
	router := ""
	for i := range list {
		s := &list[i]
		if s.Router != router {
			if router != "" {
				b.WriteByte('\n')
			}
			router = s.Router
			kind := s.Kind
			if kind == "" {
				kind = "vrrp_instance"
			}
			fmt.Fprintf(&b, "%s %s: at most\n", kind, router)
		}
		s.text(&b)
	}
	if len(list) == 0 {
		return "there is no vrrp_instance, so nothing to recover\n"
	}
	return b.String()
}

// text writes one failure.
func (s *RecoveryStatus) text(b *strings.Builder) {
	total := "no bound"
	if s.TotalMS != nil {
		total = fmt.Sprintf("%.2f s", *s.TotalMS/1000)
	}
	fmt.Fprintf(b, "  %-24s %12s\n", s.Failure, total)
	for _, t := range s.Terms {
		fmt.Fprintf(b, "    %-26s %6.2f s  %s\n", t.Name, t.MS/1000, t.Why)
	}
	if s.Note != "" {
		fmt.Fprintf(b, "    (%s)\n", s.Note)
	}
}
