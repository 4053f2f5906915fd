package status

import (
	"fmt"
	"strconv"
	"time"

	"failoverd/failover"
)

// checks lists the health checks, whether or not a router tracks them.
func (p *printer) checks(list []failover.CheckStatus, now time.Time) {
	rows := make([]row, 0, len(list))
	for i := range list {
		rows = append(rows, checkRow(&list[i], now))
	}
	p.table([]string{"CHECK", "VERDICT", "SINCE", "RTT", "LOSS", "PROBE"}, rows)
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
	rtt, loss := measured(c)
	r := row{cells: []cell{{text: clean(c.Name)}, verdict, since, rtt, loss}, tail: cell{text: clean(c.Probe)}}
	if c.Known && !c.OK && c.Reason != "" {
		r.notes = append(r.notes, note{verdict.style, c.Reason})
	}
	if c.Warning != "" {
		r.notes = append(r.notes, note{yellow, "warning: " + c.Warning})
	}
	return r
}

// checkGroups lists the check groups, with those members that are not up.
func (p *printer) checkGroups(list []failover.CheckGroupStatus, now time.Time) {
	rows := make([]row, 0, len(list))
	for i := range list {
		rows = append(rows, checkGroupRow(&list[i], now))
	}
	p.table([]string{"CHECK GROUP", "VERDICT", "SINCE", "UP", "RULE"}, rows)
}

func checkGroupRow(g *failover.CheckGroupStatus, now time.Time) row {
	verdict := cell{g.Verdict, map[string]style{"up": green, "down": red}[g.Verdict]}
	switch {
	case !g.Known:
		verdict = cell{"no result yet", yellow}
	case g.Verdict == "unknown":
		verdict.style = yellow
	}
	since, up := cell{text: "-"}, 0
	if g.Since != nil {
		since.text = ago(now, *g.Since)
	}
	var notes []note
	for i := range g.Members {
		m := &g.Members[i]
		if m.Verdict == "up" {
			up++
			continue
		}
		text := m.Kind + " " + m.Name + " is " + m.Verdict
		if m.Reason != "" {
			text += ": " + m.Reason
		}
		notes = append(notes, note{yellow, text})
	}
	return row{
		cells: []cell{{text: clean(g.Name)}, verdict, since, {text: fmt.Sprintf("%d/%d", up, len(g.Members))}},
		tail:  cell{text: g.Rule}, notes: shorten(notes, "/v1/status of the status socket"),
	}
}

// measured returns the round trip and the loss over the last probes; "-" without any.
func measured(c *failover.CheckStatus) (rtt, loss cell) {
	rtt, loss = cell{text: "-"}, cell{text: "-"}
	if c.RTTMS > 0 {
		rtt.text = strconv.FormatFloat(c.RTTMS, 'f', 1, 64) + "ms"
	}
	if c.Probes > 0 {
		loss.text = strconv.FormatFloat(c.LossPercent, 'f', 0, 64) + "%"
	}
	return rtt, loss
}
