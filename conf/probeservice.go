package conf

import (
	"math"
	"strconv"
	"strings"

	"failoverd/failover"
)

var grpcWords = newTable("grpc", []row[*probe]{
	word("service", func(d *decoder, p *probe, c *cursor) {
		s, t, ok := d.text(c, "the name of a service")
		if ok && (!printable(s) || len(s) > maxHostName) {
			d.errorf(t, "service %q: not the name of a service", s)
		}
		p.out.Service = s
	}),
	word("tls", func(_ *decoder, p *probe, _ *cursor) { p.out.TLS = true }),
}, checkTLSWords)

func (d *decoder) grpcProbe(c *cursor) *probe {
	p := d.tcpProbe(c)
	p.out.Kind = failover.ProbeGRPC
	if c.block != nil && !c.more() {
		walk(d, grpcWords, p, d.body(c))
	}
	d.checkTLS(p, p.out.TLS, "tls")
	return p
}

var prometheusWords = newTable("prometheus", []row[*probe]{
	single("query", func(d *decoder, p *probe, c *cursor) { p.dns.query.set(d.text(c, "an expression")) }),
	word("above", func(d *decoder, p *probe, c *cursor) { d.limit(p, c, false) }),
	word("below", func(d *decoder, p *probe, c *cursor) { d.limit(p, c, true) }),
	word("recover_below", func(d *decoder, p *probe, c *cursor) { d.recovery(p, c) }),
	word("recover_above", func(d *decoder, p *probe, c *cursor) { d.recovery(p, c) }),
	word("absent", func(d *decoder, p *probe, c *cursor) {
		s, _, _ := d.oneOf(c, "unhealthy", "healthy", "keep")
		p.out.Absent = map[string]failover.AbsentPolicy{"healthy": failover.AbsentHealthy, "keep": failover.AbsentKeep}[s]
	}),
	word("header", (*decoder).header),
}, checkTLSWords)

// limit decodes the number that a value is held against.
func (d *decoder) limit(p *probe, c *cursor, below bool) {
	word := c.keyword
	v, t, ok := d.float(c)
	if len(p.limits) > 0 {
		d.errorf(word, "%s: the probe has a limit already, at %s; write a health_check for each", word.Text, p.limits[0].at.Pos)
		return
	}
	p.limits = []field[failover.Threshold]{{failover.Threshold{Below: below, Value: v, Recover: v}, t, true, ok}}
}

// recovery decodes recover_below, which goes with above, or recover_above.
func (d *decoder) recovery(p *probe, c *cursor) {
	p.backWord = c.keyword
	p.back.set(d.float(c))
}

// float returns a decimal number.
func (d *decoder) float(c *cursor) (float64, Token, bool) {
	t, ok := d.next(c, "a number")
	if !ok {
		return 0, t, false
	}
	v, err := strconv.ParseFloat(t.Text, 64)
	if err != nil || math.IsInf(v, 0) || math.IsNaN(v) || strings.Trim(t.Text, "0123456789.eE+-") != "" {
		d.errorf(t, "%s %q: not a number", c.keyword.Text, t.Text)
		return 0, t, false
	}
	return v, t, true
}

// resolvePrometheus returns the configuration of a prometheus probe.
func (d *decoder) resolvePrometheus(p *probe) failover.Probe {
	p.out.Query = p.dns.query.or("")
	if p.dns.query.missing() {
		d.errorf(p.word, "prometheus: query is missing")
	}
	if len(p.limits) == 0 {
		d.errorf(p.word, "prometheus: the limit is missing (want above NUMBER or below NUMBER)")
		return p.out
	}
	limit := p.limits[0]
	p.out.Limit = limit.value
	if want := map[bool]string{true: "recover_above", false: "recover_below"}[limit.value.Below]; p.back.given && p.backWord.Text != want {
		d.errorf(p.backWord, "%s does not go with %s", p.backWord.Text, map[bool]string{true: "below", false: "above"}[limit.value.Below])
		return p.out
	}
	if !limit.ok || !p.back.ok {
		return p.out
	}
	p.out.Limit.Recover = p.back.value
	switch below := limit.value.Below; {
	case below && p.back.value < limit.value.Value:
		d.errorf(p.back.at, "recover_above %s is less than below %s", p.back.at.Text, limit.at.Text)
	case !below && p.back.value > limit.value.Value:
		d.errorf(p.back.at, "recover_below %s is more than above %s", p.back.at.Text, limit.at.Text)
	}
	return p.out
}

func (d *decoder) linkProbe(c *cursor) *probe {
	p := &probe{word: c.keyword, out: failover.Probe{Kind: failover.ProbeLink}}
	p.out.Target, _, p.ok = d.device(c)
	return p
}
