package conf

import (
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"

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
		d.errorf(t, "tcp %q: %s (want HOST:PORT)", t.Text, orText(why, "the port is missing"))
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

var httpWords = newTable("http", []row[*probe]{
	word("status", (*decoder).statuses),
	word("body_match", func(d *decoder, p *probe, c *cursor) {
		s, t, ok := d.text(c, "a regular expression")
		if _, err := regexp.Compile(s); ok && err != nil {
			d.errorf(t, "body_match: %s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
		}
		p.out.Body = s
	}),
	word("method", func(d *decoder, p *probe, c *cursor) {
		s, t, ok := d.text(c, "a method")
		if ok && (strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" || s == "CONNECT") {
			d.errorf(t, "method %q: want GET, HEAD or another one in capital letters", s)
		}
		p.out.Method = s
	}),
	word("host", func(d *decoder, p *probe, c *cursor) {
		s, t, ok := d.text(c, "a name")
		if host, _, why := splitHostPort(s); ok {
			if why == "" {
				_, why = parseHost(host)
			}
			if why != "" {
				d.errorf(t, "host %q: %s (want NAME or NAME:PORT)", s, why)
			}
		}
		p.out.Host = s
	}),
	word("insecure", func(_ *decoder, p *probe, c *cursor) {
		p.out.Insecure = true
		p.tls = append(p.tls, c.keyword)
	}),
	word("server_name", func(d *decoder, p *probe, c *cursor) {
		p.tls = append(p.tls, c.keyword)
		s, t, ok := d.text(c, "a name")
		if _, why := parseHost(s); ok && why != "" {
			d.errorf(t, "server_name %q: %s", s, why)
		}
		p.out.ServerName = s
	}),
})

// statuses decodes one or more N or N-N.
func (d *decoder) statuses(p *probe, c *cursor) {
	for first := true; first || c.value(); first = false {
		const want = "codes from 100 to 599, such as 200-299"
		t, ok := d.next(c, want)
		if !ok {
			return
		}
		from, to, isRange := strings.Cut(t.Text, "-")
		if !isRange {
			to = from
		}
		lo, err := strconv.Atoi(from)
		hi, err2 := strconv.Atoi(to)
		if err != nil || err2 != nil || !digits(from+to) || lo < 100 || hi > 599 || lo > hi {
			d.errorf(t, "status %q: want %s", t.Text, want)
			continue
		}
		p.out.Statuses = append(p.out.Statuses, [2]int{lo, hi})
	}
}

func (d *decoder) httpProbe(c *cursor) *probe {
	p := &probe{word: c.keyword, out: failover.Probe{Kind: failover.ProbeHTTP}}
	t, ok := d.next(c, "a URL")
	if c.block != nil && !c.more() {
		walk(d, httpWords, p, d.body(c))
	}
	if !ok {
		return p
	}
	u, why := parseURL(t.Text)
	if why == "" {
		p.address, why = parseHost(u.Hostname())
	}
	if why != "" {
		d.errorf(t, "http %q: %s (want http://HOST[:PORT]/PATH, or https)", t.Text, why)
		return p
	}
	if u.Scheme == "http" {
		for _, w := range p.tls {
			d.warnf(w, "%s has no effect without https", w.Text)
		}
	}
	p.out.Target, p.ok = t.Text, true
	return p
}

// parseURL returns a URL that can be asked for, or says why it cannot. Who names a password there would find it in logs
// and status.
func parseURL(s string) (*url.URL, string) {
	u, err := url.Parse(s)
	switch {
	case err != nil || !printable(s):
		return nil, "it is not a URL"
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, "it does not begin with http:// or https://"
	case u.Opaque != "" || u.Host == "" || u.Hostname() == "":
		return nil, "it has no host"
	case u.User != nil:
		return nil, "a user is not supported"
	case u.Fragment != "":
		return nil, "a fragment is never sent"
	}
	if _, _, why := splitHostPort(u.Host); why != "" {
		return nil, why
	}
	return u, ""
}

var routeWords = newTable("bgp_route", []row[*probe]{
	word("speaker", func(d *decoder, p *probe, c *cursor) { p.speaker.set(d.text(c, "the name of a bgp_speaker")) }),
	word("from", func(d *decoder, p *probe, c *cursor) {
		s, _, ok := d.oneOf(c, "any_neighbor", "all_neighbors")
		p.out.AllNeighbors = ok && s == "all_neighbors"
	}),
	word("origin_as", func(d *decoder, p *probe, c *cursor) { p.origin.set(d.as(c)) }),
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
	if p.out.Kind != failover.ProbeBGPRoute {
		return p.out
	}
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
