package vrrp

import (
	"time"

	"failoverd/vrrp/wire"
)

// SetJoint makes the router take the role together with others only, which keepalived calls a sync group: a Backup whose
// Active_Down_Timer fires, and an address owner that is enabled, does not become Active by itself. It is ready, until
// Promote, or until an advertisement that it has to follow. A router that is ready when joint ends takes the role the
// next time that Expire is called; one that is Active stays Active in either case.
func (r *Router) SetJoint(joint bool) {
	r.joint = joint
	if !joint && r.ready {
		// It has waited long enough: it was not this node that was late.
		r.ready, r.deadline, r.suspected = false, r.readySince, true
	}
}

// Ready reports whether a joint router is in Backup and would be Active if it were alone.
func (r *Router) Ready() bool { return r.ready }

// Reconsider looks once more, under the present priority and hold, at the advertisement of lower priority that a ready
// router has discarded, and returns Ready. Whoever calls it arms the timer anew.
func (r *Router) Reconsider(now Instant) bool {
	if r.ready {
		r.ready = !r.reprieve(now)
	}
	if r.ready {
		r.deadline = Never
	}
	return r.ready
}

// Following reports whether the router is in Backup because of another one: an advertisement that vouches for it has
// been heard, and has not been released, and its Active_Down_Timer has not fired.
func (r *Router) Following() bool { return r.state == Backup && r.following }

// Promote makes a router Active that is ready, for the reason that made it ready. It does nothing to any other.
func (r *Router) Promote(now Instant) Effect {
	if !r.Reconsider(now) {
		return r.stay()
	}
	return r.promote(now, r.downCause)
}

// Seize makes a Backup router Active although an Active router may be heard: somebody who knows more than advertisements
// tell has decided so (safety.md, takeover_on_site_down). It does nothing outside Backup.
func (r *Router) Seize(now Instant) Effect {
	if r.state != Backup {
		return r.stay()
	}
	return r.promote(now, CauseSiteDown)
}

// Pending says what a router that is ready would become Active for.
func (r *Router) Pending() Cause { return r.downCause }

// NoteRelease tells a router that is ready that the Active router has released the role, which was heard another way than by
// an advertisement.
func (r *Router) NoteRelease() {
	if r.ready {
		r.downCause = CauseRelease
	}
}

// NoteVacancy tells a router that is ready that nobody can have the role any more: who had it is silent, and the others that
// could take it say that they cannot.
func (r *Router) NoteVacancy() {
	if r.ready {
		r.downCause = CauseVacant
	}
}

// Refuse counts a packet that somebody who knows more than the router has refused on its behalf.
func (r *Router) Refuse(why wire.DropReason) { r.drops[why]++ }

// Demote makes an Active router Backup because others that it goes along with have left the role. It asks for an
// advertisement of priority 0, so that the peer which has taken their roles takes this one after Skew_Time and not after
// Active_Down_Interval; one that has already taken it answers with an advertisement (RFC 9568 section 6.4.3), and is
// followed. The router listens for Active_Down_Interval plus patience before it is ready again: two nodes that have
// demoted each other must not come back in step. What the other one had sent before it was demoted may arrive after that,
// and does not shorten the time; a release does. Demote does nothing outside Active.
func (r *Router) Demote(now Instant, patience time.Duration) Effect {
	return r.Resign(now, patience, CauseJoint)
}

// Resign is Demote for another reason.
func (r *Router) Resign(now Instant, patience time.Duration, why Cause) Effect {
	if r.state != Active {
		return r.stay()
	}
	r.learned, r.downCause, r.preemptAt = r.cfg.Interval, CauseSilence, Never
	e := r.follow(now, why)
	r.deadline = r.deadline.Add(patience)
	if patience > 0 {
		r.patientUntil = r.deadline
	}
	e.Advert, e.Priority = true, wire.PriorityRelease
	return e
}

// Resume makes a router Active again that has left the role by Demote and that nobody has taken it from: at once, and not
// after Active_Down_Interval. It does nothing outside Backup, and while another router is followed.
func (r *Router) Resume(now Instant) Effect {
	if r.state != Backup || r.following {
		return r.stay()
	}
	return r.promote(now, CauseResume)
}

// wait makes the router ready.
func (r *Router) wait(since Instant) Effect {
	r.ready, r.readySince, r.deadline, r.following = true, since, Never, false
	return r.stay()
}
