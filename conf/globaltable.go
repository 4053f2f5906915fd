package conf

import (
	"failoverd/vrrp/wire"
)

const rootName = "the top level"

// rootWords may stand at the top level.
var rootWords = newTable(rootName,
	[]row[struct{}]{
		word("global_defs", func(d *decoder, _ struct{}, c *cursor) { walk(d, globalWords, &d.global, d.body(c)) }),
		word("vrrp_instance", func(d *decoder, _ struct{}, c *cursor) { d.instance(c) }),
		word("bgp_speaker", func(d *decoder, _ struct{}, c *cursor) { d.speaker(c) }),
	},
	all[struct{}](later, "", "",
		"vrrp_script", "vrrp_sync_group", "track_file", "vrrp_track_file", "vrrp_track_process", "bfd_instance",
		"track_group", "static_ipaddress", "static_routes", "static_rules", "interface_up_down_delays",
		"health_check", "watch_site", "site", "witness_server", "net_namespace", "instance"),
	all[struct{}](harmless, "", "the limits of global_defs apply to every interface", "garp_group"),
	all[struct{}](foreign, "", "failoverd does not configure IPVS",
		"virtual_server", "virtual_server_group", "SSL", "net_namespace_ipvs", "namespace_with_ipsets"),
	all[struct{}](ignored, "", "links are watched through netlink", "linkbeat_use_polling", "linkbeat_interfaces"),
	all[struct{}](ignored, "process control", "failoverd has one process of its own and a speaker", "child_wait_time", "use_pid_dir"),
)

// globalWords may stand in global_defs.
var globalWords = newTable("global_defs",
	[]row[*globals]{
		word("router_id", func(d *decoder, g *globals, c *cursor) { g.routerID.set(d.text(c, "a name")) }),
		word("strict_config", func(d *decoder, g *globals, c *cursor) { g.strict = true }),
		word("status_socket", func(d *decoder, g *globals, c *cursor) { g.statusSocket.set(d.socketPath(c)) }),
		word("vip_lease", func(d *decoder, g *globals, c *cursor) { g.vipLease.set(d.whole(c, 0, maxLease)) }),
		word("bgp_lease", func(d *decoder, g *globals, c *cursor) { g.bgpLease.set(d.whole(c, 1, 3600)) }),

		word("vrrp_version", func(d *decoder, g *globals, c *cursor) { g.version.set(d.version(c)) }),
		word("vrrp_startup_delay", func(d *decoder, g *globals, c *cursor) { g.startupDelay.set(d.seconds(c, 0, maxPeriod)) }),
		word("vrrp_down_timer_adverts", func(d *decoder, g *globals, c *cursor) { g.downTimer.set(d.uint8(c, 1, 100)) }),
		word("vrrp_lower_prio_no_advert", func(d *decoder, g *globals, c *cursor) { g.silent.set(d.switched(c)) }),
		word("vrrp_higher_prio_send_advert", func(d *decoder, g *globals, c *cursor) { g.lastWord.set(d.switched(c)) }),
		word("vrrp_check_unicast_src", func(d *decoder, g *globals, c *cursor) { g.checkSource.set(d.switched(c)) }),
		word("v3_checksum_as_v2", func(d *decoder, g *globals, c *cursor) { g.messageChecksum.set(d.switched(c)) }),
		word("vrrp_mcast_group4", func(d *decoder, _ *globals, c *cursor) { d.group(c, wire.IPv4.Group()) }),
		word("vrrp_mcast_group6", func(d *decoder, _ *globals, c *cursor) { d.group(c, wire.IPv6.Group()) }),

		// A difference of the address lists never decides an election.
		word("vrrp_skip_check_adv_addr", func(d *decoder, _ *globals, c *cursor) { d.switched(c) }),
		accepted[*globals]("dynamic_interfaces", 1), // interfaces always come and go
		accepted[*globals]("reload_check_config", 1),
		accepted[*globals]("script_user", 2),
		accepted[*globals]("enable_script_security", 0),

		word("vrrp_min_garp", func(d *decoder, g *globals, c *cursor) { g.minGARP.set(d.switched(c)) }),
		word("vrrp_garp_interval", func(d *decoder, g *globals, c *cursor) { g.garpInterval.set(d.seconds(c, 0, maxPeriod)) }),
		word("vrrp_gna_interval", func(d *decoder, g *globals, c *cursor) { g.naInterval.set(d.seconds(c, 0, maxPeriod)) }),
	},
	garpTable("vrrp_", func(g *globals) *garpWords { return &g.garp }),
	all[*globals](later, "", "", "metrics_listen", "event_log", "notify_fifo", "notify_fifo_script", "vrrp_notify_fifo",
		"vrrp_notify_fifo_script", "startup_script", "shutdown_script", "vrrp_delay_after_boot", "vrrp_owner_ignore_adverts",
		"vrrp_garp_extra_if", "vrrp_vmac_garp_intvl"),
	all[*globals](harmless, "", "", "startup_script_timeout", "shutdown_script_timeout", "vrrp_notify_priority_changes",
		"fifo_write_vrrp_states_on_reload", "data_use_instance", "json_version", "state_dump_file", "stats_dump_file",
		"json_dump_file", "set_supplementary_groups"),
	all[*globals](ignored, "", "it makes virtual addresses unreachable; what else it checks, failoverd always checks", "vrrp_strict"),
	all[*globals](ignored, "mail", "failoverd sends none", "notification_email", "notification_email_from", "smtp_server",
		"smtp_helo_name", "smtp_connect_timeout", "smtp_alert", "smtp_alert_vrrp", "smtp_alert_checker", "no_email_faults",
		"no_checker_emails"),
	all[*globals](ignored, "scheduling", "use the service manager", "max_auto_priority", "min_auto_priority_delay",
		"vrrp_priority", "checker_priority", "bfd_priority", "vrrp_rt_priority", "checker_rt_priority", "bfd_rt_priority",
		"vrrp_cpu_affinity", "checker_cpu_affinity", "bfd_cpu_affinity", "vrrp_rlimit_rttime", "vrrp_rlimit_rtime",
		"checker_rlimit_rttime", "checker_rlimit_rtime", "bfd_rlimit_rttime", "bfd_rlimit_rtime", "vrrp_no_swap",
		"checker_no_swap", "bfd_no_swap"),
	all[*globals](ignored, "process control", "failoverd has one process of its own and a speaker", "process_names",
		"process_name", "vrrp_process_name", "checker_process_name", "bfd_process_name", "umask", "use_symlink_paths",
		"tmp_config_directory", "config_save_dir", "random_seed", "iproute_usr_dir", "iproute_etc_dir"),
	all[*globals](ignored, "netlink buffers", "failoverd sizes them, and lists again after an overrun",
		"vrrp_netlink_cmd_rcv_bufs", "vrrp_netlink_cmd_rcv_bufs_force", "vrrp_netlink_monitor_rcv_bufs",
		"vrrp_netlink_monitor_rcv_bufs_force", "process_monitor_rcv_bufs", "process_monitor_rcv_bufs_force",
		"vrrp_rx_bufs_policy", "vrrp_rx_bufs_multiplier"),
	all[*globals](ignored, "the packet filter", "only use_vmac and no_accept would need it", "vrrp_iptables", "vrrp_ipsets",
		"nftables", "nftables_priority", "nftables_counters", "nftables_ifindex", "vmac_prefix", "vmac_addr_prefix"),
	all[*globals](ignored, "SNMP and D-Bus", "see the status socket", "snmp_socket", "enable_snmp_keepalived", "enable_snmp_vrrp",
		"enable_snmp_checker", "enable_snmp_rfc", "enable_snmp_rfcv2", "enable_snmp_rfcv3", "enable_traps", "enable_dbus",
		"dbus_service_name", "dbus_no_interface_name"),
	all[*globals](ignored, "scheduled reloads", "reload when the file is in place", "reload_time_file", "reload_repeat", "reload_file"),
	all[*globals](ignored, "IPVS", "failoverd does not configure it", "lvs_sync_daemon", "lvs_timeouts", "lvs_flush",
		"lvs_flush_on_stop", "lvs_notify_fifo", "lvs_notify_fifo_script", "lvs_netlink_cmd_rcv_bufs",
		"lvs_netlink_cmd_rcv_bufs_force", "lvs_netlink_monitor_rcv_bufs", "lvs_netlink_monitor_rcv_bufs_force",
		"nftables_ipvs", "nftables_ipvs_priority", "nftables_ipvs_start_fwmark", "rs_init_notifies", "checker_log_all_failures"),
	all[*globals](ignored, "", "it is for static addresses and routes only", "default_interface"),
	all[*globals](ignored, "", "a file that does not exist is always an error", "include_check"),
	all[*globals](ignored, "", "they are counted in status", "log_unknown_vrids"),
	all[*globals](ignored, "", "the kernel decides", "disable_local_igmp"),
)

// garpTable is the schedule of gratuitous ARP, whose words in global_defs have a prefix.
func garpTable[T any](prefix string, of func(T) *garpWords) []row[T] {
	return []row[T]{
		word(prefix+"garp_master_delay", func(d *decoder, to T, c *cursor) { of(to).delay.set(d.seconds(c, 0, maxPeriod)) }),
		word(prefix+"garp_master_repeat", func(d *decoder, to T, c *cursor) { of(to).repeat.set(d.int(c, 1, maxRepeat)) }),
		word(prefix+"garp_master_refresh", func(d *decoder, to T, c *cursor) { of(to).refresh.set(d.seconds(c, 0, maxPeriod)) }),
		word(prefix+"garp_master_refresh_repeat", func(d *decoder, to T, c *cursor) { of(to).refreshRepeat.set(d.int(c, 1, maxRepeat)) }),
		word(prefix+"garp_lower_prio_delay", func(d *decoder, to T, c *cursor) { of(to).rivalDelay.set(d.seconds(c, 0, maxPeriod)) }),
		word(prefix+"garp_lower_prio_repeat", func(d *decoder, to T, c *cursor) { of(to).rivalRepeat.set(d.int(c, 0, maxRepeat)) }),
	}
}
