package conf

import (
	"slices"
	"time"

	"failoverd/failover"
	"failoverd/failover/heartbeat"
	"failoverd/vrrp/wire"
)

// checkRegions looks for what does not go together in the blocks and words about other sites.
func (d *decoder) checkRegions(cfg *failover.Config) {
	for i, s := range d.sites {
		d.checkSite(s, &cfg.Sites[i])
	}
	for i, w := range d.watches {
		d.checkWatch(w, &cfg.Watches[i], cfg)
		d.checkTakeover(w, &cfg.Watches[i])
	}
	for i, in := range d.instances {
		d.checkRegion(in, &cfg.Routers[i], cfg)
	}
	d.checkServices(cfg)
	d.checkNode(cfg)
}

func (d *decoder) checkSite(s *site, cfg *failover.SiteConfig) {
	name := s.name.Text
	if len(cfg.Partners) == 0 && !s.broken {
		d.errorf(s.name, "site %s has no watcher and no witness: nobody could acknowledge that it is not isolated", name)
	}
	if f := cfg.Fence(); !f.Holds() && s.heartbeat.sound() && s.fence.sound() {
		d.errorf(firstOf(s.name, &s.fence, &s.heartbeat), "site %s would be isolated by every lost heartbeat: %s does not hold", name, f.Text)
	}
	switch {
	case cfg.Hold && len(s.checks) == 0:
		d.errorf(s.isolated.at, "isolated hold needs a health_check in this site: without one an isolated site would serve whatever happens")
	case !cfg.Hold && len(s.checks) > 0:
		d.warnf(s.checks[0], "health_check has no effect in a site without isolated hold")
	case cfg.Hold:
		d.warnf(s.isolated.at, "isolated hold: while the sites do not hear each other, both may announce; combine it only with a standby announcement (bgp_announce ... when backup) of a shorter prefix or a longer path")
	}
	if !s.used {
		d.warnf(s.name, "site %s is not used: no instance lives by it (one with site %s, with a watcher_peer, or with a unicast_peer that is a watcher here would)", name, name)
	}
}

func (d *decoder) checkWatch(w *watch, cfg *failover.WatchConfig, all *failover.Config) {
	name, voters := w.name.Text, len(cfg.Checks)+len(cfg.Witnesses)
	switch broken := w.broken || len(cfg.Checks) < len(w.checks); {
	case broken:
	case voters == 0:
		d.errorf(w.name, "watch_site %s has no health_check and no witness: nothing could ever say that the site is down", name)
	case w.quorum.ok && cfg.DownQuorum > voters:
		d.errorf(w.quorum.at, "down_quorum %d: only %d can vote here (health checks and witnesses), so nobody would ever take over", cfg.DownQuorum, voters)
	case w.used && len(cfg.Witnesses) == 0:
		d.warnf(w.name, "watch_site %s has no witness: from here, an isolation of this node looks like the end of the site; %s", name, insteadOfWitness(all))
	case !w.used && all.WitnessServer != nil && len(cfg.Checks) == 0:
		d.warnf(w.name, "watch_site %s has no health_check: this witness could never say that the site is down, only when it heard from it", name)
	}
	if w.quorum.ok && cfg.DownQuorum <= voters/2 {
		d.warnf(w.quorum.at, "down_quorum %d is no majority of %d votes: while some of these are cut off from the site and others are not, both sites may serve (want %d or more)",
			cfg.DownQuorum, voters, voters/2+1)
	}
	switch {
	case w.listen.ok && w.keys.given == nil:
		d.errorf(w.listen.at, "watch_site %s listens and has no key_file: it would have to believe anybody", name)
	case w.used && w.listen.missing():
		d.warnf(w.name, "watch_site %s does not listen: the site's nodes cannot be acknowledged here, and fence themselves when they lose the witnesses (want listen and key_file)", name)
	}
	if !w.used && all.WitnessServer == nil {
		d.warnf(w.name, "watch_site %s is not used: no instance names it, and there is no witness_server", name)
	}
}

// insteadOfWitness says what contact means without a witness.
func insteadOfWitness(cfg *failover.Config) string {
	if len(cfg.Speakers) > 0 {
		return "it takes an established session of its own speakers for a proof that it is not isolated itself"
	}
	return "there is no speaker either, so it always takes itself to be connected"
}

// checkTakeover holds a watched site to the inequalities of design/safety.md 6.4.
func (d *decoder) checkTakeover(w *watch, cfg *failover.WatchConfig) {
	for _, f := range []*field[time.Duration]{&w.takeover, &w.fence, &w.hold, &w.lease, &w.heartbeat} {
		if !f.sound() {
			return // reported already
		}
	}
	at := firstOf(w.name, &w.takeover, &w.lease)
	single, double := cfg.SingleFault(), cfg.DoubleFault()
	switch {
	case !single.Holds():
		d.errorf(at, "watch_site %s would take over while site %s may still serve: %s does not hold", cfg.Name, cfg.Name, single.Text)
	case !double.Holds():
		d.warnf(at, "watch_site %s: both sites may announce for %s s if site %s is isolated and then hangs: %s does not hold",
			cfg.Name, formatSeconds(double.Least-cfg.TakeoverAfter), cfg.Name, double.Text)
	}
	if w.hold.ok && cfg.HoldTime > failover.LongestHold {
		d.warnf(w.hold.at, "hold_time %s: the upstream of site %s keeps a dead route for that long, and takeover_after has to wait for it; %s or less is better, or BFD",
			w.hold.at.Text, cfg.Name, formatSeconds(failover.LongestHold))
	}
}

// firstOf returns the place of the first value that was given, or else that of the block.
func firstOf(block Token, fields ...*field[time.Duration]) Token {
	for _, f := range fields {
		if f.ok {
			return f.at
		}
	}
	return block
}

// checkRegion looks at what an instance says of other sites.
func (d *decoder) checkRegion(in *instance, r *failover.RouterConfig, cfg *failover.Config) {
	g := &r.Region
	if g.Home == "" {
		d.uselessRegionWords(in)
		return
	}
	if g.Watch != "" {
		d.checkWatcher(in, r, cfg)
	}
	if g.Watch != "" && g.Site == "" && len(cfg.Watches) > 0 && len(watchNamed(cfg, g.Watch).Witnesses) > 0 {
		d.warnf(in.watch.at, "vrrp_instance %s lives by no site: once it has taken over, nothing ends its role if it is cut off from site %s and the witnesses; give it a site block of its own with a witness, and site NAME here", in.name.Text, g.Watch)
	}
	if g.Site != "" && d.global.vipLease.ok && d.global.vipLease.value == failover.NoLease && len(r.Addresses) > 0 {
		d.errorf(d.global.vipLease.at, "vip_lease 0: vrrp_instance %s belongs to site %s, whose addresses must end by themselves when the agent does", in.name.Text, g.Site)
	}
	if g.Watch != "" && g.Site != "" && !slices.ContainsFunc(d.sites[0].partners, func(p *partner) bool { return p.kind == failover.PartnerWitness }) {
		d.warnf(in.site.at, "vrrp_instance %s takes over for site %s only while somebody acknowledges site %s, which has no witness: those who are watched may be the only ones that could",
			in.name.Text, g.Watch, g.Site)
	}
	d.checkOverlap(in, r, cfg)
	d.checkUpstreams(r)
}

// watchNamed returns the watched site of that name, which an instance names.
func watchNamed(cfg *failover.Config, name string) *failover.WatchConfig {
	for i := range cfg.Watches {
		if cfg.Watches[i].Name == name {
			return &cfg.Watches[i]
		}
	}
	return &failover.WatchConfig{}
}

// uselessRegionWords warns about words that need another site.
func (d *decoder) uselessRegionWords(in *instance) {
	if in.site.given && in.site.value != noSite || in.watch.given {
		return // the reference is wrong, which has been reported
	}
	if in.overlap.ok && in.overlap.value > 0 {
		d.warnf(in.overlap.at, "handover_overlap has no effect: vrrp_instance %s knows no other site (watch_site, site)", in.name.Text)
	}
	if in.clean.ok {
		d.warnf(in.clean.at, "failback_clean has no effect: vrrp_instance %s knows no other site (watch_site, site)", in.name.Text)
	}
}

// highWatcher is a priority that leaves the primaries little room above it.
const highWatcher = 200

// checkWatcher is about an instance that takes over for another site. What the priorities there are, no single file knows:
// that nobody has chosen one, or a very high one, it does.
func (d *decoder) checkWatcher(in *instance, r *failover.RouterConfig, cfg *failover.Config) {
	g, p := &r.Region, r.VRRP.Priority
	switch {
	case g.Self == g.Watch:
		d.errorf(in.watch.at, "vrrp_instance %s watches site %s, and this node claims roles under the same name (its site, or else its router_id): nobody could tell the two apart",
			in.name.Text, g.Watch)
	case p == wire.PriorityOwner:
		d.errorf(firstToken(in.priority, in.name), "priority 255 takes over at once, so there is nothing that watch_site %s could hold back", g.Watch)
	case in.priority.missing():
		d.warnf(in.name, "vrrp_instance %s has no priority, which means %d on every node: write one that is below all those at site %s, with their weights, or they tie across regions",
			in.name.Text, p, g.Watch)
	case p >= highWatcher:
		d.warnf(in.priority.at, "priority %d is high for a watcher: it must be below those of all nodes of site %s, with their weights, which this file does not know", p, g.Watch)
	}
	if w := watchNamed(cfg, g.Watch); w.OnSiteDown && (in.group != nil || !w.Listen.IsValid()) {
		d.warnf(in.watch.at, "takeover_on_site_down of watch_site %s has no effect on vrrp_instance %s: the site must be able to learn of the newer term here (want listen and key_file), and members of a vrrp_sync_group are left out", g.Watch, in.name.Text)
	}
	if !r.VRRP.Unicast && len(r.VRRP.Watchers) == 0 {
		d.warnf(in.watch.at, "vrrp_instance %s watches site %s and has no unicast_peer there: it would never hear the site's advertisements", in.name.Text, g.Watch)
	}
}

func firstToken(f field[uint8], or Token) Token {
	if f.given {
		return f.at
	}
	return or
}

// checkOverlap refuses an overlap that outlasts the hold time: whoever has the role then may rely on it that the upstream
// has dropped a dead route by that time.
func (d *decoder) checkOverlap(in *instance, r *failover.RouterConfig, cfg *failover.Config) {
	if !in.overlap.ok || in.overlap.value == 0 {
		return
	}
	if len(r.Region.Remote) == 0 {
		d.warnf(in.overlap.at, "handover_overlap has no effect: vrrp_instance %s has no partner on another site", in.name.Text)
	}
	for i := range r.Announce {
		s := cfg.Speaker(r.Announce[i].Speaker)
		if s == nil {
			continue
		}
		for j := range s.Neighbors {
			if hold := s.Neighbors[j].HoldTime; in.overlap.value > hold {
				d.errorf(in.overlap.at, "handover_overlap %s is longer than the hold_time %s of speaker %s: a node that dies in between would leave a route for longer than the other site reckons with",
					in.overlap.at.Text, formatSeconds(hold), s.Name)
				return
			}
		}
	}
}

// checkUpstreams warns about sessions that keep a dead route for long.
func (d *decoder) checkUpstreams(r *failover.RouterConfig) {
	for _, s := range d.speakers {
		announces := slices.ContainsFunc(r.Announce, func(a failover.Announcement) bool { return a.Speaker == s.name.Text })
		if !announces || !d.first("upstreams of "+s.name.Text) {
			continue
		}
		for _, n := range s.neighbors {
			if n.hold.ok && n.hold.value > failover.LongestHold {
				d.warnf(n.hold.at, "hold_time %s: after a crash the route of a guarded instance stays for that long, and takeover_after of all watchers has to cover it; %s or less is better",
					n.hold.at.Text, formatSeconds(failover.LongestHold))
			}
			if n.restart.ok && n.restart.value > 0 {
				d.warnf(n.restart.at, "graceful_restart %s: another site takes over while the route of a dead node stays; guarded instances want 0", n.restart.at.Text)
			}
		}
	}
}

// checkServices looks for services that messages between sites could not hold, or not tell apart: there, the interface is
// not part of their name.
func (d *decoder) checkServices(cfg *failover.Config) {
	type service struct {
		home string
		heartbeat.Service
	}
	first := map[service]*instance{}
	count := map[string]int{}
	for i, in := range d.instances {
		r := &cfg.Routers[i]
		if r.Region.Home == "" || r.VRRP.Key.Family == 0 || r.VRRP.Key.VRID == 0 {
			continue
		}
		s := service{r.Region.Home, heartbeat.Service{Family: uint8(r.VRRP.Key.Family), VRID: r.VRRP.Key.VRID}}
		if other := first[s]; other != nil {
			d.errorf(in.vrid.at, "virtual_router_id %d is used twice over %s for services of site %s, first in vrrp_instance %s: between sites only the number tells them apart",
				r.VRRP.Key.VRID, r.VRRP.Key.Family, s.home, other.name.Text)
			continue
		}
		first[s] = in
		if count[s.home]++; count[s.home] == heartbeat.MaxServices+1 {
			d.errorf(in.name, "vrrp_instance %s: more than %d instances of site %s do not fit into a message between sites", in.name.Text, heartbeat.MaxServices, s.home)
		}
	}
}

// checkNode holds the node's name to the length that fits into a message between sites.
func (d *decoder) checkNode(cfg *failover.Config) {
	if len(cfg.RouterID) <= heartbeat.MaxName {
		return
	}
	var at Token
	switch {
	case len(d.sites) > 0:
		at = d.sites[0].name
	case len(d.watches) > 0:
		at = d.watches[0].name
	case d.witness != nil:
		at = d.witness.at
	default:
		return
	}
	if d.global.routerID.ok {
		at = d.global.routerID.at
	}
	d.errorf(at, "the name of this node, %s, has more than the %d octets that fit into a message between sites: write a shorter router_id in global_defs", cfg.RouterID, heartbeat.MaxName)
}
