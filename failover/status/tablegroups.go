package status

import (
	"fmt"
	"strings"
	"time"

	"failoverd/failover"
)

func (p *printer) groups(gs []failover.GroupStatus, now time.Time) {
	rows := make([]row, 0, len(gs))
	for i := range gs {
		g := &gs[i]
		rows = append(rows, row{
			cells: []cell{{text: clean(g.Name)}, {g.State, stateStyle(g.State)}, {text: ago(now, g.Since)}},
			tail:  cell{g.Why, whyStyle(g.State)},
			notes: []note{{plain, "members: " + strings.Join(g.Members, ", ")}},
		})
	}
	p.table([]string{"SYNC GROUP", "STATE", "SINCE", "WHY"}, rows)
}

// static is one line about static_ipaddress, static_routes and static_rules, and what is wrong with them.
func (p *printer) static(s *failover.Snapshot) {
	have, want := addressCounts(s.StaticAddresses)
	there, wanted := objectCounts(s.StaticObjects)
	notes := append(addressNotes(s.StaticAddresses), objectNotes(s.StaticObjects, "")...)
	st := plain
	if len(notes) > 0 {
		st = red
	}
	p.text(st, "", fmt.Sprintf("static addresses, routes and rules: %d of %d in place", have+there, want+wanted))
	p.notes(shorten(notes, "failoverd status --json"))
}
