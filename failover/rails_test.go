package failover_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"failoverd/bgp"
	"failoverd/failover"
	"failoverd/failover/failovertest"
)

func TestBGP_RPKI_01_BeforeTheFirstAnnouncement(t *testing.T) {
	for _, c := range []struct {
		name     string
		config   func(*bgp.SpeakerConfig)
		vrps     []bgp.VRP
		announce bool
		word     string
		effect   string
	}{
		{"valid", validated, []bgp.VRP{good}, true, "valid", "announced"},
		{"not found: it goes, with a warning", validated, nil, true, "not-found", "announced"},
		{"invalid: refused", validated, []bgp.VRP{bad}, false, "invalid", "it would be refused"},
		{"invalid, and rpki_invalid warn: it goes", warned, []bgp.VRP{bad}, true, "invalid", "it stays announced, and networks"},
		{"AS 0", validated, []bgp.VRP{{Prefix: service, MaxLength: 24}}, false, "invalid", "it would be refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRailed(t, false, c.config)
			r.rpki(c.vrps...)
			r.wantTold(failover.EventOrigin, "unknown>"+c.word, "")
			r.active()
			r.announces(c.announce)
			if o := r.origin(); o.Validity != c.word || o.OriginAS != 64501 || !strings.Contains(o.Effect, c.effect) || !o.Wanted {
				t.Errorf("status %+v", o)
			}
			if w := r.snapshot().Routers[0].Waiting; c.announce && w != "" {
				t.Errorf("it waits %q, and announces", w)
			}
			if !c.announce {
				r.wantTold(failover.EventRefused, ">", "RPKI says that the origin is invalid")
				s := r.snapshot()
				if w := s.Routers[0].Waiting; !strings.Contains(w, "for RPKI, by which the origin of 198.51.100.0/24 is invalid (rpki_invalid refuse): AS64501 is not authorized") {
					t.Errorf("waiting %q", w)
				}
				if !strings.Contains(s.Routers[0].Routes[0].Error, "AS64501 is not authorized") && !strings.Contains(s.Routers[0].Routes[0].Error, "AS0") {
					t.Errorf("route %+v", s.Routers[0].Routes[0])
				}
				if !s.Routers[0].Addresses[0].Present {
					t.Error("the address did not move")
				}
				r.rpki(good) // it becomes valid
				r.announces(true)
				if w := r.snapshot().Routers[0].Waiting; w != "" {
					t.Errorf("waiting %q", w)
				}
			}
		})
	}
}

// TestBGP_RPKI_01_WaitsAtTheStartOnly: a node that has just started waits a moment for the first answer, and no longer than
// it takes to find out that there is none; nothing that comes later waits.
func TestBGP_RPKI_01_WaitsAtTheStartOnly(t *testing.T) {
	start := func() *railed {
		text := "speaker EDGE allow 198.51.100.0/24 neighbor 192.0.2.254\nrouter A eth0/4/1 priority 255\n address 192.0.2.1/24 eth0\n announce 198.51.100.0/24 EDGE"
		cfg := failovertest.MustParseConfig(text)
		validated(&cfg.Speakers[0])
		core, err := failover.New(cfg, 0)
		if err != nil {
			t.Fatal(err)
		}
		r := &railed{t: t, core: core}
		r.step(failover.LinkChanged{Link: failover.LinkID{Interface: "eth0", Family: 4}, Open: true})
		r.link(true) // the owner of the address is Active at once
		r.announces(false)
		return r
	}
	r := start()
	r.pass(2900 * time.Millisecond)
	r.announces(false)
	if w := r.snapshot().Routers[0].Waiting; !strings.Contains(w, "for an RPKI cache to say whether the origin of 198.51.100.0/24 is valid, at most 0.1 s more") {
		t.Errorf("waiting %q", w)
	}
	r.pass(200 * time.Millisecond)
	r.announces(true)

	r = start()
	r.noData(false)
	r.announces(false)
	r.noData(true)
	r.announces(true)

	r = start()
	r.rpki(bad)
	r.announces(false)
	r.pass(time.Hour)
	r.announces(false)
}

func TestBGP_RPKI_02_LossOfTheCacheWithdrawsNothing(t *testing.T) {
	r := newRailed(t, false, validated)
	r.rpki(good)
	r.active()
	r.announces(true)
	asked := len(r.asked)
	rep := bgp.RPKIReport{
		Speaker: "EDGE", Using: "cache:323", Settled: true, Scope: []netip.Prefix{service}, VRPs: []bgp.VRP{good},
		Caches: []bgp.CacheStatus{{Address: "cache:323", State: "down", Error: "connection refused", HasData: true, Expires: time.Unix(7200, 0)}},
	}
	r.step(failover.RPKIReported{Report: rep})
	r.wantTold(failover.EventCache, ">down", "connection refused; its data counts")
	if o := r.origin(); o.Validity != "valid" {
		t.Errorf("status %+v", o)
	}
	r.noData(true) // the data has expired
	r.wantTold(failover.EventOrigin, "valid>unknown", "no RPKI cache has data")
	r.pass(time.Hour)
	if len(r.asked) != asked {
		t.Errorf("the speaker was asked for something else: %+v", r.asked[asked:])
	}
	r.link(false)
	r.announces(false)
	r.active() // without data it goes, too
	r.announces(true)
}

func TestBGP_RPKI_03_InvalidWhileAnnouncing(t *testing.T) {
	r := newRailed(t, false, validated)
	r.rpki(good)
	r.active()
	r.announces(true)
	r.rpki(bad)
	r.announces(true)
	r.wantTold(failover.EventOrigin, "valid>invalid", "it stays announced")
	if w := r.snapshot().Routers[0].Routes[0].Warning; !strings.Contains(w, "the origin is invalid") {
		t.Errorf("warning %q", w)
	}
	r.link(false)
	r.announces(false)
	r.active() // another takeover: now it is refused
	r.announces(false)
	r.rpki(good)
	r.announces(true)
	r.wantTold(failover.EventOrigin, "invalid>valid", "")
}

// TestBGP_RPKI_05_StandbyKnowsBefore: a Backup that announces nothing says what would become of its announcement.
func TestBGP_RPKI_05_StandbyKnowsBefore(t *testing.T) {
	r := newRailed(t, false, validated)
	r.link(true)
	r.rpki(bad)
	s := r.snapshot()
	if s.Routers[0].State != "BACKUP" {
		t.Fatalf("state %s", s.Routers[0].State)
	}
	r.wantTold(failover.EventOrigin, "unknown>invalid", "it would be refused")
	o, route := r.origin(), s.Routers[0].Routes[0]
	if o.Effect != "it would be refused" || o.Wanted || route.Origin != "invalid" || !strings.Contains(route.Warning, "it would be refused") {
		t.Errorf("status %+v, %+v", o, route)
	}
	r.rpki(good)
	r.wantTold(failover.EventOrigin, "invalid>valid", "198.51.100.0/24-24 AS64501")
	if route := r.snapshot().Routers[0].Routes[0]; route.Warning != "" || route.Origin != "valid" {
		t.Errorf("status %+v", route)
	}
}

// TestBGP_RPKI_Reload: the rail comes and goes with the configuration, and touches nothing that is announced.
func TestBGP_RPKI_Reload(t *testing.T) {
	r := newRailed(t, false, func(*bgp.SpeakerConfig) {})
	r.active()
	r.announces(true)
	reload := func(change func(*bgp.SpeakerConfig)) {
		cfg := *r.core.Config()
		cfg.Speakers = slices.Clone(cfg.Speakers)
		cfg.Speakers[0].RPKICaches = nil
		change(&cfg.Speakers[0])
		r.step(failover.Reconfigured{Config: &cfg})
	}
	reload(validated)
	r.announces(true)
	r.rpki(bad)
	r.announces(true)
	reload(func(*bgp.SpeakerConfig) {})
	if r.snapshot().Speakers[0].RPKI != nil {
		t.Error("status still speaks of RPKI")
	}
	r.rpki(bad) // late news
	r.link(false)
	r.active()
	r.announces(true)
}

// TestBGP_RPKI_ReloadLetsNothingOut: a route that is refused does not go out because a reload changes whom to ask, however
// long the new caches take; only an answer lets it go. One that was fine waits for the answer as at the start.
func TestBGP_RPKI_ReloadLetsNothingOut(t *testing.T) {
	other := func(c *bgp.SpeakerConfig) { c.RPKICaches = []string{"other:323"} }
	third := func(c *bgp.SpeakerConfig) { c.RPKICaches = []string{"third:323"} }
	wider := func(c *bgp.SpeakerConfig) {
		c.Allow = append(slices.Clone(c.Allow), netip.MustParsePrefix("203.0.113.0/24"))
	}
	start := func(t *testing.T, vrp bgp.VRP, active bool) *railed {
		r := newRailed(t, false, validated)
		r.rpki(vrp)
		if active {
			r.active()
		}
		r.pass(time.Hour)
		return r
	}
	reload := func(r *railed, change func(*bgp.SpeakerConfig)) {
		cfg := *r.core.Config()
		cfg.Speakers = slices.Clone(cfg.Speakers)
		change(&cfg.Speakers[0])
		r.step(failover.Reconfigured{Config: &cfg})
	}
	for _, c := range []struct {
		name   string
		change func(*bgp.SpeakerConfig)
	}{{"another cache", other}, {"another prefix is allowed, and the cache is asked anew", wider}} {
		t.Run(c.name, func(t *testing.T) {
			r := start(t, bad, true)
			r.announces(false)
			reload(r, c.change)
			r.announces(false)
			if c.name == "another cache" {
				r.rpki(bad) // late news of the one that is gone
			}
			r.noData(false)
			r.announces(false)
			r.pass(time.Hour)
			r.noData(true)
			r.announces(false)
			if o := r.origin(); o.Validity != "invalid" || !strings.Contains(o.Why, "before the reload") || strings.Count(o.Why, "reload") != 1 {
				t.Errorf("status %+v", o)
			}
			reload(r, third) // and another one
			r.noData(true)
			r.announces(false)
			if o := r.origin(); strings.Count(o.Why, "reload") != 1 {
				t.Errorf("status %+v", o)
			}
			r.rpkiFrom("third:323", good)
			r.announces(true)
		})
	}
	t.Run("the answer is no longer a refusal of before", func(t *testing.T) {
		r := start(t, bad, false)
		reload(r, other)
		r.noData(true)
		r.rpkiFrom("other:323") // not found
		r.noData(true)
		r.pass(time.Hour)
		r.active()
		r.announces(true)
	})
	t.Run("another AS", func(t *testing.T) {
		r := start(t, bad, true)
		reload(r, func(c *bgp.SpeakerConfig) { other(c); c.LocalAS = 64666 })
		r.announces(true) // the data of before says so

		r = start(t, good, true)
		r.announces(true)
		reload(r, func(c *bgp.SpeakerConfig) { c.LocalAS = 64999 })
		r.announces(false) // it was announced as another one
		r.wantTold(failover.EventOrigin, "valid>invalid", "it would be refused")
	})
	t.Run("another prefix, which the cache has not been asked about", func(t *testing.T) {
		r := start(t, good, true)
		added := netip.MustParsePrefix("203.0.113.0/24")
		reload(r, func(c *bgp.SpeakerConfig) { c.Allow = append(slices.Clone(c.Allow), added) })
		cfg := *r.core.Config()
		cfg.Routers = slices.Clone(cfg.Routers)
		cfg.Routers[0].Announce = append(slices.Clone(cfg.Routers[0].Announce), failover.Announcement{Speaker: "EDGE", Route: bgp.Route{Prefix: added}, When: failover.RoleActive})
		cfg.Hash = "added"
		r.step(failover.Reconfigured{Config: &cfg})
		r.pass(100 * time.Millisecond)
		r.step(failover.RPKIReported{Report: bgp.RPKIReport{
			Speaker: "EDGE", Using: "cache:323", Settled: true, Scope: []netip.Prefix{service, added},
			VRPs:   []bgp.VRP{good, {Prefix: added, MaxLength: 24, AS: 64666}},
			Caches: []bgp.CacheStatus{{Address: "cache:323", State: "up", HasData: true}},
		}})
		r.pass(time.Hour)
		if got := r.asked[len(r.asked)-1].Routes; len(got) != 1 || got[0].Prefix != service {
			t.Errorf("announced: %v", got)
		}
	})
	t.Run("no cache any more: a person's word", func(t *testing.T) {
		r := start(t, bad, true)
		reload(r, func(c *bgp.SpeakerConfig) { c.RPKICaches = nil })
		r.announces(true)
	})
	t.Run("what was fine stays announced, and waits if it is not", func(t *testing.T) {
		r := start(t, good, true)
		reload(r, other)
		r.noData(false)
		r.announces(true)
		r.link(false)
		r.announces(false)
		r.pass(time.Hour)
		r.link(true)
		r.pass(time.Hour)
		r.announces(true) // later nothing waits

		r = newRailed(t, false, func(c *bgp.SpeakerConfig) {
			validated(c)
			c.Allow = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}
		})
		rep := bgp.RPKIReport{
			Speaker: "EDGE", Using: "cache:323", Settled: true, Scope: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")},
			Caches: []bgp.CacheStatus{{Address: "cache:323", State: "up", HasData: true}},
		}
		r.step(failover.RPKIReported{Report: rep})
		r.active()
		r.pass(time.Hour)
		r.announces(false) // not allowed
		reload(r, func(c *bgp.SpeakerConfig) { c.Allow = []netip.Prefix{service} })
		r.step(failover.RPKIReported{Report: rep})
		r.announces(false) // there is data, and none about this one
		r.pass(2900 * time.Millisecond)
		r.announces(false)
		r.pass(200 * time.Millisecond)
		r.announces(true)
	})
}

// An anycast service that is refused says so, too.
func TestServiceWaitsForRails(t *testing.T) {
	cfg := failovertest.MustParseConfig("speaker EDGE allow 198.51.100.0/24 rpki cache:323\n" +
		"service S lo\n address 198.51.100.1/32 lo\n announce 198.51.100.0/24 EDGE")
	core, err := failover.New(cfg, 0)
	if err != nil {
		t.Fatal(err)
	}
	r := &railed{t: t, core: core}
	r.rpki(bad)
	r.step(failover.InterfaceChanged{Interface: failover.Interface{Name: "lo", Index: 1, Up: true, Loopback: true}})
	r.pass(time.Second)
	r.announces(false)
	if s := r.snapshot().Services[0]; s.State != "ANNOUNCED" || !strings.Contains(s.Waiting, "for RPKI, by which the origin of 198.51.100.0/24 is invalid") {
		t.Errorf("%s, waiting %q", s.State, s.Waiting)
	}
	r.rpki(good)
	r.announces(true)
	if w := r.snapshot().Services[0].Waiting; w != "" {
		t.Errorf("waiting %q", w)
	}
}
