package conf

import (
	"slices"
	"time"

	"failoverd/failover"
)

// check writes a health check.
func (p *printer) check(c *failover.CheckConfig) {
	p.block("health_check "+name(c.Name), func() {
		p.probe(&c.Probe)
		p.line("interval", formatSeconds(c.Interval))
		p.when(c.FallInterval != 0, "fall_interval", formatSeconds(c.FallInterval))
		p.line("timeout", formatSeconds(c.Timeout))
		p.line("rise", c.Rise)
		p.line("fall", c.Fall)
		p.when(c.Initial != failover.InitialUnknown, "initial", c.Initial)
		p.when(c.NetNamespace != "", "net_namespace", name(c.NetNamespace))
		p.when(c.Source.IsValid(), "source", c.Source)
		p.when(c.Interface != "", "interface", name(c.Interface))
		p.when(c.MaxRTT != 0, "max_rtt", int64(c.MaxRTT/time.Millisecond))
		p.when(c.RecoverRTT != 0, "recover_rtt", int64(c.RecoverRTT/time.Millisecond))
		p.when(c.MaxLoss != 0, "max_loss", c.MaxLoss)
		p.when(c.RecoverLoss != 0, "recover_loss", max(c.RecoverLoss, 0)) // NoLoss is 0
		p.when(c.Window != 0, "window", c.Window)
		if m := c.Damping; m.Changes != 0 {
			p.line("damping", m.Changes, formatSeconds(m.Within), formatSeconds(m.Steady))
		}
	})
}

func (p *printer) probe(o *failover.Probe) {
	switch o.Kind {
	case failover.ProbeTCP, failover.ProbeICMP, failover.ProbeLink:
		p.line(o.Kind, name(o.Target))
	case failover.ProbeHTTP:
		p.block("http "+name(o.Target), func() {
			p.when(len(o.Statuses) > 0, "status", o.StatusText())
			p.when(o.Body != "", "body_match", quote(o.Body))
			p.when(o.Method != "", "method", o.Method)
			p.when(o.Host != "", "host", name(o.Host))
			p.when(o.HTTP2, "http2")
			p.when(o.CertExpiry != 0, "cert_expiry", o.CertExpiry)
			p.exchange(o)
		})
	case failover.ProbeDNS:
		p.block("dns "+name(o.Target), func() { p.dns(o) })
	case failover.ProbeGRPC:
		p.block("grpc "+name(o.Target), func() {
			p.when(o.Service != "", "service", name(o.Service))
			p.when(o.TLS, "tls")
			p.exchange(o)
		})
	case failover.ProbePrometheus:
		p.block("prometheus "+name(o.Target), func() { p.prometheus(o) })
	case failover.ProbeBGPRoute:
		p.block("bgp_route "+o.Prefix.String(), func() {
			p.line("speaker", name(o.Speaker))
			p.when(o.OriginAS != 0, "origin_as", o.OriginAS)
			p.when(o.AllNeighbors, "from", "all_neighbors")
		})
	}
}

// checkGroup writes a check group.
func (p *printer) checkGroup(cfg *failover.Config, g *failover.CheckGroupConfig) {
	words := map[failover.TrackerKind]string{
		failover.TrackCheck: "health_check", failover.TrackScript: "vrrp_script", failover.TrackProcess: "vrrp_track_process",
		failover.TrackFile: "vrrp_track_file",
	}
	p.block("check_group "+name(g.Name), func() {
		p.line(g.RuleText())
		for _, m := range g.Members {
			word := words[m.Kind]
			if m.Kind == failover.TrackCheck && slices.ContainsFunc(cfg.CheckGroups, func(o failover.CheckGroupConfig) bool { return o.Name == m.Name }) {
				word = "check_group"
			}
			p.line(word, name(m.Name))
		}
	})
}

// exchange writes what probes that speak HTTP or TLS have in common.
func (p *printer) exchange(o *failover.Probe) {
	for _, h := range o.Headers {
		p.line("header", name(h[0]), quote(h[1]))
	}
	p.when(o.Insecure, "insecure")
	p.when(o.ServerName != "", "server_name", name(o.ServerName))
	p.when(o.CA != "", "ca", name(o.CA))
}

func (p *printer) dns(o *failover.Probe) {
	p.line("query", name(o.Query))
	p.line("type", o.DNS.Type)
	for _, a := range o.DNS.Answers {
		p.line("answer", quote(a))
	}
	p.when(o.DNS.Missing, "rcode", "NXDOMAIN")
	p.when(o.DNS.TCP, "tcp")
}

func (p *printer) prometheus(o *failover.Probe) {
	p.line("query", quote(o.Query))
	word, back := "above", "recover_below"
	if o.Limit.Below {
		word, back = "below", "recover_above"
	}
	p.line(word, failover.Number(o.Limit.Value))
	p.when(o.Limit.Recover != o.Limit.Value, back, failover.Number(o.Limit.Recover))
	p.when(o.Absent != failover.AbsentUnhealthy, "absent", o.Absent)
	p.exchange(o)
}
