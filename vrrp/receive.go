package vrrp

import (
	"bytes"
	"crypto/subtle"
	"net/netip"
	"slices"

	"failoverd/vrrp/wire"
)

// Receive processes a packet that wire.Parse accepted on this router's interface; the caller finds the router by family
// and VRID. It returns why the packet was refused, or wire.Accepted; a refused packet changes nothing but its counter.
// p is not kept.
func (r *Router) Receive(now Instant, p *wire.Packet) (Effect, wire.DropReason) {
	if why := r.check(p); why != wire.Accepted {
		r.drops[why]++
		return r.stay(), why
	}
	r.auth.accept(p, r.wall)
	r.received++
	r.checksums[p.Checksum]++
	if !r.sameAddresses(p.Addresses) {
		r.listDiffer++
	}
	if r.state == Active {
		return r.receiveActive(now, p), wire.Accepted
	}
	return r.receiveBackup(now, p), wire.Accepted
}

// check is the part of the receive ladder that depends on this router's configuration. The order of the questions is
// that of the ladder, so that a packet wrong in several ways is counted for the first.
func (r *Router) check(p *wire.Packet) wire.DropReason {
	c := &r.cfg
	switch {
	case p.Signed && c.HMAC == nil:
		return wire.DropTrailing // to whoever does not know it, a trailer is a wrong length
	case p.Src == r.source:
		return wire.DropOwnSource
	case r.state == Initialize:
		return wire.DropNotRunning
	case c.OwnerIgnoresAdverts && c.Priority == wire.PriorityOwner && r.state == Active:
		return wire.DropOwner
	}
	return r.vet(p, r.auth.verify)
}

// Overhear says what would become of a packet if the router ran, whatever its state: somebody who has left the role and
// still serves listens for the one that takes it. It changes nothing, counters included.
func (r *Router) Overhear(p *wire.Packet) wire.DropReason {
	switch {
	case p.Signed && r.cfg.HMAC == nil:
		return wire.DropTrailing
	case p.Src == r.source:
		return wire.DropOwnSource
	}
	return r.vet(p, r.auth.preview)
}

// vet is the part of check that does not depend on the state. authentic is verify or preview.
func (r *Router) vet(p *wire.Packet, authentic func(*wire.Packet, int64) wire.DropReason) wire.DropReason {
	c := &r.cfg
	multicast := p.Dst.IsMulticast()
	switch {
	case c.Unicast && multicast:
		return wire.DropExpectedUnicast
	case !multicast && p.Dst != r.source, !multicast && !c.Unicast && len(c.Watchers) == 0:
		return wire.DropDestination
	}
	if !multicast {
		peers := c.Peers
		if !c.Unicast {
			peers = c.Watchers
		}
		if why := checkPeer(peers, p, c.AnySource && c.Unicast); why != wire.Accepted {
			return why
		}
	}
	switch {
	case p.Version != c.Version:
		return wire.DropVersion
	case p.VRID != c.Key.VRID || p.Family() != c.Key.Family:
		return wire.DropVRID
	}
	if why := authentic(p, r.wall); why != wire.Accepted {
		return why
	}
	switch {
	case len(p.Addresses) == 0 && len(c.Addresses) > 0:
		return wire.DropCountZero
	case c.Version == wire.V2:
		return r.checkV2(p)
	}
	return wire.Accepted
}

func checkPeer(peers []Peer, p *wire.Packet, anySource bool) wire.DropReason {
	for i := range peers {
		if peers[i].Address.WithZone("") == p.Src {
			if !peers[i].accepts(p.TTL) {
				return wire.DropTTL
			}
			return wire.Accepted
		}
	}
	if anySource {
		return wire.Accepted
	}
	return wire.DropNotPeer
}

// checkV2 applies what only version 2 asks: authentication, equal interval, equal list unless from the owner
// (RFC 3768 section 7.1).
func (r *Router) checkV2(p *wire.Packet) wire.DropReason {
	c := &r.cfg
	switch {
	case p.AuthType != c.AuthType:
		return wire.DropAuthType
	case c.AuthType == wire.AuthSimple && subtle.ConstantTimeCompare(p.AuthData[:], c.AuthData[:]) != 1:
		return wire.DropAuthData
	case p.Interval != c.Interval:
		return wire.DropInterval
	case p.Priority != wire.PriorityOwner && !r.sameAddresses(p.Addresses):
		return wire.DropAddressList
	}
	return wire.Accepted
}

// sameAddresses compares an advertised list with the configured one, order aside; duplicates count. Its cost stays near
// linear whatever a sender makes up.
func (r *Router) sameAddresses(list []netip.Addr) bool {
	if slices.Equal(list, r.cfg.Addresses) {
		return true
	}
	if len(list) != len(r.sorted) {
		return false
	}
	var seen [wire.MaxAddresses]bool
	for _, a := range list {
		i, ok := slices.BinarySearchFunc(r.sorted, a, netip.Addr.Compare)
		for ok && seen[i] {
			i++
			ok = i < len(r.sorted) && r.sorted[i] == a
		}
		if !ok {
			return false
		}
		seen[i] = true
	}
	return true
}

// receiveBackup is section 6.4.2 for a received advertisement.
func (r *Router) receiveBackup(now Instant, p *wire.Packet) Effect {
	if now >= r.deadline {
		r.lateAdverts++
	}
	switch {
	case p.Priority == wire.PriorityRelease:
		// Never later than a skew from now, and never later than before: a flood of releases cannot put off the
		// takeover (safety property S11). Who is ready has nothing to wait for any more.
		if d := now.Add(r.SkewTime()); d < r.deadline && !r.ready {
			r.deadline = d
		}
		r.downCause, r.following = CauseRelease, false
		r.preemptAt = Never
		r.note(now, p)
	case p.Priority >= r.priority:
		r.preemptAt = Never
		r.adopt(now, p)
	case r.tolerates(now):
		r.adopt(now, p)
	default:
		// Discarded: the timer keeps running, so the takeover comes at the old deadline (V3-FSM-07).
		r.downCause = CausePreempt
		r.note(now, p)
	}
	return r.stay()
}

// tolerates reports whether a live Active router of lower priority is to be left alone at now. Preempt_delay runs from
// the first advertisement heard, whether a hold is on or not.
func (r *Router) tolerates(now Instant) bool {
	if r.priority == wire.PriorityOwner {
		return false
	}
	if !r.cfg.Preempt {
		return true
	}
	if r.preemptAt == Never && r.cfg.PreemptDelay > 0 {
		r.preemptAt = now.Add(r.cfg.PreemptDelay)
	}
	return r.hold || (r.preemptAt != Never && now < r.preemptAt)
}

// adopt takes the sender as the Active router: its interval, and a fresh Active_Down_Timer.
func (r *Router) adopt(now Instant, p *wire.Packet) {
	r.learned, r.suspected, r.downCause = p.Interval, false, CauseSilence
	r.ready, r.following = false, true
	r.deadline = max(now.Add(r.ActiveDownInterval()), r.patientUntil)
	r.note(now, p)
}

func (r *Router) note(now Instant, p *wire.Packet) {
	r.heard = Heard{Address: p.Src, Priority: p.Priority, At: now, Interval: p.Interval, Checksum: p.Checksum}
}

// receiveActive is section 6.4.3 for a received advertisement.
func (r *Router) receiveActive(now Instant, p *wire.Packet) Effect {
	order := 0
	if p.Priority == r.priority {
		order = compare(p.Src, r.source)
	}
	switch {
	case p.Priority == wire.PriorityRelease:
		r.note(now, p)
		if !r.mayAnswer(now) {
			return r.stay()
		}
		r.deadline = now.Add(r.cfg.Interval.Duration())
		return Effect{Advert: true, Priority: r.priority, From: Active, To: Active}
	case p.Priority > r.priority:
		return r.yield(now, p, CauseHigherPriority)
	case p.Priority == r.priority && order > 0:
		return r.yield(now, p, CauseHigherAddress)
	case p.Priority == r.priority && order == 0:
		return r.stay() // a looped packet must not become a storm (V3-FSM-16)
	}
	r.note(now, p)
	if r.cfg.SilentOnLowerPriority || !r.mayAnswer(now) {
		return Effect{From: Active, To: Active, Rival: true}
	}
	return Effect{Advert: true, Priority: r.priority, From: Active, To: Active, Rival: true}
}

// compare orders addresses as unsigned big-endian numbers (V3-FSM-14).
func compare(a, b netip.Addr) int {
	if a.Is4() && b.Is4() {
		x, y := a.As4(), b.As4()
		return bytes.Compare(x[:], y[:])
	}
	x, y := a.As16(), b.As16()
	return bytes.Compare(x[:], y[:])
}

// yield makes an Active router Backup, without an advertisement of priority 0.
func (r *Router) yield(now Instant, p *wire.Packet, why Cause) Effect {
	r.learned, r.downCause, r.preemptAt = p.Interval, CauseSilence, Never
	e := r.follow(now, why)
	r.following = true
	if r.cfg.LastWord {
		e.Advert, e.Priority = true, r.priority
	}
	r.note(now, p)
	return e
}

// mayAnswer reports whether an advertisement is to be sent at once (RFC 9568 section 6.4.3): at most one every
// ReadvertiseGap.
func (r *Router) mayAnswer(now Instant) bool {
	if now < r.quietUntil {
		return false
	}
	r.quietUntil = now.Add(ReadvertiseGap)
	return true
}
