// Package heartbeat is the authenticated channel between sites and their witnesses, as values and as octets. A node asks
// (Request: this is who I am, what I serve and under which term), a partner answers (Reply: I have noted it, this is what
// I know). VRRP advertisements stay what other implementations expect; terms, acknowledgements and votes travel here.
//
// The package is pure: no socket, no clock, no random source. Client and Server hold what a sender and a receiver have to
// remember so that nothing forged, replayed, stale or reflected is taken for a message; package failover/witness connects
// them to UDP, and the simulation to its network. What messages mean is decided in package failover.
//
// Read Request and Reply first, then Client and Server.
package heartbeat

import "time"

// Port is the UDP port where partners listen unless configured otherwise.
const Port = 7112

// MaxServices is the largest number of services in one message.
const MaxServices = 64

// MaxName is the longest name of a site or a node, in octets.
const MaxName = 32

// State says what a node is for a service.
type State uint8

// The states of a node.
const (
	Out      State = iota // it does not serve and must not take the role: fault, isolated, drained, stopping
	Ready                 // it does not serve and could take the role
	Draining              // it serves, and is about to give the role away
	Active                // it has the role
)

// String returns the word for the state in status and logs.
func (s State) String() string { return [...]string{"out", "ready", "draining", "active"}[s] }

// Service names a virtual router the same way in all sites: what differs between sites, such as the interface, is no part
// of it.
type Service struct {
	Family uint8 // 4 or 6
	VRID   uint8
}

// Term is who may serve: it grows with each move of a service from one site to another, and only the site that holds the
// newest one may. The zero value: nobody has served yet.
type Term struct {
	Epoch  uint64
	Holder string // a site; empty with epoch 0
}

// Entry is what a request says of one service.
type Entry struct {
	Service
	Term
	State    State
	Priority uint8
}

// Request is one message of a node to a partner.
type Request struct {
	// Site and Node say who asks.
	Site, Node string
	// About is the site whose services these are: the home of the service. The primary's nodes ask about their own site,
	// a watcher about the one that it watches.
	About string
	// ID grows with each request of a node's life.
	ID uint64
	// FenceAfter is how long after its last acknowledged request the sender goes on serving; 0: for ever.
	FenceAfter time.Duration
	Entries    []Entry
}

// Verdict is what somebody has measured of a site.
type Verdict uint8

// The three verdicts. Unknown is never taken for Down.
const (
	Unknown Verdict = iota
	Up
	Down
)

// String returns the word for the verdict in status and logs.
func (v Verdict) String() string { return [...]string{"unknown", "up", "down"}[v] }

// Heard says when a fresh message of a site, about the site in question, came last.
type Heard struct {
	Site string
	Age  time.Duration
	// Released: none of the nodes of the site serves or could serve, as far as they have said so. What a node said counts for
	// as long as it may act on it: for ReleasedWithin if it served, or if isolation does not stop it.
	Released bool
	// Ended: none of them can be serving any more, because each has said so or has fenced itself meanwhile. One that served
	// until it fell silent may have left a route behind, which its upstream drops on its own. Released implies it.
	Ended bool
}

// ReleasedWithin is how long what a node said of itself counts for Heard.Released that does not end by itself.
const ReleasedWithin = 30 * time.Second

// Knowledge is what a partner knows of one service.
type Knowledge struct {
	Service
	Term
	// State is what the partner itself is for the service; a witness is always Out.
	State State
	// Tenure is how long the term is known to the partner.
	Tenure time.Duration
	// Successors is how many nodes of the asking site, other than the one that asks, are Ready or Active, as the partner
	// heard within a few seconds; at most 255.
	Successors uint8
}

// Reply is the answer to a Request. It is never longer than the request.
type Reply struct {
	Site, Node string // who answers; Site is empty for a witness without one
	About      string
	ID         uint64 // of the request
	// Noted: the request was fresh, and counts as a sign of life with the partner from now on. Without it the reply is no
	// acknowledgement.
	Noted bool
	// Verdict is what the partner has measured of the site in question with its own checks; VerdictAge is how long the
	// evidence for it goes back.
	Verdict    Verdict
	VerdictAge time.Duration
	// Sites are those that the partner has heard about the site in question, at most MaxSites.
	Sites    []Heard
	Services []Knowledge // those of the request that the partner knows, in the request's order
}

// MaxSites is the largest number of sites in a reply.
const MaxSites = 4
