package health

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"failoverd/failover"
)

// A run that hangs before it can ask its target has found nothing out, each time anew; once it asks, it has failed.
func TestHungAtHurdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		release := make(chan struct{})
		n := 0
		s.scripts["web"] = func(ctx context.Context) outcome {
			switch n++; n {
			case 1:
				return outcome{ok: true, cause: "connected"}
			case 2:
				hinder(ctx, resolverSilent)
				<-release // deaf to the end of its context
			case 3:
				passed := hinder(ctx, resolverSilent)
				hinder(ctx, neverAsked)()
				passed()
				<-ctx.Done()
			case 4:
				hinder(ctx, resolverSilent)
				<-ctx.Done()
			default:
				time.Sleep(second / 5) // so that what was said before is heard
				return outcome{cause: "connection refused"}
			}
			return outcome{cause: "too late"}
		}
		cfg := webCheck()
		cfg.Rise, cfg.Fall = 1, 1
		s.m.Configure(checks(cfg))
		s.start()
		s.pass(6 * second)
		s.expect(`0s: web begins
			0s: web ok (connected)
			1s: web begins
			2.05s: web unknown (the resolver does not answer), since 1.05s`)
		close(release)
		s.pass(8500 * time.Millisecond)
		s.expect(`6.001s: web is killed
			6.001s: web begins
			7.001s: web is killed
			7.001s: web failed (timed out after 1s), since 1s
			7.001s: web begins
			8.001s: web is killed
			8.001s: web unknown (the resolver does not answer), since 1s
			8.001s: web begins
			8.201s: web failed (connection refused), since 200ms`)
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	})
}

// A run that did not even begin in its time says nothing of the target.
func TestRunThatNeverBegan(t *testing.T) {
	settings := &New(Options{}).settings
	h := newHealthCheck(settings, newOutbox(), checkParams(webCheck()))
	h.probe = instantly("+")
	h.takeOver()
	run := h.begins()
	if o := h.stuck(); !o.blind || o.cause != stoodStill {
		t.Errorf("%+v", o)
	}
	if o := run(t.Context()); !o.ok {
		t.Errorf("%+v", o)
	}
	if o := h.stuck(); o.blind {
		t.Errorf("asking: %+v", o)
	}
}

// silentResolver makes the names of this process be asked of a server that never answers, until the test ends.
func silentResolver(t *testing.T) {
	t.Helper()
	server, err := net.ListenPacket("udp4", "127.0.0.1:0")
	do(t, err)
	before := net.DefaultResolver
	d := net.Dialer{Resolver: new(net.Resolver)} // not the one that is put back while lookups go on
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return d.DialContext(ctx, "udp4", server.LocalAddr().String())
	}}
	t.Cleanup(func() {
		net.DefaultResolver = before
		_ = server.Close()
	})
}

// busy keeps this process from getting to run: whoever wakes up waits for several others first.
func busy(t *testing.T) {
	t.Helper()
	before := runtime.GOMAXPROCS(1)
	var over atomic.Bool
	var all sync.WaitGroup
	for range 12 {
		all.Go(func() {
			for !over.Load() {
			}
		})
	}
	t.Cleanup(func() {
		over.Store(true)
		all.Wait()
		runtime.GOMAXPROCS(before)
	})
}

// Many names and a resolver that is silent, on a machine that is too busy to be in time: nobody has looked at any target, so none
// has ever failed.
func TestManyNamesOnSilentResolver(t *testing.T) {
	silentResolver(t)
	cfg := &failover.Config{}
	for i := range 300 {
		c := failover.CheckConfig{Name: fmt.Sprint("n", i), Interval: second, Timeout: second, Rise: 1, Fall: 1}
		c.Probe = failover.Probe{Kind: failover.ProbeHTTP, Target: fmt.Sprintf("http://host%d.example/", i)}
		cfg.Checks = append(cfg.Checks, c)
	}
	w := watch(t, cfg, nil)
	busy(t)
	seen := make(map[string]bool)
	for end := time.Now().Add(3 * second); len(seen) < len(cfg.Checks) || time.Now().Before(end); {
		select {
		case r := <-w.reports:
			seen[r.Tracker.Name] = true
			if r.OK || !r.Unknown {
				t.Fatalf("%s: ok %v, unknown %v: %s", r.Tracker.Name, r.OK, r.Unknown, r.Reason)
			}
		case <-time.After(second):
			if time.Now().After(end.Add(patience)) {
				t.Fatalf("%d of %d have said anything", len(seen), len(cfg.Checks))
			}
		}
	}
}

// Every kind of probe that can have a name is blind without a resolver, and not at the mercy of who notices first that time is up.
func TestSilentResolver(t *testing.T) {
	silentResolver(t)
	settings := &New(Options{}).settings
	for _, p := range []failover.Probe{
		{Kind: failover.ProbeTCP, Target: "host.example:4"},
		{Kind: failover.ProbeHTTP, Target: "http://host.example/"},
		{Kind: failover.ProbeHTTP, Target: "https://host.example/"},
		{Kind: failover.ProbeICMP, Target: "host.example"},
		{Kind: failover.ProbeDNS, Target: "host.example", Query: "a.example", DNS: failover.DNSProbe{Type: "A"}},
		{Kind: failover.ProbeGRPC, Target: "host.example:4"},
		{Kind: failover.ProbeGRPC, Target: "host.example:4", TLS: true},
		{Kind: failover.ProbePrometheus, Target: "http://host.example/", Query: "up"},
	} {
		want := "unknown: " + resolverSilent
		if p.Kind == failover.ProbePrometheus {
			want = "unknown: " + prometheusSilent
		}
		for range 10 {
			h := newHealthCheck(settings, newOutbox(), checkParams(failover.CheckConfig{Timeout: 20 * time.Millisecond, Probe: p}))
			h.takeOver()
			o := h.begins()(t.Context())
			got := words(o.result(), o.reason(1))
			if !strings.HasPrefix(got, want) {
				t.Errorf("%v: %s, want %s", p.String(), got, want)
			}
		}
	}
}
