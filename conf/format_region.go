package conf

import (
	"encoding/hex"

	"failoverd/failover"
)

// regions are the blocks about other sites.
func (p *printer) regions(cfg *failover.Config) {
	for i := range cfg.Sites {
		p.site(&cfg.Sites[i])
	}
	for i := range cfg.Watches {
		p.watch(&cfg.Watches[i])
	}
	if w := cfg.WitnessServer; w != nil {
		p.block("witness_server", func() {
			p.line("listen", w.Listen)
			p.keys(w.Keys)
		})
	}
}

// keys writes keys, which came from files, in full.
func (p *printer) keys(keys [][]byte) {
	for _, k := range keys {
		p.line("key", "hex:"+hex.EncodeToString(k))
	}
}

func (p *printer) partner(x *failover.Partner) {
	head := x.Kind.String() + " "
	if x.Kind == failover.PartnerWitness {
		head += name(x.Name) + " "
	}
	p.block(head+x.Address.String(), func() { p.keys(x.Keys) })
}

func (p *printer) checkNames(names []string) {
	for _, n := range names {
		p.line("health_check", name(n))
	}
}

func (p *printer) site(s *failover.SiteConfig) {
	p.block("site "+name(s.Name), func() {
		for i := range s.Partners {
			p.partner(&s.Partners[i])
		}
		p.line("fence_after", formatSeconds(s.FenceAfter))
		p.line("heartbeat", formatSeconds(s.Heartbeat))
		if s.Hold {
			p.line("isolated", "hold")
		} else {
			p.line("isolated", "fence")
		}
		p.checkNames(s.HoldChecks)
	})
}

func (p *printer) watch(w *failover.WatchConfig) {
	p.block("watch_site "+name(w.Name), func() {
		p.checkNames(w.Checks)
		for i := range w.Witnesses {
			p.partner(&w.Witnesses[i])
		}
		p.line("down_quorum", w.DownQuorum)
		p.line("takeover_after", formatSeconds(w.TakeoverAfter))
		p.when(w.OnSiteDown, "takeover_on_site_down")
		p.line("heartbeat", formatSeconds(w.Heartbeat))
		p.when(w.Listen.IsValid(), "listen", w.Listen)
		p.keys(w.Keys)
		p.line("fence_after", formatSeconds(w.FenceAfter))
		p.line("hold_time", formatSeconds(w.HoldTime))
		p.line("vip_lease", formatSeconds(w.Lease))
		p.line("hold_down", formatSeconds(w.HoldDown))
		p.line("damping", formatSeconds(w.HalfLife), w.Suppress, w.Reuse)
	})
}

// region is what a router says of other sites. Where there is a site, each router says whether it lives by it.
func (p *printer) region(cfg *failover.Config, g *failover.RegionConfig) {
	switch {
	case g.Site != "":
		p.line("site", name(g.Site))
	case len(cfg.Sites) > 0:
		p.line("site", noSite)
	}
	p.when(g.Watch != "", "watch_site", name(g.Watch))
	words := []any{"handover_overlap", formatSeconds(g.HandoverOverlap)}
	if g.HandoverUntil != "" {
		words = append(words, "until", name(g.HandoverUntil))
	}
	p.when(g.HandoverOverlap != 0 || g.HandoverUntil != "", words...)
	p.when(g.Home != "", "failback_clean", formatSeconds(g.FailbackClean))
}
