package kernel

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"golang.org/x/sys/unix"
)

// write carries out ops, and looks at the clock again: the authority may have ended while they were on their way.
func (r *reconciler) write(ops []op) {
	r.carryOut(ops)
	for first := true; len(ops) > 0; first = false {
		if ops = r.tooLate(ops, first); len(ops) > 0 {
			r.carryOut(ops)
		}
	}
}

// carryOut writes ops and enters into the table what the kernel acknowledged. Notifications follow and overwrite it.
func (r *reconciler) carryOut(ops []op) {
	if r.log.Enabled(context.Background(), slog.LevelDebug) {
		for i := range ops {
			if ops[i].kind != opRenew { // once a second and address, for ever
				r.log.Debug("write address", "op", ops[i].String())
			}
		}
	}
	errs := r.host.write(ops)
	now := time.Now()
	for i := range ops {
		r.wrote(&ops[i], errs[i], now)
	}
}

func (r *reconciler) wrote(o *op, err error, now time.Time) {
	if o.kind == opPromote {
		r.promoted(o, err)
		return
	}
	k := o.addr.Key()
	m := r.want.known[k]
	e := entry{index: o.index, prefix: o.addr.Prefix, proto: Protocol}
	gone := errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.ENODEV)
	switch {
	case o.kind == opDelete && (err == nil || gone):
		r.have.drop(&e)
		m.index, m.settled = 0, false
		if !m.ever {
			r.swept = append(r.swept, k)
		}
	case o.kind == opDelete:
		m.blocked, m.failure = true, reason(err, o)
		r.leftover = append(r.leftover, k)
	case err == nil:
		m.written, m.settled, m.dadFailed, m.until, m.refused = o.addr, true, false, end(o.valid, now), 0
		m.renewed = m.since
		r.acknowledge(o, e, now)
	default:
		// The table may be out of date: somebody was quicker, or the interface went. Otherwise it stays a failure. An
		// interface that went may be back under its name, and its news is in the listing: there is no other.
		r.stale = r.stale || errors.Is(err, unix.EEXIST) || gone
		m.blocked, m.failure = !errors.Is(err, unix.ENODEV), reason(err, o)
		m.refused++
	}
}

// acknowledge enters an address that the kernel has taken, until it tells more.
func (r *reconciler) acknowledge(o *op, e entry, now time.Time) {
	pending := true
	if old := r.have.find(&e); old != nil {
		e, pending = old.entry, old.pending
	}
	e.valid, e.preferred = o.valid, o.preferred()
	rec := newRecord(e, now)
	rec.pending = pending
	r.have.put(rec)
}

// promoted notes the outcome of opPromote: it is tried once per interface, also if that is not allowed.
func (r *reconciler) promoted(o *op, err error) {
	if l, ok := r.have.links[o.index]; ok {
		l.promotes = true
		r.have.links[o.index] = l
	}
	if err != nil {
		r.log.Warn("promote_secondaries cannot be set, other addresses of a subnet may go with ours",
			"interface", o.addr.Interface, "err", err)
		return
	}
	r.log.Info("promote_secondaries set", "interface", o.addr.Interface)
}

// reason says in words for people why a write failed.
func reason(err error, o *op) string {
	switch {
	case errors.Is(err, unix.EPERM):
		return "not permitted: CAP_NET_ADMIN is missing"
	case errors.Is(err, unix.EACCES) && o.addr.Prefix.Addr().Is6():
		return "IPv6 is disabled on " + o.addr.Interface
	case errors.Is(err, unix.ENODEV):
		return "interface " + o.addr.Interface + " does not exist"
	case errors.Is(err, unix.EEXIST):
		return "somebody else has added it in another form"
	}
	return err.Error()
}
