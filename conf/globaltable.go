package conf

import (
	"failoverd/vrrp/wire"
)

const rootName = "the top level"

// noBFD says what there is instead of BFD.
const noBFD = "failoverd has no BFD; a shorter advert_int (version 3 goes down to 0.01) and track_script find dead peers and paths"

// rootWords may stand at the top level.
var rootWords = newTable(rootName,
	[]row[struct{}]{
		word("global_defs", func(d *decoder, _ struct{}, c *cursor) { walk(d, globalWords, &d.global, d.body(c)) }),
		word("vrrp_instance", func(d *decoder, _ struct{}, c *cursor) { d.instance(c) }),
		word("anycast_service", func(d *decoder, _ struct{}, c *cursor) { d.anycastService(c) }),
		word("bgp_speaker", func(d *decoder, _ struct{}, c *cursor) { d.speaker(c) }),
		word("site", func(d *decoder, _ struct{}, c *cursor) { d.site(c) }),
		word("watch_site", func(d *decoder, _ struct{}, c *cursor) { d.watchSite(c) }),
		word("witness_server", func(d *decoder, _ struct{}, c *cursor) { d.witnessServer(c) }),
	},
	trackedBlocks,
	staticBlocks,
	all[struct{}](later, "", "run another agent with a file, a status_socket and, if it has one, a pid file of its own", "instance"),
	all[struct{}](refused, "", noBFD, "bfd_instance"),
	all[struct{}](refused, "", "static entries depend on no instance; they are put back when they vanish", "track_group"),
	all[struct{}](harmless, "", "the limits of global_defs apply to every interface", "garp_group"),
	all[struct{}](foreign, "", "failoverd does not configure IPVS",
		"virtual_server", "virtual_server_group", "SSL", "net_namespace_ipvs", "namespace_with_ipsets"),
	all[struct{}](ignored, "", "links are watched through netlink", "linkbeat_use_polling", "linkbeat_interfaces"),
	all[struct{}](ignored, "process control", "failoverd has one process of its own and a speaker", "child_wait_time", "use_pid_dir"),
)

// trackedBlocks define what instances depend on, and what is there whatever they do.
var trackedBlocks = []row[struct{}]{
	word("vrrp_sync_group", func(d *decoder, _ struct{}, c *cursor) { d.syncGroup(c) }),
	word("vrrp_script", func(d *decoder, _ struct{}, c *cursor) { d.script(c) }),
	word("track_file", func(d *decoder, _ struct{}, c *cursor) { d.trackFile(c) }),
	word("vrrp_track_file", func(d *decoder, _ struct{}, c *cursor) { d.trackFile(c) }),
	word("vrrp_track_process", func(d *decoder, _ struct{}, c *cursor) { d.trackProcess(c) }),
	word("health_check", func(d *decoder, _ struct{}, c *cursor) { d.healthCheck(c) }),
	word("check_group", func(d *decoder, _ struct{}, c *cursor) { d.checkGroup(c) }),
	word("interface_up_down_delays", func(d *decoder, _ struct{}, c *cursor) { d.linkDelays(c) }),
	word("net_namespace", func(d *decoder, _ struct{}, c *cursor) { d.namespace(c) }),
}

// globalWords may stand in global_defs.
var globalWords = newTable("global_defs",
	[]row[*globals]{
		// It belongs at the top level, but to start in the wrong namespace because of that would be worse.
		word("net_namespace", func(d *decoder, _ *globals, c *cursor) { d.namespace(c) }),
		single("router_id", func(d *decoder, g *globals, c *cursor) { g.routerID.set(d.text(c, "a name")) }),
		word("strict_config", func(d *decoder, g *globals, c *cursor) { g.strict = true }),
		single("status_socket", func(d *decoder, g *globals, c *cursor) { g.statusSocket.set(d.socketPath(c)) }),
		single("metrics_listen", func(d *decoder, g *globals, c *cursor) { g.metrics.set(d.metricsAddress(c)) }),
		single("event_log", func(d *decoder, g *globals, c *cursor) { g.eventLog.set(d.file(c)) }),
		single("record", func(d *decoder, g *globals, c *cursor) { g.record.set(d.file(c)) }),
		single("record_size", func(d *decoder, g *globals, c *cursor) { g.recordSize.set(d.int(c, 1, maxRecord)) }),
		single("vip_lease", func(d *decoder, g *globals, c *cursor) { g.vipLease.set(d.whole(c, 0, maxLease)) }),
		single("bgp_lease", func(d *decoder, g *globals, c *cursor) { g.bgpLease.set(d.whole(c, 1, 3600)) }),
		single("on_crash", func(d *decoder, g *globals, c *cursor) { g.onCrash.set(d.oneOf(c, onCrashResume, onCrashResign)) }),

		single("vrrp_version", func(d *decoder, g *globals, c *cursor) { g.version.set(d.version(c)) }),
		single("vrrp_startup_delay", func(d *decoder, g *globals, c *cursor) { g.startupDelay.set(d.seconds(c, 0, maxPeriod)) }),
		single("vrrp_down_timer_adverts", func(d *decoder, g *globals, c *cursor) { g.downTimer.set(d.uint8(c, 1, 100)) }),
		single("vrrp_lower_prio_no_advert", func(d *decoder, g *globals, c *cursor) { g.silent.set(d.switched(c)) }),
		single("vrrp_higher_prio_send_advert", func(d *decoder, g *globals, c *cursor) { g.lastWord.set(d.switched(c)) }),
		single("vrrp_check_unicast_src", func(d *decoder, g *globals, c *cursor) { g.checkSource.set(d.switched(c)) }),
		single("v3_checksum_as_v2", func(d *decoder, g *globals, c *cursor) { g.messageChecksum.set(d.switched(c)) }),
		single("vrrp_owner_ignore_adverts", func(d *decoder, g *globals, c *cursor) { g.ownerIgnores.set(d.switched(c)) }),
		single("vrrp_mcast_group4", func(d *decoder, g *globals, c *cursor) { g.multicast4.set(d.multicastGroup(c, wire.IPv4)) }),
		single("vrrp_mcast_group6", func(d *decoder, g *globals, c *cursor) { g.multicast6.set(d.multicastGroup(c, wire.IPv6)) }),
		single("vrrp_delay_after_boot", func(d *decoder, g *globals, c *cursor) { g.bootDelay.set(d.seconds(c, 0, maxPeriod)) }),
		single("default_interface", func(d *decoder, g *globals, c *cursor) { g.defaultInterface.set(d.device(c)) }),
		single("log_unknown_vrids", func(d *decoder, g *globals, c *cursor) { g.unknownVRIDs.set(d.switched(c)) }),

		// A difference of the address lists never decides an election.
		word("vrrp_skip_check_adv_addr", func(d *decoder, _ *globals, c *cursor) { d.switched(c) }),
		accepted[*globals]("dynamic_interfaces", 1), // interfaces always come and go
		accepted[*globals]("reload_check_config", 1),

		single("vrrp_min_garp", func(d *decoder, g *globals, c *cursor) { g.minGARP.set(d.switched(c)) }),
		single("vrrp_garp_interval", func(d *decoder, g *globals, c *cursor) { g.garpInterval.set(d.seconds(c, 0, maxPeriod)) }),
		single("vrrp_gna_interval", func(d *decoder, g *globals, c *cursor) { g.naInterval.set(d.seconds(c, 0, maxPeriod)) }),
	},
	garpTable("vrrp_", func(g *globals) *garpWords { return &g.garp }),
	scriptRows,
	fifoRows("notify_fifo", func(g *globals) *fifo { return &g.allFIFO }),
	fifoRows("vrrp_notify_fifo", func(g *globals) *fifo { return &g.vrrpFIFO }),
	hookRows("startup_script", func(g *globals) *hook { return &g.startup }),
	hookRows("shutdown_script", func(g *globals) *hook { return &g.shutdown }),
	processRows,
	all[*globals](harmless, "", "garp_master_refresh repeats gratuitous ARP for all virtual addresses", "vrrp_garp_extra_if", "vrrp_vmac_garp_intvl"),
	all[*globals](ignored, "", "dump files have the names that state_dump_file, stats_dump_file and json_dump_file give them", "data_use_instance"),
	all[*globals](ignored, "", "it makes virtual addresses unreachable; what else it checks, failoverd always checks", "vrrp_strict"),
	all[*globals](ignored, "mail", "failoverd sends none", "notification_email", "notification_email_from", "smtp_server",
		"smtp_helo_name", "smtp_connect_timeout", "smtp_alert", "smtp_alert_vrrp", "smtp_alert_checker", "no_email_faults",
		"no_checker_emails"),
	all[*globals](ignored, "scheduling", "use the service manager", "max_auto_priority", "min_auto_priority_delay",
		"checker_priority", "bfd_priority", "checker_rt_priority", "bfd_rt_priority",
		"vrrp_cpu_affinity", "checker_cpu_affinity", "bfd_cpu_affinity", "checker_no_swap", "bfd_no_swap"),
	all[*globals](ignored, "limits of real time", "an agent that hangs is ended by the service manager's watchdog, and the kernel leaves other processes 5 % of the time",
		"vrrp_rlimit_rttime", "vrrp_rlimit_rtime", "checker_rlimit_rttime", "checker_rlimit_rtime", "bfd_rlimit_rttime", "bfd_rlimit_rtime"),
	all[*globals](ignored, "process control", "failoverd has one process of its own and a speaker", "process_names",
		"process_name", "vrrp_process_name", "checker_process_name", "bfd_process_name", "umask", "use_symlink_paths",
		"tmp_config_directory", "config_save_dir", "random_seed", "iproute_usr_dir", "iproute_etc_dir"),
	all[*globals](ignored, "netlink buffers", "failoverd sizes them, and lists again after an overrun",
		"vrrp_netlink_cmd_rcv_bufs", "vrrp_netlink_cmd_rcv_bufs_force", "vrrp_netlink_monitor_rcv_bufs",
		"vrrp_netlink_monitor_rcv_bufs_force", "process_monitor_rcv_bufs", "process_monitor_rcv_bufs_force",
		"vrrp_rx_bufs_policy", "vrrp_rx_bufs_multiplier"),
	all[*globals](ignored, "the packet filter", "no_accept has an nftables table of its own", "vrrp_iptables", "vrrp_ipsets",
		"nftables", "nftables_priority", "nftables_ifindex"),
	all[*globals](ignored, "", "use_vmac NAME gives an interface its name", "vmac_addr_prefix"),
	all[*globals](ignored, "SNMP and D-Bus", "see the status socket", "snmp_socket", "enable_snmp_keepalived", "enable_snmp_vrrp",
		"enable_snmp_checker", "enable_snmp_rfc", "enable_snmp_rfcv2", "enable_snmp_rfcv3", "enable_traps", "enable_dbus",
		"dbus_service_name", "dbus_no_interface_name"),
	all[*globals](ignored, "scheduled reloads", "reload when the file is in place", "reload_time_file", "reload_repeat", "reload_file"),
	all[*globals](ignored, "IPVS", "failoverd does not configure it", "lvs_sync_daemon", "lvs_timeouts", "lvs_flush",
		"lvs_flush_on_stop", "lvs_notify_fifo", "lvs_notify_fifo_script", "lvs_netlink_cmd_rcv_bufs",
		"lvs_netlink_cmd_rcv_bufs_force", "lvs_netlink_monitor_rcv_bufs", "lvs_netlink_monitor_rcv_bufs_force",
		"nftables_ipvs", "nftables_ipvs_priority", "nftables_ipvs_start_fwmark", "rs_init_notifies", "checker_log_all_failures"),
	all[*globals](ignored, "", "a file that does not exist is always an error", "include_check"),
	all[*globals](ignored, "", "the kernel decides", "disable_local_igmp"),
)

// scriptRows are about the commands that the agent runs.
var scriptRows = []row[*globals]{
	word("script_user", func(d *decoder, g *globals, c *cursor) {
		g.scriptUser.set(d.user(c, "the name of a user"))
		if g.scriptGroup = (field[string]{}); c.value() {
			g.scriptGroup.set(d.user(c, "the name of a group"))
		}
	}),
	word("enable_script_security", func(_ *decoder, g *globals, _ *cursor) { g.scriptSecurity = true }),
	word("set_supplementary_groups", func(_ *decoder, g *globals, _ *cursor) { g.supplementary = true }),
	single("vrrp_notify_priority_changes", func(d *decoder, g *globals, c *cursor) { g.priorityChanges.set(d.switched(c)) }),
	single("fifo_write_vrrp_states_on_reload", func(d *decoder, g *globals, c *cursor) { g.statesOnReload.set(d.switched(c)) }),
}

// processRows are about the agent's process, and about what it leaves behind.
var processRows = []row[*globals]{
	single("vrrp_priority", func(d *decoder, g *globals, c *cursor) { g.nice.set(d.between(c, -20, 19)) }),
	single("vrrp_rt_priority", func(d *decoder, g *globals, c *cursor) { g.realTime.set(d.int(c, 1, 99)) }),
	word("vrrp_no_swap", func(_ *decoder, g *globals, _ *cursor) { g.noSwap = true }),
	single("vmac_prefix", func(d *decoder, g *globals, c *cursor) { g.vmacPrefix.set(d.device(c)) }),
	word("nftables_counters", func(_ *decoder, g *globals, _ *cursor) { g.counters = true }),
	single("state_dump_file", func(d *decoder, g *globals, c *cursor) { g.dumpData.set(d.file(c)) }),
	single("stats_dump_file", func(d *decoder, g *globals, c *cursor) { g.dumpStats.set(d.file(c)) }),
	single("json_dump_file", func(d *decoder, g *globals, c *cursor) { g.dumpJSON.set(d.file(c)) }),
	single("json_version", func(d *decoder, g *globals, c *cursor) { g.jsonVersion.set(d.int(c, 1, 2)) }),
}

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
