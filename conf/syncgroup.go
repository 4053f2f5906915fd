package conf

import (
	"failoverd/failover"
)

// syncGroup is the draft of a vrrp_sync_group.
type syncGroup struct {
	name    Token
	given   bool // there is a group { }
	members []Token
	joined  []*instance
	tracks  []*trackLine
	weights field[bool] // sync_group_tracking_weight
	notify  notifyWords
}

var groupWords = newTable("vrrp_sync_group",
	[]row[*syncGroup]{
		word("group", (*decoder).members),
		single("sync_group_tracking_weight", func(d *decoder, g *syncGroup, c *cursor) { g.weights.set(d.switched(c)) }),
	},
	trackRows(func(g *syncGroup) *[]*trackLine { return &g.tracks }),
	notifyRows(func(g *syncGroup) *notifyWords { return &g.notify }),
	all[*syncGroup](refused, "", noBFD, "track_bfd"),
	all[*syncGroup](ignored, "mail", "failoverd sends none", "smtp_alert"),
	all[*syncGroup](ignored, "", "what a group tracks, all of its members do", "global_tracking"),
)

func (d *decoder) syncGroup(c *cursor) {
	g := &syncGroup{}
	name, ok := d.next(c, "a name")
	g.name = name
	walk(d, groupWords, g, d.body(c))
	if ok && d.define("vrrp_sync_group", "vrrp_sync_group", name) {
		d.groups = append(d.groups, g)
	}
}

// members decodes the names of a group. Several blocks add up.
func (d *decoder) members(g *syncGroup, c *cursor) {
	g.given = true
	for _, l := range d.body(c) {
		in := &cursor{keyword: l.Words[0], words: l.Words[1:], block: l.Block}
		if d.misplaced(in, "group") {
			continue
		}
		g.members = append(g.members, l.Words...)
		d.noBlock(in)
	}
}

// joinGroups finds the members of all groups. An instance is in one group at most.
func (d *decoder) joinGroups() {
	instances, names := map[string]*instance{}, make([]string, 0, len(d.instances))
	for _, in := range d.instances {
		instances[in.name.Text] = in
		names = append(names, in.name.Text)
	}
	for _, g := range d.groups {
		wrong := false
		for _, m := range g.members {
			in := instances[m.Text]
			switch {
			case in == nil:
				d.suggestf(m, d.nearest(m.Text, names), "vrrp_sync_group %s: there is no vrrp_instance %s", g.name.Text, m.Text)
				wrong = true
			case in.group == g:
				d.warnf(m, "vrrp_sync_group %s: %s is there twice", g.name.Text, m.Text)
			case in.group != nil:
				d.errorf(m, "vrrp_sync_group %s: vrrp_instance %s is in vrrp_sync_group %s already", g.name.Text, m.Text, in.group.name.Text)
				wrong = true
			default:
				in.group = g
				g.joined = append(g.joined, in)
			}
		}
		switch {
		case wrong:
		case !g.given:
			d.errorf(g.name, "vrrp_sync_group %s: group { ... } is missing", g.name.Text)
		case len(g.joined) == 0:
			d.errorf(g.name, "vrrp_sync_group %s: group names no vrrp_instance", g.name.Text)
		case len(g.joined) == 1:
			d.warnf(g.name, "vrrp_sync_group %s has one member only, %s: it is in step with nobody", g.name.Text, g.members[0].Text)
		}
	}
}

// resolveGroups fills in the groups.
func (d *decoder) resolveGroups(cfg *failover.Config) {
	for _, g := range d.groups {
		out := failover.GroupConfig{Name: g.name.Text, Notify: d.resolveNotify(&g.notify, "vrrp_sync_group "+g.name.Text)}
		for _, in := range g.joined {
			out.Members = append(out.Members, in.name.Text)
		}
		cfg.Groups = append(cfg.Groups, out)
	}
}
