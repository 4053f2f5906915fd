package conf

import (
	"slices"
	"strconv"
	"strings"

	"failoverd/failover"
)

// checkGroup is the draft of a check_group.
type checkGroup struct {
	tracked
	rule    field[failover.GroupRule]
	least   field[int] // at_least
	members []groupMember
	out     []failover.Tracker // the members that are there, each once
	broken  bool               // something about it was wrong, which has been reported
}

// groupMember is what a check group names.
type groupMember struct {
	failover.Tracker
	at Token
}

// checkGroupWords may stand in a check_group. The members are named by the words that define them.
var checkGroupWords = newTable("check_group", []row[*checkGroup]{
	word("all", func(d *decoder, g *checkGroup, c *cursor) { g.setRule(d, c, failover.GroupAll) }),
	word("any", func(d *decoder, g *checkGroup, c *cursor) { g.setRule(d, c, failover.GroupAny) }),
	word("at_least", func(d *decoder, g *checkGroup, c *cursor) {
		g.setRule(d, c, failover.GroupAtLeast)
		g.least.set(d.int(c, 1, maxVotes))
	}),
	member("health_check", failover.TrackCheck),
	member("check_group", failover.TrackCheck),
	member("vrrp_script", failover.TrackScript),
	member("vrrp_track_process", failover.TrackProcess),
	member("vrrp_track_file", failover.TrackFile),
	member("track_file", failover.TrackFile),
}, all[*checkGroup](refused, "", "a group is as its members are; write the weight behind its name in track_check", "weight"))

// member is a word of a check_group that takes one or more names.
func member(name string, kind failover.TrackerKind) row[*checkGroup] {
	return word(name, func(d *decoder, g *checkGroup, c *cursor) {
		var names []Token
		if d.checkNames(&names, c); len(names) == 0 {
			g.broken = true
		}
		for _, t := range names {
			g.members = append(g.members, groupMember{failover.Tracker{Kind: kind, Name: t.Text}, t})
		}
	})
}

// setRule takes the rule, of which there is one.
func (g *checkGroup) setRule(d *decoder, c *cursor, rule failover.GroupRule) {
	if g.rule.given {
		d.errorf(c.keyword, "%s: the group has a rule already, %s at %s", c.keyword.Text, g.rule.at.Text, g.rule.at.Pos)
		g.broken = true
		return
	}
	g.rule.set(rule, c.keyword, true)
}

func (d *decoder) checkGroup(c *cursor) {
	g := &checkGroup{tracked: tracked{word: c.keyword.Text}}
	name, ok := d.next(c, "a name")
	g.name = name
	walk(d, checkGroupWords, g, d.body(c))
	if ok && d.track(failover.TrackCheck, &g.tracked) {
		d.checkGroups = append(d.checkGroups, g)
	}
}

// resolveMembers finds what the check groups name. It comes before anything that depends on who is wanted.
func (d *decoder) resolveMembers() {
	for _, g := range d.checkGroups {
		name := g.name.Text
		if g.rule.missing() {
			d.errorf(g.name, "check_group %s has no rule: want all, any or at_least N", name)
			g.broken = true
		}
		for _, m := range g.members {
			d.resolveMember(g, m)
		}
		switch {
		case len(g.members) == 0 && !g.broken:
			d.errorf(g.name, "check_group %s names no health_check, check_group, vrrp_script, vrrp_track_process or vrrp_track_file", name)
			g.broken = true
		case g.least.ok && !g.broken && g.least.value > len(g.out):
			d.errorf(g.least.at, "at_least %d: check_group %s has %s, so it could never be up", g.least.value, name, members(len(g.out)))
			g.broken = true
		}
	}
	d.refuseCycles()
}

func members(n int) string {
	if n == 1 {
		return "1 member"
	}
	return strconv.Itoa(n) + " members"
}

func (d *decoder) resolveMember(g *checkGroup, m groupMember) {
	def := d.tracked[m.Tracker]
	switch {
	case def == nil:
		var names []string
		for k := range d.tracked {
			if k.Kind == m.Kind {
				names = append(names, k.Name)
			}
		}
		slices.Sort(names)
		what := definedBy[m.Kind]
		if m.Kind == failover.TrackCheck {
			what = "health_check or check_group"
		}
		d.suggestf(m.at, d.nearest(m.Name, names), "check_group %s: there is no %s %s", g.name.Text, what, m.Name)
		g.broken = true
	case slices.Contains(g.out, m.Tracker):
		d.warnf(m.at, "check_group %s: %s %s is there twice, and counts once", g.name.Text, def.word, m.Name)
	default:
		def.named = true
		g.out = append(g.out, m.Tracker)
	}
}

// refuseCycles reports groups that are members of themselves, each cycle once, with the way around.
func (d *decoder) refuseCycles() {
	groups := map[failover.Tracker]*checkGroup{}
	for _, g := range d.checkGroups {
		groups[failover.Tracker{Kind: failover.TrackCheck, Name: g.name.Text}] = g
	}
	done := map[*checkGroup]bool{}
	var path []*checkGroup
	var visit func(g *checkGroup)
	visit = func(g *checkGroup) {
		if i := slices.Index(path, g); i >= 0 {
			var names []string
			for _, p := range append(path[i:len(path):len(path)], g) {
				p.broken = true
				names = append(names, p.name.Text)
			}
			d.errorf(g.name, "check_group %s is a member of itself: %s", g.name.Text, strings.Join(names, " > "))
			return
		}
		if done[g] {
			return
		}
		path = append(path, g)
		for _, m := range g.out {
			if inner := groups[m]; inner != nil {
				visit(inner)
			}
		}
		path, done[g] = path[:len(path)-1], true
	}
	for _, g := range d.checkGroups {
		visit(g)
	}
}

// resolveCheckGroups returns the groups that something goes by, and makes what they consist of wanted, too.
func (d *decoder) resolveCheckGroups(cfg *failover.Config) {
	for more := true; more; { // a group that is wanted by another one further down wants its own members
		more = false
		for _, g := range d.checkGroups {
			for _, m := range g.out {
				if def := d.tracked[m]; g.wanted && !def.wanted {
					def.wanted, more = true, true
				}
			}
		}
	}
	for _, g := range d.checkGroups {
		switch {
		case !g.named:
			d.warnf(g.name, "check_group %s decides nothing: no instance, group, site or watch_site names it", g.name.Text)
		case g.wanted && !g.broken:
			cfg.CheckGroups = append(cfg.CheckGroups, failover.CheckGroupConfig{
				Name: g.name.Text, Rule: g.rule.value, AtLeast: g.least.or(0), Members: g.out,
			})
		}
	}
}
