package conf_test

import (
	"slices"
	"strings"
	"testing"

	"failoverd/conf"
)

// inventory is keepalived's vocabulary, 2.2.7 to 2.4, and failoverd's, by place and by what becomes of a word. A word that
// the design says is honoured must be "supported"; one that it says is parsed only is "ignored", with a warning; what is
// not built says so ("later", and "harmless" where a node does its work without); and what would take a protection away
// or change what others see on the wire is "refused".
var inventory = map[string]map[string]string{
	"root": {
		"supported": `global_defs vrrp_instance vrrp_sync_group vrrp_script track_file vrrp_track_file vrrp_track_process
			static_ipaddress static_routes static_rules interface_up_down_delays net_namespace bgp_speaker site watch_site witness_server health_check check_group anycast_service`,
		"ignored":  `linkbeat_use_polling linkbeat_interfaces use_pid_dir child_wait_time`,
		"later":    `instance`,
		"harmless": `garp_group`,
		"refused":  `bfd_instance track_group`,
		"foreign":  `virtual_server virtual_server_group SSL net_namespace_ipvs namespace_with_ipsets`,
	},
	"global_defs": {
		"supported": `router_id script_user enable_script_security set_supplementary_groups vrrp_version vrrp_mcast_group4
			vrrp_mcast_group6 default_interface vrrp_garp_master_delay vrrp_garp_master_repeat vrrp_garp_master_refresh
			vrrp_garp_master_refresh_repeat vrrp_garp_lower_prio_delay vrrp_garp_lower_prio_repeat vrrp_garp_interval
			vrrp_gna_interval vrrp_min_garp vrrp_down_timer_adverts vrrp_lower_prio_no_advert vrrp_higher_prio_send_advert
			vrrp_owner_ignore_adverts vrrp_check_unicast_src vrrp_skip_check_adv_addr v3_checksum_as_v2 vrrp_startup_delay
			vrrp_delay_after_boot log_unknown_vrids dynamic_interfaces notify_fifo notify_fifo_script vrrp_notify_fifo
			vrrp_notify_fifo_script vrrp_notify_priority_changes fifo_write_vrrp_states_on_reload startup_script
			startup_script_timeout shutdown_script shutdown_script_timeout reload_check_config vrrp_priority vrrp_rt_priority vrrp_no_swap
			nftables_counters vmac_prefix json_version state_dump_file stats_dump_file json_dump_file
			status_socket vip_lease bgp_lease on_crash strict_config event_log record record_size metrics_listen`,
		"ignored": `notification_email notification_email_from smtp_server smtp_helo_name smtp_connect_timeout smtp_alert
			smtp_alert_vrrp smtp_alert_checker no_email_faults no_checker_emails checker_log_all_failures use_symlink_paths
			umask random_seed vrrp_strict disable_local_igmp lvs_notify_fifo lvs_notify_fifo_script reload_time_file
			reload_repeat reload_file include_check config_save_dir tmp_config_directory vrrp_iptables vrrp_ipsets nftables
			nftables_priority nftables_ifindex vrrp_cpu_affinity vrrp_rlimit_rttime vrrp_process_name
			process_names process_name max_auto_priority min_auto_priority_delay checker_priority bfd_priority
			checker_rt_priority bfd_rt_priority checker_no_swap bfd_no_swap checker_cpu_affinity bfd_cpu_affinity
			checker_rlimit_rttime bfd_rlimit_rttime checker_process_name bfd_process_name vrrp_netlink_cmd_rcv_bufs
			vrrp_netlink_cmd_rcv_bufs_force vrrp_netlink_monitor_rcv_bufs vrrp_netlink_monitor_rcv_bufs_force
			process_monitor_rcv_bufs process_monitor_rcv_bufs_force vrrp_rx_bufs_policy vrrp_rx_bufs_multiplier
			vmac_addr_prefix snmp_socket enable_snmp_keepalived enable_snmp_vrrp enable_snmp_checker enable_snmp_rfc
			enable_snmp_rfcv2 enable_snmp_rfcv3 enable_traps enable_dbus dbus_service_name lvs_sync_daemon lvs_timeouts
			lvs_flush lvs_flush_on_stop nftables_ipvs rs_init_notifies data_use_instance iproute_usr_dir iproute_etc_dir`,
		"harmless": `vrrp_garp_extra_if vrrp_vmac_garp_intvl`,
	},
	"vrrp_script":        {"supported": `script interval timeout weight rise fall user init_fail`},
	"track_file {}":      {"supported": `file weight init_file`},
	"vrrp_track_process": {"supported": `process param_match weight quorum quorum_max delay fork_delay terminate_delay full_command`},
	"vrrp_sync_group": {
		"supported": `group notify notify_master notify_backup notify_fault notify_stop track_interface track_script track_file
			track_process track_check track_bgp sync_group_tracking_weight notify_priority_changes`,
		"ignored": `smtp_alert global_tracking`,
		"refused": `track_bfd`,
	},
	"vrrp_instance": {
		"supported": `state interface virtual_router_id priority advert_int version native_ipv6 authentication unicast_src_ip
			mcast_src_ip mcast_dst_ip unicast_peer unicast_fault_no_peer unicast_ttl check_unicast_src track_src_ip
			v3_checksum_as_v2 nopreempt preempt preempt_delay dont_track_primary track_interface track_script track_file
			track_process track_check track_bgp virtual_ipaddress virtual_ipaddress_excluded no_virtual_ipaddress promote_secondaries
			virtual_routes virtual_rules accept no_accept use_vmac use_vmac_addr vmac_xmit_base garp_master_delay
			garp_master_repeat garp_master_refresh garp_master_refresh_repeat garp_lower_prio_delay garp_lower_prio_repeat
			down_timer_adverts lower_prio_no_advert higher_prio_send_advert owner_ignore_adverts timer_expired_backup
			thread_timer_expired skip_check_adv_addr notify notify_master notify_backup notify_fault notify_stop
			notify_deleted notify_master_rx_lower_pri notify_priority_changes
			bgp_announce bgp_wait withdraw_grace watcher_peer handover_overlap auth_hmac
			watch_site site failback_clean`,
		"ignored":  `old_unicast_checksum strict_mode smtp_alert debug kernel_rx_buf_size linkbeat_use_polling lvs_sync_daemon_interface`,
		"later":    `vrf`,
		"harmless": `garp_extra_if vmac_garp_intvl`,
		"refused":  `use_ipvlan track_bfd`,
	},
	"anycast_service": {
		"supported": `interface virtual_ipaddress no_virtual_ipaddress virtual_routes virtual_rules bgp_announce drain_time withdraw_grace keep_last track_interface
			track_script track_file track_process track_check track_bgp notify notify_master notify_backup notify_fault notify_stop notify_deleted`,
		"refused": `virtual_router_id priority state advert_int version preempt nopreempt preempt_delay authentication auth_hmac unicast_peer
			unicast_src_ip mcast_src_ip watcher_peer bgp_wait use_vmac no_accept notify_master_rx_lower_pri notify_priority_changes
			site watch_site handover_overlap failback_clean virtual_ipaddress_excluded track_bfd`,
	},
	"track_interface": {"supported": "weight"}, "track_script": {"supported": "weight"},
	"track_file": {"supported": "weight"}, "track_process": {"supported": "weight"},
	"track_check": {"supported": "weight"}, "track_bgp": {"supported": "weight"},
	"health_check": {
		"supported": `tcp http icmp dns grpc prometheus link bgp_route interval fall_interval timeout rise fall initial source
			interface net_namespace max_rtt recover_rtt max_loss recover_loss window damping`,
		"refused": "script",
	},
	"check_group": {
		"supported": `all any at_least health_check check_group vrrp_script vrrp_track_process vrrp_track_file track_file`,
		"refused":   "weight",
	},
	"http":       {"supported": "status body_match method host header http2 cert_expiry insecure server_name ca"},
	"dns":        {"supported": "query type answer rcode tcp"},
	"grpc":       {"supported": "service tls insecure server_name ca"},
	"prometheus": {"supported": "query above below recover_below recover_above absent header insecure server_name ca"},
	"bgp_route":  {"supported": "speaker origin_as from"},
	"virtual_ipaddress": {
		"supported": `dev brd broadcast scope label no_track -nodad preferred_lft noprefixroute`,
		"later":     `peer use_vmac`,
		"harmless":  `home mngtmpaddr autojoin`,
		"refused":   `track_group`,
	},
	"unicast_peer": {"supported": "min_ttl max_ttl"}, "watcher_peer": {"supported": "min_ttl max_ttl"},
	"authentication": {"supported": "auth_type auth_pass"},
	"auth_hmac":      {"supported": "key active_key anti_replay time_window mode"},
	"bgp_speaker": {
		"supported": "local_as router_id backend listen_port allow_prefix max_announcements max_changes avoid_flap_damping rpki_cache rpki_invalid neighbor",
	},
	"neighbor": {"supported": `remote_as local_address description password password_file port hold_time keepalive connect_retry
		multihop ttl_security graceful_restart i_understand_stale_routes four_octet_as_required`},
	"site": {"supported": "watcher witness key_file key fence_after heartbeat isolated health_check"},
	"watch_site": {"supported": `health_check witness down_quorum takeover_after takeover_on_site_down heartbeat listen key_file key
		fence_after hold_time vip_lease hold_down damping`},
	"witness_server": {"supported": "listen key_file key"},
	"watcher":        {"supported": "key_file key"}, "witness": {"supported": "key_file key"},
	"bgp_announce": {"supported": "speaker when med local_pref prepend community large_community next_hop"},
}

// TestTheTablesAgreeWithTheInventory: no word of it is unknown, and each has the status that it should have.
func TestTheTablesAgreeWithTheInventory(t *testing.T) {
	got := conf.Statuses()
	for place, byStatus := range inventory {
		for status, words := range byStatus {
			for _, w := range strings.Fields(words) {
				if got[place][w] != status {
					t.Errorf("%s in %s is %q, want %q", w, place, got[place][w], status)
				}
			}
		}
	}
}

// allWords returns the words of a place.
func allWords(place string) (words []string) {
	for _, w := range inventory[place] {
		words = append(words, strings.Fields(w)...)
	}
	return words
}

// TestNoWordIsSilentlyIgnored: each word that changes nothing says so. Left are those that need neither a value nor a
// block.
func TestNoWordIsSilentlyIgnored(t *testing.T) {
	silent := strings.Fields(`global_defs strict_config dynamic_interfaces reload_check_config enable_script_security
		vrrp_skip_check_adv_addr skip_check_adv_addr accept no_accept vrrp_check_unicast_src vrrp_lower_prio_no_advert
		vrrp_higher_prio_send_advert v3_checksum_as_v2 vrrp_min_garp nopreempt preempt lower_prio_no_advert
		higher_prio_send_advert set_supplementary_groups vrrp_owner_ignore_adverts log_unknown_vrids
		vrrp_notify_priority_changes fifo_write_vrrp_states_on_reload nftables_counters vrrp_no_swap track_src_ip
		dont_track_primary promote_secondaries notify_deleted notify_priority_changes timer_expired_backup
		thread_timer_expired use_vmac use_vmac_addr`)
	template := map[string]string{"root": "%", "global_defs": "global_defs {\n%\n}", "vrrp_instance": minimal("A", 1, "virtual_ipaddress { 10.0.0.1 }\n%")}
	for place, text := range template {
		for _, w := range allWords(place) {
			_, diags := parse(t, strings.Replace(text, "%", w, 1), conf.Options{Lenient: true})
			if diags == "" && !slices.Contains(silent, w) {
				t.Errorf("%s in %s without a value or block: nothing is said", w, place)
			}
		}
	}
}

// TestIgnoredWordsAreAccepted: a word that is parsed only costs one warning, whatever its value or block, and nothing else.
func TestIgnoredWordsAreAccepted(t *testing.T) {
	template := map[string]string{
		"root": minimal("A", 1, "virtual_ipaddress { 10.0.0.1 }") + "%", "global_defs": "global_defs {\n%\n}\n" + minimal("A", 1, "virtual_ipaddress { 10.0.0.1 }"),
		"vrrp_instance":   minimal("A", 1, "virtual_ipaddress { 10.0.0.1 }\n%"),
		"vrrp_sync_group": minimal("A", 1, "virtual_ipaddress { 10.0.0.1 }") + minimal("B", 2, "virtual_ipaddress { 10.0.0.2 }") + "vrrp_sync_group G {\ngroup { A B }\n%\n}\n",
	}
	for place, text := range template {
		for _, w := range strings.Fields(inventory[place]["ignored"]) {
			for _, form := range []string{w, w + " a 1 -2", w + " {\n x\n y { z }\n}"} {
				format, diags := parse(t, strings.Replace(text, "%", form, 1), conf.Options{})
				if format == "" || strings.Count(diags, "\n") != 1 || !strings.Contains(diags, ": warning: "+w+" is ignored: ") {
					t.Errorf("%q in %s: %s", form, place, diags)
				}
			}
		}
	}
}

// TestRefusalsSayWhatToDo: whoever is refused a word is told why or what to write instead.
func TestRefusalsSayWhatToDo(t *testing.T) {
	template := map[string]string{
		"root": "%", "vrrp_instance": minimal("A", 1, "%"), "vrrp_sync_group": "vrrp_sync_group G {\n%\n}",
		"virtual_ipaddress": minimal("A", 1, "virtual_ipaddress {\n10.0.0.1 %\n}"),
		"health_check":      "health_check x {\n%\n}",
		"anycast_service":   "anycast_service x {\n%\n}",
		"check_group":       "check_group x {\n%\n}",
	}
	for place, byStatus := range inventory {
		for _, w := range strings.Fields(byStatus["refused"]) {
			_, diags := parse(t, strings.Replace(template[place], "%", w, 1), conf.Options{Lenient: true})
			if !strings.Contains(diags, ": error: "+w+" is refused: ") {
				t.Errorf("%s in %s: %s", w, place, diags)
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
