package daemon

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"failoverd/failover"
	"failoverd/failover/status"
	"failoverd/vrrp"
)

var saturday = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// What is kept is there after a restart, but for what is over by then.
func TestDrainsOutliveTheAgent(t *testing.T) {
	dir := t.TempDir()
	k := newDrainKeeper(dir, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); k.run(ctx) }()
	k.keep(map[string]failover.Drain{
		"A": {By: "ann", Reason: "new kernel", Since: saturday, Ends: vrrp.Never},
		"B": {Since: saturday, Until: saturday.Add(time.Hour), Ends: 1},
		"C": {Since: saturday, Until: saturday.Add(time.Minute), Ends: 1},
	})
	if err := k.settled(t.Context()); err != nil {
		t.Fatal(err)
	}
	cancel()
	<-ended
	got := newDrainKeeper(dir, slog.New(slog.DiscardHandler)).load(1000, saturday.Add(time.Minute))
	if len(got) != 2 || got[0].Router != "A" || got[0].Drain.By != "ann" || got[0].Drain.Reason != "new kernel" ||
		!got[0].Drain.Since.Equal(saturday) || got[0].Drain.Ends != vrrp.Never || !got[0].Drain.Until.IsZero() ||
		got[1].Router != "B" || got[1].Drain.Ends != vrrp.Instant(1000+59*time.Minute) || !got[1].Drain.Until.Equal(saturday.Add(time.Hour)) {
		t.Errorf("%+v", got)
	}
}

// A file that makes no sense is put aside, and told of.
func TestUnreadableDrains(t *testing.T) {
	for _, c := range []struct{ name, text, why string }{
		{"cut off", `{"version": 1, "drains": [{"rou`, "unexpected EOF"},
		{"empty", "", "EOF"},
		{"of a later version", `{"version": 2, "drains": []}`, "version 2"},
		{"with unknown words", `{"version": 1, "drains": [], "x": 1}`, "unknown field"},
		{"something else", "[1, 2]", "cannot unmarshal"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, drainsName)
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			var log strings.Builder
			if got := newDrainKeeper(dir, slog.New(slog.NewTextHandler(&log, nil))).load(0, saturday); got != nil {
				t.Errorf("%+v", got)
			}
			if !strings.Contains(log.String(), "level=ERROR") || !strings.Contains(log.String(), c.why) {
				t.Errorf("the log says %q", log.String())
			}
			if b, err := os.ReadFile(path + ".unreadable"); err != nil || string(b) != c.text {
				t.Errorf("kept: %q, %v", b, err)
			}
		})
	}
}

// Where nothing can be written, whoever waits is told so, and the next attempt may succeed.
func TestDrainsThatCannotBeKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "gone")
	k := newDrainKeeper(dir, slog.New(slog.DiscardHandler))
	if got := k.load(0, saturday); got != nil {
		t.Errorf("from nowhere: %+v", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	k.keep(nil)
	if err := k.settled(ctx); err == nil || !strings.Contains(err.Error(), "context canceled") {
		t.Errorf("before it is written: %v", err)
	}
	k.run(ctx)
	if err := k.settled(t.Context()); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("without a directory: %v", err)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	k.keep(nil)
	k.run(ctx)
	if err := k.settled(t.Context()); err != nil {
		t.Error(err)
	}
}

// A person who puts back what was not taken out is told so.
func TestUndrainOfNothing(t *testing.T) {
	a, _ := plain(t, new(testLog))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	answer, err := a.Command(t.Context(), &status.Command{Verb: status.Undrain, Router: "WEB"})
	if err != nil || !answer.Nothing || answer.Text != "WEB was not drained" {
		t.Errorf("%+v, %v", answer, err)
	}
	if _, err := a.Command(t.Context(), &status.Command{Verb: status.Drain, Router: "WEB"}); err != nil {
		t.Fatal(err)
	}
	answer, err = a.Command(t.Context(), &status.Command{Verb: status.Undrain, Router: "WEB"})
	if err != nil || answer.Nothing || answer.Text != "" {
		t.Errorf("of what was drained: %+v, %v", answer, err)
	}
}
