package conf

import (
	"net/netip"

	"failoverd/failover"
)

// probe is the draft of the probe line of a health check.
type probe struct {
	word Token // tcp and so on
	out  failover.Probe
	// address is what the target has instead of a name; zero: a name.
	address netip.Addr
	speaker field[string]
	origin  field[uint32]
	tls     []Token // words that are about certificates
	body    Token   // body_match
	ca      Token
	dns     dnsDraft
	limits  []field[failover.Threshold]
	back    field[float64] // recover_below or recover_above
	// backWord is the one of the two that was given.
	backWord Token
	// ok: the target is one; what is wrong with it has been reported.
	ok bool
}

func (d *decoder) tcpProbe(c *cursor) *probe {
	p := &probe{word: c.keyword, out: failover.Probe{Kind: failover.ProbeTCP}}
	t, ok := d.next(c, "HOST:PORT")
	if !ok {
		return p
	}
	host, port, why := splitHostPort(t.Text)
	if why == "" {
		p.address, why = parseHost(host)
	}
	if why != "" || port == 0 {
		d.errorf(t, "%s %q: %s (want HOST:PORT)", c.keyword.Text, t.Text, orText(why, "the port is missing"))
		return p
	}
	p.out.Target, p.ok = t.Text, true
	return p
}

func (d *decoder) icmpProbe(c *cursor) *probe {
	p := &probe{word: c.keyword, out: failover.Probe{Kind: failover.ProbeICMP}}
	t, ok := d.next(c, "a host")
	if !ok {
		return p
	}
	a, why := parseHost(t.Text)
	if why != "" {
		d.errorf(t, "icmp %q: %s (want a name or an address)", t.Text, why)
		return p
	}
	p.out.Target, p.address, p.ok = t.Text, a, true
	return p
}

var routeWords = newTable("bgp_route", []row[*probe]{
	single("speaker", func(d *decoder, p *probe, c *cursor) { p.speaker.set(d.text(c, "the name of a bgp_speaker")) }),
	word("from", func(d *decoder, p *probe, c *cursor) {
		s, _, ok := d.oneOf(c, "any_neighbor", "all_neighbors")
		p.out.AllNeighbors = ok && s == "all_neighbors"
	}),
	single("origin_as", func(d *decoder, p *probe, c *cursor) { p.origin.set(d.as(c)) }),
})

func (d *decoder) routeProbe(c *cursor) *probe {
	p := &probe{word: c.keyword, out: failover.Probe{Kind: failover.ProbeBGPRoute}}
	t, ok := d.next(c, "a prefix")
	if c.block != nil || c.more() {
		walk(d, routeWords, p, d.body(c))
	}
	if ok {
		p.out.Prefix, p.ok = d.network(t, "bgp_route")
	}
	return p
}

// resolveProbe returns the configuration of a probe.
func (d *decoder) resolveProbe(p *probe) failover.Probe {
	switch p.out.Kind {
	case failover.ProbeBGPRoute:
		return d.resolveRoute(p)
	case failover.ProbeDNS:
		return d.resolveDNS(p)
	case failover.ProbePrometheus:
		return d.resolvePrometheus(p)
	default:
		return p.out
	}
}

func (d *decoder) resolveRoute(p *probe) failover.Probe {
	p.out.Speaker, p.out.OriginAS = p.speaker.or(""), p.origin.or(0)
	if p.speaker.missing() {
		d.errorf(p.word, "bgp_route: speaker is missing")
	}
	if !p.speaker.ok {
		return p.out
	}
	s := d.speakerNamed(p.speaker.at)
	if s == nil || !p.ok || s.broken {
		return p.out
	}
	for _, a := range s.allow {
		if a.prefix.Addr().Is4() == p.out.Prefix.Addr().Is4() {
			return p.out
		}
	}
	d.errorf(p.speaker.at, "bgp_route %s: the sessions of speaker %s carry no such prefixes, because its allow_prefix has none of that family",
		p.out.Prefix, s.name.Text)
	return p.out
}

// speakerNamed returns the speaker that a word names, or says that there is none.
func (d *decoder) speakerNamed(t Token) *speaker {
	for _, s := range d.speakers {
		if s.name.Text == t.Text {
			return s
		}
	}
	d.suggestf(t, d.nearest(t.Text, d.speakerNames()), "speaker %s: there is no such bgp_speaker", t.Text)
	return nil
}
