package daemon

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"failoverd/conf"
	"failoverd/failover"
	"failoverd/vrrp"
)

// watching is the configuration of an agent that watches a site.
func watching() *failover.Config {
	return &failover.Config{Hash: "w", BGPLease: 3 * time.Second, Watches: []failover.WatchConfig{{
		Name: "mainland", DownQuorum: 1, TakeoverAfter: 18 * time.Second, Heartbeat: time.Second, FenceAfter: 7 * time.Second,
		HoldTime: 9 * time.Second, Lease: 3 * time.Second, HoldDown: time.Minute, HalfLife: 15 * time.Minute, Suppress: 2500, Reuse: 750,
	}}}
}

// What is kept is there after a restart, as long ago as it is by the clock that can tell.
func TestTakeoversOutliveTheAgent(t *testing.T) {
	const now = vrrp.Instant(time.Hour)
	for _, c := range []struct {
		name, boot string
		now        vrrp.Instant
		wall       time.Time
		want       vrrp.Instant
	}{
		{"the same boot", "b1", now.Add(time.Minute), saturday.Add(time.Minute), now.Add(-5 * time.Second)},
		{"the wall clock was set back meanwhile", "b1", now.Add(time.Minute), saturday.Add(-time.Hour), now.Add(-5 * time.Second)},
		{"the wall clock was set forward meanwhile", "b1", now.Add(time.Minute), saturday.AddDate(1, 0, 0), now.Add(-5 * time.Second)},
		{"the machine has started anew", "b2", vrrp.Instant(20 * time.Second), saturday.Add(time.Minute), vrrp.Instant(-45 * time.Second)},
		{"so it has, with a clock that is behind", "b2", vrrp.Instant(20 * time.Second), saturday.Add(-time.Hour), vrrp.Instant(20 * time.Second)},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			core, err := failover.New(watching(), now)
			if err != nil {
				t.Fatal(err)
			}
			var fx failover.Effects
			known := failover.Takeovers{Watch: "mainland", Last: now.Add(-5 * time.Second), Penalty: 2600, Latched: true, Returned: true}
			core.Step(now, known, &fx)
			k := newTakeoverKeeper(dir, "b1", slog.New(slog.DiscardHandler))
			ended := make(chan struct{})
			ctx, cancel := context.WithCancel(t.Context())
			go func() { defer close(ended); k.run(ctx) }()
			k.keep(core, now, saturday) // nothing has changed
			core.Step(now, failover.UndrainCommand{Router: "other"}, &fx)
			k.keep(core, now, saturday)
			if _, err := os.Stat(filepath.Join(dir, takeoversName)); !os.IsNotExist(err) {
				t.Errorf("written without need: %v", err)
			}
			k.kept-- // as if it had
			k.keep(core, now, saturday)
			if err := k.settled(t.Context()); err != nil {
				t.Fatal(err)
			}
			cancel()
			<-ended
			known.Last = c.want
			got := newTakeoverKeeper(dir, c.boot, slog.New(slog.DiscardHandler)).load(c.now, c.wall)
			if d := cmp.Diff([]failover.Takeovers{known}, got); d != "" {
				t.Errorf("after the restart (-want +got):\n%s", d)
			}
		})
	}
}

// An agent takes up what the last one has left, and a file that makes no sense is put aside.
func TestAgentRemembersTakeovers(t *testing.T) {
	for _, c := range []struct {
		name, text string
		latched    bool
		log        string
	}{
		{"latched", `{"version": 1, "takeovers": [{"watch_site": "mainland", "last": "2026-11-28T12:00:00Z", "last_mono_ns": 1,
			"boot_id": "BOOT", "penalty": 1e300, "latched": true}]}`, true, ""},
		{"of a site that nobody watches", `{"version": 1, "takeovers": [{"watch_site": "taiwan", "latched": true}]}`, false, ""},
		{"cut off", `{"version": 1, "takeo`, false, "the takeovers of the last run are lost"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, log := t.TempDir(), new(testLog)
			text := strings.Replace(c.text, `"last": "2026-11-28T12:00:00Z"`, `"last": "`+time.Now().UTC().Format(time.RFC3339)+`"`, 1)
			if err := os.WriteFile(filepath.Join(dir, takeoversName), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			a, err := New(Options{
				File: "f", StateDir: dir, Log: slog.New(slog.NewTextHandler(log, nil)),
				Load: func() (*failover.Config, []conf.Diagnostic, error) { return watching(), nil, nil },
			})
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- a.Run(ctx) }()
			eventually(t, "a snapshot", func() bool { return a.Snapshot() != nil })
			w := a.Snapshot().Watches[0]
			if w.Latched != c.latched || w.Penalty > 3500 || c.latched && w.Penalty < 2500 {
				t.Errorf("latched %v, penalty %d", w.Latched, w.Penalty)
			}
			stop()
			if err := <-ended; err != nil || !strings.Contains(log.String(), c.log) {
				t.Errorf("%v; log:\n%s", err, log)
			}
		})
	}
}
