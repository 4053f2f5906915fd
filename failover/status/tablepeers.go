package status

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"failoverd/bgp"
	"failoverd/failover"
)

// speakers shows what BGP speakers do. A process of another version than that of the agent is worth a note: it stays what it is
// until it is restarted.
func (p *printer) speakers(ss []failover.SpeakerStatus, version string, now time.Time) {
	var rows []row
	for i := range ss {
		s := &ss[i]
		rows = append(rows, speakerRow(s, version))
		for j := range s.Neighbors {
			rows = append(rows, neighborRow(&s.Neighbors[j], now))
		}
	}
	p.table([]string{"SPEAKER", "AS", "STATE", "SINCE", "ANNOUNCES"}, rows)
}

func speakerRow(s *failover.SpeakerStatus, version string) row {
	state := cell{"running", green}
	if !s.Connected {
		state = cell{"not running", alarm}
	}
	r := row{
		cells: []cell{{text: clean(s.Name)}, {text: strconv.FormatUint(uint64(s.LocalAS), 10)}, state, {text: "-"}},
		tail:  cell{text: strings.Join(s.Announced, ", ")},
	}
	if r.tail.text == "" {
		r.tail.text = "nothing"
	}
	if s.Backend != "" && s.Backend != "embedded" {
		if state.text = "connected"; !s.Connected {
			state.text = "not connected"
		}
		r.cells[2] = state
		r.notes = append(r.notes, note{plain, clean(s.Backend)})
	}
	if s.MemoryLimit > 0 && s.ResidentBytes > s.MemoryLimit/2 {
		r.notes = append(r.notes, note{yellow, fmt.Sprintf("memory: %d MB; from %d MB on the neighbor that sends most loses its session", s.ResidentBytes>>20, s.MemoryLimit>>20)})
	}
	if s.Error != "" {
		r.notes = append(r.notes, note{red, "error: " + s.Error})
	}
	r.notes = append(r.notes, heldNotes(s)...)
	if s.Version != "" && s.Version != version {
		r.notes = append(r.notes, note{plain, "its process is of version " + clean(s.Version) + ": an upgrade leaves it and its sessions as they are"})
	}
	if s.Restarts > 0 {
		r.notes = append(r.notes, note{yellow, fmt.Sprintf("restarted %d times", s.Restarts)})
	}
	return r
}

func neighborRow(n *bgp.NeighborStatus, now time.Time) row {
	state := cell{n.State.String(), red}
	if n.State == bgp.Established {
		state.style = green
	}
	r := row{cells: []cell{
		{text: "  " + n.Address.String()}, {text: strconv.FormatUint(uint64(n.RemoteAS), 10)}, state, {text: ago(now, n.Since)},
	}}
	if n.LastError != "" {
		word := "error: "
		if n.State == bgp.Established {
			word = "before: "
		}
		r.notes = append(r.notes, note{yellow, word + n.LastError})
	}
	if n.Flaps > 0 {
		r.notes = append(r.notes, note{plain, fmt.Sprintf("lost %d times", n.Flaps)})
	}
	return r
}

func (p *printer) links(ls []failover.LinkStatus) {
	rows := make([]row, 0, len(ls))
	for i := range ls {
		l := &ls[i]
		r := row{
			cells: []cell{
				{text: clean(l.Link)},
				{"open", plain},
				{text: strconv.FormatUint(l.Received, 10)},
				{text: strconv.FormatUint(l.Sent, 10)},
			},
			tail: cell{text: drops(l.Drops)},
		}
		if !l.Open {
			r.cells[1] = cell{"closed", alarm}
		}
		if l.Error != "" {
			r.notes = append(r.notes, note{red, "error: " + l.Error})
		}
		if l.SendErrors > 0 {
			r.notes = append(r.notes, note{red, fmt.Sprintf("%d packets could not be sent", l.SendErrors)})
		}
		rows = append(rows, r)
	}
	p.table([]string{"LINK", "STATE", "RECEIVED", "SENT", "DROPPED"}, rows)
}

// drops lists counters by name, in words, the largest first.
func drops(m map[string]uint64) string {
	names := slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		return cmp.Or(cmp.Compare(m[b], m[a]), strings.Compare(a, b))
	})
	parts := make([]string, 0, len(names))
	for _, n := range names {
		if m[n] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", m[n], strings.ReplaceAll(n, "_", " ")))
		}
	}
	return strings.Join(parts, ", ")
}
