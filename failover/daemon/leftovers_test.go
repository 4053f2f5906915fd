package daemon

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"failoverd/bgp"
	"failoverd/bgp/gobgp"
	"failoverd/failover"
)

// gobgpdAt is a speaker on a gobgpd that may have some prefixes.
func gobgpdAt(name, target string, allow ...string) bgp.SpeakerConfig {
	c := bgp.SpeakerConfig{Name: name, LocalAS: 64501, External: &bgp.External{Target: target}}
	for _, a := range allow {
		c.Allow = append(c.Allow, netip.MustParsePrefix(a))
	}
	return c
}

func placedAt(stamp int64, prefixes ...string) (list []gobgp.Placed) {
	for _, p := range prefixes {
		list = append(list, gobgp.Placed{Route: bgp.Route{Prefix: netip.MustParsePrefix(p)}, Stamp: stamp})
	}
	return list
}

func prefixesIn(list []gobgp.Placed) string { return joined(prefixList(list)) }

const (
	oldPrefix, newPrefix, otherPrefix = "192.0.2.1/32", "192.0.2.2/32", "192.0.2.3/32"
	someTarget                        = "unix:/run/some.sock"
)

// What one life has in a gobgpd, the next one knows: what a speaker allows is that speaker's, whatever its name, and the rest
// is to be swept.
func TestLeftoversOverARestart(t *testing.T) {
	dir := t.TempDir()
	k := newLeftovers(dir, slog.New(slog.DiscardHandler), func(failover.Event) {})
	k.load()
	c := gobgpdAt("A", someTarget, oldPrefix, newPrefix)
	k.adopt([]bgp.SpeakerConfig{c})
	if known := k.begin(&c); len(known) != 0 {
		t.Errorf("at first it knows of %v", known)
	}
	k.note(&c, placedAt(7, oldPrefix, newPrefix))
	k.write()

	for _, row := range []struct {
		name     string
		speakers []bgp.SpeakerConfig
		known    string // of the first
		orphans  string
	}{
		{"the same", []bgp.SpeakerConfig{c}, oldPrefix + " " + newPrefix, ""},
		{"another name", []bgp.SpeakerConfig{gobgpdAt("B", someTarget, oldPrefix, newPrefix)}, oldPrefix + " " + newPrefix, ""},
		{"one prefix less", []bgp.SpeakerConfig{gobgpdAt("A", someTarget, newPrefix)}, newPrefix, oldPrefix},
		{"other prefixes", []bgp.SpeakerConfig{gobgpdAt("A", someTarget, otherPrefix)}, "", oldPrefix + " " + newPrefix},
		{"another gobgpd", []bgp.SpeakerConfig{gobgpdAt("A", "unix:/run/else.sock", oldPrefix, newPrefix)}, "", oldPrefix + " " + newPrefix},
		{"two speakers", []bgp.SpeakerConfig{gobgpdAt("A", someTarget, newPrefix), gobgpdAt("B", someTarget, oldPrefix)}, newPrefix, ""},
		{"none", nil, "", oldPrefix + " " + newPrefix},
	} {
		t.Run(row.name, func(t *testing.T) {
			k := newLeftovers(dir, slog.New(slog.DiscardHandler), func(failover.Event) {})
			k.load()
			k.adopt(row.speakers)
			if len(row.speakers) > 0 {
				if known := prefixesIn(k.begin(&row.speakers[0])); known != row.known {
					t.Errorf("it knows of %q, want %q", known, row.known)
				}
			}
			if left := prefixesIn(k.orphans()[someTarget]); left != row.orphans {
				t.Errorf("to be swept: %q, want %q", left, row.orphans)
			}
		})
	}
}

// A speaker that ends leaves what it could not withdraw to be swept, unless another one allows it.
func TestLeftoversOfASpeakerThatEnds(t *testing.T) {
	k := newLeftovers(t.TempDir(), slog.New(slog.DiscardHandler), func(failover.Event) {})
	c, next := gobgpdAt("A", someTarget, oldPrefix, newPrefix), gobgpdAt("B", someTarget, newPrefix)
	k.adopt([]bgp.SpeakerConfig{c})
	k.begin(&c)
	k.note(&c, placedAt(7, oldPrefix, newPrefix))
	k.adopt([]bgp.SpeakerConfig{next})
	if left := k.orphans(); len(left) != 0 {
		t.Errorf("swept while it lives: %v", left)
	}
	k.end(&c)
	if left := prefixesIn(k.orphans()[someTarget]); left != oldPrefix {
		t.Errorf("to be swept: %q", left)
	}
	if known := prefixesIn(k.begin(&next)); known != newPrefix {
		t.Errorf("the next one knows of %q", known)
	}
}

// The file of a dead gobgpd's routes is emptied, and one that makes no sense is put aside.
func TestLeftoversOfADeadGobgpd(t *testing.T) {
	dir := t.TempDir()
	target := "unix:" + filepath.Join(dir, "nobody")
	var told []failover.Event
	k := newLeftovers(dir, slog.New(slog.DiscardHandler), func(e failover.Event) { told = append(told, e) })
	k.left[target] = placedAt(7, oldPrefix)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); k.sweep(ctx) }()
	k.adopt(nil)
	for begin := time.Now(); len(k.orphans()) > 0; time.Sleep(5 * time.Millisecond) {
		if time.Since(begin) > 20*time.Second {
			t.Fatal("not swept")
		}
	}
	cancel()
	<-done
	k.write()
	b, err := os.ReadFile(filepath.Join(dir, pathsName))
	if err != nil || strings.Contains(string(b), oldPrefix) || len(told) > 0 {
		t.Errorf("%s, %v; told %+v", b, err, told)
	}
	if err := os.WriteFile(filepath.Join(dir, pathsName), []byte(`{"version": 1, "targets": [{"target": 3}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	k = newLeftovers(dir, slog.New(slog.DiscardHandler), func(failover.Event) {})
	k.load()
	if len(k.left) != 0 {
		t.Errorf("of nonsense it has %v", k.left)
	}
}

// One that does not answer is told of once, and asked again.
func TestLeftoversOfAGobgpdThatHangs(t *testing.T) {
	target := "192.0.2.99:50051" // nobody's, and no way to it is the same as no answer
	var told []failover.Event
	k := newLeftovers(t.TempDir(), slog.New(slog.DiscardHandler), func(e failover.Event) { told = append(told, e) })
	k.left[target] = placedAt(7, oldPrefix, newPrefix)
	k.adopt(nil)
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, context.DeadlineExceeded)
	defer cancel()
	for range 2 {
		if k.sweepAt(ctx, target, k.orphans()[target]) {
			t.Error("it says that nothing is left")
		}
	}
	if len(told) != 1 || told[0].Kind != failover.EventLeftover || told[0].To != leftStays || told[0].Object != oldPrefix+" "+newPrefix {
		t.Errorf("told %+v", told)
	}
	if left := k.orphans()[target]; !slices.EqualFunc(left, placedAt(7, oldPrefix, newPrefix), func(a, b gobgp.Placed) bool { return a.Equal(&b) }) {
		t.Errorf("left %+v", left)
	}
}
