package failover

import (
	"net/netip"
	"time"

	"failoverd/vrrp"
)

// Snapshot is the state of an agent as people and programs see it: the body of /v1/status. It is immutable once
// published. Durations are in the unit that their name ends in; times are wall clock.
type Snapshot struct {
	Version    string         `json:"version"`    // of the agent
	BootID     string         `json:"boot_id"`    // of the kernel
	PID        int            `json:"pid"`        //
	RouterID   string         `json:"router_id"`  //
	StartedAt  time.Time      `json:"started_at"` //
	TakenAt    time.Time      `json:"taken_at"`   // when the snapshot was built
	AgeSeconds float64        `json:"age_seconds"`
	Config     ConfigStatus   `json:"config"`
	Routers    []RouterStatus `json:"routers"`
	// Services are the anycast services, which are not among Routers.
	Services []AnycastStatus `json:"anycast_services,omitempty"`
	Groups   []GroupStatus   `json:"sync_groups,omitempty"`
	// StaticAddresses and StaticObjects are static_ipaddress, static_routes and static_rules.
	StaticAddresses []AddressStatus `json:"static_addresses,omitempty"`
	StaticObjects   []ObjectStatus  `json:"static_objects,omitempty"`

	Checks      []CheckStatus      `json:"health_checks,omitempty"`
	CheckGroups []CheckGroupStatus `json:"check_groups,omitempty"`
	Speakers    []SpeakerStatus    `json:"speakers"`
	Links       []LinkStatus       `json:"links"`
	// Sites are the site block, Watches the watch_site blocks, Partners whom heartbeats are exchanged with.
	Sites    []SiteStatus    `json:"sites,omitempty"`
	Watches  []WatchStatus   `json:"watched_sites,omitempty"`
	Partners []PartnerStatus `json:"partners,omitempty"`
	// Heard are the nodes that send heartbeats here.
	Heard []NodeStatus `json:"heard_nodes,omitempty"`
	// Listeners are the sockets where heartbeats of others arrive.
	Listeners []ListenerStatus `json:"heartbeat_listeners,omitempty"`
	// Recovery is the worst-case recovery time of each failure, computed from the configuration.
	Recovery []RecoveryStatus `json:"recovery,omitempty"`
	// LongLeases are the interfaces whose IPv6 addresses have a longer lease than usual, which is in no file.
	LongLeases []LongLeaseStatus `json:"long_leases,omitempty"`
	Agent      AgentStatus       `json:"agent"`
}

// ConfigStatus says which configuration is in force, and what became of the last attempt to change it.
type ConfigStatus struct {
	File       string     `json:"file"`
	ConfigID   string     `json:"config_id,omitempty"` // which lines that begin with @ID count; a reload reads the file as this one, too
	Hash       string     `json:"hash"`
	LoadedAt   time.Time  `json:"loaded_at"`
	Reloads    uint64     `json:"reloads"`               // successful ones
	LastError  string     `json:"last_error,omitempty"`  // of the last reload, if it was refused
	LastFailed *time.Time `json:"last_failed,omitempty"` // when that was
	// LastErrorAt is where the first error of LastError is, FILE:LINE:COLUMN; empty: in no line of a file.
	LastErrorAt string `json:"last_error_at,omitempty"`
}

// AgentStatus is about the process itself.
type AgentStatus struct {
	LoopLateMillis float64 `json:"loop_late_ms_max"` // worst lateness of a deadline since start
	PacketsDropped uint64  `json:"packets_dropped_queue_full"`
	Batches        uint64  `json:"batches"`
	AddressWrites  uint64  `json:"address_generations"`
	Stopping       bool    `json:"stopping"`
	// EventLog is the file of events; EventLogError says why it cannot be written, EventsLost counts the events that are
	// missing from it.
	EventLog      string `json:"event_log,omitempty"`
	EventLogError string `json:"event_log_error,omitempty"`
	EventsLost    uint64 `json:"events_lost,omitempty"`
	// Recording is nil if the inputs are not recorded.
	Recording *RecordingStatus `json:"recording,omitempty"`
}

// RecordingStatus is the recording of the inputs (record in global_defs).
type RecordingStatus struct {
	File  string `json:"file"`
	Size  int64  `json:"size"`  // octets
	Limit int64  `json:"limit"` // octets
	Lines uint64 `json:"lines"`
	// Ended is why it has ended; empty: it goes on.
	Ended string `json:"ended,omitempty"`
}

// LinkStatus is one socket.
type LinkStatus struct {
	Link       string            `json:"link"`
	Open       bool              `json:"open"`
	Error      string            `json:"error,omitempty"`
	Received   uint64            `json:"received"`
	Sent       uint64            `json:"sent"`
	SendErrors uint64            `json:"send_errors"`
	Drops      map[string]uint64 `json:"drops"`
}

// RouterStatus is one virtual router.
type RouterStatus struct {
	Name string   `json:"name"`
	Key  vrrp.Key `json:"key"`
	VRID uint8    `json:"vrid"`
	// State is keepalived's word: MASTER, BACKUP, FAULT or INIT.
	State string    `json:"state"`
	Since time.Time `json:"since"`
	// Why says what led to State, Now what is true of a BACKUP now if that is something else, and Waiting what keeps the
	// router from going on, if anything does.
	Why     string `json:"why"`
	Now     string `json:"now,omitempty"`
	Waiting string `json:"waiting,omitempty"`

	Interface         string `json:"interface"`
	Version           uint8  `json:"vrrp_version"`
	Source            string `json:"source,omitempty"`
	Unicast           bool   `json:"unicast"`
	PriorityBase      uint8  `json:"priority_base"`
	PriorityEffective uint8  `json:"priority_effective"`
	Preempt           bool   `json:"preempt"`
	// WithdrawGraceMS is withdraw_grace; 0 also where no route leads here.
	WithdrawGraceMS float64 `json:"withdraw_grace_ms"`

	// Master is who is MASTER as far as this router knows; LastMaster who was heard last if it knows of none.
	Master            *MasterStatus `json:"master,omitempty"`
	LastMaster        *MasterStatus `json:"last_master,omitempty"`
	AdvertIntervalMS  float64       `json:"advert_interval_ms"`
	LearnedIntervalMS float64       `json:"learned_interval_ms"`
	SkewMS            float64       `json:"skew_time_ms"`
	ActiveDownMS      float64       `json:"active_down_interval_ms"`
	// NextTimerMS is the time to the next timer: the next advertisement of a MASTER; in a BACKUP the end of
	// Active_Down_Timer, which is its takeover if TakesOver, and otherwise when it asks whether it may.
	NextTimerMS *float64 `json:"next_timer_ms,omitempty"`
	TakesOver   bool     `json:"takes_over,omitempty"`

	// Group is the router's sync group; VMAC its macvlan interface.
	Group string `json:"sync_group,omitempty"`
	VMAC  string `json:"vmac,omitempty"`

	Tracks    []TrackStatus   `json:"tracks,omitempty"`
	Addresses []AddressStatus `json:"addresses"`
	Objects   []ObjectStatus  `json:"kernel_objects,omitempty"`
	Routes    []RouteStatus   `json:"routes"`
	Counters  RouterCounters  `json:"counters"`
	// Strangers are the newest sources of unicast advertisements that were dropped because they are not peers, at most 4.
	Strangers []StrangerStatus `json:"strangers,omitempty"`
	// HMAC is auth_hmac; nil: there is none.
	HMAC *HMACStatus `json:"auth_hmac,omitempty"`

	// Mode is local or guarded. Epoch and Holder are the newest term of a guarded router's service.
	Mode   string `json:"mode"`
	Epoch  uint64 `json:"epoch,omitempty"`
	Holder string `json:"holder,omitempty"`
	// Site and Watch name the blocks that the router lives by.
	Site  string `json:"site,omitempty"`
	Watch string `json:"watch_site,omitempty"`
	// Drained: a person has taken the router out.
	Drained *DrainStatus `json:"drained,omitempty"`
	// Takeover holds the stages of the last time that the router took the role.
	Takeover []Phase `json:"last_takeover,omitempty"`
}

// StrangerStatus is a source of unicast advertisements that is not a peer. Anybody can make one up.
type StrangerStatus struct {
	Source  netip.Addr `json:"source"`
	Packets uint64     `json:"packets"` // since it was remembered
	MSAgo   float64    `json:"ms_ago"`  // the last one
}

// HMACStatus is the authentication of a router's advertisements by shared keys.
type HMACStatus struct {
	Mode       string  `json:"mode"`
	AntiReplay string  `json:"anti_replay"`
	ActiveKey  uint8   `json:"active_key"` // the ID of the key that signs
	Keys       []int   `json:"keys"`       // the IDs of all
	WindowMS   float64 `json:"time_window_ms"`
	// SkewMS is how far the clock of SkewOf, whose signed advertisement was accepted last, was ahead of ours; nil: none was.
	SkewMS *float64 `json:"clock_skew_ms,omitempty"`
	SkewOf string   `json:"clock_skew_of,omitempty"`
	// Outcomes count advertisements: ok, missing, malformed, unknown_key, bad_hmac, stale, replay.
	Outcomes map[string]uint64 `json:"outcomes"`
}

// DrainStatus says who has drained a router, why and for how long.
type DrainStatus struct {
	By     string     `json:"by"`
	Reason string     `json:"reason,omitempty"`
	Since  time.Time  `json:"since"`
	Until  *time.Time `json:"until,omitempty"` // nil: until somebody says otherwise
}

// RecoveryStatus is the worst-case time from a failure to the end of its consequences.
type RecoveryStatus struct {
	Router string `json:"router"`
	// Kind is anycast_service for one of these; empty: vrrp_instance.
	Kind    string `json:"kind,omitempty"`
	Failure string `json:"failure"`
	// TotalMS is the sum of the terms; nil: there is no bound, and Note says why.
	TotalMS *float64       `json:"total_ms,omitempty"`
	Terms   []RecoveryTerm `json:"terms"`
	Note    string         `json:"note,omitempty"`
}

// RecoveryTerm is one addend.
type RecoveryTerm struct {
	Name string  `json:"name"`
	MS   float64 `json:"ms"`
	Why  string  `json:"why"`
}

// MasterStatus is the Active router.
type MasterStatus struct {
	Address  netip.Addr `json:"address"`
	Priority uint8      `json:"priority"`
	Self     bool       `json:"self"`
	// HeardMSAgo is the age of its last advertisement; zero for this node itself.
	HeardMSAgo float64 `json:"heard_ms_ago"`
}

// AddressStatus is one virtual address.
type AddressStatus struct {
	Address   netip.Prefix `json:"address"`
	Interface string       `json:"interface"`
	Wanted    bool         `json:"wanted"`
	Present   bool         `json:"present"`
	Error     string       `json:"error,omitempty"`
	// Claimed: another host on the LAN has claimed the address within the last minute, while this node had the role.
	Claimed *ClaimStatus `json:"claimed,omitempty"`
}

// TrackStatus is one tracked thing of a router.
type TrackStatus struct {
	Kind    string `json:"kind"` // track_interface, track_script, track_file, track_process, track_check or track_bgp
	Name    string `json:"name"`
	Weight  int    `json:"weight"`
	Reverse bool   `json:"reverse,omitempty"`
	// Known: there was a result. OK, Value (of a file) and Reason are that result.
	Known  bool   `json:"known"`
	OK     bool   `json:"ok"`
	Value  int    `json:"value,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Unknown: a health check cannot look; it counts as failed here, and as no evidence against a watched site.
	Unknown bool `json:"unknown,omitempty"`
	// Effect is what it adds to the priority now; Fault: it keeps the router in FAULT or, before a first result, in INIT.
	Effect int  `json:"effect"`
	Fault  bool `json:"fault,omitempty"`
}

// ObjectStatus is one line of virtual_routes or virtual_rules, or, only while it is in trouble, the macvlan interface or
// the packet filter that a router needs.
type ObjectStatus struct {
	Kind   string `json:"kind"` // route, rule, device or filter
	Object string `json:"object"`
	Wanted bool   `json:"wanted"`
	Error  string `json:"error,omitempty"`
}

// GroupStatus is one vrrp_sync_group.
type GroupStatus struct {
	Name    string    `json:"name"`
	State   string    `json:"state"`
	Since   time.Time `json:"since"`
	Why     string    `json:"why"`
	Members []string  `json:"members"`
}

// RouterCounters count since the agent's start.
type RouterCounters struct {
	AdvertsSent      uint64            `json:"adverts_sent"`
	AdvertsReceived  uint64            `json:"adverts_received"`
	PriorityZeroSent uint64            `json:"priority_zero_sent"`
	PriorityZeroRecv uint64            `json:"priority_zero_received"`
	BecameMaster     uint64            `json:"became_master"`
	ReleasedMaster   uint64            `json:"released_master"`
	Rivals           uint64            `json:"rivals_heard"`
	Claims           uint64            `json:"claims_heard"`
	ListMismatches   uint64            `json:"address_list_mismatches"`
	LateWakeups      uint64            `json:"late_wakeups"`
	NoSource         uint64            `json:"no_source"`
	Announcements    uint64            `json:"gratuitous_sent"`
	Checksums        map[string]uint64 `json:"checksum_forms"`
	Drops            map[string]uint64 `json:"drops"`
}
