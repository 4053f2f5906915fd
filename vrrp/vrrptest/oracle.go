package vrrptest

import (
	"math"
	"math/big"
	"net/netip"
	"time"

	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// Oracle is RFC 9568 section 6.4 (and RFC 3768 section 6.4 for version 2) once more, written as a table and sharing no
// code with vrrp.Router. Of our extensions it knows joint roles, and no others: no delay, no hold, no late wake-up, no limit to answers. In
// two places it follows the catalogue where the RFC's letter differs: an Active router answers a lower priority in
// version 2 too, and a release never puts a timer off.
type Oracle struct {
	cfg      vrrp.Config
	source   netip.Addr
	mutation Mutation

	joint   bool // it takes the role on Promote only
	state   vrrp.State
	ready   bool
	timer   vrrp.Instant
	patient vrrp.Instant // a demoted router is not ready before
	learned wire.Centiseconds

	// what the step in progress is about, and has produced
	now    vrrp.Instant
	packet *wire.Packet
	effect vrrp.Effect
}

// NewOracle returns an oracle in Initialize. A Mutation other than Faithful makes it wrong in one way.
func NewOracle(cfg vrrp.Config, source netip.Addr, m Mutation) *Oracle {
	return &Oracle{cfg: cfg, source: source, mutation: m, timer: vrrp.Never, patient: math.MinInt64, learned: cfg.Interval}
}

type event uint8

const (
	startup event = iota
	shutdown
	timeout
	release // an advertisement of priority 0
	advert  // any other
	promote // Promote
	demote  // Demote
)

// rule is a row of the table: the first one that applies is carried out.
type rule struct {
	applies func(*Oracle) bool
	actions []func(*Oracle)
	next    vrrp.State
}

var table = map[vrrp.State]map[event][]rule{
	vrrp.Initialize: { // section 6.4.1
		startup: {
			{jointOwner, do(forgetInterval, becomeReady), vrrp.Backup},
			{owner, do(sendAdvert, forgetInterval, armAdver), vrrp.Active},
			{always, do(forgetInterval, armDown), vrrp.Backup},
		},
	},
	vrrp.Backup: { // section 6.4.2
		shutdown: {{always, do(cancel), vrrp.Initialize}},
		timeout: {
			{joint, do(becomeReady), vrrp.Backup},
			{always, do(sendAdvert, forgetInterval, armAdver), vrrp.Active},
		},
		release: {
			{isReady, nil, vrrp.Backup},
			{always, do(adoptRelease, armSkew), vrrp.Backup},
		},
		promote: {{isReady, do(sendAdvert, forgetInterval, armAdver), vrrp.Active}},
		advert: {
			{notLess, do(adoptInterval, armDown), vrrp.Backup},
			{preempts, do(resetWrongly), vrrp.Backup},
			{always, do(adoptInterval, armDown), vrrp.Backup},
		},
	},
	vrrp.Active: { // section 6.4.3
		shutdown: {{always, do(cancel, sendRelease), vrrp.Initialize}},
		timeout:  {{always, do(sendAdvert, armAdver), vrrp.Active}},
		release:  {{always, do(sendAdvert, armAdver), vrrp.Active}},
		demote:   {{always, do(sendRelease, forgetInterval, armDown), vrrp.Backup}},
		advert: {
			{outranked, do(adoptInterval, armDown), vrrp.Backup},
			{fromItself, nil, vrrp.Active},
			{always, do(answer), vrrp.Active},
		},
	},
}

func do(actions ...func(*Oracle)) []func(*Oracle) { return actions }

// Conditions.

func always(*Oracle) bool       { return true }
func owner(o *Oracle) bool      { return o.cfg.Priority == 255 }
func preempts(o *Oracle) bool   { return o.cfg.Preempt || owner(o) }
func joint(o *Oracle) bool      { return o.joint }
func jointOwner(o *Oracle) bool { return o.joint && owner(o) }
func isReady(o *Oracle) bool    { return o.ready }
func fromItself(o *Oracle) bool {
	return o.packet.Priority == o.cfg.Priority && o.packet.Src == o.source
}

func notLess(o *Oracle) bool {
	if o.mutation == BackupComparesAddresses && o.packet.Priority == o.cfg.Priority {
		return o.isGreater(o.packet.Src, o.source)
	}
	return o.packet.Priority >= o.cfg.Priority
}

func outranked(o *Oracle) bool {
	return o.packet.Priority > o.cfg.Priority ||
		o.packet.Priority == o.cfg.Priority && o.isGreater(o.packet.Src, o.source)
}

// isGreater compares addresses as numbers in network byte order.
func (o *Oracle) isGreater(a, b netip.Addr) bool {
	x, y := new(big.Int).SetBytes(a.AsSlice()), new(big.Int).SetBytes(b.AsSlice())
	if o.mutation == SignedCompare {
		sign := new(big.Int).Lsh(big.NewInt(1), uint(a.BitLen()))
		for _, n := range []*big.Int{x, y} {
			if n.Bit(a.BitLen()-1) == 1 {
				n.Sub(n, sign)
			}
		}
	}
	return x.Cmp(y) > 0
}

// Actions.

func sendAdvert(o *Oracle)  { o.effect.Advert, o.effect.Priority = true, o.cfg.Priority }
func sendRelease(o *Oracle) { o.effect.Advert, o.effect.Priority = true, 0 }
func cancel(o *Oracle)      { o.ready, o.timer, o.patient = false, vrrp.Never, math.MinInt64 }
func becomeReady(o *Oracle) { o.ready, o.timer = true, vrrp.Never }

func armDown(o *Oracle) {
	o.ready, o.timer = false, max(o.now.Add(3*o.learned.Duration()+o.skew()), o.patient)
}

// forgetInterval makes Active_Adver_Interval the router's own.
func forgetInterval(o *Oracle) {
	if o.mutation != AdvertisesLearnedInterval || o.state == vrrp.Initialize {
		o.learned = o.cfg.Interval
	}
}

func adoptInterval(o *Oracle) { o.learned = o.packet.Interval }

func armAdver(o *Oracle) {
	o.ready, o.timer, o.patient = false, o.now.Add(o.cfg.Interval.Duration()), math.MinInt64
}

func armSkew(o *Oracle) {
	if t := o.now.Add(o.skew()); t < o.timer || o.mutation == ReleaseExtends {
		o.timer = t
	}
}

func adoptRelease(o *Oracle) {
	if o.mutation == ReleaseAdopted {
		adoptInterval(o)
	}
}

func resetWrongly(o *Oracle) {
	if o.mutation == LowerPriorityResetsTimer {
		armDown(o)
	}
}

func answer(o *Oracle) {
	if o.mutation != NoReadvertise {
		sendAdvert(o)
	}
}

// skew is Skew_Time.
func (o *Oracle) skew() time.Duration {
	unit := o.learned.Duration()
	switch {
	case o.cfg.Version == wire.V2:
		unit = time.Second
	case o.mutation == SkewFromOwnInterval:
		unit = o.cfg.Interval.Duration()
	}
	return unit * (256 - time.Duration(o.cfg.Priority)) / 256
}

func (o *Oracle) step(now vrrp.Instant, e event, p *wire.Packet) vrrp.Effect {
	o.now, o.packet, o.effect = now, p, vrrp.Effect{From: o.state, To: o.state}
	for _, r := range table[o.state][e] {
		if r.applies(o) {
			for _, action := range r.actions {
				action(o)
			}
			o.state, o.effect.To = r.next, r.next
			break
		}
	}
	return o.effect
}

// Startup implements Machine.
func (o *Oracle) Startup(now vrrp.Instant) vrrp.Effect { return o.step(now, startup, nil) }

// Shutdown implements Machine.
func (o *Oracle) Shutdown(now vrrp.Instant) vrrp.Effect { return o.step(now, shutdown, nil) }

// Expire implements Machine.
func (o *Oracle) Expire(now vrrp.Instant) vrrp.Effect {
	if now < o.timer {
		return vrrp.Effect{From: o.state, To: o.state}
	}
	return o.step(now, timeout, nil)
}

// SetJoint is vrrp.Router.SetJoint, to be called in Initialize.
func (o *Oracle) SetJoint(joint bool) { o.joint = joint }

// Promote is vrrp.Router.Promote.
func (o *Oracle) Promote(now vrrp.Instant) vrrp.Effect { return o.step(now, promote, nil) }

// Demote is vrrp.Router.Demote.
func (o *Oracle) Demote(now vrrp.Instant, patience time.Duration) vrrp.Effect {
	e := o.step(now, demote, nil)
	if e.Changed() {
		if o.timer = o.timer.Add(patience); patience > 0 {
			o.patient = o.timer
		}
	}
	return e
}

// Receive implements Machine. It refuses only what a simulated network can bring about.
func (o *Oracle) Receive(now vrrp.Instant, p *wire.Packet) (vrrp.Effect, wire.DropReason) {
	stay := vrrp.Effect{From: o.state, To: o.state}
	switch {
	case p.Src == o.source:
		return stay, wire.DropOwnSource
	case o.state == vrrp.Initialize:
		return stay, wire.DropNotRunning
	case p.Version != o.cfg.Version:
		return stay, wire.DropVersion
	case p.VRID != o.cfg.Key.VRID:
		return stay, wire.DropVRID
	case p.Version == wire.V2 && p.Interval != o.cfg.Interval:
		return stay, wire.DropInterval
	case p.Priority == 0:
		return o.step(now, release, p), wire.Accepted
	}
	return o.step(now, advert, p), wire.Accepted
}

// Advertisement implements Machine.
func (o *Oracle) Advertisement(a *wire.Advertisement, priority uint8) {
	*a = wire.Advertisement{
		Version: o.cfg.Version, VRID: o.cfg.Key.VRID, Priority: priority, Interval: o.cfg.Interval,
		Addresses: o.cfg.Addresses,
	}
	if o.mutation == AdvertisesLearnedInterval {
		a.Interval = o.learned
	}
}

// State implements Machine.
func (o *Oracle) State() vrrp.State { return o.state }

// Deadline implements Machine.
func (o *Oracle) Deadline() vrrp.Instant { return o.timer }

// Priority implements Machine.
func (o *Oracle) Priority() uint8 { return o.cfg.Priority }

// LearnedInterval implements Machine.
func (o *Oracle) LearnedInterval() wire.Centiseconds { return o.learned }
