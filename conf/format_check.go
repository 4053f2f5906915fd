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
		p.when(c.Source.IsValid(), "source", c.Source)
		p.when(c.Interface != "", "interface", name(c.Interface))
		p.when(c.MaxRTT != 0, "max_rtt", int64(c.MaxRTT/time.Millisecond))
		p.when(c.MaxLoss != 0, "max_loss", c.MaxLoss)
		p.when(c.Window != 0, "window", c.Window)
	})
}

func (p *printer) probe(o *failover.Probe) {
	switch o.Kind {
	case failover.ProbeTCP, failover.ProbeICMP:
		p.line(o.Kind, name(o.Target))
	case failover.ProbeHTTP:
		p.block("http "+name(o.Target), func() {
			p.when(len(o.Statuses) > 0, "status", o.StatusText())
			p.when(o.Body != "", "body_match", quote(o.Body))
			p.when(o.Method != "", "method", o.Method)
			p.when(o.Host != "", "host", name(o.Host))
			p.when(o.Insecure, "insecure")
			p.when(o.ServerName != "", "server_name", name(o.ServerName))
		})
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
