package failover

import (
	"net/netip"
	"time"

	"failoverd/failover/heartbeat"
	"failoverd/vrrp"
)

// SiteConfig is a site block: what isolation from the rest of the world means to the nodes of this site. A node has at most
// one, and a router that names it serves only while somebody outside acknowledges its heartbeats.
type SiteConfig struct {
	// Name is that of the site, at most heartbeat.MaxName octets.
	Name string
	// Partners are the watchers and witnesses that acknowledge; at least one.
	Partners []Partner
	// FenceAfter is T_fence: how long after the sending of the last acknowledged heartbeat the routers go on serving.
	FenceAfter time.Duration
	// Heartbeat is the interval of heartbeats, at most a third of FenceAfter.
	Heartbeat time.Duration
	// Hold keeps an isolated site serving (isolated hold) while one of its speakers has an established session, if it has
	// any, and all of HoldChecks are all right.
	Hold       bool
	HoldChecks []string
}

// PartnerKind says what a partner is.
type PartnerKind uint8

// Kinds of partners.
const (
	PartnerWatcher PartnerKind = iota // a node of another site that may take over
	PartnerWitness                    // a bystander
)

// String returns the configuration word.
func (k PartnerKind) String() string { return [...]string{"watcher", "witness"}[k] }

// Partner is somebody that heartbeats are sent to.
type Partner struct {
	// ID is unique among all partners of a configuration: "site mainland/witness sg".
	ID   string
	Kind PartnerKind
	// Name is as in the configuration; a watcher's is its address.
	Name    string
	Address netip.AddrPort
	// Keys authenticate both ways, 32 to 64 octets each. The first one signs, all of them verify.
	Keys [][]byte
}

// WatchConfig is a watch_site block: when another site counts as down.
type WatchConfig struct {
	// Name is that of the watched site, the home of the services of the routers that name it.
	Name string
	// Checks are health checks of the site; Witnesses are asked what they see and hear. Each is a vote.
	Checks    []string
	Witnesses []Partner
	Heartbeat time.Duration // interval of heartbeats to the witnesses
	// DownQuorum is how many votes must say "down", at least 1.
	DownQuorum int
	// TakeoverAfter is T_take: for how long nobody must have heard of the site, the quorum must have said "down", and this
	// node must have been in contact with a witness, all without interruption.
	TakeoverAfter time.Duration
	// OnSiteDown takes over although the site's advertisements still arrive (takeover_on_site_down).
	OnSiteDown bool
	// FenceAfter, HoldTime and Lease are what the site's own configuration is taken to say: T_fence, the hold time of its
	// upstream sessions, and vip_lease. TakeoverAfter is checked against them.
	FenceAfter, HoldTime, Lease time.Duration
	// Listen is where the site's nodes send their heartbeats, if it is valid; Keys are as in Partner.
	Listen netip.AddrPort
	Keys   [][]byte
	// HoldDown is the least time between two takeovers. A takeover adds 1000 to a penalty that halves every HalfLife; above
	// Suppress there is no further one until it has fallen to Reuse, or a person says so.
	HoldDown        time.Duration
	HalfLife        time.Duration
	Suppress, Reuse int
}

// WitnessServerConfig is a witness_server block.
type WitnessServerConfig struct {
	Listen netip.AddrPort
	Keys   [][]byte
}

// RegionConfig is what a router has to do with other sites, part of RouterConfig.
type RegionConfig struct {
	// Site is the site block that the router lives by; empty: none, authority is always valid.
	Site string
	// Watch is the watch_site block that holds a takeover back; empty: none.
	Watch string
	// Home is the site that the service belongs to, Site or Watch; empty: the router knows no other site.
	Home string
	// Self is the site that this node claims terms for: Site, or else the name of the watcher's own site or node.
	Self string
	// Partners of ours on other sites that advertisements come from by unicast are known by Remote: a role that is given to
	// one of them leaves the site.
	Remote []netip.Addr
	// HandoverOverlap is how long a router that has given the role to another site in an orderly move keeps its addresses
	// and its draining routes; 0: it does not. HandoverUntil is a health check that ends it earlier; empty: none does.
	HandoverOverlap time.Duration
	HandoverUntil   string
	// FailbackClean is how long everything that the router tracks must have been all right before it takes the role back
	// from another site.
	FailbackClean time.Duration
}

// HeartbeatReplied is the verified answer of a partner to a request of ours.
type HeartbeatReplied struct {
	Partner string // its ID
	Reply   heartbeat.Reply
}

// HeartbeatHeard is a verified request of another node. It is to be answered (Effects.Answers) under Ref.
type HeartbeatHeard struct {
	Request heartbeat.Request
	// Fresh: the sender has proved that it sent this after it heard from us lately. One that is not fresh is answered, and
	// is no evidence of anything else.
	Fresh bool
	Ref   uint64
	// From is the address that it came from. Namesakes: several nodes send under this name. Own: it is ours, and has come back
	// to a listener of ours. Namesakes is only known of a request that is fresh.
	From      netip.Addr
	Namesakes bool
	Own       bool
}

// DrainCommand asks for a router to be drained: it gives the role up in order, and does not take it until Undrain or Until.
// The newest command about a router counts.
type DrainCommand struct {
	// Router is the name of a vrrp_instance; empty: all.
	Router string
	Drain  Drain
}

// Drain says who has drained a router, why, and for how long.
type Drain struct {
	By, Reason string
	// Since and Until are wall clock, so that they outlive the agent; a zero Until: until somebody says otherwise.
	Since, Until time.Time
	// Ends is Until on the agent's clock; vrrp.Never: it does not end by itself.
	Ends vrrp.Instant
}

// UndrainCommand ends the drain of a router, and the latch of a damped watcher. An empty name: of all. With a Ref,
// Effects.Verdicts has what it has ended, unless it is what one expects: a drain.
type UndrainCommand struct {
	Router, By string
	Ref        uint64
}

// SwitchoverCommand asks an Active router to hand its role over now. Effects.Verdicts says what became of it.
type SwitchoverCommand struct {
	Router, By, Reason string
	Since              time.Time // wall clock: when it was given
	Ref                uint64
}

// CommandVerdict is the outcome of a command, told once.
type CommandVerdict struct {
	Ref     uint64
	Refused string // why nothing was done, or why it was undone; empty: done
	Text    string // what was done, in words
	Nothing bool   // nothing was: there was nothing to do
}

func (DrainCommand) input()      {}
func (UndrainCommand) input()    {}
func (SwitchoverCommand) input() {}
func (HeartbeatReplied) input()  {}
func (HeartbeatHeard) input()    {}

// Heartbeat is a request to send at once.
type Heartbeat struct {
	Partner string // its ID
	Request heartbeat.Request
}

// Answer is the reply to a HeartbeatHeard, to send at once.
type Answer struct {
	Ref   uint64
	Reply heartbeat.Reply
}

// Vote is what one check or witness says of a watched site.
type Vote struct {
	Name    string            `json:"name"`
	Verdict heartbeat.Verdict `json:"-"`
	Says    string            `json:"says"`
	Reason  string            `json:"reason,omitempty"`
	// SinceMS is how long the evidence for a "down" goes back.
	SinceMS float64 `json:"since_ms,omitempty"`
}

// Phase is one stage of a takeover: what happened, and how long after the one before.
type Phase struct {
	Name string       `json:"phase"`
	At   vrrp.Instant `json:"-"`
	MS   float64      `json:"ms"`
}
