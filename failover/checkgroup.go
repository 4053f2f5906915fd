package failover

import (
	"fmt"
	"slices"
	"strings"

	"failoverd/failover/heartbeat"
	"failoverd/vrrp"
)

// GroupRule says how the members of a check group make its verdict.
type GroupRule uint8

// Rules of a check group.
const (
	GroupAll     GroupRule = iota // up while all are up
	GroupAny                      // up while one is up
	GroupAtLeast                  // up while AtLeast of them are up
)

// CheckGroupConfig is a check_group: several tracked things with one verdict, which stands wherever a health check does.
// Its tracker is {TrackCheck, Name}.
type CheckGroupConfig struct {
	Name string
	Rule GroupRule
	// AtLeast is the number of GroupAtLeast, 1 to the number of members; otherwise 0.
	AtLeast int
	// Members are health checks, other groups, scripts, processes and files, each of them once; at least one. A file is up
	// while its number is 0, and unknown while it has none.
	Members []Tracker
}

// Need is how many members must be up for the group to be up.
func (g *CheckGroupConfig) Need() int {
	switch g.Rule {
	case GroupAll:
		return len(g.Members)
	case GroupAny:
		return 1
	}
	return g.AtLeast
}

// RuleText returns the rule in the words of the configuration: "all", "any" or "at_least N".
func (g *CheckGroupConfig) RuleText() string {
	switch g.Rule {
	case GroupAll:
		return "all"
	case GroupAny:
		return "any"
	}
	return fmt.Sprintf("at_least %d", g.AtLeast)
}

// groupsOrdered returns the check groups of the configuration, each of them after those that it has as members. Package
// conf refuses cycles; what is in one is left out.
func (c *Config) groupsOrdered() (ordered []*CheckGroupConfig) {
	left := make(map[Tracker]*CheckGroupConfig, len(c.CheckGroups))
	for i := range c.CheckGroups {
		left[Tracker{TrackCheck, c.CheckGroups[i].Name}] = &c.CheckGroups[i]
	}
	for before := -1; before != len(ordered); {
		before = len(ordered)
		for i := range c.CheckGroups {
			g, id := &c.CheckGroups[i], Tracker{TrackCheck, c.CheckGroups[i].Name}
			waits := slices.ContainsFunc(g.Members, func(m Tracker) bool { return left[m] != nil })
			if left[id] != nil && !waits {
				delete(left, id)
				ordered = append(ordered, g)
			}
		}
	}
	return ordered
}

// MembersOf returns what a tracker is made of: itself, and if it is a check group all that is in it, also in groups inside of
// it. Each is there once.
func (c *Config) MembersOf(t Tracker) []Tracker {
	all := []Tracker{t}
	for i := 0; i < len(all); i++ {
		j := slices.IndexFunc(c.CheckGroups, func(g CheckGroupConfig) bool { return all[i] == Tracker{TrackCheck, g.Name} })
		if j < 0 {
			continue
		}
		for _, m := range c.CheckGroups[j].Members {
			if !slices.Contains(all, m) {
				all = append(all, m)
			}
		}
	}
	return all
}

// opinion is what is known of a member of a check group.
type opinion struct {
	verdict heartbeat.Verdict
	pending bool         // unknown, because there was no result yet
	since   vrrp.Instant // when the evidence for the verdict began
	reason  string
}

// opinion returns what is known of a tracked thing for a group.
func (t *tracked) opinion(name Tracker) opinion {
	o := opinion{verdict: heartbeat.Down, since: t.sinceAt, reason: t.latest}
	switch {
	case !t.known:
		return opinion{pending: true, reason: "no result yet"}
	case t.unknown:
		o.verdict = heartbeat.Unknown
	case name.Kind == TrackFile && (!t.ok || t.noNumber):
		o.verdict, o.reason = heartbeat.Unknown, strings.TrimSuffix(t.latest, TakenAsZero)
	case name.Kind == TrackFile && t.ok && t.value != 0:
		o.reason = fmt.Sprintf("is %d", t.value)
	case t.ok:
		o.verdict = heartbeat.Up
	}
	return o
}

// conclude makes one verdict of those of the members. It is three-valued: what is not known is taken for neither up nor
// down, so that a group is down only when it could not be up whatever the unknown ones are. The evidence for the verdict
// began when that of the last member did which it takes.
func (g *CheckGroupConfig) conclude(members []opinion) (o opinion) {
	var up, down []vrrp.Instant
	waiting := 0 // for a first result
	for i := range members {
		switch m := &members[i]; m.verdict {
		case heartbeat.Up:
			up = append(up, m.since)
		case heartbeat.Down:
			down = append(down, m.since)
		default:
			if m.pending {
				waiting++
			}
			o.since = max(o.since, m.since)
		}
	}
	slices.Sort(up)
	slices.Sort(down)
	need, spare := g.Need(), len(members)-g.Need()
	switch {
	case len(up) >= need:
		o = opinion{verdict: heartbeat.Up, since: up[need-1]}
	case len(down) > spare:
		o = opinion{verdict: heartbeat.Down, since: down[spare]}
	default:
		o.pending = len(up)+waiting >= need || len(down)+waiting > spare
	}
	o.reason = g.words(members, len(up))
	return o
}

// words says what is wrong with members, those that are down first, and then how many are up.
func (g *CheckGroupConfig) words(members []opinion, up int) string {
	count := fmt.Sprintf("%d of %d up, %d needed", up, len(members), g.Need())
	var down, others []string
	for i := range members {
		m := &members[i]
		text := g.Members[i].String() + ": " + m.verdict.String()
		if m.reason != "" {
			text = g.Members[i].String() + ": " + m.reason
		}
		switch m.verdict {
		case heartbeat.Up:
		case heartbeat.Down:
			down = append(down, text)
		default:
			others = append(others, text)
		}
	}
	wrong := strings.Join(append(down, others...), "; ")
	if wrong == "" {
		return count
	}
	if len(wrong) > longestWords {
		wrong = strings.ToValidUTF8(wrong[:longestWords], "") + "..."
	}
	return wrong + " (" + count + ")"
}

// longestWords bounds what is said of the members of a group: the words of groups inside of groups are in it.
const longestWords = 500

// concludeGroup takes over the verdict of a group as what its members say now makes it, and reports whether it is news; or
// else whether the one of the program before is confirmed. While it waits for the first result of a member that decides it
// has none of its own, or keeps the one that it had. It is handed over for as long as that of a member is.
func (c *Core) concludeGroup(now vrrp.Instant, g *CheckGroupConfig) (news, confirmed bool) {
	members, handed := make([]opinion, len(g.Members)), false
	for i, m := range g.Members {
		members[i] = c.trackers[m].opinion(m)
		handed = handed || c.trackers[m].handed
	}
	t, o := c.trackers[Tracker{TrackCheck, g.Name}], g.conclude(members)
	if o.pending {
		return false, false
	}
	unknown := o.verdict == heartbeat.Unknown
	t.turn(now, o.verdict == heartbeat.Up, unknown)
	confirmed = t.handed && !handed
	news = t.take(o.verdict == heartbeat.Up, 0, o.reason)
	if t.unknown != unknown {
		news, t.reason = true, o.reason
	}
	t.unknown, t.sinceAt, t.handed = unknown, o.since, handed
	t.goOn()
	return news, confirmed
}

// concludeGroups works out all check groups anew, each after its members. A verdict that is another one than before is told
// to whom it concerns; without fx, in a new configuration, all are looked at afterwards.
func (c *Core) concludeGroups(now vrrp.Instant, fx *Effects) {
	for _, g := range c.checkGroups {
		name := Tracker{TrackCheck, g.Name}
		news, confirmed := c.concludeGroup(now, g)
		c.region.dirty = c.region.dirty || news
		switch {
		case fx == nil && news:
			c.tested(name)
		case fx == nil:
		case news:
			c.trackerChanged(now, name, c.trackers[name], fx)
		case confirmed:
			c.confirmed(now, c.trackers[name], fx)
		}
	}
}

// tested takes note that there is a result of what some routers did not suffer for because nobody had looked at it yet.
func (c *Core) tested(name Tracker) {
	for _, r := range c.trackers[name].routers {
		r.untested = slices.DeleteFunc(r.untested, func(u Tracker) bool { return u == name })
	}
}

// adoptCheckGroups makes the check groups those of the configuration, and adopts what they consist of.
func (c *Core) adoptCheckGroups(adopt func(Tracker) *tracked) {
	c.checkGroups = c.cfg.groupsOrdered()
	for _, g := range c.checkGroups {
		adopt(Tracker{TrackCheck, g.Name})
		for _, m := range g.Members {
			adopt(m)
		}
	}
}
