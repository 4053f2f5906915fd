package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"failoverd/conf"
	"failoverd/failover"
	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

var errTest = errors.New("test error")

// An alarm rings at its instant, not before.
func TestAlarm(t *testing.T) {
	a, err := newAlarm()
	if err != nil {
		t.Fatal(err)
	}
	at := func(i vrrp.Instant) {
		t.Helper()
		if err := a.at(i); err != nil {
			t.Fatal(err)
		}
	}
	var late []time.Duration
	for range 20 {
		due := monotonic().Add(3300 * time.Microsecond)
		at(due)
		at(due) // costs nothing and changes nothing
		<-a.C
		a.rang()
		d := monotonic().Sub(due)
		if d < 0 {
			t.Fatalf("rang %v too early", -d)
		}
		late = append(late, d)
	}
	slices.Sort(late)
	if late[len(late)/2] > 20*time.Millisecond {
		t.Errorf("late by %v", late)
	}
	t.Logf("median lateness %v, worst %v", late[len(late)/2], late[len(late)-1])

	at(monotonic().Add(20 * time.Millisecond))
	at(vrrp.Never)
	select {
	case <-a.C:
		t.Error("an alarm that was switched off rang")
	case <-time.After(60 * time.Millisecond):
	}
	for _, past := range []vrrp.Instant{0, monotonic().Add(-time.Hour)} {
		at(past)
		<-a.C
		a.rang()
	}
	a.close()
	if err := a.at(1); err == nil {
		t.Error("a closed alarm can be set")
	}
}

// Every kind of event has a line of its own.
func TestEventLog(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "../effects.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	kinds := 0
	ast.Inspect(f, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && strings.HasPrefix(v.Names[0].Name, "Event") {
			kinds++
		}
		return true
	})
	if kinds == 0 || kinds != len(eventLog) {
		t.Errorf("%d kinds of events, %d lines for them", kinds, len(eventLog))
	}
	messages := make(map[string]bool)
	for k := range failover.EventKind(kinds) {
		log := new(testLog)
		logEvent(slog.New(slog.NewTextHandler(log, nil)), &failover.Event{Kind: k})
		if how := eventLog[k]; messages[how.message] || log.count("\n") != 1 || !strings.Contains(log.String(), how.message) {
			t.Errorf("event %d: %s", k, log)
		}
		messages[eventLog[k].message] = true
	}
}

func TestEventAttributes(t *testing.T) {
	key := vrrp.Key{Interface: "eth0", Family: wire.IPv4, VRID: 51}
	for _, c := range []struct {
		name  string
		event failover.Event
		want  string
	}{
		{"transition", failover.Event{
			Kind: failover.EventTransition, Router: "WEB", Key: key, From: "BACKUP", To: "MASTER", Reason: "timeout", Peer: netip.MustParseAddr("192.0.2.2"),
		}, "level=INFO msg=transition router=WEB vr=" + key.String() + " peer=192.0.2.2 from=BACKUP to=MASTER reason=timeout\n"},
		{"addresses", failover.Event{
			Kind: failover.EventAddresses, Router: "WEB", Key: key, To: "present", Took: 1500 * time.Microsecond,
		}, "level=INFO msg=addresses router=WEB vr=" + key.String() + " to=present took_ms=1.5\n"},
		{"restored", failover.Event{
			Kind: failover.EventRestored, Address: failover.AddressKey{Interface: "lo", Prefix: netip.MustParsePrefix("192.0.2.10/32")},
		}, "level=WARN msg=\"address removed by somebody else, put back\" address=\"192.0.2.10/32 dev lo\"\n"},
		{"speaker down", failover.Event{Kind: failover.EventSpeaker, Speaker: "EDGE", To: "down"}, "level=WARN msg=\"bgp speaker\" speaker=EDGE to=down\n"},
		{"speaker in trouble", failover.Event{Kind: failover.EventSpeaker, Speaker: "EDGE", To: "trouble", Reason: "R"}, "level=WARN msg=\"bgp speaker\" speaker=EDGE to=trouble reason=R\n"},
		{"speaker up", failover.Event{Kind: failover.EventSpeaker, Speaker: "EDGE", To: "up"}, "level=INFO msg=\"bgp speaker\" speaker=EDGE to=up\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			log := new(testLog)
			logEvent(slog.New(slog.NewTextHandler(log, nil)), &c.event)
			if _, got, _ := strings.Cut(log.String(), " "); got != c.want {
				t.Errorf("got  %swant %s", got, c.want)
			}
		})
	}
}

// A snapshot follows a change soon, is never older than its period, and building it never takes most of the time.
func TestSnapshotAge(t *testing.T) {
	a, _ := plain(t, new(testLog))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	eventually(t, "a snapshot", func() bool { return a.Snapshot() != nil })
	var taken []time.Time
	for len(taken) < 3 {
		s := a.Snapshot()
		if age := time.Since(s.TakenAt); age > snapshotMax+slack {
			t.Fatalf("a snapshot of age %v", age)
		}
		if len(taken) == 0 || s.TakenAt.Sub(taken[len(taken)-1]) > snapshotMax/2 {
			taken = append(taken, s.TakenAt)
		}
		time.Sleep(5 * time.Millisecond)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}

	var p publisher
	p.soonest, p.snapshotAt = 1000, 5000
	p.publishSoon(400)
	if p.snapshotAt != 1000 {
		t.Errorf("due at %d, want as soon as possible", p.snapshotAt)
	}
	p.publishSoon(2000)
	if p.snapshotAt != 1000 {
		t.Errorf("due at %d, want no later than before", p.snapshotAt)
	}
	const now = vrrp.Instant(time.Hour)
	for _, tt := range []struct{ took, soonest, latest time.Duration }{
		{100 * time.Microsecond, snapshotGap, snapshotMax},
		{30 * time.Millisecond, 600 * time.Millisecond, snapshotMax},
		{80 * time.Millisecond, 1600 * time.Millisecond, 1600 * time.Millisecond},
		{600 * time.Millisecond, snapshotWorst, snapshotWorst}, // the machine stood still
	} {
		p.took(now, tt.took)
		if p.soonest != now.Add(tt.soonest) || p.snapshotAt != now.Add(tt.latest) {
			t.Errorf("after one that took %v: not before %v, at the latest after %v, want %v and %v",
				tt.took, p.soonest.Sub(now), p.snapshotAt.Sub(now), tt.soonest, tt.latest)
		}
	}
}

// A step of the wall clock must not make a snapshot look older or newer than it is.
func TestWallClockKeepsMonotonicReading(t *testing.T) {
	for _, at := range []vrrp.Instant{monotonic(), 0} {
		if got := wallClock()(at); got == got.Round(0) {
			t.Errorf("%v has no monotonic reading", got)
		}
	}
	if age := time.Since(wallClock()(monotonic().Add(-time.Minute))); age < time.Minute || age > 2*time.Minute {
		t.Errorf("what was a minute ago is %v old", age)
	}
}

// The loop takes results before packets, everything that was there before a timer, and nothing for ever.
func TestDrain(t *testing.T) {
	a, _ := plain(t, new(testLog))
	l := a.loop
	defer func() {
		close(a.over)
		if err := l.close(); err != nil {
			t.Error(err)
		}
	}()
	a.results <- failover.InterfaceChanged{Interface: failover.Interface{Name: "fo-a", Index: 7}}
	for range packetQueue {
		a.packets <- packet{failover.LinkID{Interface: "fo-a", Family: wire.IPv4}, &wire.Packet{}}
	}
	if n := l.drain(); n != packetQueue+1 || len(a.packets)+len(a.results) != 0 {
		t.Errorf("took %d, left %d", n, len(a.packets)+len(a.results))
	}
	if l.links.interfaces["fo-a"].Index != 7 {
		t.Error("the result was not taken")
	}
	quit := make(chan struct{})
	var flood sync.WaitGroup
	flood.Go(func() {
		for {
			select {
			case a.packets <- packet{failover.LinkID{Interface: "fo-a", Family: wire.IPv4}, &wire.Packet{}}:
			case <-quit:
				return
			}
		}
	})
	for range 50 {
		if n := l.drain(); n > packetQueue+resultQueue {
			t.Errorf("took %d", n)
		}
	}
	close(quit)
	flood.Wait()
}

// Status names the line to look at, not only the text.
func TestFirstError(t *testing.T) {
	at := func(line int) conf.Pos { return conf.Pos{File: "f", Line: line, Column: 5} }
	e := &ConfigError{File: "f", Diagnostics: []conf.Diagnostic{
		{Pos: at(2), Severity: conf.Warning}, {Pos: at(3), Severity: conf.Error}, {Pos: at(4), Severity: conf.Error},
	}}
	if got := firstError(fmt.Errorf("refused: %w", e)); got != "f:3:5" {
		t.Errorf("the first error is at %q", got)
	}
	if got := firstError(ErrEmpty); got != "" {
		t.Errorf("an error that is nowhere is at %q", got)
	}
}

func TestConfigErrorListsErrors(t *testing.T) {
	e := &ConfigError{File: "f.conf", Diagnostics: []conf.Diagnostic{
		{Pos: conf.Pos{File: "f.conf", Line: 1, Column: 2}, Severity: conf.Error, Message: "first"},
		{Pos: conf.Pos{File: "f.conf", Line: 2, Column: 2}, Severity: conf.Warning, Message: "odd"},
		{Pos: conf.Pos{File: "f.conf", Line: 3, Column: 2}, Severity: conf.Error, Message: "second"},
	}}
	want := "f.conf: the configuration has errors\nf.conf:1:2: error: first\nf.conf:3:2: error: second"
	if e.Error() != want {
		t.Errorf("got %q, want %q", e.Error(), want)
	}
}

// New fails before it opens anything when the configuration is bad, and closes what it opened otherwise.
func TestNewFails(t *testing.T) {
	before := descriptors(t)
	goroutinesBefore := len(goroutines())
	var log bytes.Buffer
	o := Options{File: "f", StateDir: t.TempDir(), Log: slog.New(slog.NewTextHandler(&log, nil))}
	for name, load := range map[string]func() (*failover.Config, []conf.Diagnostic, error){
		"error":  func() (*failover.Config, []conf.Diagnostic, error) { return nil, nil, errTest },
		"no cfg": func() (*failover.Config, []conf.Diagnostic, error) { return nil, []conf.Diagnostic{}, nil },
		"bad router": func() (*failover.Config, []conf.Diagnostic, error) {
			return &failover.Config{Routers: make([]failover.RouterConfig, 1)}, nil, nil
		},
	} {
		o.Load = load
		if _, err := New(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	o.Load = func() (*failover.Config, []conf.Diagnostic, error) { return &failover.Config{}, nil, nil }
	o.StateDir = "/proc/nowhere/state"
	if _, err := New(o); err == nil || !strings.Contains(err.Error(), "create state directory") {
		t.Errorf("state directory: %v", err)
	}
	if now := descriptors(t); len(now) > len(before) || len(goroutines()) > goroutinesBefore {
		t.Errorf("left: %q, before %q", now, before)
	}
}
