package failover_test

import (
	"encoding/json"
	"errors"
	"net/netip"
	"testing"
	"time"

	"failoverd/failover"
	"failoverd/vrrp"
)

// successor makes the core of another program for a node, which has learned what there is and awaits its turn.
func (w *regions) successor(n *regionNode) *failover.Core {
	w.t.Helper()
	core, err := failover.New(n.cfg, w.now)
	if err != nil {
		w.t.Fatal(err)
	}
	core.Await()
	var fx failover.Effects
	for _, l := range n.cfg.Links() {
		core.Step(w.now, failover.LinkChanged{Link: l, Open: true}, &fx)
	}
	core.Step(w.now, failover.InterfaceChanged{Interface: failover.Interface{
		Name: "eth0", Index: 2, Up: true, MTU: 1500, Addresses: []netip.Prefix{netip.PrefixFrom(n.addr, 24)},
	}}, &fx)
	return core
}

// legacyOf returns what a node would hand over now, on its way as text.
func (w *regions) legacyOf(name string) (text []byte) {
	w.t.Helper()
	core := w.nodes[name].core
	if bar := core.HandoverBar(); bar != "" {
		w.t.Fatalf("%s does not hand over: %s", name, bar)
	}
	text, err := json.Marshal(core.Legacy(w.now))
	if err != nil {
		w.t.Fatal(err)
	}
	return text
}

func legacy(t testing.TB, text []byte) *failover.Legacy {
	t.Helper()
	l := new(failover.Legacy)
	if err := json.Unmarshal(text, l); err != nil {
		t.Fatal(err)
	}
	return l
}

// authority returns what a core says of its site, and until when on its clock.
func authority(core *failover.Core, now vrrp.Instant) (word string, until vrrp.Instant) {
	s := core.Snapshot(now, func(i vrrp.Instant) time.Time { return time.Unix(0, int64(i)) }).Sites[0]
	return s.Authority, now.Add(time.Duration(s.RemainingMS * float64(time.Millisecond)))
}

// TestAuthorityIsHandedOver: who takes over has the authority of the one before for as long as that one would have had it, in the
// state in which that one was; after a switch that was a pause it has none, and no role.
func TestAuthorityIsHandedOver(t *testing.T) {
	w := newRegions(t)
	w.start("sg", "hk", "m2", "m1")
	w.run(30 * time.Second)
	w.cut["mainland>hk"], w.cut["mainland>sg"] = true, true
	w.run(2 * time.Second)
	m1 := w.nodes["m1"]
	word, until := authority(m1.core, w.now)
	if word != "valid" || until.Sub(w.now) > m1.cfg.Sites[0].FenceAfter-time.Second {
		t.Fatalf("m1 has authority %s for %v", word, until.Sub(w.now))
	}
	text := w.legacyOf("m1")
	for _, tt := range []struct {
		name   string
		after  time.Duration
		change func(*failover.Legacy)
		word   string
		state  string
	}{
		{"at once", 0, nil, "valid", "MASTER"},
		{"some time later", 400 * time.Millisecond, nil, "valid", "MASTER"},
		{"after a pause", 2600 * time.Millisecond, func(l *failover.Legacy) { l.LeaseEnds = vrrp.Never }, "none yet", "INIT"},
		{"after the end of the leases", 400 * time.Millisecond, func(l *failover.Legacy) { l.LeaseEnds = w.now + 1 }, "none yet", "INIT"},
	} {
		core, l := w.successor(m1), legacy(t, text)
		if tt.change != nil {
			tt.change(l)
		}
		now := w.now.Add(tt.after)
		var fx failover.Effects
		if err := core.TakeUp(now, l, &fx); err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		core.Flush(now, &fx)
		word, end := authority(core, now)
		if word != tt.word || word == "valid" && (end > until.Add(time.Millisecond) || end < until.Add(-time.Millisecond)) {
			t.Errorf("%s: authority %s until %d, the one before had it until %d", tt.name, word, end, until)
		}
		s := core.Snapshot(now, func(vrrp.Instant) time.Time { return time.Time{} })
		if got := s.Routers[0].State; got != tt.state {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.state)
		}
		if d := fx.Addresses; d == nil || len(d.Addresses) > 0 && d.Until > until {
			t.Errorf("%s: addresses %+v, authority until %d", tt.name, d, until)
		}
		if len(fx.Adverts) > 0 || len(fx.Notifications) > 0 && tt.state == "MASTER" {
			t.Errorf("%s: %d advertisements, %d notifications", tt.name, len(fx.Adverts), len(fx.Notifications))
		}
		// It ends when it would have ended.
		fx.Reset()
		core.Expire(until, &fx)
		core.Flush(until, &fx)
		if word, _ := authority(core, until); word == "valid" {
			t.Errorf("%s: authority is valid at its end", tt.name)
		}
	}
}

// TestObservationIsHandedOver: a watcher that is replaced takes over when it would have taken over.
func TestObservationIsHandedOver(t *testing.T) {
	took := make(map[bool]time.Duration)
	for _, replaced := range []bool{false, true} {
		w := newRegions(t)
		w.start("sg", "hk", "m2", "m1")
		w.run(30 * time.Second)
		w.kill("m1", "m2")
		begin := w.now
		w.run(9 * time.Second)
		hk := w.nodes["hk"]
		if replaced {
			core := w.successor(hk)
			if err := core.TakeUp(w.now, legacy(t, w.legacyOf("hk")), &hk.fx); err != nil {
				t.Fatal(err)
			}
			hk.core, hk.wake, hk.refs, hk.generation = core, vrrp.Never, map[uint64]string{}, 0
			w.session(hk)
			w.batch(hk)
		}
		for hk.core.Snapshot(w.now, func(vrrp.Instant) time.Time { return time.Time{} }).Routers[0].State != "MASTER" {
			if w.run(10 * time.Millisecond); w.now.Sub(begin) > time.Minute {
				t.Fatal("hk does not take over")
			}
		}
		took[replaced] = w.now.Sub(begin)
	}
	if d := took[true] - took[false]; d.Abs() > 50*time.Millisecond {
		t.Errorf("replaced, hk takes over after %v, otherwise after %v", took[true], took[false])
	}
}

// TestTakeUpRefusesRegion: nothing can rest on what came after the end of the program before, or be what nobody can be.
func TestTakeUpRefusesRegion(t *testing.T) {
	w := newRegions(t)
	w.start("sg", "hk", "m2", "m1")
	w.run(30 * time.Second)
	later := func(l *failover.Legacy) vrrp.Instant { return l.At + 1 }
	for name, change := range map[string]map[string]func(*failover.Legacy){
		"m1": {
			"of the future":        func(l *failover.Legacy) { l.At = w.now + 1 },
			"authority":            func(l *failover.Legacy) { l.Region.Site.Sent = later(l) },
			"asked for":            func(l *failover.Legacy) { l.Region.Site.Since = later(l) },
			"an answer":            func(l *failover.Legacy) { l.Region.Partners[0].At = later(l) },
			"a question":           func(l *failover.Legacy) { l.Region.Partners[0].SentAt = later(l) },
			"a verdict":            func(l *failover.Legacy) { l.Region.Partners[0].Reply.Verdict = 9 },
			"a state in an answer": func(l *failover.Legacy) { l.Region.Partners[0].Reply.Services[0].State = 9 },
		},
		"hk": {
			"a node that was heard": func(l *failover.Legacy) { l.Region.Seen[0].At = later(l) },
			"a state":               func(l *failover.Legacy) { l.Region.Seen[0].States[0].State = 9 },
			"an advertisement":      func(l *failover.Legacy) { l.Region.Watches[0].Advert = later(l) },
			"contact":               func(l *failover.Legacy) { l.Region.Watches[0].ContactSince = later(l) },
			"a takeover":            func(l *failover.Legacy) { l.Region.Watches[0].Took = later(l) },
		},
	} {
		text := w.legacyOf(name)
		for what, change := range change {
			core, l := w.successor(w.nodes[name]), legacy(t, text)
			change(l)
			if err := core.TakeUp(w.now, l, new(failover.Effects)); !errors.Is(err, failover.ErrLegacy) {
				t.Errorf("%s, %s: %v", name, what, err)
			}
			if err := core.TakeUp(w.now, legacy(t, text), new(failover.Effects)); err != nil {
				t.Errorf("%s, %s: afterwards %v", name, what, err)
			}
		}
	}
}

// FuzzTakeUpRegions: whatever is handed over by nodes of regions, nothing panics, and no authority comes from what is not yet.
func FuzzTakeUpRegions(f *testing.F) {
	w := newRegions(nil)
	w.start("sg", "hk", "m2", "m1")
	w.run(30 * time.Second)
	names := []string{"m1", "hk", "sg"}
	for i, name := range names {
		text, err := json.Marshal(w.nodes[name].core.Legacy(w.now))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(i), uint32(10), text)
	}
	f.Add(uint8(0), uint32(0), []byte(`{"At":-1,"Region":{"Site":{"Sent":-5},"Partners":[{"ID":"x","Reply":{"Verdict":3}}],"Watches":[{}],"Seen":[{}],"Terms":[{}]}}`))
	f.Fuzz(func(t *testing.T, which uint8, after uint32, text []byte) {
		l := new(failover.Legacy)
		if json.Unmarshal(text, l) != nil {
			return
		}
		n := w.nodes[names[int(which)%len(names)]]
		core := (&regions{t: t, now: w.now}).successor(n)
		var fx failover.Effects
		now := w.now.Add(time.Duration(after))
		if core.TakeUp(now, l, &fx) != nil {
			return
		}
		core.Flush(now, &fx)
		for range 20 {
			d := core.Deadline()
			if d == vrrp.Never || d > now.Add(time.Hour) {
				break
			}
			now = max(d, now+1)
			core.Expire(now, &fx)
			core.Flush(now, &fx)
			fx.Reset()
		}
		s := core.Snapshot(now, func(i vrrp.Instant) time.Time { return time.Unix(0, int64(i)) })
		if len(s.Sites) > 0 && s.Sites[0].Authority == "valid" && s.Sites[0].RemainingMS > float64(n.cfg.Sites[0].FenceAfter.Milliseconds()) {
			t.Errorf("authority for %v ms", s.Sites[0].RemainingMS)
		}
		core.Legacy(now)
	})
}
