package failover

// SiteStatus is the site block.
type SiteStatus struct {
	Name string `json:"name"`
	// Authority says whether the site may serve: "valid", "none yet", "lost", "held" (isolated hold).
	Authority string `json:"authority"`
	// RemainingMS is how long the authority lasts without another acknowledgement; AckMSAgo the age of the request that was
	// acknowledged last; nil: none was.
	RemainingMS float64  `json:"remaining_ms"`
	AckMSAgo    *float64 `json:"ack_ms_ago,omitempty"`
	FenceMS     float64  `json:"fence_after_ms"`
	Why         string   `json:"why,omitempty"`
}

// WatchStatus is one watch_site block.
type WatchStatus struct {
	Name string `json:"name"`
	// Verdict is up, down or unknown by quorum. Held says what keeps a takeover back, empty: nothing does.
	Verdict string `json:"verdict"`
	Held    string `json:"held,omitempty"`
	Votes   []Vote `json:"votes"`
	Down    int    `json:"votes_down"`
	Quorum  int    `json:"down_quorum"`
	// ObservedMS is how long the contiguous observation that allows a takeover has lasted, of TakeoverMS.
	ObservedMS float64 `json:"observed_ms"`
	TakeoverMS float64 `json:"takeover_after_ms"`
	// HeardMSAgo is the age of the last message of the site that anybody heard; nil: none since the start.
	HeardMSAgo *float64 `json:"heard_ms_ago,omitempty"`
	// Contact: a witness answers, or there is none and the own upstream does.
	Contact bool `json:"contact"`
	// Penalty is that of damping; Latched: it holds takeovers back.
	Penalty int  `json:"penalty"`
	Latched bool `json:"latched,omitempty"`
}

// NodeStatus is a node of another site as its heartbeats have it.
type NodeStatus struct {
	About      string            `json:"about"` // the site whose services it speaks of
	Site       string            `json:"site"`
	Node       string            `json:"node"`
	HeardMSAgo float64           `json:"heard_ms_ago"`
	States     map[string]string `json:"states"` // by service, "4/51": "active"
	// Namesakes is what is wrong when several nodes have this site and name; empty: nothing.
	Namesakes string `json:"namesakes,omitempty"`
}

// PartnerStatus is somebody that heartbeats are sent to.
type PartnerStatus struct {
	ID      string `json:"id"`
	Kind    string `json:"kind"`
	Address string `json:"address"`
	// AnsweredMSAgo is the age of the last answer; nil: none.
	AnsweredMSAgo *float64          `json:"answered_ms_ago,omitempty"`
	RTTMS         *float64          `json:"rtt_ms,omitempty"`
	Verdict       string            `json:"verdict,omitempty"`
	Sent          uint64            `json:"sent"`
	Outcomes      map[string]uint64 `json:"outcomes,omitempty"`
	Refused       []Refusal         `json:"refused,omitempty"`
	Error         string            `json:"error,omitempty"`
}

// Refusal is the last datagram that had an outcome other than that it was used.
type Refusal struct {
	Outcome string `json:"outcome"` // as in Outcomes
	// Peer is where it came from, or was to go: an address and a port, which anybody can make up.
	Peer  string  `json:"peer"`
	MSAgo float64 `json:"ms_ago"`
}

// ListenerStatus is a socket for the heartbeats of others.
type ListenerStatus struct {
	Address  string            `json:"address"`
	Open     bool              `json:"open"`
	Error    string            `json:"error,omitempty"`
	Outcomes map[string]uint64 `json:"outcomes"`
	Refused  []Refusal         `json:"refused,omitempty"`
}
