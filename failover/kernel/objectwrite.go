package kernel

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"golang.org/x/sys/unix"
)

// write carries out ops and reports whether any of them worked.
func (r *objectReconciler) write(ops []objectOp) (progress bool) {
	debug := r.log.Enabled(context.Background(), slog.LevelDebug)
	errs := r.host.write(ops)
	now := time.Now()
	for i := range ops {
		o := &ops[i]
		if debug {
			r.log.Debug("write "+o.noun(), "op", o.kind.String(), o.noun(), o.describe(r.have.links), "err", errs[i])
		}
		if errs[i] == nil {
			progress = true
		}
		r.wrote(o, errs[i], now)
	}
	return progress
}

func (r *objectReconciler) wrote(o *objectOp, err error, now time.Time) {
	m := o.memory()
	switch {
	case o.kind == objectDelete && err != nil:
		// Most often it has gone already, or in part. If not, the listing tells.
		r.stale = true
		if !missing(err) {
			if m.tries == 0 {
				r.log.Warn("own "+o.noun()+" cannot be removed", o.noun(), o.describe(r.have.links), "err", err)
			}
			m.fail(now, err.Error())
		}
	case o.kind == objectDelete:
	case err == nil:
		m.succeed()
		if o.route != nil {
			target := o.entry
			o.route.target = &target
		} else {
			o.of.added = true
		}
	case o.route != nil:
		m.fail(now, routeReason(err, &o.entry, r.have.links))
		// Somebody was quicker, or the interface went; and the kernel may stop in the midst of an IPv6 multipath route.
		r.stale = r.stale || errors.Is(err, unix.EEXIST) || errors.Is(err, unix.ENODEV) || len(o.entry.hops) > 1
	default:
		m.fail(now, ruleReason(err, &o.rule.KernelRule))
		r.stale = r.stale || errors.Is(err, unix.EEXIST)
	}
}

// missing reports whether a deletion failed because there was nothing to delete.
func missing(err error) bool {
	return errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV)
}
