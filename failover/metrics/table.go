package metrics

import "github.com/prometheus/client_golang/prometheus"

// metric is one that there is.
type metric struct {
	name, help string
	kind       prometheus.ValueType
	labels     []string
	desc       *prometheus.Desc
}

// table lists all, in the order of the documentation.
var table []*metric

func declare(kind prometheus.ValueType, name, help string, labels []string) *metric {
	m := &metric{name, help, kind, labels, prometheus.NewDesc(name, help, labels, nil)}
	table = append(table, m)
	return m
}

func gauge(name, help string, labels ...string) *metric {
	return declare(prometheus.GaugeValue, name, help, labels)
}

func counter(name, help string, labels ...string) *metric {
	return declare(prometheus.CounterValue, name, help, labels)
}

// The agent.
var (
	buildInfo      = gauge("failoverd_build_info", "Always 1; the version of the agent.", "version", "go_version")
	agentStart     = gauge("failoverd_agent_start_time_seconds", "When the agent was started, in seconds since 1970.")
	agentAge       = gauge("failoverd_agent_snapshot_age_seconds", "Age of the state that everything here is about. It is published at least every second: an age of several seconds means that the loop hangs.")
	agentStopping  = gauge("failoverd_agent_stopping", "1 while the agent stops in order.")
	loopLate       = gauge("failoverd_agent_loop_late_max_seconds", "Worst lateness of a timer of the loop since the start.")
	loopBatches    = counter("failoverd_agent_loop_batches_total", "Batches of the loop.")
	queueDrops     = counter("failoverd_agent_packets_dropped_total", "Advertisements dropped because the loop was behind.")
	addressWrites  = counter("failoverd_agent_address_generations_total", "Sets of addresses that the kernel worker was given.")
	eventsLost     = counter("failoverd_agent_events_lost_total", "Events that are missing from the event log.")
	eventLogBroken = gauge("failoverd_agent_event_log_failed", "1 while the event log cannot be written.")
	configInfo     = gauge("failoverd_config_info", "Always 1; which configuration is in force.", "file", "config_id", "hash")
	configLoaded   = gauge("failoverd_config_loaded_time_seconds", "When it was read, in seconds since 1970.")
	configReloads  = counter("failoverd_config_reloads_total", "Reloads that succeeded.")
	configRefused  = gauge("failoverd_config_last_reload_refused", "1 when the last reload was refused: the configuration in force is an older one.")
	staticWanted   = gauge("failoverd_static_addresses_wanted", "Addresses of static_ipaddress that are to be there.")
	staticPresent  = gauge("failoverd_static_addresses_present", "Addresses of static_ipaddress that are there.")
)

// Sockets for advertisements.
var (
	linkOpen     = gauge("failoverd_link_open", "1 while the socket is open.", "link")
	linkReceived = counter("failoverd_link_packets_received_total", "Packets received.", "link")
	linkSent     = counter("failoverd_link_packets_sent_total", "Packets sent.", "link")
	linkErrors   = counter("failoverd_link_send_errors_total", "Packets that could not be sent.", "link")
	linkDrops    = counter("failoverd_link_packets_dropped_total", "Packets that were dropped before it was known which virtual router they are for.", "link", "reason")
)

// Virtual routers.
var (
	routerState      = gauge("failoverd_router_state", "1 for the state that the virtual router is in: MASTER, BACKUP, FAULT or INIT.", "router", "vr", "state")
	routerSince      = gauge("failoverd_router_state_since_time_seconds", "Since when it is in that state, in seconds since 1970.", "router", "vr")
	routerPriority   = gauge("failoverd_router_priority", "Priority with everything that is tracked.", "router", "vr")
	routerBase       = gauge("failoverd_router_priority_base", "Priority of the configuration.", "router", "vr")
	routerMaster     = gauge("failoverd_router_master_info", "Always 1; who is MASTER as far as is known here.", "router", "vr", "master")
	routerHeard      = gauge("failoverd_router_master_heard_age_seconds", "Age of the last advertisement of the MASTER; not there on the MASTER itself.", "router", "vr")
	routerInterval   = gauge("failoverd_router_advert_interval_seconds", "Advertisement interval in force.", "router", "vr")
	routerDown       = gauge("failoverd_router_active_down_interval_seconds", "Active_Down_Interval (master down interval): how long a MASTER may be silent.", "router", "vr")
	routerBecame     = counter("failoverd_router_became_master_total", "Transitions to MASTER.", "router", "vr")
	routerReleased   = counter("failoverd_router_released_master_total", "Transitions away from MASTER.", "router", "vr")
	routerTakeover   = gauge("failoverd_router_last_takeover_seconds", "Duration of the last takeover: all its stages, the silence of the last MASTER included.", "router", "vr")
	routerSent       = counter("failoverd_router_adverts_sent_total", "Advertisements sent.", "router", "vr")
	routerReceived   = counter("failoverd_router_adverts_received_total", "Advertisements accepted.", "router", "vr")
	routerRejected   = counter("failoverd_router_adverts_rejected_total", "Advertisements rejected.", "router", "vr", "reason")
	routerZeroSent   = counter("failoverd_router_priority_zero_sent_total", "Advertisements of priority 0 sent.", "router", "vr")
	routerZeroRecv   = counter("failoverd_router_priority_zero_received_total", "Advertisements of priority 0 received.", "router", "vr")
	routerRivals     = counter("failoverd_router_rivals_heard_total", "Advertisements of others that were heard as MASTER.", "router", "vr")
	routerMismatches = counter("failoverd_router_address_list_mismatches_total", "Advertisements with other addresses than the configuration has.", "router", "vr")
	routerChecksums  = counter("failoverd_router_checksum_forms_total", "Advertisements accepted, by the form of their checksum.", "router", "vr", "form")
	routerLate       = counter("failoverd_router_late_wakeups_total", "Times that this node was late, so that it listened once more before it believed a silence.", "router", "vr")
	routerNoSource   = counter("failoverd_router_no_source_total", "Advertisements that could not be sent for want of a source address.", "router", "vr")
	routerGratuitous = counter("failoverd_router_gratuitous_sent_total", "Gratuitous ARP and unsolicited neighbor advertisements sent.", "router", "vr")
	routerHMAC       = counter("failoverd_router_hmac_adverts_total", "Advertisements under auth_hmac, by what became of them.", "router", "vr", "outcome")
	routerSkew       = gauge("failoverd_router_hmac_clock_skew_seconds", "How far the clock of the last signer was ahead of ours.", "router", "vr")
	routerWanted     = gauge("failoverd_router_addresses_wanted", "Virtual addresses that are to be there.", "router", "vr")
	routerPresent    = gauge("failoverd_router_addresses_present", "Virtual addresses that are there.", "router", "vr")
	routerErrors     = gauge("failoverd_router_kernel_errors", "Addresses, routes, rules, interfaces and filters that the kernel refuses.", "router", "vr")
	routerToAnnounce = gauge("failoverd_router_announcements_wanted", "Lines of bgp_announce that are to be announced.", "router", "vr")
	routerAnnounced  = gauge("failoverd_router_announcements_announced", "Lines of bgp_announce that are in the speaker's table.", "router", "vr")
	routerUnheard    = gauge("failoverd_router_announcements_unheard", "Lines of bgp_announce that are announced on no established session.", "router", "vr")
	routerDrained    = gauge("failoverd_router_drained", "1 while a person has taken the router out.", "router", "vr")
	routerEpoch      = gauge("failoverd_router_epoch", "Newest term of a guarded router's service.", "router", "vr")
	routerTrack      = gauge("failoverd_router_track_priority", "What a tracked object adds to the priority now.", "router", "vr", "kind", "name")
	routerTrackFault = gauge("failoverd_router_track_fault", "1 while a tracked object keeps the router in FAULT or INIT.", "router", "vr", "kind", "name")
	groupState       = gauge("failoverd_group_state", "1 for the state that the sync group is in.", "group", "state")
)

// Anycast services.
var (
	serviceState      = gauge("failoverd_anycast_state", "1 for the state that the anycast service is in: ANNOUNCED, LAST, DRAINING, WITHDRAWN, FAULT or INIT.", "service", "state")
	serviceSince      = gauge("failoverd_anycast_state_since_time_seconds", "Since when it is in that state, in seconds since 1970.", "service")
	serviceUp         = counter("failoverd_anycast_announced_total", "Times that it was announced.", "service")
	serviceDown       = counter("failoverd_anycast_withdrawn_total", "Times that it was withdrawn.", "service")
	serviceWanted     = gauge("failoverd_anycast_addresses_wanted", "Addresses that are to be there.", "service")
	servicePresent    = gauge("failoverd_anycast_addresses_present", "Addresses that are there.", "service")
	serviceErrors     = gauge("failoverd_anycast_kernel_errors", "Addresses, routes and rules that the kernel refuses.", "service")
	serviceToAnnounce = gauge("failoverd_anycast_announcements_wanted", "Routes that are to be announced.", "service")
	serviceAnnounced  = gauge("failoverd_anycast_announcements_announced", "Routes that are in the speaker's table.", "service")
	serviceUnheard    = gauge("failoverd_anycast_announcements_unheard", "Routes that are announced on no established session.", "service")
	serviceDrained    = gauge("failoverd_anycast_drained", "1 while a person has taken the service out.", "service")
)

// Checks.
var (
	checkUp      = gauge("failoverd_check_up", "1 while the health check succeeds; not there before its first verdict.", "check", "kind")
	checkUnknown = gauge("failoverd_check_unknown", "1 while there is no verdict: none yet, or this node cannot look.", "check", "kind")
	checkSince   = gauge("failoverd_check_since_time_seconds", "Since when the verdict holds, in seconds since 1970.", "check", "kind")
	checkLast    = gauge("failoverd_check_duration_seconds", "Duration of the last probe that succeeded.", "check", "kind")
	checkRTT     = gauge("failoverd_check_rtt_seconds", "Average of those in the window that succeeded.", "check", "kind")
	checkLoss    = gauge("failoverd_check_loss_ratio", "Share of the probes in the window that failed, 0 to 1.", "check", "kind")
	checkDamped  = gauge("failoverd_check_damped", "1 while the check stays down because its verdict changed too often.", "check", "kind")
	checkWarning = gauge("failoverd_check_warning", "1 while there is something wrong that is no failure: a certificate that is about to end.", "check", "kind")
	checkGroup   = gauge("failoverd_check_group_verdict", "1 for the verdict of the check group: up, down or unknown.", "group", "verdict")
)

// BGP.
var (
	speakerConnected = gauge("failoverd_bgp_speaker_connected", "1 while the speaker answers.", "speaker")
	speakerRestarts  = counter("failoverd_bgp_speaker_restarts_total", "How often its process was started again.", "speaker")
	speakerMemory    = gauge("failoverd_bgp_speaker_resident_memory_bytes", "Memory of its process.", "speaker")
	speakerLimit     = gauge("failoverd_bgp_speaker_memory_limit_bytes", "From where on the neighbor that sends most loses its session.", "speaker")
	speakerAnnounced = gauge("failoverd_bgp_speaker_announced_routes", "Routes of ours in its table.", "speaker")
	speakerHeld      = gauge("failoverd_bgp_speaker_held_changes", "Changes that max_changes holds back.", "speaker")
	sessionUp        = gauge("failoverd_bgp_session_up", "1 while the session is established.", "speaker", "neighbor")
	sessionState     = gauge("failoverd_bgp_session_state_info", "Always 1; the state of the session.", "speaker", "neighbor", "state")
	sessionSince     = gauge("failoverd_bgp_session_since_time_seconds", "Since when it is in that state, in seconds since 1970.", "speaker", "neighbor")
	sessionFlaps     = counter("failoverd_bgp_session_flaps_total", "How often an established session was lost.", "speaker", "neighbor")
	sessionHold      = gauge("failoverd_bgp_session_hold_time_seconds", "Negotiated hold time.", "speaker", "neighbor")
	cacheUp          = gauge("failoverd_rpki_cache_up", "1 while the session with the RPKI cache is up.", "speaker", "cache")
	cacheData        = gauge("failoverd_rpki_cache_data_valid", "1 while its data counts.", "speaker", "cache")
	cacheRecords     = gauge("failoverd_rpki_cache_records", "VRPs that it has.", "speaker", "cache")
	cacheExpires     = gauge("failoverd_rpki_cache_expires_time_seconds", "Until when its data counts, in seconds since 1970.", "speaker", "cache")
	originValidity   = gauge("failoverd_rpki_origin_validity", "1 for the validity of a prefix of ours: valid, not-found, invalid or unknown.", "speaker", "prefix", "origin_as", "validity")
)

// Regions.
var (
	siteAuthority   = gauge("failoverd_site_authority_valid", "1 while the site may serve.", "site")
	siteRemaining   = gauge("failoverd_site_authority_remaining_seconds", "How long the authority lasts without another acknowledgement.", "site")
	siteFence       = gauge("failoverd_site_fence_after_seconds", "How long it lasts after one.", "site")
	siteAck         = gauge("failoverd_site_acknowledged_age_seconds", "Age of the request that was acknowledged last.", "site")
	watchVerdict    = gauge("failoverd_watch_verdict", "1 for what the quorum says of the watched site: up, down or unknown.", "site", "verdict")
	watchVote       = gauge("failoverd_watch_vote", "1 for what each vote says of it.", "site", "voter", "verdict")
	watchDown       = gauge("failoverd_watch_votes_down", "Votes that say down.", "site")
	watchQuorum     = gauge("failoverd_watch_down_quorum", "Votes that have to.", "site")
	watchObserved   = gauge("failoverd_watch_observed_seconds", "How long the observation that allows a takeover has lasted.", "site")
	watchTakeover   = gauge("failoverd_watch_takeover_after_seconds", "How long it has to last.", "site")
	watchHeard      = gauge("failoverd_watch_heard_age_seconds", "Age of the last message of the site that anybody heard.", "site")
	watchContact    = gauge("failoverd_watch_contact", "1 while this node is not cut off itself.", "site")
	watchHeld       = gauge("failoverd_watch_takeover_held", "1 while something keeps a takeover back.", "site")
	watchPenalty    = gauge("failoverd_watch_damping_penalty", "Penalty of damping.", "site")
	watchLatched    = gauge("failoverd_watch_damping_latched", "1 while damping holds takeovers back.", "site")
	nodeHeard       = gauge("failoverd_node_heard_age_seconds", "Age of the last heartbeat of a node of another site.", "about", "site", "node")
	partnerSent     = counter("failoverd_heartbeat_sent_total", "Heartbeats sent to a partner.", "partner")
	partnerOutcomes = counter("failoverd_heartbeat_answers_total", "Answers of a partner, by what became of them.", "partner", "outcome")
	partnerRTT      = gauge("failoverd_heartbeat_rtt_seconds", "Round trip to a partner.", "partner")
	partnerAnswered = gauge("failoverd_heartbeat_answered_age_seconds", "Age of a partner's last answer.", "partner")
	listenerOpen    = gauge("failoverd_heartbeat_listener_open", "1 while the socket for the heartbeats of others is open.", "listener")
	listenerHeard   = counter("failoverd_heartbeat_received_total", "Heartbeats of others, by what became of them.", "listener", "outcome")
	recoveryBound   = gauge("failoverd_recovery_bound_seconds", "Worst-case time from a failure to its end, as failoverd rto prints it; not there where there is no bound.", "router", "failure")
)
