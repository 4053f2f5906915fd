package status

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"failoverd/bgp"
	"failoverd/failover"
)

// maxNotes is the most problems that are listed one by one under a router.
const maxNotes = 8

// TableOptions says how to print.
type TableOptions struct {
	Width int  // columns of the terminal; 0: lines of any length
	Color bool // only ever true on a terminal
}

// Table prints a snapshot for people: routers, speakers with their neighbors, links. What is wrong stands out: a refused
// configuration comes first, and what is wanted but not there is named below its router. Text that came from elsewhere
// is made harmless for a terminal. The error is that of w.
func Table(w io.Writer, s *failover.Snapshot, o TableOptions) error {
	p := &printer{w: w, width: o.Width, color: o.Color}
	now := Now(s)
	p.header(s, now)
	p.line("")
	if len(s.Routers) == 0 {
		p.line("no virtual routers")
	} else {
		p.routers(s.Routers, now)
	}
	if len(s.Speakers) > 0 {
		p.line("")
		p.speakers(s.Speakers, now)
	}
	if len(s.Links) > 0 {
		p.line("")
		p.links(s.Links)
	}
	return p.err
}

func (p *printer) header(s *failover.Snapshot, now time.Time) {
	state := fmt.Sprintf("failoverd %s on %s, pid %d, up %s", s.Version, orDash(s.RouterID), s.PID, ago(now, s.StartedAt))
	if s.AgeSeconds > staleAfter.Seconds() {
		state += ", state of " + ago(now, s.TakenAt) + " ago"
	}
	p.text(plain, "", state)
	c := &s.Config
	p.text(plain, "", fmt.Sprintf("configuration %s (%s), in force for %s", c.File, c.Hash, ago(now, c.LoadedAt)))
	if a := &s.Agent; a.PacketsDropped > 0 || a.LoopLateMillis >= lateMillis {
		p.text(yellow, "", fmt.Sprintf("this node is slow: %d packets lost because the queue was full, latest timer %.0f ms late",
			a.PacketsDropped, a.LoopLateMillis))
	}
	if s.Agent.Stopping {
		p.text(alarm, "", "STOPPING: the agent gives up its roles")
	}
	if c.LastError != "" {
		when := ""
		if c.LastFailed != nil {
			when = " " + ago(now, *c.LastFailed) + " ago"
		}
		p.line("")
		p.text(alarm, "", "RELOAD REFUSED"+when+": the running configuration is not that of the file")
		p.text(red, indent, c.LastError)
	}
}

const (
	// staleAfter is the age of a snapshot worth a word. One is published whenever something happens, and at least
	// every second when a router runs.
	staleAfter = 3 * time.Second
	// lateMillis is the lateness of the loop worth a word: a tenth of an advertisement interval of one second.
	lateMillis = 100
)

func (p *printer) routers(rs []failover.RouterStatus, now time.Time) {
	rows := make([]row, 0, len(rs))
	for i := range rs {
		r := &rs[i]
		rows = append(rows, row{
			cells: []cell{
				{text: clean(r.Name)},
				{r.State, stateStyle(r.State)},
				{text: ago(now, r.Since)},
				{text: priority(r)},
				{text: master(r)},
				count(addressCounts(r)),
				count(routeCounts(r)),
			},
			tail:  r.Why,
			notes: routerNotes(r),
		})
	}
	p.table([]string{"ROUTER", "STATE", "SINCE", "PRIORITY", "MASTER", "ADDRESSES", "ROUTES", "WHY"}, rows)
}

func stateStyle(state string) style {
	switch state {
	case "MASTER":
		return green
	case "BACKUP":
		return plain
	case "INIT":
		return yellow
	}
	return alarm
}

// priority is the effective priority, behind the base when they differ.
func priority(r *failover.RouterStatus) string {
	if r.PriorityBase == r.PriorityEffective {
		return strconv.Itoa(int(r.PriorityBase))
	}
	return fmt.Sprintf("%d->%d", r.PriorityBase, r.PriorityEffective)
}

func master(r *failover.RouterStatus) string {
	switch m := r.Master; {
	case m == nil:
		return "-"
	case m.Self:
		return "this node"
	default:
		return fmt.Sprintf("%s (%d)", m.Address, m.Priority)
	}
}

func addressCounts(r *failover.RouterStatus) (have, want int) {
	for i := range r.Addresses {
		have += btoi(r.Addresses[i].Present)
		want += btoi(r.Addresses[i].Wanted)
	}
	return have, want
}

func routeCounts(r *failover.RouterStatus) (have, want int) {
	for i := range r.Routes {
		have += btoi(r.Routes[i].Announced)
		want += btoi(r.Routes[i].Wanted)
	}
	return have, want
}

// count is "HAVE/WANT", or a dash when there is nothing to have.
func count(have, want int) cell {
	switch {
	case have == 0 && want == 0:
		return cell{text: "-"}
	case have == want:
		return cell{text: fmt.Sprintf("%d/%d", have, want)}
	}
	return cell{fmt.Sprintf("%d/%d", have, want), red}
}

// routerNotes names what the router waits for and whatever differs from what is wanted.
func routerNotes(r *failover.RouterStatus) []note {
	var notes []note
	if r.Waiting != "" {
		notes = append(notes, note{yellow, "waiting: " + r.Waiting})
	}
	var wrong []note
	for i := range r.Addresses {
		a := &r.Addresses[i]
		if text := difference(a.Wanted, a.Present, "present", a.Error); text != "" {
			wrong = append(wrong, note{red, fmt.Sprintf("address %s dev %s: %s", a.Address, a.Interface, text)})
		}
	}
	for i := range r.Routes {
		a := &r.Routes[i]
		if text := difference(a.Wanted, a.Announced, "announced", a.Error); text != "" {
			wrong = append(wrong, note{red, fmt.Sprintf("route %s speaker %s: %s", a.Prefix, a.Speaker, text)})
		} else if a.Announced && a.Sessions == 0 {
			wrong = append(wrong, note{yellow, fmt.Sprintf("route %s speaker %s: no session is established, nobody hears it", a.Prefix, a.Speaker)})
		}
	}
	if more := len(wrong) - maxNotes; more > 0 {
		wrong = append(wrong[:maxNotes], note{red, fmt.Sprintf("and %d more: failoverd status %s", more, r.Name)})
	}
	notes = append(notes, wrong...)
	if d := drops(r.Counters.Drops); d != "" {
		notes = append(notes, note{plain, "dropped: " + d})
	}
	return notes
}

// difference says what is wrong with something wanted or not, there or not; empty: nothing is.
func difference(wanted, there bool, word, err string) string {
	text := ""
	switch {
	case wanted && !there:
		text = "wanted, not " + word
	case !wanted && there:
		text = "still " + word + ", not wanted"
	}
	if err != "" && text != "" {
		text += ": "
	}
	return text + err
}

func (p *printer) speakers(ss []failover.SpeakerStatus, now time.Time) {
	var rows []row
	for i := range ss {
		s := &ss[i]
		rows = append(rows, speakerRow(s))
		for j := range s.Neighbors {
			rows = append(rows, neighborRow(&s.Neighbors[j], now))
		}
	}
	p.table([]string{"SPEAKER", "AS", "STATE", "SINCE", "ANNOUNCES"}, rows)
}

func speakerRow(s *failover.SpeakerStatus) row {
	state := cell{"running", green}
	if !s.Connected {
		state = cell{"not running", alarm}
	}
	r := row{
		cells: []cell{{text: clean(s.Name)}, {text: strconv.FormatUint(uint64(s.LocalAS), 10)}, state, {text: "-"}},
		tail:  strings.Join(s.Announced, ", "),
	}
	if r.tail == "" {
		r.tail = "nothing"
	}
	if s.Error != "" {
		r.notes = append(r.notes, note{red, "error: " + s.Error})
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
			tail: drops(l.Drops),
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

// drops lists counters by name, the largest first.
func drops(m map[string]uint64) string {
	names := slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		return cmp.Or(cmp.Compare(m[b], m[a]), strings.Compare(a, b))
	})
	parts := make([]string, 0, len(names))
	for _, n := range names {
		if m[n] > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", n, m[n]))
		}
	}
	return strings.Join(parts, ", ")
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
