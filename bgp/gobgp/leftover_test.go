package gobgp_test

import (
	"context"
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"failoverd/bgp"
	"failoverd/bgp/gobgp"
	"failoverd/bgp/speaker"
)

// ofOperator is a speaker on a fake gobgpd that its operator has configured as AS 64501.
func ofOperator(t *testing.T, f *fake) bgp.SpeakerConfig {
	t.Helper()
	f.as = 64501
	target, _ := strings.CutPrefix(serveFake(t, f), "unix://")
	return bgp.SpeakerConfig{
		Name: "EDGE", LocalAS: 64501, Allow: bgp.AllowList{someAllow, alsoAllow}, External: &bgp.External{Target: "unix:" + target},
	}
}

// external is a running speaker.External, what it has told, and what it wants to be remembered.
type external struct {
	*speaker.External
	t    *testing.T
	stop context.CancelFunc
	done chan struct{}

	mu     sync.Mutex
	last   bgp.Report
	placed []gobgp.Placed
	told   []speaker.Leftover
}

func runExternal(t *testing.T, cfg bgp.SpeakerConfig, known ...gobgp.Placed) *external {
	t.Helper()
	e := &external{t: t, done: make(chan struct{})}
	var err error
	e.External, err = speaker.NewExternal(speaker.ExternalConfig{
		Speaker: cfg, Log: quiet(),
		Known: func() []gobgp.Placed { return known },
		Placed: func(p []gobgp.Placed) {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.placed = p
		},
		Leftover: func(l speaker.Leftover) {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.told = append(e.told, l)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	e.stop = stop
	go func() {
		defer close(e.done)
		_ = e.Run(ctx, func(r bgp.Report) {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.last = r
		})
	}()
	t.Cleanup(func() {
		stop()
		<-e.done
	})
	return e
}

// until waits for something that is true of e.
func (e *external) until(what string, ok func() bool) {
	e.t.Helper()
	for start := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		e.mu.Lock()
		yes := ok()
		e.mu.Unlock()
		if yes {
			return
		}
		if time.Since(start) > soon {
			e.t.Fatalf("not seen: %s; told %+v, placed %+v, last report %+v", what, e.told, e.placed, e.last)
		}
	}
}

// ends waits for the end of Run and returns how long it took.
func (e *external) ends() time.Duration {
	e.t.Helper()
	begin := time.Now()
	e.stop()
	select {
	case <-e.done:
	case <-time.After(soon):
		e.t.Fatal("Run does not end")
	}
	return time.Since(begin)
}

func one(p netip.Prefix, med uint32) []bgp.Route {
	return []bgp.Route{{Prefix: p, Attributes: bgp.Attributes{MED: &med}}}
}

// A speaker that ends while its gobgpd hangs asks again until the time for its end is over, and then says which prefixes stay.
func TestStopWhileGobgpdHangs(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name  string
		hangs time.Duration // before the stop, which is longer or shorter than a call may take
		wakes time.Duration // after the stop; 0: never
	}{
		{"for ever, since a moment", 100 * time.Millisecond, 0},
		{"for ever, since long", 3 * time.Second, 0},
		{"until there is little time left", 100 * time.Millisecond, gobgp.StopWithin / 2},
		{"since long, until there is little time left", 3 * time.Second, gobgp.StopWithin / 2},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			f := &fake{}
			e := runExternal(t, ofOperator(t, f))
			e.Set(bgp.Desired{Generation: 1, Routes: one(someAllow, 7)})
			e.until("the route", func() bool { return len(e.last.Announced) == 1 })
			thaw := f.freeze()
			defer thaw()
			time.Sleep(row.hangs)
			if row.wakes > 0 {
				time.AfterFunc(row.wakes, thaw)
			}
			if took := e.ends(); took > gobgp.StopWithin+late {
				t.Errorf("the end took %v, want %v", took, gobgp.StopWithin)
			}
			stays := slices.ContainsFunc(e.told, func(l speaker.Leftover) bool {
				return !l.Gone && l.Speaker == "EDGE" && slices.Equal(l.Prefixes, []netip.Prefix{someAllow}) && strings.Contains(l.Reason, "ended")
			})
			if there := f.has(someAllow); there != (row.wakes == 0) || stays != there {
				t.Errorf("in the table: %t; told %+v", there, e.told)
			}
		})
	}
}

// A gobgpd that hangs while it is to withdraw is told of once, and again when it has.
func TestWithdrawalThatIsNotConfirmed(t *testing.T) {
	t.Parallel()
	f := &fake{}
	e := runExternal(t, ofOperator(t, f))
	e.Set(bgp.Desired{Generation: 1, Routes: one(someAllow, 7)})
	e.until("the route", func() bool { return len(e.last.Announced) == 1 })
	thaw := f.freeze()
	defer thaw()
	e.Set(bgp.Desired{Generation: 2})
	e.until("the complaint", func() bool { return len(e.told) == 1 })
	if l := e.told[0]; l.Gone || !slices.Equal(l.Prefixes, []netip.Prefix{someAllow}) || !strings.Contains(l.Reason, gobgp.StopWithin.String()) {
		t.Errorf("told %+v", l)
	}
	thaw()
	e.until("the end of it", func() bool { return len(e.told) == 2 && e.told[1].Gone })
	if f.has(someAllow) {
		t.Error("the route is in the table")
	}
	e.ends()
	if len(e.told) != 2 || len(e.placed) != 0 {
		t.Errorf("told %+v, placed %+v", e.told, e.placed)
	}
}

// A speaker that has never got an answer says that what a life before has left may be there, unless gobgpd is dead.
func TestStopWithoutEverAnAnswer(t *testing.T) {
	t.Parallel()
	known := gobgp.Placed{Route: one(someAllow, 7)[0], Stamp: 10}
	f := &fake{}
	cfg := ofOperator(t, f)
	defer f.freeze()()
	e := runExternal(t, cfg, known)
	time.Sleep(100 * time.Millisecond)
	e.ends()
	if len(e.told) != 1 || !slices.Equal(e.told[0].Prefixes, []netip.Prefix{someAllow}) {
		t.Errorf("of one that hangs: told %+v", e.told)
	}

	cfg.External = &bgp.External{Target: cfg.External.Target + ".nobody"}
	e = runExternal(t, cfg, known)
	e.until("the reason", func() bool { return e.last.Err != "" })
	e.ends()
	if len(e.told) != 0 {
		t.Errorf("of one that is dead: told %+v", e.told)
	}
}

// What a speaker has in gobgpd's table is remembered with what tells it from other paths, before it is there and after.
func TestPlacedIsRemembered(t *testing.T) {
	t.Parallel()
	f := &fake{}
	f.clock.Store(1000)
	e := runExternal(t, ofOperator(t, f))
	e.Set(bgp.Desired{Generation: 1, Routes: one(someAllow, 7)})
	e.until("the stamp", func() bool { return len(e.placed) == 1 && e.placed[0].Stamp == 1000 })
	text, err := json.Marshal(e.placed)
	var back []gobgp.Placed
	if err == nil {
		err = json.Unmarshal(text, &back)
	}
	if err != nil || len(back) != 1 || !back[0].Equal(&e.placed[0]) || !strings.Contains(string(text), someAllow.String()) {
		t.Errorf("%s became %+v, %v", text, back, err)
	}
	f.clock.Store(2000)
	e.Set(bgp.Desired{Generation: 2, Routes: one(someAllow, 8)})
	e.until("the new one", func() bool { return len(e.placed) == 1 && e.placed[0].Stamp == 2000 && *e.placed[0].Route.MED == 8 })
	e.Set(bgp.Desired{Generation: 3})
	e.until("nothing", func() bool { return len(e.placed) == 0 })
}

// Only the very path that we have put there is swept.
func TestSweepTakesOursAlone(t *testing.T) {
	t.Parallel()
	ours, six := gobgp.Placed{Route: one(someAllow, 7)[0], Stamp: 1000}, gobgp.Placed{Route: one(alsoAllow, 7)[0]}
	for _, row := range []struct {
		name  string
		there []bgp.Route
		stamp int64
		left  []gobgp.Placed
		want  []netip.Prefix
	}{
		{"the very path", one(someAllow, 7), 1000, []gobgp.Placed{ours}, []netip.Prefix{someAllow}},
		{"another one since", one(someAllow, 7), 1001, []gobgp.Placed{ours}, nil},
		{"other attributes", one(someAllow, 8), 1000, []gobgp.Placed{ours}, nil},
		{"another prefix", one(netip.MustParsePrefix("203.0.113.0/24"), 7), 1000, []gobgp.Placed{ours}, nil},
		{"one whose stamp was never read", one(alsoAllow, 7), 1234, []gobgp.Placed{six}, []netip.Prefix{alsoAllow}},
		{"both families", append(one(someAllow, 7), one(alsoAllow, 7)...), 1000, []gobgp.Placed{ours, six}, []netip.Prefix{someAllow, alsoAllow}},
		{"nothing there", nil, 0, []gobgp.Placed{ours}, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			f := &fake{}
			f.clock.Store(row.stamp)
			cfg := ofOperator(t, f)
			for _, r := range row.there { // by somebody whom nobody remembers
				cfg.Allow = append(cfg.Allow, r.Prefix)
			}
			slices.SortFunc(cfg.Allow, netip.Prefix.Compare)
			cfg.Allow = slices.Compact(cfg.Allow)
			e := runExternal(t, cfg)
			e.Set(bgp.Desired{Generation: 1, Routes: row.there})
			e.until("the routes", func() bool { return len(e.last.Announced) == len(row.there) && e.last.Connected })
			swept, err := gobgp.Sweep(t.Context(), cfg.External, row.left, nil, quiet())
			slices.SortFunc(swept, netip.Prefix.Compare)
			if err != nil || !slices.Equal(swept, row.want) {
				t.Errorf("swept %v, %v; want %v", swept, err, row.want)
			}
		})
	}
}

// A gobgpd that hangs cannot be swept; one that nobody listens for is dead, and so are its routes.
func TestSweepWhereNobodyAnswers(t *testing.T) {
	t.Parallel()
	left := []gobgp.Placed{{Route: one(someAllow, 7)[0], Stamp: 1000}}
	f := &fake{}
	cfg := ofOperator(t, f)
	defer f.freeze()()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if swept, err := gobgp.Sweep(ctx, cfg.External, left, nil, quiet()); err == nil || len(swept) > 0 {
		t.Errorf("of one that hangs: %v, %v", swept, err)
	}
	gone := &bgp.External{Target: cfg.External.Target + ".nobody"}
	if swept, err := gobgp.Sweep(t.Context(), gone, left, nil, quiet()); err != nil || len(swept) > 0 {
		t.Errorf("of one that is dead: %v, %v", swept, err)
	}
	f = &fake{}
	cfg = ofOperator(t, f)
	f.as = 0
	if swept, err := gobgp.Sweep(t.Context(), cfg.External, left, nil, quiet()); err != nil || len(swept) > 0 {
		t.Errorf("of one without a configuration: %v, %v", swept, err)
	}
}

// While the bar is held, nothing is swept, and nobody has to wait for the sweeper.
func TestSweepBehindTheBar(t *testing.T) {
	t.Parallel()
	f := &fake{}
	f.clock.Store(1000)
	cfg := ofOperator(t, f)
	e := runExternal(t, cfg)
	e.Set(bgp.Desired{Generation: 1, Routes: one(someAllow, 7)})
	e.until("the route", func() bool { return len(e.last.Announced) == 1 })
	var writes sync.RWMutex
	writes.Lock()
	before := f.requests.Load()
	done := make(chan error, 1)
	go func() {
		left := []gobgp.Placed{{Route: one(someAllow, 7)[0], Stamp: 1000}}
		_, err := gobgp.Sweep(t.Context(), cfg.External, left, gobgp.ReadersBar(&writes), quiet())
		done <- err
	}()
	for start := time.Now(); f.requests.Load() < before+2; time.Sleep(time.Millisecond) { // the server and its table
		if time.Since(start) > soon {
			t.Fatal("gobgpd is not asked")
		}
	}
	time.Sleep(50 * time.Millisecond) // the assertion is that nothing comes
	if !f.has(someAllow) {
		t.Error("swept behind the bar")
	}
	writes.Unlock()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if calls := f.all(); !slices.Contains(calls, "DeletePath") {
		t.Errorf("not swept afterwards: %q", calls)
	}
}
