package vrrp_test

import (
	"net/netip"
	"testing"
	"time"

	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// A router that had the role in another life of the agent is Active at once, sync group or not, and from Initialize only.
func TestRestart(t *testing.T) {
	for _, joint := range []bool{false, true} {
		r := newRouter(t, config(100))
		r.SetSource(netip.Addr{})
		r.SetJoint(joint)
		if e := r.Restart(0); e.Changed() || e.Advert {
			t.Errorf("joint %t, without a source: %+v", joint, e)
		}
		r.SetSource(own)
		e := r.Restart(5)
		if e.To != vrrp.Active || e.Cause != vrrp.CauseRestart || !e.Advert || e.Priority != 100 {
			t.Errorf("joint %t: %+v", joint, e)
		}
		if want := vrrp.Instant(5).Add(time.Second); r.Deadline() != want {
			t.Errorf("joint %t: the next advertisement is due at %d, want %d", joint, r.Deadline(), want)
		}
		if e := r.Restart(6); e.Changed() || e.Advert {
			t.Errorf("joint %t, Active: %+v", joint, e)
		}
	}
}

// What is signed ahead has a greater number than what is sent until then, and leaves no trace.
func TestSignAhead(t *testing.T) {
	cfg := config(100)
	cfg.HMAC = &vrrp.HMAC{
		Keys: []vrrp.HMACKey{{ID: 1, Secret: "0123456789abcdef0123456789abcdef"}}, ActiveKey: 1, TimeWindow: 5 * time.Second,
	}
	r := newRouter(t, cfg)
	const noon = int64(1_700_000_000_000_000_000)
	sign := func(at int64) wire.Sequence {
		var a wire.Advertisement
		r.Advertisement(&a, 100)
		r.SetWallClock(at)
		return r.Sign(&a).Sequence
	}
	first := sign(noon)
	var a wire.Advertisement
	r.Advertisement(&a, wire.PriorityRelease)
	ahead := r.SignAhead(&a, time.Second).Sequence
	almost, after := sign(noon+int64(900*time.Millisecond)), sign(noon+int64(1100*time.Millisecond))
	if !almost.After(first) || !ahead.After(almost) || !after.After(ahead) {
		t.Errorf("numbers %v, 0.9 s %v, ahead by 1 s %v, 1.1 s %v: want them in this order", first, almost, ahead, after)
	}
}
