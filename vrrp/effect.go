package vrrp

import (
	"net/netip"

	"failoverd/vrrp/wire"
)

// Cause says why a router changed state.
type Cause uint8

// Causes of a transition.
const (
	CauseNone           Cause = iota
	CauseStartup              // enabled: interface, source address and configuration are there
	CauseOwner                // enabled as the address owner
	CauseSilence              // Active_Down_Timer fired: nobody was heard
	CausePreempt              // Active_Down_Timer fired while a lower-priority router was heard
	CauseRelease              // Active_Down_Timer fired after the Active router released the role
	CauseHigherPriority       // an advertisement of higher priority
	CauseHigherAddress        // an advertisement of equal priority from a higher address
	CauseShutdown             // disabled
	CauseJoint                // the routers that it goes along with have left the role
	CauseTerm                 // another site holds a newer term
	CauseSiteDown             // the site of the Active router is down, whatever it sends
	CauseDrain                // a person has taken it out, or handed its role over
	CauseResume               // nobody has taken the role that it had left
	CauseVacant               // Active_Down_Timer fired, and nobody of the site of the Active router can have the role
	CauseRestart              // it had the role in another life of the agent, and was back before anybody missed it
	CauseUpgrade              // another program has handed over to this one
)

var causeNames = [...]string{
	CauseNone: "", CauseStartup: "startup", CauseOwner: "address owner", CauseSilence: "no advertisement heard",
	CausePreempt: "preempted a lower priority", CauseRelease: "the active router released the role",
	CauseHigherPriority: "higher priority heard", CauseHigherAddress: "equal priority from a higher address heard",
	CauseShutdown: "shutdown", CauseJoint: "the sync group leaves the role",
	CauseTerm: "another site holds a newer term", CauseSiteDown: "the site of the active router is down",
	CauseDrain:   "drained",
	CauseResume:  "no other router has taken the role",
	CauseVacant:  "the active router is silent, and all others of its site have released the role",
	CauseRestart: "the agent died and was back in time",
	CauseUpgrade: "upgrade",
}

// String returns the cause in words.
func (c Cause) String() string { return causeNames[c] }

// Effect is what a call to the state machine asks for. The zero value asks for nothing.
type Effect struct {
	// Advert asks for one advertisement now, with Priority. It is to leave before anything else of the transition.
	Advert   bool
	Priority uint8
	// From and To differ when the state changed, because of Cause.
	From, To State
	Cause    Cause
	// Rival reports an advertisement of another router that believes to be Active while this one is and stays
	// Active: caches on the LAN may now point elsewhere, so the addresses need to be announced again.
	Rival bool
}

// Changed reports whether the state changed.
func (e Effect) Changed() bool { return e.From != e.To }

// Heard is the last advertisement that a router processed, other than its own: in Backup that of the Active router it
// follows or is about to replace, in Active that of a rival.
type Heard struct {
	Address  netip.Addr // zero: nobody heard yet
	Priority uint8
	At       Instant
	Interval wire.Centiseconds
	Checksum wire.ChecksumForm // the form that its packet verified under (V3-RX-07)
}
