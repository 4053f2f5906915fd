package conf

import (
	"net/netip"
	"slices"

	"failoverd/bgp"
)

// speaker is the draft of a bgp_speaker.
type speaker struct {
	name      Token
	localAS   field[uint32]
	routerID  field[netip.Addr]
	listen    field[uint16]
	allow     []allowed
	allowAt   *Token // allow_prefix
	limit     field[int]
	changes   field[int]
	calm      bool // avoid_flap_damping
	caches    []Token
	invalid   field[string]
	neighbors []*neighbor
	gobgpd    field[string] // where it is; empty: embedded
	tls       *tlsBlock
	// broken: an entry of allow_prefix or a neighbor was wrong, which has been reported.
	broken bool
}

// allowed is an entry of allow_prefix.
type allowed struct {
	at     Token
	prefix netip.Prefix
}

// maxPrefixes bounds max_announcements: the agent is a stub, not a router.
const maxPrefixes = 10000

// Default and bound of max_changes, and the most caches of one speaker.
const (
	defaultChanges = 12
	mostChanges    = 1000
	mostCaches     = 8
)

// speaker decodes a bgp_speaker.
func (d *decoder) speaker(c *cursor) {
	s := &speaker{}
	name, ok := d.next(c, "a name")
	s.name = name
	walk(d, speakerWords, s, d.body(c))
	if !ok {
		return
	}
	for _, other := range d.speakers {
		if other.name.Text == name.Text {
			d.errorf(name, "bgp_speaker %s is defined twice, first at %s", name.Text, other.name.Pos)
			return
		}
	}
	d.speakers = append(d.speakers, s)
}

var speakerWords = newTable("bgp_speaker",
	[]row[*speaker]{
		single("local_as", func(d *decoder, s *speaker, c *cursor) { s.localAS.set(d.as(c)) }),
		single("router_id", func(d *decoder, s *speaker, c *cursor) { s.routerID.set(d.bgpIdentifier(c)) }),
		word("backend", (*decoder).backend),
		word("tls", (*decoder).tls),
		single("listen_port", func(d *decoder, s *speaker, c *cursor) { s.listen.set(d.uint16(c, 0, 65535)) }),
		word("allow_prefix", (*decoder).allowPrefix),
		single("max_announcements", func(d *decoder, s *speaker, c *cursor) { s.limit.set(d.int(c, 1, maxPrefixes)) }),
		single("max_changes", func(d *decoder, s *speaker, c *cursor) { s.changes.set(d.int(c, bgp.MinChanges, mostChanges)) }),
		word("avoid_flap_damping", func(_ *decoder, s *speaker, _ *cursor) { s.calm = true }),
		word("rpki_cache", (*decoder).rpkiCache),
		single("rpki_invalid", func(d *decoder, s *speaker, c *cursor) { s.invalid.set(d.oneOf(c, "refuse", "warn")) }),
		word("neighbor", (*decoder).neighbor),
	},
)

// as returns an AS number that can be one's own or a neighbor's.
func (d *decoder) as(c *cursor) (uint32, Token, bool) {
	n, t, ok := d.uint32(c, 1, 1<<32-1)
	if ok && (n == 23456 || n == 65535 || n == 1<<32-1) {
		d.errorf(t, "%s %d: the number is reserved (RFC 6793, RFC 7300)", c.keyword.Text, n)
		ok = false
	}
	return n, t, ok
}

func (d *decoder) bgpIdentifier(c *cursor) (netip.Addr, Token, bool) {
	t, ok := d.next(c, "an IPv4 address")
	if !ok {
		return netip.Addr{}, t, false
	}
	a, err := netip.ParseAddr(t.Text)
	if err != nil || !a.Is4() || a.IsUnspecified() {
		d.errorf(t, "router_id %q: want an IPv4 address other than 0.0.0.0", t.Text)
		return netip.Addr{}, t, false
	}
	return a, t, true
}

// rpkiCache decodes one cache; several statements add up, the preferred cache comes first.
func (d *decoder) rpkiCache(s *speaker, c *cursor) {
	t, ok := d.next(c, "HOST:PORT")
	if !ok {
		return
	}
	host, port, why := splitHostPort(t.Text)
	if why == "" {
		_, why = parseHost(host)
	}
	switch {
	case why != "" || port == 0:
		d.errorf(t, "rpki_cache %q: %s (want HOST:PORT; caches listen on port 323 or 8282)", t.Text, orText(why, "the port is missing"))
	case slices.ContainsFunc(s.caches, func(o Token) bool { return o.Text == t.Text }):
		d.warnf(t, "rpki_cache %s is there twice", t.Text)
	case len(s.caches) == mostCaches:
		d.errorf(t, "rpki_cache %s: more than %d caches", t.Text, mostCaches)
	default:
		s.caches = append(s.caches, t)
	}
}

// allowPrefix decodes a list of prefixes, however they are laid out.
func (d *decoder) allowPrefix(s *speaker, c *cursor) {
	if s.allowAt == nil {
		at := c.keyword
		s.allowAt = &at
	}
	for _, l := range d.body(c) {
		in := &cursor{keyword: l.Words[0], words: l.Words[1:], block: l.Block}
		if d.misplaced(in, "allow_prefix") {
			continue
		}
		for _, w := range l.Words {
			p, ok := d.network(w, "allow_prefix")
			if ok && p.Bits() == 0 {
				d.errorf(w, "allow_prefix %s: a default route is not ours to announce", p)
				ok = false
			}
			if ok {
				s.allow = append(s.allow, allowed{w, p})
			} else {
				s.broken = true
			}
		}
		d.noBlock(in)
	}
}

// resolveSpeaker returns the configuration of a speaker.
func (d *decoder) resolveSpeaker(s *speaker) bgp.SpeakerConfig {
	cfg := bgp.SpeakerConfig{
		Name: s.name.Text, LocalAS: s.localAS.or(0), RouterID: s.routerID.or(netip.Addr{}),
		ListenPort: s.listen.or(0), MaxAnnouncements: s.limit.or(0), External: d.resolveExternal(s), MaxChanges: s.changes.or(defaultChanges),
		Calm: s.calm, RPKIWarn: s.invalid.or("refuse") == "warn",
	}
	for _, t := range s.caches {
		cfg.RPKICaches = append(cfg.RPKICaches, t.Text)
	}
	if s.invalid.given && len(s.caches) == 0 {
		d.warnf(s.invalid.at, "rpki_invalid without rpki_cache: nothing is validated")
	}
	if s.localAS.missing() {
		d.errorf(s.name, "bgp_speaker %s: local_as is missing", s.name.Text)
	}
	if s.routerID.missing() && (cfg.External == nil || len(s.neighbors) > 0) {
		d.errorf(s.name, "bgp_speaker %s: router_id is missing", s.name.Text)
	}
	public := cfg.OperatorOwned() && !privateAS(cfg.LocalAS) // whom it speaks to is not known here
	for _, n := range s.neighbors {
		cfg.Neighbors = append(cfg.Neighbors, d.resolveNeighbor(n, &cfg))
		public = public || n.remoteAS.value != cfg.LocalAS && !privateAS(n.remoteAS.value)
	}
	if len(s.neighbors) == 0 && !s.broken && s.gobgpd.sound() && cfg.External == nil {
		d.errorf(s.name, "bgp_speaker %s has no neighbor", s.name.Text)
	}
	for _, a := range s.allow {
		if cfg.Allow.Permits(a.prefix) {
			d.warnf(a.at, "allow_prefix %s is there twice", a.prefix)
			continue
		}
		if longest := longestAccepted(a.prefix.Addr()); public && a.prefix.Bits() > longest {
			d.warnf(a.at, "allow_prefix %s: most networks accept nothing longer than /%d", a.prefix, longest)
		}
		cfg.Allow = append(cfg.Allow, a.prefix)
	}
	switch {
	case len(cfg.Allow) > 0 || s.broken:
	case s.allowAt == nil:
		d.errorf(s.name, "bgp_speaker %s: allow_prefix is missing: nothing else may leave", s.name.Text)
	default:
		d.errorf(*s.allowAt, "allow_prefix is empty: nothing could ever be announced")
	}
	return cfg
}

// longestAccepted is the length that prefixes on the Internet have at most.
func longestAccepted(a netip.Addr) int {
	if a.Is4() {
		return 24
	}
	return 48
}

// privateAS reports whether an AS number is for private use (RFC 6996): such a neighbor is not the Internet.
func privateAS(as uint32) bool {
	return as >= 64512 && as <= 65534 || as >= 4200000000 && as <= 4294967294
}
