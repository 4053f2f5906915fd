package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"failoverd/failover"
	"failoverd/vrrp"
)

// drainsName is the file that remembers drains over restarts.
const drainsName = "drains.json"

// savedDrains is what that file holds.
type savedDrains struct {
	Version int          `json:"version"` // 1
	Drains  []savedDrain `json:"drains"`
}

type savedDrain struct {
	Router string     `json:"router"`
	By     string     `json:"by,omitempty"`
	Reason string     `json:"reason,omitempty"`
	Since  time.Time  `json:"since"`
	Until  *time.Time `json:"until,omitempty"` // missing: until somebody says otherwise
}

// drainKeeper writes the drains in force to a file, in a goroutine of its own, the newest only: a disk that hangs delays
// whoever waits for it, and nobody else.
type drainKeeper struct {
	path string
	log  *slog.Logger
	kick chan struct{} // holds one element while there is something to write

	mu      sync.Mutex
	text    []byte        // the newest
	wanted  uint64        // counts what was to be written
	written uint64        // the newest that was, or could not be because of err
	err     error         //
	news    chan struct{} // closed when written changes
}

// newDrainKeeper keeps drains in dir; nowhere if it is empty.
func newDrainKeeper(dir string, log *slog.Logger) *drainKeeper {
	k := &drainKeeper{log: log, kick: make(chan struct{}, 1), news: make(chan struct{})}
	if dir != "" {
		k.path = filepath.Join(dir, drainsName)
	}
	return k
}

// load returns the drains that were in force when the last agent ended, but for those whose time is over. A file that makes
// no sense is put aside, and logged: somebody may have to be drained again.
func (k *drainKeeper) load(now vrrp.Instant, wall time.Time) (commands []failover.DrainCommand) {
	if k.path == "" {
		return nil
	}
	b, err := os.ReadFile(k.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var saved savedDrains
	if err == nil {
		d := json.NewDecoder(bytes.NewReader(b))
		d.DisallowUnknownFields()
		if err = d.Decode(&saved); err == nil && saved.Version != 1 {
			err = fmt.Errorf("version %d is not 1", saved.Version)
		}
	}
	if err != nil {
		aside := k.path + ".unreadable"
		k.log.Error("the drains of the last run are lost", "file", k.path, "err", err, "kept_as", aside, "rename", os.Rename(k.path, aside))
		return nil
	}
	for _, s := range saved.Drains {
		d := failover.Drain{By: s.By, Reason: s.Reason, Since: s.Since, Ends: vrrp.Never}
		if s.Until != nil {
			d.Until, d.Ends = *s.Until, now.Add(s.Until.Sub(wall))
		}
		if s.Router != "" && d.Ends > now {
			commands = append(commands, failover.DrainCommand{Router: s.Router, Drain: d})
		}
	}
	return commands
}

// keep has drains written.
func (k *drainKeeper) keep(drains map[string]failover.Drain) {
	saved := savedDrains{Version: 1, Drains: []savedDrain{}}
	for _, name := range slices.Sorted(maps.Keys(drains)) {
		d := drains[name]
		s := savedDrain{Router: name, By: d.By, Reason: d.Reason, Since: d.Since}
		if !d.Until.IsZero() {
			s.Until = &d.Until
		}
		saved.Drains = append(saved.Drains, s)
	}
	text, err := json.MarshalIndent(&saved, "", "  ")
	if err != nil {
		panic(fmt.Sprintf("daemon: encode %+v: %v", saved, err))
	}
	k.mu.Lock()
	k.text = append(text, '\n')
	k.wanted++
	k.mu.Unlock()
	select {
	case k.kick <- struct{}{}:
	default:
	}
}

// run writes until ctx ends, and then what is left.
func (k *drainKeeper) run(ctx context.Context) {
	for {
		select {
		case <-k.kick:
			k.write()
		case <-ctx.Done():
			k.write()
			return
		}
	}
}

// write writes the newest text, if it has not been written.
func (k *drainKeeper) write() {
	k.mu.Lock()
	text, n, done := k.text, k.wanted, k.wanted == k.written
	k.mu.Unlock()
	if done {
		return
	}
	err := k.replace(text)
	if err != nil {
		k.log.Error("drains are not remembered over a restart", "err", err)
	}
	k.mu.Lock()
	k.written, k.err = n, err
	close(k.news)
	k.news = make(chan struct{})
	k.mu.Unlock()
}

// replace makes text the content of the file: after a power cut it is the old one or the new one.
func (k *drainKeeper) replace(text []byte) error {
	if k.path == "" {
		return errors.New("there is no directory to keep them in")
	}
	next := k.path + ".new"
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(next, k.path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(k.path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// settled waits until everything that was to be kept so far has been written, and returns why it was not.
func (k *drainKeeper) settled(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for n := k.wanted; k.written < n; {
		news := k.news
		k.mu.Unlock()
		select {
		case <-news:
		case <-ctx.Done():
		}
		k.mu.Lock()
		if ctx.Err() != nil && k.written < n {
			return fmt.Errorf("write %s: %w", k.path, ctx.Err())
		}
	}
	return k.err
}
