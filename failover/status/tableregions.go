package status

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"failoverd/failover"
)

// regions is about other sites: the own one's authority, those that are watched with their votes, and who is talked to.
func (p *printer) regions(s *failover.Snapshot) {
	p.sites(s)
	p.watches(s)
	p.partners(s.Partners)
	p.heard(s.Heard)
	p.listeners(s.Listeners)
}

func (p *printer) sites(s *failover.Snapshot) {
	if len(s.Sites) == 0 {
		return
	}
	p.line("")
	rows := make([]row, 0, len(s.Sites))
	for i := range s.Sites {
		st := &s.Sites[i]
		left := cell{text: "-"}
		if st.AckMSAgo != nil {
			left.text = fmt.Sprintf("%.1f of %.1f s", st.RemainingMS/1000, st.FenceMS/1000)
		}
		rows = append(rows, row{cells: []cell{{text: clean(st.Name)}, {st.Authority, authorityStyle(st.Authority)}, left}, tail: cell{text: clean(st.Why)}})
	}
	p.table([]string{"SITE", "AUTHORITY", "LEFT", "WHY"}, rows)
}

func authorityStyle(word string) style {
	switch word {
	case "valid":
		return green
	case "lost":
		return red
	}
	return yellow
}

func (p *printer) watches(s *failover.Snapshot) {
	if len(s.Watches) == 0 {
		return
	}
	p.line("")
	rows := make([]row, 0, len(s.Watches))
	for i := range s.Watches {
		rows = append(rows, watchRow(&s.Watches[i]))
	}
	p.table([]string{"WATCHED SITE", "VERDICT", "DOWN VOTES", "HEARD", "OBSERVED", "TAKEOVER HELD BACK"}, rows)
}

func watchRow(w *failover.WatchStatus) row {
	heard, held := "-", cell{orDash(w.Held), plain}
	if w.HeardMSAgo != nil {
		heard = millis(*w.HeardMSAgo) + " ago"
	}
	if !w.Contact || w.Latched {
		held.style = red
	}
	r := row{cells: []cell{
		{text: clean(w.Name)},
		{w.Verdict, verdictStyle(w.Verdict)},
		{text: fmt.Sprintf("%d, %d needed", w.Down, w.Quorum)},
		{text: heard},
		{text: fmt.Sprintf("%.1f of %.1f s", w.ObservedMS/1000, w.TakeoverMS/1000)},
	}, tail: held}
	for _, v := range w.Votes {
		text := v.Name + " says " + v.Says
		if v.Reason != "" {
			text += ": " + v.Reason
		}
		if v.SinceMS > 0 {
			text += fmt.Sprintf(" (for %.1f s)", v.SinceMS/1000)
		}
		r.notes = append(r.notes, note{verdictStyle(v.Says), text})
	}
	return r
}

// verdictStyle: that another site is up is as it should be.
func verdictStyle(word string) style {
	switch word {
	case "up":
		return green
	case "down":
		return red
	}
	return yellow
}

func (p *printer) partners(list []failover.PartnerStatus) {
	if len(list) == 0 {
		return
	}
	p.line("")
	rows := make([]row, 0, len(list))
	for i := range list {
		q := &list[i]
		answered, rtt := cell{"never", red}, "-"
		if q.AnsweredMSAgo != nil {
			answered = cell{millis(*q.AnsweredMSAgo) + " ago", plain}
		}
		if q.RTTMS != nil {
			rtt = millis(*q.RTTMS)
		}
		r := row{cells: []cell{{text: clean(q.ID)}, {text: clean(q.Address)}, answered, {text: rtt}}, tail: cell{text: outcomes(q.Outcomes)}}
		if q.Error != "" {
			r.notes = append(r.notes, note{red, q.Error})
		}
		r.notes = append(r.notes, refusals(q.Refused)...)
		rows = append(rows, r)
	}
	p.table([]string{"PARTNER", "ADDRESS", "ANSWERED", "RTT", "REFUSED"}, rows)
}

// heard lists the nodes that send heartbeats here.
func (p *printer) heard(list []failover.NodeStatus) {
	if len(list) == 0 {
		return
	}
	p.line("")
	rows := make([]row, 0, len(list))
	for i := range list {
		n := &list[i]
		var says []string
		for _, k := range slices.Sorted(maps.Keys(n.States)) {
			says = append(says, k+" "+n.States[k])
		}
		r := row{
			cells: []cell{{text: clean(n.Node)}, {text: clean(n.Site)}, {text: clean(n.About)}, {text: millis(n.HeardMSAgo) + " ago"}},
			tail:  cell{text: orDash(strings.Join(says, ", "))},
		}
		if n.Namesakes != "" {
			r.notes = append(r.notes, note{red, n.Namesakes})
		}
		rows = append(rows, r)
	}
	p.table([]string{"HEARS NODE", "OF SITE", "ABOUT", "LAST", "SAYS (FAMILY/VRID)"}, rows)
}

func (p *printer) listeners(list []failover.ListenerStatus) {
	if len(list) == 0 {
		return
	}
	p.line("")
	rows := make([]row, 0, len(list))
	for i := range list {
		l := &list[i]
		state := cell{"open", green}
		if !l.Open {
			state = cell{"closed", red}
		}
		r := row{cells: []cell{{text: clean(l.Address)}, state}, tail: cell{text: outcomes(l.Outcomes)}}
		if l.Error != "" {
			r.notes = append(r.notes, note{red, l.Error})
		}
		r.notes = append(r.notes, refusals(l.Refused)...)
		rows = append(rows, r)
	}
	p.table([]string{"HEARTBEATS AT", "SOCKET", "REFUSED"}, rows)
}

// region is about a router's election between sites, and its last takeover.
func (p *printer) region(r *failover.RouterStatus) {
	if r.Mode == "guarded" {
		by := "lives by site " + r.Site
		switch {
		case r.Site == "":
			by = "watches site " + r.Watch
		case r.Watch != "":
			by += " and watches site " + r.Watch
		}
		holder := "nobody has had the role yet"
		if r.Epoch > 0 {
			holder = fmt.Sprintf("epoch %d is held by site %s", r.Epoch, r.Holder)
		}
		p.field("guarded", "%s; %s", by, holder)
	}
	if len(r.Takeover) == 0 {
		return
	}
	parts := make([]string, 0, len(r.Takeover))
	for _, ph := range r.Takeover {
		parts = append(parts, fmt.Sprintf("%s +%.1f ms", ph.Name, ph.MS))
	}
	p.field("last takeover", "%s", strings.Join(parts, ", "))
}

// refusals says who was refused last, and when.
func refusals(list []failover.Refusal) (notes []note) {
	for _, f := range list {
		notes = append(notes, note{yellow, fmt.Sprintf("last %s: %s, %s ago", f.Outcome, f.Peer, span(time.Duration(f.MSAgo*float64(time.Millisecond))))})
	}
	return notes
}

// outcomes lists what was refused, with numbers, in the order of names.
func outcomes(m map[string]uint64) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if m[k] > 0 && k != "ok" && k != "answered" {
			parts = append(parts, fmt.Sprintf("%s %d", k, m[k]))
		}
	}
	return orDash(strings.Join(parts, ", "))
}
