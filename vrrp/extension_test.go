package vrrp_test

import (
	"testing"
	"time"

	"failoverd/vrrp"
)

// Late wake-ups: a node that was not running has learned something about itself, not about the Active router.
func TestLateBackupListensOnceMore(t *testing.T) {
	r := backup(t, config(100))
	late := r.Deadline() + second + 1
	stays(t, r, r.Expire(late), vrrp.Backup)
	due(t, r, (late + second).Add(r.SkewTime()))
	if r.LateWakeups() != 1 {
		t.Errorf("%d late wake-ups", r.LateWakeups())
	}
	// Once: late again, it takes over.
	if e := r.Expire(r.Deadline() + 60*second); e.To != vrrp.Active || e.Cause != vrrp.CauseSilence {
		t.Errorf("%+v", e)
	}
}

func TestLatenessUpToAnIntervalIsOrdinary(t *testing.T) {
	r := backup(t, config(100))
	if e := r.Expire(r.Deadline() + second); e.To != vrrp.Active || r.LateWakeups() != 0 {
		t.Errorf("%+v, %d late wake-ups", e, r.LateWakeups())
	}
}

func TestHearingSomebodyEndsTheSuspicion(t *testing.T) {
	r := backup(t, config(100))
	for i := range uint64(3) {
		now := r.Deadline() + 30*second
		stays(t, r, r.Expire(now), vrrp.Backup)
		if r.LateWakeups() != i+1 {
			t.Fatalf("%d late wake-ups, want %d", r.LateWakeups(), i+1)
		}
		hear(t, r, now, packet(t, r, higher, 200, 100))
	}
}

// An advert discarded because we are about to preempt is not enough: it does not vouch for us.
func TestDiscardedAdvertsDoNotRenewTheSuspicion(t *testing.T) {
	r := backup(t, config(100))
	now := r.Deadline() + 30*second
	stays(t, r, r.Expire(now), vrrp.Backup)
	hear(t, r, now, packet(t, r, lower, 50, 100))
	if e := r.Expire(r.Deadline() + 30*second); e.To != vrrp.Active {
		t.Errorf("%+v", e)
	}
}

func TestHoldToleratesLowerPriority(t *testing.T) {
	r := backup(t, config(100))
	r.SetHold(true)
	if !r.Held() {
		t.Error("not held")
	}
	for now := second; now < 100*second; now += second {
		hear(t, r, now, packet(t, r, lower, 50, 100))
		due(t, r, now.Add(r.ActiveDownInterval()))
	}
	r.SetHold(false)
	at := r.Deadline()
	hear(t, r, 100*second, packet(t, r, lower, 50, 100))
	due(t, r, at)
	if e := r.Expire(at); e.Cause != vrrp.CausePreempt {
		t.Errorf("%+v", e)
	}
}

func TestHoldDoesNotProtectTheDead(t *testing.T) {
	r := backup(t, config(100))
	r.SetHold(true)
	hear(t, r, second, packet(t, r, lower, 50, 100))
	if e := r.Expire(r.Deadline()); e.To != vrrp.Active || e.Cause != vrrp.CauseSilence {
		t.Errorf("%+v", e)
	}
	r = backup(t, config(100))
	r.SetHold(true)
	hear(t, r, second, packet(t, r, lower, 0, 100))
	due(t, r, second.Add(r.SkewTime()))
}

// Preempt_delay runs while a hold is on: the two do not add up.
func TestPreemptDelayRunsDuringHold(t *testing.T) {
	r := backup(t, config(100, func(c *vrrp.Config) { c.PreemptDelay = 10 * time.Second }))
	r.SetHold(true)
	now := second
	for ; now < 30*second; now += second {
		hear(t, r, now, packet(t, r, lower, 50, 100))
	}
	r.SetHold(false)
	at := r.Deadline()
	hear(t, r, now, packet(t, r, lower, 50, 100))
	due(t, r, at)
}

// What Expire decides is by the parameters that hold then: an advert may have been discarded before they changed.
func TestPreemptionIsReconsideredWhenDue(t *testing.T) {
	for _, tt := range []struct {
		name     string
		change   func(*vrrp.Router)
		preempts bool
	}{
		{"nothing", func(*vrrp.Router) {}, true},
		{"hold", func(r *vrrp.Router) { r.SetHold(true) }, false},
		{"hold, taken back", func(r *vrrp.Router) { r.SetHold(true); r.SetHold(false) }, true},
		{"priority still higher", func(r *vrrp.Router) { r.SetPriority(51) }, true},
		{"priority equal", func(r *vrrp.Router) { r.SetPriority(50) }, false},
		{"priority lower", func(r *vrrp.Router) { r.SetPriority(20) }, false},
		{"no preemption any more", func(r *vrrp.Router) { r.Reconfigure(config(100, nopreempt)) }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := backup(t, config(100))
			last := 3 * second
			hear(t, r, last, packet(t, r, lower, 50, 200))
			tt.change(r)
			at := r.Deadline()
			e := r.Expire(at)
			if tt.preempts {
				if e.To != vrrp.Active || e.Cause != vrrp.CausePreempt {
					t.Errorf("%+v", e)
				}
				return
			}
			stays(t, r, e, vrrp.Backup)
			if r.LearnedInterval() != 200 {
				t.Errorf("interval %d, want that of the router which stays", r.LearnedInterval())
			}
			due(t, r, last.Add(r.ActiveDownInterval()))
			if e := r.Expire(r.Deadline()); e.To != vrrp.Active || e.Cause != vrrp.CauseSilence {
				t.Errorf("then silence: %+v", e)
			}
		})
	}
}

// If the advert is so old that its sender would be given up by now, there is nothing to reconsider.
func TestReprieveIsNotForTheDead(t *testing.T) {
	r := backup(t, config(100, interval(4095)))
	hear(t, r, second, packet(t, r, lower, 50, 10))
	r.SetPriority(20)
	if e := r.Expire(r.Deadline()); e.To != vrrp.Active || e.Cause != vrrp.CauseSilence {
		t.Errorf("%+v", e)
	}
}
