package vrrp

import (
	"math"
	"net/netip"
	"slices"
	"time"

	"failoverd/vrrp/wire"
)

// Router is one virtual router: the state machine of RFC 9568 section 6.4. It is not safe for concurrent use; one
// owner steps it. No method allocates.
type Router struct {
	// changed by Reconfigure only
	cfg    Config
	sorted []netip.Addr // cfg.Addresses, for comparison with what others advertise

	// parameters that may change while it runs
	priority uint8
	source   netip.Addr
	hold     bool
	joint    bool

	state    State
	deadline Instant // Adver_Timer in Active, Active_Down_Timer in Backup, Never in Initialize
	learned  wire.Centiseconds
	// downCause is what the Active_Down_Timer firing would mean.
	downCause Cause
	// preemptAt is when preempt_delay ends; Never while no lower-priority router is being tolerated.
	preemptAt Instant
	// ready: the timer of a joint router has fired, at readySince; deadline is Never. following: see Following.
	ready      bool
	following  bool
	readySince Instant
	// patientUntil: a demoted router is not ready before, whatever it hears, but for a release.
	patientUntil Instant
	// suspected is set once a late wake-up has re-armed the Active_Down_Timer, until somebody is heard.
	suspected bool
	// quietUntil is when another answer may be sent (ReadvertiseGap).
	quietUntil  Instant
	heard       Heard
	drops       wire.DropCounters
	received    uint64
	listDiffer  uint64
	checksums   [3]uint64
	late        uint64
	lateAdverts uint64

	auth authentication
	wall int64 // nanoseconds since the Unix epoch, as told last
}

// New returns a router in state Initialize, or an error that says which parameter is out of range.
func New(cfg Config) (*Router, error) {
	r := &Router{deadline: Never, preemptAt: Never, quietUntil: math.MinInt64, patientUntil: math.MinInt64}
	if err := r.use(cfg); err != nil {
		return nil, err
	}
	r.learned = cfg.Interval
	return r, nil
}

// defaultDownTimerAdverts is the multiplier of RFC 9568 section 6.1.
const defaultDownTimerAdverts = 3

// use makes cfg the parameters of r, or returns an error and changes nothing.
func (r *Router) use(cfg Config) error {
	if err := cfg.validate(); err != nil {
		return err
	}
	if cfg.DownTimerAdverts == 0 {
		cfg.DownTimerAdverts = defaultDownTimerAdverts
	}
	if cfg.AuthType == wire.AuthNone {
		cfg.AuthData = [8]byte{} // the field is sent all the same (RFC 3768 section 5.3.10)
	}
	cfg.Addresses, cfg.Peers, cfg.Watchers = slices.Clone(cfg.Addresses), slices.Clone(cfg.Peers), slices.Clone(cfg.Watchers)
	r.cfg, r.priority = cfg, cfg.Priority
	r.sorted = slices.SortedFunc(slices.Values(cfg.Addresses), netip.Addr.Compare)
	r.auth.adopt(&r.cfg)
	return nil
}

// Config returns the parameters given to New. The slices are the router's own: read only.
func (r *Router) Config() *Config { return &r.cfg }

// State returns the current state.
func (r *Router) State() State { return r.state }

// Priority returns the priority that the router advertises.
func (r *Router) Priority() uint8 { return r.priority }

// Source returns the address that advertisements are sent from; zero before SetSource.
func (r *Router) Source() netip.Addr { return r.source }

// Deadline returns when Expire wants to be called; Never in Initialize, and for a joint router that is ready.
func (r *Router) Deadline() Instant { return r.deadline }

// Heard returns the last advertisement processed.
func (r *Router) Heard() Heard { return r.heard }

// Drops returns the counters of packets that this router refused.
func (r *Router) Drops() wire.DropCounters { return r.drops }

// Received returns how many advertisements were accepted.
func (r *Router) Received() uint64 { return r.received }

// ListMismatches returns how many accepted advertisements carried another address list (V3-RX-15).
func (r *Router) ListMismatches() uint64 { return r.listDiffer }

// ChecksumForms returns how many accepted advertisements verified under each form, indexed by wire.ChecksumForm.
func (r *Router) ChecksumForms() [3]uint64 { return r.checksums }

// LateWakeups returns how often this node, not its peer, was found late (see Expire).
func (r *Router) LateWakeups() uint64 { return r.late }

// LateAdverts returns how many advertisements were processed in Backup when the timer had already run out: each of them
// may have prevented a needless takeover (V3-FSM-23).
func (r *Router) LateAdverts() uint64 { return r.lateAdverts }

// LearnedInterval returns Active_Adver_Interval: the interval of the Active router as last adopted.
func (r *Router) LearnedInterval() wire.Centiseconds { return r.learned }

// SetPriority changes the advertised priority, 1 to 254; 255 counts as 254, for only an owner has that, and 0 is
// ignored. It changes no state by itself: an Active router carries it in its next advertisement (V3-TX-22), a Backup
// uses it when it next computes a timer, and Expire when it decides whether to preempt. The owner's never changes.
func (r *Router) SetPriority(p uint8) {
	if p != 0 && r.cfg.Priority != wire.PriorityOwner {
		r.priority = min(p, wire.PriorityOwner-1)
	}
}

// SetSource changes the address that advertisements are sent from and that ties are broken with; a zone is dropped. A
// running router needs one at all times: shut it down before its address goes.
func (r *Router) SetSource(a netip.Addr) { r.source = a.WithZone("") }

// SetHold makes a Backup router leave a live Active router of lower priority alone, as if Preempt were false. It does
// not keep it from replacing a silent one.
func (r *Router) SetHold(hold bool) { r.hold = hold }

// Held reports what SetHold said last.
func (r *Router) Held() bool { return r.hold }

// SkewTime returns Skew_Time (RFC 9568 section 6.1; RFC 3768 section 6.1 for version 2), exact in nanoseconds.
func (r *Router) SkewTime() time.Duration {
	gap := time.Duration(256 - int(r.priority))
	if r.cfg.Version == wire.V2 {
		return gap * time.Second / 256
	}
	return gap * r.learned.Duration() / 256
}

// ActiveDownInterval returns Active_Down_Interval: how long a Backup waits for the Active router.
func (r *Router) ActiveDownInterval() time.Duration {
	return time.Duration(r.cfg.DownTimerAdverts)*r.learned.Duration() + r.SkewTime()
}

// Startup enables the router (RFC 9568 section 6.4.1). It does nothing outside Initialize, and nothing before
// SetSource: a router that cannot send must not believe that it can be Active (V3-TX-04).
func (r *Router) Startup(now Instant) Effect {
	if r.state != Initialize || !r.source.IsValid() {
		return r.stay()
	}
	r.learned, r.preemptAt, r.suspected = r.cfg.Interval, Never, false
	owner := r.priority == wire.PriorityOwner
	if owner && !r.joint {
		return r.promote(now, CauseOwner)
	}
	e := r.follow(now, CauseStartup)
	r.downCause = CauseSilence
	if owner {
		r.downCause = CauseOwner
		r.wait(now)
	}
	return e
}

// Restart is Startup for a router that had the role in another life of the agent, which has said nothing since: nobody can
// have missed it yet, so it is Active at once. The caller knows that it is in time.
func (r *Router) Restart(now Instant) Effect {
	if r.state != Initialize || !r.source.IsValid() {
		return r.stay()
	}
	return r.promote(now, CauseRestart)
}

// Shutdown disables the router (sections 6.4.2, 6.4.3). An Active one asks for an advertisement of priority 0.
func (r *Router) Shutdown(Instant) Effect {
	e := Effect{From: r.state, To: Initialize, Cause: CauseShutdown}
	if r.state == Active {
		e.Advert, e.Priority = true, wire.PriorityRelease
	}
	r.state, r.deadline, r.preemptAt = Initialize, Never, Never
	r.ready, r.following, r.patientUntil = false, false, math.MinInt64
	return e
}

// Expire fires the timer if it is due at now, and asks for nothing if it is not.
//
// A Backup that wakes up later than one interval after its deadline has learned something about itself, not about
// the Active router: it was not running, and adverts may have been missed on the way. It listens for one more
// interval plus skew, once, before it takes over.
func (r *Router) Expire(now Instant) Effect {
	if now < r.deadline {
		return r.stay()
	}
	switch r.state {
	case Active:
		r.nextAdvert(now)
		return Effect{Advert: true, Priority: r.priority, From: Active, To: Active}
	case Backup:
		if late := now.Sub(r.deadline); late > r.learned.Duration() && !r.suspected {
			r.suspected = true
			r.late++
			r.deadline = now.Add(r.learned.Duration() + r.SkewTime())
			return r.stay()
		}
		if r.reprieve(now) {
			return r.stay()
		}
		if r.joint {
			return r.wait(now)
		}
		return r.promote(now, r.downCause)
	}
	return r.stay()
}

// reprieve reports whether the lower-priority Active router that r was about to preempt is to stay after all: since
// its advertisement was discarded, r's priority may have fallen to its own or below, or a hold have begun. Then that
// advertisement counts as if it came under the present parameters, at the time it came.
func (r *Router) reprieve(now Instant) bool {
	if r.downCause != CausePreempt || (r.heard.Priority < r.priority && !r.tolerates(now)) {
		return false
	}
	r.learned, r.downCause = r.heard.Interval, CauseSilence
	r.deadline = r.heard.At.Add(r.ActiveDownInterval())
	r.following = r.deadline > now
	return r.following
}

// nextAdvert moves Adver_Timer by whole intervals from where it was, so that the rate does not drift with the
// lateness of the caller; a timer that is more than an interval behind starts afresh.
func (r *Router) nextAdvert(now Instant) {
	iv := r.cfg.Interval.Duration()
	r.deadline = r.deadline.Add(iv)
	if r.deadline <= now {
		r.deadline = now.Add(iv)
	}
}

// promote makes the router Active: advertise, then the rest (section 6.4.2 step 390 ff).
func (r *Router) promote(now Instant, why Cause) Effect {
	e := Effect{Advert: true, Priority: r.priority, From: r.state, To: Active, Cause: why}
	r.state, r.deadline = Active, now.Add(r.cfg.Interval.Duration())
	r.ready, r.following, r.patientUntil = false, false, math.MinInt64
	r.learned, r.preemptAt, r.suspected = r.cfg.Interval, Never, false
	return e
}

// follow makes the router Backup with a fresh Active_Down_Timer.
func (r *Router) follow(now Instant, why Cause) Effect {
	e := Effect{From: r.state, To: Backup, Cause: why}
	r.state, r.deadline = Backup, now.Add(r.ActiveDownInterval())
	r.ready, r.following = false, false
	return e
}

func (r *Router) stay() Effect { return Effect{From: r.state, To: r.state} }

// Advertisement fills a with what the router says, at the given priority. a's address slice is set to the router's
// own: read only.
func (r *Router) Advertisement(a *wire.Advertisement, priority uint8) {
	*a = wire.Advertisement{
		Version: r.cfg.Version, VRID: r.cfg.Key.VRID, Priority: priority, Interval: r.cfg.Interval,
		AuthType: r.cfg.AuthType, AuthData: r.cfg.AuthData, Addresses: r.cfg.Addresses,
	}
}
