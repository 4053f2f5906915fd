package conf

import (
	"net/netip"
	"strings"

	"failoverd/bgp"
	"failoverd/failover"
)

// announcement is the draft of an entry of bgp_announce.
type announcement struct {
	at      Token
	prefix  netip.Prefix
	ok      bool
	speaker field[string]
	role    field[failover.Role]
	nextHop field[netip.Addr]
	med     field[uint32]
	pref    field[uint32]
	prepend field[uint8]
	plain   []bgp.Community
	large   []bgp.LargeCommunity
}

// maxPrepend is that of bgp.Attributes.
const maxPrepend = 16

var announceWords = newTable("bgp_announce", []row[*announcement]{
	single("speaker", func(d *decoder, a *announcement, c *cursor) { a.speaker.set(d.text(c, "the name of a bgp_speaker")) }),
	word("when", (*decoder).when),
	single("next_hop", func(d *decoder, a *announcement, c *cursor) { a.nextHop.set(d.address(c, false)) }),
	single("med", func(d *decoder, a *announcement, c *cursor) { a.med.set(d.uint32(c, 0, 1<<32-1)) }),
	single("local_pref", func(d *decoder, a *announcement, c *cursor) { a.pref.set(d.uint32(c, 0, 1<<32-1)) }),
	single("prepend", func(d *decoder, a *announcement, c *cursor) { a.prepend.set(d.uint8(c, 0, maxPrepend)) }),
	word("community", func(d *decoder, a *announcement, c *cursor) {
		a.plain = append(a.plain, communities(d, c, "AS:VALUE or a well-known name", bgp.ParseCommunity)...)
	}),
	word("large_community", func(d *decoder, a *announcement, c *cursor) {
		a.large = append(a.large, communities(d, c, "GLOBAL:LOCAL1:LOCAL2", bgp.ParseLargeCommunity)...)
	}),
}).inEntries()

// announcements decodes a bgp_announce. Several blocks add up.
func (d *decoder) announcements(in *instance, c *cursor) {
	isPrefix := func(w string) bool { return strings.Contains(w, "/") }
	entries(d, announceWords, d.body(c), isPrefix, func(c *cursor) *announcement {
		a := &announcement{at: c.keyword}
		a.prefix, a.ok = d.network(c.keyword, "bgp_announce")
		in.announce = append(in.announce, a)
		return a
	})
}

func (d *decoder) when(a *announcement, c *cursor) {
	roles := map[string]failover.Role{}
	for _, r := range []failover.Role{failover.RoleActive, failover.RoleBackup, failover.RoleDraining} {
		roles[r.String()] = r
	}
	s, at, ok := d.oneOf(c, "active", "backup", "draining")
	a.role.set(roles[s], at, ok)
}

// communities returns one or more communities.
func communities[T any](d *decoder, c *cursor, want string, parse func(string) (T, error)) []T {
	var out []T
	for first := true; first || c.value(); first = false {
		t, ok := d.next(c, want)
		if !ok {
			break
		}
		v, err := parse(t.Text)
		if err != nil {
			d.errorf(t, "%s: %v", c.keyword.Text, err)
			continue
		}
		out = append(out, v)
	}
	return out
}

// resolveAnnouncement returns what an entry announces, if nothing stands against it.
func (d *decoder) resolveAnnouncement(a *announcement, cfg *failover.Config) (failover.Announcement, bool) {
	before := len(d.findings)
	out := failover.Announcement{Speaker: a.speaker.value, When: a.role.or(failover.RoleActive)}
	out.Route.Prefix = a.prefix
	out.Route.Attributes = a.attributes()
	if a.speaker.missing() {
		d.errorf(a.at, "bgp_announce %s: speaker is missing", a.at.Text)
	}
	if a.ok && a.nextHop.ok && a.nextHop.value.Is4() != a.prefix.Addr().Is4() {
		d.errorf(a.nextHop.at, "next_hop %s and the prefix %s are of different families", a.nextHop.value, a.prefix)
	}
	if !a.speaker.ok {
		return out, false
	}
	s := cfg.Speaker(a.speaker.value)
	if s == nil {
		d.suggestf(a.speaker.at, d.nearest(a.speaker.value, d.speakerNames()), "speaker %s: there is no such bgp_speaker", a.speaker.value)
		return out, false
	}
	if a.ok && len(s.Allow) > 0 && !s.Allow.Permits(a.prefix) {
		d.errorf(a.at, "bgp_announce %s: not in the allow_prefix of speaker %s", a.prefix, s.Name)
		return out, false
	}
	if a.ok && before == len(d.findings) && len(s.Allow) > 0 {
		if _, err := s.Validate([]bgp.Route{out.Route}); err != nil {
			d.errorf(a.at, "bgp_announce: %v", err)
		}
	}
	return out, a.ok
}

func (a *announcement) attributes() bgp.Attributes {
	out := bgp.Attributes{
		NextHop: a.nextHop.or(netip.Addr{}), Prepend: a.prepend.or(0), Communities: a.plain, LargeCommunities: a.large,
	}
	if a.med.ok {
		out.MED = &a.med.value
	}
	if a.pref.ok {
		out.LocalPref = &a.pref.value
	}
	out.Normalize()
	return out
}

func (d *decoder) speakerNames() []string {
	names := make([]string, len(d.speakers))
	for i, s := range d.speakers {
		names[i] = s.name.Text
	}
	return names
}
