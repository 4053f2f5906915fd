package failover

import (
	"net/netip"
	"time"

	"failoverd/bgp"
	"failoverd/vrrp"
)

// Effects is what a step of the Core asks for. The daemon carries them out in the order of the fields: advertisements
// leave first, inline and without waiting, then what tells the LAN where an address is; desired states go to workers
// whose mailboxes keep the newest only, routes before addresses. So gaining the role is advertisement, addresses,
// gratuitous ARP, route, and losing it is the withdrawal before the addresses go.
//
// A caller reuses one Effects: Reset empties it and keeps the storage. Slices are valid until then.
type Effects struct {
	// Adverts are to be sent at once, in order.
	Adverts []Advert
	// Announcements are gratuitous ARPs and neighbor advertisements to send now, in order.
	Announcements []LinkAnnouncement
	// Routes are new desired states of speakers: withdrawals are among them, so they go before addresses.
	Routes []SpeakerRoutes
	// Objects are the routes and rules that should be in the kernel; nil: as before. Without the virtual routes of a
	// lost role traffic is not attracted any more, so they go before the addresses, and come after them.
	Objects *DesiredObjects
	// Addresses is the new desired state of the kernel; nil: as before.
	Addresses *DesiredAddresses
	// Notifications are for scripts and FIFOs, in order.
	Notifications []Notification
	// Heartbeats and Answers are to be sent at once, after Adverts.
	Heartbeats []Heartbeat
	Answers    []Answer
	// Verdicts are the outcomes of commands.
	Verdicts []CommandVerdict
	// Events are for the log, in order.
	Events []Event
	// Stopped reports that an orderly stop is complete.
	Stopped bool

	buf []byte // backing of the adverts' payloads
}

// Reset empties fx for another step.
func (fx *Effects) Reset() {
	*fx = Effects{
		Adverts: fx.Adverts[:0], Routes: fx.Routes[:0], Announcements: fx.Announcements[:0], Events: fx.Events[:0],
		Notifications: fx.Notifications[:0], Heartbeats: fx.Heartbeats[:0], Answers: fx.Answers[:0], Verdicts: fx.Verdicts[:0],
		buf: fx.buf[:0],
	}
}

// Advert is one packet to send.
type Advert struct {
	Link     LinkID
	Src, Dst netip.Addr
	TTL      uint8
	Payload  []byte
	// MAC is the link-layer address that a multicast advertisement is sent from (RFC 9568 section 7.3: the virtual
	// one); zero: that of the interface.
	MAC [6]byte
}

// SpeakerRoutes is the desired state of one speaker.
type SpeakerRoutes struct {
	Speaker string
	Desired bgp.Desired
}

// LinkAnnouncement asks for one gratuitous ARP or unsolicited neighbor advertisement.
type LinkAnnouncement struct {
	Interface string
	Address   netip.Addr
}

// EventKind says what an event is about.
type EventKind uint8

// Kinds of events.
const (
	EventTransition     EventKind = iota // a router changed its role; From, To, Reason
	EventFault                           // a router cannot run; Reason
	EventAddresses                       // all addresses of a router are in (To "present"), or not ("absent")
	EventRestored                        // an address that somebody else removed was put back; Address
	EventSwept                           // a leftover of a dead predecessor was removed; Address
	EventAddressFailed                   // an address could not be added, or not removed; Address, Reason
	EventForeign                         // somebody else has put a virtual address here while it is not wanted; Address
	EventClaimed                         // another host on the LAN claims an address of an Active router; Address, Object its link-layer address, Reason
	EventRoutes                          // the set announced for a router changed; To "announced" or "withdrawn", Reason
	EventRival                           // another router that believed to be Active was heard; Peer
	EventSession                         // a BGP session changed; Speaker, Peer, From, To, Reason
	EventSpeaker                         // a speaker's process came (To "up") or went ("down"), or one that is there has another error ("trouble"); Speaker, Reason
	EventRefused                         // the rails refused a route; Speaker, Reason
	EventHold                            // a returning router waits for its upstream session, or stops waiting; To, Reason
	EventInterval                        // another advertisement interval was adopted; From, To
	EventLate                            // this node woke up late and listens once more before it takes over
	EventReconfigured                    // a new configuration is in force; To its hash
	EventTracker                         // a tracked thing changed; To "ok", "failed", "unknown", "warning" or a number, Reason; Object names it
	EventPriority                        // the effective priority changed; From, To, Reason
	EventGroup                           // a sync group changed its state; Group, From, To, Reason
	EventObjectFailed                    // a route or a rule could not be added; Object, Reason
	EventObjectRestored                  // a route or a rule that somebody else removed was put back; Object
	EventDevice                          // a macvlan interface or the packet filter is not as wanted, or is again; Object, Reason
	EventWatch                           // a watched site looks different, or a takeover is held back or allowed; Object names it, To, Reason, Votes
	EventAuthority                       // this site is acknowledged from outside, or is not; Object names it, To, Reason
	EventTerm                            // another term counts for a router's service; From, To "EPOCH HOLDER", Reason
	EventDrain                           // a router is drained, or not any more; To "drained", "undrained", Reason
	EventHandover                        // a router hands its role over; To "waiting", "over", "failed", Reason
	EventTakeover                        // all of a takeover is in place; Phases, Took
	EventOrigin                          // the RPKI validity of a prefix changed; Speaker, Object names it, From, To, Reason
	EventCache                           // an RPKI cache came or went; Speaker, Object names it, To, Reason
	EventHeld                            // max_changes holds a change back, or lets it go; Speaker, Object names the prefix, To, Reason
	EventLeftover                        // a gobgpd does not withdraw what nobody wants (To "stays"), or has after all ("withdrawn"), or had it from an earlier life ("swept"); Speaker, Object names the prefixes, Reason
	EventClockSkew                       // the clock of a sender is about to leave the window of auth_hmac; Peer, To, Reason
	EventNamesakes                       // several nodes go by one site and router_id; Object names it, Peer, Reason
	EventStart                           // the agent has started; To the hash of its configuration, Object the file, Reason its version
	EventStop                            // the agent begins to stop (To "begun"), or is at the end (To "complete"); Reason

	numEventKinds
)

// NumEventKinds is the number of kinds.
const NumEventKinds = int(numEventKinds)

// Event is something that people should be able to read about later.
type Event struct {
	Kind    EventKind
	At      vrrp.Instant
	Router  string   // name, empty when the event is not about one
	Key     vrrp.Key // zero for an anycast service
	From    string
	To      string
	Reason  string
	Speaker string
	Peer    netip.Addr
	Address AddressKey
	Took    time.Duration
	Group   string // name of a sync group
	Object  string // a tracker, a route, a rule, a device, a site in words
	Votes   []Vote
	Phases  []Phase
	// Evidence is that of a transition; nil: nobody else has had a part in it.
	Evidence *Evidence
}
