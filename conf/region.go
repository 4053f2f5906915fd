package conf

import (
	"net/netip"
	"slices"
	"time"

	"failoverd/failover"
)

// regionWords is the draft of what an instance says of other sites.
type regionWords struct {
	site    field[string]
	watch   field[string] // watch_site
	overlap field[time.Duration]
	until   *Token // the check that ends the overlap
	clean   field[time.Duration]
}

// defaultClean is how long everything must have been all right before a role comes back from another site.
const defaultClean = time.Minute

// instanceRegionRows are the words of an instance about other sites.
var instanceRegionRows = []row[*instance]{
	word("watch_site", func(d *decoder, in *instance, c *cursor) { d.siteReference(&in.watch, c) }),
	word("site", func(d *decoder, in *instance, c *cursor) { d.siteReference(&in.site, c) }),
	word("handover_overlap", (*decoder).handoverOverlap),
	single("failback_clean", func(d *decoder, in *instance, c *cursor) { in.clean.set(d.seconds(c, 0, maxPeriod)) }),
}

// siteReference decodes the name of a site. With a block it is that of the top level, after a brace that is missing.
func (d *decoder) siteReference(f *field[string], c *cursor) {
	if len(c.words) == 1 && d.misplaced(c, "vrrp_instance") {
		return
	}
	f.set(d.text(c, "the name of a site"))
}

// handoverOverlap decodes SECONDS [until CHECK].
func (d *decoder) handoverOverlap(in *instance, c *cursor) {
	in.overlap.set(d.seconds(c, 0, maxWait))
	in.until = nil
	if c.more() && !c.words[0].Quoted && c.words[0].Text == "until" {
		until := c.take()
		if !c.needed() {
			d.errorf(until, "until: its value is missing (want the name of a health_check)")
			return
		}
		t := c.take()
		in.until = &t
	}
}

// resolveRegions fills in the sites, and what they mean to the routers.
func (d *decoder) resolveRegions(cfg *failover.Config) {
	for _, s := range d.sites {
		cfg.Sites = append(cfg.Sites, d.resolveSite(s))
	}
	for _, w := range d.watches {
		cfg.Watches = append(cfg.Watches, d.resolveWatch(w, cfg))
	}
	cfg.WitnessServer = d.resolveWitnessServer()
	for i, in := range d.instances {
		d.resolveRegion(in, &cfg.Routers[i], cfg)
	}
	d.checkRegions(cfg)
}

// resolveRegion fills in what other sites mean to a router.
func (d *decoder) resolveRegion(in *instance, r *failover.RouterConfig, cfg *failover.Config) {
	g := &r.Region
	g.Watch = d.watchOf(in)
	g.Site = d.siteOf(in)
	g.HandoverOverlap = in.overlap.or(0)
	if in.until != nil && d.checkNamed(*in.until) {
		g.HandoverUntil = in.until.Text
	}
	if g.Home = g.Watch; g.Home == "" {
		g.Home = g.Site
	}
	if g.Home == "" {
		return
	}
	g.FailbackClean = in.clean.or(defaultClean)
	g.Self = self(cfg)
	g.Remote = d.remote(r)
	if g.Site != "" {
		for i := range r.Addresses {
			r.Addresses[i].Guarded = true
		}
	}
}

// self is the name that this node claims roles for.
func self(cfg *failover.Config) string {
	if len(cfg.Sites) > 0 {
		return cfg.Sites[0].Name
	}
	return cfg.RouterID
}

// watchOf returns the watch_site that an instance names; empty: none.
func (d *decoder) watchOf(in *instance) string {
	if !in.watch.ok {
		return ""
	}
	var names []string
	for _, w := range d.watches {
		if w.name.Text == in.watch.value {
			w.used = true
			return w.name.Text
		}
		names = append(names, w.name.Text)
	}
	slices.Sort(names)
	d.suggestf(in.watch.at, d.nearest(in.watch.value, names), "watch_site %s: there is no such watch_site at the top level", in.watch.value)
	return ""
}

// siteOf returns the site that an instance lives by; empty: none. Without a word of its own, an instance whose
// advertisements go to a watcher lives by the site of this node: that watcher takes its silence for its end, so it has to
// end. One that watches itself does not, because those who acknowledge might be just the ones that are dead.
func (d *decoder) siteOf(in *instance) string {
	switch {
	case in.site.given && (!in.site.ok || in.site.value == noSite):
		return ""
	case in.site.given:
		for _, s := range d.sites {
			if s.name.Text == in.site.value {
				s.used = true
				return s.name.Text
			}
		}
		d.errorf(in.site.at, "site %s: there is no such site at the top level", in.site.value)
		return ""
	case len(d.sites) == 0 || in.watch.given:
		return ""
	}
	s := d.sites[0]
	if in.watchers.given == nil && !slices.ContainsFunc(in.peers.peers, func(p *peer) bool { return s.watches(p.addr) }) {
		return ""
	}
	s.used = true
	return s.name.Text
}

// watches reports whether an address is that of a watcher of the site.
func (s *site) watches(a netip.Addr) bool {
	return slices.ContainsFunc(s.partners, func(p *partner) bool { return p.kind == failover.PartnerWatcher && p.addr.Addr() == a })
}

// remote returns the partners on other sites: watchers, and for a router that watches a site, all whom it talks to.
func (d *decoder) remote(r *failover.RouterConfig) (out []netip.Addr) {
	for _, p := range r.VRRP.Peers {
		if r.Region.Watch != "" || len(d.sites) > 0 && d.sites[0].watches(p.Address) {
			out = append(out, p.Address)
		}
	}
	for _, p := range r.VRRP.Watchers {
		out = append(out, p.Address)
	}
	return out
}

// checkNamed reports whether a word is the name of a health check, which is wanted then, and says so if it is not.
func (d *decoder) checkNamed(t Token) bool {
	if def := d.tracked[failover.Tracker{Kind: failover.TrackCheck, Name: t.Text}]; def != nil {
		def.named, def.wanted = true, true
		return true
	}
	var names []string
	for k := range d.tracked {
		if k.Kind == failover.TrackCheck {
			names = append(names, k.Name)
		}
	}
	slices.Sort(names)
	d.suggestf(t, d.nearest(t.Text, names), "health_check %s: there is no such health_check", t.Text)
	return false
}
