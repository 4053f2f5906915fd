package conf

import (
	"slices"
	"time"

	"failoverd/failover"
)

// service is what the draft of an instance has more if it is an anycast_service.
type service struct {
	drainTime field[time.Duration]
	keepLast  *Token // the name of a health_check
	settle    field[time.Duration]
}

// defaultDrainTime is how long a drained service goes on: an upstream has chosen another path by then.
const defaultDrainTime = 5 * time.Second

// Reasons why words of an instance are none of an anycast_service.
const (
	noPeer      = "an anycast_service has no peer, sends no advertisement and holds no election; a vrrp_instance does"
	noOtherSite = "an anycast_service asks nobody whether it may serve: every site announces the same prefix, and a vrrp_instance is what moves between sites"
)

// anycastWords may stand in an anycast_service.
var anycastWords = newTable("anycast_service",
	[]row[*instance]{
		single("interface", func(d *decoder, in *instance, c *cursor) { in.device.set(d.device(c)) }),
		word("virtual_ipaddress", func(d *decoder, in *instance, c *cursor) { d.addresses(in, false, c) }),
		single("no_virtual_ipaddress", func(_ *decoder, in *instance, c *cursor) { in.noAddress.set(true, c.keyword, true) }),
		word("virtual_routes", func(d *decoder, in *instance, c *cursor) { d.kernelRoutes(&in.routes, false, c) }),
		word("virtual_rules", func(d *decoder, in *instance, c *cursor) { d.kernelRules(&in.rules, false, c) }),
		word("bgp_announce", func(d *decoder, in *instance, c *cursor) { d.announcements(in, c) }),
		single("drain_time", func(d *decoder, in *instance, c *cursor) { in.service.drainTime.set(d.seconds(c, 0, maxWait)) }),
		single("withdraw_grace", (*decoder).withdrawGrace),
		word("keep_last", (*decoder).keepLast),
		word("notify_deleted", (*decoder).notifyDeleted),
	},
	trackRows(func(in *instance) *[]*trackLine { return &in.tracks }),
	serviceNotifyRows(),
	all[*instance](refused, "", noPeer, "virtual_router_id", "priority", "state", "advert_int", "version", "preempt", "nopreempt", "preempt_delay",
		"authentication", "auth_hmac", "unicast_peer", "unicast_src_ip", "mcast_src_ip", "watcher_peer", "bgp_wait", "use_vmac", "no_accept",
		"notify_master_rx_lower_pri", "notify_priority_changes"),
	all[*instance](refused, "", noOtherSite, "site", "watch_site", "handover_overlap", "failback_clean"),
	all[*instance](refused, "", "nothing is advertised, so there is nothing to exclude an address from; write virtual_ipaddress", "virtual_ipaddress_excluded"),
	all[*instance](refused, "", noBFD, "track_bfd"),
)

// serviceNotifyRows are the notify words without that about priorities, which a service does not have.
func serviceNotifyRows() (rows []row[*instance]) {
	for _, r := range notifyRows(func(in *instance) *notifyWords { return &in.notify }) {
		if r.name != "notify_priority_changes" {
			rows = append(rows, r)
		}
	}
	return rows
}

// anycastService decodes an anycast_service. Its name is one of those that drain and undrain take, as an instance's is.
func (d *decoder) anycastService(c *cursor) {
	in := &instance{service: &service{}}
	name, ok := d.next(c, "a name")
	in.name = name
	walk(d, anycastWords, in, d.body(c))
	if ok && d.define("vrrp_instance", "anycast_service", name) {
		d.services = append(d.services, in)
	}
}

// routers returns the drafts of all routers: instances, then services. It is the order of the configuration.
func (d *decoder) routers() []*instance {
	return append(d.instances[:len(d.instances):len(d.instances)], d.services...)
}

// kind is the word of the block.
func (in *instance) kind() string {
	if in.service != nil {
		return "anycast_service"
	}
	return "vrrp_instance"
}

// resolveService returns the configuration of an anycast service.
func (d *decoder) resolveService(in *instance, cfg *failover.Config) failover.RouterConfig {
	if in.device.missing() {
		in.device.set("lo", in.name, true)
	}
	device := in.device.or("")
	r := failover.RouterConfig{
		Name: in.name.Text, Anycast: &failover.AnycastConfig{DrainTime: in.service.drainTime.or(defaultDrainTime)},
		VRRP: failover.NewAnycastVRRP(device), GARP: in.garp.resolve(&d.global),
	}
	lease := d.lease(r.VRRP.Interval)
	for _, a := range in.addresses {
		if a.ok {
			r.Addresses = append(r.Addresses, d.resolveAddress(a, device, lease))
		}
	}
	switch some := len(in.addresses) > 0; {
	case !some && !in.noAddress.ok:
		d.errorf(in.name, "anycast_service %s: virtual_ipaddress names no address; if it is there in any case, write no_virtual_ipaddress", in.name.Text)
	case some && in.noAddress.ok:
		d.warnf(in.noAddress.at, "no_virtual_ipaddress has no effect: virtual_ipaddress names an address")
	}
	for _, a := range in.announce {
		if out, ok := d.resolveAnnouncement(a, cfg); ok {
			r.Announce = append(r.Announce, out)
		}
	}
	if len(in.announce) == 0 {
		d.warnf(in.name, "anycast_service %s has no bgp_announce: it attracts no traffic", in.name.Text)
	}
	d.resolveWithdrawGrace(in, &r)
	r.Notify = d.resolveNotify(&in.notify, "anycast_service "+in.name.Text)
	r.Notify.PriorityChanges = false
	d.resolveTracks(in, &r)
	if len(in.tracks) == 0 {
		d.warnf(in.name, "anycast_service %s tracks nothing: it is announced whether or not what stands behind its addresses works", in.name.Text)
	}
	if t := in.service.keepLast; t != nil && d.checkNamed(*t) {
		r.Anycast.KeepLast = t.Text
	}
	d.checkService(in, &r)
	return r
}

// keepLast decodes CHECK [settle SECONDS].
func (d *decoder) keepLast(in *instance, c *cursor) {
	t, ok := d.next(c, "the name of a health_check")
	if !ok {
		return
	}
	if first := in.service.keepLast; first != nil {
		d.errorf(c.keyword, "keep_last is there twice, first for %s at %s; a check_group with any takes several checks", first.Text, first.Pos)
		c.rest()
		return
	}
	in.service.keepLast = &t
	if c.more() && !c.words[0].Quoted && c.words[0].Text == "settle" {
		at := c.take()
		if !c.needed() {
			d.errorf(at, "settle: its value is missing (want seconds)")
			return
		}
		in.service.settle.set(d.seconds(c, 0, maxWait))
	}
}

// Settle times of keep_last: the default has room for a withdrawal to get from one node to another besides what the check takes.
const (
	minDefaultSettle = 5 * time.Second
	settleMargin     = 2 * time.Second
)

// resolveKeepLast fills in keep_last, and refuses what could make two nodes withdraw because each sees the other one. cfg has
// its health checks.
func (d *decoder) resolveKeepLast(cfg *failover.Config) {
	for i, in := range d.services {
		r := &cfg.Routers[len(d.instances)+i]
		name := r.Anycast.KeepLast
		if name == "" {
			continue
		}
		var slowest time.Duration
		for _, check := range cfg.ChecksOf([]string{name}) {
			slowest = max(slowest, check.VerdictTime())
			d.checkKeepLast(in, r, check, cfg)
		}
		d.keepApart(in, r, cfg)
		settle := &in.service.settle
		r.Anycast.Settle = settle.or(max(minDefaultSettle, slowest+settleMargin))
		if settle.ok && settle.value <= slowest {
			d.errorf(settle.at, "settle %s: %s takes up to %s s to notice that the other announcement has gone, and two nodes that withdraw at once must notice each other",
				settle.at.Text, name, formatSeconds(slowest))
		}
	}
}

func (d *decoder) checkKeepLast(in *instance, r *failover.RouterConfig, check *failover.CheckConfig, cfg *failover.Config) {
	p := &check.Probe
	if p.Kind != failover.ProbeBGPRoute {
		return
	}
	at := *in.service.keepLast
	if s := cfg.Speaker(p.Speaker); s != nil && !p.AllNeighbors {
		const both = "two nodes could each take the other one for a reason to withdraw"
		switch {
		case s.OperatorOwned():
			d.errorf(at, "keep_last %s: bgp_route of health_check %s wants `from all_neighbors`: speaker %s is an operator's gobgpd, which may have any number of neighbors, and seen from one of them, %s",
				at.Text, check.Name, s.Name, both)
		case len(s.Neighbors) > 1:
			d.errorf(at, "keep_last %s: bgp_route of health_check %s wants `from all_neighbors`: seen from one of the %d neighbors of speaker %s, %s",
				at.Text, check.Name, len(s.Neighbors), s.Name, both)
		}
	}
	announces := slices.ContainsFunc(r.Announce, func(a failover.Announcement) bool { return a.Route.Prefix == p.Prefix })
	if !announces && len(r.Announce) > 0 {
		d.warnf(at, "keep_last %s: health_check %s looks for %s, which anycast_service %s does not announce", at.Text, check.Name, p.Prefix, in.name.Text)
	}
}

// keepApart refuses that one check says both whether a service is well and whether another node announces: it would be well only
// while another one is, or not well because another one is.
func (d *decoder) keepApart(in *instance, r *failover.RouterConfig, cfg *failover.Config) {
	at := *in.service.keepLast
	others := cfg.MembersOf(failover.Tracker{Kind: failover.TrackCheck, Name: at.Text})
	for _, t := range r.Tracks {
		for _, m := range cfg.MembersOf(t.Tracker) {
			if !slices.Contains(others, m) {
				continue
			}
			through := ""
			if m != t.Tracker {
				through = " by way of " + t.Tracker.String()
			}
			d.errorf(at, "keep_last %s: anycast_service %s tracks %s itself%s: a check that tells of the other nodes cannot tell whether this one is well",
				at.Text, in.name.Text, m, through)
			return
		}
	}
}

// checkService has a word about what an anycast service is not likely to want.
func (d *decoder) checkService(in *instance, r *failover.RouterConfig) {
	for _, a := range in.addresses {
		onLink := a.ok && a.prefix.Bits() != a.prefix.Addr().BitLen()
		if onLink && a.device.or(in.device.or("")) == "lo" {
			d.warnf(a.at, "virtual_ipaddress %s on lo: the host answers for every address of %s; write a /%d", a.prefix, a.prefix.Masked(), a.prefix.Addr().BitLen())
		}
	}
	for _, a := range in.announce {
		if a.ok && a.role.or(failover.RoleActive) != failover.RoleActive && !r.Announces(failover.RoleActive) {
			d.warnf(a.at, "bgp_announce %s when %s: the service announces nothing while it is all right (when active)", a.prefix, a.role.value)
			return
		}
	}
}

// weightless refuses a weight in an anycast_service, which has no priority that it could change; one that comes with what is
// tracked counts for others. A file counts as 0 or not.
func (d *decoder) weightless(in *instance, l *trackLine) {
	switch def := d.tracked[l.id()]; {
	case in.service == nil || l.weight.or(0) == 0:
		return
	case l.written:
		d.errorf(l.weight.at, "weight %d: an anycast_service has no priority; without a weight a failure takes it out, and a check_group with at_least N lets some of several fail", l.weight.value)
	case def != nil && def.weight.ok && def.weight.value != 0:
		d.warnf(l.at, "%s %s: the weight of the %s does not count in anycast_service %s; a failure takes it out", l.kind, l.at.Text, def.word, in.name.Text)
	}
	l.weight.set(0, l.at, true)
}

// service writes an anycast service.
func (p *printer) service(r *failover.RouterConfig) {
	p.block("anycast_service "+name(r.Name), func() {
		p.line("interface", name(r.VRRP.Key.Interface))
		p.addresses("virtual_ipaddress", r, false)
		p.when(len(r.Addresses) == 0, "no_virtual_ipaddress")
		p.routes("virtual_routes", r.Routes)
		p.rules("virtual_rules", r.Rules)
		p.announcements(r)
		p.line("drain_time", formatSeconds(r.Anycast.DrainTime))
		p.withdrawGrace(r)
		p.when(r.Anycast.KeepLast != "", "keep_last", name(r.Anycast.KeepLast), "settle", formatSeconds(r.Anycast.Settle))
		p.tracks(r.Tracks)
		p.notify(&r.Notify)
	})
}
