package kernel

import (
	"maps"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"failoverd/failover"
)

// answer reports what is there if the newest DesiredAddresses has not been answered yet, or if it is news. What a
// newer one is waiting to replace is not worth reporting, unless it has been like that for a while.
func (r *reconciler) answer(started time.Time) {
	now := time.Now()
	if r.box.waiting() && now.Sub(r.lastAt) < reportAtLeast {
		return
	}
	rep := r.current()
	if !r.answered {
		started = r.setAt
	}
	rep.Took = now.Sub(started)
	if r.answered && sameReport(&rep, &r.last) {
		return
	}
	r.answered, r.last, r.lastAt = true, rep, now
	r.swept = nil
	r.report(rep)
}

// sameReport reports whether a says nothing new after b.
func sameReport(a, b *failover.AddressReport) bool {
	return len(a.Restored) == 0 && len(a.Swept) == 0 && slices.Equal(a.Present, b.Present) &&
		slices.Equal(a.Leftover, b.Leftover) && slices.Equal(a.Foreign, b.Foreign) && maps.Equal(a.Failed, b.Failed)
}

// current builds a report from the table.
func (r *reconciler) current() failover.AddressReport {
	rep := failover.AddressReport{
		Generation: r.desired.Generation,
		Present:    make([]failover.AddressKey, 0, len(r.want.items)),
		Swept:      r.swept,
		Leftover:   slices.Clone(r.leftover),
		Foreign:    r.foreign(),
	}
	for i := range r.want.items {
		it := &r.want.items[i]
		usable, why := r.status(it)
		switch {
		case usable:
			rep.Present = append(rep.Present, it.Key())
			if it.mem.restoring {
				it.mem.restoring = false
				rep.Restored = append(rep.Restored, it.Key())
			}
		case why != "":
			if rep.Failed == nil {
				rep.Failed = map[failover.AddressKey]string{}
			}
			rep.Failed[it.Key()] = why
		}
	}
	return rep
}

// foreign returns the configured addresses that somebody else has put where nobody here wants them.
func (r *reconciler) foreign() (keys []failover.AddressKey) {
	var wanted map[spot]struct{} // made when it is needed, which is rare
	for _, k := range r.configured {
		index, exists := r.have.names[k.Interface]
		if !exists {
			continue
		}
		s := spot{index, k.Prefix.Addr()}
		if !slices.ContainsFunc(r.have.spots[s], func(rec record) bool { return r.want.foreign(r.have, &rec) }) {
			continue
		}
		if wanted == nil {
			wanted = r.wanted()
		}
		if _, ok := wanted[s]; !ok {
			keys = append(keys, k)
		}
	}
	return keys
}

// wanted returns where addresses are wanted.
func (r *reconciler) wanted() map[spot]struct{} {
	wanted := make(map[spot]struct{}, len(r.want.items))
	for i := range r.want.items {
		it := &r.want.items[i]
		if index, exists := r.have.names[it.Interface]; exists {
			wanted[spot{index, it.Prefix.Addr()}] = struct{}{}
		}
	}
	return wanted
}

// status returns whether it can be used, or else why not, if that is more than a matter of a moment.
func (r *reconciler) status(it *item) (usable bool, why string) {
	index, exists := r.have.names[it.Interface]
	if !exists {
		if r.listErr != nil {
			return false, "kernel cannot be read: " + r.listErr.Error()
		}
		return false, "interface " + it.Interface + " does not exist"
	}
	there := false
	for _, rec := range r.have.spots[spot{index, it.Prefix.Addr()}] {
		there = true
		if rec.usable() && !rec.pending {
			return true, ""
		}
		if rec.flags&unix.IFA_F_DADFAILED != 0 {
			why = "another host has the address (duplicate address detection)"
		}
	}
	switch {
	case it.mem.failure != "":
		why = it.mem.failure
	case !there && it.mem.allowed(time.Now()) == 0:
		why = authorityEnded
	case !there && lifetime(it.Lease, time.Since(it.mem.since)) == 0:
		why = "lease is over, nobody has renewed it"
	}
	return false, why
}

// schedule decides when the next pass is due if nothing happens before.
func (r *reconciler) schedule(now time.Time) {
	r.due = now.Add(r.resync)
	sooner := func(t time.Time) {
		if t.Before(r.due) {
			r.due = t
		}
	}
	if r.stale || len(r.leftover) > 0 {
		sooner(now.Add(retryAfter))
	}
	r.unconfirmed = false
	for i := range r.want.items {
		it := &r.want.items[i]
		switch {
		case it.mem.blocked && it.mem.losses.held(now):
			sooner(it.mem.losses.allowed)
		case it.mem.blocked && it.mem.refused > 0 && it.mem.refused <= quickRetries:
			sooner(now.Add(quickRetry))
		case it.mem.blocked:
			sooner(now.Add(retryAfter))
		case it.mem.index == 0 && it.mem.settled:
			r.unconfirmed = true
		}
		// A loop that hangs, or renews too much, does not keep the address: it ends then whatever else happens.
		if it.mem.settled && !it.mem.bound.IsZero() && now.Before(it.mem.bound) {
			sooner(it.mem.bound)
		}
	}
	if r.unconfirmed {
		sooner(now.Add(confirmWithin))
	}
}
