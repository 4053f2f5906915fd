package vrrp

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"hash"
	"net/netip"
	"time"

	"failoverd/vrrp/wire"
)

// Outcome is what became of the authentication of one advertisement.
type Outcome uint8

// The outcomes, under the names of the drop reasons that most of them lead to.
const (
	AuthOK Outcome = iota
	AuthMissing
	AuthMalformed
	AuthUnknownKey
	AuthBadHMAC
	AuthStale
	AuthReplay

	numOutcomes
)

// NumOutcomes is the number of Outcome values.
const NumOutcomes = int(numOutcomes)

// String returns the name used in status.
func (o Outcome) String() string {
	return [NumOutcomes]string{"ok", "missing", "malformed", "unknown_key", "bad_hmac", "stale", "replay"}[o]
}

// reason is the drop reason of an outcome that is not tolerated.
func (o Outcome) reason() wire.DropReason {
	return [NumOutcomes]wire.DropReason{
		wire.Accepted, wire.DropHMACMissing, wire.DropHMACMalformed, wire.DropHMACUnknownKey, wire.DropHMACBad,
		wire.DropHMACStale, wire.DropHMACReplay,
	}[o]
}

// Skew is how far the clock of a sender was ahead of ours when its advertisement was accepted.
type Skew struct {
	Sender netip.Addr // zero: none was accepted
	By     time.Duration
}

// authentication is what a router does for auth_hmac. The zero value is a router that has none.
type authentication struct {
	cfg   *HMAC   // nil: none
	keys  []keyed // in the order of cfg.Keys
	marks marks

	last wire.Sequence // sent last, if sent
	sent bool

	outcomes [NumOutcomes]uint64
	skew     Skew

	// for reuse
	trailer wire.Trailer
	covered []byte
	sum     [sha256.Size]byte
}

// keyed is a key, ready for use.
type keyed struct {
	id  uint8
	mac hash.Hash
}

// adopt takes over other parameters. What is known of senders stays, and so does the own sequence number: nobody who
// changes a key wants to be heard less.
func (s *authentication) adopt(cfg *Config) {
	s.cfg, s.keys = cfg.HMAC, nil
	if s.cfg == nil {
		return
	}
	for i := range s.cfg.Keys {
		s.keys = append(s.keys, keyed{s.cfg.Keys[i].ID, hmac.New(sha256.New, []byte(s.cfg.Keys[i].Secret))})
	}
	s.marks.adopt(cfg.Peers, cfg.Watchers)
}

// key returns the key of that ID, or nil.
func (s *authentication) key(id uint8) hash.Hash {
	for i := range s.keys {
		if s.keys[i].id == id {
			return s.keys[i].mac
		}
	}
	return nil
}

// mac returns the truncated HMAC of s.covered.
func (s *authentication) mac(key hash.Hash) (out [wire.MACLen]byte) {
	key.Reset()
	key.Write(s.covered)
	copy(out[:], key.Sum(s.sum[:0]))
	return out
}

// sign returns the trailer of a, sent from src at the wall-clock time wall; nil: it has none. It is valid until the
// next call.
func (s *authentication) sign(a *wire.Advertisement, src netip.Addr, wall int64) *wire.Trailer {
	if s.cfg == nil || s.cfg.Mode == HMACReceiveOnly {
		return nil
	}
	s.trailer = wire.Trailer{Type: wire.HMACSHA256, KeyID: s.cfg.ActiveKey, Sequence: s.next(wire.SequenceAt(wall))}
	s.covered = a.AppendCovered(s.covered[:0], src, &s.trailer)
	s.trailer.MAC = s.mac(s.key(s.cfg.ActiveKey))
	return &s.trailer
}

// signAhead is sign for an advertisement that may be sent up to ahead later, by somebody else, or never: its number is that
// of the latest moment, and those sent until then are lower. It is not taken note of.
func (s *authentication) signAhead(a *wire.Advertisement, src netip.Addr, wall int64, ahead time.Duration) *wire.Trailer {
	last, sent := s.last, s.sent
	defer func() { s.last, s.sent = last, sent }()
	return s.sign(a, src, wall+int64(ahead))
}

// next returns the next sequence number: the clock's, or the one after the last if the clock is not beyond it. A clock
// that was stepped back by more than the window would make every number stale under ReplayTime, so it starts anew there.
func (s *authentication) next(clock wire.Sequence) wire.Sequence {
	stepped := s.cfg.AntiReplay == ReplayTime && s.last.Sub(clock) > s.cfg.TimeWindow
	if !s.sent || stepped || clock.After(s.last) {
		s.last = clock
	} else {
		s.last++
	}
	s.sent = true
	return s.last
}

// verify says whether p may be believed at the wall-clock time wall. It changes nothing but counters; who goes on to
// process p calls accept.
func (s *authentication) verify(p *wire.Packet, wall int64) wire.DropReason {
	if s.cfg == nil {
		return wire.Accepted
	}
	o := s.judge(p, wire.SequenceAt(wall))
	s.outcomes[o]++
	return s.verdict(o)
}

// preview is verify without the counters.
func (s *authentication) preview(p *wire.Packet, wall int64) wire.DropReason {
	if s.cfg == nil {
		return wire.Accepted
	}
	return s.verdict(s.judge(p, wire.SequenceAt(wall)))
}

// verdict says what an outcome means in the mode.
func (s *authentication) verdict(o Outcome) wire.DropReason {
	if o == AuthMissing && s.cfg.Mode != HMACEnforce {
		return wire.Accepted
	}
	return o.reason()
}

// judge asks the questions in keepalived's order: a packet that is too old costs no HMAC, and what only the HMAC proves is
// looked at after it.
func (s *authentication) judge(p *wire.Packet, clock wire.Sequence) Outcome {
	t := &p.Trailer
	switch {
	case !p.Signed:
		return AuthMissing
	case t.Type != wire.HMACSHA256 || t.Reserved != 0:
		return AuthMalformed
	}
	key := s.key(t.KeyID)
	switch {
	case key == nil:
		return AuthUnknownKey
	case s.outside(t.Sequence, clock):
		return AuthStale
	}
	s.covered = p.AppendCovered(s.covered[:0])
	if mac := s.mac(key); subtle.ConstantTimeCompare(mac[:], t.MAC[:]) != 1 {
		return AuthBadHMAC
	}
	// A mark outside the window was set before somebody's clock was stepped, and has nothing to say about now.
	if mark, ok := s.marks.of(p.Src); ok && !s.outside(mark, clock) && !t.Sequence.After(mark) {
		return AuthReplay
	}
	return AuthOK
}

// outside reports whether a sequence number is too far from now to count. Under ReplayMonotonic none is.
func (s *authentication) outside(n, clock wire.Sequence) bool {
	return s.cfg.AntiReplay == ReplayTime && n.Sub(clock).Abs() > s.cfg.TimeWindow
}

// accept takes note of a packet that verify did not object to, and that is processed.
func (s *authentication) accept(p *wire.Packet, wall int64) {
	if s.cfg == nil || !p.Signed {
		return
	}
	s.marks.set(p.Src, p.Trailer.Sequence)
	s.skew = Skew{p.Src, p.Trailer.Sequence.Sub(wire.SequenceAt(wall))}
}

// SetWallClock tells the router the time in nanoseconds since the Unix epoch, which it cannot know itself. Only auth_hmac
// has use for it: it must be told before Receive and Sign.
func (r *Router) SetWallClock(wall int64) { r.wall = wall }

// Sign returns the trailer of an advertisement that is about to be sent; nil: it is sent without one. All copies of the
// advertisement carry it, whatever their destination; the next advertisement needs another one. It is valid until then.
func (r *Router) Sign(a *wire.Advertisement) *wire.Trailer { return r.auth.sign(a, r.source, r.wall) }

// SignAhead is Sign for an advertisement that somebody else sends, within ahead of now, if this router cannot any more.
func (r *Router) SignAhead(a *wire.Advertisement, ahead time.Duration) *wire.Trailer {
	return r.auth.signAhead(a, r.source, r.wall, ahead)
}

// Outcomes returns how often each outcome of the authentication occurred, indexed by Outcome. AuthMissing may have been
// tolerated.
func (r *Router) Outcomes() [NumOutcomes]uint64 { return r.auth.outcomes }

// ClockSkew returns the skew of the last sender whose signed advertisement was accepted.
func (r *Router) ClockSkew() Skew { return r.auth.skew }

// SkewAlarming reports whether the clocks are about to drift too far apart: the skew is beyond half the window, and under
// ReplayTime advertisements will be lost when it reaches the whole.
func (r *Router) SkewAlarming() bool {
	h := r.auth.cfg
	return h != nil && h.AntiReplay == ReplayTime && r.auth.skew.By.Abs() > h.TimeWindow/2
}
