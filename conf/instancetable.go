package conf

import (
	"time"
)

// instanceWords may stand in a vrrp_instance.
var instanceWords = newTable("vrrp_instance",
	[]row[*instance]{
		// state decides nothing about the election, as in keepalived. There it also gives an omitted priority the value
		// 255, which is kept (with a warning), and takes nopreempt and preempt_delay back, which is not: whoever writes
		// one of them wants it, and a word that cancels another one three lines away has surprised too many.
		single("state", func(d *decoder, in *instance, c *cursor) { in.state.set(d.oneOf(c, "MASTER", "BACKUP")) }),
		single("interface", func(d *decoder, in *instance, c *cursor) { in.device.set(d.device(c)) }),
		single("virtual_router_id", func(d *decoder, in *instance, c *cursor) { in.vrid.set(d.uint8(c, 1, 255)) }),
		single("priority", func(d *decoder, in *instance, c *cursor) { in.priority.set(d.uint8(c, 1, 255)) }),
		word("advert_int", func(d *decoder, in *instance, c *cursor) {
			in.interval.set(d.seconds(c, 10*time.Millisecond, 255*time.Second))
		}),
		single("version", func(d *decoder, in *instance, c *cursor) { in.version.set(d.version(c)) }),
		word("authentication", (*decoder).authentication),
		word("auth_hmac", (*decoder).hmac),

		word("unicast_src_ip", func(d *decoder, in *instance, c *cursor) {
			in.usesUnicast(c)
			in.source.set(d.address(c, true))
		}),
		single("mcast_src_ip", func(d *decoder, in *instance, c *cursor) { in.source.set(d.address(c, true)) }),
		single("mcast_dst_ip", func(d *decoder, in *instance, c *cursor) { in.destination.set(d.groupAddress(c)) }),
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

		single("nopreempt", func(_ *decoder, in *instance, c *cursor) { in.preempt.set(false, c.keyword, true) }),
		single("preempt", func(_ *decoder, in *instance, c *cursor) { in.preempt.set(true, c.keyword, true) }),
		single("preempt_delay", func(d *decoder, in *instance, c *cursor) { in.hold.set(d.seconds(c, 0, maxPreemptDelay)) }),
		single("down_timer_adverts", func(d *decoder, in *instance, c *cursor) { in.downTimer.set(d.uint8(c, 1, 100)) }),
		single("lower_prio_no_advert", func(d *decoder, in *instance, c *cursor) { in.silent.set(d.switched(c)) }),
		single("higher_prio_send_advert", func(d *decoder, in *instance, c *cursor) { in.lastWord.set(d.switched(c)) }),
		single("v3_checksum_as_v2", func(d *decoder, in *instance, c *cursor) { in.messageChecksum.set(d.switched(c)) }),

		word("virtual_ipaddress", func(d *decoder, in *instance, c *cursor) { d.addresses(in, false, c) }),
		word("virtual_ipaddress_excluded", func(d *decoder, in *instance, c *cursor) { d.addresses(in, true, c) }),
		word("bgp_announce", func(d *decoder, in *instance, c *cursor) { d.announcements(in, c) }),
		single("bgp_wait", func(d *decoder, in *instance, c *cursor) { in.bgpWait.set(d.seconds(c, 0, maxWait)) }),
		single("withdraw_grace", (*decoder).withdrawGrace),
		single("no_virtual_ipaddress", func(_ *decoder, in *instance, c *cursor) { in.noAddress.set(true, c.keyword, true) }),
		single("native_ipv6", func(_ *decoder, in *instance, c *cursor) { in.ipv6.set(true, c.keyword, true) }),
		single("accept", func(_ *decoder, in *instance, c *cursor) { in.noAccept.set(false, c.keyword, true) }),
		single("no_accept", func(_ *decoder, in *instance, c *cursor) { in.noAccept.set(true, c.keyword, true) }),
		single("dont_track_primary", func(_ *decoder, in *instance, c *cursor) { in.ignoreLink.set(true, c.keyword, true) }),
		accepted[*instance]("track_src_ip", 0),         // a router without its source address never takes part
		accepted[*instance]("timer_expired_backup", 1), // a node that wakes up late always listens before it takes over
		accepted[*instance]("thread_timer_expired", 1),
		single("owner_ignore_adverts", func(d *decoder, in *instance, c *cursor) { in.ownerIgnores.set(d.switched(c)) }),
		word("promote_secondaries", func(_ *decoder, in *instance, _ *cursor) { in.promote = true }),
		word("skip_check_adv_addr", func(d *decoder, _ *instance, c *cursor) { d.switched(c) }),
	},
	garpTable("", func(in *instance) *garpWords { return &in.garp }),
	trackRows(func(in *instance) *[]*trackLine { return &in.tracks }),
	notifyRows(func(in *instance) *notifyWords { return &in.notify }),
	instanceNotifyRows,
	kernelRows,
	instanceRegionRows,
	all[*instance](later, "", "the interface may be a member of the VRF already", "vrf"),
	all[*instance](harmless, "", "garp_master_refresh repeats gratuitous ARP for all virtual addresses", "garp_extra_if", "vmac_garp_intvl"),
	all[*instance](refused, "", noBFD, "track_bfd"),
	all[*instance](refused, "", "an ipvlan has the link-layer address of its interface; leave the word out, or write use_vmac", "use_ipvlan"),
	all[*instance](ignored, "mail", "failoverd sends none", "smtp_alert"),
	all[*instance](ignored, "", "it makes virtual addresses unreachable; what else it checks, failoverd always checks", "strict_mode"),
	all[*instance](ignored, "", "the log level is that of the command line", "debug"),
	all[*instance](ignored, "", "every legal checksum is accepted, the one of keepalived since 1.3.7 is sent", "old_unicast_checksum"),
	all[*instance](ignored, "netlink buffers", "failoverd sizes them, and lists again after an overrun", "kernel_rx_buf_size"),
	all[*instance](ignored, "", "links are watched through netlink", "linkbeat_use_polling"),
	all[*instance](ignored, "IPVS", "failoverd does not configure it", "lvs_sync_daemon_interface"),
)
