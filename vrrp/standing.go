package vrrp

import (
	"net/netip"

	"failoverd/vrrp/wire"
)

// Standing is what a router knows and waits for at one instant: another life of the agent, on the same machine and under
// the same boot, goes on from there as if it had been there all the time. Instants are those of the monotonic clock that
// both lives have.
type Standing struct {
	State    State
	Priority uint8
	// Deadline is when the Adver_Timer or the Active_Down_Timer fires, and DownCause what the latter means.
	Deadline  Instant
	DownCause Cause
	PreemptAt Instant
	Learned   wire.Centiseconds
	Heard     Heard
	// Ready, ReadySince, Following and PatientUntil are those of a joint router.
	Ready        bool
	ReadySince   Instant
	Following    bool
	PatientUntil Instant
	Suspected    bool
	QuietUntil   Instant
	// Sequence is the number of the advertisement sent last, if Signed (auth_hmac); Marks are the last numbers accepted.
	Signed   bool
	Sequence wire.Sequence
	Marks    []SenderMark
}

// SenderMark is the last sequence number that was accepted from a sender.
type SenderMark struct {
	Sender   netip.Addr
	Sequence wire.Sequence
}

// Standing returns that of this moment.
func (r *Router) Standing() Standing {
	s := Standing{
		State: r.state, Priority: r.priority, Deadline: r.deadline, DownCause: r.downCause, PreemptAt: r.preemptAt,
		Learned: r.learned, Heard: r.heard, Ready: r.ready, ReadySince: r.readySince, Following: r.following,
		PatientUntil: r.patientUntil, Suspected: r.suspected, QuietUntil: r.quietUntil,
		Signed: r.auth.sent, Sequence: r.auth.last,
	}
	for i := range r.auth.marks.list {
		if m := &r.auth.marks.list[i]; m.known {
			s.Marks = append(s.Marks, SenderMark{m.sender, m.sequence})
		}
	}
	return s
}

// Runs reports whether the standing is one of a router that runs, and makes sense.
func (s *Standing) Runs() bool {
	return (s.State == Active || s.State == Backup) && s.Priority != 0 && s.Learned > 0 && s.Learned <= maxLearned
}

// maxLearned is the longest interval that either version has: 255 seconds.
const maxLearned = 25500

// Succeed makes a router that is in Initialize go on from where another life of the agent has left it. It asks for no
// advertisement: the next one is due when that life would have sent it. It does nothing outside Initialize, before
// SetSource, and from a standing that is not of a router that runs.
func (r *Router) Succeed(s *Standing) Effect {
	if r.state != Initialize || !r.source.IsValid() || !s.Runs() {
		return r.stay()
	}
	e := Effect{From: r.state, To: s.State, Cause: CauseUpgrade}
	r.SetPriority(s.Priority)
	r.state, r.deadline, r.downCause, r.preemptAt = s.State, s.Deadline, s.DownCause, s.PreemptAt
	r.learned, r.heard = s.Learned, s.Heard
	r.ready, r.readySince, r.following = s.Ready, s.ReadySince, s.Following
	r.patientUntil, r.suspected, r.quietUntil = s.PatientUntil, s.Suspected, s.QuietUntil
	r.auth.sent, r.auth.last = s.Signed, s.Sequence
	for _, m := range s.Marks {
		r.auth.marks.set(m.Sender, m.Sequence)
	}
	return e
}
