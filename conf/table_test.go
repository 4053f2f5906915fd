package conf_test

import (
	"slices"
	"strings"
	"testing"

	"failoverd/conf"
)

// inventory is keepalived's vocabulary, 2.2.7 to 2.4, by place. A word of it may be refused; it must not be unknown.
var inventory = map[string]string{
	"root": `global_defs vrrp_instance vrrp_sync_group vrrp_script track_file vrrp_track_file vrrp_track_process bfd_instance
		track_group static_ipaddress static_routes static_rules garp_group interface_up_down_delays linkbeat_use_polling
		linkbeat_interfaces net_namespace net_namespace_ipvs namespace_with_ipsets instance use_pid_dir child_wait_time
		virtual_server virtual_server_group SSL
		bgp_speaker health_check watch_site site witness_server`,
	"global_defs": `router_id notification_email notification_email_from smtp_server smtp_helo_name smtp_connect_timeout smtp_alert
		smtp_alert_vrrp smtp_alert_checker no_email_faults no_checker_emails checker_log_all_failures script_user
		enable_script_security use_symlink_paths set_supplementary_groups umask random_seed vrrp_version vrrp_mcast_group4
		vrrp_mcast_group6 default_interface vrrp_garp_master_delay vrrp_garp_master_repeat vrrp_garp_master_refresh
		vrrp_garp_master_refresh_repeat vrrp_garp_lower_prio_delay vrrp_garp_lower_prio_repeat vrrp_garp_interval
		vrrp_gna_interval vrrp_min_garp vrrp_garp_extra_if vrrp_vmac_garp_intvl vrrp_down_timer_adverts
		vrrp_lower_prio_no_advert vrrp_higher_prio_send_advert vrrp_owner_ignore_adverts vrrp_check_unicast_src
		vrrp_skip_check_adv_addr vrrp_strict v3_checksum_as_v2 vrrp_startup_delay vrrp_delay_after_boot log_unknown_vrids
		dynamic_interfaces disable_local_igmp notify_fifo notify_fifo_script vrrp_notify_fifo vrrp_notify_fifo_script
		lvs_notify_fifo lvs_notify_fifo_script vrrp_notify_priority_changes fifo_write_vrrp_states_on_reload startup_script
		startup_script_timeout shutdown_script shutdown_script_timeout reload_check_config reload_time_file reload_repeat
		reload_file include_check config_save_dir tmp_config_directory vrrp_iptables vrrp_ipsets nftables nftables_priority
		nftables_counters nftables_ifindex vrrp_priority vrrp_rt_priority vrrp_cpu_affinity vrrp_rlimit_rttime vrrp_no_swap
		vrrp_process_name process_names process_name max_auto_priority min_auto_priority_delay checker_priority
		bfd_priority checker_rt_priority bfd_rt_priority checker_no_swap bfd_no_swap vrrp_netlink_cmd_rcv_bufs
		vrrp_netlink_cmd_rcv_bufs_force vrrp_netlink_monitor_rcv_bufs vrrp_netlink_monitor_rcv_bufs_force
		process_monitor_rcv_bufs process_monitor_rcv_bufs_force vrrp_rx_bufs_policy vrrp_rx_bufs_multiplier vmac_prefix
		vmac_addr_prefix snmp_socket enable_snmp_vrrp enable_snmp_checker enable_snmp_rfc enable_snmp_rfcv2 enable_snmp_rfcv3
		enable_traps enable_dbus dbus_service_name lvs_sync_daemon lvs_timeouts lvs_flush lvs_flush_on_stop nftables_ipvs
		rs_init_notifies data_use_instance json_version state_dump_file stats_dump_file json_dump_file iproute_usr_dir
		iproute_etc_dir
		status_socket metrics_listen vip_lease bgp_lease event_log strict_config`,
	"vrrp_instance": `state interface vrf virtual_router_id priority advert_int version native_ipv6 authentication auth_hmac
		unicast_src_ip mcast_src_ip mcast_dst_ip unicast_peer unicast_fault_no_peer unicast_ttl check_unicast_src track_src_ip
		old_unicast_checksum v3_checksum_as_v2 nopreempt preempt preempt_delay dont_track_primary track_interface track_script
		track_file track_process track_bfd virtual_ipaddress virtual_ipaddress_excluded no_virtual_ipaddress
		promote_secondaries virtual_routes virtual_rules accept no_accept use_vmac use_vmac_addr vmac_xmit_base use_ipvlan
		vmac_garp_intvl garp_extra_if garp_master_delay garp_master_repeat garp_master_refresh garp_master_refresh_repeat
		garp_lower_prio_delay garp_lower_prio_repeat down_timer_adverts lower_prio_no_advert higher_prio_send_advert
		owner_ignore_adverts timer_expired_backup thread_timer_expired skip_check_adv_addr strict_mode notify notify_master
		notify_backup notify_fault notify_stop notify_deleted notify_master_rx_lower_pri notify_priority_changes smtp_alert
		debug kernel_rx_buf_size linkbeat_use_polling lvs_sync_daemon_interface
		bgp_announce bgp_wait track_bgp track_check watch_site watcher_peer handover_overlap`,
	"virtual_ipaddress": "dev brd broadcast scope label peer no_track -nodad preferred_lft home mngtmpaddr noprefixroute autojoin use_vmac track_group",
	"bgp_speaker":       "local_as router_id backend listen_port allow_prefix max_announcements rpki_cache rpki_invalid neighbor",
	"neighbor": `remote_as local_address description password password_file port hold_time keepalive connect_retry multihop
		ttl_security graceful_restart four_octet_as_required`,
	"bgp_announce": "speaker when med local_pref prepend community large_community next_hop",
	"unicast_peer": "min_ttl max_ttl", "watcher_peer": "min_ttl max_ttl", "authentication": "auth_type auth_pass",
}

func TestNoWordOfTheInventoryIsUnknown(t *testing.T) {
	known := conf.KnownWords()
	for place, words := range inventory {
		for _, w := range strings.Fields(words) {
			if !slices.Contains(known[place], w) {
				t.Errorf("%s in %s is unknown", w, place)
			}
		}
	}
}

// TestNoWordIsSilentlyIgnored: each word of the inventory that changes nothing says so, except for the few that ask for
// what happens anyway.
func TestNoWordIsSilentlyIgnored(t *testing.T) {
	silent := strings.Fields(`global_defs strict_config dynamic_interfaces reload_check_config enable_script_security
		script_user vrrp_skip_check_adv_addr skip_check_adv_addr accept vrrp_check_unicast_src vrrp_lower_prio_no_advert
		vrrp_higher_prio_send_advert v3_checksum_as_v2 vrrp_min_garp nopreempt preempt lower_prio_no_advert
		higher_prio_send_advert`)
	template := map[string]string{"root": "%", "global_defs": "global_defs {\n%\n}", "vrrp_instance": minimal("A", 1, "virtual_ipaddress { 10.0.0.1 }\n%")}
	for place, text := range template {
		for _, w := range strings.Fields(inventory[place]) {
			_, diags := parse(t, strings.Replace(text, "%", w, 1), conf.Options{Lenient: true})
			if diags == "" && !slices.Contains(silent, w) {
				t.Errorf("%s in %s without a value or block: nothing is said", w, place)
			}
		}
	}
}

func TestDistance(t *testing.T) {
	rows := []struct {
		a, b string
		want int
	}{
		{"", "", 0},
		{"a", "", 1},
		{"", "abc", 3},
		{"priority", "priority", 0},
		{"prioritty", "priority", 1},
		{"priorty", "priority", 1},
		{"prioroty", "priority", 1},
		{"priroity", "priority", 1}, // two neighbors swapped
		{"interface", "priority", 8},
	}
	for _, r := range rows {
		if got := conf.Distance(r.a, r.b); got != r.want {
			t.Errorf("distance(%q, %q) = %d, want %d", r.a, r.b, got, r.want)
		}
		if got := conf.Distance(r.b, r.a); got != r.want {
			t.Errorf("distance(%q, %q) = %d, want %d", r.b, r.a, got, r.want)
		}
	}
}
