package conf

import (
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"failoverd/failover"
)

var httpWords = newTable("http", []row[*probe]{
	word("status", (*decoder).statuses),
	word("body_match", func(d *decoder, p *probe, c *cursor) {
		s, t, ok := d.text(c, "a regular expression")
		p.body = c.keyword
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
	word("header", (*decoder).header),
	word("http2", func(_ *decoder, p *probe, c *cursor) {
		p.out.HTTP2 = true
		p.tls = append(p.tls, c.keyword)
	}),
	word("cert_expiry", func(d *decoder, p *probe, c *cursor) {
		p.tls = append(p.tls, c.keyword)
		p.out.CertExpiry, _, _ = d.int(c, 1, maxCertDays)
	}),
}, checkTLSWords)

// maxCertDays is the greatest number of days before the end of a certificate: ten years.
const maxCertDays = 3650

// checkTLSWords are about certificates.
var checkTLSWords = []row[*probe]{
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
	word("ca", func(d *decoder, p *probe, c *cursor) {
		p.tls = append(p.tls, c.keyword)
		p.out.CA, p.ca, _ = d.file(c)
	}),
}

// ownHeaders are those that a probe writes by itself, with what to do instead.
var ownHeaders = map[string]string{
	"host": "write host", "connection": "each probe has a connection of its own", "content-length": "probes have no body",
	"transfer-encoding": "probes have no body", "upgrade": "a probe does not change the protocol", "te": "probes have no body",
	"keep-alive": "each probe has a connection of its own", "proxy-connection": "probes use no proxy", "trailer": "probes have no body",
}

// header decodes NAME VALUE.
func (d *decoder) header(p *probe, c *cursor) {
	name, t, ok := d.text(c, "the name of a header and its value")
	if !ok {
		return
	}
	if strings.ContainsFunc(name, notInHeader) {
		d.errorf(t, "header %q: not the name of a header", name)
		ok = false
	} else if why := ownHeaders[strings.ToLower(name)]; why != "" {
		d.errorf(t, "header %s cannot be set: %s", name, why)
		ok = false
	}
	v, t, given := d.text(c, "the name of a header and its value")
	if given && strings.ContainsFunc(v, func(r rune) bool { return r < ' ' && r != '\t' || r >= 0x7f }) {
		d.errorf(t, "header %s: its value has characters that no header may have", name)
		given = false
	}
	if ok && given {
		p.out.Headers = append(p.out.Headers, [2]string{name, v})
	}
}

// notInHeader reports whether a character is none of a token (RFC 9110 section 5.6.2).
func notInHeader(r rune) bool { return notInName(r) && !strings.ContainsRune("!#$%&'*+.^`|~", r) }

// checkTLS looks at words about certificates, and at whether there are any certificates.
func (d *decoder) checkTLS(p *probe, speaks bool, without string) {
	if !speaks {
		for _, w := range p.tls {
			d.warnf(w, "%s has no effect without %s", w.Text, without)
		}
		return
	}
	for _, w := range p.tls {
		if p.out.Insecure && (w.Text == "ca" || w.Text == "server_name") {
			d.warnf(w, "%s verifies nothing beside insecure", w.Text)
		}
	}
}

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

// urlProbe decodes a probe that asks for a URL, with its words.
func (d *decoder) urlProbe(c *cursor, words *table[*probe], kind failover.ProbeKind) *probe {
	p := &probe{word: c.keyword, out: failover.Probe{Kind: kind}}
	t, ok := d.next(c, "a URL")
	if c.block != nil && !c.more() {
		walk(d, words, p, d.body(c))
	}
	if !ok {
		return p
	}
	u, why := parseURL(t.Text)
	if why == "" {
		p.address, why = parseHost(u.Hostname())
	}
	if why != "" {
		d.errorf(t, "%s %q: %s (want http://HOST[:PORT]/PATH, or https)", kind, t.Text, why)
		return p
	}
	d.checkTLS(p, u.Scheme == "https", "https")
	if p.out.Method == "HEAD" && p.out.Body != "" {
		d.errorf(p.body, "body_match %q: an answer to HEAD has no body, so it would never match (want method GET)", p.out.Body)
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
