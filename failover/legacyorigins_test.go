package failover_test

import (
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"failoverd/bgp"
	"failoverd/failover"
	"failoverd/failover/failovertest"
	"failoverd/vrrp"
)

// again has another life of the agent take the place of one that has died, with its role (resume) or without it.
func (r *railed) again(resume bool) {
	r.t.Helper()
	will := r.core.Testament()
	text, err := json.Marshal(will.Origins)
	var origins []failover.LegacyOrigin
	if err == nil {
		err = json.Unmarshal(text, &origins)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	cfg := r.core.Config()
	if r.core, err = failover.New(cfg, r.now); err != nil {
		r.t.Fatal(err)
	}
	r.events = nil
	if err := r.core.Recall(r.now, origins, &r.fx); err != nil {
		r.t.Fatal(err)
	}
	if resume {
		r.core.Inherit(r.now, will.Heirs, true, r.now, r.now.Add(3*time.Second))
	}
	r.step(failover.LinkChanged{Link: failover.LinkID{Interface: "eth0", Family: 4}, Open: true})
	r.link(true)
	var last bgp.Desired
	if n := len(r.asked); n > 0 {
		last = r.asked[n-1]
	}
	r.step(r.report(bgp.Desired{Routes: last.Routes}))
}

// lives are the ways in which another life of the agent begins that knows what the one before has known.
var lives = []struct {
	name, before string
	begin        func(*railed)
}{
	{"upgrade", "the upgrade", func(r *railed) { r.upgrade(false) }},
	{"upgrade, and the speaker is reached first", "the upgrade", func(r *railed) { r.upgrade(true) }},
	{"crash, and the role is resumed", "the agent was started again", func(r *railed) { r.again(true) }},
	{"crash, and the role is not resumed", "the agent was started again", func(r *railed) { r.again(false) }},
}

// What was refused does not leave because the program is another one while the cache is down. An answer ends that, or the time
// for which the data counts.
func TestAnotherLifeLetsNothingOut(t *testing.T) {
	for _, life := range lives {
		t.Run(life.name, func(t *testing.T) {
			start := func() *railed {
				r := newRailed(t, false, validated)
				r.rpki(bad)
				r.active()
				r.announces(false)
				r.pass(30 * time.Minute)
				r.events = nil
				life.begin(r)
				return r
			}
			stillRefused := func(r *railed) {
				t.Helper()
				r.announces(false)
				if o := r.origin(); o.Validity != "invalid" || !strings.Contains(o.Why, "AS64501 is not authorized") || strings.Count(o.Why, "before "+life.before) != 1 {
					t.Errorf("status %+v", o)
				}
			}
			r := start()
			r.noData(false)
			stillRefused(r)
			r.noData(true)
			r.pass(time.Hour)
			stillRefused(r)
			if life.before == "the upgrade" {
				if words, why := r.told(failover.EventOrigin); words != "" {
					t.Errorf("told again: %s (%s)", words, why)
				}
			} else {
				r.wantTold(failover.EventOrigin, "unknown>invalid", "before "+life.before)
			}
			for range 2 { // and what comes after it knows it, too, and not for longer
				life.begin(r)
				r.noData(true)
				stillRefused(r)
			}
			r.pass(29 * time.Minute)
			stillRefused(r)
			r.pass(2 * time.Minute)
			r.announces(true) // its two hours are over
			if o := r.origin(); o.Validity != "unknown" {
				t.Errorf("status %+v", o)
			}
			r.wantTold(failover.EventOrigin, "invalid>unknown", "no RPKI cache has data")

			r = start()
			r.noData(true)
			r.rpki(bad)
			r.announces(false)
			if o := r.origin(); o.Validity != "invalid" || strings.Contains(o.Why, "before") {
				t.Errorf("status %+v", o)
			}
			r.noData(true) // the data of this life is over: what the one before has known does not come back
			r.active()
			r.announces(true)

			r = start()
			r.active()
			r.rpki(good)
			r.announces(true)
		})
	}
}

// A verdict that is not "invalid" is known as well: nothing waits for a cache that is down, and nothing is told again.
func TestAnotherLifeKnowsValid(t *testing.T) {
	for _, life := range lives {
		t.Run(life.name, func(t *testing.T) {
			r := newRailed(t, false, validated)
			r.rpki(good)
			r.active()
			r.link(false)
			r.announces(false)
			life.begin(r)
			r.active()
			r.announces(true)
			if o := r.origin(); o.Validity != "valid" {
				t.Errorf("status %+v", o)
			}
		})
	}
}

// What is announced stays, whatever the life before has known: a route of which "invalid" is found out while it is announced.
func TestAnotherLifeTakesNothingBack(t *testing.T) {
	for _, life := range lives[:3] {
		t.Run(life.name, func(t *testing.T) {
			r := newRailed(t, false, validated)
			r.rpki(good)
			r.active()
			r.rpki(bad)
			r.announces(true)
			asked := len(r.asked)
			life.begin(r)
			r.noData(true)
			r.pass(time.Hour)
			for _, d := range r.asked[asked:] {
				if len(d.Routes) != 1 {
					t.Errorf("asked for %v", d.Routes)
				}
			}
			r.announces(true)
		})
	}
}

// A refusal that a reload has carried over has no end but an answer, in another life neither.
func TestAnotherLifeAfterReload(t *testing.T) {
	for _, life := range lives {
		r := newRailed(t, false, validated)
		r.rpki(bad)
		r.active()
		cfg := *r.core.Config()
		cfg.Speakers = append([]bgp.SpeakerConfig(nil), cfg.Speakers...)
		cfg.Speakers[0].RPKICaches = []string{"other:323"}
		r.step(failover.Reconfigured{Config: &cfg})
		r.noData(true)
		life.begin(r)
		r.noData(true)
		r.pass(100 * time.Hour)
		r.announces(false)
		r.rpkiFrom("other:323", good)
		r.announces(true)
	}
}

// What is about another origin, another speaker or a prefix that is not announced is left, and so is what is over or nobody asks
// about any more; what makes no sense is refused as a whole.
func TestRecall(t *testing.T) {
	known := failover.LegacyOrigin{
		Speaker: "EDGE", AS: 64501, Prefix: service, Validity: bgp.Invalid, Why: "x", Learned: 5, Until: vrrp.Instant(time.Hour),
	}
	for _, c := range []struct {
		name   string
		change func(*failover.LegacyOrigin)
		want   string // the validity; empty: it makes no sense
	}{
		{"it counts", func(*failover.LegacyOrigin) {}, "invalid"},
		{"for ever", func(l *failover.LegacyOrigin) { l.Until = vrrp.Never }, "invalid"},
		{"valid", func(l *failover.LegacyOrigin) { l.Validity = bgp.Valid }, "valid"},
		{"over", func(l *failover.LegacyOrigin) { l.Until = 10 }, "unknown"},
		{"another AS", func(l *failover.LegacyOrigin) { l.AS++ }, "unknown"},
		{"another speaker", func(l *failover.LegacyOrigin) { l.Speaker = "CORE" }, "unknown"},
		{"another prefix", func(l *failover.LegacyOrigin) { l.Prefix = netip.MustParsePrefix("203.0.113.0/24") }, "unknown"},
		{"no prefix", func(l *failover.LegacyOrigin) { l.Prefix = netip.Prefix{} }, ""},
		{"host bits", func(l *failover.LegacyOrigin) { l.Prefix = netip.MustParsePrefix("198.51.100.1/24") }, ""},
		{"no verdict", func(l *failover.LegacyOrigin) { l.Validity = bgp.Unchecked }, ""},
		{"an unknown verdict", func(l *failover.LegacyOrigin) { l.Validity = 4 }, ""},
		{"learned later", func(l *failover.LegacyOrigin) { l.Learned = 11 }, ""},
		{"learned before the beginning", func(l *failover.LegacyOrigin) { l.Learned = -1 }, ""},
		{"for too long", func(l *failover.LegacyOrigin) { l.Until = vrrp.Instant(49 * time.Hour) }, ""},
		{"until before the beginning", func(l *failover.LegacyOrigin) { l.Until = -1 }, ""},
	} {
		l := known
		c.change(&l)
		r := newRailed(t, false, validated)
		r.now = 10
		err := r.core.Recall(r.now, []failover.LegacyOrigin{l}, &r.fx)
		want := c.want
		if want == "" {
			want = "unknown"
		}
		if (err == nil) != (c.want != "") || err != nil && !errors.Is(err, failover.ErrLegacy) {
			t.Errorf("%s: %v", c.name, err)
		}
		if got := r.origin().Validity; got != want {
			t.Errorf("%s: %s, want %s", c.name, got, want)
		}
		cfg, parseErr := failovertest.ParseConfig("speaker EDGE allow 198.51.100.0/24 rpki cache:323\nrouter A eth0/4/1\n announce 198.51.100.0/24 EDGE")
		if parseErr != nil {
			t.Fatal(parseErr)
		}
		core, parseErr := failover.New(cfg, 0)
		if parseErr != nil {
			t.Fatal(parseErr)
		}
		core.Await()
		upErr := core.TakeUp(10, &failover.Legacy{At: 10, Origins: []failover.LegacyOrigin{l}}, new(failover.Effects))
		if (upErr == nil) != (err == nil) || upErr != nil && !errors.Is(upErr, failover.ErrLegacy) {
			t.Errorf("%s: an upgrade says %v", c.name, upErr)
		}
	}
	r := newRailed(t, false, func(*bgp.SpeakerConfig) {}) // no cache is asked
	if err := r.core.Recall(10, []failover.LegacyOrigin{known}, &r.fx); err != nil {
		t.Error(err)
	}
	r.now = 10
	r.active()
	r.announces(true)
}
