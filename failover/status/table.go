package status

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"failoverd/failover"
)

// maxNotes is the most problems that are listed one by one under a router.
const maxNotes = 8

// TableOptions says how to print.
type TableOptions struct {
	Width int  // columns of the terminal; 0: lines of any length
	Color bool // only ever true on a terminal
}

// Table prints a snapshot for people: routers, anycast services, sync groups, static entries, other sites, health checks and their groups, speakers with their neighbors, links. What
// there is none of takes no room. What is wrong stands out: a refused configuration comes first, and below a router is
// named what keeps it from running, what changes its priority, and what is wanted but not there. Text that came from
// elsewhere is made harmless for a terminal. The error is that of w.
func Table(w io.Writer, s *failover.Snapshot, o TableOptions) error {
	p := &printer{w: w, width: o.Width, color: o.Color}
	now := Now(s)
	p.header(s, now)
	p.line("")
	switch {
	case len(s.Routers) > 0:
		p.routers(s.Routers, now)
	case len(s.Services) == 0:
		p.line("no virtual routers")
	}
	if len(s.Services) > 0 {
		if len(s.Routers) > 0 {
			p.line("")
		}
		p.services(s.Services, now)
	}
	if len(s.Groups) > 0 {
		p.line("")
		p.groups(s.Groups, now)
	}
	if len(s.StaticAddresses)+len(s.StaticObjects) > 0 {
		p.line("")
		p.static(s)
	}
	p.regions(s)
	if len(s.Checks) > 0 {
		p.line("")
		p.checks(s.Checks, now)
	}
	if len(s.CheckGroups) > 0 {
		p.line("")
		p.checkGroups(s.CheckGroups, now)
	}
	if len(s.Speakers) > 0 {
		p.line("")
		p.speakers(s.Speakers, s.Version, now)
		p.origins(s.Speakers, now)
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
		p.text(yellow, "", fmt.Sprintf("this node was slow: since the start %d packets were lost because the queue was full, and the worst timer was %.0f ms late",
			a.PacketsDropped, a.LoopLateMillis))
	}
	if r := s.Agent.Recording; r != nil {
		color, text := plain, fmt.Sprintf("recorded in %s: %d KB of %d MB", r.File, r.Size>>10, r.Limit>>20)
		if r.Ended != "" {
			color, text = yellow, text+"; ended: "+r.Ended
		}
		p.text(color, "", text)
	}
	for i := range s.LongLeases {
		p.text(plain, "", s.LongLeases[i].Why)
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
		at := ""
		if c.LastErrorAt != "" {
			at = " at " + c.LastErrorAt
		}
		p.text(alarm, "", "RELOAD REFUSED"+when+at+": the running configuration is not that of the file")
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
	columns := routerColumns(rs)
	head := make([]string, 0, len(columns)+1)
	for _, c := range columns {
		head = append(head, c.name)
	}
	rows := make([]row, 0, len(rs))
	for i := range rs {
		r := &rs[i]
		cells := make([]cell, 0, len(columns))
		for _, c := range columns {
			cells = append(cells, c.of(r, now))
		}
		notes := routerNotes(r)
		if r.Drained != nil {
			notes = append([]note{{yellow, "drained " + drainWords(r.Drained, now)}}, notes...)
		}
		rows = append(rows, row{cells: cells, tail: cell{cmp.Or(r.Now, r.Why), whyStyle(r.State)}, notes: notes})
	}
	p.table(append(head, "WHY"), rows)
}

// column is one of the table of routers.
type column struct {
	name string
	of   func(r *failover.RouterStatus, now time.Time) cell
}

// routerColumns are those that say something: routes and announcements only where there are any.
func routerColumns(rs []failover.RouterStatus) []column {
	columns := []column{
		{"ROUTER", func(r *failover.RouterStatus, _ time.Time) cell { return cell{text: clean(r.Name)} }},
		{"STATE", func(r *failover.RouterStatus, _ time.Time) cell { return cell{r.State, stateStyle(r.State)} }},
		{"SINCE", func(r *failover.RouterStatus, now time.Time) cell { return cell{text: ago(now, r.Since)} }},
		{"PRIORITY", func(r *failover.RouterStatus, _ time.Time) cell { return cell{priority(r), priorityStyle(r)} }},
		{"MASTER", func(r *failover.RouterStatus, _ time.Time) cell { return cell{text: master(r)} }},
		{"ADDRESSES", func(r *failover.RouterStatus, _ time.Time) cell { return count(addressCounts(r.Addresses)) }},
	}
	if slices.ContainsFunc(rs, func(r failover.RouterStatus) bool { return slices.ContainsFunc(r.Objects, programmed) }) {
		columns = append(columns, column{"ROUTES", func(r *failover.RouterStatus, _ time.Time) cell { return count(objectCounts(r.Objects)) }})
	}
	if slices.ContainsFunc(rs, func(r failover.RouterStatus) bool { return len(r.Routes) > 0 }) {
		columns = append(columns, column{"BGP", func(r *failover.RouterStatus, _ time.Time) cell { return count(routeCounts(r)) }})
	}
	return columns
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

// whyStyle is that of the reason for a state: it stands out when a router does not run.
func whyStyle(state string) style {
	switch state {
	case "FAULT":
		return red
	case "INIT":
		return yellow
	}
	return plain
}

// priority is the effective priority, behind the base when they differ.
func priority(r *failover.RouterStatus) string {
	if r.PriorityBase == r.PriorityEffective {
		return strconv.Itoa(int(r.PriorityBase))
	}
	return fmt.Sprintf("%d->%d", r.PriorityBase, r.PriorityEffective)
}

func priorityStyle(r *failover.RouterStatus) style {
	if r.PriorityEffective < r.PriorityBase {
		return yellow
	}
	return plain
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

func addressCounts(as []failover.AddressStatus) (have, want int) {
	for i := range as {
		have += btoi(as[i].Present)
		want += btoi(as[i].Wanted)
	}
	return have, want
}

// programmed reports whether o is a route or a rule: the others are listed only while they are in trouble.
func programmed(o failover.ObjectStatus) bool { return o.Kind == "route" || o.Kind == "rule" }

func objectCounts(objects []failover.ObjectStatus) (have, want int) {
	for i := range objects {
		if o := &objects[i]; o.Wanted && programmed(*o) {
			have += btoi(o.Error == "")
			want++
		}
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

// routerNotes names what the router waits for, what the things that it tracks do to it, and whatever differs from what is
// wanted.
func routerNotes(r *failover.RouterStatus) []note {
	var notes []note
	if r.Waiting != "" && r.Waiting != r.Why && (r.Drained == nil || !strings.HasPrefix(r.Waiting, "drained")) {
		notes = append(notes, note{yellow, "waiting: " + r.Waiting})
	}
	wrong := trackNotes(r)
	wrong = append(wrong, addressNotes(r.Addresses)...)
	wrong = append(wrong, objectNotes(r.Objects, r.Why)...)
	for i := range r.Routes {
		a := &r.Routes[i]
		if text := difference(a.Wanted, a.Announced, "announced", a.Error); text != "" {
			wrong = append(wrong, note{red, fmt.Sprintf("BGP route %s speaker %s: %s", a.Prefix, a.Speaker, text)})
		} else if a.Announced && a.Sessions == 0 && a.SessionsUnknown {
			wrong = append(wrong, note{yellow, fmt.Sprintf("BGP route %s speaker %s: the speaker does not tell the state of its sessions; neighbors may hear it", a.Prefix, a.Speaker)})
		} else if a.Announced && a.Sessions == 0 {
			wrong = append(wrong, note{yellow, fmt.Sprintf("BGP route %s speaker %s: no session is established, nobody hears it", a.Prefix, a.Speaker)})
		}
		if a.Warning != "" {
			wrong = append(wrong, note{yellow, fmt.Sprintf("BGP route %s speaker %s: %s", a.Prefix, a.Speaker, a.Warning)})
		}
	}
	notes = append(notes, shorten(wrong, "failoverd status "+r.Name)...)
	if d := drops(r.Counters.Drops); d != "" {
		notes = append(notes, note{plain, "dropped: " + d})
	}
	if len(r.Strangers) > 0 {
		notes = append(notes, note{yellow, "not peers: " + strangerWords(r.Strangers)})
	}
	return notes
}

// shorten keeps the first notes of a long list, and says what shows the others.
func shorten(notes []note, command string) []note {
	if more := len(notes) - maxNotes; more > 0 {
		return append(notes[:maxNotes], note{red, fmt.Sprintf("and %d more: %s", more, command)})
	}
	return notes
}

// addressNotes names the addresses that are not as they should be.
func addressNotes(as []failover.AddressStatus) (notes []note) {
	for i := range as {
		a := &as[i]
		if text := difference(a.Wanted, a.Present, "present", a.Error); text != "" {
			notes = append(notes, note{red, fmt.Sprintf("address %s dev %s: %s", a.Address, a.Interface, text)})
		}
	}
	return notes
}

// objectNotes names the routes, rules, macvlan interfaces and packet filters that are in trouble, but for what has been
// said.
func objectNotes(objects []failover.ObjectStatus, said string) (notes []note) {
	for i := range objects {
		if o := &objects[i]; o.Error != "" && !strings.Contains(said, o.Error) {
			notes = append(notes, note{red, o.Kind + " " + o.Object + ": " + o.Error})
		}
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
