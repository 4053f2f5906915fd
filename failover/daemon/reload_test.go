package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"failoverd/bgp"
	"failoverd/conf"
	"failoverd/failover"
	"failoverd/vrrp"
)

// loading is a configuration that a test can change under a running agent.
type loading struct {
	mu    sync.Mutex
	cfg   *failover.Config
	diags []conf.Diagnostic
	err   error
}

func (l *loading) set(cfg *failover.Config, diags []conf.Diagnostic, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cfg, l.diags, l.err = cfg, diags, err
}

func (l *loading) load() (*failover.Config, []conf.Diagnostic, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cfg, l.diags, l.err
}

func TestReload(t *testing.T) {
	log := new(testLog)
	first := &failover.Config{Hash: "one", BGPLease: 3 * time.Second}
	src := &loading{cfg: first}
	a, err := New(Options{
		File: "f", StateDir: t.TempDir(), Log: slog.New(slog.NewTextHandler(log, nil)),
		Load: src.load,
	})
	if err != nil {
		t.Fatal(err)
	}
	if a.Snapshot() != nil {
		t.Error("there is a snapshot before Run")
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	bad := failover.RouterConfig{Name: "BAD"} // which package conf would never return
	for _, c := range []struct {
		name          string
		cfg           *failover.Config
		diags         []conf.Diagnostic
		err           error
		want          string // in the error
		hash, problem string // in the snapshot afterwards
		reloads       uint64
		warnings      []string
		log           string
	}{
		{name: "the same", cfg: &failover.Config{Hash: "one"}, hash: "one", reloads: 1, log: "config=one changed=false"},
		{name: "another", cfg: &failover.Config{Hash: "two", BGPLease: time.Second}, hash: "two", reloads: 2, log: "config=two changed=true"},
		{name: "no file", err: errTest, want: "test error", hash: "two", problem: "test error", reloads: 2, log: "reload refused"},
		{
			name: "errors", diags: []conf.Diagnostic{{Severity: conf.Error, Message: "wrong word"}, {Severity: conf.Warning, Message: "odd word"}},
			want: "wrong word", hash: "two", problem: "wrong word", reloads: 2, log: "reload refused",
		},
		{
			name: "one that the core refuses", cfg: &failover.Config{Hash: "bad", BGPLease: time.Second, Routers: []failover.RouterConfig{bad}},
			want: "BAD", hash: "two", problem: "BAD", reloads: 2, log: "reload refused",
		},
		{
			name: "a good one with a warning", cfg: &failover.Config{Hash: "two", BGPLease: time.Second},
			diags: []conf.Diagnostic{{Severity: conf.Warning, Message: "odd word"}}, hash: "two", reloads: 3, log: "odd word",
			warnings: []string{": warning: odd word"},
		},
		{
			name: "another socket", cfg: &failover.Config{Hash: "three", BGPLease: time.Second, StatusSocket: "/elsewhere"},
			hash: "three", reloads: 4, log: "status_socket changes at the next start",
			warnings: []string{"f: warning: status_socket none -> /elsewhere counts from the next start of the agent"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := log.count(c.log)
			src.set(c.cfg, c.diags, c.err)
			warnings, err := a.Reload(ctx)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			if !slices.Equal(warnings, c.warnings) {
				t.Errorf("warnings %q, want %q", warnings, c.warnings)
			}
			var ce *ConfigError
			if c.diags != nil && c.cfg == nil && (!errors.As(err, &ce) || strings.Contains(err.Error(), "odd word")) {
				t.Errorf("error %v, want a ConfigError with the errors only", err)
			}
			s := a.Snapshot().Config
			if s.Hash != c.hash || !strings.Contains(s.LastError, c.problem) || (s.LastError == "") != (c.problem == "") ||
				(s.LastFailed == nil) != (c.problem == "") || s.Reloads != c.reloads {
				t.Errorf("snapshot %+v", s)
			}
			eventually(t, c.log, func() bool { return log.count(c.log) > before })
		})
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// Reloads that come while the agent stops, from many sides, end all, and the stop too.
func TestReloadWhileStopping(t *testing.T) {
	for range 20 {
		a, cfg := plain(t, new(testLog))
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- a.Run(ctx) }()
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for {
					_, err := a.Reload(t.Context())
					if errors.Is(err, ErrStopped) {
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		eventually(t, "a reload", func() bool { s := a.Snapshot(); return s != nil && s.Config.Reloads > 0 })
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		wg.Wait()
		if cfg.Hash != a.Snapshot().Config.Hash {
			t.Error("another configuration")
		}
	}
}

// A reload does not wait for ever for a loop that does not run.
func TestReloadGivesUp(t *testing.T) {
	a, _ := plain(t, new(testLog))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := a.Reload(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if err := a.Run(stopped); err != nil {
		t.Error(err)
	}
}

// announceConf has a route, which is in the speaker's table although its neighbor does not exist.
var announceConf = strings.Replace(speakConf, "priority 150",
	"priority 150\n    bgp_wait 0\n    bgp_announce {\n        198.51.100.0/24 speaker EDGE\n    }", 1)

func speaking(o *Options) { o.SpeakerArgv = []string{os.Args[0], "speaker"} }

// announced waits until the route is in the speaker's table, and returns the speaker's process.
func (r *running) announced(t *testing.T) (pid int) {
	t.Helper()
	eventually(t, "the route in the speaker's table", func() bool {
		s := r.snapshot().Speakers
		c := children(t)
		if len(s) != 1 || len(s[0].Announced) != 1 || len(c) != 1 {
			return false
		}
		pid = c[0]
		return true
	})
	return pid
}

// A reload of the same file causes no packet, no write to the kernel, no other socket and no other process; a bad one
// neither.
func TestReloadTouchesNothing(t *testing.T) {
	l := newLab(t)
	r := l.start(announceConf, speaking)
	pid := r.announced(t)
	before := r.snapshot()
	begin, writes := time.Now(), r.log.count("op=\"add ")+r.log.count("op=\"del ")
	for _, text := range []string{
		announceConf,
		"global_defs {\n    router_id another-name\n}\n" + announceConf,
		strings.Replace(announceConf, "priority 150", "priority 999", 1),
	} {
		r.rewrite(text)
		_, err := r.agent.Reload(t.Context())
		if bad := strings.Contains(text, "999"); bad != (err != nil) || bad != (r.snapshot().Config.LastError != "") {
			t.Errorf("reload: %v, snapshot %+v", err, r.snapshot().Config)
		}
	}
	var after *failover.Snapshot
	eventually(t, "a snapshot half a second later", func() bool {
		after = r.snapshot()
		return after.TakenAt.Sub(begin) > 500*time.Millisecond
	})
	if after.Agent.AddressWrites != before.Agent.AddressWrites || r.log.count("op=\"add ")+r.log.count("op=\"del ") != writes {
		t.Errorf("addresses were written:\n%s", r.log)
	}
	if n, was := after.Links[0].Sent, before.Links[0].Sent; n < was+2 {
		t.Errorf("sent %d on the socket, %d before: it is another one, or silent", n, was)
	}
	for _, f := range l.adverts(begin) {
		if f.payload[2] != 150 {
			t.Errorf("an advertisement with priority %d", f.payload[2])
		}
	}
	if r.announced(t) != pid || r.log.count("route announced") != 1 || r.log.count("route withdrawn") != 0 {
		t.Error("the speaker was touched")
	}
	if s := after.Routers[0]; s.State != "MASTER" || s.Counters.BecameMaster != 1 || after.Config.Reloads != 2 {
		t.Errorf("router %+v, config %+v", s, after.Config)
	}
	r.mustEnd()
}

// A speaker that is configured otherwise is replaced, and its successor announces at once; one that is not configured any
// more ends, also when the agent stops right after.
func TestReloadReplacesSpeaker(t *testing.T) {
	l := newLab(t)
	// The lease is so long that the successor has to be touched when it comes, not when it is due.
	text := "global_defs {\n    bgp_lease 300\n}\n" + announceConf
	r := l.start(text, speaking)
	pid := r.announced(t)
	r.rewrite(strings.Replace(text, "203.0.113.2", "203.0.113.3", 1))
	if _, err := r.agent.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the route through the successor", func() bool { return r.log.count("route announced") == 2 })
	if r.announced(t) == pid {
		t.Error("the process is the same")
	}
	if s := r.snapshot().Routers[0]; s.State != "MASTER" || s.Counters.BecameMaster != 1 {
		t.Errorf("router %+v", s)
	}
	r.rewrite(webConf)
	if _, err := r.agent.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.mustEnd()
	r.left(t)
}

// speakerConfig is a speaker whose neighbor refuses.
func speakerConfig() *failover.Config {
	return &failover.Config{Hash: "speaker", BGPLease: 3 * time.Second, Speakers: []bgp.SpeakerConfig{{
		Name: "EDGE", LocalAS: 64501, RouterID: netip.MustParseAddr("203.0.113.2"),
		Allow: bgp.AllowList{netip.MustParsePrefix("198.51.100.0/24")},
		Neighbors: []bgp.Neighbor{{
			Address: netip.MustParseAddr("127.0.0.9"), RemoteAS: 64500, Port: 1,
			HoldTime: 9 * time.Second, Keepalive: 3 * time.Second, ConnectRetry: 5 * time.Second,
		}},
	}}}
}

// A reload that comes during the stop is refused, and touches nothing.
func TestReloadDuringStop(t *testing.T) {
	a, _ := plain(t, new(testLog))
	l := a.loop
	l.stop(t.Context())
	r := reload{cfg: speakerConfig(), done: make(chan error, 1)}
	l.reload(r)
	if err := <-r.done; !errors.Is(err, ErrStopped) || len(l.speakers.running) != 0 || l.loaded.reloads != 0 {
		t.Errorf("error %v, speakers %v", err, l.speakers.running)
	}
	close(a.over)
	if err := l.close(); err != nil {
		t.Error(err)
	}
}

// The stop leaves the speakers some time for withdrawing, and then ends them: their own end takes time as well.
func TestStopPartsWithSpeakers(t *testing.T) {
	a, _ := plain(t, new(testLog))
	a.opts.SpeakerArgv = []string{"/nonexistent/speaker"}
	l := a.loop
	l.adopt(speakerConfig())
	before := monotonic()
	l.stop(t.Context())
	if d := l.partAt.Sub(before); d < partAfter || d > partAfter+slack || l.deadline() > l.partAt {
		t.Errorf("the speakers end %v after the stop", d)
	}
	for _, c := range []struct {
		at   vrrp.Instant
		want int
	}{{l.partAt - 1, 1}, {l.partAt, 0}} {
		l.housekeeping(c.at)
		if n := len(l.speakers.running); n != c.want {
			t.Errorf("%v after the stop %d speakers, want %d", c.at.Sub(before), n, c.want)
		}
	}
	close(a.over)
	if err := l.close(); err != nil {
		t.Error(err)
	}
}

// The last word of a speaker, that nothing is announced any more, reaches the loop also when it comes after its end was
// asked for: the addresses wait for it.
func TestLastReportIsDelivered(t *testing.T) {
	a, _ := plain(t, new(testLog))
	a.opts.SpeakerArgv = []string{os.Args[0], "speaker"}
	l := a.loop
	l.speakers.adopt(speakerConfig())
	next := func() bgp.Report { return (<-a.results).(failover.SpeakerReported).Report }
	for !next().Connected {
	}
	<-l.speakers.end("EDGE")
	last := bgp.Report{Connected: true}
	for len(a.results) > 0 {
		last = next()
	}
	if last.Connected {
		t.Error("no report that it is gone")
	}
	close(a.over)
	if err := l.close(); err != nil {
		t.Error(err)
	}
}

// A speaker whose directory cannot be made comes all the same, from another place.
func TestSpeakerWithoutDirectory(t *testing.T) {
	log, dir := new(testLog), t.TempDir()+"/state"
	a, err := New(Options{
		StateDir: dir, SpeakerArgv: []string{os.Args[0], "speaker"}, Log: slog.New(slog.NewTextHandler(log, nil)),
		Load: func() (*failover.Config, []conf.Diagnostic, error) { return speakerConfig(), nil, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	eventually(t, "a word about the status socket", func() bool { return log.count("no status socket") == 1 })
	eventually(t, "the speaker", func() bool {
		s := a.Snapshot()
		return s != nil && s.Speakers[0].Connected
	})
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A reload tells the kernel worker which addresses are configured: one that is there already, and that nobody here
// added, is reported.
func TestReloadFindsForeignAddress(t *testing.T) {
	withLinks(t, func(l *lab, k *links, _ *testLog) {
		l.ip("addr add 192.0.2.11/32 dev fo-a")
		file := write(t, t.TempDir()+"/other.conf", strings.Replace(webConf, "192.0.2.10/32", "192.0.2.11/32", 1), 0o600)
		cfg, _, err := Load(LoadOptions{File: file})
		if err != nil || cfg == nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		a, loop := k.agent, k.agent.loop
		loop.crew.spawn("kernel", func() {
			a.needed(loop.kernel.Run(ctx, func(r failover.AddressReport) { a.deliver(failover.AddressesReported{Report: r}) }))
		})
		loop.kernel.Set(failover.DesiredAddresses{})
		if r := (<-a.results).(failover.AddressesReported).Report; len(r.Foreign) != 0 {
			t.Errorf("foreign before the reload: %v", r.Foreign)
		}
		loop.adopt(cfg)
		select {
		case in := <-a.results:
			if r := in.(failover.AddressesReported).Report; len(r.Foreign) != 1 || r.Foreign[0] != cfg.Routers[0].Addresses[0].Key() {
				t.Errorf("report %+v", r)
			}
		case <-time.After(10 * time.Second):
			t.Error("no report")
		}
	})
}
