package vrrp_test

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

func TestV3_FSM_01_OwnerIsActiveAtOnce(t *testing.T) {
	r := newRouter(t, config(wire.PriorityOwner, interval(50)))
	want := vrrp.Effect{Advert: true, Priority: 255, From: vrrp.Initialize, To: vrrp.Active, Cause: vrrp.CauseOwner}
	if e := r.Startup(second); e != want || r.State() != vrrp.Active {
		t.Errorf("%+v, want %+v", e, want)
	}
	due(t, r, second.Add(500*time.Millisecond))
	stays(t, r, r.Startup(2*second), vrrp.Active)
}

func TestV3_FSM_02_StartupBelow255(t *testing.T) {
	for _, tt := range []struct {
		priority uint8
		interval wire.Centiseconds
		want     time.Duration
	}{
		{100, 100, 3609375 * time.Microsecond},
		{150, 100, 3414062500 * time.Nanosecond},
		{254, 1, 30078125 * time.Nanosecond},
		{1, 4095, 3*40950*time.Millisecond + 255*40950*time.Millisecond/256},
	} {
		r := newRouter(t, config(tt.priority, interval(tt.interval)))
		want := vrrp.Effect{From: vrrp.Initialize, To: vrrp.Backup, Cause: vrrp.CauseStartup}
		if e := r.Startup(second); e != want || r.LearnedInterval() != tt.interval {
			t.Errorf("%+v, interval %d", e, r.LearnedInterval())
		}
		due(t, r, second.Add(tt.want))
		stays(t, r, r.Startup(2*second), vrrp.Backup)
		due(t, r, second.Add(tt.want))
	}
	// What was learned in an earlier life is forgotten.
	r := backup(t, config(100))
	hear(t, r, second, packet(t, r, higher, 200, 300))
	r.Shutdown(2 * second)
	r.Startup(3 * second)
	due(t, r, (3 * second).Add(3609375*time.Microsecond))
}

func TestV3_FSM_03_TimerMakesActive(t *testing.T) {
	r := backup(t, config(100))
	at := r.Deadline()
	stays(t, r, r.Expire(at-1), vrrp.Backup)
	if e := r.Expire(at); !e.Advert || e.Priority != 100 || e.From != vrrp.Backup || e.To != vrrp.Active {
		t.Errorf("%+v", e)
	}
}

func TestV3_FSM_04_ReleaseArmsSkew(t *testing.T) {
	r := backup(t, config(100))
	hear(t, r, second, packet(t, r, higher, 200, 300))
	skew := 156 * 3 * time.Second / 256
	stays(t, r, hear(t, r, 2*second, packet(t, r, higher, 0, 4095)), vrrp.Backup)
	due(t, r, (2 * second).Add(skew))
	if r.LearnedInterval() != 300 {
		t.Errorf("interval %d adopted from a release", r.LearnedInterval())
	}
	// More of them come, also from others. The takeover stays where it was.
	for now := 2 * second; now < (2 * second).Add(skew); now += after(50 * time.Millisecond) {
		hear(t, r, now, packet(t, r, lower, 0, 1))
		due(t, r, (2 * second).Add(skew))
	}
	if e := r.Expire(r.Deadline()); e.To != vrrp.Active || e.Cause != vrrp.CauseRelease {
		t.Errorf("%+v", e)
	}
	// A release that comes when the timer has less than a skew to run leaves it alone.
	r = backup(t, config(100))
	at := r.Deadline()
	hear(t, r, at-1, packet(t, r, higher, 0, 100))
	due(t, r, at)
}

func TestV3_FSM_05_AdvertOfAtLeastOurPriority(t *testing.T) {
	for _, priority := range []uint8{100, 101, 255} {
		r := backup(t, config(100))
		stays(t, r, hear(t, r, second, packet(t, r, higher, priority, 300)), vrrp.Backup)
		if r.LearnedInterval() != 300 {
			t.Errorf("priority %d: interval %d, want 300", priority, r.LearnedInterval())
		}
		due(t, r, second.Add(9*time.Second+156*3*time.Second/256))
	}
}

func TestV3_FSM_06_BackupDoesNotCompareAddresses(t *testing.T) {
	for _, src := range []netip.Addr{lower, higher} {
		r := backup(t, config(100))
		stays(t, r, hear(t, r, second, packet(t, r, src, 100, 100)), vrrp.Backup)
		due(t, r, second.Add(3609375*time.Microsecond))
	}
}

func TestV3_FSM_07_LowerPriorityIsDiscardedWhenPreempting(t *testing.T) {
	r := backup(t, config(100))
	want := r.Deadline()
	for now := second / 2; now < want; now += second / 2 {
		stays(t, r, hear(t, r, now, packet(t, r, higher, 99, 300)), vrrp.Backup)
		due(t, r, want)
	}
	if r.LearnedInterval() != 100 {
		t.Errorf("interval %d adopted", r.LearnedInterval())
	}
	if e := r.Expire(want); e.To != vrrp.Active || e.Cause != vrrp.CausePreempt {
		t.Errorf("%+v", e)
	}
}

func TestV3_FSM_08_LowerPriorityIsFollowedWithoutPreempt(t *testing.T) {
	r := backup(t, config(100, nopreempt))
	for now := second / 2; now < 1000*second; now += 2 * second {
		stays(t, r, hear(t, r, now, packet(t, r, lower, 1, 200)), vrrp.Backup)
		due(t, r, now.Add(6*time.Second+156*2*time.Second/256))
		if effects := expireUntil(r, now+2*second-1); effects != nil {
			t.Fatalf("at %v: %+v", now, effects)
		}
	}
	if e := r.Expire(r.Deadline()); e.To != vrrp.Active || e.Cause != vrrp.CauseSilence {
		t.Errorf("silence: %+v", e)
	}
}

func TestV3_FSM_09_OwnerIgnoresPreemptFlag(t *testing.T) {
	r := newRouter(t, config(wire.PriorityOwner, nopreempt))
	if e := r.Startup(0); e.To != vrrp.Active {
		t.Errorf("%+v", e)
	}
	// Once another owner has made it a Backup, too.
	if e := hear(t, r, second, packet(t, r, higher, 255, 100)); e.To != vrrp.Backup {
		t.Fatalf("%+v", e)
	}
	r.SetHold(true)
	at := r.Deadline()
	hear(t, r, 2*second, packet(t, r, higher, 254, 100))
	due(t, r, at)
	if e := r.Expire(at); e.To != vrrp.Active {
		t.Errorf("%+v", e)
	}
}

func TestV3_FSM_10_ShutdownOfBackup(t *testing.T) {
	r := backup(t, config(100))
	want := vrrp.Effect{From: vrrp.Backup, To: vrrp.Initialize, Cause: vrrp.CauseShutdown}
	if e := r.Shutdown(second); e != want {
		t.Errorf("%+v, want %+v", e, want)
	}
	due(t, r, vrrp.Never)
	stays(t, r, r.Expire(1000*second), vrrp.Initialize)
}

func TestV3_FSM_11_AdverTimer(t *testing.T) {
	r, now := active(t, config(100))
	for range 5 {
		stays(t, r, r.Expire(now+second-1), vrrp.Active)
		now += second
		want := vrrp.Effect{Advert: true, Priority: 100, From: vrrp.Active, To: vrrp.Active}
		if e := r.Expire(now); e != want {
			t.Errorf("%+v, want %+v", e, want)
		}
		due(t, r, now+second)
	}
	// A caller that is a little late does not make the rate drift; one that missed adverts does not catch up on them.
	r.Expire(now + second + 1000)
	due(t, r, now+2*second)
	r.Expire(now + 10*second)
	due(t, r, now+11*second)
}

func TestV3_FSM_12_ReleaseIsAnsweredByActive(t *testing.T) {
	r, now := active(t, config(100))
	now += second / 2
	want := vrrp.Effect{Advert: true, Priority: 100, From: vrrp.Active, To: vrrp.Active}
	if e := hear(t, r, now, packet(t, r, higher, 0, 300)); e != want {
		t.Errorf("%+v, want %+v", e, want)
	}
	due(t, r, now+second)
	// Where the answer is held back, so is the timer's restart: adverts never come further apart than the interval.
	stays(t, r, hear(t, r, now.Add(time.Millisecond), packet(t, r, higher, 0, 300)), vrrp.Active)
	due(t, r, now+second)
}

func TestV3_FSM_13_ActiveYieldsToHigherPriority(t *testing.T) {
	r, now := active(t, config(100))
	want := vrrp.Effect{From: vrrp.Active, To: vrrp.Backup, Cause: vrrp.CauseHigherPriority}
	if e := hear(t, r, now, packet(t, r, lower, 101, 300)); e != want {
		t.Errorf("%+v, want %+v", e, want)
	}
	if r.LearnedInterval() != 300 || r.Heard().Address != lower {
		t.Errorf("interval %d from %v", r.LearnedInterval(), r.Heard().Address)
	}
	due(t, r, now.Add(9*time.Second+156*3*time.Second/256))

	// keepalived's extension: a last word, which is no release.
	r, now = active(t, config(100, func(c *vrrp.Config) { c.LastWord = true }))
	if e := hear(t, r, now, packet(t, r, lower, 101, 100)); !e.Advert || e.Priority != 100 || e.To != vrrp.Backup {
		t.Errorf("%+v", e)
	}
}

func TestV3_FSM_14_ActiveYieldsToHigherAddress(t *testing.T) {
	for _, tt := range []struct {
		own, other string
		yields     bool
	}{
		{"192.0.2.11", "192.0.2.13", true},
		{"192.0.2.13", "192.0.2.11", false},
		{"127.255.255.1", "128.0.0.1", true},
		{"128.0.0.1", "127.255.255.1", false},
		{"10.0.0.200", "10.0.1.1", true},
		{"9.255.255.255", "10.0.0.0", true},
		{"fe80::7fff:0:0:1", "fe80::8000:0:0:1", true},
		{"fe80::8000:0:0:1", "fe80::7fff:0:0:1", false},
		{"fe80::ff", "fe80::100", true},
		{"fe80::1:0:0:0", "fe80::ffff:ffff:ffff", false},
	} {
		c := config(100)
		if addr(tt.own).Is6() {
			c = config(100, ipv6)
		}
		r := newRouter(t, c)
		r.SetSource(addr(tt.own))
		r.Startup(0)
		now := r.Deadline()
		r.Expire(now)
		e := hear(t, r, now, packet(t, r, addr(tt.other), 100, 300))
		if e.Changed() != tt.yields || tt.yields && (e.Cause != vrrp.CauseHigherAddress || e.Advert || r.LearnedInterval() != 300) {
			t.Errorf("%s hears %s: %+v", tt.own, tt.other, e)
		}
		if !tt.yields && (!e.Advert || !e.Rival) {
			t.Errorf("%s hears %s and does not answer: %+v", tt.own, tt.other, e)
		}
	}
}

func TestV3_FSM_15_LowerPriorityIsAnsweredAtOnce(t *testing.T) {
	for _, tt := range []struct {
		src      netip.Addr
		priority uint8
	}{{higher, 99}, {lower, 1}, {lower, 100}} {
		r, now := active(t, config(100))
		want := vrrp.Effect{Advert: true, Priority: 100, From: vrrp.Active, To: vrrp.Active, Rival: true}
		if e := hear(t, r, now+second/2, packet(t, r, tt.src, tt.priority, 300)); e != want {
			t.Errorf("priority %d from %v: %+v, want %+v", tt.priority, tt.src, e, want)
		}
		due(t, r, now+second)
		if r.LearnedInterval() != 100 {
			t.Errorf("interval %d adopted by an Active router", r.LearnedInterval())
		}
		if h := r.Heard(); h.Address != tt.src || h.Priority != tt.priority {
			t.Errorf("the rival is not known: %+v", h)
		}
	}
}

func TestV3_FSM_16_LoopedAdvertIsNoStorm(t *testing.T) {
	r, now := active(t, config(100))
	p := packet(t, r, own, 100, 100)
	if _, why := r.Receive(now, p); why != wire.DropOwnSource || r.Drops()[wire.DropOwnSource] != 1 {
		t.Errorf("first rung: %v", why)
	}
	// Even if it came through.
	if e := r.ReceiveActive(now+second/2, p); e.Advert || e.Changed() || e.Rival {
		t.Errorf("%+v", e)
	}
	due(t, r, now+second)
}

func TestV3_FSM_17_AnswersAreLimited(t *testing.T) {
	for _, priority := range []uint8{0, 50} {
		r, start := active(t, config(100))
		p := packet(t, r, higher, priority, 100)
		answers, regular := 0, 0
		last := start - second
		for now := start; now < start+10*second; now += after(time.Millisecond) {
			regular += len(expireUntil(r, now))
			if e := hear(t, r, now, p); e.Advert {
				answers++
				if gap := now.Sub(last); gap < vrrp.ReadvertiseGap {
					t.Fatalf("priority %d: answers %v apart", priority, gap)
				}
				last = now
			}
		}
		if answers != 1000 {
			t.Errorf("priority %d: %d answers to 10000 adverts in 10 s, want 1000", priority, answers)
		}
		if priority != 0 && regular != 9 {
			t.Errorf("%d regular adverts in just under 10 s, want 9", regular)
		}
	}
}

// The limit holds whatever the clock shows.
func TestV3_FSM_17_FirstAnswerAtAnyInstant(t *testing.T) {
	for _, start := range []vrrp.Instant{-1 << 62, -3600 * second, 0, 1 << 61} {
		r := newRouter(t, config(wire.PriorityOwner))
		r.Startup(start)
		if e := hear(t, r, start, packet(t, r, lower, 100, 100)); !e.Advert {
			t.Errorf("at %d: no answer", start)
		}
	}
}

func TestV3_FSM_18_PreemptFlagDoesNotProtectActive(t *testing.T) {
	r, now := active(t, config(100, nopreempt))
	if e := hear(t, r, now, packet(t, r, lower, 101, 100)); e.To != vrrp.Backup {
		t.Errorf("%+v", e)
	}
}

func TestV3_FSM_19_ShutdownOfActive(t *testing.T) {
	r, now := active(t, config(100))
	e := r.Shutdown(now)
	if !e.Advert || e.Priority != wire.PriorityRelease || e.From != vrrp.Active || e.To != vrrp.Initialize {
		t.Errorf("%+v", e)
	}
	due(t, r, vrrp.Never)
}

func TestV3_FSM_20_SkewUsesLearnedInterval(t *testing.T) {
	r := backup(t, config(100, interval(100)))
	hear(t, r, second, packet(t, r, higher, 200, 300))
	const want = 10828125 * time.Microsecond // 900 cs + 182.8125 cs
	if got := r.ActiveDownInterval(); got != want {
		t.Errorf("Active_Down_Interval %v, want %v", got, want)
	}
	due(t, r, second.Add(want))
}

func TestV3_FSM_21_PromotionForgetsLearnedInterval(t *testing.T) {
	r := backup(t, config(100, interval(100)))
	hear(t, r, second, packet(t, r, higher, 200, 300))
	r.Expire(r.Deadline())
	if r.State() != vrrp.Active || r.LearnedInterval() != 100 {
		t.Errorf("%v with interval %d, want 100", r.State(), r.LearnedInterval())
	}
	if got := r.ActiveDownInterval(); got != 3609375*time.Microsecond {
		t.Errorf("Active_Down_Interval %v", got)
	}
}

// A timer is a deadline in the state: one that was moved or dropped cannot fire.
func TestV3_FSM_22_StaleTimerIsIgnored(t *testing.T) {
	r := backup(t, config(100))
	stale := r.Deadline()
	hear(t, r, second, packet(t, r, higher, 200, 100))
	stays(t, r, r.Expire(stale), vrrp.Backup)

	r, now := active(t, config(100))
	stale = r.Deadline()
	hear(t, r, now, packet(t, r, higher, 200, 100))
	stays(t, r, r.Expire(stale), vrrp.Backup)

	r, _ = active(t, config(100))
	stale = r.Deadline()
	r.Shutdown(stale - 1)
	stays(t, r, r.Expire(stale), vrrp.Initialize)
}

func TestV3_FSM_23_AdvertBeforeTimerAtTheSameInstant(t *testing.T) {
	r := backup(t, config(100))
	at := r.Deadline()
	hear(t, r, at, packet(t, r, higher, 200, 100))
	stays(t, r, r.Expire(at), vrrp.Backup)
	due(t, r, at.Add(3609375*time.Microsecond))
	// The same when the advert lay in the socket while the process stood still.
	late := r.Deadline() + 30*second
	hear(t, r, late, packet(t, r, higher, 200, 100))
	stays(t, r, r.Expire(late), vrrp.Backup)
	if r.LateWakeups() != 0 || r.LateAdverts() != 2 {
		t.Errorf("%d late wake-ups and %d late adverts counted", r.LateWakeups(), r.LateAdverts())
	}
	hear(t, r, r.Deadline()-1, packet(t, r, higher, 200, 100))
	if r.LateAdverts() != 2 {
		t.Error("an advert in time was counted as late")
	}
}

// Nothing depends on what the clock shows: the same events an hour earlier or later have the same effects.
func TestV3_FSM_24_ClockOffsetChangesNothing(t *testing.T) {
	trace := func(offset vrrp.Instant) (log []timed) {
		random := rand.New(rand.NewPCG(24, 0))
		r := newRouter(t, config(100))
		r.Startup(offset)
		now := offset
		for range 500 {
			now += after(time.Duration(random.Int64N(int64(2 * time.Second))))
			log = append(log, expireUntil(r, now)...)
			p := packet(t, r, higher, []uint8{0, 50, 100, 150}[random.IntN(4)], 100)
			log = append(log, timed{now, hear(t, r, now, p)})
		}
		for i := range log {
			log[i].At -= offset
		}
		return log
	}
	want := trace(0)
	for _, offset := range []vrrp.Instant{3600 * second, -3600 * second, 1} {
		if got := trace(offset); !slices.Equal(got, want) {
			t.Errorf("offset %v: another course", time.Duration(offset))
		}
	}
}

// The interface's fate reaches the router as Shutdown and Startup; that a release cannot leave a dead interface is
// known to the link.
func TestV3_FSM_25_LinkDownAndUp(t *testing.T) {
	r, now := active(t, config(100))
	if e := r.Shutdown(now); e.To != vrrp.Initialize {
		t.Errorf("%+v", e)
	}
	if _, why := r.Receive(now+second, packet(t, r, higher, 200, 100)); why != wire.DropNotRunning {
		t.Errorf("%v", why)
	}
	if e := r.Startup(now + 5*second); e.To != vrrp.Backup {
		t.Errorf("%+v", e)
	}
	due(t, r, (now + 5*second).Add(3609375*time.Microsecond))
}

func TestV3_FSM_26_PreemptDelay(t *testing.T) {
	delayed := func(c *vrrp.Config) { c.PreemptDelay = 10 * time.Second }
	r := backup(t, config(150, delayed))
	now := second / 2
	first := now
	for ; now < first+10*second; now += second {
		stays(t, r, hear(t, r, now, packet(t, r, lower, 100, 100)), vrrp.Backup)
		if effects := expireUntil(r, now+second-1); effects != nil {
			t.Fatalf("preempted at %+v, before its delay", effects)
		}
	}
	at := r.Deadline() // set by the last advert within the delay
	for ; now < at; now += second {
		hear(t, r, now, packet(t, r, lower, 100, 100))
		due(t, r, at)
	}
	if e := r.Expire(at); e.To != vrrp.Active || e.Cause != vrrp.CausePreempt {
		t.Errorf("after the delay: %+v", e)
	}

	// Silence ends it, and so does a release.
	r = backup(t, config(150, delayed))
	hear(t, r, second, packet(t, r, lower, 100, 100))
	at = r.Deadline()
	if e := r.Expire(at); e.To != vrrp.Active || e.Cause != vrrp.CauseSilence || at.Sub(second) != r.ActiveDownInterval() {
		t.Errorf("silence: %+v at %v", e, at)
	}
	r = backup(t, config(150, delayed))
	hear(t, r, second, packet(t, r, lower, 100, 100))
	hear(t, r, 2*second, packet(t, r, lower, 0, 100))
	due(t, r, (2 * second).Add(r.SkewTime()))
}
