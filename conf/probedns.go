package conf

import (
	"net/netip"
	"strings"

	"failoverd/failover"
)

// dnsDraft is what a dns probe has besides its server.
type dnsDraft struct {
	query   field[string]
	kind    field[string]
	rcode   field[string]
	answers []Token
}

// recordTypes are the types that can be asked for, each with how many words the text of a record has. Of a SOA record the
// beginning will do.
var recordTypes = map[string]int{"A": 1, "AAAA": 1, "CNAME": 1, "MX": 2, "NS": 1, "PTR": 1, "SOA": 7, "SRV": 4, "TXT": 0}

var dnsWords = newTable("dns", []row[*probe]{
	word("query", func(d *decoder, p *probe, c *cursor) {
		s, t, ok := d.text(c, "a name")
		if ok && !dnsName(s) {
			d.errorf(t, "query %q: it is not a name of DNS", s)
			ok = false
		}
		p.dns.query.set(s, t, ok)
	}),
	word("type", func(d *decoder, p *probe, c *cursor) {
		p.dns.kind.set(d.oneOf(c, "A", "AAAA", "CNAME", "MX", "NS", "PTR", "SOA", "SRV", "TXT"))
	}),
	word("answer", func(d *decoder, p *probe, c *cursor) {
		for first := true; first || c.value(); first = false {
			t, ok := d.next(c, "the text of a record")
			if !ok {
				return
			}
			p.dns.answers = append(p.dns.answers, t)
		}
	}),
	single("rcode", func(d *decoder, p *probe, c *cursor) { p.dns.rcode.set(d.oneOf(c, "NOERROR", "NXDOMAIN")) }),
	word("tcp", func(_ *decoder, p *probe, _ *cursor) { p.out.DNS.TCP = true }),
})

// dnsName reports whether a text is a name without anything that would have to be escaped: labels of up to 63 octets,
// the root among them.
func dnsName(s string) bool {
	if s == "." {
		return true
	}
	if len(s) > maxHostName {
		return false
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(s, "."), ".") {
		if label == "" || len(label) > 63 || label != "*" && strings.ContainsFunc(label, func(r rune) bool { return notInName(r) && r != '/' }) {
			return false
		}
	}
	return true
}

func (d *decoder) dnsProbe(c *cursor) *probe {
	p := &probe{word: c.keyword, out: failover.Probe{Kind: failover.ProbeDNS}}
	t, ok := d.next(c, "a server")
	if c.block != nil || c.more() {
		walk(d, dnsWords, p, d.body(c))
	}
	if !ok {
		return p
	}
	// An address of IPv6 needs brackets only if there is a port behind it.
	a, err := netip.ParseAddr(t.Text)
	var why string
	if err == nil {
		_, why = parseHost(t.Text)
	} else {
		var host string
		if host, _, why = splitHostPort(t.Text); why == "" {
			a, why = parseHost(host)
		}
	}
	if why != "" {
		d.errorf(t, "dns %q: %s (want SERVER or SERVER:PORT)", t.Text, why)
		return p
	}
	p.out.Target, p.address, p.ok = t.Text, a, true
	return p
}

// resolveDNS returns the configuration of a dns probe.
func (d *decoder) resolveDNS(p *probe) failover.Probe {
	draft, out := &p.dns, &p.out
	if draft.query.missing() {
		d.errorf(p.word, "dns: query is missing")
	}
	out.Query, out.DNS.Type, out.DNS.Missing = draft.query.or(""), draft.kind.or("A"), draft.rcode.or("NOERROR") == "NXDOMAIN"
	for _, t := range draft.answers {
		if out.DNS.Missing {
			d.errorf(t, "answer %q: a name that does not exist (rcode NXDOMAIN) has no answers", t.Text)
			break
		}
		if draft.kind.sound() && d.isRecord(t, out.DNS.Type) {
			out.DNS.Answers = append(out.DNS.Answers, t.Text)
		}
	}
	return *out
}

// isRecord reports whether a text can be that of a record of a type, and says why not.
func (d *decoder) isRecord(t Token, kind string) bool {
	a, err := netip.ParseAddr(t.Text)
	words := len(strings.Fields(t.Text))
	switch n := recordTypes[kind]; {
	case kind == "A" && (err != nil || !a.Is4()):
		d.errorf(t, "answer %q: a record of type A has an IPv4 address", t.Text)
	case kind == "AAAA" && (err != nil || !a.Is6() || a.Zone() != ""):
		d.errorf(t, "answer %q: a record of type AAAA has an IPv6 address", t.Text)
	case kind == "SOA" && words > n, kind != "SOA" && n > 0 && words != n:
		d.errorf(t, "answer %q: a record of type %s has %d words; one of several stands in double quotes", t.Text, kind, n)
	default:
		return true
	}
	return false
}
