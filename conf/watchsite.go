package conf

import (
	"net/netip"
	"time"

	"failoverd/failover"
)

// watch is the draft of a watch_site block.
type watch struct {
	name      Token
	checks    []Token
	witnesses []*partner
	broken    bool // a witness or a check was wrong, which has been reported
	quorum    field[int]
	takeover  field[time.Duration]
	verdict   field[bool] // takeover_on_site_down
	heartbeat field[time.Duration]
	listen    field[netip.AddrPort]
	keys      keys
	fence     field[time.Duration]
	hold      field[time.Duration] // hold_time
	lease     field[time.Duration] // vip_lease
	holdDown  field[time.Duration]
	damping   damping
	used      bool // by an instance
}

// damping is the draft of damping HALF_LIFE SUPPRESS REUSE.
type damping struct {
	halfLife        field[time.Duration]
	suppress, reuse field[int]
}

// Defaults and bounds of watch_site (safety.md 6.3 J and K).
const (
	maxTakeover     = time.Hour
	defaultHoldDown = time.Minute
	defaultHalfLife = 15 * time.Minute
	defaultSuppress = 2500
	defaultReuse    = 750
	maxPenalty      = 1000000
	maxVotes        = 64
)

var watchWords = newTable("watch_site",
	[]row[*watch]{
		word("health_check", func(d *decoder, w *watch, c *cursor) { d.checkNames(&w.checks, c) }),
		word("witness", func(d *decoder, w *watch, c *cursor) {
			n := len(w.witnesses)
			d.partner(&w.witnesses, failover.PartnerWitness, c)
			w.broken = w.broken || n == len(w.witnesses)
		}),
		single("down_quorum", func(d *decoder, w *watch, c *cursor) { w.quorum.set(d.int(c, 1, maxVotes)) }),
		single("takeover_after", func(d *decoder, w *watch, c *cursor) { w.takeover.set(d.seconds(c, 0, maxTakeover)) }),
		single("takeover_on_site_down", func(d *decoder, w *watch, c *cursor) { w.verdict.set(d.switched(c)) }),
		single("heartbeat", func(d *decoder, w *watch, c *cursor) { w.heartbeat.set(d.seconds(c, minHeartbeat, maxHeartbeat)) }),
		single("listen", func(d *decoder, w *watch, c *cursor) { w.listen.set(d.endpoint(c, true)) }),
		single("fence_after", func(d *decoder, w *watch, c *cursor) { w.fence.set(d.seconds(c, time.Second, maxFence)) }),
		single("hold_time", func(d *decoder, w *watch, c *cursor) { w.hold.set(d.holdTime(c)) }),
		single("vip_lease", func(d *decoder, w *watch, c *cursor) { w.lease.set(d.whole(c, 1, maxLease)) }),
		single("hold_down", func(d *decoder, w *watch, c *cursor) { w.holdDown.set(d.seconds(c, 0, maxPeriod)) }),
		word("damping", (*decoder).damping),
	},
	keyRows(func(w *watch) *keys { return &w.keys }),
)

// damping decodes HALF_LIFE SUPPRESS REUSE.
func (d *decoder) damping(w *watch, c *cursor) {
	w.damping.halfLife.set(d.seconds(c, time.Second, maxPeriod))
	if w.damping.halfLife.ok {
		w.damping.suppress.set(d.int(c, 1, maxPenalty))
	}
	if w.damping.suppress.ok {
		w.damping.reuse.set(d.int(c, 1, maxPenalty))
	}
	if s, r := &w.damping.suppress, &w.damping.reuse; r.ok && r.value > s.value {
		d.errorf(r.at, "damping: REUSE %d is above SUPPRESS %d, so a latch would never be set", r.value, s.value)
	}
}

// watchSite decodes a watch_site block.
func (d *decoder) watchSite(c *cursor) {
	w := &watch{}
	_, name, ok := d.siteName(c)
	w.name = name
	walk(d, watchWords, w, d.body(c))
	if ok && d.define("watch_site", "watch_site", name) {
		d.watches = append(d.watches, w)
	}
}

// resolveWatch returns the configuration of a watched site. What the site itself has is taken to be what this node has.
func (d *decoder) resolveWatch(w *watch, cfg *failover.Config) failover.WatchConfig {
	out := failover.WatchConfig{
		Name: w.name.Text, Checks: d.resolveChecks("watch_site", w.checks), Heartbeat: w.heartbeat.or(defaultHeartbeat),
		OnSiteDown: w.verdict.or(false), FenceAfter: w.fence.or(defaultFence),
		HoldTime: w.hold.or(longestHold(cfg)), Lease: w.lease.or(d.ownLease(w.name.Text, cfg)),
		Listen: w.listen.or(netip.AddrPort{}), Keys: w.keys.list, HoldDown: w.holdDown.or(defaultHoldDown),
		HalfLife: w.damping.halfLife.or(defaultHalfLife), Suppress: w.damping.suppress.or(defaultSuppress),
		Reuse: w.damping.reuse.or(defaultReuse),
	}
	for _, p := range w.witnesses {
		out.Witnesses = append(out.Witnesses, d.resolvePartner(p, "watch_site "+w.name.Text, &w.keys))
	}
	out.DownQuorum = w.quorum.or((len(out.Checks)+len(out.Witnesses))/2 + 1)
	out.TakeoverAfter = w.takeover.or(out.DefaultTakeover())
	return out
}

// longestHold is the longest hold time of the speakers here: the site's are likely to be alike.
func longestHold(cfg *failover.Config) time.Duration {
	var hold time.Duration
	for i := range cfg.Speakers {
		for j := range cfg.Speakers[i].Neighbors {
			hold = max(hold, cfg.Speakers[i].Neighbors[j].HoldTime)
		}
	}
	if hold == 0 {
		return defaultHold
	}
	return hold
}

// ownLease is the longest lease of the addresses of the instances that watch a site.
func (d *decoder) ownLease(site string, cfg *failover.Config) time.Duration {
	if g := &d.global.vipLease; g.ok && g.value != failover.NoLease {
		return g.value
	}
	lease := minDefaultLease
	for i, in := range d.instances {
		if in.watch.value == site {
			lease = max(lease, defaultLease(cfg.Routers[i].VRRP.Interval))
		}
	}
	return lease
}

// witnessServer is the draft of a witness_server block.
type witnessServer struct {
	at     Token
	listen field[netip.AddrPort]
	keys   keys
}

var witnessServerWords = newTable("witness_server",
	[]row[*witnessServer]{
		single("listen", func(d *decoder, w *witnessServer, c *cursor) { w.listen.set(d.endpoint(c, true)) }),
	},
	keyRows(func(w *witnessServer) *keys { return &w.keys }),
)

func (d *decoder) witnessServer(c *cursor) {
	w := &witnessServer{at: c.keyword}
	walk(d, witnessServerWords, w, d.body(c))
	if d.witness != nil {
		d.errorf(w.at, "witness_server is there twice, first at %s", d.witness.at.Pos)
		return
	}
	d.witness = w
}

// resolveWitnessServer returns the configuration of the server; nil: there is none.
func (d *decoder) resolveWitnessServer() *failover.WitnessServerConfig {
	w := d.witness
	if w == nil {
		return nil
	}
	if w.listen.missing() {
		d.errorf(w.at, "witness_server: listen is missing (want an address of this node, or 0.0.0.0)")
	}
	if w.keys.given == nil {
		d.errorf(w.at, "witness_server: key_file is missing: it would answer anybody")
	}
	return &failover.WitnessServerConfig{Listen: w.listen.or(netip.AddrPort{}), Keys: w.keys.list}
}
