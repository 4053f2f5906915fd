package conf

import (
	"time"

	"failoverd/failover"
)

// noSite is the name that no site has: site none.
const noSite = "none"

// site is the draft of a site block.
type site struct {
	name      Token
	partners  []*partner
	broken    bool // a partner was wrong, which has been reported
	keys      keys
	fence     field[time.Duration]
	heartbeat field[time.Duration]
	isolated  field[bool] // hold
	checks    []Token
	used      bool // by an instance
}

// Bounds and defaults of the channel between sites (safety.md 6.4).
const (
	defaultHeartbeat = time.Second
	minHeartbeat     = 100 * time.Millisecond
	maxHeartbeat     = 10 * time.Second
	defaultFence     = 7 * time.Second
	maxFence         = time.Hour
)

var siteWords = newTable("site",
	[]row[*site]{
		word("watcher", func(d *decoder, s *site, c *cursor) { d.sitePartner(s, failover.PartnerWatcher, c) }),
		word("witness", func(d *decoder, s *site, c *cursor) { d.sitePartner(s, failover.PartnerWitness, c) }),
		single("fence_after", func(d *decoder, s *site, c *cursor) { s.fence.set(d.seconds(c, time.Second, maxFence)) }),
		single("heartbeat", func(d *decoder, s *site, c *cursor) { s.heartbeat.set(d.seconds(c, minHeartbeat, maxHeartbeat)) }),
		word("isolated", func(d *decoder, s *site, c *cursor) {
			w, at, ok := d.oneOf(c, "fence", "hold")
			s.isolated.set(w == "hold", at, ok)
		}),
		word("health_check", func(d *decoder, s *site, c *cursor) { d.checkNames(&s.checks, c) }),
	},
	keyRows(func(s *site) *keys { return &s.keys }),
)

// site decodes a site block. A node belongs to one site.
func (d *decoder) site(c *cursor) {
	s := &site{}
	_, name, ok := d.siteName(c)
	s.name = name
	walk(d, siteWords, s, d.body(c))
	switch {
	case !ok || !d.define("site", "site", name):
	case len(d.sites) > 0:
		d.errorf(name, "site %s: this node belongs to site %s already, at %s", name.Text, d.sites[0].name.Text, d.sites[0].name.Pos)
	default:
		d.sites = append(d.sites, s)
	}
}

// sitePartner decodes a partner of a site.
func (d *decoder) sitePartner(s *site, kind failover.PartnerKind, c *cursor) {
	n := len(s.partners)
	d.partner(&s.partners, kind, c)
	s.broken = s.broken || n == len(s.partners)
}

// checkNames takes the names of health checks: one or more.
func (d *decoder) checkNames(to *[]Token, c *cursor) {
	for first := true; first || c.value(); first = false {
		t, ok := d.next(c, "the name of a health_check")
		if !ok {
			return
		}
		*to = append(*to, t)
	}
}

// resolveSite returns the configuration of a site.
func (d *decoder) resolveSite(s *site) failover.SiteConfig {
	out := failover.SiteConfig{
		Name: s.name.Text, FenceAfter: s.fence.or(defaultFence), Heartbeat: s.heartbeat.or(defaultHeartbeat),
		Hold: s.isolated.or(false), HoldChecks: d.resolveChecks("site", s.checks),
	}
	for _, p := range s.partners {
		out.Partners = append(out.Partners, d.resolvePartner(p, "site "+s.name.Text, &s.keys))
	}
	return out
}

// resolveChecks returns the names of checks, each once.
func (d *decoder) resolveChecks(word string, names []Token) (out []string) {
	seen := map[string]bool{}
	for _, t := range names {
		switch {
		case !d.checkNamed(t):
		case seen[t.Text]:
			d.warnf(t, "health_check %s is there twice in this %s", t.Text, word)
		default:
			seen[t.Text] = true
			out = append(out, t.Text)
		}
	}
	return out
}
