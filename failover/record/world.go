package record

import (
	"slices"
	"time"

	"failoverd/bgp"
	"failoverd/failover"
	"failoverd/vrrp"
)

// world is what a replayed core with another configuration lives in: interfaces, packets, checks, sessions and commands
// as they were recorded, and a kernel and speakers that do at once what is asked of them now. What was recorded of these
// answers questions that this core may not have asked.
type world struct {
	p       *Replay
	addr    failover.DesiredAddresses
	failed  map[failover.AddressKey]string // as recorded last
	routes  map[string]bgp.Desired
	reports map[string]bgp.Report // as recorded last
	waiting []failover.Input
}

func newWorld(p *Replay) *world {
	return &world{p: p, routes: make(map[string]bgp.Desired), reports: make(map[string]bgp.Report)}
}

// mostTimers is how many timers may fire between two recorded calls: more is a core that spins.
const mostTimers = 1_000_000

// pass lets the time pass until at.
func (w *world) pass(at vrrp.Instant) error {
	p := w.p
	for range mostTimers {
		w.deliver(p.At)
		d := p.core.Deadline()
		if d >= at {
			return nil
		}
		now := max(d, p.At)
		p.At = now
		p.core.SetWallClock(p.Wall + int64(now))
		p.core.Expire(now, &p.fx)
		p.core.Flush(now, &p.fx)
		w.answer(now)
	}
	return nil
}

// deliver feeds what the kernel and the speakers have answered.
func (w *world) deliver(now vrrp.Instant) {
	for len(w.waiting) > 0 {
		in := w.waiting[0]
		w.waiting = w.waiting[1:]
		w.p.core.Step(now, in, &w.p.fx)
		if len(w.waiting) == 0 {
			w.p.core.Flush(now, &w.p.fx)
			w.answer(now)
		}
	}
}

// step feeds one recorded input, made to fit.
func (w *world) step(now vrrp.Instant, in failover.Input) {
	p := w.p
	switch in := in.(type) {
	case failover.Reconfigured:
		return
	case failover.AddressesReported:
		w.failed = in.Report.Failed
		r := w.report()
		r.Restored, r.Swept, r.Leftover, r.Foreign = in.Report.Restored, in.Report.Swept, in.Report.Leftover, in.Report.Foreign
		p.core.Step(now, failover.AddressesReported{Report: r}, &p.fx)
	case failover.ObjectsReported:
		return // answer says that all of them are there
	case failover.SpeakerReported:
		w.reports[in.Report.Speaker] = in.Report
		p.core.Step(now, w.speaker(in.Report.Speaker), &p.fx)
	default:
		p.core.Step(now, in, &p.fx)
	}
}

// report is what the kernel says of the addresses that were asked for last.
func (w *world) report() failover.AddressReport {
	r := failover.AddressReport{Generation: w.addr.Generation, Failed: make(map[failover.AddressKey]string)}
	for i := range w.addr.Addresses {
		k := w.addr.Addresses[i].Key()
		if why, failed := w.failed[k]; failed {
			r.Failed[k] = why
		} else {
			r.Present = append(r.Present, k)
		}
	}
	return r
}

// speaker is what a speaker says: its sessions as they were recorded, and its routes as they are asked for.
func (w *world) speaker(name string) failover.SpeakerReported {
	r := w.reports[name]
	r.Speaker, r.Generation, r.Announced = name, 0, nil
	if r.Connected {
		r.Generation, r.Announced = w.routes[name].Generation, w.routes[name].Routes
	}
	return failover.SpeakerReported{Report: r}
}

// answer takes note of what is asked for, and has it answered.
func (w *world) answer(vrrp.Instant) {
	fx := &w.p.fx
	if d := fx.Addresses; d != nil && d.Generation != w.addr.Generation {
		w.addr = *d
		w.addr.Addresses = slices.Clone(d.Addresses)
		w.waiting = append(w.waiting, failover.AddressesReported{Report: w.report()})
	}
	for _, r := range fx.Routes {
		if w.routes[r.Speaker].Generation != r.Desired.Generation {
			w.routes[r.Speaker] = r.Desired
			w.waiting = append(w.waiting, w.speaker(r.Speaker))
		}
	}
	if d := fx.Objects; d != nil {
		w.waiting = append(w.waiting, failover.ObjectsReported{Report: failover.ObjectReport{Generation: d.Generation}})
		fx.Objects = nil
	}
}

func durationOf(ns int64) time.Duration { return time.Duration(ns) }

// wall turns instants into wall-clock time, as the recorded clock stood.
func (p *Replay) wall() func(vrrp.Instant) time.Time {
	offset := p.Wall
	return func(i vrrp.Instant) time.Time { return time.Unix(0, int64(i)+offset) }
}

// Clock returns the function that turns instants into wall-clock time, as the recorded clock stands now.
func (p *Replay) Clock() func(vrrp.Instant) time.Time { return p.wall() }
