package gobgp

import (
	"net/netip"
	"time"

	api "github.com/osrg/gobgp/v3/api"

	"failoverd/bgp"
)

// Pauses before a lost session is built anew. gobgp itself sits in Idle for five seconds first and ignores the
// neighbor's connections meanwhile; a neighbor deleted and added again connects after one to two. So a neighbor that is well
// again is connected to within three seconds, as long as no pause is longer than one: that is what a neighbor gets which
// has a bad minute, at less than one attempt in two seconds. Only one that throws us out time after time waits ever longer.
const (
	firstKick  = 0
	secondKick = time.Second
	maxKick    = 30 * time.Second
	// patience is how many sessions in a row that did not last are followed by secondKick at most.
	patience = 12
	stable   = 30 * time.Second // a session this old starts over with the first pause
	// silent is how long a connected neighbor may not answer our OPEN. gobgp would wait for four minutes.
	silent = 5 * time.Second
)

// neighbor is one neighbor of the configuration as the Run goroutine knows it.
type neighbor struct {
	cfg    *bgp.Neighbor
	status bgp.NeighborStatus

	blame  string    // what Blame said last, since it was up
	up     time.Time // when it became Established
	short  int       // how many sessions in a row did not last, or never came about
	kickAt time.Time // when to add it again; zero: it is in gobgp
	added  time.Time // when it was added last

	sent, received uint64 // NOTIFICATIONs, as an external gobgpd counted last
}

// newNeighbors is the state before the first report, in configuration order.
func newNeighbors(cfg *bgp.SpeakerConfig, now time.Time) []neighbor {
	ns := make([]neighbor, len(cfg.Neighbors))
	for i := range ns {
		c := &cfg.Neighbors[i]
		ns[i] = neighbor{cfg: c, status: bgp.NeighborStatus{Address: c.Address, RemoteAS: c.RemoteAS, Since: now}}
	}
	return ns
}

// observe takes a state over and reports whether that was news. Leaving Established counts as a flap; reaching it
// clears the error.
func (n *neighbor) observe(s bgp.SessionState, hold time.Duration, now time.Time) (changed bool) {
	if s != bgp.Established {
		hold = 0
	}
	if s == n.status.State {
		changed = n.status.HoldTime != hold
		n.status.HoldTime = hold
		return changed
	}
	switch {
	case s == bgp.Established:
		n.up, n.blame, n.status.LastError = now, "", ""
	case n.status.State == bgp.Established:
		n.status.Flaps++
	}
	n.status.State, n.status.Since, n.status.HoldTime = s, now, hold
	return true
}

// mute reports whether the neighbor took our connection but has not answered our OPEN for too long: its packets are
// lost on the way, which TTL security at one end only does (RFC 5082).
func (n *neighbor) mute(now time.Time) bool {
	return n.status.State == bgp.OpenSent && now.Sub(n.status.Since) > silent
}

// idles reports whether gobgp sits out its five seconds in Idle after an attempt that led to no session, although the
// neighbor is to be tried again after connect_retry.
func (n *neighbor) idles(p *api.Peer, now time.Time) bool {
	pause := n.cfg.ConnectRetry - time.Second/2 // this is looked at every second, and after an event
	return n.status.State == bgp.Idle && n.kickAt.IsZero() && p.GetState().GetAdminState() == api.PeerState_UP &&
		now.Sub(n.status.Since) > pause && now.Sub(n.added) > pause
}

// planKick sets kickAt. A session that lasted starts over with the first pause.
func (n *neighbor) planKick(now time.Time) {
	if !n.up.IsZero() && now.Sub(n.up) >= stable {
		n.short = 0
	}
	n.up = time.Time{}
	n.kickAt = now.Add(kickPause(n.short))
	n.short++
}

// kickPause is the pause after a session that follows on a number of short ones.
func kickPause(short int) time.Duration {
	switch doublings := short - patience + 1; {
	case short == 0:
		return firstKick
	case doublings <= 0:
		return secondKick
	default:
		return min(secondKick<<min(doublings, 10), maxKick)
	}
}

// lost is what the loss of the whole backend means for a neighbor.
func (n *neighbor) lost(now time.Time) {
	if n.status.State == bgp.Established {
		n.status.Flaps++
	}
	n.forget(now)
}

// forget leaves a neighbor without a state and with nothing planned.
func (n *neighbor) forget(now time.Time) {
	if n.status.State != bgp.Unknown {
		n.status.State, n.status.Since, n.status.HoldTime = bgp.Unknown, now, 0
	}
	n.kickAt = time.Time{}
}

// find returns the neighbor that gobgp calls by this address; events name a link-local one without its zone.
func find(ns []neighbor, addr string) *neighbor {
	a, err := netip.ParseAddr(addr)
	if err != nil { // "<nil>" ends gobgp's list of initial states
		return nil
	}
	for i := range ns {
		if ns[i].cfg.Address == a {
			return &ns[i]
		}
	}
	for i := range ns {
		if ns[i].cfg.Address.WithZone("") == a.WithZone("") {
			return &ns[i]
		}
	}
	return nil
}

// sessionState translates gobgp's state. One that is just being torn down has none and counts as Idle.
func sessionState(s api.PeerState_SessionState) bgp.SessionState {
	switch s {
	case api.PeerState_UNKNOWN, api.PeerState_IDLE:
		return bgp.Idle
	case api.PeerState_CONNECT:
		return bgp.Connect
	case api.PeerState_ACTIVE:
		return bgp.ActiveState
	case api.PeerState_OPENSENT:
		return bgp.OpenSent
	case api.PeerState_OPENCONFIRM:
		return bgp.OpenConfirm
	case api.PeerState_ESTABLISHED:
		return bgp.Established
	default: // of a gobgpd newer than we know
		return bgp.Unknown
	}
}
