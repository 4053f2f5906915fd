package status

import (
	"time"

	"failoverd/failover"
)

// checks lists the health checks, whether or not a router tracks them.
func (p *printer) checks(list []failover.CheckStatus, now time.Time) {
	rows := make([]row, 0, len(list))
	for i := range list {
		rows = append(rows, checkRow(&list[i], now))
	}
	p.table([]string{"CHECK", "VERDICT", "SINCE", "PROBE"}, rows)
}

func checkRow(c *failover.CheckStatus, now time.Time) row {
	verdict := cell{"failed", red}
	switch {
	case !c.Known:
		verdict = cell{"no result yet", yellow}
	case c.OK:
		verdict = cell{"ok", green}
	case c.Unknown:
		verdict = cell{"unknown", yellow}
	}
	since := cell{text: "-"}
	if c.Since != nil {
		since.text = ago(now, *c.Since)
	}
	r := row{cells: []cell{{text: clean(c.Name)}, verdict, since}, tail: cell{text: clean(c.Probe)}}
	if c.Known && !c.OK && c.Reason != "" {
		r.notes = append(r.notes, note{verdict.style, c.Reason})
	}
	return r
}
