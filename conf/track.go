package conf

import (
	"slices"

	"failoverd/failover"
	"failoverd/vrrp/wire"
)

// tracked is what the drafts of vrrp_script, track_file, vrrp_track_process and health_check have in common.
type tracked struct {
	name    Token
	word    string // its block
	weight  field[int]
	reverse field[bool]
	named   bool // by a line of a track_* block
	wanted  bool // by a router
}

// trackLine is the draft of a line of a track_* block.
type trackLine struct {
	kind    failover.TrackerKind
	at      Token // the name
	ok      bool
	weight  field[int]
	reverse field[bool]
	written bool // the weight, in this line
}

// Bounds of weights, as keepalived has them: a file's number is multiplied.
const (
	maxFileWeight = 254
	maxWeight     = 253
)

// defaultFileWeight is that of a track_file; the others have none.
const defaultFileWeight = 1

// weightLimit returns the bound of the weight of a kind of tracker.
func weightLimit(k failover.TrackerKind) int {
	if k == failover.TrackFile {
		return maxFileWeight
	}
	return maxWeight
}

// weight decodes N [reverse|noreverse].
func (d *decoder) weight(c *cursor, kind failover.TrackerKind, weight *field[int], reverse *field[bool]) {
	weight.set(d.signed(c, weightLimit(kind)))
	if c.more() && !c.words[0].Quoted && (c.words[0].Text == "reverse" || c.words[0].Text == "noreverse") {
		t := c.take()
		reverse.set(t.Text == "reverse", t, true)
	}
}

// trackTables are the options of the lines of a track_* block, by kind.
var trackTables = func() (tables [6]*table[*trackLine]) {
	for i := range tables {
		tables[i] = newTable(failover.TrackerKind(i).String(), []row[*trackLine]{
			word("weight", func(d *decoder, t *trackLine, c *cursor) {
				t.written = true
				d.weight(c, t.kind, &t.weight, &t.reverse)
			}),
		}).inEntries()
	}
	return tables
}()

// trackRows are the track_* blocks of an instance or a sync group.
func trackRows[T any](of func(T) *[]*trackLine) []row[T] {
	rows := make([]row[T], len(trackTables))
	for i := range trackTables {
		kind := failover.TrackerKind(i)
		rows[i] = word(kind.String(), func(d *decoder, to T, c *cursor) { d.tracks(of(to), kind, c) })
	}
	return rows
}

// tracks decodes a list of names with options. Several blocks add up.
func (d *decoder) tracks(to *[]*trackLine, kind failover.TrackerKind, c *cursor) {
	table := trackTables[kind]
	for _, l := range d.body(c) {
		c := &cursor{words: l.Words, inline: l.Inline, block: l.Block}
		c.known = func(w Token) bool { return !w.Quoted && table.has(w.Text) }
		// Where names share a line with a brace, whatever is no option is the next name.
		c.head = func(Token) bool { return c.inline }
		for c.more() {
			c.keyword = c.take()
			if d.misplaced(c, table.name) {
				break
			}
			t := &trackLine{kind: kind, at: c.keyword, ok: true}
			if kind == failover.TrackInterface {
				t.ok = d.isDevice(t.at, table.name)
			}
			*to = append(*to, t)
			for c.more() && (!c.inline || c.known(c.words[0])) {
				statement(d, table, t, c)
			}
		}
		d.noBlock(c)
	}
}

// track notes the draft of a tracked thing under its name.
func (d *decoder) track(kind failover.TrackerKind, t *tracked) bool {
	if !d.define(failover.Tracker{Kind: kind}.String(), t.word, t.name) {
		return false
	}
	d.tracked[failover.Tracker{Kind: kind, Name: t.name.Text}] = t
	return true
}

// lookup finds what a line names, and reports it once if there is no such thing. Interfaces need no definition.
func (d *decoder) lookup(l *trackLine) {
	switch {
	case l.kind == failover.TrackInterface || !l.ok:
		return
	case l.kind == failover.TrackBGP:
		l.ok = d.speakerNamed(l.at) != nil
		return
	}
	t := d.tracked[failover.Tracker{Kind: l.kind, Name: l.at.Text}]
	if t == nil {
		var names []string
		for k := range d.tracked {
			if k.Kind == l.kind {
				names = append(names, k.Name)
			}
		}
		slices.Sort(names)
		d.suggestf(l.at, d.nearest(l.at.Text, names), "%s %s: there is no such %s", l.kind, l.at.Text, definedBy[l.kind])
		l.ok = false
		return
	}
	t.named = true
	if l.weight.missing() {
		l.weight = t.weight
	}
	if l.reverse.missing() {
		l.reverse = t.reverse
	}
	if l.weight.missing() && l.kind == failover.TrackFile {
		l.weight.set(defaultFileWeight, l.at, true)
	}
}

// definedBy are the blocks that define tracked things.
var definedBy = [...]string{"interface", "vrrp_script", "track_file", "vrrp_track_process", "health_check", "bgp_speaker"}

// lookupTracks finds what all lines name.
func (d *decoder) lookupTracks() {
	for _, g := range d.groups {
		for _, l := range g.tracks {
			d.lookup(l)
		}
	}
	for _, in := range d.routers() {
		for _, l := range in.tracks {
			d.lookup(l)
		}
	}
}

// resolveTracks returns what a router depends on: its own lines and those of its group.
func (d *decoder) resolveTracks(in *instance, r *failover.RouterConfig) {
	lines := map[failover.Tracker]*trackLine{} // those that are taken
	for _, l := range in.tracks {
		id := l.id()
		if l.ok {
			d.weightless(in, l)
		}
		if before := lines[id]; before != nil && l.ok {
			d.warnf(l.at, "%s is there twice; the first one, at %s, counts", id, before.at.Pos)
			continue
		}
		if l.ok && d.counts(in, l, r, true) {
			lines[id] = l
			r.Tracks = append(r.Tracks, l.track())
		}
	}
	if in.group != nil {
		d.resolveGroupTracks(in, r, lines)
	}
	for i := range r.Tracks {
		if def := d.tracked[r.Tracks[i].Tracker]; def != nil {
			def.wanted = true
		}
	}
	slices.SortStableFunc(r.Tracks, func(a, b failover.Track) int { return int(a.Kind) - int(b.Kind) })
}

// resolveGroupTracks adds the lines of its group to those of a member. As with keepalived, the line of the group counts
// where both have one, but a failure that puts either into FAULT does so.
func (d *decoder) resolveGroupTracks(in *instance, r *failover.RouterConfig, own map[failover.Tracker]*trackLine) {
	seen := map[failover.Tracker]*trackLine{}
	for _, l := range in.group.tracks {
		id := l.id()
		if before := seen[id]; before != nil && l.ok {
			d.warnf(l.at, "%s is there twice; the first one, at %s, counts", id, before.at.Pos)
			continue
		}
		if !l.ok || !d.counts(in, l, r, false) {
			continue
		}
		seen[id] = l
		mine := own[id]
		if mine == nil {
			r.Tracks = append(r.Tracks, l.track())
			continue
		}
		d.warnf(mine.at, "%s is in sync group %s, too, at %s; that one counts, or the one without weight", id, in.group.name.Text, l.at.Pos)
		if mine.weight.or(0) != 0 {
			i := slices.IndexFunc(r.Tracks, func(t failover.Track) bool { return t.Tracker == id })
			r.Tracks[i] = l.track()
		}
	}
}

func (l *trackLine) id() failover.Tracker { return failover.Tracker{Kind: l.kind, Name: l.at.Text} }

func (l *trackLine) track() failover.Track {
	return failover.Track{Tracker: l.id(), Weight: l.weight.or(0), Reverse: l.reverse.or(false)}
}

// counts reports whether a line has an effect on a router, and says why not.
func (d *decoder) counts(in *instance, l *trackLine, r *failover.RouterConfig, own bool) bool {
	weighted := l.weight.or(0) != 0
	switch {
	case l.kind == failover.TrackInterface && l.at.Text == in.device.or("") && !in.ignoreLink.or(false):
		if own {
			d.warnf(l.at, "track_interface %s is ignored: an instance always depends on its own interface (but for dont_track_primary)", l.at.Text)
		}
		return false
	case weighted && in.service == nil && r.VRRP.Priority == wire.PriorityOwner:
		d.warnf(l.at, "%s %s is ignored in vrrp_instance %s: no weight changes priority 255", l.kind, l.at.Text, in.name.Text)
		return false
	case weighted && own && in.group != nil && !in.group.weights.or(false):
		d.warnf(l.at, "%s %s is ignored in vrrp_instance %s: a weight in a member of a sync group needs sync_group_tracking_weight; one in the group does not",
			l.kind, l.at.Text, in.name.Text)
		return false
	}
	return true
}
