package conf

import (
	"net/netip"
	"time"

	"failoverd/failover"
	"failoverd/vrrp/wire"
)

// instance is the draft of a vrrp_instance.
type instance struct {
	name      Token
	state     field[string]
	device    field[string]
	vrid      field[uint8]
	priority  field[uint8]
	interval  field[time.Duration]
	version   field[wire.Version]
	auth      *authentication
	source    field[netip.Addr]
	ttl       field[uint8]
	preempt   field[bool]
	hold      field[time.Duration] // preempt_delay
	unicast   *Token               // the first word that asks for unicast
	peers     peerList             // unicast_peer
	watchers  peerList
	addresses []*address
	garp      garpWords
	announce  []*announcement
	bgpWait   field[time.Duration]
	tuning
}

// authentication is the draft of the block of that name.
type authentication struct {
	at   Token
	kind field[wire.AuthType]
	pass field[string]
}

// maxPreemptDelay is keepalived's.
const maxPreemptDelay = 1000 * time.Second

// instance decodes a vrrp_instance.
func (d *decoder) instance(c *cursor) {
	in := &instance{}
	name, ok := d.next(c, "a name")
	in.name = name
	walk(d, instanceWords, in, d.body(c))
	if !ok {
		return
	}
	if first, twice := d.names[name.Text]; twice {
		d.errorf(name, "vrrp_instance %s is defined twice, first at %s", name.Text, first.Pos)
		return
	}
	d.names[name.Text] = name
	d.instances = append(d.instances, in)
}

// usesUnicast notes that a word asks for unicast.
func (in *instance) usesUnicast(c *cursor) {
	if in.unicast == nil {
		at := c.keyword
		in.unicast = &at
	}
}

// instanceWords may stand in a vrrp_instance.
var instanceWords = newTable("vrrp_instance",
	[]row[*instance]{
		// state decides nothing about the election, as in keepalived. There it also gives an omitted priority the value
		// 255, which is kept (with a warning), and takes nopreempt and preempt_delay back, which is not: whoever writes
		// one of them wants it, and a word that cancels another one three lines away has surprised too many.
		word("state", func(d *decoder, in *instance, c *cursor) { in.state.set(d.oneOf(c, "MASTER", "BACKUP")) }),
		word("interface", (*decoder).instanceInterface),
		word("virtual_router_id", func(d *decoder, in *instance, c *cursor) { in.vrid.set(d.uint8(c, 1, 255)) }),
		word("priority", func(d *decoder, in *instance, c *cursor) { in.priority.set(d.uint8(c, 1, 255)) }),
		word("advert_int", func(d *decoder, in *instance, c *cursor) {
			in.interval.set(d.seconds(c, 10*time.Millisecond, 255*time.Second))
		}),
		word("version", func(d *decoder, in *instance, c *cursor) { in.version.set(d.version(c)) }),
		word("authentication", (*decoder).authentication),

		word("unicast_src_ip", func(d *decoder, in *instance, c *cursor) {
			in.usesUnicast(c)
			in.source.set(d.address(c, true))
		}),
		word("mcast_src_ip", func(d *decoder, in *instance, c *cursor) { in.source.set(d.address(c, true)) }),
		word("mcast_dst_ip", func(d *decoder, _ *instance, c *cursor) { d.group(c, wire.IPv4.Group(), wire.IPv6.Group()) }),
		word("unicast_peer", func(d *decoder, in *instance, c *cursor) {
			in.usesUnicast(c)
			d.peers(&in.peers, unicastPeerWords, c)
		}),
		word("unicast_ttl", func(d *decoder, in *instance, c *cursor) {
			in.usesUnicast(c)
			in.ttl.set(d.uint8(c, 1, 255))
		}),
		word("check_unicast_src", func(d *decoder, in *instance, c *cursor) {
			in.usesUnicast(c)
			in.checkSource.set(d.switched(c))
		}),
		word("unicast_fault_no_peer", func(_ *decoder, in *instance, c *cursor) { in.usesUnicast(c) }),
		word("watcher_peer", func(d *decoder, in *instance, c *cursor) { d.peers(&in.watchers, watcherPeerWords, c) }),

		word("nopreempt", func(_ *decoder, in *instance, c *cursor) { in.preempt.set(false, c.keyword, true) }),
		word("preempt", func(_ *decoder, in *instance, c *cursor) { in.preempt.set(true, c.keyword, true) }),
		word("preempt_delay", func(d *decoder, in *instance, c *cursor) { in.hold.set(d.seconds(c, 0, maxPreemptDelay)) }),
		word("down_timer_adverts", func(d *decoder, in *instance, c *cursor) { in.downTimer.set(d.uint8(c, 1, 100)) }),
		word("lower_prio_no_advert", func(d *decoder, in *instance, c *cursor) { in.silent.set(d.switched(c)) }),
		word("higher_prio_send_advert", func(d *decoder, in *instance, c *cursor) { in.lastWord.set(d.switched(c)) }),
		word("v3_checksum_as_v2", func(d *decoder, in *instance, c *cursor) { in.messageChecksum.set(d.switched(c)) }),

		word("virtual_ipaddress", func(d *decoder, in *instance, c *cursor) { d.addresses(in, false, c) }),
		word("virtual_ipaddress_excluded", func(d *decoder, in *instance, c *cursor) { d.addresses(in, true, c) }),
		word("bgp_announce", func(d *decoder, in *instance, c *cursor) { d.announcements(in, c) }),
		word("bgp_wait", func(d *decoder, in *instance, c *cursor) { in.bgpWait.set(d.seconds(c, 0, maxWait)) }),
		accepted[*instance]("accept", 0),
		word("skip_check_adv_addr", func(d *decoder, _ *instance, c *cursor) { d.switched(c) }),
		word("handover_overlap", (*decoder).handoverOverlap),
	},
	garpTable("", func(in *instance) *garpWords { return &in.garp }),
	all[*instance](later, "", "", "notify", "notify_master", "notify_backup", "notify_fault", "notify_stop",
		"notify_master_rx_lower_pri", "track_interface", "track_script", "track_file", "track_process", "track_bfd",
		"dont_track_primary", "track_src_ip", "track_bgp", "track_check", "watch_site", "auth_hmac", "virtual_routes",
		"virtual_rules", "vrf", "owner_ignore_adverts", "garp_extra_if", "vmac_garp_intvl"),
	all[*instance](later, "", "hosts would see another link-layer address than that of a peer that uses one",
		"use_vmac", "use_vmac_addr", "vmac_xmit_base", "use_ipvlan"),
	all[*instance](later, "", "it would not be a protection", "no_accept"),
	all[*instance](later, "", `put the address into virtual_ipaddress, perhaps with "dev lo"`, "no_virtual_ipaddress"),
	// notify_deleted is a command or a switch; without the other notify words neither means anything.
	all[*instance](harmless, "", "", "notify_deleted", "notify_priority_changes"),
	all[*instance](ignored, "mail", "failoverd sends none", "smtp_alert"),
	all[*instance](ignored, "", "it makes virtual addresses unreachable; what else it checks, failoverd always checks", "strict_mode"),
	all[*instance](ignored, "", "the log level is that of the command line", "debug"),
	all[*instance](ignored, "", "the family is that of the first virtual address", "native_ipv6"),
	all[*instance](ignored, "", "addresses that the kernel takes away are put back", "promote_secondaries"),
	all[*instance](ignored, "", "every legal checksum is accepted, the one of keepalived since 1.3.7 is sent", "old_unicast_checksum"),
	all[*instance](ignored, "", "a node that wakes up late always listens before it takes over", "timer_expired_backup",
		"thread_timer_expired"),
	all[*instance](ignored, "netlink buffers", "failoverd sizes them, and lists again after an overrun", "kernel_rx_buf_size"),
	all[*instance](ignored, "", "links are watched through netlink", "linkbeat_use_polling"),
	all[*instance](ignored, "IPVS", "failoverd does not configure it", "lvs_sync_daemon_interface"),
)

// instanceInterface refuses what cannot carry VRRP at all.
func (d *decoder) instanceInterface(in *instance, c *cursor) {
	in.device.set(d.device(c))
	if in.device.ok && in.device.value == "lo" {
		d.errorf(in.device.at, "interface lo: the loopback interface carries no VRRP; an address may have \"dev lo\"")
		in.device.ok = false
	}
}

// handoverOverlap accepts the default.
func (d *decoder) handoverOverlap(_ *instance, c *cursor) {
	if v, at, ok := d.seconds(c, 0, maxWait); ok && v != 0 {
		d.errorf(at, "handover_overlap %s is not supported yet: only 0 is", at.Text)
	}
}

func (d *decoder) authentication(in *instance, c *cursor) {
	a := &authentication{at: c.keyword}
	if c.block != nil {
		in.auth = a
	}
	walk(d, authenticationWords, a, d.body(c))
}

var authenticationWords = newTable("authentication", []row[*authentication]{
	word("auth_type", func(d *decoder, a *authentication, c *cursor) {
		s, at, ok := d.oneOf(c, "PASS", "AH")
		if ok && s == "AH" {
			d.errorf(at, "auth_type AH is refused: version 3 has no authentication header, and that of version 2 was withdrawn")
			ok = false
		}
		a.kind.set(wire.AuthSimple, at, ok)
	}),
	word("auth_pass", func(d *decoder, a *authentication, c *cursor) { a.pass.set(d.text(c, "a password")) }),
})

// resolveAuth returns the authentication of version 2. Version 3 has none.
func (d *decoder) resolveAuth(in *instance, version wire.Version) (wire.AuthType, [8]byte) {
	var data [8]byte
	a := in.auth
	switch {
	case a == nil:
		return wire.AuthNone, data
	case a.kind.missing():
		d.errorf(a.at, "authentication without auth_type (want auth_type PASS)")
		return wire.AuthNone, data
	case a.pass.missing():
		d.errorf(a.at, "authentication without auth_pass")
		return wire.AuthNone, data
	case version == wire.V3:
		d.warnf(a.at, "authentication is ignored: VRRP version 3 has none")
		return wire.AuthNone, data
	case len(a.pass.value) > len(data):
		d.warnf(a.pass.at, "auth_pass is cut after %d characters", len(data))
	}
	copy(data[:], a.pass.value)
	return wire.AuthSimple, data
}

// resolvePriority returns the priority, and has a word about the owner's.
func (d *decoder) resolvePriority(in *instance) uint8 {
	if in.priority.missing() && in.state.or("BACKUP") == "MASTER" {
		d.warnf(in.state.at, "state MASTER without priority means priority 255, that of the node that owns the addresses; write a priority")
		return wire.PriorityOwner
	}
	p := in.priority.or(wire.PriorityDefault)
	if p == wire.PriorityOwner {
		d.warnf(in.priority.at, "priority 255 is for the node whose interface has the addresses as its own; it takes over at once and cannot be tracked")
	}
	return p
}

// resolvePreemption returns Preempt_Mode and its delay.
func (d *decoder) resolvePreemption(in *instance, priority uint8) (preempt bool, delay time.Duration) {
	preempt, delay = in.preempt.or(true), in.hold.or(0)
	master := in.state.or("BACKUP") == "MASTER"
	switch {
	case preempt:
	case priority == wire.PriorityOwner:
		d.warnf(in.preempt.at, "nopreempt has no effect: priority 255 always preempts (RFC 9568 section 6.1)")
		preempt = true
	case master:
		d.warnf(in.preempt.at, "nopreempt holds although state is MASTER; keepalived would ignore it")
	}
	switch {
	case delay == 0:
	case priority == wire.PriorityOwner:
		d.warnf(in.hold.at, "preempt_delay has no effect: priority 255 takes over at once")
		delay = 0
	case !preempt:
		d.warnf(in.hold.at, "preempt_delay has no effect with nopreempt")
		delay = 0
	case master:
		d.warnf(in.hold.at, "preempt_delay holds although state is MASTER; keepalived would ignore it")
	}
	return preempt, delay
}

// resolveInterval returns Advertisement_Interval, which must be expressible on the wire.
func (d *decoder) resolveInterval(in *instance, version wire.Version) (wire.Centiseconds, bool) {
	if in.interval.missing() {
		return 100, true
	}
	v, at := in.interval.value, in.interval.at
	if !in.interval.ok {
		return 0, false
	}
	if version == wire.V2 {
		below := v / time.Second * time.Second
		if below == v {
			return wire.Centiseconds(v / (10 * time.Millisecond)), true
		}
		if below == 0 {
			d.errorf(at, "advert_int %s: version 2 takes whole seconds (nearest: 1; version 3 takes fractions)", at.Text)
		} else {
			d.errorf(at, "advert_int %s: version 2 takes whole seconds (nearest: %s or %s; version 3 takes fractions)",
				at.Text, formatSeconds(below), formatSeconds(min(below+time.Second, 255*time.Second)))
		}
		return 0, false
	}
	if v > wire.MaxIntervalV3.Duration() {
		d.errorf(at, "advert_int %s: out of range (version 3 takes 0.01 to 40.95 seconds)", at.Text)
		return 0, false
	}
	cs, below, above, ok := centiseconds(v)
	if !ok {
		d.errorf(at, "advert_int %s: not a whole number of centiseconds (nearest: %s or %s)", at.Text, formatSeconds(below), formatSeconds(above))
	}
	return cs, ok
}

// defaultLease is three intervals, in whole seconds, and at least 3: a lease must outlive a few missed renewals.
func defaultLease(interval wire.Centiseconds) time.Duration {
	lease := (3*interval.Duration() + time.Second - 1) / time.Second * time.Second
	return max(lease, 3*time.Second)
}

// lease returns the kernel lifetime of an instance's addresses.
func (d *decoder) lease(interval wire.Centiseconds) time.Duration {
	if d.global.vipLease.ok {
		return d.global.vipLease.value
	}
	return max(defaultLease(interval), failover.MinLease)
}
